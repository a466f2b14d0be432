/* A wall clock that is stepped again and again: an hour forwards, a day back, to its beginning. */
#define _GNU_SOURCE
#include <stdatomic.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

int clock_gettime(clockid_t clock, struct timespec *now) {
    static atomic_uint asked;
    static const time_t steps[] = {0, 3600, -86400, 60, -7200, 31536000};
    int done = syscall(SYS_clock_gettime, clock, now);
    if (done == 0 && clock == CLOCK_REALTIME) {
        unsigned step = atomic_fetch_add(&asked, 1) / 3 % 7;
        now->tv_sec = step == 6 ? 1 : now->tv_sec + steps[step];
    }
    return done;
}
