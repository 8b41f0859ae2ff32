/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef TESTS_FUZZ_REGION_WORLD_H
#define TESTS_FUZZ_REGION_WORLD_H

#include "fuzz_check.h"
#include "fuzz_input.h"
#include "support/fake_backing.h"
#include "support/model.h"
#include "support/recorder.h"

#define NR_SOURCES MODEL_MAX_SOURCES
#define NR_LISTENERS 4
#define NR_OWNERS 3
/* Walks over several sources look 64 blocks ahead at first. */
#define MAX_UNITS 80

/* A region twice: as libvmem has it, and naively. One byte of a model stands for
 * a unit, whose size is anything from a byte to 2^57, so that a region ends
 * anywhere up to just below 2^64. */
struct region_world {
    struct vmem_vm *vm;
    struct vmem_region *region;
    struct vmem_region *other; /* with every other block populated, or NULL */
    struct vmem_source *other_source;
    struct fake_backing memory;
    bool has_memory;
    bool is_nosy; /* listeners and memory call back into the library */
    unsigned unit_shift;
    uint64_t unit;
    unsigned nr_units;
    unsigned page_units;
    uint64_t now_ns;

    struct model *model;
    bool populated[MAX_UNITS]; /* what the model says */
    struct vmem_source *sources[NR_SOURCES];
    struct recorder listeners[NR_LISTENERS];
    unsigned order[NR_LISTENERS]; /* of registration */
    unsigned nr_listeners;
    bool frozen_by[NR_OWNERS];
    unsigned nr_frozen;

    /* Calls of listeners before the present step. */
    uint64_t nr_populates;
    uint64_t nr_discards;
    uint64_t nr_vetoes;

    bool fail_alloc;      /* the next allocation */
    uint64_t alloc_fails; /* or this one, counted from 1; 0: none */
    bool failed_alloc;
    const char *broken; /* the first wrong thing that a callback saw */
};

extern const char *const region_world_owners[NR_OWNERS];

/* What the first bytes of the input say. */
void region_world_open(struct region_world *world, struct fuzz_input *input);
/* Undoes all, whatever is left. */
void region_world_close(struct region_world *world);

/* Before a step: counts of calls start at 0. */
void region_world_begin(struct region_world *world);
/* After it: everything that can be seen agrees with the model. */
void region_world_check(struct region_world *world);

/* The model has changed: keep populated[] up to date. */
void region_world_update(struct region_world *world);

/* To be checked after the call that the library is in. */
void region_world_note(struct region_world *world, bool condition,
                       const char *what);

/* Walks over a window of any alignment, both kinds of runs. */
void region_world_check_walks(struct region_world *world,
                              const struct vmem_range *window,
                              unsigned stop_at);

/* Does a source retain this unit's memory? */
bool region_world_is_retained(const struct region_world *world, unsigned unit);

struct vmem_range region_world_range(const struct region_world *world,
                                     uint64_t first, uint64_t nr);

static inline struct vmem_range region_world_all(const struct region_world *w)
{
    return region_world_range(w, 0, w->nr_units);
}

#endif /* TESTS_FUZZ_REGION_WORLD_H */
