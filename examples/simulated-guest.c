/* SPDX-License-Identifier: BSD-3-Clause */
/* Does a Linux guest get along with my VMM, whatever the host does to it? */
#include <stdio.h>
#include <stdlib.h>

#include <guest_sim.h>
#include <vmem/vmem.h>

#define MIB ((uint64_t)1024 * 1024)

static struct vmem_vm *vm;
static struct vmem_region *ram;
static struct vmem_device *device;
static struct vmem_guest *guest;

//! [callbacks]
/* From the guest; with a VMM, by way of its virtqueue. */
static int request(const uint8_t *bytes, uint8_t *response, void *opaque)
{
    (void)opaque;
    return vmem_device_handle_request(device, bytes, VMEM_GUEST_REQUEST_SIZE,
                                      response, VMEM_GUEST_RESPONSE_SIZE, NULL);
}

static void read_config(uint8_t *config, void *opaque)
{
    (void)opaque;
    (void)vmem_device_read_config(device, 0, config, VMEM_GUEST_CONFIG_SIZE);
}

/* The device broke a rule that drivers rely on. */
static void finding(const struct vmem_guest_finding *found, void *opaque)
{
    (void)opaque;
    printf("  %s\n", found->message);
}

/* To the guest, which remembers it until it runs. */
static void config_changed(void *opaque)
{
    (void)opaque;
    vmem_guest_interrupt(guest);
}
//! [callbacks]

static uint64_t read_clock(void *opaque)
{
    (void)opaque;
    return guest == NULL ? 0 : vmem_guest_get_now_ns(guest);
}

static int start(struct vmem_error *err)
{
    struct vmem_vm_config machine = { sizeof(machine), .name = "guest" };
    struct vmem_region_config memory = { sizeof(memory), .name = "ram" };
    struct vmem_device_config virtio = { sizeof(virtio), .name = "vmem0" };
    struct vmem_device_ops ops = { sizeof(ops),
                                   .config_changed = config_changed };
    struct vmem_guest_config linux_guest = { sizeof(linux_guest), .seed = 1 };
    struct vmem_guest_ops calls = { sizeof(calls), .request = request };

    machine.clock_ns = read_clock; /* virtual time, in both of them */
    memory.size = 16384 * MIB;
    virtio.gpa = 4096 * MIB;
    virtio.block_size = 2 * MIB;
    calls.read_config = read_config;
    calls.finding = finding;
    if (vmem_vm_new(&machine, &vm, err) < 0 ||
        vmem_region_new(vm, &memory, &ram, err) < 0 ||
        vmem_device_new(ram, &virtio, &ops, NULL, &device, err) < 0) {
        return err->code;
    }
    return vmem_guest_new(&linux_guest, &calls, NULL, &guest);
}

static void show(const char *what, int status)
{
    struct vmem_device_info info = { .struct_size = sizeof(info) };

    (void)vmem_device_get_info(device, &info);
    printf("%s: %u MiB, the driver is %s\n", what,
           (unsigned)(info.plugged_size / MIB),
           vmem_guest_status_name((uint64_t)status));
}

//! [run]
static int run(struct vmem_error *err)
{
    if (vmem_guest_boot(guest) < 0 ||
        vmem_device_resize(device, 8192 * MIB, err) < 0) {
        return -1;
    }
    show("resized", vmem_guest_run(guest));
    if (vmem_region_freeze(ram, "migration", err) < 0 ||
        vmem_device_resize(device, 1024 * MIB, err) < 0) {
        return -1;
    }
    show("frozen for 400 s", vmem_guest_advance(guest, 400000000000));
    if (vmem_region_thaw(ram, "migration", err) < 0) {
        return -1;
    }
    show("thawed", vmem_guest_run(guest)); /* at once: no time passes here */
    return 0;
}
//! [run]

int main(void)
{
    struct vmem_error err = VMEM_ERROR_INIT;
    int ret = start(&err) == 0 ? run(&err) : -1;

    vmem_guest_free(guest);
    if (ret < 0 || vmem_device_free(device, &err) < 0 ||
        vmem_region_free(ram, &err) < 0 || vmem_vm_free(vm, &err) < 0) {
        fprintf(stderr, "%s\n", err.message);
        return EXIT_FAILURE;
    }
    return ret == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
