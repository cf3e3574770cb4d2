/*
 * The contract: an app may prove itself without giving its key away. The event `sign` brings what is to be signed, the reply carries the signature, and
 * one that does not fit never leaves. The event `assertion` brings in what another service signed. A call that cannot ask says which calls can.
 *
 * Arguments: a file with a certificate's DER in base64, and one with its private key in PEM. openssl plays the host's key store.
 */
#include "check.h"

#include "operation.h"
#include "wire.h"

#define CREDENTIAL_ROOM 8192

static const char *certificate_file, *key_file;

/* A token endpoint that answers once with a token and keeps what it was sent. */
struct endpoint {
    pthread_t thread;
    int listener;
    uint16_t port;
    char sent[16384];
};

static void *answer_once(void *pointer)
{
    static const char body[] = "{\"token_type\":\"Bearer\",\"expires_in\":3599,\"access_token\":\"aaa.bbb.ccc\"}";
    struct endpoint *endpoint = pointer;
    size_t used = 0;
    const int fd = accept_one(endpoint->listener);
    while (fd >= 0 && used + 1 < sizeof endpoint->sent) {
        const ssize_t got = recv(fd, endpoint->sent + used, sizeof endpoint->sent - used - 1, 0);
        if (got <= 0) {
            break;
        }
        used += (size_t)got;
        endpoint->sent[used] = '\0';
        const char *head_end = strstr(endpoint->sent, "\r\n\r\n");
        const char *length = strstr(endpoint->sent, "content-length: ");
        if (head_end != NULL && length != NULL && used >= (size_t)(head_end + 4 - endpoint->sent) + strtoul(length + 16, NULL, 10)) {
            char answer[512];
            const int len = snprintf(answer, sizeof answer, "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\nContent-Length: %zu\r\n\r\n%s",
                                     strlen(body), body);
            if (send(fd, answer, (size_t)len, 0) != len) {
                endpoint->sent[0] = '\0';
            }
            break;
        }
    }
    if (fd >= 0) {
        close(fd);
    }
    return NULL;
}

static int open_endpoint(struct endpoint *endpoint)
{
    memset(endpoint, 0, sizeof *endpoint);
    endpoint->listener = listen_on(&endpoint->port);
    return endpoint->listener < 0 ? -1 : pthread_create(&endpoint->thread, NULL, answer_once, endpoint);
}

/* A request of an app for its own token; to the endpoint, or to nobody (port 1) where nothing may be sent. */
static dxdr_request *request_of(dxdr_client *client, uint16_t port, const char *credential)
{
    char json[CREDENTIAL_ROOM + 512];
    snprintf(json, sizeof json,
             "{\"grant\":\"client_credentials\",\"authority\":\"http://127.0.0.1:%u/" TENANT "\",\"client_id\":\"" APP "\",\"scopes\":[\"" API
             "/.default\"],\"credential\":%s}",
             (unsigned)port, credential);
    return request_with(client, json, NULL, NULL);
}

static int caller_signs(char *credential)
{
    char text[CREDENTIAL_ROOM - 64] = "";
    FILE *file = fopen(certificate_file, "r");
    if (file == NULL || fgets(text, sizeof text, file) == NULL) {
        text[0] = '\0';
    }
    if (file != NULL) {
        fclose(file);
    }
    snprintf(credential, CREDENTIAL_ROOM, "{\"type\":\"certificate\",\"caller_signs\":\"%s\"}", text);
    return text[0] != '\0' ? 0 : -1;
}

/* Signs base64 data as PS256 asks, in base64. */
static int sign(const char *data, char *signature, size_t room)
{
    char command[CREDENTIAL_ROOM];
    size_t used = 0;
    snprintf(command, sizeof command,
             "printf %%s '%s' | openssl base64 -d -A | openssl dgst -sha256 -sign '%s' -sigopt rsa_padding_mode:pss -sigopt rsa_pss_saltlen:32 | openssl base64 -A",
             data, key_file);
    FILE *pipe = popen(command, "r");
    if (pipe == NULL) {
        return -1;
    }
    used = fread(signature, 1, room - 1, pipe);
    signature[used] = '\0';
    return pclose(pipe) == 0 && used > 300 ? 0 : -1;
}

