/* SPDX-License-Identifier: BSD-3-Clause */
/* A source joins its region, and leaves it: both change what listeners see, and
 * whose memory it is that is not back. */
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "base/error.h"
#include "core/freeze.h"
#include "core/listener.h"
#include "core/retain.h"
#include "core/source.h"
#include "core/walk.h"

/* May the source join now? */
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

static bool keeps_memory(const struct vmem_source *source)
{
    return source->driver != NULL && source->driver->keeps_memory;
}

/* Listeners agree to let go of what the source hides and do, then the source
 * counts, then the memory goes. */
static int join(struct vmem_source *source, struct vmemi_change *change,
                struct vmem_error *err)
{
    struct vmem_region *region = source->region;
    const struct vmem_range all = { .offset = 0, .size = region->size };
    struct vmemi_terms terms;
    struct vmem_range left;

    vmemi_terms_init(&terms, region, source, false);
    if (vmemi_listeners_may_discard(&terms, &all, change) < 0) {
        return vmemi_source_fail_change(source, "addition", &all, change, err);
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

int vmemi_source_join(struct vmem_source *source, struct vmemi_change *change,
                      struct vmem_error *err)
{
    int ret = check_joins(source->region, source, err);

    return ret < 0 ? ret : join(source, change, err);
}

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

/* Retained memory is tried once more, or zeroed, before listeners map it (I5) and
 * the guest sees it; listeners agree to what becomes visible; then the source
 * does not count any more. A source that is alone has no guest any more, and must
 * not fail for its memory. */
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
        return vmemi_source_fail_change(source, "removal", &all, change, err);
    }
    if (vmemi_retain_applies(source)) {
        vmemi_retain_hand_over(source, &all);
    }
    vmemi_mutex_lock(&region->state);
    g_queue_unlink(&region->sources, &source->link);
    vmemi_mutex_unlock(&region->state);
    return 0;
}

int vmemi_source_leave(struct vmem_source *source, bool alone,
                       struct vmemi_change *change, struct vmem_error *err)
{
    int ret = check_leaves(source, alone, err);

    return ret < 0 ? ret : leave(source, alone, change, err);
}
