#define _GNU_SOURCE
#include "CKernels.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif
#if defined(__linux__)
#include <sched.h>
#include <string.h>
#endif

void vd_kernel_flush_denormals(void) {
#if defined(__x86_64__)
  _mm_setcsr(_mm_getcsr() | 0x8040); // flush results to zero; read denormals as zero
#elif defined(__aarch64__)
  uint64_t state;
  __asm__ volatile("mrs %0, fpcr" : "=r"(state));
  __asm__ volatile("msr fpcr, %0" : : "r"(state | (1u << 24)));
#endif
}

size_t vd_kernel_allowed_processors(uint8_t *mask, size_t capacity) {
#if defined(__linux__)
  cpu_set_t set;
  if (capacity >= sizeof set && sched_getaffinity(0, sizeof set, &set) == 0) {
    memcpy(mask, &set, sizeof set);
    return sizeof set;
  }
#endif
  (void)mask;
  (void)capacity;
  return 0;
}

void vd_kernel_pause(void) {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  __asm__ volatile("yield");
#endif
}
