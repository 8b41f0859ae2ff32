/* SPDX-License-Identifier: BSD-3-Clause */
#include "fault.h"

#include <errno.h>
#include <string.h>

static int skip_discard(const struct vmem_range *range, void *opaque)
{
    (void)range;
    (void)opaque;
    return 0;
}

static int populate(const struct vmem_range *range, void *opaque)
{
    return vmem_backing_populate(opaque, range, NULL);
}

static int zero(const struct vmem_range *range, void *opaque)
{
    struct vmem_backing_info info = { .struct_size = sizeof(info) };
    int ret = vmem_backing_get_info(opaque, &info);

    if (ret == 0) {
        memset((uint8_t *)info.hva + range->offset, 0, range->size);
    }
    return ret;
}

static int usage(const struct vmem_range *range, uint64_t *resident,
                 void *opaque)
{
    struct vmem_backing_usage inner = { .struct_size = sizeof(inner) };
    int ret = vmem_backing_get_usage(opaque, range, &inner, NULL);

    *resident = inner.resident;
    return ret;
}

int fault_new_skip_discard(struct vmem_vm *vm, struct vmem_backing *inner,
                           struct vmem_backing **out, struct vmem_error *err)
{
    struct vmem_backing_info info = { .struct_size = sizeof(info) };
    const struct vmem_backing_ops ops = {
        .struct_size = sizeof(ops),
        .discard = skip_discard,
        .populate = populate,
        .zero = zero,
        .usage = usage,
    };
    int ret = vmem_backing_get_info(inner, &info);

    if (ret < 0) {
        return ret;
    }

    const struct vmem_backing_custom custom = {
        .struct_size = sizeof(custom),
        .name = "skip-discard",
        .size = info.size,
        .page_size = info.page_size,
        .flags = info.flags & VMEM_BACKING_POPULATE,
    };

    return vmem_backing_new_custom(vm, &custom, &ops, inner, out, err);
}
