/* SPDX-License-Identifier: BSD-3-Clause */
/* Everything that libvmem manages: a backing and a region for each piece of guest
 * memory, and a virtio-mem device for those that are no boot RAM. */
#include <inttypes.h>
#include <string.h>

#include "instruments/instruments.h"

/* Linux works in memory blocks of 128 MiB to 2 GiB; a device that starts on
 * such a boundary loses nothing at its start. */
#define DEVICE_ALIGNMENT (2 * GIB)

static struct vmem_error err = VMEM_ERROR_INIT;

//! [notifications]
static void config_changed(void *opaque)
{
    struct memory *memory = opaque;

    virtio_config_changed(&memory->virtio);
}

static void tell_size(const struct memory *memory, const char *event,
                      uint64_t plugged_size)
{
    char size[32];

    snprintf(size, sizeof(size), "%" PRIu64, plugged_size);
    monitor_event(event, "device", memory->name, "size", size, NULL);
}

static void size_changed(uint64_t plugged_size, void *opaque)
{
    tell_size(opaque, "size-changed", plugged_size);
}

static void resize_changed(const struct vmem_resize_status *status,
                           void *opaque)
{
    const struct memory *memory = opaque;

    if (status->state == VMEM_RESIZE_IDLE) {
        tell_size(memory, "resize-done", status->plugged_size);
    } else if (status->state == VMEM_RESIZE_STALLED) {
        monitor_event("resize-stalled", "device", memory->name, "reason",
                      vmem_resize_stall_name(status->reason), "busy",
                      vmem_reason_name(status->busy_reason), "by",
                      status->busy_by, NULL);
    }
}
//! [notifications]

//! [region]
/* The next piece of guest memory. A region without a device is populated, and
 * stays so: that is all that RAM needs. */
static int add_memory(struct vm *vm, uint64_t gpa,
                      const struct vmem_backing_config *backing)
{
    struct memory *memory = &vm->memories[vm->nr_memories++];
    struct vmem_backing_info info = { .struct_size = sizeof(info) };
    struct vmem_region_config config = { .struct_size = sizeof(config) };

    memory->vm = vm;
    memory->gpa = gpa;
    memory->size = backing->size;
    snprintf(memory->name, sizeof(memory->name), "%s", backing->name);
    if (vmem_backing_new_allocated(vm->vmem, backing, &memory->backing, &err) !=
        0) {
        return -1;
    }
    vmem_backing_get_info(memory->backing, &info);
    memory->hva = info.hva;
    config.backing = memory->backing;
    return vmem_region_new(vm->vmem, &config, &memory->region, &err);
}
//! [region]

//! [device]
static int add_device(struct vm *vm, uint64_t gpa)
{
    const unsigned index = vm->nr_devices++;
    struct memory *memory = &vm->devices[index];
    struct vmem_backing_config backing = vm->options->devices[index].backing;
    struct vmem_device_config config = vm->options->devices[index].device;
    const struct vmem_device_ops ops = { .struct_size = sizeof(ops),
                                         .config_changed = config_changed,
                                         .size_changed = size_changed,
                                         .resize_changed = resize_changed,
                                         .trace = vm->options->trace != NULL
                                                      ? trace_event
                                                      : NULL };
    char name[16];

    snprintf(name, sizeof(name), "vmem%u", index);
    virtio_init(&memory->virtio, memory, index);
    backing.name = config.name = name;
    if (add_memory(vm, gpa, &backing) != 0) {
        return -1;
    }
    memory->node = config.node_id;
    config.gpa = gpa;
    config.stall_after_ns = vm->options->stall_after_ns;
    return vmem_device_new(memory->region, &config, &ops, memory,
                           &memory->device, &err);
}
//! [device]

