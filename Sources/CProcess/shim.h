// What Swift cannot see of the C library: variadic functions.
#ifndef DAYPASS_CPROCESS_SHIM_H
#define DAYPASS_CPROCESS_SHIM_H

#include <signal.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/resource.h>

// No other process of the same user reads or traces this one (prctl(2), PR_SET_DUMPABLE), nothing of it is written to a core
// file, and the handler that the Swift runtime has for crashes is taken out: it prints what registers point to, on standard
// error, which is the log. Whoever takes its place by execve is dumpable again.
// Returns 0, or -1 where not all of that could be had.
static inline int daypass_hide_memory(void) {
    static const int crashes[] = {SIGQUIT, SIGILL, SIGTRAP, SIGABRT, SIGBUS, SIGFPE, SIGSEGV};
    int failed = 0;
    for (size_t i = 0; i < sizeof crashes / sizeof crashes[0]; i++) {
        if (signal(crashes[i], SIG_DFL) == SIG_ERR) failed = -1;
    }
    if (prctl(PR_SET_DUMPABLE, 0L, 0L, 0L, 0L) != 0) failed = -1;
    return failed;
}

// The same, and no core file also where dumping is piped to a program, for this process and those that it starts.
// Returns 0, or -1 where not all of that could be had.
static inline int daypass_keep_memory_private(void) {
    struct rlimit none = {0, 0};
    int failed = setrlimit(RLIMIT_CORE, &none);
    return daypass_hide_memory() != 0 ? -1 : failed;
}

#endif
