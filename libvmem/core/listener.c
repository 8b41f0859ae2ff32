/* SPDX-License-Identifier: BSD-3-Clause */
#include "core/listener.h"

#include <errno.h>
#include <inttypes.h>

#include "base/alloc.h"
#include "base/error.h"
#include "base/range.h"
#include "base/sized.h"

/* Where the chunk that holds pos ends; end at the latest. */
static uint64_t chunk_end(const struct vmem_listener *listener, uint64_t pos,
                          uint64_t end)
{
    uint64_t start;

    if (listener->granularity == 0) {
        return end;
    }
    start = vmemi_align_down(pos, listener->granularity);
    return listener->granularity < end - start ? start + listener->granularity
                                               : end;
}

/* Tells populate chunk by chunk. *told is how far it got. */
static int populate_run(struct vmem_listener *listener,
                        const struct vmem_range *run, uint64_t *told)
{
    const uint64_t end = vmemi_range_end(run);
    struct vmem_range chunk;
    int ret;

    for (*told = run->offset; *told < end; *told = vmemi_range_end(&chunk)) {
        chunk.offset = *told;
        chunk.size = chunk_end(listener, *told, end) - *told;
        vmemi_add_locked(&listener->region->nr_populate_calls, 1);
        ret = listener->ops.populate(&chunk, listener->opaque);
        if (ret != 0) {
            vmemi_add_locked(&listener->region->nr_vetoes, 1);
            /* A positive number breaks the contract; it is a veto still. */
            return ret < 0 ? ret : -EINVAL;
        }
    }
    return 0;
}

/* Tells discard, for the whole run or, if exact, chunk by chunk. */
static void discard_run(struct vmem_listener *listener,
                        const struct vmem_range *run)
{
    const uint64_t end = vmemi_range_end(run);
    const bool exact = (listener->flags & VMEM_LISTENER_EXACT_DISCARD) != 0;
    struct vmem_range part;

    for (uint64_t pos = run->offset; pos < end; pos = vmemi_range_end(&part)) {
        part.offset = pos;
        part.size = (exact ? chunk_end(listener, pos, end) : end) - pos;
        vmemi_add_locked(&listener->region->nr_discard_calls, 1);
        listener->ops.discard(&part, listener->opaque);
    }
}

/* A batch: what follows belongs together, until commit_batch(). */
static void begin_batch(const struct vmem_listener *listener)
{
    if (listener->ops.begin != NULL) {
        listener->ops.begin(listener->opaque);
    }
}

static int commit_batch(const struct vmem_listener *listener)
{
    int ret = listener->ops.commit != NULL
                  ? listener->ops.commit(listener->opaque)
                  : 0;

    return ret > 0 ? -EINVAL : ret;
}

/* Tells one listener discard for [from, end) of what the terms say, inside a
 * batch that begins here unless it has begun. */
static void discard_in_batch(struct vmem_listener *listener,
                             const struct vmemi_terms *terms, uint64_t from,
                             uint64_t end, bool begun)
{
    struct vmem_range run;

    for (uint64_t pos = from; vmemi_terms_next_run(terms, pos, end, &run);
         pos = vmemi_range_end(&run)) {
        if (!begun) {
            begin_batch(listener);
            begun = true;
        }
        discard_run(listener, &run);
    }
    if (begun) {
        commit_batch(listener); /* a discard cannot fail */
    }
}

static void discard_one(struct vmem_listener *listener,
                        const struct vmemi_terms *terms, uint64_t from,
                        uint64_t end)
{
    discard_in_batch(listener, terms, from, end, false);
}

/* Tells one listener populate for [from, end) of what the terms say; a veto is
 * undone before it is returned, in the same batch, or in another one if it was
 * the end of the batch that failed. */
static int populate_one(struct vmem_listener *listener,
                        const struct vmemi_terms *terms, uint64_t from,
                        uint64_t end)
{
    bool begun = false;
    struct vmem_range run;
    int ret;

    for (uint64_t pos = from; vmemi_terms_next_run(terms, pos, end, &run);
         pos = vmemi_range_end(&run)) {
        uint64_t told;

        if (!begun) {
            begin_batch(listener);
            begun = true;
        }
        ret = populate_run(listener, &run, &told);
        if (ret < 0) {
            discard_in_batch(listener, terms, from, told, true);
            return ret;
        }
    }
    ret = begun ? commit_batch(listener) : 0;
    if (ret < 0) {
        vmemi_add_locked(&listener->region->nr_vetoes, 1);
        discard_one(listener, terms, from, end);
    }
    return ret;
}

