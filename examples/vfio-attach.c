/* SPDX-License-Identifier: BSD-3-Clause */
/* How does a device that is passed through with VFIO see what is plugged, and
 * nothing else? Usage: vfio-attach /dev/vfio/GROUP */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>

#include <linux/vfio.h>

#include <vmem/vmem.h>

#define MIB ((uint64_t)1024 * 1024)
#define GIB (1024 * MIB)

//! [container]
/* What a VMM with a device does anyway: a container with the device's group and
 * an IOMMU that can unmap exactly what it is asked to. */
static int open_container(const char *group_path)
{
    int container = open("/dev/vfio/vfio", O_RDWR);
    int group = group_path != NULL ? open(group_path, O_RDWR) : -1;

    if (container < 0 || group < 0 ||
        ioctl(group, VFIO_GROUP_SET_CONTAINER, &container) < 0 ||
        ioctl(container, VFIO_SET_IOMMU, VFIO_TYPE1v2_IOMMU) < 0) {
        return -1;
    }
    return container;
}
//! [container]

//! [attach]
/* The device finds the memory where the guest does. */
static int attach(struct vmem_vm *vm, struct vmem_region *ram, int container,
                  struct vmem_dma **dma,
                  struct vmem_dma_attachment **attachment,
                  struct vmem_error *err)
{
    struct vmem_dma_config config = { sizeof(config), .name = "vfio" };
    struct vmem_dma_attach_config what = { sizeof(what), .name = "ram" };
    struct vmem_dma_verdict verdict = { .struct_size = sizeof(verdict) };
    int ret = vmem_dma_new_type1(vm, &config, container, dma, err);

    what.region = ram;
    what.iova = 4 * GIB;
    what.requested_size = 32 * MIB; /* the guest may have so much */
    if (ret == 0) {
        ret = vmem_dma_attach(*dma, &what, &verdict, attachment, err);
    }
    if (ret == 0) {
        printf("%s: %u mappings at most\n",
               verdict.fit == VMEM_DMA_FIT_OK ? "it fits" : "it is tight",
               (unsigned)verdict.nr_worst_case);
    }
    return ret;
}
//! [attach]

/* The guest plugs (0) or unplugs (1) 16 blocks from 4 GiB on. */
static void ask(struct vmem_device *device, struct vmem_dma *dma,
                unsigned char type)
{
    const unsigned char request[VMEM_DEVICE_REQUEST_SIZE] = {
        [0] = type, [12] = 1, [16] = 16
    };
    unsigned char response[VMEM_DEVICE_RESPONSE_SIZE];
    struct vmem_dma_stats stats = { .struct_size = sizeof(stats) };

    vmem_device_handle_request(device, request, sizeof(request), response,
                               sizeof(response), NULL);
    if (vmem_dma_get_stats(dma, &stats) == 0) {
        printf("%s: %u MiB are mapped by %u mappings\n",
               type == VMEM_REQUEST_PLUG ? "plugged" : "unplugged",
               (unsigned)(stats.pinned_size / MIB),
               (unsigned)stats.nr_mappings);
    }
}

int main(int argc, char **argv)
{
    struct vmem_error err = VMEM_ERROR_INIT;
    struct vmem_vm_config machine = { sizeof(machine), .name = "guest" };
    struct vmem_backing_config memory = { sizeof(memory), .name = "ram" };
    struct vmem_region_config region = { sizeof(region), .name = "ram" };
    struct vmem_device_config virtio = { sizeof(virtio), .name = "vmem0" };
    struct vmem_vm *vm = NULL;
    struct vmem_region *ram = NULL;
    struct vmem_device *device = NULL;
    struct vmem_dma *dma = NULL;
    struct vmem_dma_attachment *attachment = NULL;
    int container = open_container(argc > 1 ? argv[1] : NULL);

    if (container < 0) {
        printf("SKIP: no usable group, /dev/vfio/NUMBER, was given\n");
        return 77;
    }
    memory.kind = VMEM_BACKING_MEMFD;
    memory.size = 64 * MIB;
    virtio.gpa = 4 * GIB;
    virtio.block_size = 2 * MIB;
    virtio.requested_size = 32 * MIB;
    if (vmem_vm_new(&machine, &vm, &err) < 0 ||
        vmem_backing_new_allocated(vm, &memory, &region.backing, &err) < 0 ||
        vmem_region_new(vm, &region, &ram, &err) < 0 ||
        vmem_device_new(ram, &virtio, NULL, NULL, &device, &err) < 0 ||
        attach(vm, ram, container, &dma, &attachment, &err) < 0) {
        fprintf(stderr, "%s\n", err.message);
        return EXIT_FAILURE;
    }
    ask(device, dma, VMEM_REQUEST_PLUG);
    ask(device, dma, VMEM_REQUEST_UNPLUG);
    /* The container and its group stay open: they are not libvmem's. */
    if (vmem_dma_detach(attachment, &err) < 0 || vmem_dma_free(dma, &err) < 0) {
        fprintf(stderr, "%s\n", err.message);
        return EXIT_FAILURE;
    }
    return EXIT_SUCCESS;
}
