/*
 * The contract: whoever waits can stop, from any thread, at once: a blocking call by its signal, an operation by cancel or free, anything by its time
 * limit. Who stops detaches alone; the last one leaving ends the network call. A sign-in that was given up leaves no port open.
 */
#include "check.h"

#include "operation.h"
#include "wire.h"

/* A black hole: a port that accepts and stays silent. */
struct hole {
    int listener;
    uint16_t port;
    int fd;
    char json[512];
};

static int make_hole(struct hole *hole)
{
    hole->port = 0;
    hole->fd = -1;
    hole->listener = listen_on(&hole->port);
    snprintf(hole->json, sizeof hole->json,
             "{\"grant\":\"client_credentials\",\"authority\":\"http://127.0.0.1:%u/" TENANT "\",\"client_id\":\"" APP "\",\"resource\":\"" API "\"}", (unsigned)hole->port);
    return hole->listener;
}

static void end_hole(struct hole *hole)
{
    if (hole->fd >= 0) {
        close(hole->fd);
    }
    if (hole->listener >= 0) {
        close(hole->listener);
    }
}

/* True once the other side of the connection has gone, within a bound. */
static int is_left(int fd)
{
    char some[4096];
    struct pollfd ready = {.fd = fd, .events = POLLIN, .revents = 0};
    const int64_t until = now_ms() + SOON_MS;
    while (now_ms() < until) {
        if (poll(&ready, 1, SOON_MS) == 1 && recv(fd, some, sizeof some, 0) <= 0) {
            return 1;
        }
    }
    return 0;
}

static int a_signal_ends_a_blocking_call(void)
{
    int failed = 1, started = 0;
    struct hole hole;
    struct task task;
    int64_t triggered;
    dxdr_client *client = private_client();
    memset(&task, 0, sizeof task);
    REQUIRE(make_hole(&hole) >= 0);
    task.request = request_with(client, hole.json, "client_secret", APP_SECRET);
    REQUIRE_STATUS(DXDR_STATUS_OK, dxdr_cancel_new(&task.cancel, NULL));
    started = pthread_create(&task.thread, NULL, acquire_in_thread, &task) == 0;
    REQUIRE(started && (hole.fd = accept_one(hole.listener)) >= 0);
    triggered = now_ms();
    REQUIRE_STATUS(DXDR_STATUS_OK, dxdr_cancel_trigger(task.cancel));
    REQUIRE_STATUS(DXDR_STATUS_OK, dxdr_cancel_trigger(task.cancel));
    pthread_join(task.thread, NULL);
    started = 0;
    REQUIRE_STATUS(DXDR_STATUS_CANCELLED, task.status);
    REQUIRE(task.token == NULL && code_of(task.error) == DXDR_STATUS_CANCELLED && task.ended_ms - triggered < SOON_MS);
    /* The last one who wanted it has gone: so does the connection. */
    REQUIRE(is_left(hole.fd));
    failed = 0;
cleanup:
    if (started) {
        dxdr_cancel_trigger(task.cancel);
        pthread_join(task.thread, NULL);
    }
    end_hole(&hole);
    dxdr_buf_free(task.error);
    dxdr_cancel_free(task.cancel);
    dxdr_request_free(task.request);
    dxdr_client_free(client);
    return failed;
}

#define HANG "[{\"match\":{\"path_contains\":\"/api/incidents\"},\"times\":0,\"do\":{\"hang\":true}}]"

