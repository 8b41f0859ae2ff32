/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VMEMI_CORE_WALK_H
#define VMEMI_CORE_WALK_H

#include "core/source.h"

/* A condition on bytes of a region: every term's block has the term's value.
 * "Populated" is one term for each source; what a change makes visible is the
 * same with one term turned round. Walking costs for each run, never for each
 * block, whatever the block sizes are. */
struct vmemi_terms {
    uint32_t nr_terms;
    struct vmem_range settled; /* for all of this the terms hold */
    struct {
        const struct vmem_bitmap *bitmap;
        unsigned int shift; /* bytes to blocks */
        bool value;
    } terms[VMEM_REGION_MAX_SOURCES + 1];
};

/* Terms begin with this, or as a struct of zeros, which takes longer. */
static inline void vmemi_terms_clear(struct vmemi_terms *terms)
{
    terms->nr_terms = 0;
    terms->settled.offset = 0;
    terms->settled.size = 0;
}

void vmemi_terms_add(struct vmemi_terms *terms,
                     const struct vmem_bitmap *bitmap, unsigned int shift,
                     bool value);

/* Every source says populated, but one says value. The one need not be in the
 * region. Pass NULL for "every source". */
void vmemi_terms_init(struct vmemi_terms *terms,
                      const struct vmem_region *region,
                      const struct vmem_source *but, bool value);

/* As vmemi_terms_init(), with only the sources that discard beside the one. */
void vmemi_terms_init_memory(struct vmemi_terms *terms,
                             const struct vmem_region *region,
                             const struct vmem_source *but, bool value);

/* Looks once whether the terms hold for all of a range, as they do for what most
 * requests name; inside it no run is searched from then on. The bitmaps must not
 * change as long as the terms are used. */
void vmemi_terms_settle(struct vmemi_terms *terms,
                        const struct vmem_range *range);

/* The first maximal run at or after pos and before end for which the terms
 * hold, cut at end. No terms: everything. Bitmaps may change behind the run
 * between calls. */
bool vmemi_terms_next_run(const struct vmemi_terms *terms, uint64_t pos,
                          uint64_t end, struct vmem_range *run);

/* Bytes of [0, end) for which the terms hold. */
uint64_t vmemi_terms_count(const struct vmemi_terms *terms, uint64_t end);

#endif /* VMEMI_CORE_WALK_H */
