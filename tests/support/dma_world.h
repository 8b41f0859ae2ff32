/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef TESTS_SUPPORT_DMA_WORLD_H
#define TESTS_SUPPORT_DMA_WORLD_H

#include "support/fake_backing.h"
#include "support/fake_dma.h"

#define DMA_WORLD_PAGE ((uint64_t)4096)
#define DMA_WORLD_REGIONS 2
#define DMA_WORLD_SOURCES 2
#define DMA_WORLD_PAGES 64
#define DMA_WORLD_SLOTS 6
#define DMA_WORLD_GUESTS 64

/* What a guest has mapped, by a list that is searched from end to end. */
struct dma_world_guest {
    uint64_t iova; /* all in pages */
    uint64_t size;
    uint64_t offset;
    int slot; /* of its target */
};

struct dma_world_slot {
    struct vmem_dma_attachment *attachment; /* or NULL */
    int region;                             /* -1: static memory */
    bool is_target;
    bool is_leaving;
    uint64_t first; /* window, in pages */
    uint64_t end;
    uint64_t iova;
    uint64_t chunk;
};

/* Two regions and a mapper on a fake IOMMU, and beside them what must be mapped,
 * calculated anew from arrays of pages after every operation. Region 0 has two
 * sources, in blocks of two and of four pages; region 1 has one, in pages. */
struct dma_world {
    struct vmem_vm *vm;
    struct vmem_region *regions[DMA_WORLD_REGIONS];
    struct vmem_source *sources[DMA_WORLD_REGIONS][DMA_WORLD_SOURCES];
    bool bits[DMA_WORLD_REGIONS][DMA_WORLD_SOURCES][DMA_WORLD_PAGES];
    struct fake_dma fake;
    struct dma_world_slot slots[DMA_WORLD_SLOTS];
    struct dma_world_guest guests[DMA_WORLD_GUESTS];
    unsigned nr_guests;
    uint64_t limit; /* of mappings */
    bool has_orphans;
    uint64_t nr_done;
    uint64_t nr_refused;
    uint64_t nr_stuck; /* most at any time */
    char wrong[256];   /* the first thing that is */
};

/* kind chooses among backends: exact, with batches, with a limit, with
 * commits that undo their batch when they fail. */
void dma_world_open(struct dma_world *world, unsigned int kind);

/* One operation, made of numbers; any numbers will do. */
void dma_world_step(struct dma_world *world, unsigned int operation,
                    const uint8_t numbers[4]);

/* Frees everything, with an IOMMU that works again. */
void dma_world_close(struct dma_world *world);

#endif /* TESTS_SUPPORT_DMA_WORLD_H */
