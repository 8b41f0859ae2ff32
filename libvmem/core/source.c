/* SPDX-License-Identifier: BSD-3-Clause */
#include "core/source.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "base/alloc.h"
#include "base/error.h"
#include "base/range.h"
#include "base/sized.h"
#include "core/freeze.h"
#include "core/listener.h"
#include "core/retain.h"
#include "core/walk.h"

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
        return vmemi_fail_no_memory(err, "a source and its bitmaps");
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

/* Under the change lock: may the source join now? */
static int check_joins(const struct vmem_region *region,
                       const struct vmem_source *source, struct vmem_error *err)
{
    const struct vmem_listener *coarser;
    int ret;

    ret = vmemi_region_check_thawed(region, "vmem_source_add", NULL, err);
    if (ret < 0) {
        return ret;
    }
    if (region->sources.length >= VMEM_REGION_MAX_SOURCES) {
        return vmemi_fail(err, -ERANGE, VMEM_REASON_RANGE, NULL,
                          "region \"%s\" has %u sources, the limit is %d",
                          region->name.text, region->sources.length,
                          VMEM_REGION_MAX_SOURCES);
    }
    for (GList *link = region->sources.head; link != NULL; link = link->next) {
        const struct vmem_source *other = link->data;

        if (strcmp(other->name.text, source->name.text) == 0) {
            return vmemi_fail(err, -EEXIST, VMEM_REASON_DUPLICATE, NULL,
                              "region \"%s\" has a source \"%s\" already",
                              region->name.text, source->name.text);
        }
        /* Looked at before, but without this lock. */
        if (other->driver != NULL && source->driver != NULL) {
            return vmemi_fail(err, -EEXIST, VMEM_REASON_DUPLICATE, NULL,
                              "region \"%s\" has a device \"%s\" already",
                              region->name.text, other->name.text);
        }
    }
    coarser =
        vmemi_listeners_find_coarser(region, vmemi_source_block_size(source));
    if (coarser != NULL) {
        return vmemi_fail(err, -EBUSY, VMEM_REASON_IN_USE, NULL,
                          "source \"%s\": block size 0x%" PRIx64
                          " is below the granularity 0x%" PRIx64
                          " of listener \"%s\"",
                          source->name.text, vmemi_source_block_size(source),
                          coarser->granularity, coarser->name.text);
    }
    return 0;
}

/* The host's errors for a change that failed inside. */
static int fail_change(const struct vmem_source *source, const char *what,
                       const struct vmem_range *range,
                       const struct vmemi_change *change,
                       struct vmem_error *err)
{
    const struct vmemi_cause *cause = &change->cause;

    return vmemi_fail(err, cause->code, cause->reason, range,
                      "source \"%s\": %s of 0x%" PRIx64
                      " bytes at offset 0x%" PRIx64 ": %s%s%s, errno %d",
                      source->name.text, what, range->size, range->offset,
                      vmem_reason_name(cause->reason),
                      cause->by[0] != '\0' ? " by " : "", cause->by,
                      -cause->code);
}

static bool keeps_memory(const struct vmem_source *source)
{
    return source->driver != NULL && source->driver->keeps_memory;
}

/* Under the change lock: listeners agree to let go of what the source hides and
 * do, then the source counts, then the memory goes. */
static int join(struct vmem_source *source, struct vmemi_change *change,
                struct vmem_error *err)
{
    struct vmem_region *region = source->region;
    const struct vmem_range all = { .offset = 0, .size = region->size };
    struct vmemi_terms terms;
    struct vmem_range left;

    vmemi_terms_init(&terms, region, source, false);
    if (vmemi_listeners_may_discard(&terms, &all, change) < 0) {
        return fail_change(source, "addition", &all, change, err);
    }
    vmemi_listeners_discard(&terms, &all, change);
    vmemi_mutex_lock(&region->state);
    g_queue_push_tail_link(&region->sources, &source->link);
    vmemi_mutex_unlock(&region->state);
    if (!vmemi_retain_applies(source) ||
        (source->flags & VMEM_SOURCE_POPULATED) != 0) {
        return 0;
    }
    if (keeps_memory(source)) {
        vmemi_retain_keep(source, &all);
    } else {
        vmemi_retain_give_back(source, &all, change, &left);
    }
    return 0;
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
    ret = check_joins(region, source, err);
    if (ret == 0) {
        ret = join(source, &change, err);
    }
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

/* Under the change lock. */
static int check_leaves(const struct vmem_source *source, bool alone,
                        struct vmem_error *err)
{
    const struct vmem_region *region = source->region;
    struct vmemi_name_list names = { 0 };

    if (alone && region->listeners.length > 0) {
        vmemi_listeners_list(region, &names);
        vmemi_name_list_finish(&names);
        return vmemi_fail(err, -EBUSY, VMEM_REASON_IN_USE, NULL,
                          "\"%s\": region \"%s\" still has listeners %s",
                          source->name.text, region->name.text, names.text);
    }
    return vmemi_region_check_thawed(region, source->name.text, NULL, err);
}

/* Under the change lock: retained memory is tried once more, or zeroed, before
 * listeners map it (I5) and the guest sees it; listeners agree to what becomes
 * visible; then the source does not count any more. A source that is alone has
 * no guest any more, and must not fail for its memory. */
static int leave(struct vmem_source *source, bool alone,
                 struct vmemi_change *change, struct vmem_error *err)
{
    struct vmem_region *region = source->region;
    const struct vmem_range all = { .offset = 0, .size = region->size };
    struct vmemi_terms terms;
    struct vmem_range left;
    int ret = 0;

    if (vmemi_retain_applies(source) && alone) {
        if (!keeps_memory(source)) {
            vmemi_retain_retry(source, &all, change, &left);
        }
    } else if (vmemi_retain_applies(source)) {
        ret = vmemi_retain_clean(source, &all, change);
    }
    if (ret == 0) {
        vmemi_terms_init(&terms, region, source, false);
        ret = vmemi_listeners_populate(&terms, &all, change);
        if (ret < 0) {
            vmemi_retain_undo(source, &all, change);
        }
    }
    if (ret < 0) {
        return fail_change(source, "removal", &all, change, err);
    }
    if (vmemi_retain_applies(source)) {
        vmemi_retain_hand_over(source, &all);
    }
    vmemi_mutex_lock(&region->state);
    g_queue_unlink(&region->sources, &source->link);
    vmemi_mutex_unlock(&region->state);
    return 0;
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
    ret = check_leaves(source, alone, err);
    if (ret == 0) {
        ret = leave(source, alone, &change, err);
    }
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
    int ret;

    if (source == NULL) {
        return 0;
    }
    ret = check_not_driven(source, "vmem_source_remove", err);
    if (ret == 0) {
        ret = vmemi_source_remove(source, false, err);
    }
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
    ret = vmemi_range_check(range, source->region->size, what, err);
    if (ret < 0) {
        return ret;
    }
    return vmemi_range_check_aligned(range, vmemi_source_block_size(source),
                                     what, err);
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
        fail_change(source, "populate", range, &change, err);
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
        fail_change(source, "discard", range, &change, err);
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
