/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VMEMI_BASE_FRAME_H
#define VMEMI_BASE_FRAME_H

#include <stdbool.h>
#include <stdint.h>

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
    VMEMI_FRAME_LOCKED = (1 << 0) | (1 << 1) | (1 << 2)
};

struct vmemi_frame {
    struct vmemi_frame *outer;
    const void *vm;
    const void *object;
    uint32_t kind;
};

/* Frames are entered and left in stack order. */
void vmemi_frame_enter(struct vmemi_frame *frame, const void *vm,
                       const void *object, uint32_t kind);
void vmemi_frame_leave(struct vmemi_frame *frame);

/* Is the thread inside a frame of one of these kinds, of this machine or (NULL)
 * of any? */
bool vmemi_frame_is_inside(const void *vm, uint32_t kinds);

/* How many frames on this thread are about this object? */
unsigned int vmemi_frame_count(const void *object);

#endif /* VMEMI_BASE_FRAME_H */