//! [open]
int memory_open(struct vm *vm)
{
    const struct vmem_vm_config config = { .struct_size = sizeof(config),
                                           .name = "minivmm" };
    const struct options *options = vm->options;
    const struct vmem_backing_config ram = { .struct_size = sizeof(ram),
                                             .name = "ram",
                                             .size = options->memory_size,
                                             .kind = VMEM_BACKING_ANON };
    uint64_t gpa = HIGH_GPA;

    if (vmem_vm_new(&config, &vm->vmem, &err) != 0 ||
        add_memory(vm, 0, &ram) != 0) {
        return complain("no boot RAM: %s", err.message);
    }
    vm->devices = &vm->memories[1];
    for (unsigned i = 0; i < options->nr_devices; i++) {
        gpa = (gpa + DEVICE_ALIGNMENT - 1) & ~(DEVICE_ALIGNMENT - 1);
        if (add_device(vm, gpa) != 0) {
            return complain("--device number %u: %s", i + 1, err.message);
        }
        gpa += vm->devices[i].size;
    }
    return 0;
}
//! [open]

//! [close]
void memory_close(struct vm *vm)
{
    for (unsigned i = vm->nr_memories; i-- > 0;) {
        struct memory *memory = &vm->memories[i];

        follow_detach_all(memory);
        if (memory->region != NULL && vmem_region_is_frozen(memory->region)) {
            vmem_region_thaw(memory->region, "monitor", NULL);
        }
        if (vmem_device_free(memory->device, &err) != 0 ||
            vmem_region_free(memory->region, &err) != 0 ||
            vmem_backing_free(memory->backing, &err) != 0) {
            complain("%s", err.message);
        }
    }
    if (vmem_vm_free(vm->vmem, &err) != 0) {
        complain("%s", err.message);
    }
}
//! [close]

//! [reset]
void memory_reset(struct vm *vm)
{
    for (unsigned i = 0; i < vm->nr_devices; i++) {
        struct memory *memory = &vm->devices[i];

        virtio_reset(&memory->virtio);
        /* A device that is frozen, or whose listener keeps its memory, keeps
         * its blocks; Linux then unplugs them when its driver starts. */
        if (vmem_device_reset(memory->device, VMEM_RESET_SYSTEM, &err) != 0) {
            monitor_event("reset-refused", "device", memory->name, "why",
                          err.message, NULL);
        }
    }
}
//! [reset]

struct copy {
    uint8_t *hva;
    uint8_t *bytes;
    bool write;
};

/* Runs while the range cannot go away. A ring's index is two bytes, which must
 * be read and written at once, and in order with what it is the index of. */
static int copy_populated(const struct vmem_range *range, void *opaque)
{
    const struct copy *copy = opaque;
    uint16_t index;

    if (range->size == sizeof(index) && (uintptr_t)copy->hva % 2 == 0) {
        _Atomic uint16_t *shared = (_Atomic uint16_t *)(void *)copy->hva;

        if (copy->write) {
            memcpy(&index, copy->bytes, sizeof(index));
            atomic_store(shared, index);
        } else {
            index = atomic_load(shared);
            memcpy(copy->bytes, &index, sizeof(index));
        }
    } else if (copy->write) {
        memcpy(copy->hva, copy->bytes, range->size);
    } else {
        memcpy(copy->bytes, copy->hva, range->size);
    }
    return 0;
}

//! [access]
/* A range over the border of two pieces is in none. No driver makes one: a device
 * starts where no allocation of Linux lies across. */
static int copy(struct vm *vm, uint64_t gpa, uint8_t *bytes, uint64_t size,
                bool write)
{
    for (unsigned i = 0; i < vm->nr_memories; i++) {
        const struct memory *memory = &vm->memories[i];
        const struct vmem_range range = { gpa - memory->gpa, size };

        if (gpa >= memory->gpa && range.offset < memory->size &&
            size <= memory->size - range.offset) {
            struct copy copy = { memory->hva + range.offset, bytes, write };

            return vmem_region_with_populated(memory->region, &range,
                                              copy_populated, &copy, NULL);
        }
    }
    return -1;
}

int memory_read(struct vm *vm, uint64_t gpa, void *bytes, size_t size)
{
    return copy(vm, gpa, bytes, size, false);
}

int memory_write(struct vm *vm, uint64_t gpa, const void *bytes, size_t size)
{
    return copy(vm, gpa, (uint8_t *)bytes, size, true);
}
//! [access]

void *memory_boot_ram(struct vm *vm, uint64_t gpa, uint64_t size)
{
    const struct memory *ram = &vm->memories[0];

    return gpa <= ram->size && size <= ram->size - gpa ? ram->hva + gpa : NULL;
}
