/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef TESTS_STRESS_RAM_H
#define TESTS_STRESS_RAM_H

#include <stdint.h>

#include <vmem/vmem.h>

/* A region that one source plugs and discards. */
struct stress_ram {
    struct vmem_backing *backing;
    struct vmem_region *region;
    struct vmem_source *source;
};

/* Memory of which only discards are told. */
struct vmem_backing *
stress_ram_backing(struct vmem_vm *vm, uint64_t size, uint64_t page_size,
                   int (*discard)(const struct vmem_range *range, void *opaque),
                   void *opaque);

/* The backing belongs to it from now on. */
void stress_ram_open(struct stress_ram *ram, struct vmem_vm *vm,
                     const char *name, struct vmem_backing *backing,
                     uint64_t block_size);
void stress_ram_close(struct stress_ram *ram);

#endif /* TESTS_STRESS_RAM_H */
