/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef TESTS_LAB_INJECT_H
#define TESTS_LAB_INJECT_H

#include <stdint.h>

/* Makes the kernel's maps and unmaps fail for whoever asks in this program: every
 * ioctl() passes here (the linker's --wrap). Nothing fails unless armed, and then
 * everything else still reaches the kernel. */

enum inject_call { INJECT_MAP = 1, INJECT_UNMAP };

/* From now on the call of this number, counted from 1, fails with the negative
 * errno; with number 0 all of them do. */
void inject_arm(enum inject_call call, uint64_t number, int code);
/* Counts only. */
void inject_count(void);
/* Back to normal. Returns how many calls of the kind there were. */
uint64_t inject_end(enum inject_call call);

/* Called when memory of a file is about to be given back (fallocate() makes a
 * hole there); NULL: nobody looks. */
typedef void (*inject_watch_fn)(uint64_t fd_offset, uint64_t size,
                                void *opaque);
void inject_watch_discards(inject_watch_fn fn, void *opaque);

#endif /* TESTS_LAB_INJECT_H */
