/*
 * wire.h: loopback sockets for the C callers' tests: a black hole that accepts and stays silent, and enough HTTP to steer the emulator and to
 * play the browser. Include it after check.h.
 */
#ifndef WIRE_H
#define WIRE_H

#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/time.h>

/* Listens on a loopback port; 0 takes a free one, which is put in its place. -1 when the port is not free. */
static inline int listen_on(uint16_t *port)
{
    const int fd = socket(AF_INET, SOCK_STREAM, 0);
    /* As any server does: what is left of closed connections does not keep a port. A listener does. */
    const int on = 1;
    struct sockaddr_in address;
    socklen_t len = sizeof address;
    memset(&address, 0, sizeof address);
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    address.sin_port = htons(*port);
    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) != 0 || bind(fd, (struct sockaddr *)&address, sizeof address) != 0
        || listen(fd, 64) != 0 || getsockname(fd, (struct sockaddr *)&address, &len) != 0) {
        if (fd >= 0) {
            close(fd);
        }
        return -1;
    }
    *port = ntohs(address.sin_port);
    return fd;
}

/* The next connection, within a bound; -1 when none comes. From then on the caller is known to be inside its call. */
static inline int accept_one(int listener)
{
    struct pollfd ready = {.fd = listener, .events = POLLIN, .revents = 0};
    return poll(&ready, 1, (int)LONG_MS) == 1 ? accept(listener, NULL, NULL) : -1;
}

static inline int connect_to(uint16_t port)
{
    const int fd = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in address;
    struct timeval limit = {.tv_sec = 60, .tv_usec = 0};
    memset(&address, 0, sizeof address);
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    address.sin_port = htons(port);
    if (fd >= 0 && connect(fd, (struct sockaddr *)&address, sizeof address) != 0) {
        close(fd);
        return -1;
    }
    if (fd >= 0) {
        setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    }
    return fd;
}

/* True once a port takes connections no more; tries until a bound. */
static inline int port_closes(uint16_t port)
{
    const int64_t until = now_ms() + SOON_MS;
    do {
        uint16_t wanted = port;
        const int fd = listen_on(&wanted);
        if (fd >= 0) {
            close(fd);
            return 1;
        }
        sched_yield();
    } while (now_ms() < until);
    return 0;
}

struct answer {
    int status;
    /* Head and body in one; the body starts at `body`. A NUL stands behind. */
    char *text;
    char *body;
    size_t body_len;
};

static inline void drop_answer(struct answer *answer)
{
    free(answer->text);
    memset(answer, 0, sizeof *answer);
}

/* One HTTP exchange. `headers` are whole lines with their CRLF. 0 on success. */
static inline int ask(uint16_t port, const char *method, const char *path, const char *headers, const char *body, struct answer *answer)
{
    int result = -1;
    size_t used = 0, room = 1 << 16;
    char *request = NULL;
    const int fd = connect_to(port);
    memset(answer, 0, sizeof *answer);
    const size_t size = strlen(path) + strlen(headers) + strlen(body) + 256;
    request = malloc(size);
    answer->text = malloc(room + 1);
    if (fd < 0 || request == NULL || answer->text == NULL) {
        goto cleanup;
    }
    const int len = snprintf(request, size, "%s %s HTTP/1.1\r\nHost: 127.0.0.1:%u\r\nConnection: close\r\n%sContent-Length: %zu\r\n\r\n%s", method, path,
                             (unsigned)port, headers, strlen(body), body);
    if (len < 0 || send(fd, request, (size_t)len, 0) != len) {
        goto cleanup;
    }
    for (;;) {
        if (used == room) {
            char *more = realloc(answer->text, room * 2 + 1);
            if (more == NULL) {
                goto cleanup;
            }
            answer->text = more;
            room *= 2;
        }
        const ssize_t got = recv(fd, answer->text + used, room - used, 0);
        if (got < 0) {
            goto cleanup;
        }
        if (got == 0) {
            break;
        }
        used += (size_t)got;
    }
    answer->text[used] = '\0';
    answer->body = strstr(answer->text, "\r\n\r\n");
    if (sscanf(answer->text, "HTTP/1.%*d %d", &answer->status) != 1 || answer->body == NULL) {
        goto cleanup;
    }
    *answer->body = '\0';
    answer->body += 4;
    answer->body_len = used - (size_t)(answer->body - answer->text);
    result = 0;
cleanup:
    if (fd >= 0) {
        close(fd);
    }
    free(request);
    return result;
}

