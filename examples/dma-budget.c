/* SPDX-License-Identifier: BSD-3-Clause */
/* Does my memory fit the mappings of the IOMMU, and what happens if not? */
#include <stdio.h>
#include <stdlib.h>

#include <vmem/vmem.h>

#define MIB ((uint64_t)1024 * 1024)
#define GIB (1024 * MIB)

static struct vmem_vm *vm;
static struct vmem_backing *memory;
static struct vmem_region *ram;
static struct vmem_source *plugged;
static struct vmem_dma *dma;
static struct vmem_dma_attachment *attachment;
static const char *const fits[] = { "?", "ok", "tight", "impossible" };

//! [plan]
/* Before there is a machine: a VFIO container has 65,535 mappings. */
static int plan(uint64_t region_size, struct vmem_error *err)
{
    const struct vmem_dma_plan_config config = {
        sizeof(config), .region_size = region_size, .block_size = 2 * MIB,
        .requested_size = 4 * GIB, .max_mappings = 65535
    };
    struct vmem_dma_verdict verdict = { .struct_size = sizeof(verdict) };

    if (vmem_dma_plan(&config, &verdict, err) < 0) {
        return err->code;
    }
    printf("%u GiB: %s, %u mappings now, %u at worst, fits blocks of %u MiB\n",
           (unsigned)(region_size / GIB), fits[verdict.fit],
           (unsigned)verdict.nr_requested, (unsigned)verdict.nr_worst_case,
           (unsigned)(verdict.recommended_block_size / MIB));
    return 0;
}
//! [plan]

static int map(const struct vmem_dma_mapping *mapping, void *opaque)
{
    (void)mapping;
    (void)opaque;
    return 0;
}

static int unmap(uint64_t iova, uint64_t size, uint64_t *unmapped, void *opaque)
{
    (void)iova;
    (void)opaque;
    *unmapped = size;
    return 0;
}

//! [attach]
/* Eight mappings in all, for 16 blocks of which 8 are wanted. */
static int start(struct vmem_error *err)
{
    struct vmem_vm_config machine = { sizeof(machine), .name = "guest" };
    struct vmem_backing_config want = { sizeof(want), .name = "ram" };
    struct vmem_region_config shape = { sizeof(shape), .name = "ram" };
    struct vmem_source_config plug = { sizeof(plug), .name = "plugged" };
    struct vmem_dma_config config = { sizeof(config), .name = "server" };
    struct vmem_dma_ops ops = { sizeof(ops), .map = map, .unmap = unmap };
    struct vmem_dma_attach_config what = { sizeof(what), .name = "ram" };
    struct vmem_dma_verdict verdict = { .struct_size = sizeof(verdict) };

    want.kind = VMEM_BACKING_MEMFD;
    want.size = 32 * MIB;
    plug.block_size = 2 * MIB;
    config.max_mappings = 8;
    what.requested_size = 16 * MIB;
    if (vmem_vm_new(&machine, &vm, err) < 0 ||
        vmem_backing_new_allocated(vm, &want, &shape.backing, err) < 0 ||
        vmem_region_new(vm, &shape, &ram, err) < 0 ||
        vmem_source_add(ram, &plug, &plugged, err) < 0 ||
        vmem_dma_new_custom(vm, &config, NULL, &ops, NULL, &dma, err) < 0) {
        return err->code;
    }
    memory = shape.backing;
    what.region = ram;
    if (vmem_dma_attach(dma, &what, &verdict, &attachment, err) < 0) {
        return err->code;
    }
    printf("attached, which is %s\n", fits[verdict.fit]);
    return 0;
}
//! [attach]

//! [spent]
static int run(struct vmem_error *err)
{
    const struct vmem_range wanted = { 0, 16 * MIB };
    const struct vmem_range more = { 16 * MIB, 2 * MIB };

    if (vmem_source_populate(plugged, &wanted, err) < 0 ||
        vmem_source_populate(plugged, &more, err) == 0) {
        return -1;
    }
    printf("refused: %s\n", err->message);
    return 0;
}
//! [spent]

int main(void)
{
    struct vmem_error err = VMEM_ERROR_INIT;

    if (plan(1024 * GIB, &err) < 0 || plan(8192 * GIB, &err) < 0 ||
        start(&err) < 0 || run(&err) < 0 ||
        vmem_dma_detach(attachment, &err) < 0 || vmem_dma_free(dma, &err) < 0 ||
        vmem_source_remove(plugged, &err) < 0 ||
        vmem_region_free(ram, &err) < 0 ||
        vmem_backing_free(memory, &err) < 0 || vmem_vm_free(vm, &err) < 0) {
        fprintf(stderr, "%s\n", err.message);
        return EXIT_FAILURE;
    }
    return EXIT_SUCCESS;
}
