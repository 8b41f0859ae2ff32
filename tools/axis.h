/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VMEMCTL_AXIS_H
#define VMEMCTL_AXIS_H

#include <stdint.h>

/* Where an axis has its marks, at round numbers, and what they are called. */
struct axis {
    double first; /* a multiple of step */
    double step;
    unsigned nr_marks;
    double unit;           /* what 1 on a label stands for */
    const char *unit_name; /* "GiB", "seconds", "minutes" ... */
    unsigned nr_decimals;
};

/* From least to most bytes, in at most max_marks steps that are powers of two. */
struct axis axis_of_bytes(uint64_t least, uint64_t most, unsigned max_marks);

/* From least to most seconds, in at most max_marks round steps. */
struct axis axis_of_seconds(double least, double most, unsigned max_marks);

/* Where mark i is, below nr_marks. */
static inline double axis_mark(const struct axis *axis, unsigned i)
{
    return axis->first + i * axis->step;
}

/* Its label. Free it with g_free(). */
char *axis_label(const struct axis *axis, unsigned i);

#endif /* VMEMCTL_AXIS_H */
