/* SPDX-License-Identifier: BSD-3-Clause */
/* What listeners are told of a change: which of them, in which order, and in
 * which pieces. */
#include <errno.h>

#include "base/range.h"
#include "core/listener.h"

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

/* Counts a veto and returns it. A positive number breaks the contract; it is a
 * veto still. */
static int veto(struct vmem_listener *listener, int code)
{
    vmemi_add_locked(&listener->region->nr_vetoes, 1);
    return code < 0 ? code : -EINVAL;
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
            return veto(listener, ret);
        }
    }
    return 0;
}

/* What one discard covers of a run that goes on from pos to end: all of it or,
 * if exact, one chunk. */
static struct vmem_range discard_part(const struct vmem_listener *listener,
                                      uint64_t pos, uint64_t end)
{
    const bool exact = (listener->flags & VMEM_LISTENER_EXACT_DISCARD) != 0;

    return (struct vmem_range){
        .offset = pos,
        .size = (exact ? chunk_end(listener, pos, end) : end) - pos,
    };
}

static void discard_run(struct vmem_listener *listener,
                        const struct vmem_range *run)
{
    const uint64_t end = vmemi_range_end(run);
    struct vmem_range part;

    for (uint64_t pos = run->offset; pos < end; pos = vmemi_range_end(&part)) {
        part = discard_part(listener, pos, end);
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

void vmemi_listener_discard(struct vmem_listener *listener,
                            const struct vmemi_terms *terms, uint64_t from,
                            uint64_t end)
{
    discard_in_batch(listener, terms, from, end, false);
}

/* A veto is undone in the same batch, or in another one if it was the end of the
 * batch that failed. */
int vmemi_listener_populate(struct vmem_listener *listener,
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
        vmemi_listener_discard(listener, terms, from, end);
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
            vmemi_listener_discard(link->data, terms, from, end);
        }
    }
}

static void blame(struct vmemi_change *change, struct vmem_listener *listener,
                  int code)
{
    listener->has_refused = true;
    change->cause.code = code;
    change->cause.reason = VMEM_REASON_LISTENER_VETO;
    change->cause.by = listener->name.text;
    change->cause.why = change->frame.why != NULL ? change->frame.why : "";
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
        ret = vmemi_listener_populate(listener, terms, from, end);
        if (ret < 0) {
            discard_backwards(link->prev, terms, range);
            blame(change, listener, ret);
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

/* Asks one listener about what it would be told of a run. */
static int ask_about_run(struct vmem_listener *listener,
                         const struct vmem_range *run)
{
    const uint64_t end = vmemi_range_end(run);
    struct vmem_range part;
    int ret;

    for (uint64_t pos = run->offset; pos < end; pos = vmemi_range_end(&part)) {
        part = discard_part(listener, pos, end);
        ret = listener->ops.may_discard(&part, listener->opaque);
        if (ret != 0) {
            return veto(listener, ret);
        }
    }
    return 0;
}

static int ask_one(struct vmem_listener *listener,
                   const struct vmemi_terms *terms,
                   const struct vmem_range *range)
{
    struct vmem_range run;
    uint64_t from;
    uint64_t end;
    int ret = 0;

    if (listener->ops.may_discard == NULL ||
        !clip(listener, range, &from, &end)) {
        return 0;
    }
    while (ret == 0 && vmemi_terms_next_run(terms, from, end, &run)) {
        ret = ask_about_run(listener, &run);
        from = vmemi_range_end(&run);
    }
    return ret;
}

int vmemi_listeners_ask_discard(const struct vmemi_terms *terms,
                                const struct vmem_range *range,
                                struct vmemi_change *change)
{
    for (GList *link = change->region->listeners.head; link != NULL;
         link = link->next) {
        const int ret = ask_one(link->data, terms, range);

        if (ret < 0) {
            blame(change, link->data, ret);
            return ret;
        }
    }
    return 0;
}
