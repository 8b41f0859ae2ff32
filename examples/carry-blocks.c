/* SPDX-License-Identifier: BSD-3-Clause */
/* How do plugged blocks get into another machine, without loading them? */
#include <stdio.h>
#include <stdlib.h>

#include <vmem/vmem.h>

#define MIB ((uint64_t)1024 * 1024)
#define BLOCK (2 * MIB)
#define EXTENT (4 * MIB)
#define NR_BLOCKS 8

struct machine {
    struct vmem_vm *vm;
    struct vmem_region *ram;
    struct vmem_device *device;
};

static int start(struct machine *to, struct vmem_error *err)
{
    struct vmem_vm_config machine = { sizeof(machine), .name = "guest" };
    struct vmem_region_config memory = { sizeof(memory), .name = "ram" };
    struct vmem_device_config virtio = { sizeof(virtio), .name = "vmem0" };

    memory.size = NR_BLOCKS * BLOCK;
    virtio.gpa = 4096 * MIB;
    virtio.block_size = BLOCK;
    virtio.usable_policy = VMEM_USABLE_EXTENT;
    virtio.usable_headroom = EXTENT;
    if (vmem_vm_new(&machine, &to->vm, err) < 0 ||
        vmem_region_new(to->vm, &memory, &to->ram, err) < 0) {
        return err->code;
    }
    return vmem_device_new(to->ram, &virtio, NULL, NULL, &to->device, err);
}

static int stop(struct machine *of)
{
    return vmem_region_thaw(of->ram, "migration", NULL) |
           vmem_device_free(of->device, NULL) |
           vmem_region_free(of->ram, NULL) | vmem_vm_free(of->vm, NULL);
}

/* What a guest would send, at most 65,535 blocks; 0 if acknowledged. */
static int plug(struct machine *in, unsigned int first, unsigned int nr_blocks)
{
    const unsigned char request[24] = { [10] = (unsigned char)(first * 0x20),
                                        [12] = 1,
                                        [16] = (unsigned char)nr_blocks };
    unsigned char response[VMEM_DEVICE_RESPONSE_SIZE];
    int ret = vmem_device_handle_request(in->device, request, sizeof(request),
                                         response, sizeof(response), NULL);

    return ret == VMEM_REQUEST_RESPOND ? -response[0] : -1;
}

//! [save]
/* Frozen, so that sizes and blocks belong together. One bit for each block. */
static int save(struct machine *from, struct vmem_device_info *info,
                uint64_t *words, struct vmem_error *err)
{
    info->struct_size = sizeof(*info);
    if (vmem_region_freeze(from->ram, "migration", err) < 0 ||
        vmem_device_get_info(from->device, info) < 0) {
        return -1;
    }
    return vmem_region_get_page_bitmap(from->ram, NULL, BLOCK, words);
}
//! [save]

//! [load]
/* No guest runs yet. The size for which the policy gives the usable region that
 * the guest knows is at least what is plugged, so no plug is refused. */
static int load(struct machine *to, const struct vmem_device_info *info,
                uint64_t blocks, struct vmem_error *err)
{
    uint64_t reach = info->usable_region_size;

    if (reach > 0 && reach < info->region_size) {
        reach = (reach - EXTENT) / BLOCK * BLOCK;
    }
    if (vmem_device_resize(to->device, reach, err) < 0) {
        return -1;
    }
    for (unsigned int first = 0, end; first < NR_BLOCKS; first = end + 1) {
        for (end = first; end < NR_BLOCKS && (blocks >> end & 1) != 0; end++) {
        }
        if (end > first && plug(to, first, end - first) < 0) {
            return -1;
        }
    }
    return vmem_device_resize(to->device, info->requested_size, err);
}
//! [load]

int main(void)
{
    struct vmem_error err = VMEM_ERROR_INIT;
    struct vmem_device_info was, is;
    struct machine a, b;
    uint64_t blocks, loaded;

    if (start(&a, &err) < 0 || start(&b, &err) < 0 ||
        vmem_device_resize(a.device, 10 * MIB, &err) < 0 ||
        plug(&a, 0, 3) < 0 || plug(&a, 4, 1) < 0 ||
        vmem_device_resize(a.device, 2 * MIB, &err) < 0 ||
        save(&a, &was, &blocks, &err) < 0 || load(&b, &was, blocks, &err) < 0 ||
        save(&b, &is, &loaded, &err) < 0) {
        fprintf(stderr, "failed: %s\n", err.message);
        return EXIT_FAILURE;
    }
    printf("blocks %#x, requested %u MiB, usable %u MiB\n", (unsigned)blocks,
           (unsigned)(was.requested_size / MIB),
           (unsigned)(was.usable_region_size / MIB));
    printf("blocks %#x, requested %u MiB, usable %u MiB\n", (unsigned)loaded,
           (unsigned)(is.requested_size / MIB),
           (unsigned)(is.usable_region_size / MIB));
    return stop(&a) == 0 && stop(&b) == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
