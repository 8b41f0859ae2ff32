/* SPDX-License-Identifier: BSD-3-Clause */
#include "blockmap.h"

#include <glib.h>

/* Empty, three shades, full. */
static const char *const unicode_cells[] = { "·", "░", "▒", "▓", "█" };
static const char *const ascii_cells[] = { ".", "-", "+", "*", "#" };

static unsigned shade(uint64_t plugged, uint64_t share)
{
    if (plugged == 0) {
        return 0;
    }
    if (plugged == share) {
        return 4;
    }
    /* 1, 2 or 3, a third each. */
    return 1 + (unsigned)(plugged * 3 / share);
}

static void append_cell(GString *line, const uint8_t *has, uint64_t nr_blocks,
                        const char *const *cells)
{
    uint64_t plugged = 0;

    for (uint64_t block = 0; block < nr_blocks; block++) {
        plugged += has[block] != 0;
    }
    g_string_append(line, cells[shade(plugged, nr_blocks)]);
}

char *blockmap_draw(const uint8_t *has, uint64_t nr_blocks, unsigned width,
                    bool unicode)
{
    const char *const *cells = unicode ? unicode_cells : ascii_cells;
    uint64_t nr_cells = MIN(nr_blocks, width);
    GString *line = g_string_new(NULL);
    uint64_t block = 0;

    for (uint64_t cell = 0; cell < nr_cells; cell++) {
        /* Shares differ by one block at most; rest * cell cannot wrap, both
         * being less than width. */
        uint64_t rest = nr_blocks % nr_cells;
        uint64_t end =
            nr_blocks / nr_cells * (cell + 1) + rest * (cell + 1) / nr_cells;

        append_cell(line, has + block, end - block, cells);
        block = end;
    }
    return g_string_free(line, FALSE);
}

char *blockmap_draw_cells(const uint8_t *has, uint64_t nr_blocks,
                          uint64_t blocks_per_cell, bool unicode)
{
    const char *const *cells = unicode ? unicode_cells : ascii_cells;
    GString *line = g_string_new(NULL);

    for (uint64_t block = 0; block < nr_blocks; block += blocks_per_cell) {
        append_cell(line, has + block, MIN(blocks_per_cell, nr_blocks - block),
                    cells);
    }
    return g_string_free(line, FALSE);
}

const char *blockmap_legend(bool unicode)
{
    return unicode ? "· none  ░▒▓ some  █ all plugged"
                   : ". none  -+* some  # all plugged";
}

void blockmap_report(struct report *report, const struct shadow *blocks)
{
    report_open_array(report, "plugged_blocks");
    for (uint64_t end, first = shadow_find(blocks, 0, 1);
         first < blocks->nr_blocks; first = shadow_find(blocks, end, 1)) {
        end = shadow_find(blocks, first, 0);
        report_open_array(report, NULL);
        report_number(report, NULL, first);
        report_number(report, NULL, end - first);
        report_close_array(report);
    }
    report_close_array(report);
}
