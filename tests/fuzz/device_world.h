/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef TESTS_FUZZ_DEVICE_WORLD_H
#define TESTS_FUZZ_DEVICE_WORLD_H

#include "fuzz_check.h"
#include "fuzz_input.h"
#include "support/device_model.h"
#include "support/fake_backing.h"
#include "support/recorder.h"

#define NR_LISTENERS MODEL_MAX_LISTENERS
#define NR_OWNERS 2
#define MAX_BLOCKS 80
#define MAX_EVENTS 64

/* What was loaded at an event, for the replay. */
struct device_load {
    struct vmem_device_saved saved;
    uint64_t blocks[(MAX_BLOCKS + 63) / 64];
};

/* A device twice, and everything around it: memory and listeners that keep
 * shadows, notifications that are compared, a clock that is set. */
struct device_world {
    struct vmem_vm *vm;
    struct vmem_region *region;
    struct vmem_device *device;
    struct vmem_device_config config;
    struct fake_backing memory;
    struct recorder listeners[NR_LISTENERS];
    bool frozen_by[NR_OWNERS];
    bool is_nosy; /* callbacks call back into the library */
    uint64_t nr_blocks;
    uint64_t now_ns;
    bool written[MAX_BLOCKS];

    struct device_model model;
    /* What the model leaves out: how a resize goes, and counts. */
    uint64_t requested_ns;
    uint64_t nudged_ns;
    uint64_t last_progress_ns;
    bool has_asked; /* since the last resize or nudge */
    uint64_t nr_answers[4][4];
    uint64_t nr_malformed;
    uint64_t nr_resizes;
    uint64_t nr_resets;
    uint64_t nr_refused;
    bool is_busy;

    /* Notifications. */
    uint8_t told_config[VMEM_DEVICE_CONFIG_SIZE];
    uint64_t nr_config_changed;
    uint64_t nr_size_changed;
    bool was_told; /* the next two */
    uint32_t told_state;
    uint32_t told_reason;
    unsigned free_in; /* this notification frees the device; 0: none */

    /* Trace events, as they came. */
    bool is_traced;
    struct vmem_trace_event events[MAX_EVENTS];
    struct device_load loads[MAX_EVENTS]; /* of events that are loads */
    unsigned nr_events;                   /* also those that found no room */
    unsigned nr_events_before;
    uint64_t first_requested_size;

    const char *broken; /* the first wrong thing that a callback saw */

    uint8_t config_before[VMEM_DEVICE_CONFIG_SIZE];
    uint32_t generation_before;
    unsigned fail_alloc; /* this allocation fails; 0: none */
    bool failed_alloc;
};

extern const char *const device_world_owners[NR_OWNERS];

/* What the first bytes say; false if it cannot be made and was not. */
bool device_world_open(struct device_world *world, struct fuzz_input *input);
/* Frees the device, perhaps in one of its own notifications, and the rest. */
void device_world_close(struct device_world *world);

/* Before and after each step. */
void device_world_begin(struct device_world *world);
void device_world_check(struct device_world *world);

/* The model is as it will be after the call that follows: what notifications
 * shall find. */
void device_world_told(struct device_world *world);

/* The only event of this step, with this kind; NULL if nobody records. */
const struct vmem_trace_event *
device_world_event(const struct device_world *world, uint32_t kind);

struct vmem_source *device_world_source(const struct device_world *world);

#endif /* TESTS_FUZZ_DEVICE_WORLD_H */
