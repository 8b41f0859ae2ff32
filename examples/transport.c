/* SPDX-License-Identifier: BSD-3-Clause */
/* What does a virtio transport ask of the device, besides requests? */
#include <stdio.h>
#include <stdlib.h>

#include <vmem/vmem.h>

#define MIB ((uint64_t)1024 * 1024)

static struct vmem_vm *vm;
static struct vmem_region *ram;
static struct vmem_device *device;

//! [config_changed]
/* Runs without any lock, on whichever thread caused it: raise the interrupt. */
static void config_changed(void *opaque)
{
    (void)opaque;
    printf("  config interrupt\n");
}
//! [config_changed]

static int start(struct vmem_error *err)
{
    struct vmem_vm_config machine = { sizeof(machine), .name = "guest" };
    struct vmem_region_config memory = { sizeof(memory), .name = "ram" };
    struct vmem_device_config virtio = { sizeof(virtio), .name = "vmem0" };
    struct vmem_device_ops ops = { .struct_size = sizeof(ops) };

    memory.size = 64 * MIB;
    virtio.gpa = 4096 * MIB;
    virtio.block_size = 2 * MIB;
    virtio.flags = VMEM_DEVICE_REQUIRE_INACCESSIBLE;
    ops.config_changed = config_changed;
    if (vmem_vm_new(&machine, &vm, err) < 0 ||
        vmem_region_new(vm, &memory, &ram, err) < 0 ||
        vmem_device_new(ram, &virtio, &ops, NULL, &device, err) < 0) {
        return err->code;
    }
    return 0;
}

//! [features]
/* The driver wrote its features and then FEATURES_OK: may that bit stick? */
static void negotiate(uint64_t driver)
{
    const uint64_t offered = vmem_device_get_features(device);

    printf("  offered %#x, taken %#x: %s\n", (unsigned)offered,
           (unsigned)driver,
           vmem_device_set_driver_features(device, driver) == 0 ? "ok" : "no");
}
//! [features]

//! [config]
/* A read of the driver, passed on with whatever offset and size it has. A field
 * read in two halves belongs together if the generation did not change. */
static int read_requested(uint64_t *requested)
{
    unsigned char bytes[8];
    int ret = vmem_device_read_config(device, 48, bytes, sizeof(bytes));

    for (int i = 7; ret == 0 && i >= 0; i--) { /* little-endian everywhere */
        *requested = *requested << 8 | bytes[i];
    }
    return ret;
}
//! [config]

static int run(struct vmem_error *err)
{
    uint64_t requested = 0;

    printf("a driver comes\n");
    negotiate(0);
    negotiate(VMEM_DEVICE_F_UNPLUGGED_INACCESSIBLE);
    printf("the host wants 16 MiB\n");
    if (vmem_device_resize(device, 16 * MIB, err) < 0 ||
        read_requested(&requested) < 0) {
        return -1;
    }
    printf("  the driver reads %u MiB, generation %u\n",
           (unsigned)(requested / MIB),
           (unsigned)vmem_device_get_config_generation(device));
    /* Every field is read-only: a write is counted and changes nothing. */
    (void)vmem_device_write_config(device, 48, "no", 2);
    //! [reset]
    printf("the driver is loaded again, then the machine reboots\n");
    if (vmem_device_reset(device, VMEM_RESET_DRIVER, err) < 0 ||
        vmem_device_reset(device, VMEM_RESET_SYSTEM, err) < 0) {
        return err->code; /* -EBUSY while frozen: nothing was unplugged */
    }
    //! [reset]

    //! [remove]
    if (vmem_device_check_removable(device, err) < 0) {
        printf("  not removable: %s\n", err->message);
    }
    printf("nothing is wanted any more\n");
    if (vmem_device_resize(device, 0, err) < 0 ||
        vmem_device_check_removable(device, err) < 0) {
        return err->code;
    }
    return vmem_device_free(device, err);
    //! [remove]
}

int main(void)
{
    struct vmem_error err = VMEM_ERROR_INIT;

    if (start(&err) < 0 || run(&err) < 0 || vmem_region_free(ram, &err) < 0 ||
        vmem_vm_free(vm, &err) < 0) {
        fprintf(stderr, "%s\n", err.message);
        return EXIT_FAILURE;
    }
    return EXIT_SUCCESS;
}
