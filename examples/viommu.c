/* SPDX-License-Identifier: BSD-3-Clause */
/* My guest has an IOMMU of its own. Can it keep memory that was unplugged? */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include <vmem/vmem.h>

#define MIB ((uint64_t)1024 * 1024)

static struct vmem_vm *vm;
static struct vmem_backing *memory;
static struct vmem_region *ram;
static struct vmem_source *plugged;
static struct vmem_dma *dma;
static struct vmem_dma_attachment *target;

static int map(const struct vmem_dma_mapping *mapping, void *opaque)
{
    (void)opaque;
    printf("  map IOVA %u MiB\n", (unsigned)(mapping->iova / MIB));
    return 0;
}

static int unmap(uint64_t iova, uint64_t size, uint64_t *unmapped, void *opaque)
{
    (void)opaque;
    printf("  unmap IOVA %u MiB\n", (unsigned)(iova / MIB));
    *unmapped = size;
    return 0;
}

//! [attach]
/* Nothing is mapped by this: the region is what the guest may point at. */
static int attach(struct vmem_error *err)
{
    struct vmem_dma_config config = { sizeof(config), .name = "domain" };
    struct vmem_dma_ops ops = { sizeof(ops), .map = map, .unmap = unmap };
    struct vmem_dma_attach_config what = { sizeof(what), .name = "ram" };

    config.max_guest_mappings =
        1000; /* of the host's memory, not the guest's */
    what.region = ram;
    what.flags = VMEM_DMA_VIOMMU;
    if (vmem_dma_new_custom(vm, &config, NULL, &ops, NULL, &dma, err) < 0) {
        return err->code;
    }
    return vmem_dma_attach(dma, &what, NULL, &target, err);
}
//! [attach]

static int start(struct vmem_error *err)
{
    struct vmem_vm_config machine = { sizeof(machine), .name = "guest" };
    struct vmem_backing_config want = { sizeof(want), .name = "ram" };
    struct vmem_region_config shape = { sizeof(shape), .name = "ram" };
    struct vmem_source_config plug = { sizeof(plug), .name = "plugged" };

    want.kind = VMEM_BACKING_MEMFD;
    want.size = 32 * MIB;
    plug.block_size = 2 * MIB;
    plug.flags = VMEM_SOURCE_DISCARDS;
    if (vmem_vm_new(&machine, &vm, err) < 0 ||
        vmem_backing_new_allocated(vm, &want, &memory, err) < 0) {
        return err->code;
    }
    shape.backing = memory;
    if (vmem_region_new(vm, &shape, &ram, err) < 0 ||
        vmem_source_add(ram, &plug, &plugged, err) < 0) {
        return err->code;
    }
    return attach(err);
}

//! [run]
static int run(struct vmem_error *err)
{
    const uint32_t both = VMEM_DMA_READ | VMEM_DMA_WRITE;
    const struct vmem_range block = { 0, 2 * MIB };
    uint64_t unmapped;

    if (vmem_dma_viommu_map(target, 16 * MIB, &block, both, err) == -ENXIO) {
        printf("the guest maps what is not plugged: %s\n",
               vmem_reason_name(err->reason));
    }
    printf("plugged, the guest maps it twice\n");
    if (vmem_source_populate(plugged, &block, err) < 0 ||
        vmem_dma_viommu_map(target, 16 * MIB, &block, both, err) < 0 ||
        vmem_dma_viommu_map(target, 64 * MIB, &block, both, err) < 0) {
        return err->code;
    }
    printf("the guest unmaps one\n");
    if (vmem_dma_viommu_unmap(dma, 16 * MIB, 2 * MIB, &unmapped, err) < 0) {
        return err->code;
    }
    printf("it is unplugged, with the other in use\n");
    return vmem_source_discard(plugged, &block, err);
}
//! [run]

int main(void)
{
    struct vmem_error err = VMEM_ERROR_INIT;

    if (start(&err) < 0 || run(&err) < 0 || vmem_dma_detach(target, &err) < 0 ||
        vmem_dma_free(dma, &err) < 0 || vmem_source_remove(plugged, &err) < 0 ||
        vmem_region_free(ram, &err) < 0 ||
        vmem_backing_free(memory, &err) < 0 || vmem_vm_free(vm, &err) < 0) {
        fprintf(stderr, "%s\n", err.message);
        return EXIT_FAILURE;
    }
    return EXIT_SUCCESS;
}
