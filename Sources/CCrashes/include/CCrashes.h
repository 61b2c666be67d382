// Crashes in libraries that were not written for damaged files, told in one sentence.
//
// Why C: a signal's handler may run little, and nothing of Swift's runtime.
#pragma once

// From here on, until vd_leave_library is called on the same thread, a crash of this thread, and a minute of the
// processor's time without an end if that is limited, writes the sentence on standard error and ends the process with
// the status. Ranks other than the first wait a second before they write, so that what all ranks meet is said once.
// Returns what was in force until now, which vd_leave_library takes.
struct vd_library_call {
  const char *sentence;
  int status;
  int is_limited;
};
struct vd_library_call vd_enter_library(struct vd_library_call call);
void vd_leave_library(struct vd_library_call before);
