/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef GUESTI_WINDOWS_H
#define GUESTI_WINDOWS_H

#include "sim/guest.h"

/* viomem: a bitmap of the whole region, and one worker that every interrupt
 * wakes, also that of a used buffer. So it acts again after each answer, without
 * a pause, whatever the answer was. */
struct guesti_windows {
    struct vmem_guest *guest;
    uint64_t nr_blocks;
    uint8_t *has; /* one byte a block */
    bool woken;
    bool must_ask; /* for the state of each block: the driver has started */
    bool exited;   /* the worker ended for good */
};

/* 0 or -ENOMEM. */
int guesti_windows_new(struct vmem_guest *guest,
                       const struct guesti_device_config *config,
                       struct guesti_windows **out);
void guesti_windows_free(struct guesti_windows *windows);
/* An enum vmem_guest_status. */
int guesti_windows_run(struct guesti_windows *windows);
/* Wake-up from suspend: the bitmap is new, and not asked for again. */
void guesti_windows_resume(struct guesti_windows *windows);

#endif /* GUESTI_WINDOWS_H */
