/*
 * Signs in to Microsoft Defender XDR, prints who the token is for, and prints the ten newest incidents.
 *
 *   cc incidents.c -ldefender_xdr -o incidents      (Linux asks for the library as libdefender_xdr.so.1 at run time)
 *   ./incidents TENANT CLIENT_ID | jq .
 *
 * With AZURE_CLIENT_SECRET set, the app signs in by itself (application permission Incident.Read.All). Without it a person signs in with the browser
 * (delegated permission Incident.Read, redirect URI http://localhost). Standard output is JSON, one document a line; the rest goes to standard error.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <defender_xdr.h>

#define API "https://api.security.microsoft.com"

/* The library takes bytes with a length. */
#define TEXT(string) (const uint8_t *)(string), strlen(string)

/* Prints a buffer on one line and frees it. A NUL stands behind its bytes, so that it can be printed as it is. */
static void print_and_free(FILE *to, dxdr_buf *buf)
{
    const uint8_t *json = NULL;
    size_t len = 0;
    if (dxdr_buf_get(buf, &json, &len) == DXDR_STATUS_OK) {
        for (size_t i = 0; i < len; i++) {
            fputc(json[i] == '\n' || json[i] == '\r' ? ' ' : json[i], to);
        }
        fputc('\n', to);
    }
    dxdr_buf_free(buf);
}

/* Says what failed. The document names the cause ("message") and the next step ("hint"), and holds no secret. */
static int failed(const char *what, dxdr_buf *error)
{
    fprintf(stderr, "could not %s: ", what);
    print_and_free(stderr, error);
    return 1;
}

static int print_claims(const dxdr_token *token)
{
    const uint8_t *value = NULL;
    size_t len = 0;
    dxdr_buf *claims = NULL, *error = NULL;
    int32_t status = dxdr_token_value(token, &value, &len);
    if (status == DXDR_STATUS_OK) {
        status = dxdr_decode_claims(value, len, &claims, &error);
    }
    if (status != DXDR_STATUS_OK) {
        return failed("decode the token", error);
    }
    print_and_free(stdout, claims);
    return 0;
}

/* An operation brings its items while more are fetched: wait, take, and stop at its one end. */
static int print_incidents(dxdr_request *request)
{
    dxdr_op *op = NULL;
    dxdr_buf *error = NULL, *document = NULL;
    int32_t state = DXDR_OP_STATE_RUNNING;
    int32_t status = dxdr_list_incidents_start(request, TEXT("{\"first\": 10}"), 0, &op, &error);
    while (status == DXDR_STATUS_OK && state <= DXDR_OP_STATE_ITEM) {
        status = dxdr_op_wait(op, 1000, &state);
        if (status == DXDR_STATUS_OK && state == DXDR_OP_STATE_EVENT) {
            /* Progress, retries and warnings: nothing to answer. */
            status = dxdr_op_take_event(op, &document, &error);
            dxdr_buf_free(document);
        } else if (status == DXDR_STATUS_OK && state == DXDR_OP_STATE_ITEM) {
            status = dxdr_op_take_item(op, &document, &error);
            if (status == DXDR_STATUS_OK) {
                print_and_free(stdout, document);
            }
        }
    }
    const int done = status == DXDR_STATUS_OK && state == DXDR_OP_STATE_DONE;
    if (status == DXDR_STATUS_OK && !done) {
        dxdr_op_take_error(op, &error, NULL);
    }
    dxdr_op_free(op);
    return done ? 0 : failed("list incidents", error);
}

int main(int argc, char **argv)
{
    const char *secret_text = getenv("AZURE_CLIENT_SECRET");
    dxdr_client *client = NULL;
    dxdr_request *request = NULL;
    dxdr_secret *secret = NULL;
    dxdr_token *token = NULL;
    dxdr_buf *error = NULL;
    char json[1024];
    int result = 1;

    if (argc != 3 || strpbrk(argv[1], "\"\\") != NULL || strpbrk(argv[2], "\"\\") != NULL) {
        fprintf(stderr, "usage: incidents TENANT CLIENT_ID\n");
        return 2;
    }
    if (dxdr_abi_version() >> 16 != DXDR_ABI_VERSION >> 16) {
        fprintf(stderr, "this program was built for another major version of the library than %s\n", dxdr_version());
        return 1;
    }
    snprintf(json, sizeof json, "{\"grant\": \"%s\", \"tenant_id\": \"%s\", \"client_id\": \"%s\", \"resource\": \"" API "\"}",
             secret_text ? "client_credentials" : "authorization_code", argv[1], argv[2]);

    int32_t status = dxdr_client_new(TEXT("{\"application\": \"incidents-example/1.0\"}"), &client, &error);
    if (status == DXDR_STATUS_OK) {
        status = dxdr_request_new(client, TEXT(json), &request, &error);
    }
    if (status == DXDR_STATUS_OK && secret_text != NULL) {
        /* A secret never stands in a document. */
        status = dxdr_secret_new_utf8(TEXT(secret_text), &secret, &error);
        if (status == DXDR_STATUS_OK) {
            status = dxdr_request_set_secret(request, TEXT("client_secret"), secret, &error);
        }
        dxdr_secret_free(secret);
    }
    if (status == DXDR_STATUS_OK) {
        status = dxdr_acquire_token(request, 0, NULL, &token, &error);
    }
    if (status != DXDR_STATUS_OK) {
        result = failed("sign in", error);
    } else {
        result = print_claims(token) || print_incidents(request);
    }
    dxdr_token_free(token);
    dxdr_request_free(request);
    dxdr_client_free(client);
    return result;
}
