/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef GUESTI_LOAD_H
#define GUESTI_LOAD_H

#include <stdbool.h>
#include <stdint.h>

/* What runs in the guest, as far as it matters: which pageblocks cannot be
 * given back. Each is one byte: a set of the two flags below. */

struct guesti_load {
    uint8_t *flags; /* NULL: nothing is ever pinned */
    uint64_t nr;
    uint64_t base; /* gpa of the first, a multiple of the pageblock size */
    uint64_t pageblock_size;
    uint64_t random;
    uint64_t transient_permille;
    uint64_t release_permille; /* of what is pinned, every 50 s */
};

/* Draws what the pattern (an enum vmem_guest_pattern) pins once it is plugged.
 * unit is what IDLE and SCATTER count in. 0 or -ENOMEM. */
int guesti_load_open(struct guesti_load *load, uint64_t gpa, uint64_t size,
                     uint64_t pageblock_size, uint64_t unit, uint64_t pattern,
                     uint64_t seed);
void guesti_load_close(struct guesti_load *load);

/* The guest got a range, and uses it; or has given it back. */
void guesti_load_plugged(struct guesti_load *load, uint64_t gpa, uint64_t size);
void guesti_load_unplugged(struct guesti_load *load, uint64_t gpa,
                           uint64_t size);

/* By hand. A size of UINT64_MAX reaches to the end. */
void guesti_load_pin(struct guesti_load *load, uint64_t gpa, uint64_t size);
void guesti_load_unpin(struct guesti_load *load, uint64_t gpa, uint64_t size);

/* 50 s have passed. */
void guesti_load_release(struct guesti_load *load);
/* Is there anything that another 50 s could release? */
bool guesti_load_may_release(const struct guesti_load *load);

bool guesti_load_is_pinned(const struct guesti_load *load, uint64_t gpa,
                           uint64_t size);

/* Can the guest free a range now? attempts: more than one hides what is pinned
 * for a moment only. */
bool guesti_load_isolate(struct guesti_load *load, uint64_t gpa, uint64_t size,
                         unsigned attempts);

#endif /* GUESTI_LOAD_H */
