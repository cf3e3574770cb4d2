/*
 * The contract: a handle is good from the call that made it until its free, on any thread; after that every use is BAD_HANDLE, whatever was made
 * since. A call that runs while its handles are freed ends normally. However many threads want the same token at once, one request is made.
 */
#include "check.h"

#include "wire.h"

/* Handles that were freed stay dead when their places are used again. */
static int use_after_free_is_a_status(void)
{
    int failed = 1;
    const uint8_t *data = NULL;
    size_t len = 0;
    int64_t when = 0;
    int32_t state = 0;
    dxdr_buf *out = NULL, *error = NULL;
    dxdr_token *token = NULL, *old_token = NULL;
    dxdr_op *op = NULL, *old_op = NULL;
    dxdr_client *client = private_client(), *old_client = client;
    dxdr_request *request = request_with(client, "{\"grant\":\"access_token\"}", "access_token", "e30.e30."), *old_request = request;
    dxdr_secret *secret = NULL, *old_secret = NULL;
    dxdr_cancel *cancel = NULL, *old_cancel = NULL;
    dxdr_buf *buf = NULL, *old_buf = NULL;
    REQUIRE(request != NULL);
    for (int round = 0; round < 2; round++) {
        REQUIRE_OK(dxdr_acquire_token(request, 0, NULL, &token, &error));
        REQUIRE_OK(dxdr_acquire_token_start(request, 0, &op, &error));
        REQUIRE_OK(dxdr_secret_new_utf8(TEXT("x"), &secret, &error));
        REQUIRE_OK(dxdr_cancel_new(&cancel, &error));
        REQUIRE_OK(dxdr_client_describe(client, &buf, &error));
        if (round == 0) {
            old_token = token, old_op = op, old_secret = secret, old_cancel = cancel, old_buf = buf;
            REQUIRE_STATUS(DXDR_STATUS_OK, dxdr_token_free(token));
            REQUIRE_STATUS(DXDR_STATUS_OK, dxdr_op_free(op));
            REQUIRE_STATUS(DXDR_STATUS_OK, dxdr_secret_free(secret));
            REQUIRE_STATUS(DXDR_STATUS_OK, dxdr_cancel_free(cancel));
            REQUIRE_STATUS(DXDR_STATUS_OK, dxdr_buf_free(buf));
            REQUIRE_STATUS(DXDR_STATUS_OK, dxdr_request_free(request));
            REQUIRE_STATUS(DXDR_STATUS_OK, dxdr_client_free(client));
            token = NULL, op = NULL, secret = NULL, cancel = NULL, buf = NULL, request = NULL;
            client = private_client();
            request = request_with(client, "{\"grant\":\"access_token\"}", "access_token", "e30.e30.");
            REQUIRE(request != NULL);
        }
        REQUIRE(old_client != client || round == 0);
        REQUIRE_STATUS(DXDR_STATUS_BAD_HANDLE, dxdr_token_value(old_token, &data, &len));
        REQUIRE_STATUS(DXDR_STATUS_BAD_HANDLE, dxdr_token_id_token(old_token, &data, &len));
        REQUIRE_STATUS(DXDR_STATUS_BAD_HANDLE, dxdr_token_expires_on(old_token, &when));
        REQUIRE_STATUS(DXDR_STATUS_BAD_HANDLE, dxdr_token_describe(old_token, &out, NULL));
        REQUIRE_STATUS(DXDR_STATUS_BAD_HANDLE, dxdr_token_free(old_token));
        REQUIRE_STATUS(DXDR_STATUS_BAD_HANDLE, dxdr_op_wait(old_op, LONG_MS, &state));
        REQUIRE_STATUS(DXDR_STATUS_BAD_HANDLE, dxdr_op_take_event(old_op, &out, NULL));
        REQUIRE_STATUS(DXDR_STATUS_BAD_HANDLE, dxdr_op_take_item(old_op, &out, NULL));
        REQUIRE_STATUS(DXDR_STATUS_BAD_HANDLE, dxdr_op_take_error(old_op, &out, NULL));
        REQUIRE_STATUS(DXDR_STATUS_BAD_HANDLE, dxdr_op_reply(old_op, 1, TEXT("x"), NULL));
        REQUIRE_STATUS(DXDR_STATUS_BAD_HANDLE, dxdr_op_cancel(old_op));
        REQUIRE_STATUS(DXDR_STATUS_BAD_HANDLE, dxdr_op_free(old_op));
        REQUIRE_STATUS(DXDR_STATUS_BAD_HANDLE, dxdr_request_set_secret(request, TEXT("access_token"), old_secret, NULL));
        REQUIRE_STATUS(DXDR_STATUS_BAD_HANDLE, dxdr_secret_free(old_secret));
        REQUIRE_STATUS(DXDR_STATUS_BAD_HANDLE, dxdr_cancel_trigger(old_cancel));
        REQUIRE_STATUS(DXDR_STATUS_BAD_HANDLE, dxdr_cancel_free(old_cancel));
        REQUIRE_STATUS(DXDR_STATUS_BAD_HANDLE, dxdr_buf_get(old_buf, &data, &len));
        REQUIRE_STATUS(DXDR_STATUS_BAD_HANDLE, dxdr_buf_free(old_buf));
        REQUIRE_STATUS(DXDR_STATUS_BAD_HANDLE, dxdr_request_describe(old_request, &out, NULL));
        REQUIRE_STATUS(DXDR_STATUS_BAD_HANDLE, dxdr_request_free(old_request));
        REQUIRE_STATUS(DXDR_STATUS_BAD_HANDLE, dxdr_client_describe(old_client, &out, NULL));
        REQUIRE_STATUS(DXDR_STATUS_BAD_HANDLE, dxdr_client_free(old_client));
    }
    failed = 0;
cleanup:
    dxdr_token_free(token);
    dxdr_op_free(op);
    dxdr_secret_free(secret);
    dxdr_cancel_free(cancel);
    dxdr_buf_free(buf);
    dxdr_request_free(request);
    dxdr_client_free(client);
    dxdr_buf_free(error);
    return failed;
}

