/* SPDX-License-Identifier: BSD-3-Clause */
#include "rig.h"

#include <string.h>

#include "bench.h"
#include "naive.h"
#include "support/quiet.h"

/* What one request can name. */
#define MAX_REQUEST_BLOCKS 65535

uint64_t rig_nr_callbacks;

int rig_populate(const struct vmem_range *range, void *opaque)
{
    (void)range;
    (void)opaque;
    rig_nr_callbacks++;
    return 0;
}

void rig_discard(const struct vmem_range *range, void *opaque)
{
    (void)range;
    (void)opaque;
    rig_nr_callbacks++;
}

static int pretend(const struct vmem_range *range, void *opaque)
{
    (void)range;
    (void)opaque;
    return 0;
}

static void keep_quiet(const struct vmem_log_record *record, void *opaque)
{
    (void)record;
    (void)opaque;
}

static void init(struct rig *rig, uint64_t size, uint64_t block_size)
{
    const struct vmem_vm_config vm = { .struct_size = sizeof(vm),
                                       .name = "bench",
                                       .log = keep_quiet };
    const struct vmem_backing_custom custom = { .struct_size = sizeof(custom),
                                                .name = "pretended",
                                                .size = size,
                                                .page_size = 4096 };
    const struct vmem_backing_ops ops = { .struct_size = sizeof(ops),
                                          .discard = pretend };
    struct vmem_region_config region = { .struct_size = sizeof(region),
                                         .name = "ram",
                                         .size = size };

    memset(rig, 0, sizeof(*rig));
    rig->size = size;
    rig->block_size = block_size;
    rig->nr_blocks = size / block_size;
    bench_check(vmem_vm_new(&vm, &rig->vm, NULL) == 0);
    bench_check(vmem_backing_new_custom(rig->vm, &custom, &ops, NULL,
                                        &rig->backing, NULL) == 0);
    region.backing = rig->backing;
    bench_check(vmem_region_new(rig->vm, &region, &rig->region, NULL) == 0);
}

struct filler {
    struct vmem_source *source;
    uint64_t block_size;
};

static int fill_run(const struct vmem_bitmap_run *run, void *opaque)
{
    const struct filler *filler = opaque;
    const struct vmem_range range = { run->first_block * filler->block_size,
                                      run->nr_blocks * filler->block_size };

    bench_check(vmem_source_populate(filler->source, &range, NULL) == 0);
    return 0;
}

struct vmem_source *rig_add_source(struct rig *rig, const char *name,
                                   uint64_t block_size, const char *pattern)
{
    const struct vmem_source_config config = { .struct_size = sizeof(config),
                                               .name = name,
                                               .block_size = block_size };
    struct filler filler = { .block_size = block_size };

    bench_check(vmem_source_add(rig->region, &config, &filler.source, NULL) ==
                0);
    pattern_for_each(pattern, rig->size / block_size, fill_run, &filler);
    return filler.source;
}

void rig_init_source(struct rig *rig, uint64_t size, uint64_t block_size,
                     const char *pattern)
{
    init(rig, size, block_size);
    rig->source = rig_add_source(rig, "blocks", block_size, pattern);
}

void rig_init_device(struct rig *rig, uint64_t size, uint64_t block_size,
                     const char *pattern)
{
    const struct vmem_device_config config = {
        .struct_size = sizeof(config),
        .name = "vmem0",
        .gpa = RIG_GPA,
        .block_size = block_size,
        .requested_size = size,
        .usable_policy = VMEM_USABLE_ALL,
    };

    init(rig, size, block_size);
    bench_check(vmem_device_new(rig->region, &config, NULL, NULL, &rig->device,
                                NULL) == 0);
    rig_plug_pattern(rig, pattern);
}

void rig_destroy(struct rig *rig)
{
    rig_remove_listeners(rig);
    bench_check(vmem_device_free(rig->device, NULL) == 0);
    bench_check(vmem_source_remove(rig->source, NULL) == 0);
    bench_check(vmem_region_free(rig->region, NULL) == 0);
    bench_check(vmem_backing_free(rig->backing, NULL) == 0);
    bench_check(vmem_vm_free(rig->vm, NULL) == 0);
}

