// Preloaded into `daypassd` by tests of what it does each minute, or an hour after its start: whatever it wants to sleep for
// more than 30 s takes half a second, and both of its clocks are 25 hours on for each byte of the file $DAYPASS_TEST_STEP.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static const int64_t second = 1000000000;
/// The two highest bits of a time of libdispatch say which clock it is of.
static const uint64_t clock_bits = 3ULL << 62, continuous = 2ULL << 62;

int clock_gettime(clockid_t clock, struct timespec *time) {
    int result = (int)syscall(SYS_clock_gettime, clock, time);
    const char *step = getenv("DAYPASS_TEST_STEP");
    // Not the monotonic one, which the kernel's timers go by.
    struct stat status;
    if (result == 0 && (clock == CLOCK_REALTIME || clock == CLOCK_BOOTTIME) && step && stat(step, &status) == 0)
        time->tv_sec += status.st_size * 25 * 3600;
    return result;
}

void dispatch_after_f(uint64_t when, void *queue, void *context, void (*work)(void *)) {
    void (*after)(uint64_t, void *, void *, void (*)(void *)) = dlsym(RTLD_NEXT, "dispatch_after_f");
    uint64_t (*from_now)(uint64_t, int64_t) = dlsym(RTLD_NEXT, "dispatch_time");
    if ((when & clock_bits) == continuous) {
        struct timespec now;
        clock_gettime(CLOCK_BOOTTIME, &now);
        int64_t rest = (int64_t)(when & ~clock_bits) - (now.tv_sec * second + now.tv_nsec);
        if (rest < 0) rest = 0;
        if (rest > 30 * second) rest = second / 2;
        when = from_now(0, rest);
    }
    after(when, queue, context, work);
}