/* A request whose authority is a black hole: whoever asks for its token waits. */
static dxdr_request *silent_request(dxdr_client *client, uint16_t port)
{
    char json[512];
    snprintf(json, sizeof json, "{\"grant\":\"client_credentials\",\"authority\":\"http://127.0.0.1:%u/" TENANT "\",\"client_id\":\"" APP "\",\"resource\":\"" API "\"}", (unsigned)port);
    return request_with(client, json, "client_secret", APP_SECRET);
}

/* The call is inside (its connection has arrived) when its request, client and secret go; then its signal ends it. */
static int a_running_call_keeps_what_it_needs(void)
{
    int failed = 1, fd = -1, started = 0;
    uint16_t port = 0;
    const int listener = listen_on(&port);
    struct task task;
    dxdr_client *client = private_client();
    memset(&task, 0, sizeof task);
    task.request = silent_request(client, port);
    REQUIRE(listener >= 0 && task.request != NULL);
    REQUIRE_STATUS(DXDR_STATUS_OK, dxdr_cancel_new(&task.cancel, NULL));
    started = pthread_create(&task.thread, NULL, acquire_in_thread, &task) == 0;
    REQUIRE(started);
    fd = accept_one(listener);
    REQUIRE(fd >= 0);
    REQUIRE_STATUS(DXDR_STATUS_OK, dxdr_request_free(task.request));
    REQUIRE_STATUS(DXDR_STATUS_OK, dxdr_client_free(client));
    REQUIRE_STATUS(DXDR_STATUS_BAD_HANDLE, dxdr_request_free(task.request));
    REQUIRE_STATUS(DXDR_STATUS_OK, dxdr_cancel_trigger(task.cancel));
    REQUIRE_STATUS(DXDR_STATUS_OK, dxdr_cancel_free(task.cancel));
    pthread_join(task.thread, NULL);
    started = 0;
    REQUIRE_STATUS(DXDR_STATUS_CANCELLED, task.status);
    REQUIRE(task.token == NULL && code_of(task.error) == DXDR_STATUS_CANCELLED);
    failed = 0;
cleanup:
    if (started) {
        dxdr_cancel_trigger(task.cancel);
        pthread_join(task.thread, NULL);
    }
    dxdr_buf_free(task.error);
    close(fd);
    close(listener);
    return failed;
}

