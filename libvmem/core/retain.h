/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VMEMI_CORE_RETAIN_H
#define VMEMI_CORE_RETAIN_H

#include "core/source.h"

/* Memory of blocks that a source does not want: giving it back, and remembering
 * what could not be (I6). All under the change lock, for sources that discard
 * on regions with a backing. */

/* Gives back one run; what fails is retained. 0 or the negative errno of the
 * failure, *left being what stays. */
int vmemi_retain_give_back(struct vmem_source *source,
                           const struct vmem_range *run,
                           struct vmemi_change *change,
                           struct vmem_range *left);

/* Retains a range that nobody has tried to give back. */
void vmemi_retain_keep(struct vmem_source *source,
                       const struct vmem_range *range);

/* Gives back everything retained in a range; the first failure is returned, but
 * the rest is tried too. */
int vmemi_retain_retry(struct vmem_source *source,
                       const struct vmem_range *range,
                       struct vmemi_change *change, struct vmem_range *left);

/* Before a range is plugged, or the source leaves: what is retained in it is
 * given back or, where that fails again, zeroed by writing, so that no old
 * contents are seen. */
int vmemi_retain_clean(struct vmem_source *source,
                       const struct vmem_range *range,
                       struct vmemi_change *change);

/* The source is about to stop retaining what it still does in a range, because
 * that is plugged (zeroed) or because it leaves: the other sources that do not
 * want the memory retain it from now on. */
void vmemi_retain_hand_over(struct vmem_source *source,
                            const struct vmem_range *range);

/* Does the source retain anything? Hardly ever. */
static inline bool vmemi_retain_has_any(const struct vmem_source *source)
{
    return source->retained != NULL &&
           vmemi_bitmap_nr_set(source->retained) > 0;
}

/* An attempt to plug a range, or to leave, has failed: gives back whatever may
 * have been populated in it, by the library itself or by a listener that touched
 * or pinned the memory before another one objected. Takes any source. */
void vmemi_retain_undo(struct vmem_source *source,
                       const struct vmem_range *range,
                       struct vmemi_change *change);

/* Does anything have to be given back at all? Needs no lock: it stays so. */
static inline bool vmemi_retain_applies(const struct vmem_source *source)
{
    return (source->flags & VMEM_SOURCE_DISCARDS) != 0 &&
           source->region->backing != NULL;
}

#endif /* VMEMI_CORE_RETAIN_H */