static int a_signal_ends_every_call_under_it(void)
{
    enum { COUNT = 6 };
    int failed = 1;
    size_t started = 0;
    struct task tasks[COUNT];
    dxdr_client *client = private_client();
    dxdr_request *request = app_request(client);
    dxdr_cancel *cancel = NULL;
    int64_t triggered;
    memset(tasks, 0, sizeof tasks);
    REQUIRE(emulator_reset() == 0 && emulator_faults(HANG) == 0);
    REQUIRE_STATUS(DXDR_STATUS_OK, dxdr_cancel_new(&cancel, NULL));
    for (; started < COUNT; started++) {
        tasks[started].request = request;
        tasks[started].cancel = cancel;
        if (pthread_create(&tasks[started].thread, NULL, page_in_thread, &tasks[started]) != 0) {
            break;
        }
    }
    REQUIRE(started == COUNT && emulator_is_asked("/api/incidents\""));
    triggered = now_ms();
    REQUIRE_STATUS(DXDR_STATUS_OK, dxdr_cancel_trigger(cancel));
    for (size_t i = 0; i < COUNT; i++) {
        pthread_join(tasks[i].thread, NULL);
    }
    started = 0;
    for (size_t i = 0; i < COUNT; i++) {
        REQUIRE_STATUS(DXDR_STATUS_CANCELLED, tasks[i].status);
        REQUIRE(tasks[i].page == NULL && tasks[i].ended_ms - triggered < SOON_MS);
    }
    failed = 0;
cleanup:
    dxdr_cancel_trigger(cancel);
    for (size_t i = 0; i < started; i++) {
        pthread_join(tasks[i].thread, NULL);
    }
    for (size_t i = 0; i < COUNT; i++) {
        dxdr_buf_free(tasks[i].error);
    }
    emulator_reset();
    dxdr_cancel_free(cancel);
    dxdr_request_free(request);
    dxdr_client_free(client);
    return failed;
}

/* A signal that was given stays given. */
static int a_signal_given_before(void)
{
    int failed = 1;
    dxdr_client *client = private_client();
    dxdr_request *request = app_request(client);
    dxdr_cancel *cancel = NULL;
    dxdr_token *token = NULL;
    dxdr_buf *page = NULL, *error = NULL;
    REQUIRE(emulator_reset() == 0);
    REQUIRE_OK(dxdr_cancel_new(&cancel, &error));
    REQUIRE_STATUS(DXDR_STATUS_OK, dxdr_cancel_trigger(cancel));
    for (int round = 0; round < 3; round++) {
        REQUIRE_STATUS(DXDR_STATUS_CANCELLED, dxdr_acquire_token(request, 0, cancel, &token, &error));
        drop_buf(&error);
        REQUIRE_STATUS(DXDR_STATUS_CANCELLED, dxdr_get_incidents(request, NULL, 0, 0, cancel, &page, &error));
        drop_buf(&error);
    }
    /* Others are not touched by it. */
    REQUIRE_OK(dxdr_acquire_token(request, 0, NULL, &token, &error));
    failed = 0;
cleanup:
    dxdr_buf_free(error);
    dxdr_token_free(token);
    dxdr_cancel_free(cancel);
    dxdr_request_free(request);
    dxdr_client_free(client);
    return failed;
}

/* Two want the same token; one leaves, the other gets it. */
static int who_stops_detaches_alone(void)
{
    int failed = 1;
    size_t started = 0;
    struct task tasks[2];
    dxdr_client *client = private_client();
    memset(tasks, 0, sizeof tasks);
    tasks[0].request = tasks[1].request = app_request(client);
    REQUIRE(emulator_reset() == 0);
    REQUIRE(emulator_faults("[{\"match\":{\"path_contains\":\"/oauth2/token\"},\"do\":{\"delay_ms\":700}}]") == 0);
    REQUIRE_STATUS(DXDR_STATUS_OK, dxdr_cancel_new(&tasks[0].cancel, NULL));
    for (; started < 2; started++) {
        REQUIRE(pthread_create(&tasks[started].thread, NULL, acquire_in_thread, &tasks[started]) == 0);
    }
    REQUIRE(emulator_is_asked("/oauth2/token\""));
    REQUIRE_STATUS(DXDR_STATUS_OK, dxdr_cancel_trigger(tasks[0].cancel));
    for (; started > 0; started--) {
        pthread_join(tasks[started - 1].thread, NULL);
    }
    REQUIRE_STATUS(DXDR_STATUS_CANCELLED, tasks[0].status);
    REQUIRE_STATUS(DXDR_STATUS_OK, tasks[1].status);
    REQUIRE(tasks[0].token == NULL && tasks[1].token != NULL);
    failed = 0;
cleanup:
    for (; started > 0; started--) {
        pthread_join(tasks[started - 1].thread, NULL);
    }
    emulator_reset();
    dxdr_buf_free(tasks[0].error);
    dxdr_buf_free(tasks[1].error);
    dxdr_token_free(tasks[1].token);
    dxdr_cancel_free(tasks[0].cancel);
    dxdr_request_free(tasks[0].request);
    dxdr_client_free(client);
    return failed;
}

