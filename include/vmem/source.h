/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * @file
 * @brief One reason for parts of a region to be discarded.
 * @ingroup source
 */
#ifndef VMEM_SOURCE_H
#define VMEM_SOURCE_H

#include <vmem/error.h>
#include <vmem/macros.h>
#include <vmem/types.h>

VMEM_BEGIN_DECLS

/**
 * @defgroup source Source
 * @brief A block bitmap with a say in what is populated.
 *
 * A virtio-mem device makes a source of its own (see @ref device). Hosts add
 * others: shared and private pages of a confidential guest, a region that is
 * being unplugged. A source has a block size of its own; listeners hear of the
 * parts that change from "not all sources" to "all sources" and back.
 * @{
 */

/** The memory of a block that this source discards is given back to the host;
 *  without it the source only hides memory, and contents stay. */
#define VMEM_SOURCE_DISCARDS ((uint64_t)1 << 0)
/** All blocks start populated; without it, all start discarded. */
#define VMEM_SOURCE_POPULATED ((uint64_t)1 << 1)

/** What a source is. */
struct vmem_source_config {
    size_t struct_size;  /**< sizeof(struct vmem_source_config). */
    const char *name;    /**< Unique in the region; required. */
    uint64_t block_size; /**< Bytes, a power of two that divides the region's
                              size; with #VMEM_SOURCE_DISCARDS at least the
                              backing's page size. */
    uint64_t flags;      /**< VMEM_SOURCE_DISCARDS and others above. */
};

/** State of a source; filled by vmem_source_get_info(). */
struct vmem_source_info {
    size_t struct_size;      /**< Set by the host. */
    const char *name;        /**< @ownership{the source's} */
    uint64_t block_size;     /**< Bytes. */
    uint64_t populated_size; /**< Bytes that this source has populated. */
    uint64_t retained_size; /**< Bytes it discarded whose memory is not back. */
    uint64_t flags;         /**< As configured. */
};

/**
 * Add a source to a region.
 *
 * Listeners with a @c may_discard are asked about what it hides, and one that
 * refuses keeps it out. Then all are told @c discard of that, in reverse order,
 * then, if it discards, the memory is given back (what cannot be is retained).
 *
 * @param region    The region.
 * @param config    What to add. @ownership{copied}
 * @param[out] out  The source; untouched on failure.
 *                  @ownership{the caller's, gone with vmem_source_remove()}
 * @param[out] err  Filled on failure; may be NULL.
 * @return 0, a negative errno, or what the refusing listener returned; on failure
 *         nothing changed.
 * @retval -EINVAL   NULL, unknown flag, or a bad block size.
 * @retval -ERANGE   More than #VMEM_BITMAP_MAX_BLOCKS blocks, a long name, or
 *                   #VMEM_REGION_MAX_SOURCES reached.
 * @retval -E2BIG    Unknown members are set.
 * @retval -EEXIST   The region has a source of that name.
 * @retval -EBUSY    The region is frozen, or a listener's granularity is larger
 *                   than the block size.
 * @retval -ENOMEM   Out of memory.
 * @retval -EDEADLK  Called from a callback.
 * @threads{any thread; not from listener, backing and walk callbacks}
 * @since 0.1
 */
VMEM_API int vmem_source_add(struct vmem_region *region,
                             const struct vmem_source_config *config,
                             struct vmem_source **out, struct vmem_error *err);

/**
 * Remove a source from its region.
 *
 * Listeners are told @c populate of what becomes visible. If one objects, those
 * told before are told @c discard in reverse order and the source stays. Populated
 * memory is not touched; what is retained is tried once more, and zeroed if it
 * stays. The source of a device is removed by vmem_device_free().
 *
 * @param source    The source; gone on success. NULL is allowed.
 * @param[out] err  Filled on failure; may be NULL.
 * @return 0, a negative errno, or what the objecting listener returned.
 * @retval -EBUSY    The region is frozen, or a device drives the source.
 * @retval -EDEADLK  Called from a callback, or from the log sink for what is
 *                   being removed.
 * @threads{no other call on the source may be running; not from listener,
 * backing and walk callbacks}
 * @since 0.1
 */
