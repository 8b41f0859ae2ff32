/* SPDX-License-Identifier: BSD-3-Clause */
#include "axis.h"

#include <math.h>

#include <glib.h>

/* The marks between, at multiples of the step. */
static void place(struct axis *axis, double least, double most)
{
    /* Not -0. */
    axis->first = ceil(least / axis->step) * axis->step + 0.0;
    axis->nr_marks =
        axis->first > most
            ? 0
            : 1 + (unsigned)((most - axis->first) / axis->step + 1e-6);
}

/* As many decimals as tell a step from 0. */
static unsigned decimals(double step, double unit)
{
    unsigned nr = 0;

    for (double rest = step / unit; nr < 6 && rest != floor(rest); rest *= 10) {
        nr++;
    }
    return nr;
}

struct axis axis_of_bytes(uint64_t least, uint64_t most, unsigned max_marks)
{
    static const char *const names[] = { "bytes", "KiB", "MiB", "GiB",
                                         "TiB",   "PiB", "EiB" };
    struct axis axis = { .step = 1, .unit = 1, .unit_name = names[0] };
    unsigned i = 0;

    while ((double)(most - least) / axis.step > max_marks) {
        axis.step *= 2;
    }
    while (i + 1 < G_N_ELEMENTS(names) && (double)most >= axis.unit * 1024) {
        axis.unit *= 1024;
        axis.unit_name = names[++i];
    }
    /* No labels such as 0.125. */
    if (i > 0 && axis.step * 4 < axis.unit) {
        axis.unit /= 1024;
        axis.unit_name = names[--i];
    }
    place(&axis, (double)least, (double)most);
    axis.nr_decimals = decimals(axis.step, axis.unit);
    return axis;
}

/* The longest of these that is at most a quarter of the span. */
static void choose_unit(struct axis *axis, double span)
{
    static const struct {
        double unit;
        const char *name;
    } units[] = { { 86400, "days" }, { 3600, "hours" }, { 60, "minutes" } };

    axis->unit = 1;
    axis->unit_name = "seconds";
    for (unsigned i = 0; i < G_N_ELEMENTS(units); i++) {
        if (span >= 4 * units[i].unit) {
            axis->unit = units[i].unit;
            axis->unit_name = units[i].name;
            return;
        }
    }
}

struct axis axis_of_seconds(double least, double most, unsigned max_marks)
{
    static const double mantissas[] = { 1, 2, 5 };
    const double span = most - least;
    struct axis axis = { .step = 0 };
    int exponent;

    choose_unit(&axis, span);
    /* Parts of a second down to microseconds, and no parts of a minute. */
    exponent = axis.unit == 1 ? -6 : 0;
    for (unsigned i = 0;; i++) {
        axis.step = axis.unit * mantissas[i % 3] * pow(10, exponent);
        if (span / axis.step <= max_marks) {
            break;
        }
        exponent += i % 3 == 2;
    }
    place(&axis, least, most);
    axis.nr_decimals = (unsigned)MAX(-exponent, 0);
    return axis;
}

char *axis_label(const struct axis *axis, unsigned i)
{
    return g_strdup_printf("%.*f", (int)axis->nr_decimals,
                           axis_mark(axis, i) / axis->unit);
}
