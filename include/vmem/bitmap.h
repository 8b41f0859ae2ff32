/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * @file
 * @brief A block bitmap that is nearly free to walk.
 * @ingroup bitmap
 */
#ifndef VMEM_BITMAP_H
#define VMEM_BITMAP_H

#include <stdbool.h>

#include <vmem/macros.h>
#include <vmem/types.h>

VMEM_BEGIN_DECLS

/**
 * @defgroup bitmap Block bitmap
 * @brief One bit per block, counted, walked by runs; usable on its own.
 *
 * Bits live in 64-bit words. Beside them one summary bit a word says whether
 * the word differs from a plain continuation of the last bit of the word
 * before. Long runs, of ones as well as of zeros, are skipped 4096 blocks at a
 * time, so empty, full and clustered maps cost little to walk, for 1.6 % more
 * memory. The number of set bits is kept up to date by every change.
 *
 * Blocks are counted from 0. A bitmap has no lock: calls that change one must
 * not run together with any other call on it.
 * @{
 */

/** Most blocks that a bitmap can hold: 2^32, which takes 520 MiB. */
#define VMEM_BITMAP_MAX_BLOCKS ((uint64_t)1 << 32)

/** What a range of a bitmap holds. */
enum vmem_bitmap_state {
    VMEM_BITMAP_ALL_CLEAR = 0, /**< Every block is clear. */
    VMEM_BITMAP_ALL_SET = 1,   /**< Every block is set. */
    VMEM_BITMAP_MIXED = 2      /**< Some are set and some are clear. */
};

/** A run of blocks with equal bits. */
struct vmem_bitmap_run {
    uint64_t first_block; /**< First block of the run. */
    uint64_t nr_blocks;   /**< Number of blocks in the run. */
};

/**
 * Called for each run of a walk.
 *
 * @param run     The run, valid during the call.
 * @param opaque  What the caller of the walk passed.
 * @return 0 to go on; anything else stops the walk, which returns it.
 */
typedef int (*vmem_bitmap_run_fn)(const struct vmem_bitmap_run *run,
                                  void *opaque);

/**
 * Make a bitmap with every block clear.
 *
 * @param nr_blocks  Number of blocks; 0 is allowed.
 * @param[out] out   The bitmap; untouched on failure.
 *                   @ownership{the caller's, freed by vmem_bitmap_free()}
 * @return 0 or a negative errno.
 * @retval -EINVAL  @p out is NULL.
 * @retval -ERANGE  More than #VMEM_BITMAP_MAX_BLOCKS blocks.
 * @retval -ENOMEM  Out of memory.
 * @threads{any thread}
 * @since 0.1
 */
VMEM_API int vmem_bitmap_new(uint64_t nr_blocks, struct vmem_bitmap **out);

/**
 * Free a bitmap.
 *
 * @param bitmap  The bitmap; NULL is allowed and does nothing.
 * @threads{external}
 * @since 0.1
 */
VMEM_API void vmem_bitmap_free(struct vmem_bitmap *bitmap);

/**
 * Number of blocks, as given to vmem_bitmap_new().
 *
 * @param bitmap  The bitmap.
 * @return Number of blocks.
 * @threads{any thread, any callback}
 * @since 0.1
 */
VMEM_API uint64_t vmem_bitmap_get_nr_blocks(const struct vmem_bitmap *bitmap);

/**
 * Number of set blocks; costs nothing.
 *
 * @param bitmap  The bitmap.
 * @return Number of set blocks.
 * @threads{external}
 * @since 0.1
 */
VMEM_API uint64_t vmem_bitmap_get_nr_set(const struct vmem_bitmap *bitmap);

/**
 * Set every block of a range.
 *
 * @param bitmap           The bitmap.
 * @param first_block      First block of the range.
 * @param nr_blocks        Number of blocks; 0 changes nothing.
 * @param[out] nr_changed  How many were clear before; may be NULL.
 * @return 0 or a negative errno, and then nothing changed.
 * @retval -EINVAL  @p bitmap is NULL.
 * @retval -ERANGE  The range leaves the bitmap.
 * @threads{external}
 * @since 0.1
 */
VMEM_API int vmem_bitmap_set(struct vmem_bitmap *bitmap, uint64_t first_block,
                             uint64_t nr_blocks, uint64_t *nr_changed);

/**
 * Clear every block of a range.
 *
 * @param bitmap           The bitmap.
 * @param first_block      First block of the range.
 * @param nr_blocks        Number of blocks; 0 changes nothing.
 * @param[out] nr_changed  How many were set before; may be NULL.
 * @return 0 or a negative errno, and then nothing changed.
 * @retval -EINVAL  @p bitmap is NULL.
 * @retval -ERANGE  The range leaves the bitmap.
 * @threads{external}
 * @since 0.1
 */
VMEM_API int vmem_bitmap_clear(struct vmem_bitmap *bitmap, uint64_t first_block,
                               uint64_t nr_blocks, uint64_t *nr_changed);

