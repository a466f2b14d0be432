/* Notes every change to files below $CAPSULE_HOME in the file $CAPSULE_TEST_JOURNAL, in order: what is written, made, renamed,
   removed, and what is made durable. One record: "OP PATHLEN DATALEN\n", the path, the data.
   Ops: c(reate) w(rite) t(runcate) s(ync) r(ename; data: the new path) u(nlink) m(kdir). */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static void note(char op, const char *path, const void *data, size_t size) {
    const char *home = getenv("CAPSULE_HOME"), *journal = getenv("CAPSULE_TEST_JOURNAL");
    if (!home || !journal) return;
    size_t length = strlen(path);
    /* Of the directories above, only that they are synced. */
    int above = op == 's' && strncmp(home, path, length) == 0 && home[length] == '/';
    if (!above && strncmp(path, home, strlen(home)) != 0) return;
    char *record = malloc(length + size + 64);
    int head = sprintf(record, "%c %zu %zu\n", op, length, size);
    memcpy(record + head, path, length);
    if (size) memcpy(record + head + length, data, size);
    long fd = syscall(SYS_openat, AT_FDCWD, journal, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (fd < 0 || syscall(SYS_write, fd, record, head + length + size) != (long)(head + length + size)) _exit(99);
    syscall(SYS_close, fd);
    free(record);
}

static int of_descriptor(int fd, char *path) {
    char name[64];
    snprintf(name, sizeof name, "/proc/self/fd/%d", fd);
    long length = syscall(SYS_readlinkat, AT_FDCWD, name, path, PATH_MAX - 1);
    if (length < 0) return 0;
    path[length] = 0;
    return 1;
}

static int resolve(int dir, const char *name, char *path) {
    if (name[0] == '/') {
        snprintf(path, PATH_MAX, "%s", name);
        return 1;
    }
    char base[PATH_MAX];
    if (dir == AT_FDCWD) {
        if (!getcwd(base, sizeof base)) return 0;
    } else if (!of_descriptor(dir, base)) {
        return 0;
    }
    return snprintf(path, PATH_MAX, "%s/%s", base, name) < PATH_MAX;
}

static long answer(long result) {
    return result; /* syscall(2) has set errno */
}

static int open_at(int dir, const char *name, int flags, mode_t mode) {
    char path[PATH_MAX];
    pthread_mutex_lock(&lock);
    int there = syscall(SYS_faccessat, dir, name, F_OK) == 0;
    int fd = answer(syscall(SYS_openat, dir, name, flags, mode));
    int error = errno;
    if (fd >= 0 && (flags & O_CREAT) && !there && of_descriptor(fd, path)) note('c', path, 0, 0);
    if (fd >= 0 && (flags & O_TRUNC) && there && of_descriptor(fd, path)) note('t', path, "0", 1);
    pthread_mutex_unlock(&lock);
    errno = error;
    return fd;
}

#define OPEN(NAME) \
    int NAME(const char *name, int flags, ...) { \
        va_list more; va_start(more, flags); mode_t mode = va_arg(more, mode_t); va_end(more); \
        return open_at(AT_FDCWD, name, flags, mode); \
    }
#define OPENAT(NAME) \
    int NAME(int dir, const char *name, int flags, ...) { \
        va_list more; va_start(more, flags); mode_t mode = va_arg(more, mode_t); va_end(more); \
        return open_at(dir, name, flags, mode); \
    }
OPEN(open)
OPEN(open64)
OPENAT(openat)
OPENAT(openat64)

ssize_t write(int fd, const void *from, size_t count) {
    char path[PATH_MAX];
    struct stat is;
    pthread_mutex_lock(&lock);
    ssize_t done = answer(syscall(SYS_write, fd, from, count));
    int error = errno;
    if (done > 0 && fstat(fd, &is) == 0 && S_ISREG(is.st_mode) && of_descriptor(fd, path)) note('w', path, from, done);
    pthread_mutex_unlock(&lock);
    errno = error;
    return done;
}

static int synced(int fd, long call) {
    char path[PATH_MAX];
    pthread_mutex_lock(&lock);
    int done = answer(syscall(call, fd));
    int error = errno;
    if (done == 0 && of_descriptor(fd, path)) note('s', path, 0, 0);
    pthread_mutex_unlock(&lock);
    errno = error;
    return done;
}

int fsync(int fd) { return synced(fd, SYS_fsync); }
int fdatasync(int fd) { return synced(fd, SYS_fdatasync); }

static int truncated(int fd, off_t length) {
    char path[PATH_MAX], text[32];
    pthread_mutex_lock(&lock);
    int done = answer(syscall(SYS_ftruncate, fd, length));
    int error = errno;
    if (done == 0 && of_descriptor(fd, path)) note('t', path, text, sprintf(text, "%lld", (long long)length));
    pthread_mutex_unlock(&lock);
    errno = error;
    return done;
}

int ftruncate(int fd, off_t length) { return truncated(fd, length); }
int ftruncate64(int fd, off_t length) { return truncated(fd, length); }

int renameat(int from_dir, const char *from, int to_dir, const char *to) {
    char old[PATH_MAX], new[PATH_MAX];
    pthread_mutex_lock(&lock);
    int done = answer(syscall(SYS_renameat2, from_dir, from, to_dir, to, 0));
    int error = errno;
    if (done == 0 && resolve(from_dir, from, old) && resolve(to_dir, to, new)) note('r', old, new, strlen(new));
    pthread_mutex_unlock(&lock);
    errno = error;
    return done;
}

int rename(const char *from, const char *to) { return renameat(AT_FDCWD, from, AT_FDCWD, to); }

int unlinkat(int dir, const char *name, int flags) {
    char path[PATH_MAX];
    pthread_mutex_lock(&lock);
    int done = answer(syscall(SYS_unlinkat, dir, name, flags));
    int error = errno;
    if (done == 0 && resolve(dir, name, path)) note('u', path, 0, 0);
    pthread_mutex_unlock(&lock);
    errno = error;
    return done;
}

int unlink(const char *name) { return unlinkat(AT_FDCWD, name, 0); }

int mkdirat(int dir, const char *name, mode_t mode) {
    char path[PATH_MAX];
    pthread_mutex_lock(&lock);
    int done = answer(syscall(SYS_mkdirat, dir, name, mode));
    int error = errno;
    if (done == 0 && resolve(dir, name, path)) note('m', path, 0, 0);
    pthread_mutex_unlock(&lock);
    errno = error;
    return done;
}

int mkdir(const char *name, mode_t mode) { return mkdirat(AT_FDCWD, name, mode); }
