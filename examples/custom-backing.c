/* SPDX-License-Identifier: BSD-3-Clause */
/* How does memory that only I can give back become a backing? */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include <vmem/vmem.h>

#define MIB ((uint64_t)1024 * 1024)

static struct vmem_vm *vm;
static struct vmem_backing *memory;
static struct vmem_region *ram;
static struct vmem_source *plugged;

/* Stands for a pool behind some hypervisor's call; each block is 1 MiB. */
static void *pool[8];
static int is_broken; /* takes nothing back at the moment */

//! [ops]
/* Give back; it reads as zero from now on. Or fail: then it is retained. */
static int discard(const struct vmem_range *range, void *opaque)
{
    const uint64_t end = (range->offset + range->size) / MIB;
    void **blocks = opaque;

    if (is_broken) {
        return -EIO;
    }
    for (uint64_t i = range->offset / MIB; i < end; i++) {
        free(blocks[i]);
        blocks[i] = NULL;
    }
    return 0;
}

/* Before a plug is told to anybody. On failure the range is discarded. */
static int populate(const struct vmem_range *range, void *opaque)
{
    const uint64_t end = (range->offset + range->size) / MIB;
    void **blocks = opaque;

    for (uint64_t i = range->offset / MIB; i < end; i++) {
        if ((blocks[i] = calloc(1, MIB)) == NULL) {
            return -ENOMEM;
        }
    }
    return 0;
}
//! [ops]

//! [make]
static int start(struct vmem_error *err)
{
    struct vmem_vm_config machine = { sizeof(machine), .name = "guest" };
    struct vmem_backing_custom what = { sizeof(what), .name = "pool" };
    struct vmem_backing_ops ops = { sizeof(ops), .discard = discard,
                                    .populate = populate };
    struct vmem_region_config shape = { sizeof(shape), .name = "ram" };
    struct vmem_source_config plug = { sizeof(plug), .name = "plugged" };

    what.size = sizeof(pool) / sizeof(*pool) * MIB;
    what.page_size = plug.block_size = MIB;
    what.flags = VMEM_BACKING_POPULATE;
    plug.flags = VMEM_SOURCE_DISCARDS;
    if (vmem_vm_new(&machine, &vm, err) < 0 ||
        vmem_backing_new_custom(vm, &what, &ops, pool, &memory, err) < 0) {
        return err->code;
    }
    shape.backing = memory;
    if (vmem_region_new(vm, &shape, &ram, err) < 0 ||
        vmem_source_add(ram, &plug, &plugged, err) < 0) {
        return err->code;
    }
    return 0;
}
//! [make]

static int show(const char *what)
{
    struct vmem_region_info info = { .struct_size = sizeof(info) };
    int ret = vmem_region_get_info(ram, &info);

    printf("%s: %u MiB populated, %u MiB retained\n", what,
           (unsigned)(info.populated_size / MIB),
           (unsigned)(info.retained_size / MIB));
    return ret;
}

//! [retained]
static int run(struct vmem_error *err)
{
    const struct vmem_range all = { 0, 8 * MIB };

    if (vmem_source_populate(plugged, &all, err) < 0 || show("plugged") < 0) {
        return -1;
    }
    is_broken = 1; /* for the guest the memory is gone all the same */
    if (vmem_source_discard(plugged, &all, err) < 0 || show("unplugged") < 0) {
        return err->code;
    }
    is_broken = 0;
    return vmem_region_retry_discards(ram, err) < 0 ? err->code : show("again");
}
//! [retained]

int main(void)
{
    struct vmem_error err = VMEM_ERROR_INIT;

    if (start(&err) < 0 || run(&err) < 0 ||
        vmem_source_remove(plugged, &err) < 0 ||
        vmem_region_free(ram, &err) < 0 ||
        vmem_backing_free(memory, &err) < 0 || vmem_vm_free(vm, &err) < 0) {
        fprintf(stderr, "%s\n", err.message);
        return EXIT_FAILURE;
    }
    return EXIT_SUCCESS;
}