void rig_add_listeners(struct rig *rig, unsigned nr)
{
    const struct vmem_listener_ops ops = { .struct_size = sizeof(ops),
                                           .populate = rig_populate,
                                           .discard = rig_discard };

    for (; nr > 0; nr--) {
        char name[16];
        const struct vmem_listener_config config = {
            .struct_size = sizeof(config),
            .name = name,
        };

        g_snprintf(name, sizeof(name), "listener%u", rig->nr_listeners);
        bench_check(vmem_listener_add(rig->region, &config, &ops, NULL,
                                      &rig->listeners[rig->nr_listeners++],
                                      NULL) == 0);
    }
}

void rig_remove_listeners(struct rig *rig)
{
    while (rig->nr_listeners > 0) {
        bench_check(vmem_listener_remove(rig->listeners[--rig->nr_listeners],
                                         NULL) == 0);
    }
}

static int commit(void *opaque)
{
    (void)opaque;
    return 0;
}

void rig_add_mapper(struct rig *rig, bool has_batches)
{
    const struct vmem_dma_config config = { .struct_size = sizeof(config),
                                            .name = "iommu0" };
    const struct vmem_dma_ops ops = { .struct_size = sizeof(ops),
                                      .map = quiet_map,
                                      .unmap = quiet_unmap,
                                      .commit = has_batches ? commit : NULL };
    const struct vmem_dma_attach_config ram = {
        .struct_size = sizeof(ram),
        .name = "ram",
        .region = rig->region,
        .iova = RIG_GPA,
        .hva = (void *)(uintptr_t)RIG_GPA,
    };

    bench_check(vmem_dma_new_custom(rig->vm, &config, NULL, &ops, NULL,
                                    &rig->dma, NULL) == 0);
    bench_check(vmem_dma_attach(rig->dma, &ram, NULL, &rig->attachment, NULL) ==
                0);
}

void rig_remove_mapper(struct rig *rig)
{
    bench_check(vmem_dma_detach(rig->attachment, NULL) == 0);
    bench_check(vmem_dma_free(rig->dma, NULL) == 0);
    rig->attachment = NULL;
    rig->dma = NULL;
}

void rig_encode(struct rig_request *request, const struct rig *rig,
                uint16_t type, uint64_t block, uint16_t nr_blocks)
{
    const uint64_t words[3] = {
        GUINT64_TO_LE((uint64_t)type),
        GUINT64_TO_LE(RIG_GPA + block * rig->block_size),
        GUINT64_TO_LE((uint64_t)nr_blocks),
    };

    memcpy(request->bytes, words, sizeof(words));
}

static void handle(struct rig *rig, const struct rig_request *request,
                   uint8_t response[VMEM_DEVICE_RESPONSE_SIZE])
{
    int ret = vmem_device_handle_request(rig->device, request->bytes,
                                         sizeof(request->bytes), response,
                                         VMEM_DEVICE_RESPONSE_SIZE, NULL);

    bench_check(ret == VMEM_REQUEST_RESPOND &&
                response[0] == VMEM_RESPONSE_ACK);
}

void rig_handle(struct rig *rig, const struct rig_request *requests,
                size_t nr_requests)
{
    uint8_t response[VMEM_DEVICE_RESPONSE_SIZE];

    for (size_t i = 0; i < nr_requests; i++) {
        handle(rig, &requests[i], response);
    }
}

uint16_t rig_request(struct rig *rig, uint16_t type, uint64_t block,
                     uint16_t nr_blocks)
{
    uint8_t response[VMEM_DEVICE_RESPONSE_SIZE];
    struct rig_request request;

    rig_encode(&request, rig, type, block, nr_blocks);
    handle(rig, &request, response);
    return (uint16_t)(response[8] | response[9] << 8);
}

static int plug_run(const struct vmem_bitmap_run *run, void *opaque)
{
    uint64_t left = run->nr_blocks;

    while (left > 0) {
        uint16_t nr_blocks = (uint16_t)MIN(left, MAX_REQUEST_BLOCKS);

        rig_request(opaque, VMEM_REQUEST_PLUG,
                    run->first_block + run->nr_blocks - left, nr_blocks);
        left -= nr_blocks;
    }
    return 0;
}

void rig_plug_pattern(struct rig *rig, const char *pattern)
{
    pattern_for_each(pattern, rig->nr_blocks, plug_run, rig);
}

void rig_unplug_all(struct rig *rig)
{
    rig_request(rig, VMEM_REQUEST_UNPLUG_ALL, 0, 0);
}
