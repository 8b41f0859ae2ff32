/* SPDX-License-Identifier: BSD-3-Clause */
/* What the mapper adds to the calls that it makes: a backend whose calls do
 * nothing, against a plain loop of the same calls. On the kernel's interfaces
 * each call is one ioctl. */
#include <string.h>

#include "bench.h"
#include "rig.h"

#define BLOCK (2 * BENCH_MIB)
/* What one request of a guest plugs: 100 MiB. */
#define NR_REQUEST 50

static const struct bench_options *options;

/* Every call goes here, of the mapper and of the loop. */
static uint64_t nr_maps;
static uint64_t nr_unmaps;
static uint64_t nr_batches;
static uint64_t mapped_size;

static int map(const struct vmem_dma_mapping *mapping, void *opaque)
{
    (void)opaque;
    nr_maps++;
    mapped_size += mapping->size;
    return 0;
}

static int unmap(uint64_t iova, uint64_t size, uint64_t *unmapped, void *opaque)
{
    (void)iova;
    (void)opaque;
    nr_unmaps++;
    mapped_size -= size;
    *unmapped = size;
    return 0;
}

static void begin(void *opaque)
{
    (void)opaque;
    nr_batches++;
}

static int commit(void *opaque)
{
    (void)opaque;
    return 0;
}

/* A machine with a mapper, and the same calls through pointers. */
struct stage {
    struct rig rig;
    struct vmem_dma *dma;
    struct vmem_dma_attachment *attachment; /* or NULL */
    struct vmem_dma_attachment *target;     /* of a virtual IOMMU, or NULL */
    bool is_exact;
    bool has_batches;
    uint64_t nr_chunks; /* of the loop */
    struct rig_request requests[2];
    struct vmem_dma_ops ops;
};

static void attach(struct stage *stage)
{
    const struct vmem_dma_attach_config config = {
        .struct_size = sizeof(config),
        .name = "ram",
        .region = stage->rig.region,
        .iova = RIG_GPA,
        .hva = (void *)(uintptr_t)RIG_GPA,
    };

    bench_check(vmem_dma_attach(stage->dma, &config, NULL, &stage->attachment,
                                NULL) == 0);
}

static void detach(struct stage *stage)
{
    bench_check(vmem_dma_detach(stage->attachment, NULL) == 0);
    stage->attachment = NULL;
}

static void stage_init(struct stage *stage, uint64_t size, const char *pattern,
                       bool is_exact, bool has_batches)
{
    const struct vmem_dma_config config = { .struct_size = sizeof(config),
                                            .name = "iommu0" };
    const struct vmem_dma_properties properties = {
        .struct_size = sizeof(properties),
        .flags = is_exact ? VMEM_DMA_EXACT_UNMAP : 0,
    };

    memset(stage, 0, sizeof(*stage));
    stage->is_exact = is_exact;
    stage->ops.struct_size = sizeof(stage->ops);
    stage->ops.map = map;
    stage->ops.unmap = unmap;
    stage->has_batches = has_batches;
    if (has_batches) {
        stage->ops.begin = begin;
        stage->ops.commit = commit;
    }
    rig_init_device(&stage->rig, size, BLOCK, pattern);
    bench_check(vmem_dma_new_custom(stage->rig.vm, &config, &properties,
                                    &stage->ops, NULL, &stage->dma, NULL) == 0);
}

static void stage_destroy(struct stage *stage)
{
    bench_check(mapped_size == 0);
    bench_check(vmem_dma_free(stage->dma, NULL) == 0);
    rig_destroy(&stage->rig);
}

/* The chunks one by one, and a call for all of them or for each. */
static uint64_t loop(void *opaque)
{
    struct stage *stage = opaque;
    struct vmem_dma_mapping mapping = {
        .struct_size = sizeof(mapping),
        .size = BLOCK,
        .fd = -1,
        .protection = VMEM_DMA_READ | VMEM_DMA_WRITE,
    };
    uint64_t unmapped;

    if (stage->has_batches) {
        stage->ops.begin(NULL);
    }
    for (uint64_t i = 0; i < stage->nr_chunks; i++) {
        mapping.iova = RIG_GPA + i * BLOCK;
        mapping.hva = (void *)(uintptr_t)mapping.iova;
        bench_check(stage->ops.map(&mapping, NULL) == 0);
    }
    if (stage->has_batches) {
        bench_check(stage->ops.commit(NULL) == 0);
        stage->ops.begin(NULL);
    }
    if (stage->is_exact) {
        for (uint64_t i = 0; i < stage->nr_chunks; i++) {
            bench_check(stage->ops.unmap(RIG_GPA + i * BLOCK, BLOCK, &unmapped,
                                         NULL) == 0);
        }
    } else {
        bench_check(stage->ops.unmap(RIG_GPA, stage->nr_chunks * BLOCK,
                                     &unmapped, NULL) == 0);
    }
    if (stage->has_batches) {
        bench_check(stage->ops.commit(NULL) == 0);
    }
    return stage->nr_chunks;
}

static uint64_t attach_and_detach(void *opaque)
{
    struct stage *stage = opaque;

    attach(stage);
    detach(stage);
    return stage->nr_chunks;
}

static uint64_t plug_and_unplug(void *opaque)
{
    struct stage *stage = opaque;

    rig_handle(&stage->rig, stage->requests, 2);
    return stage->nr_chunks;
}

