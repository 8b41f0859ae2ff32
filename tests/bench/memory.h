/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef TESTS_BENCH_MEMORY_H
#define TESTS_BENCH_MEMORY_H

#include <stdbool.h>
#include <stdint.h>

#include <vmem/vmem.h>

#include "bench.h"

#define MEMORY_BLOCK (2 * BENCH_MIB)

struct memory_kind {
    const char *name;
    uint32_t kind;
    bool huge_advice; /* transparent huge pages are asked for */
};

/* The same memory twice: the library's, and the benchmark's own. */
struct memory {
    const struct memory_kind *kind;
    uint64_t size;
    struct vmem_vm *vm;
    struct vmem_backing *backing;
    struct vmem_backing_info info;
    char *own; /* mapped like the library's */
    int own_fd;
};

/* Why it cannot be measured here, or NULL. memory_destroy() in either case. */
const char *memory_init(struct memory *memory, const struct memory_kind *kind,
                        uint64_t size, uint64_t populate_threads);
void memory_destroy(struct memory *memory);

/* Raw: of the library's memory, of the benchmark's own, the latter by the
 * sequence that the library says it uses. */
void memory_populate_ours(struct memory *memory);
void memory_populate_own(struct memory *memory, uint64_t offset, uint64_t size);
void memory_discard_own(struct memory *memory, uint64_t offset, uint64_t size);

uint64_t memory_nr_syscalls(const struct memory *memory);
uint64_t memory_nr_threads(const struct memory *memory);

#endif /* TESTS_BENCH_MEMORY_H */
