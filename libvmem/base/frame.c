/* SPDX-License-Identifier: BSD-3-Clause */
#include "base/frame.h"

_Thread_local struct vmemi_frame *vmemi_frame_innermost;

bool vmemi_frame_is_inside_any(const void *vm, uint32_t kinds)
{
    for (const struct vmemi_frame *frame = vmemi_frame_innermost; frame != NULL;
         frame = frame->outer) {
        if ((vm == NULL || frame->vm == vm) && (frame->kind & kinds) != 0) {
            return true;
        }
    }
    return false;
}

/* The operation of a machine that the thread is inside of. */
static struct vmemi_frame *find_operation(const void *vm)
{
    for (struct vmemi_frame *frame = vmemi_frame_innermost; frame != NULL;
         frame = frame->outer) {
        if (frame->vm == vm && frame->log != NULL) {
            return frame;
        }
    }
    return NULL;
}

struct vmemi_log_queue *vmemi_frame_log(const void *vm)
{
    const struct vmemi_frame *frame = find_operation(vm);

    return frame != NULL ? frame->log : NULL;
}

void vmemi_frame_explain(const void *vm, const char *why)
{
    struct vmemi_frame *frame = find_operation(vm);

    if (frame != NULL) {
        frame->why = why;
    }
}

unsigned int vmemi_frame_count(const void *object)
{
    unsigned int count = 0;

    for (const struct vmemi_frame *frame = vmemi_frame_innermost; frame != NULL;
         frame = frame->outer) {
        count += frame->object == object;
    }
    return count;
}
