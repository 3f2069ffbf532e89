/* Preloaded into a process: the SHORT_AT-th write below SHORT_BELOW writes only half of what it was given, as a disk
   that is about to be full or a signal makes it. The rest is for the caller to write again, or to notice. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int is_due(int fd, size_t count) {
    static int seen = 0;
    char link[64], path[4096];
    const char *below = getenv("SHORT_BELOW"), *at = getenv("SHORT_AT");
    if (below == NULL || at == NULL || count < 2) return 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (length <= 0) return 0;
    path[length] = 0;
    if (strncmp(path, below, strlen(below)) != 0) return 0;
    return ++seen == atoi(at);
}

ssize_t write(int fd, const void *data, size_t count) {
    ssize_t (*real)(int, const void *, size_t) = dlsym(RTLD_NEXT, "write");
    return real(fd, data, is_due(fd, count) ? count / 2 : count);
}

ssize_t pwrite64(int fd, const void *data, size_t count, off64_t offset) {
    ssize_t (*real)(int, const void *, size_t, off64_t) = dlsym(RTLD_NEXT, "pwrite64");
    return real(fd, data, is_due(fd, count) ? count / 2 : count, offset);
}

ssize_t pwrite(int fd, const void *data, size_t count, off_t offset) {
    return pwrite64(fd, data, count, offset);
}