static int a_key_that_stays_with_the_caller(void)
{
    int failed = 1;
    char credential[CREDENTIAL_ROOM], signature[1024];
    struct endpoint endpoint;
    char *data = NULL, *thumbprint = NULL;
    dxdr_client *client = private_client();
    dxdr_request *request = NULL;
    dxdr_op *op = NULL;
    dxdr_token *token = NULL;
    dxdr_buf *event = NULL, *error = NULL;
    REQUIRE(open_endpoint(&endpoint) == 0 && caller_signs(credential) == 0);
    request = request_of(client, endpoint.port, credential);
    REQUIRE(request != NULL);
    REQUIRE_OK(dxdr_acquire_token_start(request, 0, &op, &error));
    REQUIRE(next_event(op, "sign", &event) == DXDR_OP_STATE_EVENT);
    REQUIRE_HOLDS(text_of(event), "\"reply\":\"required\"");
    REQUIRE_HOLDS(text_of(event), "\"algorithm\":\"PS256\"");
    thumbprint = json_text(text_of(event), "thumbprint");
    data = json_text(text_of(event), "data");
    REQUIRE(thumbprint != NULL && strlen(thumbprint) == 40 && data != NULL);
    /* The library takes base64 in both alphabets. */
    REQUIRE(sign(data, signature, sizeof signature) == 0);
    REQUIRE_OK(dxdr_op_reply(op, (uint64_t)json_number(text_of(event), "id"), TEXT(signature), &error));
    REQUIRE(last_state(op) == DXDR_OP_STATE_DONE);
    REQUIRE_OK(dxdr_op_take_token(op, &token, &error));
    pthread_join(endpoint.thread, NULL);
    REQUIRE_HOLDS(endpoint.sent, "client_assertion_type=urn%3Aietf%3Aparams%3Aoauth%3Aclient-assertion-type%3Ajwt-bearer&client_assertion=eyJ");
    REQUIRE(strstr(endpoint.sent, "client_secret") == NULL);
    /* From the cache, where nobody has to be asked. */
    dxdr_token_free(token);
    token = NULL;
    REQUIRE_OK(dxdr_acquire_token(request, 0, NULL, &token, &error));
    failed = 0;
cleanup:
    free(data);
    free(thumbprint);
    if (endpoint.listener >= 0) {
        close(endpoint.listener);
    }
    dxdr_buf_free(error);
    dxdr_buf_free(event);
    dxdr_token_free(token);
    dxdr_op_free(op);
    dxdr_request_free(request);
    dxdr_client_free(client);
    return failed;
}

static int a_signature_that_does_not_fit(void)
{
    int failed = 1;
    char credential[CREDENTIAL_ROOM];
    dxdr_client *client = private_client();
    dxdr_request *request = NULL;
    dxdr_op *op = NULL;
    dxdr_buf *event = NULL, *error = NULL;
    REQUIRE(caller_signs(credential) == 0);
    request = request_of(client, 1, credential);
    REQUIRE(request != NULL);
    REQUIRE_OK(dxdr_acquire_token_start(request, 0, &op, &error));
    REQUIRE(next_event(op, "sign", &event) == DXDR_OP_STATE_EVENT);
    REQUIRE_OK(dxdr_op_reply(op, (uint64_t)json_number(text_of(event), "id"), TEXT("c2lnbmF0dXJl"), &error));
    REQUIRE(last_state(op) == DXDR_OP_STATE_FAILED);
    REQUIRE_OK(dxdr_op_take_error(op, &error, NULL));
    REQUIRE(code_of(error) == DXDR_STATUS_PRIVATE_KEY);
    REQUIRE_HOLDS(text_of(error), "does not fit the certificate");
    failed = 0;
cleanup:
    dxdr_buf_free(error);
    dxdr_buf_free(event);
    dxdr_op_free(op);
    dxdr_request_free(request);
    dxdr_client_free(client);
    return failed;
}

