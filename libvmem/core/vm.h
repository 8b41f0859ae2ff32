/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VMEMI_CORE_VM_H
#define VMEMI_CORE_VM_H

#include <stdatomic.h>

#include <glib.h>

#include <vmem/vm.h>

#include "base/frame.h"
#include "base/log.h"
#include "base/name.h"

struct vmemi_policy;

/* Children that the machine lists. GLib's list with links inside the objects:
 * it allocates nothing. */
enum vmemi_child_kind {
    VMEMI_CHILD_BACKING,
    VMEMI_CHILD_REGION,
    VMEMI_CHILD_DEVICE,
    VMEMI_CHILD_DMA,
    VMEMI_CHILD_KINDS
};

struct vmemi_child {
    GList link;
    const char *name; /* the object's own */
    void *object;
    bool is_hidden; /* holds its place, but is not to be visited yet */
};

struct vmem_vm {
    struct vmemi_name name;
    uint64_t (*clock_ns)(void *clock_opaque);
    void *clock_opaque;
    struct vmemi_log log;
    /* Guards children. Lock order: change of a region, mapper, inventory, policy,
     * state of a region. */
    struct vmemi_mutex inventory;
    GQueue children[VMEMI_CHILD_KINDS];
    struct vmemi_policy *policy;
};

/* -EDEADLK with a message if this thread is in a callback under a lock of this
 * machine; every call that changes something starts with it. what: the function
 * and object, "vmem_region_new". */
int vmemi_vm_fail_locked(const struct vmem_vm *vm, const char *what,
                         struct vmem_error *err) __attribute__((cold));

static inline int vmemi_vm_check_unlocked(const struct vmem_vm *vm,
                                          const char *what,
                                          struct vmem_error *err)
{
    return vmemi_frame_is_inside(vm, VMEMI_FRAME_LOCKED)
               ? vmemi_vm_fail_locked(vm, what, err)
               : 0;
}

/* The same for what frees an object: not in the log sink either, because the
 * operation that logs goes on. */
int vmemi_vm_check_may_free(const struct vmem_vm *vm, const char *what,
                            struct vmem_error *err);

/* The same for what removes an object, with a frame about it while it does: not in
 * the log sink of a call that removes it already. */
int vmemi_vm_check_may_remove(const struct vmem_vm *vm, const void *object,
                              const char *what, struct vmem_error *err);

void vmemi_vm_link_locked(struct vmem_vm *vm, enum vmemi_child_kind kind,
                          struct vmemi_child *child, const char *name,
                          void *object);
void vmemi_vm_link(struct vmem_vm *vm, enum vmemi_child_kind kind,
                   struct vmemi_child *child, const char *name, void *object);
void vmemi_vm_unlink(struct vmem_vm *vm, enum vmemi_child_kind kind,
                     struct vmemi_child *child);

/* The end of being hidden, which who has linked it locked may begin. */
void vmemi_vm_show(struct vmem_vm *vm, struct vmemi_child *child);

/* For walks, in which callbacks may start another walk: false if this thread has
 * the lock already. The frame is entered either way. */
bool vmemi_vm_lock_inventory(struct vmem_vm *vm, struct vmemi_frame *frame);
void vmemi_vm_unlock_inventory(struct vmem_vm *vm, struct vmemi_frame *frame,
                               bool locked);

static inline uint64_t vmemi_vm_now_ns(const struct vmem_vm *vm)
{
    return vm->clock_ns(vm->clock_opaque);
}

/* The same clock, to a few milliseconds, at a fraction of the price; for what
 * every request reads. */
uint64_t vmemi_vm_now_coarse_ns(const struct vmem_vm *vm);

/* For operations without locks: add and send at once. */
#define vmemi_vm_log_now(vm, level, blame, code, object, ...)                  \
    do {                                                                       \
        struct vmemi_log_queue queue_now;                                      \
                                                                               \
        queue_now.nr_records = 0;                                              \
        vmemi_log_add(&(vm)->log, &queue_now, level, blame, code, object,      \
                      __VA_ARGS__);                                            \
        vmemi_log_send(&(vm)->log, &queue_now);                                \
    } while (0)

#endif /* VMEMI_CORE_VM_H */
