/*
 * The contract: the process is the host's. The library leaves its signal handlers, signal mask, working directory, locale and file mode mask as
 * they are; and a connection that breaks while the library writes is a status, not a SIGPIPE that kills a host which left that signal as it was.
 */
#include "check.h"

#include "wire.h"

#include <dirent.h>
#include <locale.h>
#include <signal.h>
#include <sys/stat.h>

#define SIGNALS 31

static int the_hosts_handlers_stay(void)
{
    int failed = 1;
    struct sigaction before[SIGNALS + 1], after;
    sigset_t mask_before, mask_after;
    char cwd_before[4096], cwd_after[4096];
    dxdr_client *client = NULL;
    dxdr_request *request = NULL;
    dxdr_token *token = NULL;
    dxdr_buf *error = NULL;
    const mode_t mode = umask(027);
    REQUIRE(setlocale(LC_ALL, "C") != NULL && getcwd(cwd_before, sizeof cwd_before) != NULL);
    pthread_sigmask(SIG_SETMASK, NULL, &mask_before);
    for (int n = 1; n <= SIGNALS; n++) {
        sigaction(n, NULL, &before[n]);
    }
    REQUIRE(emulator_reset() == 0);
    client = private_client();
    request = app_request(client);
    REQUIRE(request != NULL);
    REQUIRE_OK(dxdr_acquire_token(request, 0, NULL, &token, &error));
    for (int n = 1; n <= SIGNALS; n++) {
        sigaction(n, NULL, &after);
        if (after.sa_handler != before[n].sa_handler || after.sa_flags != before[n].sa_flags) {
            fprintf(stderr, "the handler of signal %d changed\n", n);
            goto cleanup;
        }
    }
    pthread_sigmask(SIG_SETMASK, NULL, &mask_after);
    for (int n = 1; n <= SIGNALS; n++) {
        REQUIRE(sigismember(&mask_before, n) == sigismember(&mask_after, n));
    }
    REQUIRE(getcwd(cwd_after, sizeof cwd_after) != NULL && strcmp(cwd_before, cwd_after) == 0);
    REQUIRE(strcmp(setlocale(LC_ALL, NULL), "C") == 0);
    const mode_t mode_after = umask(027);
    REQUIRE(mode_after == 027);
    failed = 0;
cleanup:
    umask(mode);
    dxdr_token_free(token);
    dxdr_request_free(request);
    dxdr_client_free(client);
    dxdr_buf_free(error);
    return failed;
}

/* A peer that says it is done and then resets: the next write to it raises SIGPIPE, unless somebody saw to it. */
static void *break_connections(void *pointer)
{
    const int listener = *(int *)pointer;
    for (;;) {
        char some[512];
        const struct linger at_once = {.l_onoff = 1, .l_linger = 0};
        const int fd = accept_one(listener);
        if (fd < 0) {
            return NULL;
        }
        /* A part of the request is read, so that the rest is still being written. */
        const ssize_t got = recv(fd, some, sizeof some, 0);
        shutdown(fd, SHUT_WR);
        setsockopt(fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
        close(fd);
        if (got >= 4 && memcmp(some, "STOP", 4) == 0) {
            return NULL;
        }
    }
}

static int a_broken_connection_is_a_status(void)
{
    int failed = 1, fd = -1;
    uint16_t port = 0;
    int listener = listen_on(&port);
    pthread_t thread;
    const int started = listener >= 0 && pthread_create(&thread, NULL, break_connections, &listener) == 0;
    char json[512];
    char *secret = malloc((size_t)4 << 20);
    dxdr_client *client = private_client();
    dxdr_request *request = NULL;
    dxdr_token *token = NULL;
    dxdr_buf *error = NULL;
    struct sigaction standard;
    memset(&standard, 0, sizeof standard);
    standard.sa_handler = SIG_DFL;
    REQUIRE(started && secret != NULL);
    sigaction(SIGPIPE, &standard, NULL);
    /* Large, so that it does not fit into the socket's buffers. */
    memset(secret, 'x', ((size_t)4 << 20) - 1);
    secret[((size_t)4 << 20) - 1] = '\0';
    snprintf(json, sizeof json, "{\"grant\":\"client_credentials\",\"authority\":\"http://127.0.0.1:%u/" TENANT "\",\"client_id\":\"" APP "\",\"resource\":\"" API "\"}", (unsigned)port);
    request = request_with(client, json, "client_secret", secret);
    REQUIRE(request != NULL);
    for (int round = 0; round < 5; round++) {
        const int32_t status = dxdr_acquire_token(request, 0, NULL, &token, &error);
        if (status / 1000 != 3) {
            fprintf(stderr, "a broken connection gave %s\n", text_of(error));
            goto cleanup;
        }
        drop_buf(&error);
    }
    failed = 0;
cleanup:
    if (started) {
        fd = connect_to(port);
        if (fd >= 0 && send(fd, "STOP", 4, 0) == 4) {
            pthread_join(thread, NULL);
        }
        close(fd);
    }
    close(listener);
    free(secret);
    dxdr_token_free(token);
    dxdr_request_free(request);
    dxdr_client_free(client);
    dxdr_buf_free(error);
    return failed;
}

/* On Linux a thread's mask can be looked at: the library's own threads, which do all its writing, have SIGPIPE blocked. */
static int the_librarys_threads_take_no_sigpipe(void)
{
#ifdef __linux__
    int failed = 1, found = 0;
    DIR *tasks = opendir("/proc/self/task");
    REQUIRE(tasks != NULL);
    for (const struct dirent *entry; (entry = readdir(tasks)) != NULL;) {
        char path[300], line[200];
        int ours = 0;
        unsigned long long blocked = 0;
        snprintf(path, sizeof path, "/proc/self/task/%s/status", entry->d_name);
        FILE *file = fopen(path, "r");
        if (file == NULL) {
            continue;
        }
        while (fgets(line, sizeof line, file) != NULL) {
            ours |= strncmp(line, "Name:\tdefender-xdr", 18) == 0;
            sscanf(line, "SigBlk: %llx", &blocked);
        }
        fclose(file);
        if (ours) {
            found++;
            if ((blocked >> (SIGPIPE - 1) & 1) == 0) {
                fprintf(stderr, "a thread of the library would take SIGPIPE\n");
                goto cleanup;
            }
        }
    }
    REQUIRE(found > 0);
    failed = 0;
cleanup:
    if (tasks != NULL) {
        closedir(tasks);
    }
    return failed;
#else
    return 0;
#endif
}

int main(void)
{
    PROGRAM_BEGIN;
    RUN(the_hosts_handlers_stay);
    RUN(the_librarys_threads_take_no_sigpipe);
    RUN(a_broken_connection_is_a_status);
    PROGRAM_END;
}
