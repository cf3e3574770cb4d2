/*
 * The contract: what a caller gives and gets as a secret is wiped when it is freed (CA-28). The program frees everything and then looks for the texts
 * in all memory that it can write to, what the allocator took back included. The token service is a process of its own, so that nothing of it is here,
 * and the texts never stand in this program as they are.
 */
#include "check.h"

#include "wire.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>

/* Texts are kept and compared with each byte turned by this. */
#define TURN 0x15
#define CHUNK (1u << 20)
#define LEN 32
#define ANSWERS 2

/* A text that nothing else has: `kind` stands in it. */
struct text {
    unsigned char turned[LEN];
};

static struct text text(char kind)
{
    struct text made;
    for (int at = 0; at < LEN; at++) {
        made.turned[at] = (unsigned char)(("canary"[at % 6] == 'c' ? kind : (char)('A' + (at * 7 + kind) % 26)) ^ TURN);
    }
    return made;
}

/* The text itself, for as long as the caller needs it. */
static void turn_back(struct text made, char out[LEN + 1])
{
    for (int at = 0; at < LEN; at++) {
        out[at] = (char)(made.turned[at] ^ TURN);
    }
    out[LEN] = '\0';
}

static void wipe(void *memory, size_t len)
{
    volatile unsigned char *at = memory;
    while (len-- > 0) {
        *at++ = 0;
    }
}

/* How often the text stands in this process's memory: its bytes `step` apart, as UTF-8 (1) or UTF-16 (2) has them. -1 when the memory cannot be read. */
static int copies(struct text made, size_t step)
{
    static unsigned char chunk[CHUNK + LEN * 2];
    char line[512];
    int found = 0;
    const size_t len = LEN * step;
    const int memory = open("/proc/self/mem", O_RDONLY);
    FILE *maps = fopen("/proc/self/maps", "r");
    if (memory < 0 || maps == NULL) {
        found = -1;
    }
    while (found >= 0 && fgets(line, sizeof line, maps) != NULL) {
        uintptr_t from = 0, to = 0;
        char rights[8] = "";
        if (sscanf(line, "%" SCNxPTR "-%" SCNxPTR " %7s", &from, &to, rights) != 3 || rights[1] != 'w' || strstr(line, "[vvar") != NULL) {
            continue;
        }
        for (; from < to; from += CHUNK) {
            const size_t wanted = to - from < CHUNK + len ? to - from : CHUNK + len;
            const ssize_t got = pread(memory, chunk, wanted, (off_t)from);
            for (size_t at = 0; got >= (ssize_t)len && at <= (size_t)got - len && at < CHUNK; at++) {
                size_t same = 0;
                while (same < LEN && (chunk[at + same * step] ^ TURN) == made.turned[same] && (step == 1 || chunk[at + same * step + 1] == 0)) {
                    same++;
                }
                /* What was read for this look is no copy. */
                if (same == LEN && (from + at < (uintptr_t)chunk || from + at >= (uintptr_t)chunk + sizeof chunk)) {
                    found++;
                }
            }
            wipe(chunk, sizeof chunk);
        }
    }
    if (maps != NULL) {
        fclose(maps);
    }
    if (memory >= 0) {
        close(memory);
    }
    return found;
}

static dxdr_secret *secret_of(struct text made)
{
    char plain[LEN + 1];
    dxdr_secret *secret = NULL;
    turn_back(made, plain);
    dxdr_secret_new_utf8((const uint8_t *)plain, LEN, &secret, NULL);
    wipe(plain, sizeof plain);
    return secret;
}

static dxdr_secret *secret_of_utf16(struct text made)
{
    uint16_t plain[LEN];
    dxdr_secret *secret = NULL;
    for (int at = 0; at < LEN; at++) {
        plain[at] = (uint16_t)(made.turned[at] ^ TURN);
    }
    dxdr_secret_new_utf16(plain, LEN, &secret, NULL);
    wipe(plain, sizeof plain);
    return secret;
}

