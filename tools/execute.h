/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VMEMCTL_EXECUTE_H
#define VMEMCTL_EXECUTE_H

#include "finding.h"
#include "vector_rig.h"

/* Does what a step of a vector says, as the transport of a host would, and
 * compares the answer; what must hold afterwards is not looked at. */
void execute_step(struct vector_rig *rig, const struct vector_step *step,
                  struct finding *finding);

#endif /* VMEMCTL_EXECUTE_H */
