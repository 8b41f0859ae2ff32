/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VMEMCTL_BLOCKMAP_H
#define VMEMCTL_BLOCKMAP_H

#include <stdbool.h>
#include <stdint.h>

/* A line of at most width cells, each standing for an equal share of the
 * blocks: empty only where no block of the share is plugged, full only where all
 * are, three shades in between. has holds one byte per block. With unicode the
 * shades are block elements, otherwise ASCII. Free it with g_free(). */
char *blockmap_draw(const uint8_t *has, uint64_t nr_blocks, unsigned width,
                    bool unicode);

/* What the shades mean. Static. */
const char *blockmap_legend(bool unicode);

#endif /* VMEMCTL_BLOCKMAP_H */
