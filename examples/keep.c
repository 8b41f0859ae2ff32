/* SPDX-License-Identifier: BSD-3-Clause */
/* What if memory must not go just now? */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include <vmem/vmem.h>

#define MIB ((uint64_t)1024 * 1024)
#define BLOCK (2 * MIB)

static struct vmem_vm *vm;
static struct vmem_region *ram;
static struct vmem_device *device;
static struct vmem_listener *listener;

//! [callbacks]
/* A disk is reading from a block of the guest, and cannot be stopped. */
struct disk {
    struct vmem_range reads; /* of size 0: it is idle */
};

static int see(const struct vmem_range *range, void *opaque)
{
    (void)range;
    (void)opaque;
    return 0;
}

/* Asked before anybody is told. A negative errno, and nothing is discarded. */
static int may_go(const struct vmem_range *range, void *opaque)
{
    const struct vmem_range *reads = &((const struct disk *)opaque)->reads;

    return reads->size > 0 && reads->offset < range->offset + range->size &&
                   range->offset < reads->offset + reads->size
               ? -EBUSY
               : 0;
}

/* Everybody has agreed. This cannot be refused. */
static void go(const struct vmem_range *range, void *opaque)
{
    (void)opaque;
    printf("  %u MiB at %u MiB go\n", (unsigned)(range->size / MIB),
           (unsigned)(range->offset / MIB));
}
//! [callbacks]

static int start(struct disk *disk, struct vmem_error *err)
{
    struct vmem_vm_config machine = { sizeof(machine), .name = "guest" };
    struct vmem_region_config memory = { sizeof(memory), .name = "ram" };
    struct vmem_device_config virtio = { sizeof(virtio), .name = "vmem0" };
    struct vmem_listener_config what = { sizeof(what), .name = "disk" };
    struct vmem_listener_ops ops = { sizeof(ops), .populate = see };

    memory.size = 64 * MIB;
    virtio.gpa = 4096 * MIB;
    virtio.block_size = BLOCK;
    virtio.requested_size = 32 * MIB;
    ops.discard = go;
    ops.may_discard = may_go;
    if (vmem_vm_new(&machine, &vm, err) < 0 ||
        vmem_region_new(vm, &memory, &ram, err) < 0 ||
        vmem_device_new(ram, &virtio, NULL, NULL, &device, err) < 0 ||
        vmem_listener_add(ram, &what, &ops, disk, &listener, err) < 0) {
        return err->code;
    }
    return 0;
}

/* The guest plugs or unplugs 4 blocks from 4 GiB on, or unplugs all. */
static void request(unsigned char type)
{
    const unsigned char bytes[VMEM_DEVICE_REQUEST_SIZE] = {
        type, [12] = 1, [16] = 4
    };
    unsigned char response[VMEM_DEVICE_RESPONSE_SIZE];
    struct vmem_device_info info = { .struct_size = sizeof(info) };
    uint64_t blocks = 0;

    vmem_device_handle_request(device, bytes, sizeof(bytes), response,
                               sizeof(response), NULL);
    //! [blocks]
    /* The device's own blocks, whatever other sources hide of them. */
    vmem_device_get_info(device, &info);
    vmem_source_get_page_bitmap(info.source, NULL, BLOCK, &blocks);
    //! [blocks]
    printf("type %u: %s, blocks 0x%x\n", type,
           response[0] == VMEM_RESPONSE_BUSY ? "BUSY" : "ACK",
           (unsigned)blocks);
}

int main(void)
{
    struct disk disk = { .reads = { 5 * MIB, 64 * 1024 } };
    struct vmem_error err = VMEM_ERROR_INIT;

    if (start(&disk, &err) == 0) {
        request(VMEM_REQUEST_PLUG);
        request(VMEM_REQUEST_UNPLUG);
        request(VMEM_REQUEST_UNPLUG_ALL);
        disk.reads.size = 0; /* it is done: the guest may try again */
        vmem_device_notify_config(device);
        request(VMEM_REQUEST_UNPLUG_ALL);
    }
    /* Children first. What was not made is NULL, which is allowed. */
    if (vmem_listener_remove(listener, &err) < 0 ||
        vmem_device_free(device, &err) < 0 || vmem_region_free(ram, &err) < 0 ||
        vmem_vm_free(vm, &err) < 0) {
        fprintf(stderr, "%s\n", err.message);
        return EXIT_FAILURE;
    }
    return err.code == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