/* The part of a range that a listener can see; false if there is none. */
static bool clip(const struct vmem_listener *listener,
                 const struct vmem_range *range, uint64_t *from, uint64_t *end)
{
    *from = vmemi_max(range->offset, listener->window.offset);
    *end =
        vmemi_min(vmemi_range_end(range), vmemi_range_end(&listener->window));
    return *from < *end;
}

/* From the given one back to the first. */
static void discard_backwards(GList *last, const struct vmemi_terms *terms,
                              const struct vmem_range *range)
{
    uint64_t from;
    uint64_t end;

    for (GList *link = last; link != NULL; link = link->prev) {
        if (clip(link->data, range, &from, &end)) {
            discard_one(link->data, terms, from, end);
        }
    }
}

int vmemi_listeners_populate(const struct vmemi_terms *terms,
                             const struct vmem_range *range,
                             struct vmemi_change *change)
{
    struct vmem_region *region = change->region;
    uint64_t from;
    uint64_t end;

    for (GList *link = region->listeners.head; link != NULL;
         link = link->next) {
        struct vmem_listener *listener = link->data;
        int ret;

        if (!clip(listener, range, &from, &end)) {
            continue;
        }
        ret = populate_one(listener, terms, from, end);
        if (ret < 0) {
            discard_backwards(link->prev, terms, range);
            change->cause.code = ret;
            change->cause.reason = VMEM_REASON_LISTENER_VETO;
            change->cause.by = listener->name.text;
            vmemi_add_locked(&region->nr_rollbacks, 1);
            return ret;
        }
    }
    return 0;
}

void vmemi_listeners_discard(const struct vmemi_terms *terms,
                             const struct vmem_range *range,
                             struct vmemi_change *change)
{
    discard_backwards(change->region->listeners.tail, terms, range);
}

void vmemi_listeners_list(const struct vmem_region *region,
                          struct vmemi_name_list *names)
{
    for (const GList *link = region->listeners.head; link != NULL;
         link = link->next) {
        const struct vmem_listener *listener = link->data;

        vmemi_name_list_add(names, listener->name.text);
    }
}

const struct vmem_listener *
vmemi_listeners_find_coarser(const struct vmem_region *region,
                             uint64_t granularity)
{
    for (const GList *link = region->listeners.head; link != NULL;
         link = link->next) {
        const struct vmem_listener *listener = link->data;

        if (listener->granularity > granularity) {
            return listener;
        }
    }
    return NULL;
}

/* What does not depend on the state of the region. */
static int check_config(const struct vmem_region *region,
                        const struct vmem_listener_ops *ops,
                        struct vmem_listener_config *config,
                        struct vmem_error *err)
{
    if (ops->populate == NULL || ops->discard == NULL) {
        return vmemi_fail(err, -EINVAL, VMEM_REASON_ARGUMENT, NULL,
                          "listener: populate or discard is NULL");
    }
    if ((config->flags & ~VMEM_LISTENER_EXACT_DISCARD) != 0) {
        return vmemi_fail(err, -EINVAL, VMEM_REASON_ARGUMENT, NULL,
                          "listener: unknown flags 0x%" PRIx64, config->flags);
    }
    if ((config->flags & VMEM_LISTENER_EXACT_DISCARD) != 0 &&
        config->granularity == 0) {
        return vmemi_fail(
            err, -EINVAL, VMEM_REASON_ARGUMENT, NULL,
            "listener: VMEM_LISTENER_EXACT_DISCARD needs a granularity");
    }
    if (config->granularity != 0 &&
        !vmemi_is_power_of_two(config->granularity)) {
        return vmemi_fail(err, -EINVAL, VMEM_REASON_ALIGNMENT, NULL,
                          "listener: granularity 0x%" PRIx64
                          " is not a power of two",
                          config->granularity);
    }
    if (config->window.offset == 0 && config->window.size == 0) {
        config->window.size = region->size;
    } else if (config->window.size == 0) {
        return vmemi_fail(err, -EINVAL, VMEM_REASON_ARGUMENT, &config->window,
                          "listener: the window is empty");
    }
    return vmemi_range_check(&config->window, region->size, "listener window",
                             err);
}

