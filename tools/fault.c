/* SPDX-License-Identifier: BSD-3-Clause */
#include "fault.h"

#include <errno.h>
#include <string.h>

#include <glib.h>

struct fault {
    struct vmem_backing *inner;
    bool skip;
    uint64_t fail_at;
    uint64_t nr_discards;
};

static int discard(const struct vmem_range *range, void *opaque)
{
    struct fault *fault = opaque;

    fault->nr_discards++;
    if (fault->nr_discards == fault->fail_at) {
        return -EIO;
    }
    return fault->skip ? 0 : vmem_backing_discard(fault->inner, range, NULL);
}

static int populate(const struct vmem_range *range, void *opaque)
{
    const struct fault *fault = opaque;

    return vmem_backing_populate(fault->inner, range, NULL);
}

static int zero(const struct vmem_range *range, void *opaque)
{
    const struct fault *fault = opaque;
    struct vmem_backing_info info = { .struct_size = sizeof(info) };
    int ret = vmem_backing_get_info(fault->inner, &info);

    if (ret == 0) {
        memset((uint8_t *)info.hva + range->offset, 0, range->size);
    }
    return ret;
}

static int usage(const struct vmem_range *range, uint64_t *resident,
                 void *opaque)
{
    const struct fault *fault = opaque;
    struct vmem_backing_usage inner = { .struct_size = sizeof(inner) };
    int ret = vmem_backing_get_usage(fault->inner, range, &inner, NULL);

    *resident = inner.resident;
    return ret;
}

int fault_new(struct vmem_vm *vm, struct vmem_backing *inner, bool skip,
              uint64_t fail_at, struct vmem_backing **out,
              struct vmem_error *err)
{
    struct vmem_backing_info info = { .struct_size = sizeof(info) };
    const struct vmem_backing_ops ops = {
        .struct_size = sizeof(ops),
        .discard = discard,
        .populate = populate,
        .zero = zero,
        .usage = usage,
        .destroy = g_free,
    };
    struct fault *fault;
    int ret = vmem_backing_get_info(inner, &info);

    if (ret < 0) {
        return ret;
    }

    const struct vmem_backing_custom custom = {
        .struct_size = sizeof(custom),
        .name = "faulty",
        .size = info.size,
        .page_size = info.page_size,
        .flags = info.flags & VMEM_BACKING_POPULATE,
    };

    fault = g_new0(struct fault, 1);
    fault->inner = inner;
    fault->skip = skip;
    fault->fail_at = fail_at;
    return vmem_backing_new_custom(vm, &custom, &ops, fault, out, err);
}
