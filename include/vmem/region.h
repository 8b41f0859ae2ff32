/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * @file
 * @brief Which parts of a range of guest memory are populated?
 * @ingroup region
 */
#ifndef VMEM_REGION_H
#define VMEM_REGION_H

#include <stdbool.h>

#include <vmem/error.h>
#include <vmem/macros.h>
#include <vmem/types.h>

VMEM_BEGIN_DECLS

/**
 * @defgroup region Region
 * @brief A contiguous range of guest memory, and the one truth about it.
 *
 * A region knows which of its parts are populated. Sources (see @ref source)
 * are the reasons for parts to be discarded: a part is populated only when
 * every source says so, and a region without sources is fully populated.
 * Listeners (see @ref listener) follow. Every change goes through the region,
 * which tells listeners in the right order, undoes what it told when one of
 * them objects, and discards or populates the backing.
 *
 * **Memory** follows the sources that discard (#VMEM_SOURCE_DISCARDS), whether
 * or not other sources hide it. Memory that no source wants any more but whose
 * discard failed is *retained*: counted, tried again by
 * vmem_region_retry_discards(), on a system reset, and before it is plugged
 * again; then, if it still cannot be discarded, it is zeroed by writing, so
 * that a guest never sees old contents.
 *
 * **Locks.** A region has two. The change lock serialises changes and is held
 * across callbacks of listeners and custom backings and across system calls.
 * The state lock is short; plain queries take only that, never wait for a
 * running change, and never see half of one. The answer of a plain query can
 * therefore be out of date when it arrives; vmem_region_with_populated() and
 * the walks hold the change lock.
 *
 * **Freezing** holds everything still, for a migration or snapshot: changes
 * are refused with -EBUSY and the names of those who froze, and the backing is
 * not touched.
 * @{
 */

/** Most sources of one region. Combining costs one search for each source and
 *  run, so this bounds the work of a query; four are known in the field
 *  (virtio-mem, private/shared, balloon, hot-unplug in progress). */
#define VMEM_REGION_MAX_SOURCES 16

/** What a region is made of. */
struct vmem_region_config {
    size_t struct_size; /**< sizeof(struct vmem_region_config). */
    const char *name;   /**< Appears in diagnostics; NULL with a backing: the
                             backing's name. */
    uint64_t size;      /**< Bytes; 0 with a backing: the backing's size. */
    struct vmem_backing *backing; /**< Its memory, of the same size and used by
                             no other region; NULL: bookkeeping only. */
};

/** State and counters of a region; filled by vmem_region_get_info(). */
struct vmem_region_info {
    size_t struct_size;       /**< Set by the host. */
    const char *name;         /**< @ownership{the region's} */
    uint64_t size;            /**< Bytes. */
    uint64_t min_granularity; /**< Smallest block size of its sources, bytes;
                                   its size if it has none. */
    uint64_t populated_size;  /**< Bytes populated. */
    uint64_t retained_size;   /**< Bytes discarded whose memory is not back. */
    uint64_t nr_sources;      /**< Sources now. */
    uint64_t nr_listeners;    /**< Listeners now. */
    uint64_t nr_freezers;     /**< Owners that froze it now. */
    uint64_t nr_populate_calls; /**< Listener populate callbacks so far. */
    uint64_t nr_discard_calls;  /**< Listener discard callbacks so far. */
    uint64_t nr_vetoes;         /**< Populate, commit and may_discard that
                                     refused. */
    uint64_t nr_rollbacks;      /**< Changes that were undone. */
};

/**
 * Make a region, fully populated and without sources.
 *
 * @param vm        The machine it belongs to.
 * @param config    What to make. @ownership{copied}
 * @param[out] out  The region; untouched on failure.
 *                  @ownership{the caller's, freed by vmem_region_free()}
 * @param[out] err  Filled on failure; may be NULL.
 * @return 0 or a negative errno.
 * @retval -EINVAL   NULL, no name and no backing, the backing belongs to another machine, or
 *                   its size differs.
 * @retval -ERANGE   The name is longer than #VMEM_NAME_MAX.
 * @retval -E2BIG    Unknown members are set.
 * @retval -EBUSY    Another region uses the backing.
 * @retval -ENOMEM   Out of memory.
 * @retval -EDEADLK  Called from a callback.
 * @threads{any thread; not from listener, backing and walk callbacks}
 * @since 0.1
 */
