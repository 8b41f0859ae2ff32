/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef TESTS_SUPPORT_FAKE_DMA_H
#define TESTS_SUPPORT_FAKE_DMA_H

#include <stdbool.h>

#include <glib.h>

#include <vmem/dma.h>

/* What a mapper's backend does when it is asked to fail. */
struct fake_dma_fault {
    uint64_t at;       /* number of the first call that fails, from 0 */
    uint64_t nr_calls; /* so far */
    uint64_t nr_fails; /* how many do in a row */
    int code;
};

/* An IOMMU that is a sorted array. It complains of what a real one must never be
 * asked: to map what is mapped, to cut a mapping, calls outside of a batch. */
struct fake_dma {
    /* Set before fake_dma_make(). */
    bool is_exact;    /* complains of an unmap of more than one mapping */
    bool has_batches; /* begin and commit */
    uint64_t flags;   /* more of VMEM_DMA_EXACT_UNMAP and others */
    uint64_t page_size;
    uint64_t max_size;
    struct vmem_dma_config config; /* name NULL: "fake" */

    struct vmem_dma *dma; /* or NULL */
    GArray *mappings;     /* of struct vmem_dma_mapping, by IOVA */
    struct fake_dma_fault map;
    struct fake_dma_fault unmap; /* code 0: says too little, does it all */
    struct fake_dma_fault commit;
    bool undoes; /* a commit that fails: nothing of its batch is in effect;
                           else all of it is */
    bool fails_halfway; /* an unmap that fails has unmapped the first half */
    bool is_gone;       /* unmaps nothing, and says so */
    bool says_enoent;   /* for a range with nothing in it */
    uint64_t nr_batches;
    bool in_batch;
    GArray *before; /* the mappings before this batch */
    void (*inside)(struct fake_dma *fake);
    void *inside_opaque;
    uint64_t nr_destroys;
    uint64_t nr_complaints;
    char complaint[256]; /* the first one */
};

void fake_dma_init(struct fake_dma *fake, uint64_t page_size);
int fake_dma_make(struct fake_dma *fake, struct vmem_vm *vm,
                  struct vmem_error *err);

/* vmem_dma_free(); fails on complaints and on mappings that are left. */
void fake_dma_destroy(struct fake_dma *fake);

/* Frees what fake_dma_init() made, of a mapper that is gone. */
void fake_dma_forget(struct fake_dma *fake);

/* The nr calls from number at on fail, counted anew. */
void fake_dma_fail(struct fake_dma_fault *fault, uint64_t at, uint64_t nr,
                   int code);

/* "[0,2)r[4,5)": runs of IOVAs in pages, ascending; adjacent mappings apart; r:
 * read-only. Valid until the next call. */
const char *fake_dma_mapped(const struct fake_dma *fake);

/* The mapping that has an IOVA; NULL if there is none. */
const struct vmem_dma_mapping *fake_dma_find(const struct fake_dma *fake,
                                             uint64_t iova);

struct vmem_dma_stats fake_dma_stats(const struct fake_dma *fake);

#endif /* TESTS_SUPPORT_FAKE_DMA_H */
