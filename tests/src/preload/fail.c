/* The call number $CAPSULE_TEST_FAIL_AT that changes something below $CAPSULE_HOME fails with EIO; with $CAPSULE_TEST_FAIL_ON,
   every later one as well; with $CAPSULE_TEST_KILL, the process is killed instead. Counted in the process that starts first: what it runs is not affected. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <unistd.h>

static int below_home(int dir, const char *name) {
    char link[64], base[PATH_MAX] = "";
    const char *home = getenv("CAPSULE_HOME");
    if (!home) return 0;
    if (name && name[0] == '/') return strncmp(name, home, strlen(home)) == 0;
    if (dir == AT_FDCWD) {
        if (!getcwd(base, sizeof base)) return 0;
    } else {
        snprintf(link, sizeof link, "/proc/self/fd/%d", dir);
        if (syscall(SYS_readlinkat, AT_FDCWD, link, base, sizeof base - 1) < 0) return 0;
    }
    return strncmp(base, home, strlen(home)) == 0;
}

static int fails(int dir, const char *name) {
    static atomic_int calls;
    const char *at = getenv("CAPSULE_TEST_FAIL_AT");
    if (!at || !below_home(dir, name)) return 0;
    int call = atomic_fetch_add(&calls, 1) + 1;
    int failing = call == atoi(at) || (call > atoi(at) && getenv("CAPSULE_TEST_FAIL_ON"));
    if (failing && getenv("CAPSULE_TEST_KILL")) kill(getpid(), SIGKILL);
    if (failing) errno = EIO;
    return failing;
}

static int open_at(int dir, const char *name, int flags, mode_t mode) {
    if ((flags & O_CREAT) && fails(dir, name)) return -1;
    return syscall(SYS_openat, dir, name, flags, mode);
}

#define OPENAT(NAME) \
    int NAME(int dir, const char *name, int flags, ...) { \
        va_list more; va_start(more, flags); mode_t mode = va_arg(more, mode_t); va_end(more); \
        return open_at(dir, name, flags, mode); \
    }
OPENAT(openat)
OPENAT(openat64)

ssize_t write(int fd, const void *from, size_t count) {
    return fails(fd, NULL) ? -1 : syscall(SYS_write, fd, from, count);
}

int fsync(int fd) { return fails(fd, NULL) ? -1 : syscall(SYS_fsync, fd); }

int fdatasync(int fd) { return fails(fd, NULL) ? -1 : syscall(SYS_fdatasync, fd); }

int renameat(int from_dir, const char *from, int to_dir, const char *to) {
    return fails(from_dir, from) ? -1 : syscall(SYS_renameat2, from_dir, from, to_dir, to, 0);
}

int unlinkat(int dir, const char *name, int flags) {
    return fails(dir, name) ? -1 : syscall(SYS_unlinkat, dir, name, flags);
}

int mkdirat(int dir, const char *name, mode_t mode) {
    return fails(dir, name) ? -1 : syscall(SYS_mkdirat, dir, name, mode);
}

int mkdir(const char *name, mode_t mode) { return mkdirat(AT_FDCWD, name, mode); }
