/* SPDX-License-Identifier: BSD-3-Clause */
#include "base/gate.h"

#include "base/assert.h"

int vmemi_gate_init(struct vmemi_gate *gate,
                    void (*release)(struct vmemi_gate *gate))
{
    int ret = vmemi_mutex_init(&gate->lock);

    if (ret < 0) {
        return ret;
    }
    ret = vmemi_cond_init(&gate->idle);
    if (ret < 0) {
        vmemi_mutex_destroy(&gate->lock);
        return ret;
    }
    gate->nr_inside = 0;
    gate->closed = false;
    gate->orphaned = false;
    gate->release = release;
    return 0;
}

void vmemi_gate_destroy(struct vmemi_gate *gate)
{
    vmemi_cond_destroy(&gate->idle);
    vmemi_mutex_destroy(&gate->lock);
}

bool vmemi_gate_enter(struct vmemi_gate *gate, struct vmemi_frame *frame,
                      const void *vm)
{
    bool open;

    vmemi_mutex_lock(&gate->lock);
    open = !gate->closed;
    gate->nr_inside += open;
    vmemi_mutex_unlock(&gate->lock);
    if (open) {
        vmemi_frame_enter(frame, vm, gate, VMEMI_FRAME_NOTIFY);
    }
    return open;
}

bool vmemi_gate_is_open(struct vmemi_gate *gate)
{
    bool open;

    vmemi_mutex_lock(&gate->lock);
    open = !gate->closed;
    vmemi_mutex_unlock(&gate->lock);
    return open;
}

static void release(struct vmemi_gate *gate)
{
    void (*release_object)(struct vmemi_gate * gate) = gate->release;

    vmemi_gate_destroy(gate);
    release_object(gate);
}

void vmemi_gate_leave(struct vmemi_gate *gate, struct vmemi_frame *frame)
{
    bool last;

    vmemi_frame_leave(frame);
    vmemi_mutex_lock(&gate->lock);
    vmemi_assert(gate->nr_inside > 0);
    gate->nr_inside--;
    last = gate->orphaned && gate->nr_inside == 0;
    /* Under the lock: a closing thread may free the gate once it has it. */
    vmemi_cond_wake_all(&gate->idle);
    vmemi_mutex_unlock(&gate->lock);
    if (last) {
        release(gate);
    }
}

void vmemi_gate_close(struct vmemi_gate *gate)
{
    unsigned int own = vmemi_frame_count(gate);

    vmemi_mutex_lock(&gate->lock);
    vmemi_assert(!gate->closed);
    gate->closed = true;
    while (gate->nr_inside > own) {
        vmemi_cond_wait(&gate->idle, &gate->lock);
    }
    gate->orphaned = own > 0;
    vmemi_mutex_unlock(&gate->lock);
    if (own == 0) {
        release(gate);
    }
}
