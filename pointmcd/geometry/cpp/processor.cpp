// Which of the libraries that setup.py builds of these sources the processor can run.
#include "common.h"

EXPORTED int pointmcd_has_avx2() {
#if defined(__x86_64__)
    return __builtin_cpu_supports("avx2");
#else
    return 0;
#endif
}
