/* A certificate of the Windows store signs an app in: put there from a PFX, found by thumbprint and by subject, for the user and for the machine, and
   signed with by the store's own handle, RS256 for the v1 endpoints and PS256 for v2. The emulator checks the signature. Arguments: the PFX (its password is
   test), its thumbprint, its subject. */
#include <windows.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <wincrypt.h>

#include "defender_xdr.h"

#define REQUIRE(what)                                                    \
    do {                                                                 \
        if (!(what)) {                                                   \
            fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #what); \
            return 1;                                                    \
        }                                                                \
    } while (0)

/* `flags` 0: the key stays with its provider, which stands for an old one (.ci/ncrypt.c); CRYPT_EXPORTABLE: it stands for a key of CNG. The key of a
   certificate of either store is put among the user's own: the CryptAcquireCertificatePrivateKey of Wine 8 looks nowhere else. */
static int import(const char *file, DWORD place, DWORD flags) {
    static BYTE bytes[65536];
    FILE *stream = fopen(file, "rb");
    REQUIRE(stream != NULL);
    CRYPT_DATA_BLOB blob = {(DWORD)fread(bytes, 1, sizeof bytes, stream), bytes};
    fclose(stream);
    HCERTSTORE pfx = PFXImportCertStore(&blob, L"test", flags | CRYPT_USER_KEYSET);
    REQUIRE(pfx != NULL);
    HCERTSTORE store = CertOpenStore(CERT_STORE_PROV_SYSTEM_W, 0, 0, place, L"My");
    REQUIRE(store != NULL);
    PCCERT_CONTEXT certificate = CertEnumCertificatesInStore(pfx, NULL);
    REQUIRE(certificate != NULL);
    REQUIRE(CertAddCertificateContextToStore(store, certificate, CERT_STORE_ADD_REPLACE_EXISTING, NULL));
    CertFreeCertificateContext(certificate);
    CertCloseStore(store, 0);
    CertCloseStore(pfx, 0);
    return 0;
}

/* Takes it out again, and its key: the next place shall find neither here. */
static void clear(DWORD place) {
    HCERTSTORE store = CertOpenStore(CERT_STORE_PROV_SYSTEM_W, 0, 0, place, L"My");
    PCCERT_CONTEXT certificate;
    while (store != NULL && (certificate = CertEnumCertificatesInStore(store, NULL)) != NULL) {
        static union {
            CRYPT_KEY_PROV_INFO info;
            BYTE bytes[4096];
        } key;
        DWORD len = sizeof key;
        HCRYPTPROV gone;
        if (CertGetCertificateContextProperty(certificate, CERT_KEY_PROV_INFO_PROP_ID, &key, &len)) {
            CryptAcquireContextW(&gone, key.info.pwszContainerName, key.info.pwszProvName, key.info.dwProvType, CRYPT_DELETEKEYSET);
        }
        if (!CertDeleteCertificateFromStore(certificate)) {
            printf("not deleted: %lx\n", GetLastError());
        }
    }
    CertCloseStore(store, 0);
}

/* What signing in by one name of the certificate comes to. */
static int status_of(const char *store, const char *name, const char *value, const char *target, char *said, size_t size) {
    char wish[1024];
    dxdr_client *client = NULL;
    dxdr_request *request = NULL;
    dxdr_token *token = NULL;
    dxdr_buf *text = NULL;
    const uint8_t *data = NULL;
    size_t len = 0;
    const char *config = "{\"cache\":\"private\"}";
    snprintf(wish, sizeof wish,
             "{\"grant\":\"client_credentials\",\"tenant_id\":\"%s\",\"client_id\":\"%s\",%s,\"credential\":{\"type\":\"certificate\",\"store\":\"%s\",\"%s\":\"%s\"}}",
             getenv("TENANT"), getenv("CLIENT"), target, store, name, value);
    int status = dxdr_client_new((const uint8_t *)config, strlen(config), &client, &text);
    if (status == DXDR_STATUS_OK) {
        status = dxdr_request_new(client, (const uint8_t *)wish, strlen(wish), &request, &text);
    }
    if (status == DXDR_STATUS_OK) {
        status = dxdr_acquire_token(request, 60000, NULL, &token, &text);
    }
    if (status == DXDR_STATUS_OK) {
        status = dxdr_token_describe(token, &text, NULL);
    }
    dxdr_buf_get(text, &data, &len);
    snprintf(said, size, "%s", data == NULL ? "" : (const char *)data);
    dxdr_buf_free(text);
    dxdr_token_free(token);
    dxdr_request_free(request);
    dxdr_client_free(client);
    return status;
}

int main(int count, char **arguments) {
    static char said[4096];
    const char *v1 = "\"resource\":\"https://api.security.microsoft.com\"";
    const char *v2 = "\"scopes\":[\"https://api.security.microsoft.com/.default\"]";
    const struct {
        const char *name;
        DWORD place;
    } stores[] = {{"CurrentUser", CERT_SYSTEM_STORE_CURRENT_USER}, {"LocalMachine", CERT_SYSTEM_STORE_LOCAL_MACHINE}};
    REQUIRE(count == 4);
    for (int at = 0; at < 2; at++) {
        const char *store = stores[at].name;
        clear(stores[at].place);
        REQUIRE(status_of(store, "thumbprint", arguments[2], v1, said, sizeof said) == DXDR_STATUS_CERTIFICATE);
        for (int cng = 0; cng < 2; cng++) {
            REQUIRE(import(arguments[1], stores[at].place, cng ? CRYPT_EXPORTABLE : 0) == 0);
            for (int way = 0; way < 2; way++) {
                const char *name = way ? "subject" : "thumbprint";
                int status = status_of(store, name, arguments[2 + way], v1, said, sizeof said);
                printf("%s by %s, v1: %d %s\n", store, name, status, said);
                REQUIRE(status == DXDR_STATUS_OK);
                REQUIRE(strstr(said, "\"grant\":\"client_credentials\"") != NULL);
                status = status_of(store, name, arguments[2 + way], v2, said, sizeof said);
                printf("%s by %s, v2: %d %s\n", store, name, status, said);
                if (cng) {
                    REQUIRE(status == DXDR_STATUS_OK);
                    REQUIRE(strstr(said, "\"grant\":\"client_credentials\"") != NULL);
                } else {
                    /* A key of an old provider has no PSS, which the v2 endpoints are signed with: said, with what to do. */
                    REQUIRE(status == DXDR_STATUS_PRIVATE_KEY);
                    REQUIRE(strstr(said, "PS256") != NULL && strstr(said, "Key Storage Provider") != NULL);
                }
            }
            clear(stores[at].place);
        }
    }
    puts("the store signs");
    return 0;
}
