/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VMEMI_DMA_EXPLAIN_H
#define VMEMI_DMA_EXPLAIN_H

#include <stddef.h>
#include <stdint.h>

#include <vmem/dma.h>

/* What a kernel interface knows about its own refusals. */
struct vmemi_dma_words {
    const char *mappings_limit; /* what -ENOSPC is about */
    const char *memlock_of;     /* whose pinned bytes RLIMIT_MEMLOCK counts */
    uint64_t page_size;         /* the smallest */
};

/* Why a map failed with this negative errno, in words, with the limit and what
 * to do about it; fits what the longest names leave of a vmem_error's message,
 * 107 characters. */
void vmemi_dma_explain(const struct vmemi_dma_words *words,
                       const struct vmem_dma_mapping *mapping, int code,
                       char *text, size_t size);

#endif /* VMEMI_DMA_EXPLAIN_H */
