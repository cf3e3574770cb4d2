/*
 * The contract: a device code comes as an event that asks for nothing, the operation goes on by itself until the person has signed in, and neither
 * the wait nor the poll holds up a cancel. Needs the build with test hooks: the waits between two polls are told to this program, which ends them.
 */
#include "check.h"

#include "operation.h"
#include "wire.h"

#define REQUEST(target) "{\"tenant_id\":\"" TENANT "\",\"grant\":\"device_code\",\"client_id\":\"" PUBLIC_APP "\"," target "}"
#define V1 "\"resource\":\"" API "\""
#define V2 "\"scopes\":[\"" API "/Incident.Read\"]"

/* The library's clock: a connection on which it tells each wait, and is told how far to move. */
static int clock_line = -1;
static pthread_mutex_t clock_lock = PTHREAD_MUTEX_INITIALIZER;
static int clock_runs = 1;
static int waits = 0;

/* Answers each wait by moving the clock to its end, unless the test holds it. */
static void *keep_time(void *pointer)
{
    const int listener = *(const int *)pointer;
    char text[256];
    size_t used = 0;
    clock_line = accept_one(listener);
    while (clock_line >= 0) {
        const ssize_t got = recv(clock_line, text + used, sizeof text - 1 - used, 0);
        if (got <= 0) {
            break;
        }
        used += (size_t)got;
        text[used] = '\0';
        for (char *end; (end = strchr(text, '\n')) != NULL;) {
            long ms = 0;
            if (sscanf(text, "sleep %ld", &ms) == 1) {
                char move[64];
                pthread_mutex_lock(&clock_lock);
                waits++;
                const int len = clock_runs ? snprintf(move, sizeof move, "advance %ld\n", ms) : 0;
                pthread_mutex_unlock(&clock_lock);
                if (len > 0 && send(clock_line, move, (size_t)len, 0) != len) {
                    return NULL;
                }
            }
            used -= (size_t)(end + 1 - text);
            memmove(text, end + 1, used + 1);
        }
    }
    return NULL;
}

static void hold_time(int hold)
{
    pthread_mutex_lock(&clock_lock);
    clock_runs = !hold;
    pthread_mutex_unlock(&clock_lock);
}

static int waited(void)
{
    pthread_mutex_lock(&clock_lock);
    const int count = waits;
    pthread_mutex_unlock(&clock_lock);
    return count;
}

/* The emulator approves the code as soon as it is asked. */
static int signs_in(const char *json)
{
    int failed = 1;
    dxdr_client *client = private_client();
    dxdr_request *request = request_with(client, json, NULL, NULL);
    dxdr_op *op = NULL;
    dxdr_token *token = NULL;
    dxdr_buf *error = NULL, *event = NULL, *about = NULL;
    const int before = waited();
    REQUIRE(emulator_reset() == 0 && request != NULL);
    REQUIRE_OK(dxdr_acquire_token_start(request, 0, &op, &error));
    REQUIRE(next_event(op, "device_code", &event) == DXDR_OP_STATE_EVENT);
    REQUIRE_HOLDS(text_of(event), "\"reply\":\"none\"");
    REQUIRE_HOLDS(text_of(event), "\"user_code\":\"");
    REQUIRE_HOLDS(text_of(event), "\"verification_uri\":\"http");
    REQUIRE_HOLDS(text_of(event), "\"verification_uri_complete\":null");
    REQUIRE_HOLDS(text_of(event), "\"expires_on\":");
    REQUIRE_HOLDS(text_of(event), "\"interval\":5");
    REQUIRE_HOLDS(text_of(event), "\"message\":\"To sign in");
    /* It waits for no reply, and says so to who replies. */
    REQUIRE_STATUS(DXDR_STATUS_BAD_ARGUMENT, dxdr_op_reply(op, 1, (const uint8_t *)"opened", 6, NULL));
    REQUIRE(last_state(op) == DXDR_OP_STATE_DONE);
    REQUIRE(waited() > before);
    REQUIRE_OK(dxdr_op_take_token(op, &token, &error));
    REQUIRE_OK(dxdr_token_describe(token, &about, &error));
    REQUIRE_HOLDS(text_of(about), "\"grant\":\"device_code\"");
    REQUIRE_HOLDS(text_of(about), "\"source\":\"interaction\"");
    REQUIRE_HOLDS(text_of(about), "adele@" DOMAIN);
    REQUIRE_STATUS(DXDR_STATUS_OK, dxdr_token_free(token));
    token = NULL;
    /* Once signed in, the one-shot call works, too. */
    REQUIRE_OK(dxdr_acquire_token(request, 0, NULL, &token, &error));
    failed = 0;
cleanup:
    dxdr_buf_free(about);
    dxdr_buf_free(event);
    dxdr_buf_free(error);
    dxdr_token_free(token);
    dxdr_op_free(op);
    dxdr_request_free(request);
    dxdr_client_free(client);
    return failed;
}

static int signs_in_by_v1(void)
{
    return signs_in(REQUEST(V1));
}

static int signs_in_by_v2(void)
{
    return signs_in(REQUEST(V2));
}

