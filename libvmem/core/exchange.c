/* SPDX-License-Identifier: BSD-3-Clause */
#include "core/exchange.h"

#include <errno.h>

#include "base/range.h"
#include "core/listener.h"
#include "core/retain.h"
#include "core/walk.h"

int vmemi_exchange_init(struct vmemi_exchange *exchange,
                        struct vmem_source *source, const uint64_t *words)
{
    const uint64_t nr_blocks = vmemi_source_nr_blocks(source);
    int ret;

    exchange->source = source;
    exchange->blocks = NULL;
    exchange->retained = NULL;
    ret = vmem_bitmap_new(nr_blocks, &exchange->blocks);
    if (ret == 0 && vmemi_retain_applies(source)) {
        ret = vmem_bitmap_new(nr_blocks, &exchange->retained);
    }
    if (ret == 0 && !vmemi_bitmap_take_words(exchange->blocks, words)) {
        ret = -ERANGE;
    }
    if (ret < 0) {
        vmemi_exchange_free(exchange);
    }
    return ret;
}

void vmemi_exchange_free(struct vmemi_exchange *exchange)
{
    vmem_bitmap_free(exchange->blocks);
    vmem_bitmap_free(exchange->retained);
    exchange->blocks = NULL;
    exchange->retained = NULL;
}

/* Blocks that one has and the other one has not. */
static void difference(const struct vmemi_exchange *exchange,
                       const struct vmem_bitmap *one,
                       const struct vmem_bitmap *other,
                       struct vmemi_terms *terms)
{
    vmemi_terms_clear(terms);
    vmemi_terms_add(terms, one, exchange->source->block_shift, true);
    vmemi_terms_add(terms, other, exchange->source->block_shift, false);
}

void vmemi_exchange_measure(const struct vmemi_exchange *exchange,
                            uint64_t *plugged, uint64_t *unplugged)
{
    const uint64_t size = exchange->source->region->size;
    struct vmemi_terms terms;

    difference(exchange, exchange->blocks, exchange->source->blocks, &terms);
    *plugged = vmemi_terms_count(&terms, size);
    difference(exchange, exchange->source->blocks, exchange->blocks, &terms);
    *unplugged = vmemi_terms_count(&terms, size);
}

/* Gives the memory of what is plugged anew, where no other source has discarded
 * it. */
static int populate_memory(const struct vmemi_exchange *exchange,
                           struct vmemi_change *change)
{
    struct vmem_region *region = exchange->source->region;
    struct vmemi_terms terms;
    struct vmem_range run;

    if (region->backing == NULL || !region->backing->populate_on_plug) {
        return 0;
    }
    vmemi_terms_init_memory(&terms, region, exchange->source, false);
    vmemi_terms_add(&terms, exchange->blocks, exchange->source->block_shift,
                    true);
    for (uint64_t pos = 0;
         vmemi_terms_next_run(&terms, pos, region->size, &run);
         pos = vmemi_range_end(&run)) {
        const int ret = vmemi_backing_populate(region->backing, &run);

        if (ret < 0) {
            change->cause.code = ret;
            change->cause.reason = VMEM_REASON_POPULATE_FAILED;
            vmemi_add_locked(&region->nr_rollbacks, 1);
            return ret;
        }
    }
    return 0;
}

/* What the source will retain, with the blocks that one has and the other has
 * not. Worked out before the state lock is taken, which is short. */
static void find_retained(const struct vmemi_exchange *exchange,
                          const struct vmem_bitmap *one,
                          const struct vmem_bitmap *other)
{
    if (exchange->retained != NULL) {
        vmemi_bitmap_combine(exchange->retained, exchange->source->retained,
                             one, other);
    }
}

static void swap(struct vmem_bitmap **one, struct vmem_bitmap **other)
{
    struct vmem_bitmap *was = *one;

    *one = *other;
    *other = was;
}

/* Under the state lock. */
static void take_retained(struct vmemi_exchange *exchange)
{
    if (exchange->retained != NULL) {
        swap(&exchange->retained, &exchange->source->retained);
    }
}

/* Memory that this source retains and others do not want either is used from now
 * on; if a source comes to want it later, it is not clean. */
static void hand_over_retained(const struct vmemi_exchange *exchange)
{
    struct vmem_source *source = exchange->source;
    struct vmemi_terms terms;
    struct vmem_range run;

    if (!vmemi_retain_has_any(source)) {
        return;
    }
    vmemi_terms_clear(&terms);
    vmemi_terms_add(&terms, source->retained, source->block_shift, true);
    vmemi_terms_add(&terms, exchange->blocks, source->block_shift, true);
    for (uint64_t pos = 0;
         vmemi_terms_next_run(&terms, pos, source->region->size, &run);
         pos = vmemi_range_end(&run)) {
        vmemi_retain_hand_over(source, &run);
    }
}

int vmemi_exchange_agree(struct vmemi_exchange *exchange,
                         struct vmemi_change *change)
{
    struct vmem_source *source = exchange->source;
    struct vmem_region *region = source->region;
    const struct vmem_range all = { .offset = 0, .size = region->size };
    struct vmemi_terms going;
    struct vmemi_terms terms;
    int ret;

    vmemi_terms_init(&going, region, source, true);
    vmemi_terms_add(&going, exchange->blocks, source->block_shift, false);
    ret = vmemi_listeners_may_discard(&going, &all, change);
    if (ret < 0) {
        return ret;
    }
    ret = populate_memory(exchange, change);
    if (ret == 0) {
        vmemi_terms_init(&terms, region, source, false);
        vmemi_terms_add(&terms, exchange->blocks, source->block_shift, true);
        ret = vmemi_listeners_populate(&terms, &all, change);
    }
    if (ret < 0) {
        find_retained(exchange, exchange->blocks, source->blocks);
        vmemi_mutex_lock(&region->state);
        take_retained(exchange);
        vmemi_mutex_unlock(&region->state);
        return ret;
    }
    vmemi_listeners_discard(&going, &all, change);
    hand_over_retained(exchange);
    find_retained(exchange, source->blocks, exchange->blocks);
    return 0;
}

void vmemi_exchange_commit(struct vmemi_exchange *exchange)
{
    swap(&exchange->blocks, &exchange->source->blocks);
    take_retained(exchange);
    exchange->source->nr_commits++;
}

void vmemi_exchange_give_back(struct vmemi_exchange *exchange,
                              struct vmemi_change *change)
{
    struct vmem_source *source = exchange->source;
    const struct vmem_range all = { .offset = 0, .size = source->region->size };
    struct vmem_range left;

    if (vmemi_retain_applies(source)) {
        vmemi_retain_retry(source, &all, change, &left);
    }
}
