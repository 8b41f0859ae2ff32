/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VMEMCTL_GRID_H
#define VMEMCTL_GRID_H

#include <stdint.h>

#include "history.h"

/* The blocks of a device over time, in cells: a row is a share of the blocks, a
 * column a share of the time. However long the run is, the grid is bounded. */

#define GRID_NR_SHADES 5

struct grid {
    unsigned nr_rows;
    unsigned nr_columns;
    /* Row by row from the lowest address; a shade each: 0 where nothing was
     * plugged, not for a moment, 4 where everything was all of the time, 1 to 3 for
     * up to a third, two thirds, and more, of blocks and time. */
    uint8_t *shades;
};

/* The rows are at most max_rows, and at most as many as there are blocks. */
struct grid *grid_new(const struct history *history, unsigned device,
                      unsigned max_rows, unsigned nr_columns);
void grid_free(struct grid *grid);

#endif /* VMEMCTL_GRID_H */