static int time_limits(void)
{
    int failed = 1;
    struct hole hole;
    int64_t begun;
    int32_t state;
    dxdr_client *client = private_client();
    dxdr_request *silent = NULL, *request = app_request(client);
    dxdr_token *token = NULL;
    dxdr_buf *page = NULL, *error = NULL, *detail = NULL;
    dxdr_op *op = NULL;
    REQUIRE(make_hole(&hole) >= 0);
    silent = request_with(client, hole.json, "client_secret", APP_SECRET);
    begun = now_ms();
    REQUIRE_STATUS(DXDR_STATUS_TIMEOUT, dxdr_acquire_token(silent, 150, NULL, &token, &error));
    REQUIRE(now_ms() - begun >= 140 && now_ms() - begun < SOON_MS);
    REQUIRE_HOLDS(text_of(error), "\"retryable\":true");
    drop_buf(&error);

    REQUIRE(emulator_reset() == 0 && emulator_faults(HANG) == 0);
    begun = now_ms();
    REQUIRE_STATUS(DXDR_STATUS_TIMEOUT, dxdr_get_incidents(request, NULL, 0, 300, NULL, &page, &error));
    REQUIRE(now_ms() - begun < SOON_MS);
    drop_buf(&error);

    begun = now_ms();
    REQUIRE_OK(dxdr_list_incidents_start(request, NULL, 0, 150, &op, &error));
    REQUIRE(last_state(op) == DXDR_OP_STATE_FAILED && now_ms() - begun < SOON_MS);
    REQUIRE_OK(dxdr_op_take_error(op, &detail, &error));
    REQUIRE(code_of(detail) == DXDR_STATUS_TIMEOUT);
    REQUIRE_STATUS(DXDR_STATUS_OK, dxdr_op_free(op));
    op = NULL;

    /* A wait's limit is only the wait's. */
    REQUIRE_OK(dxdr_list_incidents_start(request, NULL, 0, 0, &op, &error));
    do {
        REQUIRE_STATUS(DXDR_STATUS_OK, dxdr_op_wait(op, 50, &state));
        if (state == DXDR_OP_STATE_EVENT) {
            drop_buf(&detail);
            REQUIRE_OK(dxdr_op_take_event(op, &detail, &error));
        }
    } while (state == DXDR_OP_STATE_EVENT);
    REQUIRE(state == DXDR_OP_STATE_RUNNING);
    REQUIRE_STATUS(DXDR_STATUS_OK, dxdr_op_cancel(op));
    REQUIRE_STATUS(DXDR_STATUS_OK, dxdr_op_wait(op, LONG_MS, &state));
    REQUIRE(state == DXDR_OP_STATE_CANCELLED);
    failed = 0;
cleanup:
    emulator_reset();
    end_hole(&hole);
    dxdr_op_free(op);
    dxdr_buf_free(page);
    dxdr_buf_free(error);
    dxdr_buf_free(detail);
    dxdr_token_free(token);
    dxdr_request_free(silent);
    dxdr_request_free(request);
    dxdr_client_free(client);
    return failed;
}

