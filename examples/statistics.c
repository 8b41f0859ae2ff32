/* SPDX-License-Identifier: BSD-3-Clause */
/* Did my guest follow the size that I asked for, and if not, why? */
#include <stdio.h>
#include <stdlib.h>

#include <vmem/vmem.h>

#define MIB ((uint64_t)1024 * 1024)

static struct vmem_vm *vm;
static struct vmem_backing *memory;
static struct vmem_region *ram;
static struct vmem_device *device;

//! [tracker]
/* A resize makes progress, or stalls with a reason. */
static void changed(const struct vmem_resize_status *status, void *opaque)
{
    (void)opaque;
    printf("%u of %u MiB, %s: %s\n", (unsigned)(status->plugged_size / MIB),
           (unsigned)(status->requested_size / MIB),
           vmem_resize_state_name(status->state),
           vmem_resize_stall_name(status->reason));
}
//! [tracker]

static uint64_t now_ns; /* a real host leaves clock_ns NULL */

static uint64_t read_clock(void *opaque)
{
    (void)opaque;
    return now_ns;
}

static int start(struct vmem_error *err)
{
    struct vmem_vm_config machine = { sizeof(machine), .name = "guest" };
    struct vmem_backing_config want = { sizeof(want), .name = "ram" };
    struct vmem_region_config shape = { sizeof(shape), .name = "ram" };
    struct vmem_device_config virtio = { sizeof(virtio), .name = "vmem0" };
    struct vmem_device_ops ops = { .struct_size = sizeof(ops) };

    machine.clock_ns = read_clock;
    want.kind = VMEM_BACKING_ANON;
    want.size = 64 * MIB;
    virtio.gpa = 4096 * MIB;
    virtio.block_size = 2 * MIB;
    ops.resize_changed = changed;
    if (vmem_vm_new(&machine, &vm, err) < 0 ||
        vmem_backing_new_allocated(vm, &want, &memory, err) < 0) {
        return err->code;
    }
    shape.backing = memory;
    if (vmem_region_new(vm, &shape, &ram, err) < 0 ||
        vmem_device_new(ram, &virtio, &ops, NULL, &device, err) < 0) {
        return err->code;
    }
    return 0;
}

/* The guest plugs some blocks from 4 GiB on. */
static int plug(unsigned char nr_blocks)
{
    const unsigned char request[24] = { [12] = 1, [16] = nr_blocks };
    unsigned char response[VMEM_DEVICE_RESPONSE_SIZE];

    return vmem_device_handle_request(device, request, sizeof(request),
                                      response, sizeof(response), NULL);
}

//! [poll]
/* Once a second, from a timer of the host's; the library has none. */
static int tick(unsigned int seconds)
{
    now_ns += (uint64_t)seconds * 1000000000;
    return vmem_device_poll_resize(device);
}
//! [poll]

//! [counters]
static int show(void)
{
    struct vmem_device_stats stats = { .struct_size = sizeof(stats) };
    struct vmem_backing_stats host = { .struct_size = sizeof(host) };

    if (vmem_device_get_stats(device, &stats) < 0 ||
        vmem_backing_get_stats(memory, &host) < 0) {
        return -1;
    }
    printf("%u plugs were acknowledged, %u resizes, %u discards\n",
           (unsigned)stats.nr_requests[VMEM_REQUEST_PLUG][VMEM_RESPONSE_ACK],
           (unsigned)stats.nr_resizes, (unsigned)host.nr_discards);
    return 0;
}
//! [counters]

int main(void)
{
    struct vmem_error err = VMEM_ERROR_INIT;
    int ret = start(&err);

    if (ret == 0 && (vmem_device_resize(device, 32 * MIB, &err) < 0 ||
                     tick(11) < 0 || plug(16) < 0 ||
                     vmem_device_resize(device, 0, &err) < 0 || tick(11) < 0)) {
        ret = -1;
    }
    if (ret < 0 || show() < 0 || vmem_device_free(device, &err) < 0 ||
        vmem_region_free(ram, &err) < 0 ||
        vmem_backing_free(memory, &err) < 0 || vmem_vm_free(vm, &err) < 0) {
        fprintf(stderr, "%s\n", err.message);
        return EXIT_FAILURE;
    }
    return EXIT_SUCCESS;
}