/**
 * Is a block set?
 *
 * @param bitmap  The bitmap.
 * @param block   The block; one outside the bitmap is never set.
 * @return Whether it is set.
 * @threads{external}
 * @since 0.1
 */
VMEM_API bool vmem_bitmap_is_set(const struct vmem_bitmap *bitmap,
                                 uint64_t block);

/**
 * Are the blocks of a range all set, all clear, or mixed? One pass.
 *
 * The part of the range outside the bitmap counts as clear; an empty range is
 * #VMEM_BITMAP_ALL_CLEAR.
 *
 * @param bitmap       The bitmap.
 * @param first_block  First block of the range.
 * @param nr_blocks    Number of blocks.
 * @return An enum vmem_bitmap_state.
 * @threads{external}
 * @since 0.1
 */
VMEM_API uint32_t vmem_bitmap_get_state(const struct vmem_bitmap *bitmap,
                                        uint64_t first_block,
                                        uint64_t nr_blocks);

/**
 * Number of set blocks in a range; the part outside the bitmap counts as clear.
 *
 * @param bitmap       The bitmap.
 * @param first_block  First block of the range.
 * @param nr_blocks    Number of blocks.
 * @return Number of set blocks.
 * @threads{external}
 * @since 0.1
 */
VMEM_API uint64_t vmem_bitmap_count(const struct vmem_bitmap *bitmap,
                                    uint64_t first_block, uint64_t nr_blocks);

/**
 * First set block at or after a block.
 *
 * @param bitmap       The bitmap.
 * @param first_block  Where to start looking.
 * @param end_block    Where to stop; cut to the size of the bitmap.
 * @return The block, or @p end_block (cut) if there is none before it.
 * @threads{external}
 * @since 0.1
 */
VMEM_API uint64_t vmem_bitmap_next_set(const struct vmem_bitmap *bitmap,
                                       uint64_t first_block,
                                       uint64_t end_block);

/**
 * First clear block at or after a block.
 *
 * @param bitmap       The bitmap.
 * @param first_block  Where to start looking.
 * @param end_block    Where to stop; cut to the size of the bitmap.
 * @return The block, or @p end_block (cut) if there is none before it.
 * @threads{external}
 * @since 0.1
 */
VMEM_API uint64_t vmem_bitmap_next_clear(const struct vmem_bitmap *bitmap,
                                         uint64_t first_block,
                                         uint64_t end_block);

/**
 * Visit the maximal runs of set blocks in a window, ascending.
 *
 * Runs are cut at the window. The bitmap must not change during the walk.
 *
 * @param bitmap       The bitmap.
 * @param first_block  First block of the window.
 * @param nr_blocks    Number of blocks; the part outside the bitmap is ignored.
 * @param fn           Called for each run.
 * @param opaque       Passed to @p fn.
 * @return 0, or what @p fn returned.
 * @retval -EINVAL  NULL argument.
 * @threads{external}
 * @since 0.1
 */
VMEM_API int vmem_bitmap_for_each_set(const struct vmem_bitmap *bitmap,
                                      uint64_t first_block, uint64_t nr_blocks,
                                      vmem_bitmap_run_fn fn, void *opaque);

/**
 * Visit the maximal runs of clear blocks in a window, ascending.
 *
 * As vmem_bitmap_for_each_set().
 *
 * @param bitmap       The bitmap.
 * @param first_block  First block of the window.
 * @param nr_blocks    Number of blocks; the part outside the bitmap is ignored.
 * @param fn           Called for each run.
 * @param opaque       Passed to @p fn.
 * @return 0, or what @p fn returned.
 * @retval -EINVAL  NULL argument.
 * @threads{external}
 * @since 0.1
 */
VMEM_API int vmem_bitmap_for_each_clear(const struct vmem_bitmap *bitmap,
                                        uint64_t first_block,
                                        uint64_t nr_blocks,
                                        vmem_bitmap_run_fn fn, void *opaque);

/**
 * Copy bits out, packed from bit 0 of the first word.
 *
 * Bit i of the output is block @p first_block + i; the rest of the last word is
 * zero. Words have the byte order of the host.
 *
 * @param bitmap       The bitmap.
 * @param first_block  First block to copy.
 * @param nr_blocks    Number of blocks.
 * @param[out] words   Room for (nr_blocks + 63) / 64 words. @ownership{the
 *                     caller's}
 * @return 0 or a negative errno, and then nothing was written.
 * @retval -EINVAL  NULL argument.
 * @retval -ERANGE  The range leaves the bitmap.
 * @threads{external}
 * @since 0.1
 */
VMEM_API int vmem_bitmap_copy_out(const struct vmem_bitmap *bitmap,
                                  uint64_t first_block, uint64_t nr_blocks,
                                  uint64_t *words);

/** @} */

VMEM_END_DECLS

#endif /* VMEM_BITMAP_H */
