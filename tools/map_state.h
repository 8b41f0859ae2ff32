/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VMEMCTL_MAP_STATE_H
#define VMEMCTL_MAP_STATE_H

#include <stdbool.h>
#include <stdint.h>

#include <glib.h>

#include "report.h"
#include "shadow.h"
#include "watch.h"

/* Which blocks of which devices are plugged at one moment. */

struct map_device {
    char *name;
    uint64_t gpa;
    uint64_t region_size;
    uint64_t block_size;
    uint64_t requested; /* bytes, as the next three */
    uint64_t plugged;
    uint64_t retained;
    struct shadow blocks; /* a copy, without a listener */
    bool frozen;
};

struct map_state {
    GPtrArray *devices; /* of struct map_device */
    double seconds;
    uint64_t nr_requests;
};

/* Takes the state of a run at some moment. Free it with map_state_free(). */
struct map_state *map_state_take(const struct rig *rigs, unsigned nr_rigs,
                                 const struct watch_step *step);
/* NULL is allowed. */
void map_state_free(struct map_state *state);

/* As members of the JSON object that is open. */
void map_state_report(const struct map_state *state, struct report *report);

#endif /* VMEMCTL_MAP_STATE_H */
