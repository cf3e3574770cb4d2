/* A disk that does not answer, for the process that loads this: whoever looks at a file below $HUNG_DISK_LOOK, or starts a program below
 * $HUNG_DISK_START, connects to the Unix socket $HUNG_DISK_SOCKET and waits until the other end is closed. */

#define _GNU_SOURCE
#include <dlfcn.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

static void hang(const char *variable, const char *path) {
    const char *below = getenv(variable), *name = getenv("HUNG_DISK_SOCKET");
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    char byte;
    if (path == NULL || below == NULL || name == NULL || strncmp(path, below, strlen(below)) != 0) return;
    strncpy(address.sun_path, name, sizeof address.sun_path - 1);
    int hold = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (connect(hold, (struct sockaddr *)&address, sizeof address) == 0)
        while (read(hold, &byte, 1) > 0) {}
    close(hold);
}

#define REAL(type, name) ((type)dlsym(RTLD_NEXT, name))

int statx(int folder, const char *restrict path, int flags, unsigned mask, struct statx *restrict found) {
    hang("HUNG_DISK_LOOK", path);
    return REAL(int (*)(int, const char *, int, unsigned, struct statx *), "statx")(folder, path, flags, mask, found);
}

int stat64(const char *restrict path, struct stat64 *restrict found) {
    hang("HUNG_DISK_LOOK", path);
    return REAL(int (*)(const char *, struct stat64 *), "stat64")(path, found);
}

int posix_spawnp(pid_t *restrict child, const char *restrict path, const posix_spawn_file_actions_t *actions,
                 const posix_spawnattr_t *restrict attributes, char *const arguments[restrict], char *const variables[restrict]) {
    hang("HUNG_DISK_START", path);
    return REAL(int (*)(pid_t *, const char *, const posix_spawn_file_actions_t *, const posix_spawnattr_t *, char *const[], char *const[]),
                "posix_spawnp")(child, path, actions, attributes, arguments, variables);
}

int execvp(const char *path, char *const arguments[]) {
    hang("HUNG_DISK_START", path);
    return REAL(int (*)(const char *, char *const[]), "execvp")(path, arguments);
}
