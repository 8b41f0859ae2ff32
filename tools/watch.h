/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VMEMCTL_WATCH_H
#define VMEMCTL_WATCH_H

#include <stdint.h>

#include "rig.h"

/* Somebody who looks on while a trace is replayed or a guest is simulated: the
 * picture that is drawn of it, the map on the terminal. */

enum watch_what {
    WATCH_REQUEST = 1, /* of the guest, answered */
    WATCH_RESIZE,      /* the host asked for a size */
    WATCH_RESET,       /* the machine or the driver started anew */
    WATCH_BUSY,        /* the host can process nothing from here on ... */
    WATCH_READY,       /* ... to here */
    WATCH_END,         /* nothing more comes */
};

struct watch_step {
    enum watch_what what;
    int device; /* index, or TRACE_ALL_DEVICES */
    double seconds;
    uint64_t nr_requests; /* so far, with this one */
};

struct watch {
    /* The devices are there and nothing has happened. 0 or a negative errno,
     * with *err filled. */
    int (*begin)(const struct rig *rigs, unsigned nr_rigs, double seconds,
                 void *opaque, struct vmem_error *err);
    /* Something has happened. */
    void (*step)(const struct watch_step *step, void *opaque);
    /* The devices are about to go; comes also if begin() failed. */
    void (*end)(void *opaque);
    void *opaque;
};

/* Each does nothing for a watch that is NULL. */
static inline int watch_begin(const struct watch *watch, const struct rig *rigs,
                              unsigned nr_rigs, double seconds,
                              struct vmem_error *err)
{
    return watch == NULL
               ? 0
               : watch->begin(rigs, nr_rigs, seconds, watch->opaque, err);
}

static inline void watch_step(const struct watch *watch,
                              const struct watch_step *step)
{
    if (watch != NULL) {
        watch->step(step, watch->opaque);
    }
}

static inline void watch_end(const struct watch *watch)
{
    if (watch != NULL) {
        watch->end(watch->opaque);
    }
}

#endif /* VMEMCTL_WATCH_H */
