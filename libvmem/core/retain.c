/* SPDX-License-Identifier: BSD-3-Clause */
#include "core/retain.h"

#include <errno.h>
#include <inttypes.h>

#include "base/errno.h"
#include "base/error.h"
#include "base/range.h"
#include "core/freeze.h"
#include "core/walk.h"

/* Blocks touched by a range, whose ends need not lie on blocks. */
static void blocks_of(const struct vmem_source *source,
                      const struct vmem_range *range, uint64_t *first_block,
                      uint64_t *nr_blocks)
{
    *first_block = range->offset >> source->block_shift;
    *nr_blocks = ((vmemi_range_end(range) - 1) >> source->block_shift) + 1 -
                 *first_block;
}

static void mark(struct vmem_source *source, const struct vmem_range *range)
{
    uint64_t first_block;
    uint64_t nr_blocks;

    if (range->size == 0) {
        return;
    }
    blocks_of(source, range, &first_block, &nr_blocks);
    vmemi_mutex_lock(&source->region->state);
    vmem_bitmap_set(source->retained, first_block, nr_blocks, NULL);
    vmemi_mutex_unlock(&source->region->state);
}

void vmemi_retain_keep(struct vmem_source *source,
                       const struct vmem_range *range)
{
    mark(source, range);
}

static bool is_anything_retained(const struct vmem_region *region)
{
    for (const GList *link = region->sources.head; link != NULL;
         link = link->next) {
        if (vmemi_retain_has_any(link->data)) {
            return true;
        }
    }
    return false;
}

/* Memory that is back is back for every source: each forgets the blocks that
 * lie in the range as a whole. */
static void forget(struct vmem_region *region, const struct vmem_range *back)
{
    vmemi_mutex_lock(&region->state);
    for (GList *link = region->sources.head; link != NULL; link = link->next) {
        const struct vmem_source *source = link->data;
        const uint64_t start = vmemi_align_up_saturating(
            back->offset, vmemi_source_block_size(source));
        const uint64_t first_block = start >> source->block_shift;
        const uint64_t end_block = vmemi_range_end(back) >> source->block_shift;

        if (source->retained != NULL && first_block < end_block) {
            vmem_bitmap_clear(source->retained, first_block,
                              end_block - first_block, NULL);
        }
    }
    vmemi_mutex_unlock(&region->state);
}

static void log_retained(struct vmem_source *source,
                         const struct vmem_range *left, int ret,
                         struct vmemi_change *change)
{
    struct vmem_region *region = source->region;

    vmemi_log_add(&region->vm->log, &change->log, VMEM_LOG_WARNING,
                  VMEM_BLAME_OS, VMEM_LOG_CODE_RETAINED, region->name.text,
                  "0x%" PRIx64 " bytes at offset 0x%" PRIx64
                  " are retained: discard: %s (errno %d)",
                  left->size, left->offset, vmemi_errno_text(ret), -ret);
}

int vmemi_retain_give_back(struct vmem_source *source,
                           const struct vmem_range *run,
                           struct vmemi_change *change, struct vmem_range *left)
{
    const uint64_t block_size = vmemi_source_block_size(source);
    struct vmem_range back = *run;
    uint64_t done;
    int ret = vmemi_backing_discard(source->region->backing, run, &done);

    if (ret == 0 && !is_anything_retained(source->region)) {
        return 0; /* the usual case takes no lock */
    }
    /* A block of which a part is left is retained as a whole. */
    back.size = ret == 0 ? run->size : vmemi_align_down(done, block_size);
    left->offset = vmemi_range_end(&back);
    left->size = run->size - back.size;
    forget(source->region, &back);
    mark(source, left);
    if (ret < 0) {
        log_retained(source, left, ret, change);
    }
    return ret;
}

static void retained_terms(const struct vmem_source *source,
                           struct vmemi_terms *terms)
{
    vmemi_terms_clear(terms);
    vmemi_terms_add(terms, source->retained, source->block_shift, true);
}

int vmemi_retain_retry(struct vmem_source *source,
                       const struct vmem_range *range,
                       struct vmemi_change *change, struct vmem_range *left)
{
    const uint64_t end = vmemi_range_end(range);
    struct vmemi_terms terms;
    struct vmem_range run;
    int first_error = 0;

    retained_terms(source, &terms);
    for (uint64_t pos = range->offset;
         vmemi_terms_next_run(&terms, pos, end, &run);
         pos = vmemi_range_end(&run)) {
        struct vmem_range run_left;
        int ret = vmemi_retain_give_back(source, &run, change, &run_left);

        if (ret < 0 && first_error == 0) {
            first_error = ret;
            *left = run_left;
        }
    }
    return first_error;
}

/* The source does not retain this memory any longer, and it is not back. Other
 * sources that discard and do not want it would think that it is; now it is
 * theirs to retain. */
static void hand_over(struct vmem_source *source, const struct vmem_range *run)
{
    for (GList *link = source->region->sources.head; link != NULL;
         link = link->next) {
        struct vmem_source *other = link->data;
        struct vmemi_terms terms = { .nr_terms = 0 };
        struct vmem_range part;

        if (other == source || other->retained == NULL) {
            continue;
        }
        vmemi_terms_add(&terms, other->blocks, other->block_shift, false);
        for (uint64_t pos = run->offset;
             vmemi_terms_next_run(&terms, pos, vmemi_range_end(run), &part);
             pos = vmemi_range_end(&part)) {
            mark(other, &part);
        }
    }
}

