/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef TESTS_STRESS_STAGE_H
#define TESTS_STRESS_STAGE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <vmem/vmem.h>

/* One of everything, and every call of the interface on it: what callbacks try
 * in order to learn which calls they may make. */

#define STAGE_UNIT ((uint64_t)4096)
#define STAGE_UNITS ((uint64_t)16)
#define STAGE_SIZE (STAGE_UNITS * STAGE_UNIT)

/* Whose callback is running, told to stage.inside. */
enum stage_callback {
    STAGE_LISTENER_POPULATE,
    STAGE_LISTENER_DISCARD,
    STAGE_LISTENER_MAY_DISCARD,
    STAGE_LISTENER_DESTROY,
    STAGE_MEMORY_DISCARD,
    STAGE_MEMORY_POPULATE,
    STAGE_MEMORY_ZERO,
    STAGE_MEMORY_USAGE,
    STAGE_MEMORY_DESTROY,
    STAGE_LOOSE_DISCARD, /* of a backing that no region uses */
    STAGE_WALK,
    STAGE_WITH_POPULATED,
    STAGE_REGION_LIST,
    STAGE_DEVICE_LIST,
    STAGE_CLAIM_LIST,
    STAGE_BITMAP_WALK,
    STAGE_CONFIG_CHANGED,
    STAGE_SIZE_CHANGED,
    STAGE_RESIZE_CHANGED,
    STAGE_TRACE,
    STAGE_WATCHER,
    STAGE_LOG,
    STAGE_DMA_MAP,
    STAGE_CALLBACKS
};

/* What the calls of the interface have in common. */
enum stage_group {
    STAGE_NAMES,
    STAGE_ASK,
    STAGE_WALK_OWN,
    STAGE_WALK_OTHER,
    STAGE_HOLD_OWN,
    STAGE_HOLD_OTHER,
    STAGE_LISTS,
    STAGE_MAPPED,
    STAGE_LOOSE,
    STAGE_BLOCKS,
    STAGE_SIZES,
    STAGE_FREEZE,
    STAGE_JOIN,
    STAGE_DMA,
    STAGE_MAKE,
    STAGE_FREE,
    STAGE_CLAIMS,
    STAGE_OTHER_VM,
    STAGE_GROUPS
};

struct stage_memory {
    struct stage *stage;
    bool is_loose;
    atomic_bool discard_fails;
};

struct stage {
    struct vmem_vm *vm;
    struct stage_memory memory;
    struct vmem_backing *backing;
    struct vmem_region *region; /* whose callbacks run: "own" */
    struct vmem_source *source;
    struct vmem_listener *listener;
    struct vmem_region *other;
    struct vmem_source *other_source;
    struct vmem_listener *other_listener;
    struct vmem_region *device_region;
    struct vmem_device *device;
    struct vmem_discard_claim *claim;
    struct stage_memory loose_memory;
    struct vmem_backing *loose; /* no region uses it */
    struct vmem_dma *dma;       /* whose callbacks run */
    struct vmem_dma *quiet_dma; /* that calls are about */
    struct vmem_dma *late_dma;
    struct vmem_dma_attachment *target; /* to quiet_dma; or NULL */
    struct vmem_vm *other_vm;
    struct vmem_region *other_vm_region;
    struct vmem_source *other_vm_source;

    /* What freeing calls may free, and what making calls made. */
    struct stage_memory spare_memory;
    struct vmem_backing *spare_backing;
    struct vmem_region *spare_region;
    struct vmem_region *spare_device_region;
    struct vmem_device *spare_device;
    struct vmem_listener *spare_listener;
    struct vmem_source *spare_source;
    struct vmem_discard_watcher *spare_watcher;
    struct vmem_discard_claim *spare_claim;
    struct vmem_dma *spare_dma;
    struct vmem_dma_attachment *spare_target; /* to late_dma; or NULL */
    struct vmem_dma *made_dma;
    struct vmem_vm *made_vm;
    struct vmem_region *made_region;
    struct vmem_backing *made_backings[3];
    struct vmem_device *made_device;
    _Atomic uint64_t now_ns;
    _Atomic uint64_t next_iova;
    void *mapped; /* what made_backings[1] describes */

    /* Called in each callback; set after stage_open(). */
    void (*inside)(struct stage *stage, enum stage_callback callback);
    void *user;
};

/* Everything is made, with [8,12) of both regions populated. False: it could
 * not be. */
bool stage_open(struct stage *stage);

/* Frees everything that is left; false if something refused. */
bool stage_close(struct stage *stage);

/* Does from a thread without locks what runs the callback. */
void stage_enter(struct stage *stage, enum stage_callback callback);

/* What is held in it: the change lock of stage.region, the lock of the machine's
 * lists, that of a mapper, or nothing. */
enum stage_lock {
    STAGE_NO_LOCK,
    STAGE_LIST_LOCK,
    STAGE_DMA_LOCK,
    STAGE_REGION_LOCK
};
enum stage_lock stage_lock_of(enum stage_callback callback);

const char *stage_callback_name(enum stage_callback callback);
const char *stage_group_name(enum stage_group group);
const char *stage_group_what(enum stage_group group);

struct stage_call {
    const char *functions; /* that it calls, separated by spaces */
    enum stage_group group;
    int allowed; /* what the call returns where it is allowed */
    int (*call)(struct stage *stage);
};

extern const struct stage_call stage_calls[];
extern const size_t stage_nr_calls;

#endif /* TESTS_STRESS_STAGE_H */