/* A call that takes no events cannot show a code: it says which calls can, and asks nobody. */
static int a_one_shot_names_the_operation_calls(void)
{
    int failed = 1;
    dxdr_client *client = private_client();
    dxdr_request *request = request_with(client, REQUEST(V2), NULL, NULL);
    dxdr_token *token = NULL;
    dxdr_buf *error = NULL, *page = NULL;
    REQUIRE(emulator_reset() == 0 && request != NULL);
    REQUIRE_STATUS(DXDR_STATUS_INTERACTION_REQUIRED, dxdr_acquire_token(request, 0, NULL, &token, &error));
    REQUIRE(token == NULL);
    REQUIRE_HOLDS(text_of(error), "dxdr_acquire_token_start");
    drop_buf(&error);
    REQUIRE_STATUS(DXDR_STATUS_INTERACTION_REQUIRED, dxdr_get_incidents(request, NULL, 0, 0, NULL, &page, &error));
    REQUIRE_HOLDS(text_of(error), "dxdr_acquire_token_start");
    REQUIRE(emulator_asked("devicecode") == 0);
    failed = 0;
cleanup:
    dxdr_buf_free(page);
    dxdr_buf_free(error);
    dxdr_token_free(token);
    dxdr_request_free(request);
    dxdr_client_free(client);
    return failed;
}

/* The clock stands still: only the cancel can end the wait. */
static int a_cancel_ends_the_wait(void)
{
    int failed = 1;
    int32_t state = DXDR_OP_STATE_RUNNING;
    dxdr_client *client = private_client();
    dxdr_request *request = request_with(client, REQUEST(V2), NULL, NULL);
    dxdr_op *op = NULL;
    dxdr_buf *error = NULL, *event = NULL;
    hold_time(1);
    REQUIRE(emulator_reset() == 0 && request != NULL);
    REQUIRE_OK(dxdr_acquire_token_start(request, 0, &op, &error));
    REQUIRE(next_event(op, "device_code", &event) == DXDR_OP_STATE_EVENT);
    REQUIRE_STATUS(DXDR_STATUS_OK, dxdr_op_wait(op, 0, &state));
    REQUIRE(state == DXDR_OP_STATE_RUNNING);
    REQUIRE_STATUS(DXDR_STATUS_OK, dxdr_op_cancel(op));
    REQUIRE_STATUS(DXDR_STATUS_OK, dxdr_op_wait(op, 0, &state));
    REQUIRE(state == DXDR_OP_STATE_CANCELLED);
    REQUIRE(emulator_asked("/token\"") == 0);
    failed = 0;
cleanup:
    hold_time(0);
    dxdr_buf_free(event);
    dxdr_buf_free(error);
    dxdr_op_free(op);
    dxdr_request_free(request);
    dxdr_client_free(client);
    return failed;
}

/* What the person or the service says at a poll ends it, with its own code. */
static int a_refusal_has_its_code(void)
{
    static const struct {
        const char *fault;
        int32_t status;
        const char *hint;
    } cases[] = {
        {"{\"error\":\"authorization_declined\",\"aadsts\":65004}", DXDR_STATUS_DECLINED, "consent"},
        {"{\"error\":\"expired_token\",\"aadsts\":70020}", DXDR_STATUS_DEVICE_CODE_EXPIRED, "start the sign-in again"},
        {"{\"error\":\"invalid_grant\",\"aadsts\":53003}", DXDR_STATUS_BLOCKED_BY_POLICY, "Authentication flows"},
        {"{\"error\":\"invalid_grant\",\"aadsts\":50097}", DXDR_STATUS_BLOCKED_BY_POLICY, "registered device"},
    };
    int failed = 1;
    dxdr_client *client = private_client();
    dxdr_request *request = request_with(client, REQUEST(V2), NULL, NULL);
    dxdr_op *op = NULL;
    dxdr_buf *error = NULL, *detail = NULL;
    for (size_t n = 0; n < sizeof cases / sizeof *cases; n++) {
        char faults[512], code[64];
        snprintf(faults, sizeof faults, "[{\"match\":{\"path_contains\":\"/token\"},\"do\":{\"token_error\":%s}}]", cases[n].fault);
        snprintf(code, sizeof code, "\"code\":%d", (int)cases[n].status);
        REQUIRE(emulator_reset() == 0 && request != NULL && emulator_faults(faults) == 0);
        REQUIRE_OK(dxdr_acquire_token_start(request, 0, &op, &error));
        REQUIRE(last_state(op) == DXDR_OP_STATE_FAILED);
        REQUIRE_OK(dxdr_op_take_error(op, &detail, &error));
        REQUIRE_HOLDS(text_of(detail), code);
        REQUIRE_HOLDS(text_of(detail), cases[n].hint);
        drop_buf(&detail);
        REQUIRE_STATUS(DXDR_STATUS_OK, dxdr_op_free(op));
        op = NULL;
    }
    failed = 0;
cleanup:
    dxdr_buf_free(detail);
    dxdr_buf_free(error);
    dxdr_op_free(op);
    dxdr_request_free(request);
    dxdr_client_free(client);
    return failed;
}

int main(void)
{
    uint16_t port = 0;
    char address[64];
    pthread_t keeper;
    PROGRAM_BEGIN;
    int listener = listen_on(&port);
    snprintf(address, sizeof address, "127.0.0.1:%u", (unsigned)port);
    /* Before the library's first look at it. */
    if (listener < 0 || setenv("DEFENDER_XDR_TEST_CLOCK", address, 1) != 0 || pthread_create(&keeper, NULL, keep_time, &listener) != 0) {
        fprintf(stderr, "there is no clock\n");
        return 1;
    }
    RUN(signs_in_by_v1);
    RUN(signs_in_by_v2);
    RUN(a_one_shot_names_the_operation_calls);
    RUN(a_cancel_ends_the_wait);
    RUN(a_refusal_has_its_code);
    PROGRAM_END;
}
