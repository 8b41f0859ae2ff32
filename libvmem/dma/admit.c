/* SPDX-License-Identifier: BSD-3-Clause */
/* Who may be attached: nothing is at its IOVAs, and the budget allows it. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

#include "base/error.h"
#include "base/range.h"
#include "base/sized.h"
#include "dma/mapper.h"

static bool overlaps(uint64_t a, uint64_t a_size, uint64_t b, uint64_t b_size)
{
    return a < b + b_size && b < a + a_size;
}

/* Under the lock: does something use these IOVAs? */
static int check_free(const struct vmem_dma_attachment *attachment,
                      struct vmem_error *err)
{
    const struct vmem_dma *dma = attachment->dma;
    const uint64_t size = attachment->window.size;

    if (attachment->is_target) {
        return 0;
    }
    for (const GList *link = dma->attachments.head; link != NULL;
         link = link->next) {
        const struct vmem_dma_attachment *other = link->data;

        if (!other->is_target &&
            overlaps(attachment->iova, size, other->iova, other->window.size)) {
            return vmemi_fail(err, -EEXIST, VMEM_REASON_DUPLICATE, NULL,
                              "attachment \"%s\": iova 0x%" PRIx64
                              " + 0x%" PRIx64 " overlaps \"%s\" at 0x%" PRIx64
                              "%s",
                              attachment->name.text, attachment->iova, size,
                              other->name.text, other->iova,
                              other->stage == VMEMI_DMA_ORPHAN
                                  ? ", which is stuck "
                                    "(vmem_dma_retry_unmaps() tries again)"
                                  : "");
        }
    }
    if (vmemi_dma_guest_at(dma, attachment->iova, size) != NULL) {
        return vmemi_fail(err, -EEXIST, VMEM_REASON_DUPLICATE, NULL,
                          "attachment \"%s\": the guest has mapped something "
                          "at iova 0x%" PRIx64 " + 0x%" PRIx64,
                          attachment->name.text, attachment->iova, size);
    }
    return 0;
}

/* What helps: a text for people, written where there is room. */
static const char *advise(const struct vmem_dma_attachment *attachment,
                          const struct vmem_dma_verdict *verdict, char *text,
                          size_t size)
{
    const uint64_t block_size = verdict->recommended_block_size;

    if (verdict->bound == VMEM_DMA_BOUND_PINNED) {
        return "attach less or raise the limit";
    }
    /* A target of a virtual IOMMU asks for nothing, so it is always ok. */
    if (attachment->region == NULL || block_size <= verdict->granularity) {
        return "raise the limit";
    }
    snprintf(text, size, "use blocks of 0x%" PRIx64 " bytes or raise the limit",
             block_size);
    return text;
}

static int check_fit(const struct vmem_dma_attachment *attachment,
                     const struct vmem_dma_verdict *verdict, uint64_t flags,
                     struct vmem_error *err)
{
    const bool is_strict = (flags & VMEM_DMA_STRICT) != 0;
    /* Only the limit that decided: the other one may be none at all. */
    const bool is_pinned = verdict->bound == VMEM_DMA_BOUND_PINNED;
    const char *what = is_pinned ? "pinned bytes" : "mappings";
    const uint64_t limit =
        is_pinned ? verdict->max_pinned_size : verdict->max_mappings;
    const uint64_t used =
        is_pinned
            ? vmemi_add_saturating(verdict->pinned_size,
                                   verdict->requested_pinned_size)
            : vmemi_add_saturating(verdict->nr_taken, verdict->nr_requested);
    struct vmem_dma *dma = attachment->dma;
    char advice[80];

    if (verdict->fit == VMEM_DMA_FIT_OK) {
        return 0;
    }
    if (verdict->fit == VMEM_DMA_FIT_IMPOSSIBLE || is_strict) {
        return vmemi_fail(
            err, -ENOSPC, VMEM_REASON_BUDGET, NULL,
            "attachment \"%s\" %s the limit of %s: %" PRIu64 " of %" PRIu64
            "; %s",
            attachment->name.text,
            verdict->fit == VMEM_DMA_FIT_TIGHT ? "is near" : "exceeds", what,
            used, limit, advise(attachment, verdict, advice, sizeof(advice)));
    }
    vmemi_log_add(&dma->vm->log, dma->log, VMEM_LOG_WARNING, VMEM_BLAME_HOST,
                  VMEM_LOG_CODE_DMA_NEAR, attachment->name.text,
                  "%" PRIu64 " of %" PRIu64 " %s: the limit is near", used,
                  limit, what);
    return 0;
}

static void link_attachment(struct vmem_dma_attachment *attachment)
{
    g_queue_push_tail_link(&attachment->dma->attachments, &attachment->link);
    vmemi_add_locked(&attachment->dma->nr_attachments, 1);
}

void vmemi_dma_unlink(struct vmem_dma_attachment *attachment)
{
    g_queue_unlink(&attachment->dma->attachments, &attachment->link);
    vmemi_add_locked(&attachment->dma->nr_attachments, (uint64_t)-1);
}

/* Under the lock: on the list if nothing is at its IOVAs and the budget allows.
 * Fills the host's verdict, of which vmemi_sized_check_out() was asked. */
static int admit(struct vmem_dma_attachment *attachment, uint64_t flags,
                 uint64_t nr_now, uint64_t now_size,
                 struct vmem_dma_verdict *host_verdict, struct vmem_error *err)
{
    struct vmem_dma_verdict verdict = { 0 };
    int ret = check_free(attachment, err);

    if (ret < 0) {
        return ret;
    }
    vmemi_dma_judge_attachment(attachment, nr_now, now_size, &verdict);
    if (host_verdict != NULL) {
        vmemi_sized_write(host_verdict, &verdict, sizeof(verdict));
    }
    ret = check_fit(attachment, &verdict, flags, err);
    if (ret == 0) {
        link_attachment(attachment);
    }
    return ret;
}

struct populated {
    uint64_t chunk_size;
    uint64_t nr_chunks;
    uint64_t size;
};

static int add_populated(const struct vmem_range *run, void *opaque)
{
    struct populated *populated = opaque;

    populated->nr_chunks += vmemi_dma_count_chunks(run, populated->chunk_size);
    populated->size += run->size;
    return 0;
}

int vmemi_dma_admit(struct vmem_dma_attachment *attachment, uint64_t flags,
                    struct vmem_dma_verdict *verdict, struct vmem_error *err)
{
    struct vmem_dma *dma = attachment->dma;
    struct populated populated = {
        .chunk_size = (uint64_t)1 << attachment->chunk_shift,
    };
    struct vmemi_log_queue log;
    int ret;

    if (attachment->region == NULL) {
        add_populated(&attachment->window, &populated);
    } else if (!attachment->is_target) {
        vmem_region_for_each_populated(attachment->region, &attachment->window,
                                       add_populated, &populated);
    }
    log.nr_records = 0;
    vmemi_dma_lock(dma, &log);
    ret = admit(attachment, flags, populated.nr_chunks, populated.size, verdict,
                err);
    vmemi_dma_unlock(dma);
    vmemi_log_send(&dma->vm->log, &log);
    return ret;
}
