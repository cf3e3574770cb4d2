/* Stands in for ncrypt.dll under Wine, whose certificate store hands out the handle of an old provider (CAPI) where Windows, asked for CNG keys only, hands
   out a CNG handle to the same key: Wine's own ncrypt.dll then answers 0x80090026 to it. This one does what Windows does with such a key: it signs with
   PKCS#1 padding and SHA-256, by the AES provider, and refuses PSS. Never shipped. */
#include <windows.h>
#include <ncrypt.h>
#include <string.h>
#include <wincrypt.h>

#define BAD_HANDLE ((SECURITY_STATUS)0x80090026)
#define NOT_SUPPORTED ((SECURITY_STATUS)0x80090029)

__declspec(dllexport) SECURITY_STATUS WINAPI NCryptSignHash(NCRYPT_KEY_HANDLE key, VOID *padding, PBYTE hash, DWORD hash_len, PBYTE signature,
                                                            DWORD size, DWORD *written, DWORD flags) {
    char container[256];
    DWORD len = sizeof container, keyset = 0, keyset_len = sizeof keyset;
    HCRYPTPROV provider = 0;
    HCRYPTHASH digest = 0;
    SECURITY_STATUS status = BAD_HANDLE;
    (void)padding;
    if (!(flags & BCRYPT_PAD_PKCS1) || hash_len != 32) {
        return NOT_SUPPORTED;
    }
    if (!CryptGetProvParam(key, PP_CONTAINER, (BYTE *)container, &len, 0)) {
        return BAD_HANDLE;
    }
    CryptGetProvParam(key, PP_KEYSET_TYPE, (BYTE *)&keyset, &keyset_len, 0);
    if (CryptAcquireContextA(&provider, container, NULL, PROV_RSA_AES, CRYPT_SILENT | (keyset & CRYPT_MACHINE_KEYSET)) &&
        CryptCreateHash(provider, CALG_SHA_256, 0, 0, &digest) && CryptSetHashParam(digest, HP_HASHVAL, hash, 0)) {
        *written = size;
        if (CryptSignHashA(digest, AT_KEYEXCHANGE, NULL, 0, signature, written)) {
            /* CAPI writes the least significant byte first. */
            for (DWORD low = 0, high = *written; signature != NULL && low + 1 < high; low++) {
                const BYTE byte = signature[low];
                signature[low] = signature[--high];
                signature[high] = byte;
            }
            status = 0;
        }
    }
    if (digest) {
        CryptDestroyHash(digest);
    }
    if (provider) {
        CryptReleaseContext(provider, 0);
    }
    return status;
}

__declspec(dllexport) SECURITY_STATUS WINAPI NCryptFreeObject(NCRYPT_HANDLE object) {
    return CryptReleaseContext(object, 0) ? 0 : BAD_HANDLE;
}

__declspec(dllexport) SECURITY_STATUS WINAPI NCryptGetProperty(NCRYPT_HANDLE object, LPCWSTR name, PBYTE value, DWORD size, DWORD *written, DWORD flags) {
    (void)object, (void)name, (void)value, (void)size, (void)written, (void)flags;
    return NOT_SUPPORTED;
}

__declspec(dllexport) SECURITY_STATUS WINAPI NCryptSetProperty(NCRYPT_HANDLE object, LPCWSTR name, PBYTE value, DWORD size, DWORD flags) {
    (void)object, (void)name, (void)value, (void)size, (void)flags;
    return NOT_SUPPORTED;
}
