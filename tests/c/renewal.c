/*
 * The contract: where the service says when to renew (`refresh_in`), a caller gets the token that is there without a wait and another call brings
 * the next. Needs the build with test hooks, whose clock this program moves; the token service is this program, too.
 */
#include "check.h"

#include "wire.h"

#define HALF_A_DAY 43200
#define TOKEN "{\"token_type\":\"Bearer\",\"expires_in\":\"86399\",\"refresh_in\":\"43200\",\"access_token\":\"token-%d\"}"

/* `line` is to the library's clock, which all clients of the process share. */
static int clock_listener = -1, line = -1, server = -1;
static uint16_t port = 0;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t moved = PTHREAD_COND_INITIALIZER;
/* How many requests came since the check began, and how many may be answered. */
static int asked = 0, allowed = 0;

static void *answer(void *pointer)
{
    const int fd = (int)(intptr_t)pointer;
    char text[8192], body[256];
    size_t used = 0;
    while (used < sizeof text - 1) {
        const ssize_t got = recv(fd, text + used, sizeof text - 1 - used, 0);
        if (got <= 0) {
            break;
        }
        used += (size_t)got;
        text[used] = '\0';
        if (strstr(text, "\r\n\r\n") != NULL && (strncmp(text, "GET", 3) == 0 || strstr(text, "client_secret=") != NULL)) {
            break;
        }
    }
    pthread_mutex_lock(&lock);
    const int number = ++asked;
    while (number > allowed) {
        pthread_cond_wait(&moved, &lock);
    }
    pthread_mutex_unlock(&lock);
    const int size = snprintf(body, sizeof body, TOKEN, number);
    const int len = snprintf(text, sizeof text, "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%s", size, body);
    if (send(fd, text, (size_t)len, MSG_NOSIGNAL) == len && shutdown(fd, SHUT_WR) == 0) {
        while (recv(fd, text, sizeof text, 0) > 0) {
        }
    }
    close(fd);
    return NULL;
}

static void *serve(void *unused)
{
    (void)unused;
    for (;;) {
        pthread_t thread;
        const int fd = accept(server, NULL, NULL);
        if (fd >= 0 && pthread_create(&thread, NULL, answer, (void *)(intptr_t)fd) == 0) {
            pthread_detach(thread);
        }
    }
    return NULL;
}

static int times_asked(void)
{
    pthread_mutex_lock(&lock);
    const int count = asked;
    pthread_mutex_unlock(&lock);
    return count;
}

static void allow(int count)
{
    pthread_mutex_lock(&lock);
    allowed = count;
    pthread_cond_broadcast(&moved);
    pthread_mutex_unlock(&lock);
}

/* Moves the library's clock; true once it has moved. */
static int pass(long seconds)
{
    char text[64], byte;
    size_t used = 0;
    const int len = snprintf(text, sizeof text, "advance %ld\n", seconds * 1000);
    if (send(line, text, (size_t)len, MSG_NOSIGNAL) != len) {
        return 0;
    }
    while (recv(line, &byte, 1, 0) == 1) {
        if (byte != '\n' && used < sizeof text - 1) {
            text[used++] = byte;
        } else if (byte == '\n') {
            text[used] = '\0';
            used = 0;
            if (strncmp(text, "now ", 4) == 0) {
                return 1;
            }
        }
    }
    return 0;
}

/* True if the cache has that token, and says so at once. */
static int has(dxdr_request *request, const char *value)
{
    dxdr_token *token = NULL;
    dxdr_buf *error = NULL;
    int same = 0;
    if (dxdr_cached_token(request, &token, &error) == DXDR_STATUS_OK && token != NULL) {
        same = strcmp(value_of(token), value) == 0;
    }
    dxdr_buf_free(error);
    dxdr_token_free(token);
    return same;
}

