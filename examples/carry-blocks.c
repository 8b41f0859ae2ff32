/* SPDX-License-Identifier: BSD-3-Clause */
/* How does a device begin anew on memory in which its guest's contents are? */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <vmem/vmem.h>

#define BLOCK ((uint64_t)2 << 20)

/* What goes into a stream or file, in a form of the host's own. */
struct stream {
    struct vmem_device_saved saved;
    uint64_t blocks[1];
};

static struct vmem_vm *vm;
static struct vmem_backing *backing;
static struct vmem_region *ram;

static int start(char **memory, struct vmem_error *err)
{
    struct vmem_vm_config machine = { sizeof(machine), .name = "guest" };
    struct vmem_backing_config some = { sizeof(some), .name = "memory",
                                        .size = 8 * BLOCK,
                                        .kind = VMEM_BACKING_ANON };
    struct vmem_region_config region = { sizeof(region), .name = "ram" };
    struct vmem_backing_info info = { sizeof(info), .name = NULL };
    int ret = vmem_vm_new(&machine, &vm, err);

    if (ret == 0) {
        ret = vmem_backing_new_allocated(vm, &some, &backing, err);
    }
    region.backing = backing;
    vmem_backing_get_info(backing, &info);
    *memory = info.hva;
    return ret < 0 ? ret : vmem_region_new(vm, &region, &ram, err);
}

static int make(uint64_t flags, struct vmem_device **device,
                struct vmem_error *err)
{
    struct vmem_device_config virtio = { sizeof(virtio), .name = "vmem0" };

    virtio.gpa = 2048 * BLOCK;
    virtio.block_size = BLOCK;
    virtio.requested_size = 3 * BLOCK;
    virtio.flags = flags;
    return vmem_device_new(ram, &virtio, NULL, NULL, device, err);
}

//! [save]
/* While it is frozen, or its guest stands still. */
static int save(const struct vmem_device *from, struct stream *to)
{
    to->saved.struct_size = sizeof(to->saved);
    return vmem_device_save(from, &to->saved, to->blocks, 1);
}
//! [save]

//! [early]
/* The blocks, as soon as they come: listeners map them, memory is had or not.
 * With sizes that allow anything, until the right ones are known. */
static int load_blocks(struct vmem_device *to, const struct stream *from,
                       struct vmem_error *err)
{
    struct vmem_device_saved saved = from->saved;

    saved.requested_size = saved.plugged_size;
    saved.usable_region_size = saved.region_size;
    return vmem_device_load(to, &saved, from->blocks, 1, err);
}
//! [early]

//! [late]
/* The sizes, in the end: the blocks are the same, so nobody is told of them. */
static int load_sizes(struct vmem_device *to, const struct stream *from,
                      struct vmem_error *err)
{
    return vmem_device_load(to, &from->saved, from->blocks, 1, err);
}
//! [late]

static void show(const char *when, struct vmem_device *device)
{
    struct vmem_device_info info = { sizeof(info), .name = NULL };

    vmem_device_get_info(device, &info);
    printf("%s: %u blocks plugged, %u retained\n", when,
           (unsigned)(info.plugged_size / BLOCK),
           (unsigned)(info.retained_size / BLOCK));
}

int main(void)
{
    unsigned char plug[24] = { [10] = 0x20, [12] = 1, [16] = 3 }, answer[10];
    struct vmem_error err = VMEM_ERROR_INIT;
    struct vmem_device *device;
    struct stream stream;
    char *memory;

    if (start(&memory, &err) < 0 || make(0, &device, &err) < 0 ||
        vmem_device_handle_request(device, plug, 24, answer, 10, NULL) < 0) {
        return EXIT_FAILURE;
    }
    strcpy(memory + BLOCK, "here the guest has its page tables");
    if (save(device, &stream) < 0 || vmem_device_free(device, &err) < 0 ||
        make(VMEM_DEVICE_KEEP_MEMORY, &device, &err) < 0) {
        return EXIT_FAILURE;
    }
    show("made", device);
    if (load_blocks(device, &stream, &err) == 0 &&
        load_sizes(device, &stream, &err) == 0) {
        show("loaded", device);
        printf("block 1: %s\n", memory + BLOCK);
    }
    return vmem_device_free(device, NULL) | vmem_region_free(ram, NULL) |
           vmem_backing_free(backing, NULL) | vmem_vm_free(vm, NULL);
}
