// Where another thread of this process is.
//
// Why C: a signal's handler may run little, and backtrace() and its like are not in Swift's import of the C
// library.
#define _GNU_SOURCE
#include "CCollectives.h"

#include <dlfcn.h>
#include <execinfo.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

static void *frames[VD_MOST_FRAMES];
static atomic_int frame_count;

static void take(int number) {
  (void)number;
  atomic_store(&frame_count, backtrace(frames, VD_MOST_FRAMES));
}

int vd_prepare_stack_taking(void) {
  static char memory[1 << 16];
  stack_t stack = {.ss_sp = memory, .ss_size = sizeof memory}, before;
  if (sigaltstack(NULL, &before) == 0 && !(before.ss_flags & SS_DISABLE)) return 1;
  return sigaltstack(&stack, NULL) == 0;
}

int vd_take_stack(unsigned long thread, const void **addresses) {
  // The first call loads a library, which a handler must not.
  void *warm[1];
  backtrace(warm, 1);
  struct sigaction action = {.sa_handler = take, .sa_flags = SA_RESTART | SA_ONSTACK}, before;
  sigaction(SIGURG, &action, &before);
  atomic_store(&frame_count, 0);
  int count = 0;
  if (pthread_kill((pthread_t)thread, SIGURG) == 0)
    for (int look = 0; look < 100 && count == 0; look++) {
      nanosleep(&(struct timespec){.tv_nsec = 5000000}, NULL);
      count = atomic_load(&frame_count);
    }
  sigaction(SIGURG, &before, NULL);
  for (int i = 0; i < count; i++) addresses[i] = frames[i];
  return count;
}

void vd_describe_address(const void *address, char *name, size_t capacity, size_t *offset) {
  Dl_info info;
  name[0] = 0;
  *offset = 0;
  if (!dladdr(address, &info)) return;
  const char *text = info.dli_sname ? info.dli_sname : info.dli_fname ? info.dli_fname : "";
  const void *base = info.dli_sname ? info.dli_saddr : info.dli_fbase;
  strncpy(name, text, capacity - 1);
  name[capacity - 1] = 0;
  *offset = (size_t)((const char *)address - (const char *)base);
}