static int is_renewed_ahead(const char *json, const char *secret)
{
    int failed = 1;
    int64_t until;
    dxdr_client *client = NULL;
    dxdr_request *request = NULL;
    dxdr_token *token = NULL;
    dxdr_buf *error = NULL, *about = NULL;
    pthread_mutex_lock(&lock);
    asked = 0;
    allowed = 2;
    pthread_mutex_unlock(&lock);
    REQUIRE_OK(dxdr_client_new(TEXT("{\"cache\":\"private\",\"proxy\":\"none\",\"emulator\":\"\"}"), &client, &error));
    REQUIRE(line >= 0 || (line = accept_one(clock_listener)) >= 0);
    REQUIRE((request = request_with(client, json, secret, APP_SECRET)) != NULL);
    REQUIRE_OK(dxdr_acquire_token(request, LONG_MS, NULL, &token, &error));
    REQUIRE(strcmp(value_of(token), "token-1") == 0);
    REQUIRE_OK(dxdr_token_describe(token, &about, &error));
    REQUIRE_HOLDS(text_of(about), "\"refresh_on\":1");
    REQUIRE(pass(HALF_A_DAY - 1) && has(request, "token-1") && times_asked() == 1);
    REQUIRE(pass(1) && has(request, "token-1"));
    for (until = now_ms() + LONG_MS; !has(request, "token-2") && now_ms() < until;) {
        sched_yield();
    }
    REQUIRE(has(request, "token-2") && times_asked() == 2);
    /* The service takes its time for the next: nobody waits for it. Who came while the renewal before was ending looks again after half a minute. */
    REQUIRE(pass(HALF_A_DAY));
    for (until = now_ms() + 20000; times_asked() < 3 && now_ms() < until;) {
        REQUIRE(has(request, "token-2") && pass(31));
        poll(NULL, 0, 31);
    }
    REQUIRE(times_asked() == 3);
    REQUIRE_STATUS(DXDR_STATUS_OK, dxdr_token_free(token));
    token = NULL;
    REQUIRE_OK(dxdr_acquire_token(request, LONG_MS, NULL, &token, &error));
    REQUIRE(strcmp(value_of(token), "token-2") == 0 && times_asked() == 3);
    allow(3);
    for (until = now_ms() + LONG_MS; !has(request, "token-3") && now_ms() < until;) {
        sched_yield();
    }
    REQUIRE(has(request, "token-3") && times_asked() == 3);
    failed = 0;
cleanup:
    allow(1000);
    dxdr_buf_free(error);
    dxdr_buf_free(about);
    dxdr_token_free(token);
    dxdr_request_free(request);
    dxdr_client_free(client);
    return failed;
}

static int an_apps_token_is_renewed_ahead(void)
{
    char json[300];
    snprintf(json, sizeof json, "{\"grant\":\"client_credentials\",\"authority\":\"http://127.0.0.1:%u/" TENANT "\",\"client_id\":\"" APP "\",\"resource\":\"" API "\"}",
             (unsigned)port);
    return is_renewed_ahead(json, "client_secret");
}

static int a_managed_identitys_token_is_renewed_ahead(void)
{
    return is_renewed_ahead("{\"grant\":\"managed_identity\",\"resource\":\"" API "\"}", NULL);
}

int main(void)
{
    char address[64];
    uint16_t clock_port = 0;
    pthread_t thread;
    PROGRAM_BEGIN;
    clock_listener = listen_on(&clock_port);
    server = listen_on(&port);
    snprintf(address, sizeof address, "127.0.0.1:%u", (unsigned)clock_port);
    /* Before the library's first look at them. */
    if (clock_listener < 0 || server < 0 || setenv("DEFENDER_XDR_TEST_CLOCK", address, 1) != 0 || unsetenv("IDENTITY_ENDPOINT") != 0
        || unsetenv("MSI_ENDPOINT") != 0) {
        fprintf(stderr, "there is no clock\n");
        return 1;
    }
    snprintf(address, sizeof address, "http://127.0.0.1:%u", (unsigned)port);
    if (setenv("AZURE_POD_IDENTITY_AUTHORITY_HOST", address, 1) != 0 || pthread_create(&thread, NULL, serve, NULL) != 0) {
        fprintf(stderr, "there is no service\n");
        return 1;
    }
    RUN(an_apps_token_is_renewed_ahead);
    RUN(a_managed_identitys_token_is_renewed_ahead);
    PROGRAM_END;
}
