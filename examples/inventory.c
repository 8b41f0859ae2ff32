/* SPDX-License-Identifier: BSD-3-Clause */
/* What belongs to a machine, and why can I not free it? */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include <vmem/vmem.h>

#define MIB ((uint64_t)1024 * 1024)

static struct vmem_vm *vm;
static struct vmem_backing *memory;
static struct vmem_region *ram;
static struct vmem_device *device;

static int start(struct vmem_error *err)
{
    struct vmem_vm_config machine = { sizeof(machine), .name = "guest" };
    struct vmem_backing_config want = { sizeof(want), .name = "ram" };
    struct vmem_region_config shape = { sizeof(shape), .name = "ram" };
    struct vmem_device_config virtio = { sizeof(virtio), .name = "vmem0" };

    want.kind = VMEM_BACKING_ANON;
    want.size = 64 * MIB;
    virtio.gpa = 4096 * MIB;
    virtio.block_size = 2 * MIB;
    if (vmem_vm_new(&machine, &vm, err) < 0 ||
        vmem_backing_new_allocated(vm, &want, &memory, err) < 0) {
        return err->code;
    }
    shape.backing = memory;
    if (vmem_region_new(vm, &shape, &ram, err) < 0 ||
        vmem_device_new(ram, &virtio, NULL, NULL, &device, err) < 0) {
        return err->code;
    }
    return 0;
}

//! [show]
/* The lists are locked meanwhile: ask whatever you like, change nothing. */
static int show_region(struct vmem_region *region, void *opaque)
{
    (void)opaque;
    printf("  region %s, %u MiB, %s memory\n", vmem_region_get_name(region),
           (unsigned)(vmem_region_get_size(region) / MIB),
           vmem_region_get_backing(region) == NULL ? "no" : "with");
    return 0;
}

static int show_device(struct vmem_device *one, void *opaque)
{
    struct vmem_device_info info = { .struct_size = sizeof(info) };
    int ret = vmem_device_get_info(one, &info);

    (void)opaque;
    if (ret == 0) {
        printf("  device %s in %s at %u MiB, blocks of %u MiB\n", info.name,
               vmem_region_get_name(info.region), (unsigned)(info.gpa / MIB),
               (unsigned)(info.block_size / MIB));
    }
    return ret;
}

static int show(void)
{
    printf("machine %s:\n", vmem_vm_get_name(vm));
    if (vmem_vm_for_each_region(vm, show_region, NULL) != 0) {
        return -1;
    }
    return vmem_vm_for_each_device(vm, show_device, NULL);
}
//! [show]

//! [free]
/* Children first. The other way round nothing happens, and the error names
 * what is in the way. */
static int stop(struct vmem_error *err)
{
    if (vmem_region_free(ram, err) == -EBUSY) {
        printf("%s (%s)\n", err->message, vmem_reason_name(err->reason));
    }
    if (vmem_device_free(device, err) < 0 || vmem_region_free(ram, err) < 0) {
        return err->code;
    }
    if (vmem_vm_free(vm, err) == -EBUSY) {
        printf("%s (%s)\n", err->message, vmem_reason_name(err->reason));
    }
    if (vmem_backing_free(memory, err) < 0 || vmem_vm_free(vm, err) < 0) {
        return err->code;
    }
    return 0;
}
//! [free]

//! [version]
/* Headers and library may be of different patch versions, never of different
 * minor ones: the soname sees to that. */
static void show_versions(void)
{
    fprintf(stderr, "compiled against %s, running %s\n", VMEM_VERSION,
            vmem_version());
}
//! [version]

int main(void)
{
    struct vmem_error err = VMEM_ERROR_INIT;

    show_versions();
    if (start(&err) < 0 || show() < 0 || stop(&err) < 0) {
        fprintf(stderr, "%s\n", err.message);
        return EXIT_FAILURE;
    }
    return EXIT_SUCCESS;
}
