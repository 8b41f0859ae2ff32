/* SPDX-License-Identifier: BSD-3-Clause */
/* What is populated if two parties have a say in one region? */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include <vmem/vmem.h>

#define MIB ((uint64_t)1024 * 1024)

static struct vmem_vm *vm;
static struct vmem_backing *memory;
static struct vmem_region *ram;
static struct vmem_source *plugged;
static struct vmem_source *shared;

//! [sources]
/* Memory follows the first: what it discards goes back to the host. The second
 * only hides, as for pages that a confidential guest has made private. */
static int add_sources(struct vmem_error *err)
{
    struct vmem_source_config plug = { sizeof(plug), .name = "plugged" };
    struct vmem_source_config share = { sizeof(share), .name = "shared" };

    plug.block_size = 4 * MIB;
    plug.flags = VMEM_SOURCE_DISCARDS;
    share.block_size = 1 * MIB;
    share.flags = VMEM_SOURCE_POPULATED;
    if (vmem_source_add(ram, &plug, &plugged, err) < 0 ||
        vmem_source_add(ram, &share, &shared, err) < 0) {
        return err->code;
    }
    return 0;
}
//! [sources]

static int start(struct vmem_error *err)
{
    struct vmem_vm_config machine = { sizeof(machine), .name = "guest" };
    struct vmem_backing_config want = { sizeof(want), .name = "ram" };
    struct vmem_region_config shape = { sizeof(shape), .name = "ram" };

    want.kind = VMEM_BACKING_MEMFD;
    want.size = 16 * MIB;
    if (vmem_vm_new(&machine, &vm, err) < 0 ||
        vmem_backing_new_allocated(vm, &want, &memory, err) < 0) {
        return err->code;
    }
    shape.backing = memory;
    if (vmem_region_new(vm, &shape, &ram, err) < 0 || add_sources(err) < 0) {
        return err->code;
    }
    return 0;
}

//! [walk]
static int show(const struct vmem_range *range, void *opaque)
{
    (void)opaque;
    printf("  %u..%u\n", (unsigned)(range->offset / MIB),
           (unsigned)((range->offset + range->size) / MIB));
    return 0; /* anything else ends the walk, which returns it */
}

static int show_all(const char *what)
{
    printf("%s; populated:\n", what);
    return vmem_region_for_each_populated(ram, NULL, show, NULL);
}
//! [walk]

static int run(struct vmem_error *err)
{
    const struct vmem_range low = { 0, 8 * MIB };
    const struct vmem_range private = { 3 * MIB, 2 * MIB };
    struct vmem_source_info info = { .struct_size = sizeof(info) };

    //! [change]
    if (vmem_source_populate(plugged, &low, err) < 0 ||
        show_all("0..8 is plugged") != 0 ||
        vmem_source_discard(shared, &private, err) < 0 ||
        show_all("3..5 is private") != 0) {
        return err->code;
    }
    //! [change]

    //! [with]
    /* Holds what it looked at, so nothing is discarded under the callback. */
    if (vmem_region_with_populated(ram, &low, show, NULL, err) == -ENXIO) {
        printf("%s\n", err->message);
    }
    //! [with]
    printf("is_populated says %d\n", vmem_region_is_populated(ram, &low));
    if (vmem_source_get_info(plugged, &info) == 0) {
        printf("%s has %u MiB\n", info.name,
               (unsigned)(info.populated_size / MIB));
    }
    return 0;
}

int main(void)
{
    struct vmem_error err = VMEM_ERROR_INIT;

    /* On failure the process ends, and the kernel takes everything back. */
    if (start(&err) < 0 || run(&err) < 0 ||
        vmem_source_remove(shared, &err) < 0 ||
        vmem_source_remove(plugged, &err) < 0 ||
        vmem_region_free(ram, &err) < 0 ||
        vmem_backing_free(memory, &err) < 0 || vmem_vm_free(vm, &err) < 0) {
        fprintf(stderr, "%s\n", err.message);
        return EXIT_FAILURE;
    }
    return EXIT_SUCCESS;
}
