/* SPDX-License-Identifier: BSD-3-Clause */
/* Who is told when the discard policy's answer changes. */
#include <errno.h>

#include "base/alloc.h"
#include "base/errno.h"
#include "base/error.h"
#include "base/gate.h"
#include "core/claim.h"

struct vmem_discard_watcher {
    struct vmemi_gate gate;
    struct vmem_vm *vm;
    GList link;
    vmem_discard_watcher_fn fn;
    void *opaque;
    uint64_t told_generation;
};

/* The next watcher that has not heard of the newest change. */
static struct vmem_discard_watcher *next_untold(struct vmemi_policy *policy)
{
    for (GList *link = policy->watchers.head; link != NULL; link = link->next) {
        struct vmem_discard_watcher *watcher = link->data;

        if (watcher->told_generation != policy->generation) {
            return watcher;
        }
    }
    return NULL;
}

/* One thread tells at a time, so that calls of one watcher do not overlap and
 * the last one has the newest answer. A change made meanwhile, by another
 * thread or in a watcher, is told by the thread that is at it. */
void vmemi_watchers_tell(struct vmem_vm *vm)
{
    struct vmemi_policy *policy = vm->policy;
    struct vmem_discard_watcher *watcher;

    vmemi_mutex_lock(&policy->lock);
    if (policy->dispatching) {
        vmemi_mutex_unlock(&policy->lock);
        return;
    }
    policy->dispatching = true;
    while ((watcher = next_untold(policy)) != NULL) {
        uint32_t held = atomic_load(&policy->held);
        struct vmemi_frame frame;

        watcher->told_generation = policy->generation;
        if (!vmemi_gate_enter(&watcher->gate, &frame, vm)) {
            continue;
        }
        vmemi_mutex_unlock(&policy->lock);
        if (vmemi_gate_is_open(&watcher->gate)) {
            watcher->fn(held, watcher->opaque);
        }
        vmemi_gate_leave(&watcher->gate, &frame);
        vmemi_mutex_lock(&policy->lock);
    }
    policy->dispatching = false;
    vmemi_mutex_unlock(&policy->lock);
}

static void release_watcher(struct vmemi_gate *gate)
{
    /* The gate is the first member. */
    vmemi_free(gate);
}

_Static_assert(offsetof(struct vmem_discard_watcher, gate) == 0,
               "release_watcher() relies on it");

int vmem_discard_watcher_add(struct vmem_vm *vm, vmem_discard_watcher_fn fn,
                             void *opaque, struct vmem_discard_watcher **out,
                             struct vmem_error *err)
{
    struct vmem_discard_watcher *watcher;
    int ret;

    if (vm == NULL || fn == NULL || out == NULL) {
        return vmemi_fail(err, -EINVAL, VMEM_REASON_ARGUMENT, NULL,
                          "vmem_discard_watcher_add: NULL argument");
    }
    ret = vmemi_vm_check_unlocked(vm, "vmem_discard_watcher_add", err);
    if (ret < 0) {
        return ret;
    }
    watcher = vmemi_alloc0(sizeof(*watcher));
    if (watcher == NULL) {
        return vmemi_fail_no_memory(err, "a discard watcher");
    }
    ret = vmemi_gate_init(&watcher->gate, release_watcher);
    if (ret < 0) {
        vmemi_free(watcher);
        return vmemi_fail(err, ret, VMEM_REASON_NO_MEMORY, NULL,
                          "no lock for a discard watcher: %s (errno %d)",
                          vmemi_errno_text(ret), -ret);
    }
    watcher->vm = vm;
    watcher->fn = fn;
    watcher->opaque = opaque;
    watcher->link.data = watcher;

    vmemi_mutex_lock(&vm->policy->lock);
    watcher->told_generation = vm->policy->generation;
    g_queue_push_tail_link(&vm->policy->watchers, &watcher->link);
    vmemi_mutex_unlock(&vm->policy->lock);
    *out = watcher;
    return 0;
}

int vmem_discard_watcher_remove(struct vmem_discard_watcher *watcher,
                                struct vmem_error *err)
{
    struct vmem_vm *vm;
    int ret;

    if (watcher == NULL) {
        return 0;
    }
    vm = watcher->vm;
    ret = vmemi_vm_check_unlocked(vm, "vmem_discard_watcher_remove", err);
    if (ret < 0) {
        return ret;
    }
    vmemi_mutex_lock(&vm->policy->lock);
    g_queue_unlink(&vm->policy->watchers, &watcher->link);
    vmemi_mutex_unlock(&vm->policy->lock);
    vmemi_gate_close(&watcher->gate);
    return 0;
}
