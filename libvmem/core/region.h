/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VMEMI_CORE_REGION_H
#define VMEMI_CORE_REGION_H

#include <vmem/region.h>

#include "core/backing.h"
#include "core/vm.h"

/* Locks (I11). "change" is held across callbacks and system calls. "state" is
 * short. What both guard is written under both and read under either; lock
 * order is change, then state. */
struct vmem_region {
    struct vmemi_child child;
    struct vmemi_name name;
    struct vmem_vm *vm;
    uint64_t size;
    struct vmem_backing *backing; /* NULL: bookkeeping only */

    struct vmemi_mutex change;
    struct vmemi_mutex state;

    /* Guarded by both locks, with the bitmaps of the sources. */
    GQueue sources;   /* of struct vmem_source */
    GQueue listeners; /* of struct vmem_listener, in order of registration */
    GQueue freezers;  /* of struct vmemi_freezer */
    uint32_t nr_objectors; /* listeners with may_discard; both locks */

    uint64_t nr_events; /* so far; state lock */

    _Atomic uint32_t nr_freezers; /* freezers.length, for queries */
    _Atomic uint64_t nr_populate_calls;
    _Atomic uint64_t nr_discard_calls;
    _Atomic uint64_t nr_vetoes;
    _Atomic uint64_t nr_rollbacks;
};

/* Which event of its region something is, and when it happened. */
struct vmemi_date {
    uint64_t number;
    uint64_t time_ns;
};

/* Dates an event, which happens now, once: one event takes one number. State
 * lock, so that the numbers are the order in which everything happens that the
 * lock guards, and no time is before that of a smaller number. */
static inline void vmemi_region_date(struct vmem_region *region,
                                     struct vmemi_date *date)
{
    date->number = ++region->nr_events;
    date->time_ns = vmemi_vm_now_ns(region->vm);
}

/* Why a change did not happen, for who has to tell somebody. */
struct vmemi_cause {
    int code;        /* negative errno */
    uint32_t reason; /* enum vmem_reason */
    const char *by;  /* listener or freezer, or ""; valid under the lock */
    const char *why; /* more of it, or ""; valid under the lock */
};

/* In words, for an error: what refused, who, and why. */
void vmemi_cause_format(const struct vmemi_cause *cause, char *text,
                        size_t size) __attribute__((cold));

/* A change in progress: the lock, its frame, and what will be logged. */
struct vmemi_change {
    struct vmem_region *region;
    struct vmemi_frame frame;
    struct vmemi_cause cause;
    struct vmemi_log_queue log;
};

/* Takes and drops the change lock, with the frame that callbacks are recognised
 * by. For what changes nothing; a change has more, see vmemi_change_lock(). */
static inline void vmemi_region_hold(struct vmem_region *region,
                                     struct vmemi_frame *frame)
{
    vmemi_mutex_lock(&region->change);
    vmemi_frame_enter(frame, region->vm, region, VMEMI_FRAME_CHANGE);
}

static inline void vmemi_region_let_go(struct vmem_region *region,
                                       struct vmemi_frame *frame)
{
    vmemi_frame_leave(frame);
    vmemi_mutex_unlock(&region->change);
}

/* Takes the change lock, of which vmemi_vm_check_unlocked() said that it may. */
static inline void vmemi_change_lock(struct vmemi_change *change,
                                     struct vmem_region *region)
{
    change->region = region;
    change->log.nr_records = 0;
    change->cause.code = 0;
    change->cause.reason = VMEM_REASON_NONE;
    change->cause.by = "";
    change->cause.why = "";
    vmemi_region_hold(region, &change->frame);
    change->frame.log = &change->log;
}

/* Both; -EDEADLK from a callback, and then nothing is held. */
int vmemi_change_begin(struct vmemi_change *change, struct vmem_region *region,
                       const char *what, struct vmem_error *err);

/* Drops the lock, then sends the log. */
static inline void vmemi_change_end(struct vmemi_change *change)
{
    struct vmem_region *region = change->region;

    vmemi_region_let_go(region, &change->frame);
    if (change->log.nr_records > 0) {
        vmemi_log_send(&region->vm->log, &change->log);
    }
}

/* Smallest block size of the sources, or the region's size. Either lock. */
uint64_t vmemi_region_min_granularity(const struct vmem_region *region);

/* Bytes populated, and bytes retained. Either lock. */
uint64_t vmemi_region_populated_size(const struct vmem_region *region);
uint64_t vmemi_region_retained_size(const struct vmem_region *region);

/* For counters with one writer at a time, under a lock, and readers without it:
 * no locked instruction. */
static inline void vmemi_add_locked(_Atomic uint64_t *counter, uint64_t by)
{
    atomic_store_explicit(
        counter, atomic_load_explicit(counter, memory_order_relaxed) + by,
        memory_order_relaxed);
}

/* For counters with several writers. */
static inline void vmemi_count(_Atomic uint64_t *counter)
{
    atomic_fetch_add_explicit(counter, 1, memory_order_relaxed);
}

#endif /* VMEMI_CORE_REGION_H */
