/* SPDX-License-Identifier: BSD-3-Clause */
#include "map_draw.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "blockmap.h"
#include "units.h"

/* Fewer cells than that beside an address are worth less than the address. */
#define FEWEST_CELLS 16

static void G_GNUC_PRINTF(3, 4)
    add_line(GString *text, const struct map_style *style, const char *format,
             ...)
{
    g_autofree char *line = NULL;
    va_list args;

    va_start(args, format);
    line = g_strdup_vprintf(format, args);
    va_end(args);
    if (style->cuts && g_utf8_strlen(line, -1) > (glong)style->width) {
        *g_utf8_offset_to_pointer(line, (glong)style->width) = '\0';
    }
    g_string_append(text, line);
    g_string_append_c(text, '\n');
}

/* How a device's blocks are laid out. */
struct layout {
    unsigned address_width; /* 0: no addresses */
    unsigned cells;         /* a line */
    uint64_t blocks_per_cell;
};

static struct layout choose_layout(const struct map_device *device,
                                   const struct map_style *style)
{
    g_autofree char *last =
        g_strdup_printf("0x%" PRIx64, device->gpa + device->region_size);
    const unsigned beside = (unsigned)strlen(last) + 3; /* " |" and "|" */
    struct layout layout = { .cells = style->width, .blocks_per_cell = 1 };

    if (style->width >= beside + FEWEST_CELLS) {
        layout.address_width = (unsigned)strlen(last);
        layout.cells = style->width - beside;
        /* So that lines begin at round addresses. */
        layout.cells -= layout.cells % 8;
    }
    /* A power of two, as what a guest handles as one. */
    while (device->blocks.nr_blocks >
           layout.blocks_per_cell * layout.cells * style->lines) {
        layout.blocks_per_cell *= 2;
    }
    return layout;
}

static void draw_blocks(GString *text, const struct map_device *device,
                        const struct layout *layout,
                        const struct map_style *style)
{
    const uint64_t per_line = layout->blocks_per_cell * layout->cells;
    const struct shadow *blocks = &device->blocks;

    for (uint64_t first = 0; first < blocks->nr_blocks; first += per_line) {
        g_autofree char *line = blockmap_draw_cells(
            blocks->has + first, MIN(per_line, blocks->nr_blocks - first),
            layout->blocks_per_cell, style->unicode);

        if (layout->address_width > 0) {
            g_autofree char *address = g_strdup_printf(
                "0x%" PRIx64, device->gpa + first * device->block_size);

            add_line(text, style, "%*s |%s|", (int)layout->address_width,
                     address, line);
        } else {
            add_line(text, style, "%s", line);
        }
    }
}

static void draw_device(GString *text, const struct map_device *device,
                        const struct map_style *style)
{
    const struct layout layout = choose_layout(device, style);
    g_autofree char *plugged = units_format_bytes(device->plugged);
    g_autofree char *requested = units_format_bytes(device->requested);
    g_autofree char *retained = units_format_bytes(device->retained);
    g_autofree char *region = units_format_bytes(device->region_size);
    g_autofree char *block = units_format_bytes(device->block_size);
    g_autofree char *cell =
        units_format_bytes(layout.blocks_per_cell * device->block_size);

    add_line(text, style,
             "%s: %s plugged, %s requested, %s retained%s; %s in blocks of "
             "%s, a cell is %s",
             device->name, plugged, requested, retained,
             device->frozen ? ", host busy" : "", region, block, cell);
    draw_blocks(text, device, &layout, style);
}

char *map_draw(const struct map_state *state, const char *title,
               const struct map_style *style)
{
    GString *text = g_string_new(NULL);

    add_line(text, style, "%s: after %" PRIu64 " requests, at second %.3f",
             title, state->nr_requests, state->seconds);
    for (unsigned i = 0; i < state->devices->len; i++) {
        draw_device(text, g_ptr_array_index(state->devices, i), style);
    }
    add_line(text, style, "%s", blockmap_legend(style->unicode));
    return g_string_free(text, FALSE);
}

void map_screen_show(struct map_screen *screen, const char *text, bool terminal)
{
    if (terminal && screen->nr_lines > 0) {
        /* Up, and erase what is below. */
        printf("\033[%uA\r\033[J", screen->nr_lines);
    } else if (screen->nr_lines > 0) {
        putchar('\n');
    }
    fputs(text, stdout);
    fflush(stdout);
    screen->nr_lines = 0;
    for (const char *p = text; *p != '\0'; p++) {
        screen->nr_lines += *p == '\n';
    }
}
