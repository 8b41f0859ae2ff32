/* SPDX-License-Identifier: BSD-3-Clause */
#include <inttypes.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>
#include <glib.h>

#include "grid.h"

/* The cells of a picture's map against a second computation, which looks at every
 * change for every cell. */

#define NR_RUNS 3000
#define MIB ((uint64_t)1 << 20)

static void free_device(void *item)
{
    struct history_device *device = item;

    g_array_unref(device->changes);
    g_free(device);
}

/* Blocks go and come at random times, some at the same. */
static void add_changes(struct history *history, struct history_device *device,
                        uint64_t nr_blocks, GRand *dice)
{
    g_autofree bool *plugged = g_new0(bool, nr_blocks);
    const int nr_changes = g_rand_int_range(dice, 0, 60);
    double now = g_rand_double(dice) * 10;

    history->start_seconds = now;
    for (int i = 0; i < nr_changes; i++) {
        struct history_change change = {
            .first_block =
                (uint64_t)g_rand_int_range(dice, 0, (gint32)nr_blocks),
            .nr_blocks = 0,
        };
        uint64_t end = change.first_block;

        change.plugged = !plugged[end];
        while (
            end < nr_blocks && plugged[end] != change.plugged &&
            (end == change.first_block || g_rand_int_range(dice, 0, 5) > 0)) {
            plugged[end++] = change.plugged;
        }
        change.nr_blocks = end - change.first_block;
        now += g_rand_int_range(dice, 0, 3) == 0 ? 0 : g_rand_double(dice);
        change.seconds = now;
        g_array_append_val(device->changes, change);
    }
    history->end_seconds = now + g_rand_double(dice);
}

static struct history *make_history(GRand *dice, uint64_t *nr_blocks)
{
    struct history *history = g_new0(struct history, 1);
    struct history_device *device = g_new0(struct history_device, 1);

    *nr_blocks = (uint64_t)g_rand_int_range(dice, 1, 70);
    device->block_size = 2 * MIB;
    device->region_size = *nr_blocks * device->block_size;
    device->changes = g_array_new(FALSE, FALSE, sizeof(struct history_change));
    history->devices = g_ptr_array_new_with_free_func(free_device);
    g_ptr_array_add(history->devices, device);
    add_changes(history, device, *nr_blocks, dice);
    return history;
}

/* How many blocks of [first, end) a change plugs; negative: unplugs. */
static int64_t effect(const struct history_change *change, uint64_t first,
                      uint64_t end)
{
    const uint64_t low = MAX(first, change->first_block);
    const uint64_t high = MIN(end, change->first_block + change->nr_blocks);
    const int64_t nr = high > low ? (int64_t)(high - low) : 0;

    return change->plugged ? nr : -nr;
}

/* What a cell must be; -1 if it is so near to a limit that rounding decides. */
static int judge(const struct history *history, uint64_t first, uint64_t end,
                 double from, double until)
{
    const GArray *changes = history_get_device(history, 0)->changes;
    const int64_t all = (int64_t)(end - first);
    int64_t now = 0;
    int64_t least = all;
    int64_t most = 0;
    double sum = 0;
    double since = from;
    unsigned i = 0;

    for (; i < changes->len; i++) {
        const struct history_change *change =
            &g_array_index(changes, struct history_change, i);

        if (change->seconds >= from) {
            break;
        }
        now += effect(change, first, end);
    }
    least = most = now;
    for (; i < changes->len; i++) {
        const struct history_change *change =
            &g_array_index(changes, struct history_change, i);

        if (change->seconds >= until) {
            break;
        }
        sum += (double)now * (change->seconds - since);
        since = change->seconds;
        now += effect(change, first, end);
        least = MIN(least, now);
        most = MAX(most, now);
    }
    sum += (double)now * (until - since);
    sum /= (double)all * (until - from);
    if (most == 0) {
        return 0;
    }
    if (least == all) {
        return 4;
    }
    if (fabs(sum - 1 / 3.0) < 1e-6 || fabs(sum - 2 / 3.0) < 1e-6) {
        return -1;
    }
    return sum <= 1 / 3.0 ? 1 : sum <= 2 / 3.0 ? 2 : 3;
}

/* Rows share the blocks evenly. */
static uint64_t row_start(uint64_t nr_blocks, unsigned nr_rows, unsigned row)
{
    return nr_blocks * row / nr_rows;
}

static unsigned compare(const struct history *history, const struct grid *grid,
                        uint64_t nr_blocks, unsigned run)
{
    const double from = history_from(history);
    const double width = (history_until(history) - from) / grid->nr_columns;
    unsigned nr_shades = 0;

    for (unsigned i = 0; i < grid->nr_rows * grid->nr_columns; i++) {
        const unsigned row = i / grid->nr_columns;
        const unsigned column = i % grid->nr_columns;
        const int expected =
            judge(history, row_start(nr_blocks, grid->nr_rows, row),
                  row_start(nr_blocks, grid->nr_rows, row + 1),
                  from + column * width, from + (column + 1) * width);

        if (expected >= 0 && grid->shades[i] != expected) {
            fail_msg("run %u, row %u, column %u: %u, must be %d", run, row,
                     column, grid->shades[i], expected);
        }
        nr_shades |= 1u << grid->shades[i];
    }
    return nr_shades;
}

static void cells_are_what_a_second_computation_says(void **state)
{
    g_autoptr(GRand) dice = g_rand_new_with_seed(20260901);
    unsigned nr_shades = 0;

    (void)state;
    for (unsigned run = 0; run < NR_RUNS; run++) {
        uint64_t nr_blocks = 0;
        struct history *history = make_history(dice, &nr_blocks);
        const unsigned max_rows = (unsigned)g_rand_int_range(dice, 1, 40);
        const unsigned nr_columns = (unsigned)g_rand_int_range(dice, 1, 40);
        struct grid *grid = grid_new(history, 0, max_rows, nr_columns);

        assert_in_range(grid->nr_rows, 1, MIN(max_rows, nr_blocks));
        assert_int_equal(grid->nr_columns, nr_columns);
        nr_shades |= compare(history, grid, nr_blocks, run);
        grid_free(grid);
        g_ptr_array_unref(history->devices);
        g_free(history);
    }
    /* All shades were met. */
    assert_int_equal(nr_shades, (1 << GRID_NR_SHADES) - 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(cells_are_what_a_second_computation_says),
    };

    return cmocka_run_group_tests_name("grid", tests, NULL, NULL);
}
