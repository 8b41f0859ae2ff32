/* SPDX-License-Identifier: BSD-3-Clause */
/* What does a VMM say to libvmem, from the first call to the last? */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <vmem/vmem.h>

#define MIB ((uint64_t)1024 * 1024)
#define BLOCK (2 * MIB)
#define IN_MIB(size) ((unsigned)((size) / MIB))

static struct vmem_error err = VMEM_ERROR_INIT;

static void check(int ret)
{
    if (ret < 0) {
        fprintf(stderr, "%s\n", err.message);
        exit(EXIT_FAILURE);
    }
}

static void config_changed(void *opaque)
{
    (void)opaque;
    printf("  interrupt: read the config space\n");
}

static void resize_changed(const struct vmem_resize_status *status,
                           void *opaque)
{
    (void)opaque;
    printf("  resize: %s, %u MiB\n",
           status->state == VMEM_RESIZE_IDLE ? "done" : "goes on",
           IN_MIB(status->plugged_size));
}

static int map(const struct vmem_dma_mapping *mapping, void *opaque)
{
    (void)opaque;
    printf("  map %u MiB at %u\n", IN_MIB(mapping->size),
           IN_MIB(mapping->iova));
    return 0;
}

static int unmap(uint64_t iova, uint64_t size, uint64_t *unmapped, void *opaque)
{
    (void)opaque;
    printf("  unmap %u MiB at %u\n", IN_MIB(size), IN_MIB(iova));
    *unmapped = size;
    return 0;
}

/* What a driver puts into the queue: type, address, number of blocks. */
static void ask(struct vmem_device *device, unsigned char type, unsigned block)
{
    const unsigned char request[VMEM_DEVICE_REQUEST_SIZE] = {
        type, [10] = (unsigned char)(block * 0x20), [12] = 1, [16] = 1
    };
    unsigned char response[VMEM_DEVICE_RESPONSE_SIZE];

    printf("%splug block %u\n", type == VMEM_REQUEST_PLUG ? "" : "un", block);
    check(vmem_device_handle_request(device, request, sizeof(request), response,
                                     sizeof(response), NULL));
    printf("  %s\n", response[0] == VMEM_RESPONSE_ACK ? "ack" : "no");
}

int main(void)
{
    struct vmem_vm_config machine = { sizeof(machine), .name = "first" };
    struct vmem_backing_config memory = { sizeof(memory), .name = "vmem0" };
    struct vmem_region_config ram = { sizeof(ram), .name = "vmem0" };
    struct vmem_device_config virtio = { sizeof(virtio), .name = "vmem0" };
    struct vmem_device_ops ops = { sizeof(ops),
                                   .config_changed = config_changed,
                                   .resize_changed = resize_changed };
    struct vmem_dma_config space = { sizeof(space), .name = "iommu" };
    struct vmem_dma_ops iommu = { sizeof(iommu), .map = map, .unmap = unmap };
    struct vmem_dma_attach_config where = { sizeof(where), .name = "vmem0" };
    struct vmem_backing_usage usage = { .struct_size = sizeof(usage) };
    struct vmem_dma_attachment *attachment;
    struct vmem_backing_info info = { .struct_size = sizeof(info) };
    struct vmem_region *region;
    struct vmem_device *device;
    struct vmem_dma *dma;
    struct vmem_vm *vm;

    memory.kind = VMEM_BACKING_MEMFD;
    memory.size = 64 * MIB;
    virtio.block_size = BLOCK;
    where.iova = virtio.gpa = 4096 * MIB;
    check(vmem_vm_new(&machine, &vm, &err));
    check(vmem_backing_new_allocated(vm, &memory, &ram.backing, &err));
    check(vmem_region_new(vm, &ram, &region, &err));
    check(vmem_device_new(region, &virtio, &ops, NULL, &device, &err));
    check(vmem_dma_new_custom(vm, &space, NULL, &iommu, NULL, &dma, &err));
    where.region = region;
    check(vmem_dma_attach(dma, &where, NULL, &attachment, &err));

    check(vmem_device_resize(device, 2 * BLOCK, &err));
    ask(device, VMEM_REQUEST_PLUG, 0);
    ask(device, VMEM_REQUEST_PLUG, 1);
    ask(device, VMEM_REQUEST_PLUG, 2); /* more than it was offered */
    vmem_backing_get_info(ram.backing, &info);
    memset(info.hva, 1, 2 * BLOCK); /* the guest uses what it has */
    check(vmem_device_resize(device, BLOCK, &err));
    ask(device, VMEM_REQUEST_UNPLUG, 1);
    check(vmem_backing_get_usage(ram.backing, NULL, &usage, &err));
    printf("resident: %u MiB\nsystem reset\n", IN_MIB(usage.resident));
    check(vmem_device_reset(device, VMEM_RESET_SYSTEM, &err));

    check(vmem_dma_detach(attachment, &err));
    check(vmem_dma_free(dma, &err));
    check(vmem_device_free(device, &err));
    check(vmem_region_free(region, &err));
    check(vmem_backing_free(ram.backing, &err));
    check(vmem_vm_free(vm, &err));
}
