/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * @file
 * @brief A party that must follow a region.
 * @ingroup listener
 */
#ifndef VMEM_LISTENER_H
#define VMEM_LISTENER_H

#include <vmem/error.h>
#include <vmem/macros.h>
#include <vmem/types.h>

VMEM_BEGIN_DECLS

/**
 * @defgroup listener Listener
 * @brief Told what becomes populated and what is about to be discarded.
 *
 * A listener looks at a window of a region and is told exactly the populated
 * state of that window: everything populated when it joins, every change while
 * it is there, and @c discard of whatever is still populated when it leaves. It
 * is never told @c populate for what it has, nor @c discard for what it does not
 * have.
 *
 * @c populate comes before the guest may use the memory and may veto by
 * returning a negative errno; then everybody told before is told @c discard, in
 * reverse order, and the change does not happen. @c discard comes before the
 * memory goes back to the host and cannot fail.
 *
 * With a granularity each @c populate is one chunk: aligned to the granularity
 * within the region and cut at the window's ends. A @c discard covers a whole
 * run, with its ends on chunk boundaries; a listener marked
 * #VMEM_LISTENER_EXACT_DISCARD gets one for each chunk instead. The library does the
 * cutting, so a callback either did its whole range or nothing, and undoing is
 * the library's business.
 *
 * What one change tells a listener is a batch, between @c begin and @c commit,
 * for those that do better with many ranges at once. A change that tells it
 * nothing has none. A @c populate that vetoes is undone in the same batch. When
 * @c commit vetoes, what the batch populated counts as told, and is discarded in a
 * batch of its own.
 *
 * A discard may be refused before anybody is told of it. Listeners with a
 * @c may_discard are asked in the order of registration, each about exactly the
 * ranges that its @c discard would get, outside of a batch. The first that
 * returns a negative errno ends the change: nothing has changed, nobody has been
 * told, the guest is answered BUSY and a call of the host returns that errno with
 * #VMEM_REASON_LISTENER_VETO. Only when all agreed is anybody told @c discard,
 * which cannot fail then. To agree promises nothing more, and binds the listener to
 * nothing: another one may refuse after it, and the question may come again.
 *
 * Asked about are UNPLUG and UNPLUG ALL, a system reset, vmem_device_load(),
 * vmem_source_discard(), and a source or device that joins and hides something.
 * Not asked about are what undoes a change that failed, what a listener that
 * leaves still has, and memory that is unplugged already
 * (vmem_region_retry_discards()).
 *
 * Callbacks run on the thread that changes the region, with the region's change
 * lock held. Queries and walks work in them; a change to any region of the same
 * vmem_vm is refused with -EDEADLK.
 * @{
 */

/** One discard call for each populate chunk, for users that cannot unmap
 *  several mappings at once. Needs a granularity. */
#define VMEM_LISTENER_EXACT_DISCARD ((uint64_t)1 << 0)

/** What a listener does. Each range counts from the start of the region. */
struct vmem_listener_ops {
    size_t struct_size; /**< sizeof(struct vmem_listener_ops). */
    /** A range becomes populated. Returns 0, or a negative errno to veto.
     *  Required. */
    int (*populate)(const struct vmem_range *range, void *opaque);
    /** A range is about to be discarded. Required. */
    void (*discard)(const struct vmem_range *range, void *opaque);
    /** Called exactly once, after the last call of the others, also when
     *  registering fails; NULL: nothing to do. */
    void (*destroy)(void *opaque);
    /** A batch begins: calls of populate and discard follow that belong
     *  together. NULL: nothing to do. */
    void (*begin)(void *opaque);
    /** The batch is over. Returns 0, or a negative errno to veto; after discards
     *  alone it does not matter. NULL: nothing to do. */
    int (*commit)(void *opaque);
    /** A change would discard a range: may it? Returns 0, or a negative errno to
     *  refuse the change. NULL: it may. */
    int (*may_discard)(const struct vmem_range *range, void *opaque);
};

/** What a listener looks at. */
struct vmem_listener_config {
    size_t struct_size;       /**< sizeof(struct vmem_listener_config). */
    const char *name;         /**< Appears in every diagnostic; required. */
    struct vmem_range window; /**< In the region; size 0 at offset 0: all. */
    uint64_t granularity; /**< Chunk size in bytes, a power of two not larger
                                   than the region's smallest block size; 0:
                                   whole runs. */
    uint64_t flags;       /**< #VMEM_LISTENER_EXACT_DISCARD or 0. */
};

/**
 * Register a listener and replay what is populated.
 *
 * A transaction: it succeeds with the replay complete, or fails with everything
 * undone, @c discard told for what was replayed, and @c destroy called.
 *
 * @param region    The region.
 * @param config    What to look at. @ownership{copied}
 * @param ops       The callbacks. @ownership{copied}
 * @param opaque    Passed to the callbacks.
 * @param[out] out  The listener; untouched on failure.
 *                  @ownership{the caller's, gone with vmem_listener_remove()}
 * @param[out] err  Filled on failure; may be NULL.
 * @return 0, a negative errno, or what the listener's veto was. @c destroy is
 *         called on every failure, unless @p ops is NULL or too short to have
 *         one.
 * @retval -EINVAL     NULL, empty window, bad granularity, unknown flag.
 * @retval -ERANGE     The window leaves the region, or a long name.
 * @retval -EOVERFLOW  The window wraps.
 * @retval -E2BIG      Unknown members are set.
 * @retval -ENOMEM     Out of memory.
 * @retval -EDEADLK    Called from a callback; @c destroy then runs inside it.
 * @threads{any thread; not from listener, backing and walk callbacks}
 * @since 0.1
 */
VMEM_API int vmem_listener_add(struct vmem_region *region,
                               const struct vmem_listener_config *config,
                               const struct vmem_listener_ops *ops,
                               void *opaque, struct vmem_listener **out,
                               struct vmem_error *err);

/**
 * Remove a listener, telling it @c discard of what it still has.
 *
 * Works on a frozen region too: no block changes. @c destroy is called after
 * all locks are dropped, before this returns. So are, before it, config_changed
 * and resize_changed of a device whose last request this listener refused: the
 * guest may try again at once, as after a thaw.
 *
 * @param listener  The listener; gone on success. NULL is allowed.
 * @param[out] err  Filled on failure; may be NULL.
 * @return 0 or a negative errno.
 * @retval -EDEADLK  Called from a callback, its own included, or from the log
 *                   sink for what is being removed.
 * @threads{no other call on the listener may be running; not from listener,
 * backing and walk callbacks}
 * @since 0.1
 */
VMEM_API int vmem_listener_remove(struct vmem_listener *listener,
                                  struct vmem_error *err);

/** @} */

VMEM_END_DECLS

#endif /* VMEM_LISTENER_H */
