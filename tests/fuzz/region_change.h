/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef TESTS_FUZZ_REGION_CHANGE_H
#define TESTS_FUZZ_REGION_CHANGE_H

#include "region_world.h"

/* A change, and what it should do to the listeners. */
struct region_change {
    bool units[MAX_UNITS]; /* that become populated, or discarded */
    int vetoer;            /* index in order, or -1 */
    unsigned told;         /* unit up to which the vetoer was told */
    int keeper;            /* who refuses a discard: index in order, or -1 */
};

/* Calls that tell a listener of units before end: one for each run, or for each
 * chunk of one. */
size_t region_change_nr_calls(const struct region_world *world,
                              const struct recorder *listener,
                              const bool *units, uint64_t end, bool in_chunks);

bool region_change_is_exact(const struct recorder *listener);

/* Where the call starts that a listener refuses; nr_units: it refuses none. */
unsigned region_change_find_veto(const struct region_world *world,
                                 const struct recorder *listener,
                                 const bool *units);

/* Sets vetoer and told for the units of the change. */
void region_change_find_vetoer(const struct region_world *world,
                               struct region_change *change);

/* Sets keeper for the units of the change, which are to be discarded. */
void region_change_find_keeper(const struct region_world *world,
                               struct region_change *change);

/* Units of a source that would be seen to change; all of them if range is
 * NULL. populated: they become populated. */
void region_change_find(const struct region_world *world, unsigned source,
                        const struct vmem_range *range, bool populated,
                        struct region_change *change);

/* Who was called since the step began, how often and in which order: nobody; for
 * a change that succeeded or was vetoed; for a discard. */
void region_change_check_quiet(const struct region_world *world);
void region_change_check_populate(const struct region_world *world,
                                  const struct region_change *change);
void region_change_check_discard(const struct region_world *world,
                                 const struct region_change *change);

/* Everybody was asked about a discard up to the one who refused, if any, and before
 * anybody was told. */
void region_change_check_asks(const struct region_world *world,
                              const struct region_change *change);

/* The veto of this one, by its place in the order, came back as it was. */
void region_change_check_veto(const struct region_world *world, int vetoer,
                              int ret, const struct vmem_error *err);

#endif /* TESTS_FUZZ_REGION_CHANGE_H */