/* Answers each request with tokens of the kinds 'a', 'r'; never returns. */
static void serve(int listener)
{
    char access[LEN + 1], refresh[LEN + 1], request[8192], body[512], answer[1024];
    turn_back(text('a'), access);
    turn_back(text('r'), refresh);
    /* {"oid":"oid","tid":TENANT,"upn":"ana@contoso.com"} */
    const int size = snprintf(body, sizeof body,
                              "{\"token_type\":\"Bearer\",\"expires_in\":\"3599\",\"access_token\":\"%s\",\"refresh_token\":\"%s\",\"id_token\":\"eyJhbGciOiJub25lIn0."
                              "eyJvaWQiOiJvaWQiLCJ0aWQiOiI4ZTU4ZjBiZi0zZjdjLTRkYzAtOTBjMy1mMTNhOTJkMDc4OTciLCJ1cG4iOiJhbmFAY29udG9zby5jb20ifQ.\"}",
                              access, refresh);
    const int len = snprintf(answer, sizeof answer, "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%s", size, body);
    for (;;) {
        const int fd = accept(listener, NULL, NULL);
        size_t used = 0;
        ssize_t got;
        while (fd >= 0 && used < sizeof request - 1 && (got = recv(fd, request + used, sizeof request - 1 - used, 0)) > 0) {
            used += (size_t)got;
            request[used] = '\0';
            if (strstr(request, "password=") != NULL || strstr(request, "refresh_token=") != NULL) {
                break;
            }
        }
        if (fd >= 0 && send(fd, answer, (size_t)len, MSG_NOSIGNAL) == len && shutdown(fd, SHUT_WR) == 0) {
            while (recv(fd, request, sizeof request, 0) > 0) {
            }
        }
        if (fd >= 0) {
            close(fd);
        }
    }
}

static uint16_t port = 0;

static dxdr_request *person(dxdr_client *client, const char *resource)
{
    char json[400];
    dxdr_request *request = NULL;
    snprintf(json, sizeof json,
             "{\"grant\":\"password\",\"authority\":\"http://127.0.0.1:%u/" TENANT "\",\"client_id\":\"" PUBLIC_APP "\",\"username\":\"ana@contoso.com\",\"resource\":\"%s\"}",
             (unsigned)port, resource);
    dxdr_request_new(client, TEXT(json), &request, NULL);
    return request;
}

static dxdr_client *private_without_proxy(void)
{
    dxdr_client *client = NULL;
    dxdr_client_new(TEXT("{\"cache\":\"private\",\"proxy\":\"none\",\"emulator\":\"\"}"), &client, NULL);
    return client;
}

/* The look itself finds what is there. */
static int a_secret_that_is_held_is_found_and_one_that_was_freed_is_not(void)
{
    int failed = 1;
    dxdr_client *client = private_without_proxy();
    dxdr_request *request = person(client, API);
    dxdr_secret *secret = secret_of(text('h')), *wide = secret_of_utf16(text('w'));
    dxdr_buf *error = NULL;
    REQUIRE(request != NULL && secret != NULL && wide != NULL);
    REQUIRE(copies(text('h'), 1) > 0 && copies(text('w'), 1) > 0);
    REQUIRE_OK(dxdr_request_set_secret(request, TEXT("password"), secret, &error));
    /* In the place of the first. */
    REQUIRE_OK(dxdr_request_set_secret(request, TEXT("password"), wide, &error));
    REQUIRE_STATUS(DXDR_STATUS_OK, dxdr_secret_free(secret));
    REQUIRE_STATUS(DXDR_STATUS_OK, dxdr_secret_free(wide));
    secret = wide = NULL;
    REQUIRE(copies(text('h'), 1) == 0);
    REQUIRE(copies(text('w'), 1) > 0);
    REQUIRE_STATUS(DXDR_STATUS_OK, dxdr_request_free(request));
    request = NULL;
    REQUIRE(copies(text('w'), 1) == 0 && copies(text('w'), 2) == 0);
    failed = 0;
cleanup:
    dxdr_buf_free(error);
    dxdr_secret_free(secret);
    dxdr_secret_free(wide);
    dxdr_request_free(request);
    dxdr_client_free(client);
    return failed;
}

