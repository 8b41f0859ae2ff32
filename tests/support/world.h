/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef TESTS_SUPPORT_WORLD_H
#define TESTS_SUPPORT_WORLD_H

#include "support/fake_backing.h"

/* A machine with one region on fake memory, a clock that stands still, and
 * everything it logs. */
struct world {
    struct vmem_vm *vm;
    struct fake_backing memory;
    struct vmem_region *region;
    struct journal journal;
    uint64_t size;
    uint64_t unit;
    _Atomic uint64_t now_ns;
    _Atomic uint64_t nr_logs;
    struct vmem_log_record last_log; /* its strings are the next two */
    char log_object[VMEM_NAME_MAX + 1];
    char log_message[256];
    void (*on_log)(void *opaque); /* called for each record, with the world */
};

/* size and unit in bytes; a unit of 0 keeps no shadows. flags: of the backing.
 * Calls that a test needs to succeed are asserted. */
void world_open(struct world *world, uint64_t size, uint64_t unit,
                uint64_t flags);

/* Frees all, which nothing may refuse, and fails on complaints. */
void world_close(struct world *world);

/* A source that discards, unless flags say otherwise. */
struct vmem_source *world_add_source(struct world *world, const char *name,
                                     uint64_t block_size, uint64_t flags);

/* Registers a listener on the region and lets the memory watch it. Window and
 * granularity in bytes. */
void world_add_listener(struct world *world, struct recorder *recorder,
                        const char *name, struct vmem_range window,
                        uint64_t granularity, uint64_t flags);
/* The same with a may_discard. */
void world_add_objector(struct world *world, struct recorder *recorder,
                        const char *name, struct vmem_range window,
                        uint64_t granularity, uint64_t flags);
void world_remove_listener(struct world *world, struct recorder *recorder);

/* What happened since the last call was exactly this. */
#define world_expect(world, text)                                              \
    assert_string_equal(journal_take(&(world)->journal), text)

/* nr units from first on, in bytes. */
struct vmem_range units(const struct world *world, uint64_t first, uint64_t nr);

/* Changes units of a source. */
int world_plug(struct world *world, struct vmem_source *source, uint64_t first,
               uint64_t nr);
int world_unplug(struct world *world, struct vmem_source *source,
                 uint64_t first, uint64_t nr);

uint64_t world_populated(struct world *world);
uint64_t world_retained(struct world *world);

/* "[0,2) [5,6)": runs in units. */
const char *world_populated_runs(struct world *world);

#endif /* TESTS_SUPPORT_WORLD_H */