VMEM_API int vmem_region_new(struct vmem_vm *vm,
                             const struct vmem_region_config *config,
                             struct vmem_region **out, struct vmem_error *err);

/**
 * Free a region without sources and listeners.
 *
 * @param region    The region; NULL is allowed and does nothing.
 * @param[out] err  Filled on failure; may be NULL.
 * @return 0 or a negative errno; on failure the region stays as it is.
 * @retval -EBUSY    Sources, devices, listeners or freezers are left.
 * @retval -EDEADLK  Called from a callback or from the log sink.
 * @threads{no other call on the region may be running}
 * @since 0.1
 */
VMEM_API int vmem_region_free(struct vmem_region *region,
                              struct vmem_error *err);

/**
 * Name of a region.
 *
 * @param region  The region; NULL has no name.
 * @return The name, or NULL.
 *         @ownership{the region's, valid until it is freed}
 * @threads{any thread, any callback}
 * @since 0.1
 */
VMEM_API const char *vmem_region_get_name(const struct vmem_region *region);

/**
 * Size of a region.
 *
 * @param region  The region; NULL: 0.
 * @return Bytes.
 * @threads{any thread, any callback}
 * @since 0.1
 */
VMEM_API uint64_t vmem_region_get_size(const struct vmem_region *region);

/**
 * Backing of a region.
 *
 * @param region  The region; NULL has none.
 * @return The backing, or NULL. @ownership{not the caller's}
 * @threads{any thread, any callback}
 * @since 0.1
 */
VMEM_API struct vmem_backing *
vmem_region_get_backing(const struct vmem_region *region);

/**
 * State and counters of a region.
 *
 * With several sources the cost grows with their runs.
 *
 * @param region        The region.
 * @param[in,out] info  Set its struct_size; the rest is filled.
 * @return 0 or a negative errno.
 * @retval -EINVAL  NULL argument or struct_size too small.
 * @threads{any thread, any callback}
 * @since 0.1
 */
VMEM_API int vmem_region_get_info(const struct vmem_region *region,
                                  struct vmem_region_info *info);

/**
 * Is every byte of a range populated?
 *
 * A range that leaves the region is not; an empty one inside it is. Advisory:
 * see vmem_region_with_populated().
 *
 * @param region  The region.
 * @param range   The range, of any alignment.
 * @return Whether all of it is populated.
 * @threads{any thread, any callback}
 * @since 0.1
 */
VMEM_API bool vmem_region_is_populated(const struct vmem_region *region,
                                       const struct vmem_range *range);

/**
 * Visit the populated runs of a window, ascending, cut at the window.
 *
 * Holds the change lock, so what it shows stays true until it returns. In a
 * callback that holds another region it cannot (two threads
 * could wait for each other) and shows each run as it is at that moment.
 *
 * @param region  The region.
 * @param window  The window, of any alignment; NULL: all of the region.
 * @param fn      Called for each run; a value other than 0 stops the walk. It
 *                may query but not change any region of the machine.
 * @param opaque  Passed to @p fn.
 * @return 0, or what @p fn returned.
 * @retval -EINVAL     NULL argument.
 * @retval -ERANGE     The window leaves the region.
 * @retval -EOVERFLOW  offset + size wraps.
 * @threads{any thread, any callback}
 * @since 0.1
 */
VMEM_API int vmem_region_for_each_populated(struct vmem_region *region,
                                            const struct vmem_range *window,
                                            vmem_range_fn fn, void *opaque);

/**
 * Visit the discarded runs of a window, ascending, cut at the window.
 *
 * As vmem_region_for_each_populated().
 *
 * @param region  The region.
 * @param window  The window, of any alignment; NULL: all of the region.
 * @param fn      Called for each run; a value other than 0 stops the walk.
 * @param opaque  Passed to @p fn.
 * @return 0, or what @p fn returned.
 * @retval -EINVAL     NULL argument.
 * @retval -ERANGE     The window leaves the region.
 * @retval -EOVERFLOW  offset + size wraps.
 * @threads{any thread, any callback}
 * @since 0.1
 */
VMEM_API int vmem_region_for_each_discarded(struct vmem_region *region,
                                            const struct vmem_range *window,
                                            vmem_range_fn fn, void *opaque);