static int replay(struct vmem_listener *listener, struct vmem_error *err)
{
    struct vmem_region *region = listener->region;
    const uint64_t granularity = vmemi_region_min_granularity(region);
    struct vmemi_terms terms;
    int ret;

    if (region->sources.length > 0 && listener->granularity > granularity) {
        return vmemi_fail(err, -EINVAL, VMEM_REASON_ALIGNMENT, NULL,
                          "listener \"%s\": granularity 0x%" PRIx64
                          " is larger than the smallest block size 0x%" PRIx64
                          " of region \"%s\"",
                          listener->name.text, listener->granularity,
                          granularity, region->name.text);
    }
    vmemi_terms_init(&terms, region, NULL, true);
    ret = populate_one(listener, &terms, listener->window.offset,
                       vmemi_range_end(&listener->window));
    if (ret < 0) {
        vmemi_add_locked(&region->nr_rollbacks, 1);
        return vmemi_fail(err, ret, VMEM_REASON_LISTENER_VETO, NULL,
                          "listener \"%s\" refused the replay: errno %d",
                          listener->name.text, -ret);
    }
    vmemi_mutex_lock(&region->state);
    g_queue_push_tail_link(&region->listeners, &listener->link);
    vmemi_mutex_unlock(&region->state);
    return 0;
}

static int add(struct vmem_region *region, struct vmem_listener_config *config,
               const struct vmem_listener_ops *ops, void *opaque,
               struct vmem_listener **out, struct vmem_error *err)
{
    struct vmem_listener *listener;
    struct vmemi_change change;
    int ret;

    ret = check_config(region, ops, config, err);
    if (ret < 0) {
        return ret;
    }
    listener = vmemi_alloc0(sizeof(*listener));
    if (listener == NULL) {
        return vmemi_fail_no_memory(err, "a listener");
    }
    listener->link.data = listener;
    listener->region = region;
    listener->ops = *ops;
    listener->opaque = opaque;
    listener->window = config->window;
    listener->granularity = config->granularity;
    listener->flags = config->flags;
    ret = vmemi_name_set(&listener->name, config->name, "listener name", err);
    if (ret == 0) {
        ret = vmemi_change_begin(&change, region, "vmem_listener_add", err);
    }
    if (ret == 0) {
        ret = replay(listener, err);
        vmemi_change_end(&change);
    }
    if (ret < 0) {
        vmemi_free(listener);
        return ret;
    }
    *out = listener;
    return 0;
}

int vmem_listener_add(struct vmem_region *region,
                      const struct vmem_listener_config *host_config,
                      const struct vmem_listener_ops *host_ops, void *opaque,
                      struct vmem_listener **out, struct vmem_error *err)
{
    struct vmem_listener_config config;
    struct vmem_listener_ops ops;
    int ret;

    ret =
        vmemi_sized_read(&ops, sizeof(ops),
                         VMEMI_SIZE_THROUGH(struct vmem_listener_ops, destroy),
                         host_ops, "vmem_listener_ops", err);
    if (ret < 0 && ret != -E2BIG) {
        return ret; /* there is no destroy to call */
    }
    if (ret == 0) {
        ret = vmemi_sized_read(
            &config, sizeof(config),
            VMEMI_SIZE_THROUGH(struct vmem_listener_config, flags), host_config,
            "vmem_listener_config", err);
    }
    if (ret == 0 && (region == NULL || out == NULL)) {
        ret = vmemi_fail(err, -EINVAL, VMEM_REASON_ARGUMENT, NULL,
                         "vmem_listener_add: region or out is NULL");
    }
    if (ret == 0) {
        ret = add(region, &config, &ops, opaque, out, err);
    }
    /* After the locks are dropped, so that any call is legal in it. */
    if (ret < 0 && ops.destroy != NULL) {
        ops.destroy(opaque);
    }
    return ret;
}

int vmem_listener_remove(struct vmem_listener *listener, struct vmem_error *err)
{
    struct vmem_region *region;
    struct vmemi_change change;
    struct vmemi_terms terms;
    int ret;

    if (listener == NULL) {
        return 0;
    }
    region = listener->region;
    ret = vmemi_change_begin(&change, region, "vmem_listener_remove", err);
    if (ret < 0) {
        return ret;
    }
    vmemi_terms_init(&terms, region, NULL, true);
    discard_one(listener, &terms, listener->window.offset,
                vmemi_range_end(&listener->window));
    vmemi_mutex_lock(&region->state);
    g_queue_unlink(&region->listeners, &listener->link);
    vmemi_mutex_unlock(&region->state);
    vmemi_change_end(&change);

    if (listener->ops.destroy != NULL) {
        listener->ops.destroy(listener->opaque);
    }
    vmemi_free(listener);
    return 0;
}
