/* SPDX-License-Identifier: BSD-3-Clause */
/* My backend unmaps only what was one map call. How does libvmem drive it? */
#include <stdio.h>
#include <stdlib.h>

#include <vmem/vmem.h>

#define MIB ((uint64_t)1024 * 1024)
#define GIB (1024 * MIB)
#define BLOCK (2 * MIB)

static struct vmem_vm *vm;
static struct vmem_backing *memory;
static struct vmem_region *ram;
static struct vmem_device *device;
static struct vmem_dma *dma;
static struct vmem_dma_attachment *attachment;

//! [callbacks]
/* A message to a device in another process, say. All of it, or nothing. */
static int map(const struct vmem_dma_mapping *mapping, void *opaque)
{
    (void)opaque;
    printf("  map %u MiB at IOVA 0x%llx\n", (unsigned)(mapping->size / MIB),
           (unsigned long long)mapping->iova);
    return 0;
}

/* Exactly one of these mappings, which is gone afterwards. */
static int unmap(uint64_t iova, uint64_t size, uint64_t *unmapped, void *opaque)
{
    (void)opaque;
    printf("  unmap %u MiB at IOVA 0x%llx\n", (unsigned)(size / MIB),
           (unsigned long long)iova);
    *unmapped = size;
    return 0;
}
//! [callbacks]

//! [make]
static int start(uint64_t properties, struct vmem_error *err)
{
    struct vmem_dma_config config = { sizeof(config), .name = "server" };
    struct vmem_dma_properties can = { sizeof(can), .flags = properties };
    struct vmem_dma_ops ops = { sizeof(ops), .map = map, .unmap = unmap };
    struct vmem_dma_attach_config what = { sizeof(what), .name = "ram" };
    int ret = vmem_dma_new_custom(vm, &config, &can, &ops, NULL, &dma, err);

    what.region = ram;
    what.iova = 4 * GIB;
    return ret < 0 ? ret : vmem_dma_attach(dma, &what, NULL, &attachment, err);
}
//! [make]

static int stop(struct vmem_error *err)
{
    int ret = vmem_dma_detach(attachment, err);

    return ret < 0 ? ret : vmem_dma_free(dma, err);
}

static int make_guest(struct vmem_error *err)
{
    struct vmem_vm_config machine = { sizeof(machine), .name = "guest" };
    struct vmem_backing_config what = { sizeof(what), .name = "ram" };
    struct vmem_region_config region = { sizeof(region), .name = "ram" };
    struct vmem_device_config virtio = { sizeof(virtio), .name = "vmem0" };

    what.kind = VMEM_BACKING_MEMFD;
    what.size = 64 * MIB;
    virtio.gpa = 4 * GIB;
    virtio.block_size = BLOCK;
    virtio.requested_size = 32 * MIB;
    if (vmem_vm_new(&machine, &vm, err) < 0 ||
        vmem_backing_new_allocated(vm, &what, &memory, err) < 0) {
        return err->code;
    }
    region.backing = memory;
    if (vmem_region_new(vm, &region, &ram, err) < 0) {
        return err->code;
    }
    return vmem_device_new(ram, &virtio, NULL, NULL, &device, err);
}

/* The guest plugs (0) or unplugs (1) 3 blocks from 4 GiB on. */
static void ask(const char *what, unsigned char type)
{
    const unsigned char request[VMEM_DEVICE_REQUEST_SIZE] = {
        [0] = type, [12] = 1, [16] = 3
    };
    unsigned char response[VMEM_DEVICE_RESPONSE_SIZE];

    printf("%s 3 blocks\n", what);
    vmem_device_handle_request(device, request, sizeof(request), response,
                               sizeof(response), NULL);
}

int main(void)
{
    struct vmem_error err = VMEM_ERROR_INIT;
    int ret = make_guest(&err);

    for (int exact = 1; exact >= 0 && ret == 0; exact--) {
        printf(exact ? "one by one:\n" : "together:\n");
        ret = start(exact ? VMEM_DMA_EXACT_UNMAP : 0, &err);
        if (ret == 0) {
            ask("plug", VMEM_REQUEST_PLUG);
            ask("unplug", VMEM_REQUEST_UNPLUG);
            ret = stop(&err);
        }
    }
    if (ret < 0 || vmem_device_free(device, &err) < 0 ||
        vmem_region_free(ram, &err) < 0 ||
        vmem_backing_free(memory, &err) < 0 || vmem_vm_free(vm, &err) < 0) {
        fprintf(stderr, "%s\n", err.message);
        ret = -1;
    }
    return ret == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