/* The operation goes while a thread waits on it: the wait ends CANCELLED, or did not begin and is BAD_HANDLE. */
static int free_while_another_thread_waits(void)
{
    int failed = 1, fd = -1, inside = 0;
    uint16_t port = 0;
    const int listener = listen_on(&port);
    dxdr_buf *event = NULL, *error = NULL;
    dxdr_client *client = private_client();
    dxdr_request *request = silent_request(client, port);
    REQUIRE(listener >= 0 && request != NULL);
    for (int round = 0; round < 40; round++) {
        struct task task;
        int32_t state = DXDR_OP_STATE_EVENT;
        memset(&task, 0, sizeof task);
        REQUIRE_OK(dxdr_acquire_token_start(request, 0, &task.op, &error));
        fd = accept_one(listener);
        REQUIRE(fd >= 0);
        while (state == DXDR_OP_STATE_EVENT) {
            REQUIRE_OK(dxdr_op_take_event(task.op, &event, &error));
            drop_buf(&event);
            REQUIRE_STATUS(DXDR_STATUS_OK, dxdr_op_wait(task.op, 0, &state));
        }
        REQUIRE(state == DXDR_OP_STATE_RUNNING);
        REQUIRE(pthread_create(&task.thread, NULL, wait_in_thread, &task) == 0);
        /* Sooner or later than the wait begins: both must be borne. */
        for (int turn = 0; turn < round * 10; turn++) {
            sched_yield();
        }
        const int64_t freed = now_ms();
        REQUIRE_STATUS(DXDR_STATUS_OK, dxdr_op_free(task.op));
        pthread_join(task.thread, NULL);
        if (task.status == DXDR_STATUS_OK) {
            inside++;
            REQUIRE(task.state == DXDR_OP_STATE_CANCELLED);
        } else {
            REQUIRE_STATUS(DXDR_STATUS_BAD_HANDLE, task.status);
        }
        REQUIRE(task.ended_ms - freed < SOON_MS);
        close(fd);
        fd = -1;
    }
    REQUIRE(inside > 0);
    failed = 0;
cleanup:
    dxdr_buf_free(event);
    dxdr_buf_free(error);
    dxdr_request_free(request);
    dxdr_client_free(client);
    close(fd);
    close(listener);
    return failed;
}

#define CROWD 64

static pthread_mutex_t gate = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t opened = PTHREAD_COND_INITIALIZER;
static int is_open;

static void *acquire_at_the_gate(void *pointer)
{
    pthread_mutex_lock(&gate);
    while (!is_open) {
        pthread_cond_wait(&opened, &gate);
    }
    pthread_mutex_unlock(&gate);
    return acquire_in_thread(pointer);
}

static int many_threads_one_token_call(void)
{
    int failed = 1;
    static struct task tasks[CROWD];
    size_t started = 0;
    const uint8_t *first = NULL, *value = NULL;
    size_t first_len = 0, len = 0;
    int joined = 0;
    dxdr_client *client = private_client();
    dxdr_request *request = app_request(client);
    memset(tasks, 0, sizeof tasks);
    REQUIRE(request != NULL && emulator_reset() == 0);
    /* Held back a little, so that those who come late still find the call under way. */
    REQUIRE(emulator_faults("[{\"match\":{\"path_contains\":\"/oauth2/token\"},\"times\":0,\"do\":{\"delay_ms\":300}}]") == 0);
    for (; started < CROWD; started++) {
        tasks[started].request = request;
        if (pthread_create(&tasks[started].thread, NULL, acquire_at_the_gate, &tasks[started]) != 0) {
            break;
        }
    }
    pthread_mutex_lock(&gate);
    is_open = 1;
    pthread_cond_broadcast(&opened);
    pthread_mutex_unlock(&gate);
    for (size_t i = 0; i < started; i++) {
        pthread_join(tasks[i].thread, NULL);
    }
    joined = 1;
    REQUIRE(started == CROWD);
    for (size_t i = 0; i < started; i++) {
        if (tasks[i].status != DXDR_STATUS_OK) {
            fprintf(stderr, "%s\n", text_of(tasks[i].error));
        }
        REQUIRE_STATUS(DXDR_STATUS_OK, tasks[i].status);
        REQUIRE_STATUS(DXDR_STATUS_OK, dxdr_token_value(tasks[i].token, i == 0 ? &first : &value, i == 0 ? &first_len : &len));
        REQUIRE(i == 0 || (len == first_len && memcmp(first, value, len) == 0));
    }
    REQUIRE(emulator_asked("/oauth2/token\"") == 1);
    failed = 0;
cleanup:
    for (size_t i = 0; joined && i < started; i++) {
        dxdr_token_free(tasks[i].token);
        dxdr_buf_free(tasks[i].error);
    }
    emulator_reset();
    dxdr_request_free(request);
    dxdr_client_free(client);
    return failed;
}

