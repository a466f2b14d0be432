/* A broken disk: the third write to a stream of events, and every one after it, fails. */
#define _GNU_SOURCE
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

ssize_t write(int fd, const void *from, size_t count) {
    static int writes;
    char name[64], path[512];
    snprintf(name, sizeof name, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(name, path, sizeof path - 1);
    if (length > 0) {
        path[length] = 0;
        if (strstr(path, "/events.jsonl") && ++writes > 2) {
            errno = EIO;
            return -1;
        }
    }
    return syscall(SYS_write, fd, from, count);
}
