/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VMEMCTL_VECTORS_H
#define VMEMCTL_VECTORS_H

#include "report.h"
#include "vectors_read.h"

/* What happened in one file, or several. */
struct vectors_totals {
    uint64_t nr_passed;
    uint64_t nr_failed;
};

/* Runs every vector of a file on a machine of its own, without real memory,
 * reports a line for each that fails, and adds to the totals. */
void vectors_run(const struct vectors *vectors, struct report *report,
                 struct vectors_totals *totals);

#endif /* VMEMCTL_VECTORS_H */
