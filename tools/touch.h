/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VMEMCTL_TOUCH_H
#define VMEMCTL_TOUCH_H

#include <stddef.h>
#include <stdint.h>

/* Uses memory as a guest would, one byte a page, so that it is really there. */

/* Keeps the kernel from handing out huge pages that reach beyond a block, where
 * blocks are smaller than those or lie across them: what is resident could not
 * be compared with what is plugged otherwise. */
void touch_prepare(uint8_t *hva, uint64_t size, uint64_t block_size);

/* Allocates a range, checks that every byte of it is zero, and writes to each
 * page a value that depends on where it is. Returns 0, a negative errno when the
 * host cannot give the memory, or 1 with *bad at the first byte of the region
 * that was not zero. */
int touch_write(uint8_t *hva, uint64_t offset, uint64_t size, uint64_t *bad);

/* Checks that a range still holds what touch_write() wrote. 0, or 1 with *bad
 * at the first byte of the region that does not. */
int touch_verify(const uint8_t *hva, uint64_t offset, uint64_t size,
                 uint64_t *bad);

#endif /* VMEMCTL_TOUCH_H */