/* A guest with an IOMMU of its own maps blocks one by one, and unmaps all. */
static uint64_t map_as_guest(void *opaque)
{
    struct stage *stage = opaque;
    struct vmem_range block = { 0, BLOCK };

    for (uint64_t i = 0; i < stage->nr_chunks; i++) {
        bench_check(vmem_dma_viommu_map(stage->target, RIG_GPA + i * BLOCK,
                                        &block, VMEM_DMA_READ | VMEM_DMA_WRITE,
                                        NULL) == 0);
        block.offset += BLOCK;
    }
    bench_check(vmem_dma_viommu_unmap(stage->dma, RIG_GPA,
                                      stage->nr_chunks * BLOCK, NULL,
                                      NULL) == 0);
    return stage->nr_chunks;
}

/* Calls and allocations of one run. */
static const char *count(struct stage *stage, uint64_t (*run)(void *opaque))
{
    const uint64_t maps_before = nr_maps;
    const uint64_t unmaps_before = nr_unmaps;
    const uint64_t batches_before = nr_batches;
    const uint64_t allocations_before = bench_nr_allocations();
    uint64_t nr_allocations;

    run(stage);
    nr_allocations = bench_nr_allocations() - allocations_before;
    return g_strdup_printf("maps=%" G_GUINT64_FORMAT
                           " unmaps=%" G_GUINT64_FORMAT
                           " batches=%" G_GUINT64_FORMAT
                           " allocations=%" G_GUINT64_FORMAT " syscalls=%d",
                           nr_maps - maps_before, nr_unmaps - unmaps_before,
                           nr_batches - batches_before, nr_allocations,
                           bench_makes_syscalls(run, stage));
}

static void measure(struct stage *stage, const char *name,
                    uint64_t (*run)(void *opaque))
{
    struct bench_case bench = {
        .name = name,
        .params = g_strdup_printf(
            "region=%s block=%s chunks=%" G_GUINT64_FORMAT
            " unmap=%s batches=%d",
            bench_size(stage->rig.size), bench_size(BLOCK), stage->nr_chunks,
            stage->is_exact ? "each" : "run", stage->has_batches),
        .unit = "chunk",
        .nr_ops = stage->nr_chunks,
        .subject = { "mapper", run, NULL, stage },
        .reference = { "a loop of the same calls", loop, NULL, stage },
        .same_result = true,
    };

    run(stage);
    bench.counts = count(stage, run);
    bench_measure(&bench);
}

/* A guest's request of 100 MiB, mapped and unmapped again. */
static void measure_requests(uint64_t size, bool is_exact, bool has_batches)
{
    struct stage stage;

    stage_init(&stage, size, "empty", is_exact, has_batches);
    stage.nr_chunks = NR_REQUEST;
    rig_encode(&stage.requests[0], &stage.rig, VMEM_REQUEST_PLUG, 1000,
               NR_REQUEST);
    rig_encode(&stage.requests[1], &stage.rig, VMEM_REQUEST_UNPLUG, 1000,
               NR_REQUEST);
    attach(&stage);
    measure(&stage, "dma.request", plug_and_unplug);
    detach(&stage);
    stage_destroy(&stage);
}

/* A device that joins a machine whose memory is all plugged, and leaves. */
static void measure_attach(uint64_t size, bool is_exact)
{
    struct stage stage;

    stage_init(&stage, size, "full", is_exact, false);
    stage.nr_chunks = stage.rig.nr_blocks;
    measure(&stage, "dma.attach", attach_and_detach);
    stage_destroy(&stage);
}

static void attach_target(struct stage *stage)
{
    const struct vmem_dma_attach_config config = {
        .struct_size = sizeof(config),
        .name = "ram",
        .region = stage->rig.region,
        .hva = (void *)(uintptr_t)RIG_GPA,
        .flags = VMEM_DMA_VIOMMU,
    };

    bench_check(
        vmem_dma_attach(stage->dma, &config, NULL, &stage->target, NULL) == 0);
}

static void measure_guest(uint64_t size)
{
    struct stage stage;

    stage_init(&stage, size, "full", true, false);
    stage.nr_chunks = NR_REQUEST;
    attach_target(&stage);
    measure(&stage, "dma.viommu", map_as_guest);
    bench_check(vmem_dma_detach(stage.target, NULL) == 0);
    stage_destroy(&stage);
}

/* Books of one attachment: what is mapped, what is stuck, and with a commit what
 * was unmapped in the batch. */
static void report_memory(bool has_batches)
{
    const struct bench_case bench = {
        .name = "memory.attachment",
        .params = has_batches ? "region=64T block=2M batches=1"
                              : "region=64T block=2M batches=0",
        .unit = "bit",
        .reference = { .name = "blocks" },
    };
    struct stage stage;
    uint64_t before;

    stage_init(&stage, 64 * BENCH_TIB, "empty", false, has_batches);
    before = bench_allocated_bytes();
    attach(&stage);
    bench_report(&bench, (double)(bench_allocated_bytes() - before) * 8,
                 (double)stage.rig.nr_blocks);
    detach(&stage);
    stage_destroy(&stage);
}

int main(int argc, char **argv)
{
    options = bench_init(argc, argv);
    bench_start_thread();
    for (int has_batches = 0; has_batches <= 1; has_batches++) {
        report_memory(has_batches);
    }
    measure_requests(BENCH_TIB, false, true);
    measure_requests(64 * BENCH_TIB, false, true);
    measure_guest(BENCH_TIB);
    measure_guest(64 * BENCH_TIB);
    for (int is_exact = 0; is_exact <= 1; is_exact++) {
        measure_requests(BENCH_TIB, is_exact, false);
        measure_attach(16 * BENCH_GIB, is_exact);
        if (!options->quick) {
            measure_requests(64 * BENCH_TIB, is_exact, false);
            measure_attach(BENCH_TIB, is_exact);
        }
    }
    return 0;
}
