// What Swift cannot see of the C library: variadic functions.
#ifndef DAYPASS_CPROCESS_SHIM_H
#define DAYPASS_CPROCESS_SHIM_H

#include <sys/prctl.h>
#include <sys/resource.h>

// Nothing of this process's memory is written to a core file, nor piped to a program that makes one, and no other process
// of the same user can read it or trace it (prctl(2), PR_SET_DUMPABLE).
static inline int daypass_forbid_dumps(void) {
    struct rlimit none = {0, 0};
    int limited = setrlimit(RLIMIT_CORE, &none);
    return prctl(PR_SET_DUMPABLE, 0L, 0L, 0L, 0L) == 0 && limited == 0 ? 0 : -1;
}

#endif
