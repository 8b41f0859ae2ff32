/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VMEMCTL_VECTORS_STEP_H
#define VMEMCTL_VECTORS_STEP_H

#include "schema.h"
#include "vectors_read.h"

/* The steps of a vector; part of the reader. */

/* An empty array of struct vector_step that frees what they hold. */
GArray *vectors_step_new_array(void);

/* Reads one and appends it, whole or refused. */
void vectors_step_read(struct schema *schema, JsonObject *from,
                       const struct vector_device *device, GArray *steps);

/* A member [[first, nr_blocks], ...]: ascending runs inside the region. An array
 * of struct vector_run, also when it is refused. */
GArray *vectors_step_read_runs(struct schema *schema, JsonObject *object,
                               const char *name,
                               const struct vector_device *device);

#endif /* VMEMCTL_VECTORS_STEP_H */
