/* SPDX-License-Identifier: BSD-3-Clause */
#include "world.h"

#include <stdlib.h>
#include <string.h>

#include "result.h"

/* The program cannot go on; the runner counts its status as a failure. */
static void need(int ret, const char *what, const struct vmem_error *err)
{
    if (ret < 0) {
        result_note("%s: %d, %s", what, ret, err->message);
        exit(2);
    }
}

/* What the device says of its guest is of no interest here. */
static void count_log(const struct vmem_log_record *record, void *opaque)
{
    struct world *world = opaque;
    if (strncmp(record->object, "edu", 3) == 0) {
        world->nr_logged++;
        result_note("log: %s: %s", record->object, record->message);
    }
}

struct vmem_device_config world_device_config(uint64_t block_size,
                                              uint64_t requested_size)
{
    return (struct vmem_device_config){
        .struct_size = sizeof(struct vmem_device_config),
        .name = "vmem0",
        .gpa = WORLD_GPA,
        .block_size = block_size,
        .requested_size = requested_size,
        .usable_policy = VMEM_USABLE_ALL,
    };
}

void world_make(struct world *world, uint64_t region_size,
                const struct vmem_device_config *device)
{
    struct vmem_error err = VMEM_ERROR_INIT;
    *world = (struct world){ .block_size = device->block_size,
                             .nr_blocks = region_size / device->block_size };
    const struct vmem_vm_config vm = { .struct_size = sizeof(vm),
                                       .name = "lab",
                                       .log = count_log,
                                       .opaque = world };
    need(vmem_vm_new(&vm, &world->vm, &err), "machine", &err);
    const struct vmem_backing_config memory = { .struct_size = sizeof(memory),
                                                .name = "memory",
                                                .size = region_size,
                                                .kind = VMEM_BACKING_MEMFD };
    need(vmem_backing_new_allocated(world->vm, &memory, &world->backing, &err),
         "memory", &err);
    struct vmem_backing_info info = { .struct_size = sizeof(info) };
    vmem_backing_get_info(world->backing, &info);
    world->hva = info.hva;
    const struct vmem_region_config region = { .struct_size = sizeof(region),
                                               .name = "region",
                                               .backing = world->backing };
    need(vmem_region_new(world->vm, &region, &world->region, &err), "region",
         &err);
    need(vmem_device_new(world->region, device, NULL, NULL, &world->device,
                         &err),
         "device", &err);
}

bool world_free(struct world *world)
{
    struct vmem_error err = VMEM_ERROR_INIT;
    const bool is_gone = vmem_dma_detach(world->attachment, &err) == 0 &&
                         vmem_dma_free(world->dma, &err) == 0 &&
                         vmem_device_free(world->device, &err) == 0 &&
                         vmem_region_free(world->region, &err) == 0 &&
                         vmem_backing_free(world->backing, &err) == 0 &&
                         vmem_vm_free(world->vm, &err) == 0;
    if (!is_gone) {
        result_note("something does not go: %s", err.message);
    }
    return is_gone;
}

struct vmem_dma_config world_dma_config(void)
{
    return (struct vmem_dma_config){ .struct_size =
                                         sizeof(struct vmem_dma_config),
                                     .name = "edu" };
}

void world_make_dma(struct world *world, const struct space *space,
                    const struct vmem_dma_config *config)
{
    struct vmem_error err = VMEM_ERROR_INIT;
    const struct vmem_dma_config usual = world_dma_config();
    const int ret =
        space->kind == SPACE_IOMMUFD
            ? vmem_dma_new_iommufd(world->vm, config ? config : &usual,
                                   space->fd, space->ioas_id, &world->dma, &err)
            : vmem_dma_new_type1(world->vm, config ? config : &usual, space->fd,
                                 &world->dma, &err);
    need(ret, "mapper", &err);
}

void world_free_dma(struct world *world)
{
    struct vmem_error err = VMEM_ERROR_INIT;
    need(vmem_dma_free(world->dma, &err), "freeing the mapper", &err);
    world->dma = NULL;
}

