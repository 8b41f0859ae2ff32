/* SPDX-License-Identifier: BSD-3-Clause */
#include "grid.h"

/* While the changes are gone through: of each cell the plugged blocks, times the
 * share of its time, and the fewest and most at any moment. */
struct cell {
    double sum;
    uint64_t least;
    uint64_t most;
};

struct row {
    uint64_t first_block;
    uint64_t end_block;
    uint64_t nr_plugged;
    double column; /* up to where its cells are filled, in columns */
};

struct filling {
    struct row *rows;
    struct cell *cells;
    unsigned nr_rows;
    unsigned nr_columns;
    uint64_t nr_blocks;
};

/* Cell i of n begins here; shares differ by one block at most. */
static uint64_t share_start(uint64_t nr_blocks, unsigned n, unsigned i)
{
    return nr_blocks / n * i + nr_blocks % n * i / n;
}

static void note(struct filling *filling, unsigned r, double column)
{
    const struct row *row = &filling->rows[r];
    const unsigned c = MIN((unsigned)column, filling->nr_columns - 1);
    struct cell *cell = &filling->cells[r * filling->nr_columns + c];

    cell->least = MIN(cell->least, row->nr_plugged);
    cell->most = MAX(cell->most, row->nr_plugged);
}

/* A row stays as it is up to a moment. */
static void advance(struct filling *filling, unsigned r, double column)
{
    struct row *row = &filling->rows[r];

    while (row->column < column) {
        const unsigned c = (unsigned)row->column;
        const double end = MIN(column, c + 1.0);

        note(filling, r, row->column);
        filling->cells[r * filling->nr_columns + c].sum +=
            (double)row->nr_plugged * (end - row->column);
        row->column = end;
    }
}

static unsigned find_row(const struct filling *filling, uint64_t block)
{
    unsigned low = 0;
    unsigned high = filling->nr_rows - 1;

    while (low < high) {
        const unsigned middle = (low + high + 1) / 2;

        if (filling->rows[middle].first_block <= block) {
            low = middle;
        } else {
            high = middle - 1;
        }
    }
    return low;
}

static void apply(struct filling *filling, const struct history_change *change,
                  double column)
{
    const uint64_t end = change->first_block + change->nr_blocks;

    for (unsigned r = find_row(filling, change->first_block);
         r < filling->nr_rows && filling->rows[r].first_block < end; r++) {
        struct row *row = &filling->rows[r];
        const uint64_t first = MAX(row->first_block, change->first_block);
        const uint64_t nr_blocks = MIN(row->end_block, end) - first;

        advance(filling, r, column);
        row->nr_plugged += change->plugged ? nr_blocks : -nr_blocks;
        /* Also if it does not last. */
        note(filling, r, column);
    }
}

static uint8_t shade(const struct cell *cell, uint64_t nr_blocks)
{
    const double part = cell->sum / (double)nr_blocks;

    if (cell->most == 0) {
        return 0;
    }
    if (cell->least == nr_blocks) {
        return 4;
    }
    return part <= 1 / 3.0 ? 1 : part <= 2 / 3.0 ? 2 : 3;
}

static void fill(struct filling *filling, const struct history *history,
                 const struct history_device *device)
{
    const double from = history_from(history);
    const double span = history_until(history) - from;

    for (unsigned i = 0; i < device->changes->len; i++) {
        const struct history_change *change =
            &g_array_index(device->changes, struct history_change, i);

        apply(filling, change,
              (change->seconds - from) / span * filling->nr_columns);
    }
    for (unsigned r = 0; r < filling->nr_rows; r++) {
        advance(filling, r, filling->nr_columns);
    }
}

/* Rows of a power of two of blocks if they come out even: then what a guest
 * handles as one, such as a memory block of Linux, ends where a row ends. */
static unsigned choose_nr_rows(uint64_t nr_blocks, unsigned max_rows)
{
    uint64_t share = 1;

    while (nr_blocks / share > max_rows) {
        share *= 2;
    }
    return nr_blocks % share == 0 ? (unsigned)(nr_blocks / share) : max_rows;
}

struct grid *grid_new(const struct history *history, unsigned device,
                      unsigned max_rows, unsigned nr_columns)
{
    const struct history_device *of = history_get_device(history, device);
    const uint64_t nr_blocks = of->region_size / of->block_size;
    struct grid *grid = g_new0(struct grid, 1);
    struct filling filling = {
        .nr_rows = choose_nr_rows(nr_blocks, max_rows),
        .nr_columns = nr_columns,
        .nr_blocks = nr_blocks,
    };
    const unsigned nr_cells = filling.nr_rows * nr_columns;

    grid->nr_rows = filling.nr_rows;
    grid->nr_columns = nr_columns;
    grid->shades = g_malloc0(nr_cells);
    if (nr_cells == 0) {
        return grid;
    }
    filling.rows = g_new0(struct row, filling.nr_rows);
    filling.cells = g_new0(struct cell, nr_cells);
    for (unsigned r = 0; r < filling.nr_rows; r++) {
        filling.rows[r].first_block =
            share_start(nr_blocks, filling.nr_rows, r);
        filling.rows[r].end_block =
            share_start(nr_blocks, filling.nr_rows, r + 1);
    }
    for (unsigned i = 0; i < nr_cells; i++) {
        filling.cells[i].least = UINT64_MAX;
    }
    fill(&filling, history, of);
    for (unsigned i = 0; i < nr_cells; i++) {
        const struct row *row = &filling.rows[i / nr_columns];

        grid->shades[i] =
            shade(&filling.cells[i], row->end_block - row->first_block);
    }
    g_free(filling.rows);
    g_free(filling.cells);
    return grid;
}

void grid_free(struct grid *grid)
{
    g_free(grid->shades);
    g_free(grid);
}
