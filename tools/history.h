/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VMEMCTL_HISTORY_H
#define VMEMCTL_HISTORY_H

#include <stdbool.h>
#include <stdint.h>

#include <glib.h>

#include "watch.h"

/* What happened in a run, and when: enough to draw it afterwards. */

/* A run of blocks that was plugged or unplugged, as a listener was told. */
struct history_change {
    double seconds;
    uint64_t first_block;
    uint64_t nr_blocks;
    bool plugged;
};

/* Where things stood, in bytes, summed over the devices. */
struct history_sample {
    double seconds;
    uint64_t requested;
    uint64_t plugged;
    uint64_t resident; /* measured, here or some changes ago */
    uint64_t retained;
};

struct history_mark {
    double seconds;
    enum watch_what what; /* RESET, BUSY or READY */
    int device;           /* index, or TRACE_ALL_DEVICES */
};

struct history_device {
    char *name;
    uint64_t gpa;
    uint64_t region_size;
    uint64_t block_size;
    GArray *changes;       /* of struct history_change */
    unsigned nr_dated;     /* changes whose time is known */
    const struct rig *rig; /* while the run lasts */
    struct vmem_listener *listener;
};

struct history {
    GPtrArray *devices; /* of struct history_device */
    GArray *samples;    /* of struct history_sample, where one changed */
    GArray *marks;      /* of struct history_mark */
    double start_seconds;
    double end_seconds;
    uint64_t nr_requests;
    uint64_t nr_changes;
    uint64_t nr_measured;
};

struct history *history_new(void);
void history_free(struct history *history);

/* The watch that fills it; opaque is the history. */
struct watch history_watch(struct history *history);

/* What is drawn: a little more than the run, so that its first and last changes
 * are not on the frame. */
static inline double history_margin(const struct history *history)
{
    return MAX((history->end_seconds - history->start_seconds) * 0.015, 0.001);
}

static inline double history_from(const struct history *history)
{
    return history->start_seconds - history_margin(history);
}

static inline double history_until(const struct history *history)
{
    return history->end_seconds + history_margin(history);
}

static inline const struct history_device *
history_get_device(const struct history *history, unsigned i)
{
    return g_ptr_array_index(history->devices, i);
}

static inline const struct history_sample *
history_get_sample(const struct history *history, unsigned i)
{
    return &g_array_index(history->samples, struct history_sample, i);
}

#endif /* VMEMCTL_HISTORY_H */
