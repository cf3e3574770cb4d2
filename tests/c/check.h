/*
 * check.h: the little that the C callers' tests share. Include it first: it asks for POSIX before any system header does.
 *
 * A check is a function `static int name(void)`. It returns 0 when all it requires is so; a REQUIRE that is not prints one line to standard
 * error and goes to `cleanup`. A watchdog ends a program that hangs, so that no wait is without a bound.
 */
#ifndef CHECK_H
#define CHECK_H

#ifndef _POSIX_C_SOURCE
#define _POSIX_C_SOURCE 200809L
#endif
#ifdef __APPLE__
#define _DARWIN_C_SOURCE
#endif

#include "defender_xdr.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* The longest a program may take, in seconds; under a tool that slows programs down, too. */
#define WATCHDOG_S 240
/* What "at once" means for a call that is cancelled while another thread looks: generous, since machines are busy, and far below any time limit in use. */
#define SOON_MS 5000
/* A wait that something else has to end. */
#define LONG_MS 120000u

/* The test data of the emulator. */
#define TENANT "8e58f0bf-3f7c-4dc0-90c3-f13a92d07897"
#define DOMAIN "fabrikam.example"
#define PUBLIC_APP "22869222-3c51-4d11-ad15-99b70e71c548"
#define APP "51a6db97-19f4-4f4c-9cfc-880283b334a2"
#define APP_SECRET "emu8Q~runbook.secret.for.tests.only-1"
#define API "https://api.security.microsoft.com"

