/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * @file
 * @brief Ranges and the names of the objects.
 * @ingroup types
 */
#ifndef VMEM_TYPES_H
#define VMEM_TYPES_H

#include <stddef.h>
#include <stdint.h>

#include <vmem/macros.h>

VMEM_BEGIN_DECLS

/**
 * @defgroup types Common types
 * @brief What every header shares.
 *
 * Every address names its space: @c offset counts bytes from the start of a
 * region (or backing), @c gpa is a guest-physical address, @c hva an address
 * in this process, @c fd_offset a position in a file. Numbers are bytes unless
 * the name says otherwise (@c nr_blocks, @c _ns).
 *
 * A struct that the host fills starts with @c struct_size, which the host sets
 * to @c sizeof of the struct it was compiled against; everything else may be
 * zero. The library copies what it is given: a struct shorter than the first
 * release's is refused with -EINVAL, a longer one with non-zero bytes that the
 * library does not know with -E2BIG. In a struct that the library fills the
 * host sets @c struct_size likewise and gets that many bytes at most.
 * Strings and callback tables are copied as well and need not outlive the call.
 *
 * Functions return 0 or a negative errno unless they say otherwise.
 * @{
 */

/**
 * A half-open range of bytes [offset, offset + size).
 *
 * Counted from the start of the object that the function is about. This struct
 * never grows.
 */
struct vmem_range {
    uint64_t offset; /**< First byte. */
    uint64_t size;   /**< Number of bytes. */
};

struct vmem_vm;
struct vmem_backing;
struct vmem_region;
struct vmem_source;
struct vmem_listener;
struct vmem_device;
struct vmem_discard_claim;
struct vmem_discard_watcher;
struct vmem_bitmap;
struct vmem_dma;
struct vmem_dma_attachment;

/** Longest name of any object, in bytes without the terminating NUL. */
#define VMEM_NAME_MAX 63

/**
 * Called for each of a number of ranges.
 *
 * @param range   The range, valid during the call.
 * @param opaque  What the caller of the walk passed.
 * @return 0 to go on; anything else stops the walk, which returns it.
 */
typedef int (*vmem_range_fn)(const struct vmem_range *range, void *opaque);

/** @} */

VMEM_END_DECLS

#endif /* VMEM_TYPES_H */
