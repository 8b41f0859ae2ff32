/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VMEMCTL_VECTOR_RIG_H
#define VMEMCTL_VECTOR_RIG_H

#include <stdbool.h>
#include <stdint.h>

#include <vmem/device.h>

#include "report.h"
#include "shadow.h"
#include "vectors_read.h"

/* The device of a vector, with the part of a transport that matters: on memory
 * that only pretends, and that fails when told to. */
struct vector_rig {
    const struct vector *vector;
    struct vmem_vm *vm;
    struct vmem_backing *backing; /* NULL if the region has size 0 */
    struct vmem_region *region;
    struct vmem_device *device;
    struct shadow shadow;
    uint64_t nr_notifications; /* config_changed so far */
    bool frozen;
    bool fails_populate; /* the next that is asked, until the request ends */
    bool fails_discard;
    bool has_failed;  /* one of them did */
    bool needs_reset; /* latched; nothing is processed any more */
};

/* Who freezes while a vector is busy. */
#define VECTOR_RIG_FREEZER "busy"

/* Makes it, with the vector's blocks plugged. 0 or a negative errno, and then
 * *refused says whether it was the region or device that was refused, rather than
 * the host that had no memory, and there is nothing to free. */
int vector_rig_init(struct vector_rig *rig, const struct vector *vector,
                    struct report *report, bool *refused,
                    struct vmem_error *err);

/* Takes it apart. 0 or a negative errno; keeps the shadow's complaint. */
int vector_rig_dismantle(struct vector_rig *rig, struct vmem_error *err);

#endif /* VMEMCTL_VECTOR_RIG_H */
