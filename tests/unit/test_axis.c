/* SPDX-License-Identifier: BSD-3-Clause */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>
#include <glib.h>

#include "axis.h"

#define KIB(n) ((uint64_t)(n) << 10)
#define MIB(n) ((uint64_t)(n) << 20)
#define GIB(n) ((uint64_t)(n) << 30)

/* All labels of an axis, with blanks between, and its unit. */
static char *describe(const struct axis *axis)
{
    GString *text = g_string_new(NULL);

    for (unsigned i = 0; i < axis->nr_marks; i++) {
        g_autofree char *label = axis_label(axis, i);

        g_string_append_printf(text, "%s ", label);
    }
    g_string_append(text, axis->unit_name);
    return g_string_free(text, FALSE);
}

static void bytes_have_round_marks_in_a_unit_that_fits(void **state)
{
    static const struct {
        uint64_t least;
        uint64_t most;
        unsigned max_marks;
        const char *expected;
    } cases[] = {
        { 0, GIB(1), 5, "0.00 0.25 0.50 0.75 1.00 GiB" },
        { 0, MIB(768), 5, "0 256 512 768 MiB" },
        { 0, MIB(640), 5, "0 128 256 384 512 640 MiB" },
        { 0, 1, 5, "0 1 bytes" },
        { 0, KIB(4), 5, "0 1 2 3 4 KiB" },
        { GIB(4), GIB(6), 5, "4.0 4.5 5.0 5.5 6.0 GiB" },
        { GIB(4), GIB(1028), 5, "0.25 0.50 0.75 1.00 TiB" },
        { GIB(4), GIB(4) + MIB(64), 5, "4096 4112 4128 4144 4160 MiB" },
        { 0, UINT64_MAX, 5, "0 4 8 12 16 EiB" },
    };

    (void)state;
    for (unsigned i = 0; i < G_N_ELEMENTS(cases); i++) {
        const struct axis axis =
            axis_of_bytes(cases[i].least, cases[i].most, cases[i].max_marks);
        g_autofree char *text = describe(&axis);

        assert_string_equal(text, cases[i].expected);
    }
}

static void seconds_become_minutes_hours_and_days(void **state)
{
    static const struct {
        double least;
        double most;
        unsigned max_marks;
        const char *expected;
    } cases[] = {
        { -0.1, 9.9, 10, "0 1 2 3 4 5 6 7 8 9 seconds" },
        { 6.6, 11.6, 5, "7 8 9 10 11 seconds" },
        { 6.6, 7.1, 5, "6.6 6.7 6.8 6.9 7.0 7.1 seconds" },
        { 0, 300, 10, "0 1 2 3 4 5 minutes" },
        { 0, 7200, 10, "0 20 40 60 80 100 120 minutes" },
        { 0, 5 * 3600, 10, "0 1 2 3 4 5 hours" },
        { 0, 86400 * 30.0, 10, "0 5 10 15 20 25 30 days" },
        { 1, 1, 10, "1.000000 seconds" },
    };

    (void)state;
    for (unsigned i = 0; i < G_N_ELEMENTS(cases); i++) {
        const struct axis axis =
            axis_of_seconds(cases[i].least, cases[i].most, cases[i].max_marks);
        g_autofree char *text = describe(&axis);

        assert_string_equal(text, cases[i].expected);
    }
}

static void marks_are_few_distinct_and_inside(void **state)
{
    g_autoptr(GRand) dice = g_rand_new_with_seed(11);

    (void)state;
    for (unsigned i = 0; i < 20000; i++) {
        /* What is left of a number of nine digits. */
        const double rounding = 3e-7;
        const double least = g_rand_double_range(dice, 0, 1e9);
        const double most =
            least + g_rand_double(dice) / (1 << g_rand_int_range(dice, 0, 20)) *
                        (double)(1 << g_rand_int_range(dice, 0, 30));
        const unsigned max_marks = (unsigned)g_rand_int_range(dice, 2, 12);
        const struct axis axis = axis_of_seconds(least, most, max_marks);
        g_autofree char *before = NULL;

        assert_in_range(axis.nr_marks, 0, max_marks + 1);
        for (unsigned k = 0; k < axis.nr_marks; k++) {
            g_autofree char *label = axis_label(&axis, k);

            assert_true(axis_mark(&axis, k) >= least - rounding);
            assert_true(axis_mark(&axis, k) <=
                        most + axis.step * 1e-3 + rounding);
            assert_true(before == NULL || strcmp(before, label) != 0);
            g_free(before);
            before = g_steal_pointer(&label);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bytes_have_round_marks_in_a_unit_that_fits),
        cmocka_unit_test(seconds_become_minutes_hours_and_days),
        cmocka_unit_test(marks_are_few_distinct_and_inside),
    };

    return cmocka_run_group_tests_name("axis", tests, NULL, NULL);
}
