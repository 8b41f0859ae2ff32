/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VMEMCTL_PROGRESS_H
#define VMEMCTL_PROGRESS_H

#include <stdbool.h>
#include <stdint.h>

/* A bar on standard error, if that is a terminal, for work that takes longer
 * than a second. */
struct progress {
    uint64_t done;
    uint64_t total;
    int64_t started_us;
    int64_t drawn_us; /* last time, 0: never */
    bool enabled;
    bool visible;
};

void progress_start(struct progress *progress, uint64_t total);

/* One step of the total is done; what says where we are. */
void progress_step(struct progress *progress, const char *what);

/* Takes the bar away, for other output or at the end; the next step draws it
 * again. */
void progress_hide(struct progress *progress);

#endif /* VMEMCTL_PROGRESS_H */
