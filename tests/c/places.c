/*
 * places.c: acquires one token, for the request in the first argument and the secrets in the others (NAME=VALUE), and prints what came of it as JSON:
 * the token's description or the error. The environment it is started in is the place that is tested.
 */
#include "check.h"

int main(int argc, char **argv)
{
    static const char config[] = "{\"cache\":\"private\"}";
    dxdr_client *client = NULL;
    dxdr_request *request = NULL;
    dxdr_token *token = NULL;
    dxdr_buf *error = NULL, *json = NULL;
    int32_t status = argc < 2 ? DXDR_STATUS_BAD_ARGUMENT : dxdr_client_new(TEXT(config), &client, &error);
    if (status == DXDR_STATUS_OK) {
        status = dxdr_request_new(client, TEXT(argv[1]), &request, &error);
    }
    for (int i = 2; status == DXDR_STATUS_OK && i < argc; i++) {
        const char *const value = strchr(argv[i], '=');
        dxdr_secret *secret = NULL;
        if (value == NULL) {
            return 2;
        }
        status = dxdr_secret_new_utf8(TEXT(value + 1), &secret, &error);
        if (status == DXDR_STATUS_OK) {
            status = dxdr_request_set_secret(request, (const uint8_t *)argv[i], (size_t)(value - argv[i]), secret, &error);
        }
        dxdr_secret_free(secret);
    }
    if (status == DXDR_STATUS_OK) {
        status = dxdr_acquire_token(request, 20000, NULL, &token, &error);
    }
    if (status == DXDR_STATUS_OK) {
        status = dxdr_token_describe(token, &json, &error);
    }
    printf("%s\n", text_of(status == DXDR_STATUS_OK ? json : error));
    dxdr_buf_free(json);
    dxdr_buf_free(error);
    dxdr_token_free(token);
    dxdr_request_free(request);
    dxdr_client_free(client);
    return status == DXDR_STATUS_OK ? 0 : 1;
}
