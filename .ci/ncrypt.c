/* Stands in for ncrypt.dll under Wine, whose certificate store hands out the handle of an old provider (CAPI) where Windows, asked for CNG keys only, hands
   out a CNG handle to the same key: Wine's own ncrypt.dll then answers 0x80090026 to it. This one does what Windows does with such a key:
   - RSA with PKCS#1 padding and SHA-256 is signed by the AES provider, whatever the key is.
   - RSA-PSS with SHA-256 and a salt of 32 bytes is signed by bcrypt.dll with a key that its provider lets out, which stands for a key of a CNG provider; a
     key that its provider keeps stands for one of an old provider, which has no PSS.
   Any other padding is refused. Never shipped. */
#include <windows.h>
#include <bcrypt.h>
#include <ncrypt.h>
#include <stdlib.h>
#include <string.h>
#include <wchar.h>
#include <wincrypt.h>

#define BAD_HANDLE ((SECURITY_STATUS)0x80090026)
#define NOT_SUPPORTED ((SECURITY_STATUS)0x80090029)
#define INVALID_PARAMETER ((SECURITY_STATUS)0x80090027)

/* Either writes the least significant byte first, the other the most significant. */
static void turn(BYTE *bytes, DWORD len) {
    for (DWORD low = 0, high = len; low + 1 < high; low++) {
        const BYTE byte = bytes[low];
        bytes[low] = bytes[--high];
        bytes[high] = byte;
    }
}

static SECURITY_STATUS pkcs1(HCRYPTPROV provider, PBYTE hash, PBYTE signature, DWORD size, DWORD *written) {
    HCRYPTHASH digest = 0;
    SECURITY_STATUS status = BAD_HANDLE;
    if (CryptCreateHash(provider, CALG_SHA_256, 0, 0, &digest) && CryptSetHashParam(digest, HP_HASHVAL, hash, 0)) {
        *written = size;
        if (CryptSignHashA(digest, AT_KEYEXCHANGE, NULL, 0, signature, written)) {
            if (signature != NULL) {
                turn(signature, *written);
            }
            status = 0;
        }
    }
    if (digest) {
        CryptDestroyHash(digest);
    }
    return status;
}

/* A key as CAPI gives it out: two headers, then n, p, q, d mod p-1, d mod q-1, 1/q mod p and d. bcrypt.dll's has one header, then e and the same numbers. */
static BCRYPT_KEY_HANDLE as_cng(BCRYPT_ALG_HANDLE rsa, BYTE *blob, DWORD len) {
    BCRYPT_KEY_HANDLE key = NULL;
    const RSAPUBKEY *about = (const RSAPUBKEY *)(blob + sizeof(BLOBHEADER));
    const DWORD head = sizeof(BLOBHEADER) + sizeof(RSAPUBKEY), whole = about->bitlen / 8, half = about->bitlen / 16;
    const DWORD lens[] = {whole, half, half, half, half, half, whole};
    const DWORD exponent_len = 4, total = sizeof(BCRYPT_RSAKEY_BLOB) + exponent_len + 2 * whole + 5 * half;
    BYTE *from = blob + head, *out = calloc(1, total), *to = out;
    if (out != NULL && len >= head + 2 * whole + 5 * half) {
        const BCRYPT_RSAKEY_BLOB header = {BCRYPT_RSAFULLPRIVATE_MAGIC, about->bitlen, exponent_len, whole, half, half};
        memcpy(to, &header, sizeof header);
        to += sizeof header;
        memcpy(to, &about->pubexp, exponent_len);
        turn(to, exponent_len);
        to += exponent_len;
        for (int at = 0; at < 7; at++) {
            memcpy(to, from, lens[at]);
            turn(to, lens[at]);
            to += lens[at];
            from += lens[at];
        }
        if (BCryptImportKeyPair(rsa, NULL, BCRYPT_RSAFULLPRIVATE_BLOB, &key, out, total, 0) != 0) {
            key = NULL;
        }
    }
    free(out);
    return key;
}

static SECURITY_STATUS pss(HCRYPTPROV provider, const BCRYPT_PSS_PADDING_INFO *padding, PBYTE hash, PBYTE signature, DWORD size, DWORD *written) {
    HCRYPTKEY kept = 0;
    BYTE blob[4096];
    DWORD len = sizeof blob;
    BCRYPT_ALG_HANDLE rsa = NULL;
    BCRYPT_KEY_HANDLE key = NULL;
    SECURITY_STATUS status = NOT_SUPPORTED;
    if (padding == NULL || wcscmp(padding->pszAlgId, BCRYPT_SHA256_ALGORITHM) != 0 || padding->cbSalt != 32) {
        return INVALID_PARAMETER;
    }
    if (CryptGetUserKey(provider, AT_KEYEXCHANGE, &kept) && CryptExportKey(kept, 0, PRIVATEKEYBLOB, 0, blob, &len) &&
        BCryptOpenAlgorithmProvider(&rsa, BCRYPT_RSA_ALGORITHM, NULL, 0) == 0 && (key = as_cng(rsa, blob, len)) != NULL) {
        BCRYPT_PSS_PADDING_INFO same = *padding;
        ULONG signed_len = 0;
        status = BCryptSignHash(key, &same, hash, 32, signature, size, &signed_len, BCRYPT_PAD_PSS) == 0 ? 0 : BAD_HANDLE;
        *written = signed_len;
    }
    SecureZeroMemory(blob, sizeof blob);
    if (key != NULL) {
        BCryptDestroyKey(key);
    }
    if (rsa != NULL) {
        BCryptCloseAlgorithmProvider(rsa, 0);
    }
    if (kept) {
        CryptDestroyKey(kept);
    }
    return status;
}

__declspec(dllexport) SECURITY_STATUS WINAPI NCryptSignHash(NCRYPT_KEY_HANDLE key, VOID *padding, PBYTE hash, DWORD hash_len, PBYTE signature,
                                                            DWORD size, DWORD *written, DWORD flags) {
    char container[256];
    DWORD len = sizeof container, keyset = 0, keyset_len = sizeof keyset;
    HCRYPTPROV provider = 0;
    SECURITY_STATUS status = BAD_HANDLE;
    if (!(flags & (BCRYPT_PAD_PKCS1 | BCRYPT_PAD_PSS)) || hash_len != 32) {
        return NOT_SUPPORTED;
    }
    if (!CryptGetProvParam(key, PP_CONTAINER, (BYTE *)container, &len, 0)) {
        return BAD_HANDLE;
    }
    CryptGetProvParam(key, PP_KEYSET_TYPE, (BYTE *)&keyset, &keyset_len, 0);
    if (CryptAcquireContextA(&provider, container, NULL, PROV_RSA_AES, CRYPT_SILENT | (keyset & CRYPT_MACHINE_KEYSET))) {
        status = flags & BCRYPT_PAD_PSS ? pss(provider, padding, hash, signature, size, written) : pkcs1(provider, hash, signature, size, written);
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
