/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VMEMCTL_FINDING_H
#define VMEMCTL_FINDING_H

#include <stddef.h>
#include <stdint.h>

#include <glib.h>

/* The first thing that is wrong with a vector; what follows from it is not worth
 * a line. */
struct finding {
    char *message; /* NULL while there is none; free it with g_free() */
    int step;      /* of the vector; -1: before the first */
};

void finding_add(struct finding *finding, const char *format, ...)
    G_GNUC_PRINTF(2, 3);

/* Adds a finding when the two differ. */
void finding_compare(struct finding *finding, const char *what, uint64_t got,
                     uint64_t expected);
void finding_compare_bytes(struct finding *finding, const char *what,
                           const uint8_t *got, const uint8_t *expected,
                           size_t size);

#endif /* VMEMCTL_FINDING_H */
