/* SPDX-License-Identifier: BSD-3-Clause */
#include "region_change.h"

#include <errno.h>

static uint64_t granularity_units(const struct region_world *world,
                                  const struct recorder *listener)
{
    return listener->granularity >> world->unit_shift;
}

size_t region_change_nr_calls(const struct region_world *world,
                              const struct recorder *listener,
                              const bool *units, uint64_t end, bool in_chunks)
{
    uint64_t first = listener->window.offset >> world->unit_shift;
    uint64_t window_end = first + (listener->window.size >> world->unit_shift);
    uint64_t chunk = in_chunks ? granularity_units(world, listener) : 0;

    return model_count_calls(units, first, end < window_end ? end : window_end,
                             chunk);
}

bool region_change_is_exact(const struct recorder *listener)
{
    return (listener->flags & VMEM_LISTENER_EXACT_DISCARD) != 0;
}

unsigned region_change_find_veto(const struct region_world *world,
                                 const struct recorder *listener,
                                 const bool *units)
{
    for (unsigned end = 0; end <= world->nr_units; end++) {
        if (region_change_nr_calls(world, listener, units, end, true) >
            listener->veto_at) {
            return end - 1;
        }
    }
    return world->nr_units;
}

void region_change_find_vetoer(const struct region_world *world,
                               struct region_change *change)
{
    change->vetoer = -1;
    for (unsigned i = 0; i < world->nr_listeners; i++) {
        const struct recorder *listener = &world->listeners[world->order[i]];

        change->told = region_change_find_veto(world, listener, change->units);
        if (change->told < world->nr_units) {
            change->vetoer = (int)i;
            return;
        }
    }
}

void region_change_find_keeper(const struct region_world *world,
                               struct region_change *change)
{
    change->keeper = -1;
    for (unsigned i = 0; i < world->nr_listeners; i++) {
        const struct recorder *listener = &world->listeners[world->order[i]];

        if (listener->may_object &&
            region_change_nr_calls(
                world, listener, change->units, world->nr_units,
                region_change_is_exact(listener)) > listener->keep_at) {
            change->keeper = (int)i;
            return;
        }
    }
}

void region_change_find(const struct region_world *world, unsigned source,
                        const struct vmem_range *range, bool populated,
                        struct region_change *change)
{
    const struct vmem_range all = region_world_all(world);
    const struct model *model = world->model;

    range = range != NULL ? range : &all;
    for (unsigned unit = 0; unit < world->nr_units; unit++) {
        uint64_t pos = (uint64_t)unit << world->unit_shift;
        bool changes = pos >= range->offset &&
                       pos - range->offset < range->size &&
                       model->sources[source].has[unit] != populated;

        for (unsigned i = 0; i < NR_SOURCES && changes; i++) {
            changes = i == source || !model->sources[i].used ||
                      model->sources[i].has[unit];
        }
        change->units[unit] = changes;
    }
}

void region_change_check_quiet(const struct region_world *world)
{
    for (unsigned i = 0; i < NR_LISTENERS; i++) {
        const struct recorder *listener = &world->listeners[i];

        fuzz_check(listener->nr_populates == 0 && listener->nr_discards == 0 &&
                       listener->nr_asks == 0,
                   "%s was called", listener->name);
    }
}

void region_change_check_populate(const struct region_world *world,
                                  const struct region_change *change)
{
    uint64_t last = 0;

    for (unsigned i = 0; i < world->nr_listeners; i++) {
        const struct recorder *listener = &world->listeners[world->order[i]];
        size_t populates = region_change_nr_calls(
            world, listener, change->units, world->nr_units, true);
        size_t discards = 0;
        uint64_t end = world->nr_units;

        if (change->vetoer >= 0 && (int)i > change->vetoer) {
            populates = 0;
        } else if ((int)i == change->vetoer) {
            populates = listener->veto_at + 1;
            end = change->told;
        }
        if (change->vetoer >= (int)i) {
            discards =
                region_change_nr_calls(world, listener, change->units, end,
                                       region_change_is_exact(listener));
        }
        fuzz_check(listener->nr_populates == populates,
                   "%s: %llu populates, not %zu", listener->name,
                   (unsigned long long)listener->nr_populates, populates);
        fuzz_check(listener->nr_discards == discards,
                   "%s: %llu discards, not %zu", listener->name,
                   (unsigned long long)listener->nr_discards, discards);
        fuzz_check(listener->nr_asks == 0, "%s: asked", listener->name);
        fuzz_check(populates == 0 || listener->first_sequence > last,
                   "%s: out of order", listener->name);
        if (populates > 0 && change->vetoer < 0) {
            last = listener->last_sequence;
        }
    }
}

void region_change_check_discard(const struct region_world *world,
                                 const struct region_change *change)
{
    uint64_t last = 0;

    for (unsigned i = world->nr_listeners; i-- > 0;) {
        const struct recorder *listener = &world->listeners[world->order[i]];
        size_t discards = region_change_nr_calls(
            world, listener, change->units, world->nr_units,
            region_change_is_exact(listener));

        fuzz_check(listener->nr_populates == 0, "%s: populate", listener->name);
        fuzz_check(listener->nr_discards == discards,
                   "%s: %llu discards, not %zu", listener->name,
                   (unsigned long long)listener->nr_discards, discards);
        fuzz_check(discards == 0 || listener->first_sequence > last,
                   "%s: out of order", listener->name);
        last = discards > 0 ? listener->last_sequence : last;
    }
}

void region_change_check_asks(const struct region_world *world,
                              const struct region_change *change)
{
    uint64_t last = 0;

    for (unsigned i = 0; i < world->nr_listeners; i++) {
        const struct recorder *listener = &world->listeners[world->order[i]];
        size_t asks = 0;

        if (listener->may_object &&
            (change->keeper < 0 || (int)i < change->keeper)) {
            asks = region_change_nr_calls(world, listener, change->units,
                                          world->nr_units,
                                          region_change_is_exact(listener));
        } else if ((int)i == change->keeper) {
            asks = listener->keep_at + 1;
        }
        fuzz_check(listener->nr_asks == asks, "%s: asked %llu times, not %zu",
                   listener->name, (unsigned long long)listener->nr_asks, asks);
        fuzz_check(asks == 0 || listener->last_ask_sequence > last,
                   "%s: asked out of order", listener->name);
        last = asks > 0 ? listener->last_ask_sequence : last;
    }
    for (unsigned i = 0; i < world->nr_listeners; i++) {
        const struct recorder *listener = &world->listeners[world->order[i]];

        fuzz_check(listener->nr_discards == 0 ||
                       (change->keeper < 0 && listener->first_sequence > last),
                   "%s: told too early", listener->name);
    }
}

void region_change_check_veto(const struct region_world *world, int vetoer,
                              int ret, const struct vmem_error *err)
{
    const struct recorder *listener = &world->listeners[world->order[vetoer]];

    fuzz_check(ret == (listener->veto_code < 0 ? listener->veto_code : -EINVAL),
               "ret %d, vetoed with %d", ret, listener->veto_code);
    fuzz_check(err->reason == VMEM_REASON_LISTENER_VETO, "reason %u",
               err->reason);
}
