/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VMEMCTL_RIG_H
#define VMEMCTL_RIG_H

#include <stdbool.h>
#include <stdint.h>

#include <vmem/backing.h>
#include <vmem/device.h>

#include "shadow.h"
#include "trace.h"

/* A device of a trace, made for real: memory, region, device, and two listeners
 * that must be told the truth. */

struct rig_options {
    enum vmem_backing_kind kind;
    const char *path; /* VMEM_BACKING_FILE: all devices share one file */
    bool skip_discard;
    uint64_t fail_discard;             /* this discard fails; 0: none */
    const struct vmem_device_ops *ops; /* the device's; NULL: none */
    void *opaque;                      /* of ops */
};

#define RIG_NR_SHADOWS 2

struct rig {
    const struct trace_device *trace;
    struct vmem_backing *memory;  /* the real one */
    struct vmem_backing *wrapper; /* the faulty one around it, or NULL */
    struct vmem_region *region;
    struct vmem_device *device;
    struct shadow shadows[RIG_NR_SHADOWS]; /* block by block; whole runs */
    uint8_t *hva;
    bool frozen;
};

/* Who freezes while the recording was busy. */
#define RIG_FREEZER "recording"

/* Makes one; fd_offset says where in the file it starts. 0 or a negative errno,
 * and then there is nothing to free. */
int rig_init(struct rig *rig, struct vmem_vm *vm,
             const struct trace_device *device,
             const struct rig_options *options, uint64_t fd_offset,
             struct vmem_error *err);

/* Takes it apart, listeners first, but keeps what the shadows have to say. 0 or
 * the first negative errno. A zeroed rig is fine. */
int rig_dismantle(struct rig *rig, struct vmem_error *err);

/* Forgets the shadows, after rig_dismantle(). */
void rig_clear(struct rig *rig);

/* What the region uses. */
struct vmem_backing *rig_backing(const struct rig *rig);

/* Bytes plugged now, as the device says. */
uint64_t rig_plugged_size(const struct rig *rig);

#endif /* VMEMCTL_RIG_H */
