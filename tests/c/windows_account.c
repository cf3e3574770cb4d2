/*
 * The contract: integrated Windows authentication is the host's. The event `negotiate` brings a request that is ready to be sent with the account of the
 * session, the reply carries the answer, and what follows is the library's. A blocking call cannot ask, and a federated password needs no event at all.
 */
#include "check.h"

#include "operation.h"
#include "wire.h"

#define AS_LEE(grant, resource) \
    "{\"tenant_id\":\"" TENANT "\",\"grant\":\"" grant "\",\"client_id\":\"" PUBLIC_APP "\",\"username\":\"lee@corp." DOMAIN "\",\"resource\":\"" resource "\"}"

/* A text as it stands in JSON, quotes not counted; to be freed. */
static char *escaped(const char *text)
{
    char *copy = malloc(strlen(text) * 2 + 1), *to = copy;
    while (copy != NULL && *text != '\0') {
        if (*text == '"' || *text == '\\') {
            *to++ = '\\';
        }
        *to++ = *text++;
    }
    if (copy != NULL) {
        *to = '\0';
    }
    return copy;
}

/* Sends what the event asks for, as WinHTTP would with the account of the session. The reply; to be freed. */
static char *send_as_the_account(const char *event)
{
    char *reply = NULL, *body = NULL, *url = json_text(event, "url"), *text = json_text(event, "body");
    char *action = json_text(event, "SOAPAction"), *type = json_text(event, "Content-Type");
    char headers[512];
    unsigned port = 0;
    struct answer answer;
    memset(&answer, 0, sizeof answer);
    if (url == NULL || text == NULL || action == NULL || type == NULL || sscanf(url, "http://127.0.0.1:%u/", &port) != 1) {
        goto cleanup;
    }
    snprintf(headers, sizeof headers, "Authorization: Negotiate YWNjb3VudA==\r\nSOAPAction: %s\r\nContent-Type: %s\r\n", action, type);
    if (ask((uint16_t)port, "POST", strchr(url + strlen("http://"), '/'), headers, text, &answer) != 0) {
        goto cleanup;
    }
    body = escaped(answer.body);
    reply = body == NULL ? NULL : malloc(strlen(body) + 64);
    if (reply != NULL) {
        sprintf(reply, "{\"status\":%d,\"body\":\"%s\"}", answer.status, body);
    }
cleanup:
    drop_answer(&answer);
    free(body);
    free(type);
    free(action);
    free(text);
    free(url);
    return reply;
}

static int the_host_sends_and_the_library_signs_in(void)
{
    int failed = 1;
    char *reply = NULL;
    dxdr_client *client = private_client();
    dxdr_request *request = request_with(client, AS_LEE("integrated_windows", API), NULL, NULL);
    dxdr_op *op = NULL;
    dxdr_token *token = NULL;
    dxdr_buf *event = NULL, *error = NULL, *about = NULL;
    REQUIRE(emulator_reset() == 0 && request != NULL);
    /* A blocking call says which calls can ask. */
    REQUIRE_STATUS(DXDR_STATUS_UNSUPPORTED, dxdr_acquire_token(request, 0, NULL, &token, &error));
    REQUIRE_HOLDS(text_of(error), "negotiate");
    drop_buf(&error);
    REQUIRE_OK(dxdr_acquire_token_start(request, 0, &op, &error));
    REQUIRE(next_event(op, "negotiate", &event) == DXDR_OP_STATE_EVENT);
    REQUIRE_HOLDS(text_of(event), "\"reply\":\"required\"");
    REQUIRE_HOLDS(text_of(event), "\"method\":\"POST\"");
    reply = send_as_the_account(text_of(event));
    REQUIRE(reply != NULL);
    REQUIRE_OK(dxdr_op_reply(op, (uint64_t)json_number(text_of(event), "id"), TEXT(reply), &error));
    REQUIRE(last_state(op) == DXDR_OP_STATE_DONE);
    REQUIRE_OK(dxdr_op_take_token(op, &token, &error));
    REQUIRE_OK(dxdr_token_describe(token, &about, &error));
    REQUIRE_HOLDS(text_of(about), "\"grant\":\"integrated_windows\"");
    REQUIRE_HOLDS(text_of(about), "lee@corp." DOMAIN);
    /* From the cache nobody has to be asked. */
    dxdr_token_free(token);
    token = NULL;
    REQUIRE_OK(dxdr_acquire_token(request, 0, NULL, &token, &error));
    failed = 0;
cleanup:
    free(reply);
    dxdr_buf_free(about);
    dxdr_buf_free(error);
    dxdr_buf_free(event);
    dxdr_token_free(token);
    dxdr_op_free(op);
    dxdr_request_free(request);
    dxdr_client_free(client);
    return failed;
}

static int what_the_host_cannot_send(void)
{
    int failed = 1;
    dxdr_client *client = private_client();
    dxdr_request *request = request_with(client, AS_LEE("integrated_windows", API), NULL, NULL);
    dxdr_op *op = NULL;
    dxdr_buf *event = NULL, *error = NULL;
    REQUIRE(emulator_reset() == 0 && request != NULL);
    REQUIRE_OK(dxdr_acquire_token_start(request, 0, &op, &error));
    REQUIRE(next_event(op, "negotiate", &event) == DXDR_OP_STATE_EVENT);
    REQUIRE_OK(dxdr_op_reply(op, (uint64_t)json_number(text_of(event), "id"), TEXT("{\"error\":\"no ticket\"}"), &error));
    REQUIRE(last_state(op) == DXDR_OP_STATE_FAILED);
    REQUIRE_OK(dxdr_op_take_error(op, &error, NULL));
    REQUIRE(code_of(error) == DXDR_STATUS_CONNECT);
    REQUIRE_HOLDS(text_of(error), "no ticket");
    REQUIRE_HOLDS(text_of(error), "domain controller");
    failed = 0;
cleanup:
    dxdr_buf_free(error);
    dxdr_buf_free(event);
    dxdr_op_free(op);
    dxdr_request_free(request);
    dxdr_client_free(client);
    return failed;
}

static int a_federated_password(void)
{
    int failed = 1;
    dxdr_client *client = private_client();
    dxdr_request *request = request_with(client, AS_LEE("password", API), "password", "Walk-through-4");
    dxdr_request *wrong = request_with(client, AS_LEE("password", API), "password", "canary-password-0123456789");
    dxdr_token *token = NULL;
    dxdr_buf *error = NULL;
    REQUIRE(emulator_reset() == 0 && request != NULL && wrong != NULL);
    REQUIRE_OK(dxdr_acquire_token(request, 0, NULL, &token, &error));
    REQUIRE(emulator_asked("usernamemixed") == 1);
    dxdr_token_free(token);
    token = NULL;
    REQUIRE_STATUS(DXDR_STATUS_BAD_USER_CREDENTIAL, dxdr_acquire_token(wrong, 0, NULL, &token, &error));
    REQUIRE(strstr(text_of(error), "canary") == NULL);
    failed = 0;
cleanup:
    dxdr_buf_free(error);
    dxdr_token_free(token);
    dxdr_request_free(wrong);
    dxdr_request_free(request);
    dxdr_client_free(client);
    return failed;
}

int main(void)
{
    PROGRAM_BEGIN;
    RUN(the_host_sends_and_the_library_signs_in);
    RUN(what_the_host_cannot_send);
    RUN(a_federated_password);
    PROGRAM_END;
}