int world_attach(struct world *world, uint64_t requested_size, uint64_t flags,
                 struct vmem_dma_verdict *verdict, struct vmem_error *err)
{
    const struct vmem_dma_attach_config config = {
        .struct_size = sizeof(config),
        .name = "vmem0",
        .region = world->region,
        .iova = flags & VMEM_DMA_VIOMMU ? 0 : WORLD_GPA,
        .requested_size = requested_size,
        .flags = flags
    };
    return vmem_dma_attach(world->dma, &config, verdict, &world->attachment,
                           err);
}

int world_detach(struct world *world)
{
    struct vmem_error err = VMEM_ERROR_INIT;
    const int ret = vmem_dma_detach(world->attachment, &err);
    if (ret < 0) {
        result_note("detaching: %s", err.message);
    } else {
        world->attachment = NULL;
    }
    return ret;
}

static void put_le(uint8_t *bytes, uint64_t value, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        bytes[i] = (uint8_t)(value >> (8 * i));
    }
}

int world_request(struct world *world, uint16_t type, uint64_t gpa,
                  uint16_t nr_blocks)
{
    uint8_t request[VMEM_DEVICE_REQUEST_SIZE] = { 0 };
    uint8_t response[VMEM_DEVICE_RESPONSE_SIZE] = { 0 };
    struct vmem_request_result told = { .struct_size = sizeof(told) };
    put_le(request, type, 2);
    put_le(request + 8, gpa, 8);
    put_le(request + 16, nr_blocks, 2);
    const int ret =
        vmem_device_handle_request(world->device, request, sizeof(request),
                                   response, sizeof(response), &told);
    return ret == VMEM_REQUEST_RESPOND ? (int)told.response : -1;
}

int world_plug(struct world *world, uint64_t first_block, uint16_t nr_blocks)
{
    return world_request(world, VMEM_REQUEST_PLUG,
                         world_iova(world, first_block), nr_blocks);
}

int world_unplug(struct world *world, uint64_t first_block, uint16_t nr_blocks)
{
    return world_request(world, VMEM_REQUEST_UNPLUG,
                         world_iova(world, first_block), nr_blocks);
}

int world_unplug_all(struct world *world)
{
    return world_request(world, VMEM_REQUEST_UNPLUG_ALL, 0, 0);
}

uint64_t world_nr_plugged(const struct world *world)
{
    struct vmem_device_info info = { .struct_size = sizeof(info) };
    vmem_device_get_info(world->device, &info);
    return info.plugged_size / world->block_size;
}

bool world_is_plugged(const struct world *world, uint64_t block)
{
    const struct vmem_range range = { block * world->block_size,
                                      world->block_size };
    return vmem_region_is_populated(world->region, &range);
}

uint64_t world_iova(const struct world *world, uint64_t block)
{
    return WORLD_GPA + block * world->block_size;
}

uint8_t *world_block(const struct world *world, uint64_t block)
{
    return world->hva + block * world->block_size;
}

static bool is_wrong(const struct world *world, const struct space *space,
                     uint64_t block, bool should_be_mapped)
{
    const uint64_t first = world_iova(world, block);
    const uint64_t pages[] = { first, first + world->block_size - PAGE };
    for (size_t i = 0; i < 2; i++) {
        const int found = space_is_mapped(space, pages[i]);
        if (found != should_be_mapped) {
            result_note("block %llu, IOVA %#llx: mapped %d, not %d",
                        (unsigned long long)block, (unsigned long long)pages[i],
                        found, should_be_mapped);
            return true;
        }
    }
    return false;
}

uint64_t world_nr_wrong(const struct world *world, const struct space *space,
                        uint64_t first, uint64_t nr)
{
    uint64_t nr_wrong = 0;
    for (uint64_t i = first; i < first + nr && i < world->nr_blocks; i++) {
        if (nr_wrong < 4) {
            nr_wrong += is_wrong(world, space, i, world_is_plugged(world, i));
        }
    }
    return nr_wrong;
}

uint64_t world_nr_mapped(const struct world *world, const struct space *space)
{
    uint64_t nr_mapped = 0;
    for (uint64_t i = 0; i < world->nr_blocks; i++) {
        nr_mapped += space_is_mapped(space, world_iova(world, i)) != 0;
    }
    return nr_mapped;
}

struct vmem_dma_stats world_dma_stats(const struct world *world)
{
    struct vmem_dma_stats stats = { .struct_size = sizeof(stats) };
    vmem_dma_get_stats(world->dma, &stats);
    return stats;
}
