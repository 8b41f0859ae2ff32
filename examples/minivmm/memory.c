/* SPDX-License-Identifier: BSD-3-Clause */
/* Everything that libvmem manages: boot RAM, and a backing, a region and a
 * virtio-mem device for each --device. */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "minivmm.h"

/* Linux works in memory blocks of 128 MiB to 2 GiB; a device that starts on
 * such a boundary loses nothing at its ends. */
#define DEVICE_ALIGNMENT (2 * GIB)

static struct vmem_error err = VMEM_ERROR_INIT;

//! [notifications]
static void config_changed(void *opaque)
{
    struct memory_device *memory = opaque;

    virtio_config_changed(&memory->virtio);
}

static void size_changed(uint64_t plugged_size, void *opaque)
{
    struct memory_device *memory = opaque;
    char size[32];

    snprintf(size, sizeof(size), "%" PRIu64, plugged_size);
    monitor_event(memory->vm, "size-changed", "device", memory->options->name,
                  "size", size, NULL);
}

static void resize_changed(const struct vmem_resize_status *status,
                           void *opaque)
{
    struct memory_device *memory = opaque;
    char size[32];

    if (status->state == VMEM_RESIZE_IDLE) {
        snprintf(size, sizeof(size), "%" PRIu64, status->plugged_size);
        monitor_event(memory->vm, "resize-done", "device",
                      memory->options->name, "size", size, NULL);
    } else if (status->state == VMEM_RESIZE_STALLED) {
        monitor_event(
            memory->vm, "resize-stalled", "device", memory->options->name,
            "reason", vmem_resize_stall_name(status->reason), "busy",
            vmem_reason_name(status->busy_reason), "by", status->busy_by, NULL);
    }
}
//! [notifications]

//! [area]
static void add_area(struct vm *vm, uint64_t gpa, uint64_t size,
                     struct vmem_region *region, uint64_t offset, uint64_t node)
{
    struct vmem_backing_info info = { .struct_size = sizeof(info) };
    struct area *area = &vm->areas[vm->nr_areas++];

    vmem_backing_get_info(vmem_region_get_backing(region), &info);
    *area = (struct area){ .gpa = gpa,
                           .size = size,
                           .offset = offset,
                           .region = region,
                           .hva = (uint8_t *)info.hva + offset,
                           .node = node,
                           .hotplug = region != vm->ram };
}
//! [area]

//! [ram]
/* A region without a source: populated, and it stays so. */
static int open_ram(struct vm *vm)
{
    const uint64_t size = vm->options->memory_size;
    const uint64_t low = size < HOLE_GPA ? size : HOLE_GPA;
    const struct vmem_backing_config request = { .struct_size = sizeof(request),
                                                 .name = "ram",
                                                 .size = size,
                                                 .kind = VMEM_BACKING_ANON };
    struct vmem_region_config config = { .struct_size = sizeof(config),
                                         .name = "ram" };

    if (vmem_backing_new_allocated(vm->vmem, &request, &vm->ram_backing,
                                   &err) != 0) {
        return complain("no boot RAM: %s", err.message);
    }
    config.backing = vm->ram_backing;
    if (vmem_region_new(vm->vmem, &config, &vm->ram, &err) != 0) {
        return complain("no boot RAM: %s", err.message);
    }
    add_area(vm, 0, low, vm->ram, 0, 0);
    if (size > low) {
        add_area(vm, HIGH_GPA, size - low, vm->ram, low, 0);
    }
    return 0;
}
//! [ram]

//! [device]
/* The block size is known only when the backing is: it decides where the device
 * may start. */
static int open_device(struct vm *vm, struct memory_device *memory,
                       const struct device_options *options, uint64_t *gpa)
{
    const struct vmem_backing_config request = { .struct_size = sizeof(request),
                                                 .name = options->name,
                                                 .path = options->path,
                                                 .size = options->size,
                                                 .kind = options->backing };
    const struct vmem_device_ops ops = {
        .struct_size = sizeof(ops),
        .config_changed = config_changed,
        .size_changed = size_changed,
        .resize_changed = resize_changed,
        .trace = memory->vm->options->trace != NULL ? trace_event : NULL
    };
    struct vmem_region_config ram = { .struct_size = sizeof(ram),
                                      .name = options->name };
    struct vmem_device_config config = {
        .struct_size = sizeof(config),
        .name = options->name,
        .block_size = options->block_size,
        .requested_size = options->requested_size,
        .features = options->features,
        .flags = options->flags,
        .node_id = options->node,
        .stall_after_ns = vm->options->stall_after_ns,
    };

    if (vmem_backing_new_allocated(vm->vmem, &request, &memory->backing,
                                   &err) != 0) {
        return -1;
    }
    ram.backing = memory->backing;
    if (vmem_region_new(vm->vmem, &ram, &memory->region, &err) != 0) {
        return -1;
    }
    const uint64_t alignment = config.block_size > DEVICE_ALIGNMENT
                                   ? config.block_size
                                   : DEVICE_ALIGNMENT;
    memory->gpa = (*gpa + alignment - 1) / alignment * alignment;
    config.gpa = memory->gpa;
    if (vmem_device_new(memory->region, &config, &ops, memory, &memory->device,
                        &err) != 0) {
        return -1;
    }
    *gpa = memory->gpa + options->size;
    add_area(vm, memory->gpa, options->size, memory->region, 0, options->node);
    return 0;
}
//! [device]

