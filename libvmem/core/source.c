/* SPDX-License-Identifier: BSD-3-Clause */
#include "core/source.h"

#include <errno.h>
#include <inttypes.h>

#include "base/alloc.h"
#include "base/error.h"
#include "base/range.h"
#include "base/sized.h"

static int check_block_size(const struct vmem_region *region,
                            const struct vmem_source_config *config,
                            struct vmem_error *err)
{
    if (!vmemi_is_power_of_two(config->block_size)) {
        return vmemi_fail(err, -EINVAL, VMEM_REASON_ALIGNMENT, NULL,
                          "source \"%s\": block size 0x%" PRIx64
                          " is not a power of two",
                          config->name, config->block_size);
    }
    if ((region->size & (config->block_size - 1)) != 0) {
        return vmemi_fail(err, -EINVAL, VMEM_REASON_ALIGNMENT, NULL,
                          "source \"%s\": size 0x%" PRIx64
                          " of region \"%s\" is not a multiple of the block "
                          "size 0x%" PRIx64,
                          config->name, region->size, region->name.text,
                          config->block_size);
    }
    if ((config->flags & VMEM_SOURCE_DISCARDS) != 0 &&
        region->backing != NULL &&
        config->block_size < region->backing->page_size) {
        return vmemi_fail(
            err, -EINVAL, VMEM_REASON_ALIGNMENT, NULL,
            "source \"%s\": block size 0x%" PRIx64
            " is below the page size 0x%" PRIx64 " of backing \"%s\"",
            config->name, config->block_size, region->backing->page_size,
            region->backing->name.text);
    }
    if (region->size / config->block_size > VMEM_BITMAP_MAX_BLOCKS) {
        return vmemi_fail(err, -ERANGE, VMEM_REASON_RANGE, NULL,
                          "source \"%s\": %" PRIu64
                          " blocks, the limit is %" PRIu64,
                          config->name, region->size / config->block_size,
                          VMEM_BITMAP_MAX_BLOCKS);
    }
    return 0;
}

static int check_config(const struct vmem_region *region,
                        const struct vmem_source_config *config,
                        struct vmem_error *err)
{
    const uint64_t known = VMEM_SOURCE_DISCARDS | VMEM_SOURCE_POPULATED;

    if ((config->flags & ~known) != 0) {
        return vmemi_fail(err, -EINVAL, VMEM_REASON_ARGUMENT, NULL,
                          "source \"%s\": unknown flags 0x%" PRIx64,
                          config->name, config->flags & ~known);
    }
    return check_block_size(region, config, err);
}

void vmemi_source_free(struct vmem_source *source)
{
    if (source == NULL) {
        return;
    }
    vmem_bitmap_free(source->blocks);
    vmem_bitmap_free(source->retained);
    vmemi_free(source);
}

/* Memory for everything the source will ever need: changes do not allocate. */
static int make_source(struct vmem_region *region,
                       const struct vmem_source_config *config,
                       const struct vmemi_name *name, struct vmem_source **out,
                       struct vmem_error *err)
{
    const uint64_t nr_blocks = region->size / config->block_size;
    struct vmem_source *source = vmemi_alloc0(sizeof(*source));
    int ret = source == NULL ? -ENOMEM : 0;

    if (ret == 0) {
        ret = vmem_bitmap_new(nr_blocks, &source->blocks);
    }
    if (ret == 0 && (config->flags & VMEM_SOURCE_DISCARDS) != 0) {
        ret = vmem_bitmap_new(nr_blocks, &source->retained);
    }
    if (ret < 0) {
        vmemi_source_free(source);
        return vmemi_fail(err, ret, VMEM_REASON_NO_MEMORY, NULL,
                          "source \"%s\": out of memory for %" PRIu64 " blocks",
                          name->text, nr_blocks);
    }
    source->link.data = source;
    source->name = *name;
    source->region = region;
    source->flags = config->flags;
    source->block_shift = (unsigned int)__builtin_ctzll(config->block_size);
    if ((config->flags & VMEM_SOURCE_POPULATED) != 0) {
        vmem_bitmap_set(source->blocks, 0, nr_blocks, NULL);
    }
    *out = source;
    return 0;
}

int vmemi_source_fail_change(const struct vmem_source *source, const char *what,
                             const struct vmem_range *range,
                             const struct vmemi_change *change,
                             struct vmem_error *err)
{
    const struct vmemi_cause *cause = &change->cause;
    char text[VMEM_ERROR_MESSAGE_SIZE];

    vmemi_cause_format(cause, text, sizeof(text));
    return vmemi_fail(
        err, cause->code, cause->reason, range,
        "source \"%s\": %s of 0x%" PRIx64 " bytes at offset 0x%" PRIx64 ": %s",
        source->name.text, what, range->size, range->offset, text);
}

int vmemi_source_add(struct vmem_region *region,
                     const struct vmem_source_config *config,
                     struct vmemi_source_driver *driver,
                     struct vmem_source **out, struct vmem_error *err)
{
    struct vmem_source *source = NULL;
    struct vmemi_change change;
    struct vmemi_name name;
    int ret;