VMEM_API int vmem_source_remove(struct vmem_source *source,
                                struct vmem_error *err);

/**
 * Populate a range: all or nothing.
 *
 * Blocks that are populated already are left as they are. In this order: retained
 * memory is discarded or zeroed, memory is populated where the backing asks for
 * it, listeners are told in the order of registration, the bitmap is committed.
 * Any failure undoes all of it.
 *
 * @param source    The source, not of a device.
 * @param range     The range, aligned to the block size.
 * @param[out] err  Filled on failure; may be NULL.
 * @return 0, a negative errno, or what a listener or the kernel returned.
 * @retval -EINVAL     NULL or misaligned.
 * @retval -ERANGE     The range leaves the region.
 * @retval -EOVERFLOW  offset + size wraps.
 * @retval -EBUSY      Frozen, or a device drives the source.
 * @retval -EDEADLK    Called from a callback.
 * @threads{any thread; not from listener, backing and walk callbacks}
 * @since 0.1
 */
VMEM_API int vmem_source_populate(struct vmem_source *source,
                                  const struct vmem_range *range,
                                  struct vmem_error *err);

/**
 * Discard a range.
 *
 * Blocks that are discarded already are left as they are. In this order:
 * listeners with a @c may_discard are asked and may refuse, listeners are told in
 * reverse order of registration, the bitmap is committed, the memory is given back
 * if the source discards. Memory that cannot be given back is retained, which is
 * not an error.
 *
 * @param source    The source, not of a device.
 * @param range     The range, aligned to the block size.
 * @param[out] err  Filled on failure; may be NULL.
 * @return 0, a negative errno, or what the refusing listener returned; on failure
 *         nothing changed.
 * @retval -EINVAL     NULL or misaligned.
 * @retval -ERANGE     The range leaves the region.
 * @retval -EOVERFLOW  offset + size wraps.
 * @retval -EBUSY      Frozen, or a device drives the source.
 * @retval -EDEADLK    Called from a callback.
 * @threads{any thread; not from listener, backing and walk callbacks}
 * @since 0.1
 */
VMEM_API int vmem_source_discard(struct vmem_source *source,
                                 const struct vmem_range *range,
                                 struct vmem_error *err);

/**
 * State of a source.
 *
 * @param source        The source.
 * @param[in,out] info  Set its struct_size; the rest is filled.
 * @return 0 or a negative errno.
 * @retval -EINVAL  NULL argument or struct_size too small.
 * @threads{any thread, any callback}
 * @since 0.1
 */
VMEM_API int vmem_source_get_info(const struct vmem_source *source,
                                  struct vmem_source_info *info);

/**
 * Write one bit for each page of a window: has this source populated all of it?
 *
 * As vmem_region_get_page_bitmap(), which says how bits and words lie, but for the
 * one source, whatever the others say: the state of a device beside a source of the
 * host (vmem_device_info::source), or what the host's own source hides.
 *
 * Holds the lock that vmem_region_for_each_populated() holds. In a callback that
 * holds another region, where it may not wait, each run is taken as it is then.
 *
 * @param source      The source; a device's too.
 * @param window      Of the region, a multiple of the page size at both ends;
 *                    NULL: all of it.
 * @param page_size   Bytes, a power of two of any size.
 * @param[out] words  Room for (pages + 63) / 64 words. @ownership{the caller's}
 * @return 0 or a negative errno, and then nothing was written.
 * @retval -EINVAL     NULL argument, page size not a power of two, or an end of
 *                     the window is not a multiple of it.
 * @retval -ERANGE     The window leaves the region.
 * @retval -EOVERFLOW  offset + size wraps.
 * @threads{any thread, any callback}
 * @since 0.1
 */
VMEM_API int vmem_source_get_page_bitmap(const struct vmem_source *source,
                                         const struct vmem_range *window,
                                         uint64_t page_size, uint64_t *words);

/** @} */

VMEM_END_DECLS

#endif /* VMEM_SOURCE_H */
