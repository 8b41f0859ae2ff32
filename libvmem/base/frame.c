/* SPDX-License-Identifier: BSD-3-Clause */
#include "base/frame.h"

#include <stddef.h>

#include "base/assert.h"

/* initial-exec: read by every request, and the general model would call into the
 * dynamic linker each time. A library loaded late takes these eight bytes from
 * the room that C libraries keep for that. */
static _Thread_local struct vmemi_frame *innermost
    __attribute__((tls_model("initial-exec")));

void vmemi_frame_enter(struct vmemi_frame *frame, const void *vm,
                       const void *object, uint32_t kind)
{
    frame->outer = innermost;
    frame->vm = vm;
    frame->object = object;
    frame->kind = kind;
    innermost = frame;
}

void vmemi_frame_leave(struct vmemi_frame *frame)
{
    vmemi_assert(innermost == frame);
    innermost = frame->outer;
}

bool vmemi_frame_is_inside(const void *vm, uint32_t kinds)
{
    for (const struct vmemi_frame *frame = innermost; frame != NULL;
         frame = frame->outer) {
        if ((vm == NULL || frame->vm == vm) && (frame->kind & kinds) != 0) {
            return true;
        }
    }
    return false;
}

unsigned int vmemi_frame_count(const void *object)
{
    unsigned int count = 0;

    for (const struct vmemi_frame *frame = innermost; frame != NULL;
         frame = frame->outer) {
        count += frame->object == object;
    }
    return count;
}
