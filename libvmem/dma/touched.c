/* SPDX-License-Identifier: BSD-3-Clause */
/* Which chunks a batch has mapped or unmapped: what is known of them at its end, if the
 * backend has one, and it may fail. Costs what was touched, not what there is. */
#include "base/range.h"
#include "dma/mapper.h"

void vmemi_dma_touch(struct vmem_dma_attachment *attachment, uint64_t chunk)
{
    struct vmem_dma *dma = attachment->dma;

    if (attachment->touched == NULL) {
        return;
    }
    if (attachment->first_touched >= attachment->end_touched) {
        attachment->next_touched = dma->touched;
        dma->touched = attachment;
        attachment->first_touched = chunk;
        attachment->end_touched = chunk + 1;
    }
    attachment->first_touched = vmemi_min(attachment->first_touched, chunk);
    attachment->end_touched = vmemi_max(attachment->end_touched, chunk + 1);
    vmem_bitmap_set(attachment->touched, chunk, 1, NULL);
}

/* The next run of chunks that this batch touched, or end_touched. */
static uint64_t next_touched(const struct vmem_dma_attachment *attachment,
                             uint64_t from, uint64_t *end)
{
    const uint64_t last = attachment->end_touched;
    const uint64_t first =
        vmem_bitmap_next_set(attachment->touched, from, last);

    *end = vmem_bitmap_next_clear(attachment->touched, first, last);
    return first;
}

static void settle_chunks(struct vmem_dma_attachment *attachment, int code)
{
    uint64_t end = 0;

    for (uint64_t first =
             next_touched(attachment, attachment->first_touched, &end);
         first < attachment->end_touched;
         first = next_touched(attachment, end, &end)) {
        if (code == 0) {
            vmem_bitmap_clear(attachment->touched, first, end - first, NULL);
        }
        for (uint64_t chunk = first; code < 0 && chunk < end; chunk++) {
            vmemi_dma_lose_chunk(attachment, chunk, code);
        }
    }
}

static void settle_lost_chunks(struct vmem_dma_attachment *attachment,
                               bool is_retried)
{
    uint64_t end = 0;

    for (uint64_t first =
             next_touched(attachment, attachment->first_touched, &end);
         first < attachment->end_touched;
         first = next_touched(attachment, end, &end)) {
        vmem_bitmap_clear(attachment->touched, first, end - first, NULL);
        if (is_retried) {
            vmemi_dma_retry_chunks(attachment, first, end - first);
        }
    }
}

void vmemi_dma_settle_chunks(struct vmem_dma *dma, int code)
{
    for (struct vmem_dma_attachment *attachment = dma->touched;
         attachment != NULL; attachment = attachment->next_touched) {
        settle_chunks(attachment, code);
    }
}

void vmemi_dma_settle_lost_chunks(struct vmem_dma *dma, bool is_retried)
{
    for (struct vmem_dma_attachment *attachment = dma->touched;
         attachment != NULL; attachment = attachment->next_touched) {
        settle_lost_chunks(attachment, is_retried);
    }
}

void vmemi_dma_forget_touched(struct vmem_dma *dma)
{
    struct vmem_dma_attachment *attachment;

    while ((attachment = dma->touched) != NULL) {
        dma->touched = attachment->next_touched;
        attachment->first_touched = 0;
        attachment->end_touched = 0;
    }
}
