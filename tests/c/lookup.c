/*
 * The contract: a name server that never answers (NET-2) costs a caller no more than its own limit: a call ends by its time limit, by the limit
 * on connections, or at once by its signal, although getaddrinfo itself cannot be stopped, and other calls go on meanwhile. The program brings a
 * getaddrinfo of its own, which the library finds in the place of the system's.
 */
#include "check.h"

#include <netdb.h>

#include "wire.h"

/* Each look-up says so on `asked`, and waits until the writing end of `never` is closed. */
static int asked[2], never[2];

int getaddrinfo(const char *node, const char *service, const struct addrinfo *hints, struct addrinfo **found)
{
    char byte = 'x';
    (void)service;
    (void)hints;
    *found = NULL;
    if (node == NULL || strstr(node, "silent.example") == NULL) {
        return EAI_NONAME;
    }
    if (write(asked[1], &byte, 1) != 1) {
        return EAI_FAIL;
    }
    while (read(never[0], &byte, 1) < 0 && errno == EINTR) {
    }
    return EAI_AGAIN;
}

/* Whether a look-up has begun, within a bound. */
static int is_asked(void)
{
    char byte;
    struct pollfd ready = {.fd = asked[0], .events = POLLIN, .revents = 0};
    return poll(&ready, 1, (int)LONG_MS) == 1 && read(asked[0], &byte, 1) == 1;
}

static dxdr_client *client_with(int connect_ms)
{
    char json[160];
    dxdr_client *client = NULL;
    dxdr_buf *error = NULL;
    snprintf(json, sizeof json, "{\"cache\":\"private\",\"proxy\":\"none\",\"connect_timeout_ms\":%d}", connect_ms);
    if (dxdr_client_new(TEXT(json), &client, &error) != DXDR_STATUS_OK) {
        fprintf(stderr, "client: %s\n", text_of(error));
    }
    dxdr_buf_free(error);
    return client;
}

static dxdr_request *request_for(dxdr_client *client, const char *host)
{
    char json[400];
    snprintf(json, sizeof json,
             "{\"grant\":\"client_credentials\",\"authority\":\"https://%s/adfs\",\"authority_type\":\"adfs\",\"instance_discovery\":false,"
             "\"client_id\":\"" APP "\",\"resource\":\"" API "\"}",
             host);
    return request_with(client, json, "client_secret", APP_SECRET);
}

/* Answers one token request. */
static void *answer_one(void *pointer)
{
    static const char body[] = "{\"token_type\":\"Bearer\",\"expires_in\":\"3599\",\"access_token\":\"aaa.bbb.ccc\"}";
    char text[4096];
    const int fd = accept_one(*(int *)pointer);
    if (fd >= 0 && recv(fd, text, sizeof text, 0) > 0) {
        const int len = snprintf(text, sizeof text, "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\nContent-Length: %zu\r\n\r\n%s",
                                 sizeof body - 1, body);
        if (send(fd, text, (size_t)len, 0) == len && shutdown(fd, SHUT_WR) == 0) {
            while (recv(fd, text, sizeof text, 0) > 0) {
            }
        }
    }
    if (fd >= 0) {
        close(fd);
    }
    return NULL;
}

/* A call of the same client that needs no name. */
static int is_alive(dxdr_client *client)
{
    int alive = 0, started = 0;
    uint16_t port = 0;
    char json[400];
    pthread_t thread;
    dxdr_request *request = NULL;
    dxdr_token *token = NULL;
    dxdr_buf *error = NULL;
    int listener = listen_on(&port);
    REQUIRE(listener >= 0);
    snprintf(json, sizeof json,
             "{\"grant\":\"client_credentials\",\"authority\":\"http://127.0.0.1:%u/" TENANT "\",\"client_id\":\"" APP "\",\"resource\":\"" API "\"}", (unsigned)port);
    REQUIRE((request = request_with(client, json, "client_secret", APP_SECRET)) != NULL);
    REQUIRE((started = pthread_create(&thread, NULL, answer_one, &listener) == 0));
    REQUIRE_OK(dxdr_acquire_token(request, LONG_MS, NULL, &token, &error));
    alive = 1;
cleanup:
    if (started && alive) {
        pthread_join(thread, NULL);
    } else if (started) {
        pthread_detach(thread);
    }
    if (listener >= 0 && alive) {
        close(listener);
    }
    dxdr_buf_free(error);
    dxdr_token_free(token);
    dxdr_request_free(request);
    return alive;
}