static int what_was_sent_and_what_came_is_gone_once_all_is_freed(void)
{
    int failed = 1;
    dxdr_client *client = private_without_proxy();
    dxdr_request *request = person(client, API), *graph = person(client, "https://graph.microsoft.com");
    dxdr_secret *password = secret_of(text('p'));
    dxdr_token *token = NULL, *second = NULL;
    dxdr_buf *error = NULL, *exported = NULL, *listed = NULL;
    REQUIRE(request != NULL && graph != NULL && password != NULL);
    REQUIRE_OK(dxdr_request_set_secret(request, TEXT("password"), password, &error));
    REQUIRE_OK(dxdr_request_set_secret(graph, TEXT("password"), password, &error));
    REQUIRE_OK(dxdr_acquire_token(request, LONG_MS, NULL, &token, &error));
    REQUIRE_OK(dxdr_acquire_token(graph, LONG_MS, NULL, &second, &error));
    REQUIRE_OK(dxdr_client_accounts(client, &listed, &error));
    REQUIRE_OK(dxdr_client_export_refresh_token(client, TEXT("ana@contoso.com"), TEXT(PUBLIC_APP), &exported, &error));
    REQUIRE(length_of(exported) == LEN && copies(text('r'), 1) > 0 && copies(text('a'), 1) > 0 && copies(text('p'), 1) > 0);
    REQUIRE_STATUS(DXDR_STATUS_OK, dxdr_buf_free(exported));
    REQUIRE_STATUS(DXDR_STATUS_OK, dxdr_buf_free(listed));
    REQUIRE_STATUS(DXDR_STATUS_OK, dxdr_token_free(token));
    REQUIRE_STATUS(DXDR_STATUS_OK, dxdr_token_free(second));
    REQUIRE_STATUS(DXDR_STATUS_OK, dxdr_secret_free(password));
    REQUIRE_STATUS(DXDR_STATUS_OK, dxdr_request_free(request));
    REQUIRE_STATUS(DXDR_STATUS_OK, dxdr_request_free(graph));
    REQUIRE_STATUS(DXDR_STATUS_OK, dxdr_client_free(client));
    exported = listed = NULL;
    token = second = NULL;
    password = NULL;
    request = graph = NULL;
    client = NULL;
    /* Two answers came, and the HTTP crate does not wipe the buffers that it read them into. What was sent, and all that was kept, is gone. */
    REQUIRE(copies(text('p'), 1) == 0);
    REQUIRE(copies(text('a'), 1) <= ANSWERS && copies(text('r'), 1) <= ANSWERS);
    failed = 0;
cleanup:
    dxdr_buf_free(error);
    dxdr_buf_free(exported);
    dxdr_buf_free(listed);
    dxdr_token_free(token);
    dxdr_token_free(second);
    dxdr_secret_free(password);
    dxdr_request_free(request);
    dxdr_request_free(graph);
    dxdr_client_free(client);
    return failed;
}

int main(void)
{
    PROGRAM_BEGIN;
    const int listener = listen_on(&port);
    const pid_t server = listener < 0 ? -1 : fork();
    if (server == 0) {
        alarm(WATCHDOG_S);
        serve(listener);
    }
    if (server < 0) {
        fprintf(stderr, "there is no service\n");
        return 1;
    }
    close(listener);
    RUN(a_secret_that_is_held_is_found_and_one_that_was_freed_is_not);
    RUN(what_was_sent_and_what_came_is_gone_once_all_is_freed);
    kill(server, SIGKILL);
    waitpid(server, NULL, 0);
    PROGRAM_END;
}