/**
 * Write one bit for each page of a window: is all of the page populated?
 *
 * For migration, dump and whoever else keeps a bitmap of guest pages. It is
 * written from the runs of populated blocks, so it costs about as much as
 * clearing the output does, whether blocks are larger or smaller than pages.
 *
 * Bit i of the output is the page at window->offset + i * page_size; the rest of
 * the last word is zero. Words have the byte order of the host. A page is set
 * only if every source has populated every byte of it.
 *
 * Holds the lock that vmem_region_for_each_populated() holds, so no change falls
 * between two pages, and requests of the guest wait until it returns. A bitmap
 * takes 32 MiB for each TiB of 4 KiB pages: a host with a large region asks for
 * it window by window.
 *
 * @param region      The region.
 * @param window      The window, a multiple of the page size at both ends;
 *                    NULL: all of the region.
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
VMEM_API int vmem_region_get_page_bitmap(struct vmem_region *region,
                                         const struct vmem_range *window,
                                         uint64_t page_size, uint64_t *words);

/**
 * Run a function only if, and while, a range is populated.
 *
 * For work that must not race with a discard, such as mapping for a device.
 *
 * @param region    The region.
 * @param range     The range, of any alignment, not empty.
 * @param fn        Called once with @p range. It may query but not change any
 *                  region of the machine.
 * @param opaque    Passed to @p fn.
 * @param[out] err  Filled on failure of the check, not of @p fn; may be NULL.
 * @return What @p fn returned, or a negative errno if it was not called.
 * @retval -EINVAL     NULL argument or empty range.
 * @retval -ERANGE     The range leaves the region.
 * @retval -EOVERFLOW  offset + size wraps.
 * @retval -ENXIO      Part of the range is not populated; the error's range is
 *                     the first such part.
 * @retval -EDEADLK    Called from a callback that holds another region of the
 *                     machine.
 * @threads{any thread; from callbacks only on the region they hold}
 * @since 0.1
 */
VMEM_API int vmem_region_with_populated(struct vmem_region *region,
                                        const struct vmem_range *range,
                                        vmem_range_fn fn, void *opaque,
                                        struct vmem_error *err);

/**
 * Try again to give back retained memory.
 *
 * @param region    The region.
 * @param[out] err  Filled on failure, with the first range that stays; may be
 *                  NULL.
 * @return 0 when nothing is retained any more, or a negative errno.
 * @retval -EINVAL   NULL argument.
 * @retval -EBUSY    The region is frozen.
 * @retval -EDEADLK  Called from a callback.
 * @threads{any thread; not from listener, backing and walk callbacks}
 * @since 0.1
 */
VMEM_API int vmem_region_retry_discards(struct vmem_region *region,
                                        struct vmem_error *err);

/**
 * Hold a region still. Waits for a running change.
 *
 * Several owners may freeze a region; it thaws when the last one thaws it.
 *
 * @param region    The region.
 * @param owner     Who freezes, such as "migration"; required.
 *                  @ownership{copied}
 * @param[out] err  Filled on failure; may be NULL.
 * @return 0 or a negative errno.
 * @retval -EINVAL   NULL argument or empty name.
 * @retval -ERANGE   The name is longer than #VMEM_NAME_MAX.
 * @retval -EEXIST   That owner has frozen it already.
 * @retval -ENOMEM   Out of memory.
 * @retval -EDEADLK  Called from a callback.
 * @threads{any thread; not from listener, backing and walk callbacks}
 * @since 0.1
 */
VMEM_API int vmem_region_freeze(struct vmem_region *region, const char *owner,
                                struct vmem_error *err);

/**
 * Let go of a frozen region.
 *
 * When the last owner thaws it, the guest of a virtio-mem device on the region
 * gets a config notification; a Linux guest that was answered BUSY would
 * otherwise wait up to five minutes.
 *
 * @param region    The region.
 * @param owner     As given to vmem_region_freeze().
 * @param[out] err  Filled on failure, naming the owners; may be NULL.
 * @return 0 or a negative errno.
 * @retval -EINVAL   NULL argument.
 * @retval -ENOENT   That owner has not frozen it.
 * @retval -EDEADLK  Called from a callback.
 * @threads{any thread; not from listener, backing and walk callbacks}
 * @since 0.1
 */
VMEM_API int vmem_region_thaw(struct vmem_region *region, const char *owner,
                              struct vmem_error *err);

/**
 * Is a region frozen? Advisory.
 *
 * @param region  The region; NULL: false.
 * @return Whether somebody has frozen it.
 * @threads{any thread, any callback}
 * @since 0.1
 */
VMEM_API bool vmem_region_is_frozen(const struct vmem_region *region);

/** @} */

VMEM_END_DECLS

#endif /* VMEM_REGION_H */
