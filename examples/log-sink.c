/* SPDX-License-Identifier: BSD-3-Clause */
/* How do libvmem's messages get into my log, and whose fault are they? */
#include <stdio.h>
#include <stdlib.h>

#include <vmem/vmem.h>

#define MIB ((uint64_t)1024 * 1024)

//! [sink]
/* One line for people; code and blame for the program. Called without locks, on
 * any thread. Without a sink warnings and errors go to standard error. */
static void sink(const struct vmem_log_record *record, void *opaque)
{
    FILE *log = opaque;

    fprintf(log, "%s [%s]: %s", vmem_log_level_name(record->level),
            vmem_blame_name(record->blame), record->message);
    if (record->suppressed > 0) {
        fprintf(log, " (after %u more like it)", record->suppressed);
    }
    fprintf(log, "\n");
    if (record->code == VMEM_LOG_CODE_RETAINED) {
        fprintf(log, "  memory did not come back: tell the operator\n");
    }
}
//! [sink]

//! [clock]
/* Rate limits and stalls go by this clock; a test has its own. It is called
 * with locks held and must not call the library. */
static uint64_t now_ns;

static uint64_t read_clock(void *opaque)
{
    (void)opaque;
    return now_ns;
}
//! [clock]

/* A guest that sends nonsense, as often as it can. */
static int send_nonsense(struct vmem_device *device, unsigned int times)
{
    const unsigned char request[VMEM_DEVICE_REQUEST_SIZE] = { 0x99 };
    unsigned char response[VMEM_DEVICE_RESPONSE_SIZE];
    int ret = 0;

    while (ret >= 0 && times-- > 0) {
        ret = vmem_device_handle_request(device, request, sizeof(request),
                                         response, sizeof(response), NULL);
    }
    return ret;
}

int main(void)
{
    struct vmem_error err = VMEM_ERROR_INIT;
    struct vmem_vm_config machine = { sizeof(machine), .name = "guest" };
    struct vmem_region_config memory = { sizeof(memory), .name = "ram" };
    struct vmem_device_config virtio = { sizeof(virtio), .name = "vmem0" };
    struct vmem_vm *vm = NULL;
    struct vmem_region *ram = NULL;
    struct vmem_device *device = NULL;
    int ret;

    //! [config]
    machine.log = sink;
    machine.clock_ns = read_clock;
    machine.opaque = stdout;
    //! [config]
    memory.size = 64 * MIB;
    virtio.gpa = 4096 * MIB;
    virtio.block_size = 2 * MIB;
    if (vmem_vm_new(&machine, &vm, &err) < 0 ||
        vmem_region_new(vm, &memory, &ram, &err) < 0 ||
        vmem_device_new(ram, &virtio, NULL, NULL, &device, &err) < 0) {
        fprintf(stderr, "%s\n", err.message);
        ret = err.code;
    } else {
        ret = send_nonsense(device, 1000);
        now_ns += 1000000000; /* a second later */
        ret = ret < 0 ? ret : send_nonsense(device, 1);
    }
    /* Children first. What was not made is NULL, which is allowed. */
    if (vmem_device_free(device, &err) < 0 || vmem_region_free(ram, &err) < 0 ||
        vmem_vm_free(vm, &err) < 0) {
        fprintf(stderr, "%s\n", err.message);
        ret = err.code;
    }
    return ret >= 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
