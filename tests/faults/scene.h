/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef TESTS_FAULTS_SCENE_H
#define TESTS_FAULTS_SCENE_H

#include <stdbool.h>
#include <stdint.h>

#include <glib.h>

#include <vmem/vmem.h>

/* What the operations are done to: a machine with a region that has two sources
 * that discard, two listeners and memory of callbacks, and another region with a
 * device; with real memory of the kind that an operation asks for. All callbacks
 * are fault points. */

#define UNIT ((uint64_t)4096)
#define NR_UNITS 16
#define SIZE (NR_UNITS * UNIT)

/* What is in a unit of the memory of callbacks. */
enum content { ABSENT, CLEAN, DIRTY };

struct memory {
    struct vmem_backing *backing;
    uint8_t content[NR_UNITS];
    unsigned int nr_destroys;
    bool refuses; /* discards fail, without being a fault point */
};

struct follower {
    struct scene *scene;
    const char *name;
    struct vmem_listener *listener;
    bool has[NR_UNITS];
    unsigned int nr_destroys;
    bool in_batch;
};

struct scene {
    struct vmem_vm *vm;
    struct memory memory;
    struct vmem_region *region;
    struct vmem_source *a; /* blocks of one unit */
    struct vmem_source *b; /* blocks of four */
    struct follower followers[2];
    struct memory device_memory;
    struct vmem_region *device_region;
    struct vmem_device *device;
    struct follower device_follower;
    struct vmem_discard_claim *claim;
    struct vmem_discard_watcher *watcher;
    struct memory loose;

    /* Made by operations. */
    struct vmem_error err;
    struct vmem_vm *made_vm;
    struct vmem_region *made_region;
    struct vmem_source *made_source;
    struct vmem_device *made_device;
    struct vmem_backing *made_backing;
    struct vmem_discard_claim *made_claim;
    struct vmem_discard_watcher *made_watcher;
    struct follower made_follower;
    struct memory made_memory;
    struct vmem_bitmap *made_bitmap;
    const struct host_spec *spec;    /* of the operation */
    struct host_part *host;          /* of host operations, or NULL */
    struct vmem_region *host_region; /* while host operations have one */
    bool has_dma;                    /* dma operations have a mapper, or may */

    char complaint[256]; /* the first broken promise, or "" */
};

void complain(struct scene *scene, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* All that the library has to say of the scene, and all that listeners believe;
 * without what a failed discard may change: memory that is retained. */
void scene_open(struct scene *scene);
char *scene_describe(struct scene *scene);
char *scene_describe_all(struct scene *scene); /* with it */
void scene_close(struct scene *scene);

/* Memory that nobody wants is absent or retained, and nobody sees what somebody
 * left in it. Complains. */
void scene_check_memory(struct scene *scene);

/* The retained memory of both regions is given back. */
void scene_settle(struct scene *scene);

int make_memory(struct scene *scene, const char *name, struct memory *memory);
int follow(struct follower *follower, struct scene *scene,
           struct vmem_region *region, const char *name, uint64_t granularity,
           uint64_t flags);
int add_source(struct scene *scene, struct vmem_region *region,
               const char *name, uint64_t block_size, uint64_t flags,
               struct vmem_source **source);

extern const struct vmem_device_ops scene_device_ops;
void scene_on_claims(uint32_t claims, void *opaque);
void scene_on_log(const struct vmem_log_record *record, void *opaque);
uint64_t scene_clock_ns(void *opaque);
int scene_on_range(const struct vmem_range *range, void *opaque);

/* The response type, or what the library returned instead of 0. */
int send_request(struct scene *scene, uint16_t type, uint64_t first,
                 uint16_t nr);

struct vmem_range units(uint64_t first, uint64_t nr);

/* ---- operations ---- */

struct operation {
    const char *name;
    /* Returns what the library did; expected is what that is without faults.
     * Anything else is a failure. */
    int (*run)(struct scene *scene);
    int expected;
    void (*undo)(struct scene *scene); /* or NULL */
    /* Instead of "the state is as before", for operations whose error says how
     * far they got; or NULL. */
    void (*check_failed)(struct scene *scene, int ret);
    /* Made before and freed after it, outside of the counting; or NULL. False:
     * this machine cannot, and a SKIP line says why. */
    bool (*prepare)(struct scene *scene);
    void (*clean)(struct scene *scene);
    const struct host_spec *spec; /* of host operations */
    bool has_error;               /* scene->err was passed */
    bool pretends_huge;
};

extern const struct operation core_operations[];
extern const size_t nr_core_operations;
extern const struct operation device_operations[];
extern const size_t nr_device_operations;
extern const struct operation query_operations[];
extern const size_t nr_query_operations;
extern const struct operation host_operations[];
extern const size_t nr_host_operations;
extern const struct operation dma_operations[];
extern const size_t nr_dma_operations;

/* Of the host's part: added to the description, and what may be resident. */
void host_describe(struct scene *scene, GString *text);
void host_check_memory(struct scene *scene);

/* Of the mapper's part: what is stuck is tried again; added to the description,
 * after that. */
void dma_settle(struct scene *scene);
void dma_describe(struct scene *scene, GString *text);

#endif /* TESTS_FAULTS_SCENE_H */