/* Cancelled from another thread while one waits. */
static int cancel_while_another_thread_waits(void)
{
    int failed = 1, started = 0;
    struct hole hole;
    struct task task;
    dxdr_client *client = private_client();
    dxdr_buf *event = NULL, *error = NULL;
    int32_t state = DXDR_OP_STATE_EVENT;
    int64_t cancelled;
    memset(&task, 0, sizeof task);
    REQUIRE(make_hole(&hole) >= 0);
    task.request = request_with(client, hole.json, "client_secret", APP_SECRET);
    REQUIRE_OK(dxdr_acquire_token_start(task.request, 0, &task.op, &error));
    REQUIRE((hole.fd = accept_one(hole.listener)) >= 0);
    while (state == DXDR_OP_STATE_EVENT) {
        REQUIRE_OK(dxdr_op_take_event(task.op, &event, &error));
        drop_buf(&event);
        REQUIRE_STATUS(DXDR_STATUS_OK, dxdr_op_wait(task.op, 0, &state));
    }
    started = pthread_create(&task.thread, NULL, wait_in_thread, &task) == 0;
    REQUIRE(started);
    cancelled = now_ms();
    REQUIRE_STATUS(DXDR_STATUS_OK, dxdr_op_cancel(task.op));
    pthread_join(task.thread, NULL);
    started = 0;
    REQUIRE_STATUS(DXDR_STATUS_OK, task.status);
    REQUIRE(task.state == DXDR_OP_STATE_CANCELLED && task.ended_ms - cancelled < SOON_MS);
    REQUIRE(is_left(hole.fd));
    failed = 0;
cleanup:
    if (started) {
        dxdr_op_cancel(task.op);
        pthread_join(task.thread, NULL);
    }
    end_hole(&hole);
    dxdr_op_free(task.op);
    dxdr_buf_free(event);
    dxdr_buf_free(error);
    dxdr_request_free(task.request);
    dxdr_client_free(client);
    return failed;
}

/* Freeing is stopping, too, and does not wait. */
static int free_while_running(void)
{
    int failed = 1;
    struct hole hole;
    dxdr_client *client = private_client();
    dxdr_request *request = NULL;
    dxdr_op *op = NULL;
    dxdr_buf *error = NULL;
    int64_t begun;
    REQUIRE(make_hole(&hole) >= 0);
    request = request_with(client, hole.json, "client_secret", APP_SECRET);
    REQUIRE_OK(dxdr_acquire_token_start(request, 0, &op, &error));
    REQUIRE((hole.fd = accept_one(hole.listener)) >= 0);
    begun = now_ms();
    REQUIRE_STATUS(DXDR_STATUS_OK, dxdr_op_free(op));
    op = NULL;
    REQUIRE(now_ms() - begun < SOON_MS && is_left(hole.fd));
    failed = 0;
cleanup:
    end_hole(&hole);
    dxdr_op_free(op);
    dxdr_buf_free(error);
    dxdr_request_free(request);
    dxdr_client_free(client);
    return failed;
}

#define AS_PERSON "{\"grant\":\"authorization_code\",\"tenant_id\":\"" TENANT "\",\"client_id\":\"" PUBLIC_APP "\",\"resource\":\"" API "\""

/* A port that was free a moment ago. */
static uint16_t free_port(void)
{
    uint16_t port = 0;
    const int fd = listen_on(&port);
    if (fd >= 0) {
        close(fd);
    }
    return port;
}

static int a_sign_in_given_up_leaves_no_port(void)
{
    int failed = 1;
    dxdr_client *client = private_client();
    dxdr_request *request = request_with(client, AS_PERSON "}", NULL, NULL);
    dxdr_op *op = NULL;
    dxdr_buf *event = NULL, *error = NULL;
    char *redirect_uri = NULL;
    for (int by_free = 0; by_free < 2; by_free++) {
        REQUIRE_OK(dxdr_acquire_token_start(request, 0, &op, &error));
        REQUIRE(next_event(op, "open_browser", &event) == DXDR_OP_STATE_EVENT);
        redirect_uri = json_text(text_of(event), "redirect_uri");
        REQUIRE_HOLDS(redirect_uri, "http://localhost:");
        uint16_t port = (uint16_t)strtoul(redirect_uri + strlen("http://localhost:"), NULL, 10);
        const int taken = listen_on(&port);
        REQUIRE(taken < 0);
        if (by_free) {
            REQUIRE_STATUS(DXDR_STATUS_OK, dxdr_op_free(op));
            op = NULL;
        } else {
            REQUIRE_STATUS(DXDR_STATUS_OK, dxdr_op_cancel(op));
            /* Too late for an answer. */
            REQUIRE_STATUS(DXDR_STATUS_BAD_ARGUMENT, dxdr_op_reply(op, (uint64_t)json_number(text_of(event), "id"), TEXT("opened"), NULL));
        }
        REQUIRE(port_closes(port));
        dxdr_op_free(op);
        op = NULL;
        drop_buf(&event);
        free(redirect_uri);
        redirect_uri = NULL;
    }
    failed = 0;
cleanup:
    free(redirect_uri);
    dxdr_op_free(op);
    dxdr_buf_free(event);
    dxdr_buf_free(error);
    dxdr_request_free(request);
    dxdr_client_free(client);
    return failed;
}

