/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VMEMI_BASE_FRAME_H
#define VMEMI_BASE_FRAME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/assert.h"

/* What the present thread is inside of: a list, on its own stack, of the locks
 * and notifications that the library has entered on it. With it a call from a
 * callback is recognised and refused in every build, instead of deadlocking,
 * and a walk in a callback knows that its lock is already held. A recursive
 * mutex would recognise the second and silently allow the first. */
enum vmemi_frame_kind {
    VMEMI_FRAME_CHANGE = 1 << 0, /* object: region whose change lock is held */
    VMEMI_FRAME_INVENTORY = 1 << 1, /* the machine's lists are locked */
    VMEMI_FRAME_POLICY = 1 << 2,    /* the discard policy is locked */
    VMEMI_FRAME_NOTIFY = 1 << 3,    /* object: gate; no lock is held */
    VMEMI_FRAME_LOG = 1 << 4,       /* in the log sink; no lock is held */
    VMEMI_FRAME_DMA = 1 << 5,       /* object: mapper that is locked */
    VMEMI_FRAME_REMOVE = 1 << 6,    /* object: is being removed */
    VMEMI_FRAME_LOCKED = (1 << 0) | (1 << 1) | (1 << 2) | (1 << 5)
};

struct vmemi_log_queue;

struct vmemi_frame {
    struct vmemi_frame *outer;
    const void *vm;
    const void *object;
    struct vmemi_log_queue *log; /* or NULL: sent when the locks are dropped */
    const char *why;             /* or NULL: what a listener says to its veto */
    uint32_t kind;
};

/* initial-exec: read by every request, and the general model would call into the
 * dynamic linker each time. A library loaded late takes these eight bytes from
 * the room that C libraries keep for that. */
extern _Thread_local struct vmemi_frame *vmemi_frame_innermost
    __attribute__((tls_model("initial-exec"), visibility("hidden")));

/* Frames are entered and left in stack order. */
static inline void vmemi_frame_enter(struct vmemi_frame *frame, const void *vm,
                                     const void *object, uint32_t kind)
{
    frame->outer = vmemi_frame_innermost;
    frame->vm = vm;
    frame->object = object;
    frame->log = NULL;
    frame->why = NULL;
    frame->kind = kind;
    vmemi_frame_innermost = frame;
}

static inline void vmemi_frame_leave(struct vmemi_frame *frame)
{
    vmemi_assert(vmemi_frame_innermost == frame);
    vmemi_frame_innermost = frame->outer;
}

/* Is the thread inside a frame of one of these kinds, of this machine or (NULL)
 * of any? */
bool vmemi_frame_is_inside_any(const void *vm, uint32_t kinds);

static inline bool vmemi_frame_is_inside(const void *vm, uint32_t kinds)
{
    return vmemi_frame_innermost != NULL &&
           vmemi_frame_is_inside_any(vm, kinds);
}

/* Where the operation of this machine that the thread is inside of collects what
 * it logs; NULL if it does not. */
struct vmemi_log_queue *vmemi_frame_log(const void *vm);

/* A listener of the library says why it objects, to who started the operation. The
 * text stays until the operation is over. */
void vmemi_frame_explain(const void *vm, const char *why);

/* How many frames on this thread are about this object? */
unsigned int vmemi_frame_count(const void *object);

#endif /* VMEMI_BASE_FRAME_H */
