/* SPDX-License-Identifier: BSD-3-Clause */
/* What happens when a listener says no? */
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
/* Maps plugged memory for somebody else, who has few mappings to give. */
struct mapper {
    uint64_t nr_free;
};

/* One chunk of our granularity. The guest does not have the memory yet. */
static int map(const struct vmem_range *range, void *opaque)
{
    struct mapper *mapper = opaque;

    if (mapper->nr_free == 0) {
        printf("  no mapping for %u MiB\n", (unsigned)(range->offset / MIB));
        return -ENOSPC; /* a veto, as any negative errno is */
    }
    mapper->nr_free--;
    printf("  map at %u MiB\n", (unsigned)(range->offset / MIB));
    return 0;
}

/* A run of chunks, each of which was mapped. This cannot be refused. */
static void unmap(const struct vmem_range *range, void *opaque)
{
    struct mapper *mapper = opaque;

    mapper->nr_free += range->size / BLOCK;
    printf("  unmap %u MiB at %u MiB\n", (unsigned)(range->size / MIB),
           (unsigned)(range->offset / MIB));
}
//! [callbacks]

static int start(struct mapper *mapper, struct vmem_error *err)
{
    struct vmem_vm_config machine = { sizeof(machine), .name = "guest" };
    struct vmem_region_config memory = { sizeof(memory), .name = "ram" };
    struct vmem_device_config virtio = { sizeof(virtio), .name = "vmem0" };
    struct vmem_listener_config what = { sizeof(what), .name = "mapper" };
    struct vmem_listener_ops ops = { sizeof(ops), .populate = map };

    memory.size = 64 * MIB;
    virtio.gpa = 4096 * MIB;
    virtio.block_size = BLOCK;
    virtio.requested_size = 32 * MIB;
    what.granularity = BLOCK;
    ops.discard = unmap;

    if (vmem_vm_new(&machine, &vm, err) < 0 ||
        vmem_region_new(vm, &memory, &ram, err) < 0 ||
        vmem_device_new(ram, &virtio, NULL, NULL, &device, err) < 0 ||
        vmem_listener_add(ram, &what, &ops, mapper, &listener, err) < 0) {
        return err->code;
    }
    return 0;
}

//! [plug]
/* The guest plugs 4 blocks from 4 GiB on. */
static int plug(void)
{
    const unsigned char request[VMEM_DEVICE_REQUEST_SIZE] = {
        [12] = 1, [16] = 4
    };
    unsigned char response[VMEM_DEVICE_RESPONSE_SIZE];
    struct vmem_request_result result = { .struct_size = sizeof(result) };
    struct vmem_resize_status status = { .struct_size = sizeof(status) };
    int ret = vmem_device_handle_request(device, request, sizeof(request),
                                         response, sizeof(response), &result);

    if (ret == VMEM_REQUEST_RESPOND && result.response == VMEM_RESPONSE_BUSY) {
        ret = vmem_device_get_resize_status(device, &status);
        printf("BUSY: %s by %s, errno %d\n", vmem_reason_name(result.reason),
               status.busy_by, -status.busy_errno);
    } else if (ret == VMEM_REQUEST_RESPOND) {
        printf("ACK\n");
    }
    return ret;
}
//! [plug]

int main(void)
{
    struct vmem_error err = VMEM_ERROR_INIT;
    struct mapper mapper = { .nr_free = 3 };
    int ret = start(&mapper, &err);

    if (ret < 0) {
        fprintf(stderr, "%s\n", err.message);
    } else if ((ret = plug()) == 0) {
        //! [kick]
        mapper.nr_free += 1; /* somebody else unmapped something */
        ret = vmem_device_notify_config(device);
        //! [kick]
        ret = ret == 0 ? plug() : ret;
    }
    /* Children first. What was not made is NULL, which is allowed. */
    if (vmem_listener_remove(listener, &err) < 0 ||
        vmem_device_free(device, &err) < 0 || vmem_region_free(ram, &err) < 0 ||
        vmem_vm_free(vm, &err) < 0) {
        fprintf(stderr, "%s\n", err.message);
        ret = err.code;
    }
    return ret == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
