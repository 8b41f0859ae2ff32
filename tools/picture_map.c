/* SPDX-License-Identifier: BSD-3-Clause */
#include <inttypes.h>

#include "grid.h"
#include "picture_parts.h"
#include "units.h"

/* A cell is two pixels wide, and at least so high: at most 420 times 146 of
 * them, each of at most some 16 characters. */
#define CELL_WIDTH 2.0
#define LEAST_CELL_HEIGHT 1.5

/* From light to dark, so that paper without colours shows them too. */
static const char *const fills[GRID_NR_SHADES] = {
    "#ffffff", "#c9e0f2", "#86b9de", "#3a87c0", "#0b4a80",
};

static const char *const meanings[GRID_NR_SHADES] = {
    "nothing plugged", "up to a third", "up to two thirds", "more",
    "all plugged",
};

/* The end of the run of cells of the same shade in a row. */
static unsigned run_end(const struct grid *grid, unsigned row, unsigned column)
{
    const uint8_t *cells = grid->shades + row * grid->nr_columns;
    unsigned end = column;

    while (end < grid->nr_columns && cells[end] == cells[column]) {
        end++;
    }
    return end;
}

/* Is there a run from column to end, neither longer nor shorter? */
static bool has_run(const struct grid *grid, unsigned row, unsigned column,
                    unsigned end, uint8_t shade)
{
    const uint8_t *cells = grid->shades + row * grid->nr_columns;

    return cells[column] == shade &&
           (column == 0 || cells[column - 1] != shade) &&
           run_end(grid, row, column) == end;
}

/* All rectangles of a shade are one path; rows that are alike are one
 * rectangle. */
static void draw_shade(struct svg *svg, const struct grid *grid, uint8_t shade)
{
    svg_add(svg, "<path class=\"shade-%u\" fill=\"%s\" d=\"", shade,
            fills[shade]);
    for (unsigned row = 0; row < grid->nr_rows; row++) {
        for (unsigned column = 0, end; column < grid->nr_columns;
             column = end) {
            unsigned last = row + 1;

            end = run_end(grid, row, column);
            if (grid->shades[row * grid->nr_columns + column] != shade ||
                (row > 0 && has_run(grid, row - 1, column, end, shade))) {
                continue;
            }
            while (last < grid->nr_rows &&
                   has_run(grid, last, column, end, shade)) {
                last++;
            }
            svg_add(svg, "M%u %uh%uv%uh-%uz", column, row, end - column,
                    last - row, end - column);
        }
    }
    svg_add(svg, "\"/>\n");
}

static void draw_cells(struct svg *svg, const struct grid *grid,
                       unsigned device, double top, double bottom)
{
    /* Rows count upwards. */
    svg_add(svg,
            "<g id=\"map-%u\" shape-rendering=\"crispEdges\" "
            "transform=\"translate(%.1f %.1f) scale(%.1f %.5f)\">\n",
            device, PICTURE_LEFT, bottom, CELL_WIDTH,
            -(bottom - top) / grid->nr_rows);
    for (uint8_t shade = 1; shade < GRID_NR_SHADES; shade++) {
        draw_shade(svg, grid, shade);
    }
    svg_add(svg, "</g>\n");
}

static void draw_addresses(struct svg *svg, const struct history_device *device,
                           double top, double bottom)
{
    const double scale = (bottom - top) / (double)device->region_size;
    const unsigned max_marks = bottom - top > 150 ? 5 : 3;
    const struct axis axis = axis_of_bytes(
        device->gpa, device->gpa + device->region_size, max_marks);
    g_autofree char *turn = g_strdup_printf(
        "text-anchor=\"middle\" transform=\"rotate(-90 30 %.1f)\"",
        (top + bottom) / 2);
    /* No more words than there is room for. */
    g_autofree char *title =
        bottom - top > 150
            ? g_strdup_printf("guest address (%s)", axis.unit_name)
            : g_strdup(axis.unit_name);

    for (unsigned i = 0; i < axis.nr_marks; i++) {
        const double y =
            bottom - (axis_mark(&axis, i) - (double)device->gpa) * scale;
        g_autofree char *label = axis_label(&axis, i);

        svg_line(svg, PICTURE_LEFT - 4, y, PICTURE_LEFT, y,
                 "stroke=\"#666666\"");
        svg_text(svg, PICTURE_LEFT - 8, y + 4,
                 PICTURE_SMALL " text-anchor=\"end\"", label);
    }
    svg_text(svg, 30, (top + bottom) / 2, turn, title);
}

void picture_map(struct svg *svg, const struct history *history,
                 unsigned device, double top, double bottom)
{
    const struct history_device *of = history_get_device(history, device);
    struct grid *grid = grid_new(
        history, device, (unsigned)((bottom - top) / LEAST_CELL_HEIGHT),
        (unsigned)((PICTURE_RIGHT - PICTURE_LEFT) / CELL_WIDTH));
    g_autofree char *region = units_format_bytes(of->region_size);
    g_autofree char *block = units_format_bytes(of->block_size);
    g_autofree char *heading = g_strdup_printf(
        "%s: blocks plugged; %s at 0x%" PRIx64 " in blocks of %s", of->name,
        region, of->gpa, block);

    svg_text(svg, PICTURE_LEFT, top - 9, NULL, heading);
    draw_cells(svg, grid, device, top, bottom);
    picture_grid(svg, history, top, bottom);
    picture_marks(svg, history, (int)device, top, bottom);
    draw_addresses(svg, of, top, bottom);
    grid_free(grid);
}

static bool has_mark(const struct history *history, enum watch_what what)
{
    for (unsigned i = 0; i < history->marks->len; i++) {
        if (g_array_index(history->marks, struct history_mark, i).what ==
            what) {
            return true;
        }
    }
    return false;
}

void picture_map_legend(struct svg *svg, const struct history *history,
                        double y)
{
    double x = PICTURE_LEFT;

    for (unsigned i = 0; i < GRID_NR_SHADES; i++) {
        g_autofree char *fill =
            g_strdup_printf("fill=\"%s\" stroke=\"#666666\"", fills[i]);

        svg_rect(svg, x, y - 10, 16, 12, fill);
        svg_text(svg, x + 22, y, PICTURE_SMALL, meanings[i]);
        x += 44 + 6.5 * (double)g_utf8_strlen(meanings[i], -1);
    }
    if (has_mark(history, WATCH_BUSY)) {
        svg_rect(svg, x, y - 10, 16, 12, PICTURE_HATCH);
        svg_text(svg, x + 22, y, PICTURE_SMALL, "host busy");
        x += 44 + 6.5 * 9;
    }
    if (has_mark(history, WATCH_RESET)) {
        svg_line(svg, x + 8, y - 11, x + 8, y + 3,
                 "stroke=\"#222222\" stroke-dasharray=\"1 3\"");
        svg_text(svg, x + 22, y, PICTURE_SMALL, "reset");
    }
}