/* Handles are made, read and freed by many threads at once, and each sees only its own. */
static void *churn(void *pointer)
{
    struct task *task = pointer;
    char text[40], token[80];
    /* {} and a claim of the thread's own: {"n":N} with one digit, as base64url. */
    static const char *const payloads[] = {"eyJuIjowfQ", "eyJuIjoxfQ", "eyJuIjoyfQ", "eyJuIjozfQ", "eyJuIjo0fQ", "eyJuIjo1fQ", "eyJuIjo2fQ", "eyJuIjo3fQ"};
    snprintf(token, sizeof token, "e30.%s.", payloads[task->state % 8]);
    snprintf(text, sizeof text, "\"claims\":{\"n\":%d}", (int)(task->state % 8));
    for (int round = 0; round < 100; round++) {
        dxdr_buf *claims = NULL;
        const uint8_t *data = NULL;
        size_t len = 0;
        if (dxdr_decode_claims(TEXT(token), &claims, NULL) != DXDR_STATUS_OK || strstr(text_of(claims), text) == NULL
            || dxdr_buf_free(claims) != DXDR_STATUS_OK || dxdr_buf_get(claims, &data, &len) != DXDR_STATUS_BAD_HANDLE || data != NULL) {
            task->status = 1;
            return NULL;
        }
    }
    return NULL;
}

static int many_threads_make_and_free(void)
{
    int failed = 1;
    struct task tasks[8];
    size_t started = 0;
    memset(tasks, 0, sizeof tasks);
    for (; started < 8; started++) {
        tasks[started].state = (int32_t)started;
        if (pthread_create(&tasks[started].thread, NULL, churn, &tasks[started]) != 0) {
            break;
        }
    }
    for (size_t i = 0; i < started; i++) {
        pthread_join(tasks[i].thread, NULL);
    }
    REQUIRE(started == 8);
    for (size_t i = 0; i < started; i++) {
        REQUIRE(tasks[i].status == 0);
    }
    failed = 0;
cleanup:
    return failed;
}

/* More than one chunk of a table, freed in another order than made. */
static int thousands_of_handles(void)
{
    enum { COUNT = 3000 };
    int failed = 1;
    static dxdr_secret *secrets[COUNT];
    for (int i = 0; i < COUNT; i++) {
        REQUIRE_STATUS(DXDR_STATUS_OK, dxdr_secret_new_utf8(TEXT("x"), &secrets[i], NULL));
        REQUIRE(i == 0 || secrets[i] != secrets[i - 1]);
    }
    for (int i = 0; i < COUNT; i++) {
        const int at = (int)((unsigned)i * 1237u % COUNT);
        REQUIRE_STATUS(DXDR_STATUS_OK, dxdr_secret_free(secrets[at]));
        REQUIRE_STATUS(DXDR_STATUS_BAD_HANDLE, dxdr_secret_free(secrets[at]));
    }
    failed = 0;
cleanup:
    return failed;
}

int main(void)
{
    PROGRAM_BEGIN;
    RUN(use_after_free_is_a_status);
    RUN(a_running_call_keeps_what_it_needs);
    RUN(free_while_another_thread_waits);
    RUN(many_threads_one_token_call);
    RUN(many_threads_make_and_free);
    RUN(thousands_of_handles);
    PROGRAM_END;
}
