/* SPDX-License-Identifier: BSD-3-Clause */
/* How does a migration hold memory still, and which pages must it send? */
#include <stdio.h>
#include <stdlib.h>

#include <vmem/vmem.h>

#define MIB ((uint64_t)1024 * 1024)
#define PAGE 4096

static struct vmem_vm *vm;
static struct vmem_region *ram;
static struct vmem_device *device;

static void config_changed(void *opaque)
{
    (void)opaque;
    printf("  config interrupt\n");
}

static int start(struct vmem_error *err)
{
    struct vmem_vm_config machine = { sizeof(machine), .name = "guest" };
    struct vmem_region_config memory = { sizeof(memory), .name = "ram" };
    struct vmem_device_config virtio = { sizeof(virtio), .name = "vmem0" };
    struct vmem_device_ops ops = { .struct_size = sizeof(ops) };

    memory.size = 8 * MIB;
    virtio.gpa = 4096 * MIB;
    virtio.block_size = 2 * MIB;
    virtio.requested_size = 8 * MIB;
    ops.config_changed = config_changed;
    if (vmem_vm_new(&machine, &vm, err) < 0 ||
        vmem_region_new(vm, &memory, &ram, err) < 0 ||
        vmem_device_new(ram, &virtio, &ops, NULL, &device, err) < 0) {
        return err->code;
    }
    return 0;
}

/* The guest plugs one block. */
static int plug(unsigned char block)
{
    const unsigned char request[24] = {
        [10] = (unsigned char)(block * 0x20), [12] = 1, [16] = 1
    };
    unsigned char response[VMEM_DEVICE_RESPONSE_SIZE];
    int ret = vmem_device_handle_request(device, request, sizeof(request),
                                         response, sizeof(response), NULL);

    if (ret == VMEM_REQUEST_RESPOND) {
        printf("plug of block %u: %s\n", block,
               response[0] == VMEM_RESPONSE_ACK ? "ACK" : "BUSY");
    }
    return ret;
}

//! [pages]
static int skip(const struct vmem_range *range, void *opaque)
{
    (void)opaque;
    printf("  nothing at %u MiB, %u MiB long\n",
           (unsigned)(range->offset / MIB), (unsigned)(range->size / MIB));
    return 0;
}

/* One bit for each page; with a large region, window by window. */
static int find_pages(void)
{
    uint64_t words[8 * MIB / PAGE / 64];
    unsigned int nr_words = 0;
    int ret = vmem_region_get_page_bitmap(ram, NULL, PAGE, words);

    for (size_t i = 0; ret == 0 && i < sizeof(words) / sizeof(*words); i++) {
        nr_words += words[i] == UINT64_MAX;
    }
    printf("  %u pages to send\n", nr_words * 64);
    return ret == 0 ? vmem_region_for_each_discarded(ram, NULL, skip, NULL)
                    : ret;
}
//! [pages]

//! [freeze]
/* From freeze to thaw no block changes and no memory is touched. Requests are
 * answered BUSY; the thaw tells the guest to try again at once. */
static int migrate(struct vmem_error *err)
{
    if (vmem_region_freeze(ram, "migration", err) < 0) {
        return err->code;
    }
    printf("frozen: %d\n", vmem_region_is_frozen(ram));
    if (plug(2) < 0 || find_pages() < 0) {
        (void)vmem_region_thaw(ram, "migration", NULL);
        return -1;
    }
    printf("thawed\n");
    return vmem_region_thaw(ram, "migration", err);
}
//! [freeze]

int main(void)
{
    struct vmem_error err = VMEM_ERROR_INIT;

    if (start(&err) < 0 || plug(1) < 0 || migrate(&err) < 0 || plug(2) < 0 ||
        vmem_device_free(device, &err) < 0 || vmem_region_free(ram, &err) < 0 ||
        vmem_vm_free(vm, &err) < 0) {
        fprintf(stderr, "%s\n", err.message);
        return EXIT_FAILURE;
    }
    return EXIT_SUCCESS;
}
