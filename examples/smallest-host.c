/* SPDX-License-Identifier: BSD-3-Clause */
/* The smallest host: one machine, one device, one request of its guest. */
#include <stdio.h>
#include <stdlib.h>

#include <vmem/vmem.h>

#define MIB ((uint64_t)1024 * 1024)

static struct vmem_error err = VMEM_ERROR_INIT;

static void check(int ret)
{
    if (ret < 0) {
        fprintf(stderr, "%s\n", err.message);
        exit(1);
    }
}

/* What a Linux guest puts into the queue: plug 16 blocks from 4 GiB on. */
static const unsigned char request[VMEM_DEVICE_REQUEST_SIZE] = {
    [0] = VMEM_REQUEST_PLUG, [12] = 1, [16] = 16
};

//! [host]
int main(void)
{
    struct vmem_vm_config machine = { sizeof(machine), .name = "guest" };
    struct vmem_backing_config memory = { sizeof(memory), .name = "ram" };
    struct vmem_region_config ram = { .struct_size = sizeof(ram) };
    struct vmem_device_config virtio = { sizeof(virtio), .name = "vmem0" };
    unsigned char response[VMEM_DEVICE_RESPONSE_SIZE];
    struct vmem_vm *vm;
    struct vmem_region *region;
    struct vmem_device *device;

    memory.kind = VMEM_BACKING_MEMFD;
    memory.size = 64 * MIB;
    virtio.gpa = 4096 * MIB;
    virtio.block_size = 2 * MIB;

    check(vmem_vm_new(&machine, &vm, &err));
    check(vmem_backing_new_allocated(vm, &memory, &ram.backing, &err));
    check(vmem_region_new(vm, &ram, &region, &err));
    check(vmem_device_new(region, &virtio, NULL, NULL, &device, &err));

    /* The guest may have 32 MiB. It asks in 24 bytes, 10 bytes go back. */
    check(vmem_device_resize(device, 32 * MIB, &err));
    check(vmem_device_handle_request(device, request, sizeof(request), response,
                                     sizeof(response), NULL));
    printf("answer: %s\n", response[0] == VMEM_RESPONSE_ACK ? "ack" : "no");

    check(vmem_device_free(device, &err));
    check(vmem_region_free(region, &err));
    check(vmem_backing_free(ram.backing, &err));
    check(vmem_vm_free(vm, &err));
}
//! [host]