int vmemi_retain_clean(struct vmem_source *source,
                       const struct vmem_range *range,
                       struct vmemi_change *change)
{
    struct vmem_region *region = source->region;
    const uint64_t end = vmemi_range_end(range);
    struct vmemi_terms terms;
    struct vmem_range left;
    struct vmem_range run;
    int ret;

    if (!vmemi_retain_has_any(source) ||
        vmemi_retain_retry(source, range, change, &left) == 0) {
        return 0;
    }
    retained_terms(source, &terms);
    for (uint64_t pos = range->offset;
         vmemi_terms_next_run(&terms, pos, end, &run);
         pos = vmemi_range_end(&run)) {
        ret = vmemi_backing_zero(region->backing, &run);
        if (ret < 0) {
            change->cause.code = ret;
            change->cause.reason = VMEM_REASON_DISCARD_FAILED;
            return ret;
        }
        vmemi_log_add(&region->vm->log, &change->log, VMEM_LOG_INFO,
                      VMEM_BLAME_OS, VMEM_LOG_CODE_ZEROED, region->name.text,
                      "0x%" PRIx64 " retained bytes at offset 0x%" PRIx64
                      " were zeroed to be used again",
                      run.size, run.offset);
    }
    return 0;
}

void vmemi_retain_hand_over(struct vmem_source *source,
                            const struct vmem_range *range)
{
    struct vmemi_terms terms;
    struct vmem_range run;

    if (!vmemi_retain_has_any(source)) {
        return;
    }
    retained_terms(source, &terms);
    for (uint64_t pos = range->offset;
         vmemi_terms_next_run(&terms, pos, vmemi_range_end(range), &run);
         pos = vmemi_range_end(&run)) {
        hand_over(source, &run);
    }
}

void vmemi_retain_undo(struct vmem_source *source,
                       const struct vmem_range *range,
                       struct vmemi_change *change)
{
    struct vmemi_terms terms = { .nr_terms = 0 };
    struct vmem_range left;
    struct vmem_range run;

    if (!vmemi_retain_applies(source)) {
        return;
    }
    vmemi_terms_add(&terms, source->blocks, source->block_shift, false);
    for (uint64_t pos = range->offset;
         vmemi_terms_next_run(&terms, pos, vmemi_range_end(range), &run);
         pos = vmemi_range_end(&run)) {
        vmemi_retain_give_back(source, &run, change, &left);
    }
}

/* Counted once where several sources retain the same memory. */
uint64_t vmemi_region_retained_size(const struct vmem_region *region)
{
    struct vmemi_terms terms = { .nr_terms = 0 };
    uint64_t of_one = 0;

    for (const GList *link = region->sources.head; link != NULL;
         link = link->next) {
        const struct vmem_source *source = link->data;

        if (vmemi_retain_has_any(source)) {
            of_one = vmem_bitmap_get_nr_set(source->retained)
                     << source->block_shift;
            vmemi_terms_add(&terms, source->retained, source->block_shift,
                            false);
        }
    }
    if (terms.nr_terms <= 1) {
        return of_one;
    }
    return region->size - vmemi_terms_count(&terms, region->size);
}

static bool find_first_retained(const struct vmem_region *region,
                                struct vmem_range *first)
{
    bool found = false;

    for (const GList *link = region->sources.head; link != NULL;
         link = link->next) {
        const struct vmem_source *source = link->data;
        struct vmemi_terms terms;
        struct vmem_range run;

        if (!vmemi_retain_has_any(source)) {
            continue;
        }
        retained_terms(source, &terms);
        if (vmemi_terms_next_run(&terms, 0, region->size, &run) &&
            (!found || run.offset < first->offset)) {
            *first = run;
            found = true;
        }
    }
    return found;
}

int vmem_region_retry_discards(struct vmem_region *region,
                               struct vmem_error *err)
{
    struct vmemi_change change;
    struct vmem_range all = { 0 };
    struct vmem_range left = { 0 };
    int ret;

    if (region == NULL) {
        return vmemi_fail(err, -EINVAL, VMEM_REASON_ARGUMENT, NULL,
                          "vmem_region_retry_discards: region is NULL");
    }
    ret =
        vmemi_change_begin(&change, region, "vmem_region_retry_discards", err);
    if (ret < 0) {
        return ret;
    }
    all.size = region->size;
    ret = vmemi_region_check_thawed(region, "vmem_region_retry_discards", NULL,
                                    err);
    if (ret < 0) {
        goto out;
    }
    for (GList *link = region->sources.head; link != NULL; link = link->next) {
        int tried = vmemi_retain_applies(link->data)
                        ? vmemi_retain_retry(link->data, &all, &change, &left)
                        : 0;

        ret = ret < 0 ? ret : tried;
    }
    /* What failed for one source may have worked for another one. */
    if (ret < 0 && !find_first_retained(region, &left)) {
        ret = 0;
    }
    if (ret < 0) {
        vmemi_fail(err, ret, VMEM_REASON_DISCARD_FAILED, &left,
                   "region \"%s\": 0x%" PRIx64 " bytes at offset 0x%" PRIx64
                   " stay retained: %s (errno %d)",
                   region->name.text, left.size, left.offset,
                   vmemi_errno_text(ret), -ret);
    }
out:
    vmemi_change_end(&change);
    return ret;
}