static int a_look_up_ends_with_the_limit_of_the_call(void)
{
    int failed = 1;
    dxdr_token *token = NULL;
    dxdr_buf *error = NULL;
    dxdr_client *client = client_with(60000);
    dxdr_request *request = request_for(client, "limit.silent.example");
    const int64_t begun = now_ms();
    REQUIRE_STATUS(DXDR_STATUS_TIMEOUT, dxdr_acquire_token(request, 300, NULL, &token, &error));
    REQUIRE(is_asked() && token == NULL && now_ms() - begun < SOON_MS);
    REQUIRE_HOLDS(text_of(error), "\"hint\":\"");
    REQUIRE(strstr(text_of(error), APP_SECRET) == NULL);
    REQUIRE(is_alive(client));
    failed = 0;
cleanup:
    dxdr_buf_free(error);
    dxdr_request_free(request);
    dxdr_client_free(client);
    return failed;
}

static int a_look_up_ends_with_the_limit_for_connecting(void)
{
    int failed = 1;
    dxdr_token *token = NULL;
    dxdr_buf *error = NULL;
    dxdr_client *client = client_with(300);
    dxdr_request *request = request_for(client, "connect.silent.example");
    const int64_t begun = now_ms();
    REQUIRE_STATUS(DXDR_STATUS_DNS, dxdr_acquire_token(request, LONG_MS, NULL, &token, &error));
    REQUIRE(is_asked() && token == NULL && now_ms() - begun < SOON_MS);
    REQUIRE_HOLDS(text_of(error), "connect.silent.example");
    REQUIRE_HOLDS(text_of(error), "300 ms");
    REQUIRE(is_alive(client));
    failed = 0;
cleanup:
    dxdr_buf_free(error);
    dxdr_request_free(request);
    dxdr_client_free(client);
    return failed;
}

static int a_signal_ends_a_look_up(void)
{
    int failed = 1, started = 0;
    struct task task;
    int64_t triggered;
    dxdr_client *client = client_with(60000);
    memset(&task, 0, sizeof task);
    task.timeout_ms = LONG_MS;
    task.request = request_for(client, "signal.silent.example");
    REQUIRE_STATUS(DXDR_STATUS_OK, dxdr_cancel_new(&task.cancel, NULL));
    started = pthread_create(&task.thread, NULL, acquire_in_thread, &task) == 0;
    REQUIRE(started && is_asked());
    triggered = now_ms();
    REQUIRE_STATUS(DXDR_STATUS_OK, dxdr_cancel_trigger(task.cancel));
    pthread_join(task.thread, NULL);
    started = 0;
    REQUIRE_STATUS(DXDR_STATUS_CANCELLED, task.status);
    REQUIRE(task.token == NULL && task.ended_ms - triggered < SOON_MS);
    REQUIRE(is_alive(client));
    failed = 0;
cleanup:
    if (started) {
        dxdr_cancel_trigger(task.cancel);
        pthread_join(task.thread, NULL);
    }
    dxdr_buf_free(task.error);
    dxdr_cancel_free(task.cancel);
    dxdr_request_free(task.request);
    dxdr_client_free(client);
    return failed;
}

/* Once the name server answers, be it with a failure, the same names are looked up anew. */
static int an_answer_is_heard_again(void)
{
    int failed = 1;
    dxdr_token *token = NULL;
    dxdr_buf *error = NULL;
    dxdr_client *client = client_with(60000);
    dxdr_request *request = request_for(client, "signal.silent.example");
    close(never[1]);
    REQUIRE_STATUS(DXDR_STATUS_DNS, dxdr_acquire_token(request, LONG_MS, NULL, &token, &error));
    REQUIRE(is_asked() && token == NULL);
    REQUIRE_HOLDS(text_of(error), "signal.silent.example");
    failed = 0;
cleanup:
    dxdr_buf_free(error);
    dxdr_request_free(request);
    dxdr_client_free(client);
    return failed;
}

int main(void)
{
    PROGRAM_BEGIN;
    if (pipe(asked) != 0 || pipe(never) != 0) {
        return 1;
    }
    RUN(a_look_up_ends_with_the_limit_of_the_call);
    RUN(a_look_up_ends_with_the_limit_for_connecting);
    RUN(a_signal_ends_a_look_up);
    RUN(an_answer_is_heard_again);
    PROGRAM_END;
}
