/* SPDX-License-Identifier: BSD-3-Clause */
#include "rig.h"

#include <string.h>

#include <vmem/region.h>

#include "fault.h"

struct vmem_backing *rig_backing(const struct rig *rig)
{
    return rig->wrapper != NULL ? rig->wrapper : rig->memory;
}

uint64_t rig_plugged_size(const struct rig *rig)
{
    struct vmem_device_info info = { .struct_size = sizeof(info) };

    (void)vmem_device_get_info(rig->device, &info);
    return info.plugged_size;
}

static int make_memory(struct rig *rig, struct vmem_vm *vm,
                       const struct rig_options *options, uint64_t fd_offset,
                       struct vmem_error *err)
{
    const bool is_file = options->kind == VMEM_BACKING_FILE;
    const struct vmem_backing_config request = {
        .struct_size = sizeof(request),
        .name = rig->trace->name,
        .path = options->path,
        .size = rig->trace->region_size,
        .fd_offset = is_file ? fd_offset : 0,
        .flags = is_file ? VMEM_BACKING_SHARED : 0,
        .kind = options->kind,
    };
    struct vmem_backing_info info = { .struct_size = sizeof(info) };
    int ret = vmem_backing_new_allocated(vm, &request, &rig->memory, err);

    if (ret == 0) {
        ret = vmem_backing_get_info(rig->memory, &info);
        rig->hva = info.hva;
    }
    if (ret == 0 && (options->skip_discard || options->fail_discard > 0)) {
        ret = fault_new(vm, rig->memory, options->skip_discard,
                        options->fail_discard, &rig->wrapper, err);
    }
    return ret;
}

static int make_device(struct rig *rig, struct vmem_vm *vm,
                       const struct rig_options *options,
                       struct vmem_error *err)
{
    const struct vmem_region_config region = {
        .struct_size = sizeof(region),
        .name = rig->trace->name,
        .backing = rig_backing(rig),
    };
    const struct vmem_device_config device = {
        .struct_size = sizeof(device),
        .name = rig->trace->name,
        .gpa = rig->trace->gpa,
        .block_size = rig->trace->block_size,
        .requested_size = rig->trace->requested_size,
        .usable_policy = rig->trace->usable_policy,
        .usable_headroom = rig->trace->usable_extent,
        .features = VMEM_DEVICE_F_ACPI_PXM,
        .node_id = rig->trace->node,
    };
    int ret = vmem_region_new(vm, &region, &rig->region, err);

    if (ret == 0) {
        ret = vmem_device_new(rig->region, &device, options->ops,
                              options->opaque, &rig->device, err);
    }
    return ret;
}

static int add_shadows(struct rig *rig, struct vmem_error *err)
{
    static const char *const names[RIG_NR_SHADOWS] = { "blocks", "runs" };

    for (unsigned i = 0; i < RIG_NR_SHADOWS; i++) {
        int ret = shadow_add(&rig->shadows[i], rig->region, names[i],
                             rig->trace->block_size, i == 0, err);

        if (ret < 0) {
            return ret;
        }
    }
    return 0;
}

int rig_init(struct rig *rig, struct vmem_vm *vm,
             const struct trace_device *device,
             const struct rig_options *options, uint64_t fd_offset,
             struct vmem_error *err)
{
    int ret;

    memset(rig, 0, sizeof(*rig));
    rig->trace = device;
    ret = make_memory(rig, vm, options, fd_offset, err);
    if (ret == 0) {
        ret = make_device(rig, vm, options, err);
    }
    if (ret == 0) {
        ret = add_shadows(rig, err);
    }
    if (ret < 0) {
        (void)rig_dismantle(rig, NULL);
        rig_clear(rig);
    }
    return ret;
}

/* Keeps the first failure and its report; everything is tried all the same. */
#define KEEP_FIRST(ret, err, call, object)                                     \
    do {                                                                       \
        int next_ = call(object, (ret) == 0 ? (err) : NULL);                   \
        (ret) = (ret) == 0 ? next_ : (ret);                                    \
    } while (0)

int rig_dismantle(struct rig *rig, struct vmem_error *err)
{
    int ret = 0;

    if (rig->frozen) {
        ret = vmem_region_thaw(rig->region, RIG_FREEZER, err);
        rig->frozen = false;
    }
    for (unsigned i = RIG_NR_SHADOWS; i-- > 0;) {
        if (rig->shadows[i].listener != NULL) {
            KEEP_FIRST(ret, err, shadow_remove, &rig->shadows[i]);
        }
    }
    KEEP_FIRST(ret, err, vmem_device_free, rig->device);
    KEEP_FIRST(ret, err, vmem_region_free, rig->region);
    KEEP_FIRST(ret, err, vmem_backing_free, rig->wrapper);
    KEEP_FIRST(ret, err, vmem_backing_free, rig->memory);
    rig->device = NULL;
    rig->region = NULL;
    rig->wrapper = NULL;
    rig->memory = NULL;
    rig->hva = NULL;
    return ret;
}

void rig_clear(struct rig *rig)
{
    for (unsigned i = 0; i < RIG_NR_SHADOWS; i++) {
        shadow_clear(&rig->shadows[i]);
    }
}
