/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VMEMCTL_SIM_OPTIONS_H
#define VMEMCTL_SIM_OPTIONS_H

#include <stdbool.h>
#include <stdint.h>

#include <glib.h>

#include "rig.h"
#include "watch.h"

/* One entry of --resize. */
enum sim_step_kind {
    SIM_STEP_RESIZE = 1,
    SIM_STEP_REBOOT, /* the machine resets the device */
    SIM_STEP_KEXEC,
    SIM_STEP_RELOAD, /* of the driver */
};

struct sim_step {
    enum sim_step_kind kind;
    uint64_t size; /* RESIZE: bytes */
};

/* What vmemctl sim was asked for. */
struct sim_options {
    struct rig_options rig;
    const char *backing; /* as the user wrote it */
    uint64_t kind;       /* an enum vmem_guest_kind */
    uint64_t pattern;    /* an enum vmem_guest_pattern */
    uint64_t size;       /* of the region, bytes */
    uint64_t block_size;
    uint64_t memory_block;
    uint64_t seed;
    GArray *steps;          /* of struct sim_step */
    uint64_t veto_populate; /* a listener refuses this one; 0: none */
    uint64_t busy_from_ns;  /* the region is frozen from here ... */
    uint64_t busy_until_ns; /* ... to here; equal: never */
    bool touch;
    const char *trace;         /* file to write, or NULL */
    const struct watch *watch; /* looks on; NULL: nobody */
};

/* Each parses one option; false and an error when it is wrong. */
bool sim_options_parse_guest(struct sim_options *options, const char *text,
                             GError **error);
bool sim_options_parse_pattern(struct sim_options *options, const char *text,
                               GError **error);
bool sim_options_parse_steps(struct sim_options *options, const char *text,
                             GError **error);
bool sim_options_parse_fail(struct sim_options *options, const char *text,
                            GError **error);

/* Do they fit together? */
bool sim_options_check(const struct sim_options *options, GError **error);

#endif /* VMEMCTL_SIM_OPTIONS_H */