//! [open]
int memory_open(struct vm *vm)
{
    const struct vmem_vm_config config = { .struct_size = sizeof(config),
                                           .name = "minivmm" };
    const struct options *options = vm->options;
    uint64_t gpa = HIGH_GPA;

    if (vmem_vm_new(&config, &vm->vmem, &err) != 0) {
        return complain("%s", err.message);
    }
    if (open_ram(vm) != 0) {
        return -1;
    }
    if (options->memory_size > HOLE_GPA) {
        gpa += options->memory_size - HOLE_GPA;
    }
    for (unsigned i = 0; i < options->nr_devices; i++) {
        struct memory_device *memory = &vm->devices[i];

        memory->vm = vm;
        memory->options = &options->devices[i];
        virtio_init(&memory->virtio, vm, i);
        vm->nr_devices++;
        if (open_device(vm, memory, memory->options, &gpa) != 0) {
            return complain("--device %s: %s", memory->options->name,
                            err.message);
        }
    }
    return 0;
}
//! [open]

//! [close]
void memory_close(struct vm *vm)
{
    for (unsigned i = 0; i < vm->nr_devices; i++) {
        struct memory_device *memory = &vm->devices[i];

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
    if (vmem_region_free(vm->ram, &err) != 0 ||
        vmem_backing_free(vm->ram_backing, &err) != 0 ||
        vmem_vm_free(vm->vmem, &err) != 0) {
        complain("%s", err.message);
    }
}
//! [close]

//! [reset]
void memory_reset(struct vm *vm)
{
    for (unsigned i = 0; i < vm->nr_devices; i++) {
        struct memory_device *memory = &vm->devices[i];

        virtio_reset(&memory->virtio);
        /* A frozen device keeps its blocks; Linux then unplugs them itself
         * when its driver starts. */
        if (vmem_device_reset(memory->device, VMEM_RESET_SYSTEM, &err) != 0) {
            monitor_event(vm, "reset-refused", "device", memory->options->name,
                          "why", err.message, NULL);
        }
    }
}
//! [reset]

struct memory_device *memory_find(struct vm *vm, const char *name)
{
    for (unsigned i = 0; i < vm->nr_devices; i++) {
        if (strcmp(vm->devices[i].options->name, name) == 0) {
            return &vm->devices[i];
        }
    }
    return NULL;
}

struct copy {
    const struct area *area;
    uint8_t *bytes;
    bool write;
};

/* Runs while the range cannot go away. A ring's index is two bytes, which must
 * be read and written at once. */
static int copy_populated(const struct vmem_range *range, void *opaque)
{
    const struct copy *copy = opaque;
    uint8_t *hva = copy->area->hva + (range->offset - copy->area->offset);

    if (range->size == sizeof(uint16_t) && (uintptr_t)hva % 2 == 0) {
        _Atomic uint16_t *index = (_Atomic uint16_t *)(void *)hva;
        uint16_t value;

        if (copy->write) {
            memcpy(&value, copy->bytes, sizeof(value));
            atomic_store(index, value);
        } else {
            value = atomic_load(index);
            memcpy(copy->bytes, &value, sizeof(value));
        }
    } else if (copy->write) {
        memcpy(hva, copy->bytes, range->size);
    } else {
        memcpy(copy->bytes, hva, range->size);
    }
    return 0;
}

static const struct area *find_area(const struct vm *vm, uint64_t gpa)
{
    for (unsigned i = 0; i < vm->nr_areas; i++) {
        const struct area *area = &vm->areas[i];

        if (gpa >= area->gpa && gpa - area->gpa < area->size) {
            return area;
        }
    }
    return NULL;
}

//! [access]
/* Visits the areas that a range lies in; bytes == NULL only looks. */
static int visit(struct vm *vm, uint64_t gpa, uint8_t *bytes, uint64_t size,
                 bool write)
{
    while (size > 0) {
        struct copy copy = { find_area(vm, gpa), bytes, write };

        if (copy.area == NULL) {
            return -1;
        }
        const uint64_t start = gpa - copy.area->gpa;
        const uint64_t room = copy.area->size - start;
        const struct vmem_range range = { copy.area->offset + start,
                                          size < room ? size : room };

        if (bytes == NULL) {
            if (!vmem_region_is_populated(copy.area->region, &range)) {
                return -1;
            }
        } else {
            if (vmem_region_with_populated(copy.area->region, &range,
                                           copy_populated, &copy, NULL) != 0) {
                return -1;
            }
            bytes += range.size;
        }
        gpa += range.size;
        size -= range.size;
    }
    return 0;
}
//! [access]

int memory_read(struct vm *vm, uint64_t gpa, void *bytes, size_t size)
{
    return visit(vm, gpa, bytes, size, false);
}

int memory_write(struct vm *vm, uint64_t gpa, const void *bytes, size_t size)
{
    return visit(vm, gpa, (uint8_t *)bytes, size, true);
}

bool memory_is_there(struct vm *vm, uint64_t gpa, uint64_t size)
{
    return visit(vm, gpa, NULL, size, false) == 0;
}

void *memory_boot_ram(struct vm *vm, uint64_t gpa, uint64_t size)
{
    const struct area *low = &vm->areas[0];

    return gpa <= low->size && size <= low->size - gpa ? low->hva + gpa : NULL;
}
