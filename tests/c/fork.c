/*
 * The contract: a child that is forked after the library came to life gets FORKED from every call that can fail, at once and without a deadlock,
 * with its out parameters NULL or 0; what never fails still works; the parent goes on as if nothing had been.
 */
#include "check.h"

#include "wire.h"

#include <sys/wait.h>

/* Where out parameters point before a call: never a handle. */
#define SENTINEL(type) ((type *)(uintptr_t)0x5a5a5a5a)

static dxdr_client *client;
static dxdr_request *request;
static dxdr_secret *secret;
static dxdr_token *token;
static dxdr_op *op;
static dxdr_cancel *cancel;
static dxdr_buf *buf;

/* Exits with 0, or the line that was not as it should be. */
static void in_child(void)
{
    const uint8_t *data = (const uint8_t *)"x";
    size_t len = 7;
    int64_t when = 7;
    int32_t state = 7;
    dxdr_buf *out, *error;
    dxdr_token *new_token;
    dxdr_op *new_op;
    dxdr_request *new_request;
    dxdr_client *new_client;
    dxdr_secret *new_secret;
    dxdr_cancel *new_cancel;
    int wrong = 0;
    alarm(20);
#define FORKED(call)                                                                                                              \
    do {                                                                                                                          \
        const int32_t forked_ = (call);                                                                                           \
        if (forked_ != DXDR_STATUS_FORKED) {                                                                                      \
            fprintf(stderr, "%s:%d: in a child %s gave %s\n", __FILE__, __LINE__, #call, dxdr_status_name(forked_));              \
            wrong = 1;                                                                                                            \
        }                                                                                                                         \
    } while (0)
#define FORKED_WITH_OUT(out_, type, call)                                                                                         \
    do {                                                                                                                          \
        out_ = SENTINEL(type);                                                                                                    \
        error = SENTINEL(dxdr_buf);                                                                                               \
        FORKED(call);                                                                                                             \
        if (out_ != NULL || error == SENTINEL(dxdr_buf)) {                                                                        \
            fprintf(stderr, "%s:%d: in a child %s left an out parameter as it was\n", __FILE__, __LINE__, #call);                 \
            wrong = 1;                                                                                                            \
        }                                                                                                                         \
    } while (0)
    if (dxdr_abi_version() != DXDR_ABI_VERSION || strcmp(dxdr_version(), PACKAGE_VERSION) != 0 || strcmp(dxdr_status_name(2005), "FORKED") != 0) {
        wrong = 1;
    }
    FORKED(dxdr_buf_get(buf, &data, &len));
    if (data != NULL || len != 0) {
        fprintf(stderr, "in a child dxdr_buf_get left its out parameters as they were\n");
        wrong = 1;
    }
    FORKED_WITH_OUT(new_secret, dxdr_secret, dxdr_secret_new_utf8(TEXT("x"), &new_secret, &error));
    FORKED_WITH_OUT(new_secret, dxdr_secret, dxdr_secret_new_utf16((const uint16_t *)&state, 1, &new_secret, &error));
    FORKED_WITH_OUT(new_cancel, dxdr_cancel, dxdr_cancel_new(&new_cancel, &error));
    FORKED(dxdr_cancel_trigger(cancel));
    FORKED_WITH_OUT(new_client, dxdr_client, dxdr_client_new(NULL, 0, &new_client, &error));
    FORKED_WITH_OUT(out, dxdr_buf, dxdr_client_describe(client, &out, &error));
    FORKED(dxdr_client_set_secret(client, TEXT("proxy_password"), secret, NULL));
    FORKED(dxdr_client_clear_cache(client, NULL));
    FORKED_WITH_OUT(new_op, dxdr_op, dxdr_client_accounts_start(client, TEXT("{\"accounts\":\"list\"}"), 0, &new_op, &error));
    FORKED_WITH_OUT(out, dxdr_buf, dxdr_client_accounts(client, &out, &error));
    FORKED(dxdr_client_remove_account(client, TEXT("x"), NULL));
    FORKED_WITH_OUT(out, dxdr_buf, dxdr_client_export_refresh_token(client, TEXT("x"), NULL, 0, &out, &error));
    FORKED_WITH_OUT(new_request, dxdr_request, dxdr_request_new(client, TEXT("{}"), &new_request, &error));
    FORKED(dxdr_request_set_secret(request, TEXT("client_secret"), secret, NULL));
    FORKED_WITH_OUT(out, dxdr_buf, dxdr_request_describe(request, &out, &error));
    FORKED_WITH_OUT(new_token, dxdr_token, dxdr_acquire_token(request, 0, NULL, &new_token, &error));
    FORKED_WITH_OUT(new_token, dxdr_token, dxdr_cached_token(request, &new_token, &error));
    FORKED(dxdr_token_value(token, &data, &len));
    FORKED(dxdr_token_id_token(token, &data, &len));
    FORKED(dxdr_token_expires_on(token, &when));
    FORKED_WITH_OUT(out, dxdr_buf, dxdr_token_describe(token, &out, &error));
    FORKED_WITH_OUT(out, dxdr_buf, dxdr_decode_claims(TEXT("e30.e30."), &out, &error));
    FORKED_WITH_OUT(out, dxdr_buf, dxdr_get_incidents(request, NULL, 0, 0, NULL, &out, &error));
    FORKED_WITH_OUT(new_op, dxdr_op, dxdr_acquire_token_start(request, 0, &new_op, &error));
    FORKED_WITH_OUT(new_op, dxdr_op, dxdr_list_incidents_start(request, NULL, 0, 0, &new_op, &error));
    FORKED_WITH_OUT(new_op, dxdr_op, dxdr_get_incident_start(request, TEXT("{\"id\":1}"), 0, &new_op, &error));
    FORKED_WITH_OUT(new_op, dxdr_op, dxdr_call_start(request, TEXT("{\"operation\":\"alerts.list\"}"), 0, &new_op, &error));
    FORKED_WITH_OUT(out, dxdr_buf, dxdr_describe_services(&out, &error));
    FORKED_WITH_OUT(out, dxdr_buf, dxdr_op_resume(op, &out, &error));
    FORKED(dxdr_op_wait(op, LONG_MS, &state));
    FORKED_WITH_OUT(out, dxdr_buf, dxdr_op_take_event(op, &out, &error));
    FORKED(dxdr_op_reply(op, 1, TEXT("x"), NULL));
    FORKED_WITH_OUT(out, dxdr_buf, dxdr_op_take_item(op, &out, &error));
    FORKED_WITH_OUT(new_token, dxdr_token, dxdr_op_take_token(op, &new_token, &error));
    FORKED_WITH_OUT(out, dxdr_buf, dxdr_op_take_error(op, &out, &error));
    FORKED(dxdr_op_cancel(op));
    FORKED(dxdr_op_free(op));
    FORKED(dxdr_token_free(token));
    FORKED(dxdr_request_free(request));
    FORKED(dxdr_secret_free(secret));
    FORKED(dxdr_cancel_free(cancel));
    FORKED(dxdr_client_free(client));
    FORKED(dxdr_buf_free(buf));
    /* Without a word of stdio's buffers, which are the parent's. */
    _exit(wrong);
}

/* Runs `body` in a child; true if it ended well. */
static int child_ends_well(void (*body)(void))
{
    int status = -1;
    const pid_t child = fork();
    if (child == 0) {
        body();
        _exit(0);
    }
    return child > 0 && waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

static int a_child_is_told_and_the_parent_goes_on(void)
{
    int failed = 1;
    dxdr_buf *error = NULL, *page = NULL;
    dxdr_token *again = NULL;
    REQUIRE(emulator_reset() == 0);
    client = private_client();
    request = app_request(client);
    REQUIRE(request != NULL);
    REQUIRE_OK(dxdr_acquire_token(request, 0, NULL, &token, &error));
    REQUIRE_OK(dxdr_acquire_token_start(request, 0, &op, &error));
    REQUIRE_OK(dxdr_secret_new_utf8(TEXT("a secret"), &secret, &error));
    REQUIRE_OK(dxdr_cancel_new(&cancel, &error));
    REQUIRE_OK(dxdr_client_describe(client, &buf, &error));
    REQUIRE(child_ends_well(in_child));
    REQUIRE_OK(dxdr_cached_token(request, &again, &error));
    REQUIRE(again != NULL);
    REQUIRE_OK(dxdr_get_incidents(request, NULL, 0, 0, NULL, &page, &error));
    REQUIRE_HOLDS(text_of(page), "\"incidentId\"");
    failed = 0;
cleanup:
    dxdr_buf_free(error);
    dxdr_buf_free(page);
    dxdr_token_free(again);
    return failed;
}

static volatile int stop;

static void *keep_busy(void *pointer)
{
    (void)pointer;
    while (!stop) {
        dxdr_buf *claims = NULL;
        dxdr_token *one = NULL;
        dxdr_decode_claims(TEXT("e30.e30."), &claims, NULL);
        dxdr_buf_free(claims);
        dxdr_cached_token(request, &one, NULL);
        dxdr_token_free(one);
        dxdr_client_clear_cache(client, NULL);
    }
    return NULL;
}

static void a_few_calls(void)
{
    dxdr_buf *out = NULL;
    alarm(20);
    if (dxdr_decode_claims(TEXT("e30.e30."), &out, NULL) != DXDR_STATUS_FORKED || dxdr_client_clear_cache(client, NULL) != DXDR_STATUS_FORKED
        || dxdr_buf_free(buf) != DXDR_STATUS_FORKED || dxdr_client_new(NULL, 0, &client, NULL) != DXDR_STATUS_FORKED) {
        _exit(1);
    }
}

/* Locks that other threads hold at the moment of the fork are held for ever in the child: it must never want one. */
static int a_child_of_a_busy_parent_does_not_hang(void)
{
    int failed = 1;
    pthread_t threads[4];
    size_t started = 0;
    while (started < sizeof threads / sizeof *threads && pthread_create(&threads[started], NULL, keep_busy, NULL) == 0) {
        started++;
    }
    for (int round = 0; round < 50; round++) {
        REQUIRE(child_ends_well(a_few_calls));
    }
    failed = 0;
cleanup:
    stop = 1;
    for (size_t i = 0; i < started; i++) {
        pthread_join(threads[i], NULL);
    }
    return failed;
}

static void *make_secrets(void *pointer)
{
    (void)pointer;
    while (!stop) {
        dxdr_secret *one = NULL;
        dxdr_secret_new_utf8(TEXT("x"), &one, NULL);
        dxdr_secret_free(one);
    }
    return NULL;
}

static void one_secret(void)
{
    dxdr_secret *one = NULL;
    alarm(5);
    _exit(dxdr_secret_new_utf8(TEXT("x"), &one, NULL) == DXDR_STATUS_FORKED ? 0 : 1);
}

/* It is the first call that brings the library to life, not the first client. Comes first, before any client is made. */
static int a_child_of_a_parent_without_a_client(void)
{
    int failed = 1;
    pthread_t threads[4];
    size_t started = 0;
    dxdr_secret *one = NULL;
    REQUIRE_STATUS(DXDR_STATUS_OK, dxdr_secret_new_utf8(TEXT("x"), &one, NULL));
    REQUIRE_STATUS(DXDR_STATUS_OK, dxdr_secret_free(one));
    while (started < sizeof threads / sizeof *threads && pthread_create(&threads[started], NULL, make_secrets, NULL) == 0) {
        started++;
    }
    for (int round = 0; round < 30; round++) {
        REQUIRE(child_ends_well(one_secret));
    }
    failed = 0;
cleanup:
    stop = 1;
    for (size_t i = 0; i < started; i++) {
        pthread_join(threads[i], NULL);
    }
    stop = 0;
    return failed;
}

/* A child that execs has nothing to do with it. */
static void exec_something(void)
{
    execlp("true", "true", (char *)NULL);
    _exit(1);
}

static int a_child_may_exec(void)
{
    REQUIRE(child_ends_well(exec_something));
    return 0;
cleanup:
    return 1;
}

int main(void)
{
    PROGRAM_BEGIN;
    RUN(a_child_of_a_parent_without_a_client);
    RUN(a_child_is_told_and_the_parent_goes_on);
    RUN(a_child_of_a_busy_parent_does_not_hang);
    RUN(a_child_may_exec);
    dxdr_op_free(op);
    dxdr_token_free(token);
    dxdr_request_free(request);
    dxdr_secret_free(secret);
    dxdr_cancel_free(cancel);
    dxdr_client_free(client);
    dxdr_buf_free(buf);
    PROGRAM_END;
}
