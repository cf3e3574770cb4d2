/* The DLL under Windows' loader: version, ABI, a client, a decoded token, an error, and handles that were freed. With an argument, the token cache on
 * disk: "store FOLDER" gets a token from a server of its own and prints that server's port, "load FOLDER PORT" finds it without any server. */
#include <winsock2.h>

#include <stdio.h>
#include <stdlib.h>
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

#define ACCESS "canary-access-0123456789"

/* Answers each request with a token. */
static DWORD WINAPI serve(void *listener) {
    static const char body[] = "{\"token_type\":\"Bearer\",\"expires_in\":\"3599\",\"access_token\":\"" ACCESS "\"}";
    for (;;) {
        char request[8192], answer[512];
        int got = 0, n;
        SOCKET connection = accept(*(SOCKET *)listener, NULL, NULL);
        if (connection == INVALID_SOCKET) return 0;
        /* The secret is the last that is sent. */
        while (got < (int)sizeof request - 1 && (n = recv(connection, request + got, (int)sizeof request - 1 - got, 0)) > 0) {
            request[got += n] = 0;
            if (strstr(request, "client_secret=")) break;
        }
        snprintf(answer, sizeof answer, "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %u\r\nConnection: close\r\n\r\n%s",
                 (unsigned)strlen(body), body);
        send(connection, answer, (int)strlen(answer), 0);
        closesocket(connection);
    }
}

/* The cache on disk, whose key DPAPI keeps. */
static int cache(const char *folder, int port) {
    char config[1024], wish[1024], path[1024];
    dxdr_buf *json = NULL, *error = NULL;
    dxdr_client *client = NULL;
    dxdr_request *request = NULL;
    dxdr_secret *secret = NULL;
    dxdr_token *token = NULL;
    const uint8_t *data = NULL;
    size_t len = 0;
    snprintf(config, sizeof config, "{\"emulator\":\"\",\"proxy\":\"none\",\"cache\":{\"name\":\"wine\",\"persist\":true,\"directory\":\"%s\"}}", folder);
    snprintf(wish, sizeof wish, "{\"grant\":\"client_credentials\",\"authority\":\"http://127.0.0.1:%d/contoso.example\",\"client_id\":\"22869222-3c51-4d11-ad15-99b70e71c548\",\"resource\":\"https://api.security.microsoft.com\"}", port);
    REQUIRE(dxdr_client_new((const uint8_t *)config, strlen(config), &client, &error) == DXDR_STATUS_OK);
    REQUIRE(dxdr_request_new(client, (const uint8_t *)wish, strlen(wish), &request, NULL) == DXDR_STATUS_OK);
    REQUIRE(dxdr_secret_new_utf8((const uint8_t *)"canary-secret", 13, &secret, NULL) == DXDR_STATUS_OK);
    REQUIRE(dxdr_request_set_secret(request, (const uint8_t *)"client_secret", 13, secret, NULL) == DXDR_STATUS_OK);
    if (dxdr_acquire_token(request, 60000, NULL, &token, &error) != DXDR_STATUS_OK) {
        dxdr_buf_get(error, &data, &len);
        fprintf(stderr, "%s\n", (const char *)data);
        return 1;
    }
    REQUIRE(dxdr_client_describe(client, &json, NULL) == DXDR_STATUS_OK && dxdr_buf_get(json, &data, &len) == DXDR_STATUS_OK);
    if (strstr((const char *)data, "\"cache_protection\":\"dpapi\"") == NULL) {
        fprintf(stderr, "%s\n", (const char *)data);
        return 1;
    }
    /* Nothing readable is in the file. */
    static char file[1 << 16];
    snprintf(path, sizeof path, "%s/wine.cache", folder);
    FILE *opened = fopen(path, "rb");
    REQUIRE(opened != NULL);
    size_t size = fread(file, 1, sizeof file, opened);
    fclose(opened);
    REQUIRE(size > 100);
    for (size_t at = 0; at + 6 <= size; at++) REQUIRE(memcmp(file + at, "canary", 6) != 0);
    return 0;
}

static int cache_main(int argc, char **argv) {
    WSADATA started;
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int len = sizeof address;
    static SOCKET listener;
    if (strcmp(argv[1], "load") == 0 && argc == 4) return cache(argv[2], atoi(argv[3]));
    REQUIRE(argc == 3 && WSAStartup(MAKEWORD(2, 2), &started) == 0);
    listener = socket(AF_INET, SOCK_STREAM, 0);
    REQUIRE(bind(listener, (struct sockaddr *)&address, len) == 0 && listen(listener, 5) == 0);
    REQUIRE(getsockname(listener, (struct sockaddr *)&address, &len) == 0);
    REQUIRE(CreateThread(NULL, 0, serve, &listener, 0, NULL) != NULL);
    if (cache(argv[2], ntohs(address.sin_port)) != 0) return 1;
    printf("%d\n", ntohs(address.sin_port));
    return 0;
}

int main(int argc, char **argv) {
    if (argc > 1) return cache_main(argc, argv);
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
