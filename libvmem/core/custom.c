/* SPDX-License-Identifier: BSD-3-Clause */
/* A backing made of the host program's callbacks. */
#include <errno.h>
#include <inttypes.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/error.h"
#include "base/range.h"
#include "base/sized.h"
#include "core/backing.h"

struct custom {
    struct vmem_backing_ops ops;
    void *opaque;
};

/* A callback that returns a positive number did not keep its contract; what it
 * meant is unknown, so it is a failure. */
static int checked(int ret)
{
    return ret > 0 ? -EINVAL : ret;
}

static int custom_discard(struct vmem_backing *backing,
                          const struct vmem_range *range, uint64_t *done)
{
    struct custom *custom = backing->impl;

    *done = 0;
    return checked(custom->ops.discard(range, custom->opaque));
}

static int custom_populate(struct vmem_backing *backing,
                           const struct vmem_range *range)
{
    struct custom *custom = backing->impl;

    if (custom->ops.populate == NULL) {
        return 0;
    }
    return checked(custom->ops.populate(range, custom->opaque));
}

static int custom_zero(struct vmem_backing *backing,
                       const struct vmem_range *range)
{
    struct custom *custom = backing->impl;

    if (custom->ops.zero == NULL) {
        return -ENOTSUP;
    }
    return checked(custom->ops.zero(range, custom->opaque));
}

static int custom_usage(struct vmem_backing *backing,
                        const struct vmem_range *range,
                        struct vmem_backing_usage *usage)
{
    struct custom *custom = backing->impl;

    if (custom->ops.usage == NULL) {
        return -ENOTSUP;
    }
    usage->method = VMEM_USAGE_CALLBACK;
    return checked(custom->ops.usage(range, &usage->resident, custom->opaque));
}

static void custom_describe(const struct vmem_backing *backing,
                            struct vmem_backing_info *info)
{
    (void)backing;
    info->kind = VMEM_BACKING_CUSTOM;
}

static void custom_destroy(void *impl)
{
    struct custom *custom = impl;

    if (custom->ops.destroy != NULL) {
        custom->ops.destroy(custom->opaque);
    }
    vmemi_free(custom);
}

static const struct vmemi_backing_ops custom_ops = {
    .discard = custom_discard,
    .populate = custom_populate,
    .zero = custom_zero,
    .usage = custom_usage,
    .describe = custom_describe,
    .destroy = custom_destroy,
};

static int make(struct vmem_vm *vm, const struct vmem_backing_custom *config,
                const struct vmem_backing_ops *ops, void *opaque,
                struct vmem_backing **out, struct vmem_error *err)
{
    const uint64_t min_block_size = (uint64_t)1 << 20;
    uint64_t page_size = config->page_size;
    struct custom *custom;
    int ret;

    if ((config->flags & ~VMEM_BACKING_POPULATE) != 0) {
        return vmemi_fail(err, -EINVAL, VMEM_REASON_ARGUMENT, NULL,
                          "backing \"%s\": unknown flags 0x%" PRIx64,
                          config->name != NULL ? config->name : "",
                          config->flags & ~VMEM_BACKING_POPULATE);
    }
    if (page_size == 0) {
        page_size = (uint64_t)sysconf(_SC_PAGESIZE);
    }
    custom = vmemi_alloc0(sizeof(*custom));
    if (custom == NULL) {
        return vmemi_fail_no_memory(err, "a custom backing");
    }
    custom->ops = *ops;
    custom->opaque = opaque;
    ret = vmemi_backing_new(
        vm,
        &(struct vmemi_backing_traits){
            .name = config->name,
            .size = config->size,
            .page_size = page_size,
            .default_block_size = vmemi_max(page_size, min_block_size),
            .populate_on_plug = (config->flags & VMEM_BACKING_POPULATE) != 0,
        },
        &custom_ops, custom, out, err);
    if (ret < 0) {
        vmemi_free(custom);
    }
    return ret;
}

int vmem_backing_new_custom(struct vmem_vm *vm,
                            const struct vmem_backing_custom *host_config,
                            const struct vmem_backing_ops *host_ops,
                            void *opaque, struct vmem_backing **out,
                            struct vmem_error *err)
{
    struct vmem_backing_custom config;
    struct vmem_backing_ops ops;
    int ret;

    ret = vmemi_sized_read(&ops, sizeof(ops),
                           VMEMI_SIZE_THROUGH(struct vmem_backing_ops, destroy),
                           host_ops, "vmem_backing_ops", err);
    if (ret < 0 && ret != -E2BIG) {
        return ret; /* there is no destroy to call */
    }
    if (ret == 0) {
        ret = vmemi_sized_read(
            &config, sizeof(config),
            VMEMI_SIZE_THROUGH(struct vmem_backing_custom, flags), host_config,
            "vmem_backing_custom", err);
    }
    if (ret == 0 && (vm == NULL || out == NULL || ops.discard == NULL)) {
        ret = vmemi_fail(err, -EINVAL, VMEM_REASON_ARGUMENT, NULL,
                         "vmem_backing_new_custom: vm, out or ops.discard is "
                         "NULL");
    }
    if (ret == 0) {
        ret = make(vm, &config, &ops, opaque, out, err);
    }
    if (ret < 0 && ops.destroy != NULL) {
        ops.destroy(opaque);
    }
    return ret;
}
