/* The DLL under Windows' loader: version, ABI, a client, a decoded token, an error, and handles that were freed. */
#include <stdio.h>
#include <string.h>

#include "defender_xdr.h"

#define REQUIRE(what)                                                    \
    do {                                                                 \
        if (!(what)) {                                                   \
            fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #what); \
            return 1;                                                    \
        }                                                                \
    } while (0)

static const char token[] = "eyJhbGciOiJub25lIn0.eyJhdWQiOiJodHRwczovL2FwaS5zZWN1cml0eS5taWNyb3NvZnQuY29tIiwic2NwIjoiSW5jaWRlbnQuUmVhZCIsImV4cCI6NDEwMjQ0NDgwMH0.";

int main(void) {
    dxdr_buf *json = NULL, *error = NULL;
    dxdr_client *client = NULL;
    dxdr_request *request = NULL;
    const uint8_t *data = NULL;
    size_t len = 0;
    REQUIRE(dxdr_abi_version() == DXDR_ABI_VERSION);
    REQUIRE(dxdr_client_new(NULL, 0, &client, &error) == DXDR_STATUS_OK);
    REQUIRE(dxdr_decode_claims((const uint8_t *)token, strlen(token), &json, &error) == DXDR_STATUS_OK);
    REQUIRE(dxdr_buf_get(json, &data, &len) == DXDR_STATUS_OK && len > 0);
    REQUIRE(strstr((const char *)data, "Microsoft Defender XDR") != NULL);
    REQUIRE(dxdr_buf_free(json) == DXDR_STATUS_OK && dxdr_buf_free(json) == DXDR_STATUS_BAD_HANDLE);
    REQUIRE(dxdr_request_new(client, (const uint8_t *)"{}", 2, &request, &error) == DXDR_STATUS_BAD_ARGUMENT && request == NULL);
    REQUIRE(dxdr_buf_get(error, &data, &len) == DXDR_STATUS_OK);
    printf("%s on Windows: %s\n", dxdr_version(), (const char *)data);
    dxdr_buf_free(error);
    /* The network stack, the runtime and the trust store come to life: nothing listens on this port. */
    const char *wish = "{\"grant\":\"client_credentials\",\"authority\":\"http://127.0.0.1:9/contoso.example\",\"client_id\":\"22869222-3c51-4d11-ad15-99b70e71c548\",\"resource\":\"https://api.security.microsoft.com\"}";
    dxdr_secret *secret = NULL;
    dxdr_token *result = NULL;
    REQUIRE(dxdr_request_new(client, (const uint8_t *)wish, strlen(wish), &request, NULL) == DXDR_STATUS_OK);
    REQUIRE(dxdr_secret_new_utf16((const uint16_t *)L"secret", 6, &secret, NULL) == DXDR_STATUS_OK);
    REQUIRE(dxdr_request_set_secret(request, (const uint8_t *)"client_secret", 13, secret, NULL) == DXDR_STATUS_OK);
    REQUIRE(dxdr_acquire_token(request, 20000, NULL, &result, &error) == DXDR_STATUS_CONNECT && result == NULL);
    dxdr_buf_free(error);
    dxdr_secret_free(secret);
    dxdr_request_free(request);
    /* The certificate store is there, and has no such certificate. */
    const char *stored = "{\"grant\":\"client_credentials\",\"authority\":\"http://127.0.0.1:9/contoso.example\",\"client_id\":\"22869222-3c51-4d11-ad15-99b70e71c548\",\"resource\":\"https://api.security.microsoft.com\",\"credential\":{\"type\":\"certificate\",\"store\":\"CurrentUser\",\"subject\":\"CN=nobody\"}}";
    REQUIRE(dxdr_request_new(client, (const uint8_t *)stored, strlen(stored), &request, NULL) == DXDR_STATUS_OK);
    REQUIRE(dxdr_acquire_token(request, 20000, NULL, &result, NULL) == DXDR_STATUS_CERTIFICATE);
    dxdr_request_free(request);
    REQUIRE(dxdr_client_free(client) == DXDR_STATUS_OK && dxdr_client_free(client) == DXDR_STATUS_BAD_HANDLE);
    puts("all of it holds");
    return 0;
}
