/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef TESTS_LAB_WORLD_H
#define TESTS_LAB_WORLD_H

#include <stdbool.h>
#include <stdint.h>

#include <vmem/vmem.h>

#include "space.h"

/* A machine with one virtio-mem device on a memfd, and a mapper on a real address
 * space of the kernel. IOVAs are guest-physical addresses. */

#define MIB ((uint64_t)1 << 20)
#define GIB ((uint64_t)1 << 30)
#define PAGE ((uint64_t)4096)

#define WORLD_GPA (4 * GIB)

struct world {
    struct vmem_vm *vm;
    struct vmem_backing *backing;
    struct vmem_region *region;
    struct vmem_device *device;
    struct vmem_dma *dma;
    struct vmem_dma_attachment *attachment;
    uint8_t *hva; /* of the region's first byte */
    uint64_t block_size;
    uint64_t nr_blocks;
    uint64_t nr_logged; /* lines that the mapper logged */
};

/* The device of most steps: everything may be plugged. */
struct vmem_device_config world_device_config(uint64_t block_size,
                                              uint64_t requested_size);
/* Everything but mapper and attachment; the program ends with a note if
 * something cannot be made. */
void world_make(struct world *world, uint64_t region_size,
                const struct vmem_device_config *device);
/* Detaches and frees whatever is there. False if something does not go. */
bool world_free(struct world *world);

/* What the mapper is made with besides its name. */
struct vmem_dma_config world_dma_config(void);
/* A mapper on the space; ends the program if it cannot be made. */
void world_make_dma(struct world *world, const struct space *space,
                    const struct vmem_dma_config *config);
void world_free_dma(struct world *world);

/* The whole region at its GPA. 0 or a negative errno. */
int world_attach(struct world *world, uint64_t requested_size, uint64_t flags,
                 struct vmem_dma_verdict *verdict, struct vmem_error *err);
int world_detach(struct world *world);

/* Guest requests; the response type, or -1 if there was none. */
int world_request(struct world *world, uint16_t type, uint64_t gpa,
                  uint16_t nr_blocks);
int world_plug(struct world *world, uint64_t first_block, uint16_t nr_blocks);
int world_unplug(struct world *world, uint64_t first_block, uint16_t nr_blocks);
int world_unplug_all(struct world *world);

uint64_t world_nr_plugged(const struct world *world);
bool world_is_plugged(const struct world *world, uint64_t block);
uint64_t world_iova(const struct world *world, uint64_t block);
uint8_t *world_block(const struct world *world, uint64_t block);

/* Blocks in [first, first + nr) whose mapping in the kernel is not what plugged
 * says; each is asked at its first and its last page. Notes the first. */
uint64_t world_nr_wrong(const struct world *world, const struct space *space,
                        uint64_t first, uint64_t nr);
/* The same when nothing may be mapped. */
uint64_t world_nr_mapped(const struct world *world, const struct space *space);

struct vmem_dma_stats world_dma_stats(const struct world *world);

#endif /* TESTS_LAB_WORLD_H */
