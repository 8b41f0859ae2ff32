/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VMEMI_CORE_BITMAP_H
#define VMEMI_CORE_BITMAP_H

#include <vmem/bitmap.h>

/* Bytes that a bitmap of so many blocks occupies, for tests and statistics. */
size_t vmemi_bitmap_bytes(uint64_t nr_blocks);

/* Does every summary bit and the count agree with the words, and is the padding
 * clear? For tests and fuzzers. */
bool vmemi_bitmap_is_consistent(const struct vmem_bitmap *bitmap);

#endif /* VMEMI_CORE_BITMAP_H */
