/* SPDX-License-Identifier: BSD-3-Clause */
#include "core/vm.h"

#include <errno.h>
#include <time.h>

#include "base/alloc.h"
#include "base/errno.h"
#include "base/error.h"
#include "base/sized.h"
#include "core/claim.h"

static uint64_t monotonic_ns(void *opaque)
{
    struct timespec now;

    (void)opaque;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

uint64_t vmemi_vm_now_coarse_ns(const struct vmem_vm *vm)
{
    struct timespec now;

    if (vm->clock_ns != monotonic_ns) {
        return vm->clock_ns(vm->clock_opaque);
    }
    clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static int init_locks(struct vmem_vm *vm)
{
    int ret = vmemi_log_init(&vm->log);

    if (ret < 0) {
        return ret;
    }
    ret = vmemi_mutex_init(&vm->inventory);
    if (ret < 0) {
        goto fail_log;
    }
    ret = vmemi_policy_new(&vm->policy);
    if (ret < 0) {
        goto fail_inventory;
    }
    return 0;

fail_inventory:
    vmemi_mutex_destroy(&vm->inventory);
fail_log:
    vmemi_log_destroy(&vm->log);
    return ret;
}

int vmem_vm_new(const struct vmem_vm_config *host_config, struct vmem_vm **out,
                struct vmem_error *err)
{
    struct vmem_vm_config config;
    struct vmemi_name name;
    struct vmem_vm *vm;
    int ret;

    ret = vmemi_sized_read(&config, sizeof(config),
                           VMEMI_SIZE_THROUGH(struct vmem_vm_config, opaque),
                           host_config, "vmem_vm_config", err);
    if (ret < 0) {
        return ret;
    }
    if (out == NULL) {
        return vmemi_fail(err, -EINVAL, VMEM_REASON_ARGUMENT, NULL,
                          "vmem_vm_new: out is NULL");
    }
    ret = vmemi_name_set(&name, config.name, "vm name", err);
    if (ret < 0) {
        return ret;
    }
    vm = vmemi_alloc0(sizeof(*vm));
    if (vm == NULL) {
        return vmemi_fail_no_memory(err, "a vm");
    }
    vm->name = name;
    vm->clock_ns = config.clock_ns != NULL ? config.clock_ns : monotonic_ns;
    vm->clock_opaque = config.opaque;
    vm->log.vm = vm;
    vm->log.sink = config.log;
    vm->log.opaque = config.opaque;
    vm->log.clock_ns = vm->clock_ns;
    vm->log.clock_opaque = vm->clock_opaque;
    ret = init_locks(vm);
    if (ret < 0) {
        vmemi_free(vm);
        return vmemi_fail(err, ret, VMEM_REASON_NO_MEMORY, NULL,
                          "vm \"%s\": locks or policy: %s (errno %d)",
                          name.text, vmemi_errno_text(ret), -ret);
    }
    *out = vm;
    return 0;
}

static int check_no_children(struct vmem_vm *vm, struct vmem_error *err)
{
    struct vmemi_name_list names = { 0 };

    vmemi_mutex_lock(&vm->inventory);
    for (int kind = 0; kind < VMEMI_CHILD_KINDS; kind++) {
        for (GList *link = vm->children[kind].head; link != NULL;
             link = link->next) {
            vmemi_name_list_add(&names,
                                ((struct vmemi_child *)link->data)->name);
        }
    }
    vmemi_mutex_unlock(&vm->inventory);
    if (names.nr_names + names.nr_dropped == 0) {
        return 0;
    }
    vmemi_name_list_finish(&names);
    return vmemi_fail(err, -EBUSY, VMEM_REASON_IN_USE, NULL,
                      "vm \"%s\" still has %s", vm->name.text, names.text);
}

int vmem_vm_free(struct vmem_vm *vm, struct vmem_error *err)
{
    int ret;

    if (vm == NULL) {
        return 0;
    }
    ret = vmemi_vm_check_may_free(vm, "vmem_vm_free", err);
    if (ret < 0) {
        return ret;
    }
    ret = check_no_children(vm, err);
    if (ret < 0) {
        return ret;
    }
    ret = vmemi_policy_check_unused(vm, err);
    if (ret < 0) {
        return ret;
    }
    vmemi_policy_free(vm->policy);
    vmemi_mutex_destroy(&vm->inventory);
    vmemi_log_destroy(&vm->log);
    vmemi_free(vm);
    return 0;
}

const char *vmem_vm_get_name(const struct vmem_vm *vm)
{
    return vm != NULL ? vm->name.text : NULL;
}

int vmemi_vm_fail_locked(const struct vmem_vm *vm, const char *what,
                         struct vmem_error *err)
{
    return vmemi_fail(err, -EDEADLK, VMEM_REASON_REENTERED, NULL,
                      "%s called from a callback that holds a lock of vm "
                      "\"%s\"",
                      what, vm->name.text);
}

int vmemi_vm_check_may_free(const struct vmem_vm *vm, const char *what,
                            struct vmem_error *err)
{
    if (!vmemi_frame_is_inside(vm, VMEMI_FRAME_LOG)) {
        return vmemi_vm_check_unlocked(vm, what, err);
    }
    return vmemi_fail(err, -EDEADLK, VMEM_REASON_REENTERED, NULL,
                      "%s called from the log sink of vm \"%s\"", what,
                      vm->name.text);
}

int vmemi_vm_check_may_remove(const struct vmem_vm *vm, const void *object,
                              const char *what, struct vmem_error *err)
{
    if (vmemi_frame_count(object) == 0) {
        return vmemi_vm_check_unlocked(vm, what, err);
    }
    return vmemi_fail(err, -EDEADLK, VMEM_REASON_REENTERED, NULL,
                      "%s called from a callback of vm \"%s\" for what is "
                      "being removed",
                      what, vm->name.text);
}

void vmemi_vm_link_locked(struct vmem_vm *vm, enum vmemi_child_kind kind,
                          struct vmemi_child *child, const char *name,
                          void *object)
{
    child->link.data = child;
    child->name = name;
    child->object = object;
    g_queue_push_tail_link(&vm->children[kind], &child->link);
}

void vmemi_vm_link(struct vmem_vm *vm, enum vmemi_child_kind kind,
                   struct vmemi_child *child, const char *name, void *object)
{
    vmemi_mutex_lock(&vm->inventory);
    vmemi_vm_link_locked(vm, kind, child, name, object);
    vmemi_mutex_unlock(&vm->inventory);
}

void vmemi_vm_unlink(struct vmem_vm *vm, enum vmemi_child_kind kind,
                     struct vmemi_child *child)
{
    vmemi_mutex_lock(&vm->inventory);
    g_queue_unlink(&vm->children[kind], &child->link);
    vmemi_mutex_unlock(&vm->inventory);
}

void vmemi_vm_show(struct vmem_vm *vm, struct vmemi_child *child)
{
    vmemi_mutex_lock(&vm->inventory);
    child->is_hidden = false;
    vmemi_mutex_unlock(&vm->inventory);
}

bool vmemi_vm_lock_inventory(struct vmem_vm *vm, struct vmemi_frame *frame)
{
    bool locked = !vmemi_frame_is_inside(vm, VMEMI_FRAME_INVENTORY);

    if (locked) {
        vmemi_mutex_lock(&vm->inventory);
    }
    vmemi_frame_enter(frame, vm, vm, VMEMI_FRAME_INVENTORY);
    return locked;
}

void vmemi_vm_unlock_inventory(struct vmem_vm *vm, struct vmemi_frame *frame,
                               bool locked)
{
    vmemi_frame_leave(frame);
    if (locked) {
        vmemi_mutex_unlock(&vm->inventory);
    }
}

int vmem_vm_for_each_region(struct vmem_vm *vm,
                            int (*fn)(struct vmem_region *region, void *opaque),
                            void *opaque)
{
    struct vmemi_frame frame;
    bool locked;
    int ret = 0;

    if (vm == NULL || fn == NULL) {
        return -EINVAL;
    }
    locked = vmemi_vm_lock_inventory(vm, &frame);
    for (GList *link = vm->children[VMEMI_CHILD_REGION].head;
         link != NULL && ret == 0; link = link->next) {
        ret = fn(((struct vmemi_child *)link->data)->object, opaque);
    }
    vmemi_vm_unlock_inventory(vm, &frame, locked);
    return ret;
}

int vmem_vm_for_each_device(struct vmem_vm *vm,
                            int (*fn)(struct vmem_device *device, void *opaque),
                            void *opaque)
{
    struct vmemi_frame frame;
    bool locked;
    int ret = 0;

    if (vm == NULL || fn == NULL) {
        return -EINVAL;
    }
    locked = vmemi_vm_lock_inventory(vm, &frame);
    for (GList *link = vm->children[VMEMI_CHILD_DEVICE].head;
         link != NULL && ret == 0; link = link->next) {
        const struct vmemi_child *child = link->data;

        ret = child->is_hidden ? 0 : fn(child->object, opaque);
    }
    vmemi_vm_unlock_inventory(vm, &frame, locked);
    return ret;
}