/* A port in use is said, with its number. */
static int a_port_in_use_is_said(void)
{
    int failed = 1;
    uint16_t port = 0;
    const int listener = listen_on(&port);
    char json[512], number[16];
    dxdr_client *client = private_client();
    dxdr_request *request = NULL;
    dxdr_token *token = NULL;
    dxdr_buf *error = NULL;
    snprintf(json, sizeof json, AS_PERSON ",\"redirect_uri\":\"http://127.0.0.1:%u\"}", (unsigned)port);
    snprintf(number, sizeof number, "%u", (unsigned)port);
    request = request_with(client, json, NULL, NULL);
    REQUIRE(listener >= 0 && request != NULL);
    REQUIRE_STATUS(DXDR_STATUS_PORT_IN_USE, dxdr_acquire_token(request, 0, NULL, &token, &error));
    REQUIRE_HOLDS(text_of(error), number);
    failed = 0;
cleanup:
    close(listener);
    dxdr_buf_free(error);
    dxdr_request_free(request);
    dxdr_client_free(client);
    return failed;
}

/* The blocking call with a browser that does nothing: ended by its signal, then by its limit; both times the port is closed. */
static int a_blocking_sign_in_given_up(void)
{
    int failed = 1, started = 0, fd = -1;
    char json[512];
    const uint16_t port = free_port();
    struct task task;
    int64_t until;
    dxdr_client *client = private_client();
    memset(&task, 0, sizeof task);
    setenv("BROWSER", "true", 1);
    snprintf(json, sizeof json, AS_PERSON ",\"redirect_uri\":\"http://localhost:%u\"}", (unsigned)port);
    task.request = request_with(client, json, NULL, NULL);
    REQUIRE(port != 0 && task.request != NULL);
    REQUIRE_STATUS(DXDR_STATUS_OK, dxdr_cancel_new(&task.cancel, NULL));
    started = pthread_create(&task.thread, NULL, acquire_in_thread, &task) == 0;
    REQUIRE(started);
    /* It listens: so it is inside. */
    until = now_ms() + LONG_MS;
    while (fd < 0 && now_ms() < until) {
        fd = connect_to(port);
        sched_yield();
    }
    REQUIRE(fd >= 0);
    close(fd);
    REQUIRE_STATUS(DXDR_STATUS_OK, dxdr_cancel_trigger(task.cancel));
    pthread_join(task.thread, NULL);
    started = 0;
    REQUIRE_STATUS(DXDR_STATUS_CANCELLED, task.status);
    REQUIRE(port_closes(port));
    drop_buf(&task.error);
    REQUIRE_STATUS(DXDR_STATUS_BROWSER_TIMEOUT, dxdr_acquire_token(task.request, 3000, NULL, &task.token, &task.error));
    snprintf(json, sizeof json, "http://localhost:%u", (unsigned)port);
    REQUIRE_HOLDS(text_of(task.error), json);
    REQUIRE(port_closes(port));
    failed = 0;
cleanup:
    if (started) {
        dxdr_cancel_trigger(task.cancel);
        pthread_join(task.thread, NULL);
    }
    dxdr_buf_free(task.error);
    dxdr_token_free(task.token);
    dxdr_cancel_free(task.cancel);
    dxdr_request_free(task.request);
    dxdr_client_free(client);
    return failed;
}

int main(void)
{
    PROGRAM_BEGIN;
    RUN(a_signal_ends_a_blocking_call);
    RUN(a_signal_ends_every_call_under_it);
    RUN(a_signal_given_before);
    RUN(who_stops_detaches_alone);
    RUN(time_limits);
    RUN(cancel_while_another_thread_waits);
    RUN(free_while_running);
    RUN(a_sign_in_given_up_leaves_no_port);
    RUN(a_port_in_use_is_said);
    RUN(a_blocking_sign_in_given_up);
    PROGRAM_END;
}
