/* SPDX-License-Identifier: BSD-3-Clause */
/* What does a listener hear that joins, and leaves, a running machine? */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include <vmem/vmem.h>

#define MIB ((uint64_t)1024 * 1024)

static struct vmem_vm *vm;
static struct vmem_region *ram;
static struct vmem_source *plugged;
static struct vmem_listener *listener;

static void say(const char *what, const struct vmem_range *range)
{
    printf("  %s %u..%u\n", what, (unsigned)(range->offset / MIB),
           (unsigned)((range->offset + range->size) / MIB));
}

static int populate(const struct vmem_range *range, void *opaque)
{
    uint64_t *room = opaque; /* MiB that this one can still take */

    if (*room < range->size / MIB) {
        return -ENOMEM;
    }
    *room -= range->size / MIB;
    say("populate", range);
    return 0;
}

static void discard(const struct vmem_range *range, void *opaque)
{
    uint64_t *room = opaque;

    *room += range->size / MIB;
    say("discard", range);
}

/* The last call of all: what opaque points to could be freed here. */
static void destroy(void *opaque)
{
    printf("  destroy, %u MiB are free\n", (unsigned)*(uint64_t *)opaque);
}

static int start(struct vmem_error *err)
{
    struct vmem_vm_config machine = { sizeof(machine), .name = "guest" };
    struct vmem_region_config memory = { sizeof(memory), .name = "ram" };
    struct vmem_source_config what = { sizeof(what), .name = "plugged" };

    memory.size = 64 * MIB;
    what.block_size = 4 * MIB;
    if (vmem_vm_new(&machine, &vm, err) < 0 ||
        vmem_region_new(vm, &memory, &ram, err) < 0 ||
        vmem_source_add(ram, &what, &plugged, err) < 0) {
        return err->code;
    }
    return 0;
}

//! [join]
/* Follows 8..36 MiB. Fails, with destroy called, or has all of the present. */
static int join(const char *name, uint64_t *room, struct vmem_error *err)
{
    const struct vmem_listener_ops ops = { sizeof(ops), .populate = populate,
                                           .discard = discard,
                                           .destroy = destroy };
    const struct vmem_listener_config what = { sizeof(what), .name = name,
                                               .window = { 8 * MIB, 28 * MIB },
                                               .granularity = 4 * MIB };

    printf("%s joins\n", name);
    return vmem_listener_add(ram, &what, &ops, room, &listener, err);
}
//! [join]

//! [run]
static int run(struct vmem_error *err)
{
    static uint64_t small = 4, large = 64;
    const struct vmem_range low = { 4 * MIB, 12 * MIB };
    const struct vmem_range high = { 32 * MIB, 8 * MIB };

    printf("4..16 becomes populated\n");
    if (vmem_source_populate(plugged, &low, err) < 0) {
        return err->code;
    }
    if (join("small", &small, err) < 0) {
        printf("refused: %s\n", err->message);
    }
    if (join("large", &large, err) < 0) {
        return err->code;
    }
    printf("32..40 becomes populated, 4..16 discarded\n");
    if (vmem_source_populate(plugged, &high, err) < 0 ||
        vmem_source_discard(plugged, &low, err) < 0) {
        return err->code;
    }
    printf("large leaves\n");
    return vmem_listener_remove(listener, err);
}
//! [run]

int main(void)
{
    struct vmem_error err = VMEM_ERROR_INIT;

    /* On failure the process ends, and the kernel takes everything back. */
    if (start(&err) < 0 || run(&err) < 0 ||
        vmem_source_remove(plugged, &err) < 0 ||
        vmem_region_free(ram, &err) < 0 || vmem_vm_free(vm, &err) < 0) {
        fprintf(stderr, "%s\n", err.message);
        return EXIT_FAILURE;
    }
    return EXIT_SUCCESS;
}
