/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VMEMCTL_MAP_DRAW_H
#define VMEMCTL_MAP_DRAW_H

#include <stdbool.h>

#include "map_state.h"

/* A state as text, for a terminal of any width. */

struct map_style {
    unsigned width; /* columns, at least 1 */
    unsigned lines; /* of blocks, at most so many for each device, at least 1 */
    bool unicode;
    bool cuts; /* lines of words end at the width, rather than wrap */
};

/* Lines, each with its newline. Addresses run from left to right and on in the
 * next line; a line starts with the guest address of its first cell where there
 * is room. Free it with g_free(). */
char *map_draw(const struct map_state *state, const char *title,
               const struct map_style *style);

/* A state again and again in the same place of a terminal, or one below the
 * other in a file. A zeroed one begins. */
struct map_screen {
    unsigned nr_lines; /* that are there now */
};

void map_screen_show(struct map_screen *screen, const char *text,
                     bool terminal);

#endif /* VMEMCTL_MAP_DRAW_H */