/* The value of a response header; to be freed, NULL when there is none. `name` in lower case. */
static inline char *header_of(const struct answer *answer, const char *name)
{
    const size_t len = strlen(name);
    for (const char *line = strstr(answer->text, "\r\n"); line != NULL; line = strstr(line, "\r\n")) {
        line += 2;
        size_t at = 0;
        while (at < len && tolower((unsigned char)line[at]) == name[at]) {
            at++;
        }
        if (at == len && line[len] == ':') {
            const char *value = line + len + 1;
            value += strspn(value, " ");
            const char *end = strstr(value, "\r\n");
            const size_t size = end ? (size_t)(end - value) : strlen(value);
            char *copy = malloc(size + 1);
            if (copy != NULL) {
                memcpy(copy, value, size);
                copy[size] = '\0';
            }
            return copy;
        }
    }
    return NULL;
}

/* The emulator's port and one-time key, from DEFENDER_XDR_EMULATOR. */
static inline int emulator(uint16_t *port, char key[128])
{
    unsigned number = 0;
    const char *value = getenv("DEFENDER_XDR_EMULATOR");
    if (value == NULL || sscanf(value, "http://127.0.0.1:%u/%127s", &number, key) != 2) {
        return -1;
    }
    *port = (uint16_t)number;
    return 0;
}

/* A control request to the emulator; 0 when it did as told. The answer may be NULL. */
static inline int control(const char *method, const char *path, const char *body, struct answer *answer)
{
    uint16_t port = 0;
    char key[128], headers[256], whole[128];
    struct answer own;
    if (emulator(&port, key) != 0) {
        return -1;
    }
    snprintf(headers, sizeof headers, "x-emulator-key: %s\r\nContent-Type: application/json\r\n", key);
    snprintf(whole, sizeof whole, "/.emulator/%s", path);
    int result = ask(port, method, whole, headers, body, answer ? answer : &own);
    if (result == 0 && (answer ? answer : &own)->status / 100 != 2) {
        fprintf(stderr, "%s %s: %s\n", method, whole, (answer ? answer : &own)->body);
        result = -1;
    }
    if (answer == NULL) {
        drop_answer(&own);
    }
    return result;
}

/* Everything as it was at the start: faults, tokens, log, data. */
static inline int emulator_reset(void)
{
    return control("POST", "reset", "", NULL);
}

static inline int emulator_faults(const char *faults)
{
    return control("POST", "faults", faults, NULL);
}

/* How many requests of the log hold a text, such as "/oauth2/token\""; -1 when it cannot be had. */
static inline int emulator_asked(const char *part)
{
    struct answer answer;
    int count = -1;
    if (control("GET", "requests", "", &answer) == 0) {
        count = (int)count_of(answer.body, part);
    }
    drop_answer(&answer);
    return count;
}

/* Waits, within a bound, until the log holds a request with that text: from then on the library is waiting for the answer. */
static inline int emulator_is_asked(const char *part)
{
    const int64_t until = now_ms() + LONG_MS;
    while (now_ms() < until) {
        if (emulator_asked(part) > 0) {
            return 1;
        }
        sched_yield();
    }
    return 0;
}

/* Plays the browser: follows an address of the emulator (which approves by itself) until it leads to `redirect_uri`. To be freed; NULL if it never does. */
static inline char *browse(const char *url, const char *redirect_uri)
{
    uint16_t port = 0;
    char key[128], origin[64];
    char *at = strdup(url);
    if (at == NULL || emulator(&port, key) != 0) {
        free(at);
        return NULL;
    }
    snprintf(origin, sizeof origin, "http://127.0.0.1:%u/", (unsigned)port);
    for (int step = 0; step < 10; step++) {
        struct answer answer;
        char *next = NULL;
        if (strncmp(at, origin, strlen(origin)) != 0) {
            break;
        }
        if (ask(port, "GET", at + strlen(origin) - 1, "", "", &answer) == 0) {
            next = header_of(&answer, "location");
        }
        drop_answer(&answer);
        free(at);
        at = next;
        if (at == NULL) {
            return NULL;
        }
        if (strncmp(at, redirect_uri, strlen(redirect_uri)) == 0) {
            return at;
        }
    }
    free(at);
    return NULL;
}

#endif