    ret = vmemi_name_set(&name, config->name, "source name", err);
    if (ret < 0) {
        return ret;
    }
    ret = check_config(region, config, err);
    if (ret < 0) {
        return ret;
    }
    ret = make_source(region, config, &name, &source, err);
    if (ret < 0) {
        return ret;
    }
    source->driver = driver;
    ret = vmemi_change_begin(&change, region, "vmem_source_add", err);
    if (ret < 0) {
        vmemi_source_free(source);
        return ret;
    }
    ret = vmemi_source_join(source, &change, err);
    if (ret == 0) {
        /* Before the lock is dropped: a thaw may call the driver right after. */
        *out = source;
    }
    vmemi_change_end(&change);
    if (ret < 0) {
        vmemi_source_free(source);
    }
    return ret;
}

int vmem_source_add(struct vmem_region *region,
                    const struct vmem_source_config *host_config,
                    struct vmem_source **out, struct vmem_error *err)
{
    struct vmem_source_config config;
    int ret;

    ret = vmemi_sized_read(&config, sizeof(config),
                           VMEMI_SIZE_THROUGH(struct vmem_source_config, flags),
                           host_config, "vmem_source_config", err);
    if (ret < 0) {
        return ret;
    }
    if (region == NULL || out == NULL) {
        return vmemi_fail(err, -EINVAL, VMEM_REASON_ARGUMENT, NULL,
                          "vmem_source_add: region or out is NULL");
    }
    return vmemi_source_add(region, &config, NULL, out, err);
}

int vmemi_source_remove(struct vmem_source *source, bool alone,
                        struct vmem_error *err)
{
    struct vmemi_change change;
    int ret;

    ret =
        vmemi_change_begin(&change, source->region, "vmem_source_remove", err);
    if (ret < 0) {
        return ret;
    }
    ret = vmemi_source_leave(source, alone, &change, err);
    vmemi_change_end(&change);
    return ret;
}

static int check_not_driven(const struct vmem_source *source, const char *what,
                            struct vmem_error *err)
{
    if (source->driver == NULL) {
        return 0;
    }
    return vmemi_fail(err, -EBUSY, VMEM_REASON_IN_USE, NULL,
                      "%s: source \"%s\" is driven by its device", what,
                      source->name.text);
}

int vmem_source_remove(struct vmem_source *source, struct vmem_error *err)
{
    const struct vmem_vm *vm;
    struct vmemi_frame frame;
    int ret;

    if (source == NULL) {
        return 0;
    }
    vm = source->region->vm;
    ret = check_not_driven(source, "vmem_source_remove", err);
    if (ret == 0) {
        ret = vmemi_vm_check_may_remove(vm, source, "vmem_source_remove", err);
    }
    if (ret < 0) {
        return ret;
    }
    vmemi_frame_enter(&frame, vm, source, VMEMI_FRAME_REMOVE);
    ret = vmemi_source_remove(source, false, err);
    vmemi_frame_leave(&frame);
    if (ret == 0) {
        vmemi_source_free(source);
    }
    return ret;
}

static int check_change(const struct vmem_source *source,
                        const struct vmem_range *range, const char *what,
                        struct vmem_error *err)
{
    int ret;

    if (source == NULL || range == NULL) {
        return vmemi_fail(err, -EINVAL, VMEM_REASON_ARGUMENT, NULL,
                          "%s: NULL argument", what);
    }
    ret = check_not_driven(source, what, err);
    if (ret < 0) {
        return ret;
    }
    ret =
        vmemi_range_check(range, source->region->size, source->name.text, err);
    if (ret < 0) {
        return ret;
    }
    return vmemi_range_check_aligned(range, vmemi_source_block_size(source),
                                     source->name.text, err);
}

int vmem_source_populate(struct vmem_source *source,
                         const struct vmem_range *range, struct vmem_error *err)
{
    struct vmemi_change change;
    int ret;

    ret = check_change(source, range, "vmem_source_populate", err);
    if (ret < 0) {
        return ret;
    }
    ret = vmemi_change_begin(&change, source->region, "vmem_source_populate",
                             err);
    if (ret < 0) {
        return ret;
    }
    ret = vmemi_source_plug(source, range, &change);
    if (ret < 0) {
        vmemi_source_fail_change(source, "populate", range, &change, err);
    }
    vmemi_change_end(&change);
    return ret;
}

int vmem_source_discard(struct vmem_source *source,
                        const struct vmem_range *range, struct vmem_error *err)
{
    struct vmemi_change change;
    int ret;

    ret = check_change(source, range, "vmem_source_discard", err);
    if (ret < 0) {
        return ret;
    }
    ret =
        vmemi_change_begin(&change, source->region, "vmem_source_discard", err);
    if (ret < 0) {
        return ret;
    }
    ret = vmemi_source_unplug(source, range, &change);
    if (ret < 0) {
        vmemi_source_fail_change(source, "discard", range, &change, err);
    }
    vmemi_change_end(&change);
    return ret;
}

int vmem_source_get_info(const struct vmem_source *source,
                         struct vmem_source_info *host_info)
{
    struct vmem_source_info info = { 0 };

    if (source == NULL ||
        vmemi_sized_check_out(
            host_info, VMEMI_SIZE_THROUGH(struct vmem_source_info, flags)) <
            0) {
        return -EINVAL;
    }
    info.name = source->name.text;
    info.block_size = vmemi_source_block_size(source);
    info.flags = source->flags;
    vmemi_mutex_lock(&source->region->state);
    info.populated_size = vmemi_source_size(source);
    if (source->retained != NULL) {
        info.retained_size = vmem_bitmap_get_nr_set(source->retained)
                             << source->block_shift;
    }
    vmemi_mutex_unlock(&source->region->state);
    vmemi_sized_write(host_info, &info, sizeof(info));
    return 0;
}
