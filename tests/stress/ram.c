/* SPDX-License-Identifier: BSD-3-Clause */
#include "stress/ram.h"

#include "stress/threads.h"

struct vmem_backing *
stress_ram_backing(struct vmem_vm *vm, uint64_t size, uint64_t page_size,
                   int (*discard)(const struct vmem_range *range, void *opaque),
                   void *opaque)
{
    const struct vmem_backing_custom config = {
        .struct_size = sizeof(config),
        .name = "memory",
        .size = size,
        .page_size = page_size,
    };
    const struct vmem_backing_ops ops = {
        .struct_size = sizeof(ops),
        .discard = discard,
    };
    struct vmem_backing *backing = NULL;

    STRESS_CHECK(vmem_backing_new_custom(vm, &config, &ops, opaque, &backing,
                                         NULL) == 0);
    return backing;
}

void stress_ram_open(struct stress_ram *ram, struct vmem_vm *vm,
                     const char *name, struct vmem_backing *backing,
                     uint64_t block_size)
{
    const struct vmem_region_config region = {
        .struct_size = sizeof(region),
        .name = name,
        .backing = backing,
    };
    const struct vmem_source_config source = {
        .struct_size = sizeof(source),
        .name = "plugged",
        .block_size = block_size,
        .flags = VMEM_SOURCE_DISCARDS,
    };

    ram->backing = backing;
    STRESS_CHECK(vmem_region_new(vm, &region, &ram->region, NULL) == 0);
    STRESS_CHECK(vmem_source_add(ram->region, &source, &ram->source, NULL) ==
                 0);
}

void stress_ram_close(struct stress_ram *ram)
{
    STRESS_CHECK(vmem_source_remove(ram->source, NULL) == 0);
    STRESS_CHECK(vmem_region_free(ram->region, NULL) == 0);
    STRESS_CHECK(vmem_backing_free(ram->backing, NULL) == 0);
}
