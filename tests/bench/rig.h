/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef TESTS_BENCH_RIG_H
#define TESTS_BENCH_RIG_H

#include <vmem/vmem.h>

#define RIG_MAX_LISTENERS 64
#define RIG_GPA ((uint64_t)1 << 40)

/* A machine with one region and what drives it: a source of the benchmark's own
 * or a virtio-mem device. Its memory is only pretended: discarding it does
 * nothing, so that what is measured is the library. */
struct rig {
    struct vmem_vm *vm;
    struct vmem_backing *backing;
    struct vmem_region *region;
    struct vmem_source *source; /* or NULL */
    struct vmem_device *device; /* or NULL */
    uint64_t size;
    uint64_t block_size;
    uint64_t nr_blocks;
    unsigned nr_listeners;
    struct vmem_listener *listeners[RIG_MAX_LISTENERS];
    struct vmem_dma *dma; /* or NULL */
    struct vmem_dma_attachment *attachment;
};

/* A source with a pattern. */
void rig_init_source(struct rig *rig, uint64_t size, uint64_t block_size,
                     const char *pattern);
/* A device that may plug everything, with a pattern plugged. */
void rig_init_device(struct rig *rig, uint64_t size, uint64_t block_size,
                     const char *pattern);
void rig_destroy(struct rig *rig);

/* A pattern as a source of the region, as unplugged as it says. */
struct vmem_source *rig_add_source(struct rig *rig, const char *name,
                                   uint64_t block_size, const char *pattern);

/* Listeners that do nothing but count. */
void rig_add_listeners(struct rig *rig, unsigned nr);
void rig_remove_listeners(struct rig *rig);
extern uint64_t rig_nr_callbacks;
int rig_populate(const struct vmem_range *range, void *opaque);
void rig_discard(const struct vmem_range *range, void *opaque);

/* A mapper whose backend does nothing, over all of the region. */
void rig_add_mapper(struct rig *rig, bool has_batches);
void rig_remove_mapper(struct rig *rig);

/* Requests lie in memory before they are handled, as a guest's do: bytes that
 * were only just stored piece by piece would be slow to load. */
struct rig_request {
    uint8_t bytes[VMEM_DEVICE_REQUEST_SIZE];
};
void rig_encode(struct rig_request *request, const struct rig *rig,
                uint16_t type, uint64_t block, uint16_t nr_blocks);

/* Each must be acknowledged. */
void rig_handle(struct rig *rig, const struct rig_request *requests,
                size_t nr_requests);

/* One request; returns the state. */
uint16_t rig_request(struct rig *rig, uint16_t type, uint64_t block,
                     uint16_t nr_blocks);
/* As many requests as it takes. */
void rig_plug_pattern(struct rig *rig, const char *pattern);
void rig_unplug_all(struct rig *rig);

#endif /* TESTS_BENCH_RIG_H */
