/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VMEMI_CORE_SOURCE_H
#define VMEMI_CORE_SOURCE_H

#include <vmem/bitmap.h>
#include <vmem/source.h>

#include "base/gate.h"
#include "core/bitmap.h"
#include "core/region.h"

/* Who drives a source instead of the host program: a device. */
struct vmemi_source_driver {
    struct vmemi_gate *gate; /* of its notifications */
    /* The memory that the source retains is what somebody left in it on purpose:
     * it is not given back when the source comes, nor when it goes. Change
     * lock. */
    bool keeps_memory;
    /* The region was frozen by its first owner, or has thawed, at that date.
     * Called inside the gate, without locks. */
    void (*frozen)(struct vmemi_source_driver *driver,
                   const struct vmemi_date *date);
    void (*thawed)(struct vmemi_source_driver *driver,
                   const struct vmemi_date *date);
    /* A listener that has refused a change is gone; its name is by. The same. */
    void (*eased)(struct vmemi_source_driver *driver, const char *by);
};

struct vmem_source {
    GList link;
    struct vmemi_name name;
    struct vmem_region *region;
    uint64_t flags;
    unsigned int block_shift;
    /* Set: populated, as far as this source goes. A load puts another bitmap there,
     * so that without a lock not even the pointer can be read. */
    struct vmem_bitmap *blocks;
    /* Set: discarded here, but the memory is not back yet. Never set together
     * with blocks, and replaced with it. NULL if the source does not discard. */
    struct vmem_bitmap *retained;
    uint64_t nr_commits;                /* changes of blocks so far */
    struct vmemi_source_driver *driver; /* or NULL */
};

/* vmem_source_add() with a driver. */
int vmemi_source_add(struct vmem_region *region,
                     const struct vmem_source_config *config,
                     struct vmemi_source_driver *driver,
                     struct vmem_source **out, struct vmem_error *err);

/* vmem_source_remove() whatever drives it, but for its memory: a driver may be
 * asked about it until the driver is gone, and frees it then. alone: -EBUSY if
 * there are listeners, which would be told that everything is populated. */
int vmemi_source_remove(struct vmem_source *source, bool alone,
                        struct vmem_error *err);

/* Of one that was removed; takes NULL. */
void vmemi_source_free(struct vmem_source *source);

/* The two in the middle of adding and removing, under the change lock: from one
 * on the source counts, from the other on it does not. All or nothing. */
int vmemi_source_join(struct vmem_source *source, struct vmemi_change *change,
                      struct vmem_error *err);
int vmemi_source_leave(struct vmem_source *source, bool alone,
                       struct vmemi_change *change, struct vmem_error *err);

/* The host's error for a change, of which change->cause says why it failed. */
int vmemi_source_fail_change(const struct vmem_source *source, const char *what,
                             const struct vmem_range *range,
                             const struct vmemi_change *change,
                             struct vmem_error *err);

/* The two changes, under the change lock. The range is aligned and inside. The
 * first is all or nothing and says why not in change->cause; blocks that are in
 * the wanted state already are left alone. -EBUSY while frozen. */
int vmemi_source_plug(struct vmem_source *source,
                      const struct vmem_range *range,
                      struct vmemi_change *change);
int vmemi_source_unplug(struct vmem_source *source,
                        const struct vmem_range *range,
                        struct vmemi_change *change);

static inline uint64_t vmemi_source_block_size(const struct vmem_source *source)
{
    return (uint64_t)1 << source->block_shift;
}

/* Needs no lock: it stays. */
static inline uint64_t vmemi_source_nr_blocks(const struct vmem_source *source)
{
    return source->region->size >> source->block_shift;
}

static inline uint64_t vmemi_source_size(const struct vmem_source *source)
{
    return vmemi_bitmap_nr_set(source->blocks) << source->block_shift;
}

#endif /* VMEMI_CORE_SOURCE_H */
