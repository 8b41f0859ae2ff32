/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VMEMCTL_BLOCKMAP_H
#define VMEMCTL_BLOCKMAP_H

#include <stdbool.h>
#include <stdint.h>

#include "report.h"
#include "shadow.h"

/* Which blocks are plugged, in characters: a cell is empty only where no block of
 * its share is plugged, full only where all are, three shades in between. has
 * holds one byte per block. With unicode the shades are block elements, otherwise
 * ASCII. Free what is drawn with g_free(). */

/* A line of at most width cells, each standing for an equal share. */
char *blockmap_draw(const uint8_t *has, uint64_t nr_blocks, unsigned width,
                    bool unicode);

/* The same with so many blocks a cell; the last one may have fewer. */
char *blockmap_draw_cells(const uint8_t *has, uint64_t nr_blocks,
                          uint64_t blocks_per_cell, bool unicode);

/* What the shades mean. Static. */
const char *blockmap_legend(bool unicode);

/* The plugged runs as member "plugged_blocks" of the JSON object that is open:
 * pairs of first block and number. */
void blockmap_report(struct report *report, const struct shadow *blocks);

#endif /* VMEMCTL_BLOCKMAP_H */