#define REQUIRE(condition)                                                                    \
    do {                                                                                      \
        if (!(condition)) {                                                                   \
            fprintf(stderr, "%s:%d: %s: not so: %s\n", __FILE__, __LINE__, __func__, #condition); \
            goto cleanup;                                                                     \
        }                                                                                     \
    } while (0)

#define REQUIRE_STATUS(want, call)                                                                                                \
    do {                                                                                                                          \
        const int32_t got_ = (call);                                                                                              \
        if (got_ != (want)) {                                                                                                     \
            fprintf(stderr, "%s:%d: %s: %s gave %" PRId32 " %s, not %s\n", __FILE__, __LINE__, __func__, #call, got_, dxdr_status_name(got_), #want); \
            goto cleanup;                                                                                                         \
        }                                                                                                                         \
    } while (0)

/* For a call that takes `&error`: prints the document when it does not succeed. */
#define REQUIRE_OK(call)                                                                                                            \
    do {                                                                                                                            \
        const int32_t got_ = (call);                                                                                                \
        if (got_ != DXDR_STATUS_OK) {                                                                                               \
            fprintf(stderr, "%s:%d: %s: %s gave %" PRId32 " %s: %s\n", __FILE__, __LINE__, __func__, #call, got_, dxdr_status_name(got_), text_of(error)); \
            goto cleanup;                                                                                                           \
        }                                                                                                                           \
    } while (0)

/* Requires that a text holds another; prints both when not. */
#define REQUIRE_HOLDS(text, part)                                                                                    \
    do {                                                                                                             \
        const char *text_ = (text);                                                                                  \
        const char *part_ = (part);                                                                                  \
        if (text_ == NULL || strstr(text_, part_) == NULL) {                                                         \
            fprintf(stderr, "%s:%d: %s: no %s in: %s\n", __FILE__, __LINE__, __func__, part_, text_ ? text_ : "NULL"); \
            goto cleanup;                                                                                            \
        }                                                                                                            \
    } while (0)

#define RUN(check)                                         \
    do {                                                   \
        if (check() == 0) {                                \
            passed_++;                                     \
            printf("ok %s\n", #check);                     \
        } else {                                           \
            failed_++;                                     \
            printf("FAILED %s\n", #check);                 \
        }                                                  \
        fflush(stdout);                                    \
    } while (0)

#define PROGRAM_BEGIN                \
    int passed_ = 0, failed_ = 0;    \
    alarm(WATCHDOG_S)

#define PROGRAM_END                                               \
    printf("%d passed, %d failed\n", passed_, failed_);           \
    return failed_ == 0 && passed_ > 0 ? 0 : 1

/* Text with its length in bytes, as most inputs want it. */
#define TEXT(literal) (const uint8_t *)(literal), strlen(literal)

/* The text of a buffer, which stays lent until it is freed; "(none)" for none. */
static inline const char *text_of(const dxdr_buf *buf)
{
    const uint8_t *data = NULL;
    size_t len = 0;
    if (buf == NULL || dxdr_buf_get(buf, &data, &len) != DXDR_STATUS_OK) {
        return "(none)";
    }
    return (const char *)data;
}

/* A token's value, which stays lent until the token is freed. */
static inline const char *value_of(const dxdr_token *token)
{
    const uint8_t *data = NULL;
    size_t len = 0;
    return dxdr_token_value(token, &data, &len) == DXDR_STATUS_OK && strlen((const char *)data) == len ? (const char *)data : "(no token)";
}

static inline size_t length_of(const dxdr_buf *buf)
{
    const uint8_t *data = NULL;
    size_t len = 0;
    return dxdr_buf_get(buf, &data, &len) == DXDR_STATUS_OK ? len : 0;
}

/* Frees a buffer and forgets it. */
static inline void drop_buf(dxdr_buf **buf)
{
    dxdr_buf_free(*buf);
    *buf = NULL;
}

/* The status that an error document names, or -1. */
static inline int32_t code_of(const dxdr_buf *error)
{
    const char *at = strstr(text_of(error), "\"code\":");
    return at ? (int32_t)strtol(at + 7, NULL, 10) : -1;
}

static inline int64_t now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* The value of the first `"name":"..."` of a document, with the escapes \" \\ \/ undone; to be freed, NULL when there is none. */
static inline char *json_text(const char *json, const char *name)
{
    char key[80];
    snprintf(key, sizeof key, "\"%s\":\"", name);
    const char *from = strstr(json, key);
    if (from == NULL) {
        return NULL;
    }
    from += strlen(key);
    char *value = malloc(strlen(from) + 1);
    char *to = value;
    while (value != NULL && *from != '\0' && *from != '"') {
        if (*from == '\\' && from[1] != '\0') {
            from++;
        }
        *to++ = *from++;
    }
    if (value != NULL) {
        *to = '\0';
    }
    return value;
}

/* The first `"name":123` of a document, or -1. */
static inline int64_t json_number(const char *json, const char *name)
{
    char key[80];
    snprintf(key, sizeof key, "\"%s\":", name);
    const char *from = strstr(json, key);
    return from ? strtoll(from + strlen(key), NULL, 10) : -1;
}

static inline size_t count_of(const char *text, const char *part)
{
    size_t count = 0;
    for (const char *at = text; (at = strstr(at, part)) != NULL; at += strlen(part)) {
        count++;
    }
    return count;
}

/* A client with a cache of its own. */
static inline dxdr_client *private_client(void)
{
    dxdr_client *client = NULL;
    dxdr_client_new(TEXT("{\"cache\":\"private\",\"application\":\"c-tests/1\"}"), &client, NULL);
    return client;
}

/* A prepared request with one secret, from a document; NULL (and a line on standard error) when that fails. */
static inline dxdr_request *request_with(dxdr_client *client, const char *json, const char *name, const char *value)
{
    dxdr_request *request = NULL;
    dxdr_secret *secret = NULL;
    dxdr_buf *error = NULL;
    int32_t status = dxdr_request_new(client, TEXT(json), &request, &error);
    if (status == DXDR_STATUS_OK && name != NULL) {
        status = dxdr_secret_new_utf8(TEXT(value), &secret, &error);
        if (status == DXDR_STATUS_OK) {
            status = dxdr_request_set_secret(request, TEXT(name), secret, &error);
        }
        dxdr_secret_free(secret);
    }
    if (status != DXDR_STATUS_OK) {
        fprintf(stderr, "request: %s\n", text_of(error));
        dxdr_request_free(request);
        request = NULL;
    }
    dxdr_buf_free(error);
    return request;
}

/* The app of the test data that signs in by itself; v1 endpoints. */
static inline dxdr_request *app_request(dxdr_client *client)
{
    return request_with(client, "{\"grant\":\"client_credentials\",\"tenant_id\":\"" TENANT "\",\"client_id\":\"" APP "\",\"resource\":\"" API "\"}",
                        "client_secret", APP_SECRET);
}

/* What a thread did, and its end within a bound: the watchdog sees to that. */
struct task {
    pthread_t thread;
    dxdr_request *request;
    dxdr_op *op;
    dxdr_cancel *cancel;
    uint32_t timeout_ms;
    int32_t status;
    int32_t state;
    dxdr_token *token;
    dxdr_buf *page;
    dxdr_buf *error;
    int64_t ended_ms;
};

static inline void *acquire_in_thread(void *pointer)
{
    struct task *task = pointer;
    task->status = dxdr_acquire_token(task->request, task->timeout_ms, task->cancel, &task->token, &task->error);
    task->ended_ms = now_ms();
    return NULL;
}

static inline void *page_in_thread(void *pointer)
{
    struct task *task = pointer;
    task->status = dxdr_get_incidents(task->request, NULL, 0, task->timeout_ms, task->cancel, &task->page, &task->error);
    task->ended_ms = now_ms();
    return NULL;
}

static inline void *wait_in_thread(void *pointer)
{
    struct task *task = pointer;
    task->status = dxdr_op_wait(task->op, LONG_MS, &task->state);
    task->ended_ms = now_ms();
    return NULL;
}

#endif
