/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef TESTS_SUPPORT_BACKING_RIG_H
#define TESTS_SUPPORT_BACKING_RIG_H

#include <vmem/vmem.h>

#include "support/host_memory.h"

/* A machine for tests of backings, one at a time, and memory of each kind as its
 * host describes it. */

/* Short, for tables. */
#define PUNCH VMEM_BACKING_USES_PUNCH_HOLE
#define REMOVE VMEM_BACKING_USES_REMOVE
#define DONTNEED VMEM_BACKING_USES_DONTNEED
#define TABLES VMEM_BACKING_USES_DONTNEED_TABLES
#define LOCKED VMEM_BACKING_USES_LOCKED

/* What the log sink got. */
struct backing_log {
    unsigned int nr_codes[VMEM_LOG_CODE_UNVERIFIED + 1];
    uint32_t level;
    uint32_t blame;
    char object[VMEM_NAME_MAX + 1];
};

extern struct vmem_vm *backing_vm;
extern struct backing_log backing_log;

/* Afterwards no system call is faked, no allocation fails, and huge pages are
 * given back. */
int backing_set_up(void **state);
int backing_tear_down(void **state);

struct vmem_backing_mapping backing_describe(const struct host_memory *memory);
struct vmem_backing_config backing_request(uint32_t kind, uint64_t size);
struct vmem_backing_info backing_info(const struct vmem_backing *backing);

/* Makes memory of a kind, or prints why the test goes on without it. */
bool backing_memory(struct host_memory *memory, enum host_kind kind,
                    size_t size, size_t fd_offset);

struct vmem_backing *backing_accept(const struct vmem_backing_mapping *mapping);

/* The same with NULL for the error; nothing is written, no descriptor is left. */
void backing_refuse(const struct vmem_backing_mapping *mapping, int code,
                    uint32_t reason, const char *text);

#endif /* TESTS_SUPPORT_BACKING_RIG_H */