static int an_assertion_from_elsewhere(void)
{
    /* It says when it ends, long ago and in a while: {"exp":1} and {"exp":9999999999}. */
    static const char expired[] = "eyJhbGciOiJSUzI1NiJ9.eyJleHAiOjF9.c2ln", fresh[] = "eyJhbGciOiJSUzI1NiJ9.eyJleHAiOjk5OTk5OTk5OTl9.c2ln";
    int failed = 1;
    struct endpoint endpoint;
    dxdr_client *client = private_client();
    dxdr_request *request = NULL;
    dxdr_op *op = NULL;
    dxdr_buf *event = NULL, *error = NULL;
    REQUIRE(open_endpoint(&endpoint) == 0);
    request = request_of(client, endpoint.port, "{\"type\":\"assertion\",\"from_event\":true}");
    REQUIRE(request != NULL);
    REQUIRE_OK(dxdr_acquire_token_start(request, 0, &op, &error));
    REQUIRE(next_event(op, "assertion", &event) == DXDR_OP_STATE_EVENT);
    REQUIRE_HOLDS(text_of(event), "\"problem\":null");
    REQUIRE_HOLDS(text_of(event), "/oauth2/v2.0/token\"");
    REQUIRE_OK(dxdr_op_reply(op, (uint64_t)json_number(text_of(event), "id"), TEXT(expired), &error));
    drop_buf(&event);
    REQUIRE(next_event(op, "assertion", &event) == DXDR_OP_STATE_EVENT);
    REQUIRE_HOLDS(text_of(event), "expired on");
    REQUIRE_OK(dxdr_op_reply(op, (uint64_t)json_number(text_of(event), "id"), TEXT(fresh), &error));
    REQUIRE(last_state(op) == DXDR_OP_STATE_DONE);
    pthread_join(endpoint.thread, NULL);
    REQUIRE_HOLDS(endpoint.sent, fresh);
    failed = 0;
cleanup:
    if (endpoint.listener >= 0) {
        close(endpoint.listener);
    }
    dxdr_buf_free(error);
    dxdr_buf_free(event);
    dxdr_op_free(op);
    dxdr_request_free(request);
    dxdr_client_free(client);
    return failed;
}

static int a_blocking_call_names_those_that_can_ask(void)
{
    int failed = 1;
    char credential[CREDENTIAL_ROOM];
    dxdr_client *client = private_client();
    dxdr_request *request = NULL;
    dxdr_token *token = NULL;
    dxdr_buf *error = NULL;
    REQUIRE(caller_signs(credential) == 0);
    const char *credentials[] = {credential, "{\"type\":\"assertion\",\"from_event\":true}"};
    for (size_t i = 0; i < 2; i++) {
        request = request_of(client, 1, credentials[i]);
        REQUIRE(request != NULL);
        REQUIRE_STATUS(DXDR_STATUS_UNSUPPORTED, dxdr_acquire_token(request, 0, NULL, &token, &error));
        REQUIRE_HOLDS(text_of(error), "dxdr_acquire_token_start");
        drop_buf(&error);
        dxdr_request_free(request);
        request = NULL;
    }
    failed = 0;
cleanup:
    dxdr_buf_free(error);
    dxdr_request_free(request);
    dxdr_client_free(client);
    return failed;
}

static int a_file_that_is_no_certificate(void)
{
    static const struct {
        const char *credential;
        int32_t status;
    } cases[] = {
        {"{\"type\":\"certificate\",\"path\":\"/no/such/file.pfx\"}", DXDR_STATUS_CERTIFICATE},
        {"{\"type\":\"certificate\",\"path\":\"/dev/null\"}", DXDR_STATUS_CERTIFICATE},
        {"{\"type\":\"assertion\",\"file\":\"/no/such/file\"}", DXDR_STATUS_FEDERATED_TOKEN_FILE},
        {"{\"type\":\"assertion\"}", DXDR_STATUS_BAD_ARGUMENT},
    };
    int failed = 1;
    dxdr_client *client = private_client();
    dxdr_request *request = NULL;
    dxdr_token *token = NULL;
    dxdr_buf *error = NULL;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        request = request_of(client, 1, cases[i].credential);
        REQUIRE(request != NULL);
        REQUIRE_STATUS(cases[i].status, dxdr_acquire_token(request, 0, NULL, &token, &error));
        REQUIRE_HOLDS(text_of(error), "\"hint\":\"");
        drop_buf(&error);
        dxdr_request_free(request);
        request = NULL;
    }
    failed = 0;
cleanup:
    dxdr_buf_free(error);
    dxdr_request_free(request);
    dxdr_client_free(client);
    return failed;
}

int main(int argc, char **argv)
{
    PROGRAM_BEGIN;
    if (argc != 3) {
        fprintf(stderr, "usage: credential CERTIFICATE KEY\n");
        return 2;
    }
    certificate_file = argv[1];
    key_file = argv[2];
    RUN(a_key_that_stays_with_the_caller);
    RUN(a_signature_that_does_not_fit);
    RUN(an_assertion_from_elsewhere);
    RUN(a_blocking_call_names_those_that_can_ask);
    RUN(a_file_that_is_no_certificate);
    PROGRAM_END;
}
