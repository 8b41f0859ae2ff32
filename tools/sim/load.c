/* SPDX-License-Identifier: BSD-3-Clause */
#include "sim/load.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "sim/guest_sim.h"
#include "sim/random.h"

/* Flags of a pageblock. */
#define DRAWN 1u   /* the pattern pins it when it is plugged */
#define BY_LOAD 2u /* pinned */
#define BY_HAND 4u /* pinned */
#define PINNED (BY_LOAD | BY_HAND)

/* Linux groups what cannot be moved: few long runs, drawn by a chain with two
 * states. Chances in thousandths. */
static const struct {
    uint64_t fraction;
    uint64_t mean_run;
    uint64_t units; /* in how many of the units there are any */
    uint64_t release;
} patterns[] = {
    [VMEM_GUEST_PATTERN_MOVABLE] = { 0, 1, 0, 0 },
    [VMEM_GUEST_PATTERN_IDLE] = { 0, 1, 0, 0 },
    [VMEM_GUEST_PATTERN_SLAB] = { 60, 8, 1000, 500 },
    [VMEM_GUEST_PATTERN_PRESSURE] = { 200, 40, 1000, 800 },
    [VMEM_GUEST_PATTERN_SCATTER] = { 90, 3, 330, 200 },
    [VMEM_GUEST_PATTERN_CHECKER] = { 0, 1, 0, 0 },
    [VMEM_GUEST_PATTERN_RANDOM] = { 500, 2, 1000, 100 },
};

static void draw_chain(struct guesti_load *load, uint64_t pattern,
                       uint64_t per_unit)
{
    const uint64_t fraction = patterns[pattern].fraction;
    const uint64_t leave = 1000 / patterns[pattern].mean_run;
    const uint64_t enter = leave * fraction / (1000 - fraction);
    bool inside = guesti_random_chance(&load->random, fraction);
    bool unit_has_any = true;

    for (uint64_t i = 0; i < load->nr; i++) {
        if (i % per_unit == 0) {
            unit_has_any =
                guesti_random_chance(&load->random, patterns[pattern].units);
        }
        if (inside && unit_has_any) {
            load->flags[i] |= DRAWN;
        }
        inside = inside ? !guesti_random_chance(&load->random, leave)
                        : guesti_random_chance(&load->random, enter);
    }
}

static void draw_idle(struct guesti_load *load, uint64_t per_unit)
{
    const uint64_t end = per_unit < load->nr ? per_unit : load->nr;
    const uint64_t nr = 1 + guesti_random_below(&load->random, 9);
    uint64_t first;

    if (end == 0) {
        return;
    }
    first = guesti_random_below(&load->random, end);
    for (uint64_t i = first; i < end && i < first + nr; i++) {
        load->flags[i] |= DRAWN;
    }
}

int guesti_load_open(struct guesti_load *load, uint64_t gpa, uint64_t size,
                     uint64_t pageblock_size, uint64_t unit, uint64_t pattern,
                     uint64_t seed)
{
    const uint64_t base = gpa / pageblock_size * pageblock_size;
    const uint64_t per_unit = unit > pageblock_size ? unit / pageblock_size : 1;

    guesti_load_close(load);
    load->base = base;
    load->pageblock_size = pageblock_size;
    load->nr = size == 0 ? 0 : (gpa - base + (size - 1)) / pageblock_size + 1;
    load->random = seed;
    load->release_permille = patterns[pattern].release;
    load->flags = calloc(load->nr + 1, 1);
    if (load->flags == NULL) {
        return -ENOMEM;
    }
    if (pattern == VMEM_GUEST_PATTERN_IDLE) {
        draw_idle(load, per_unit);
    } else if (pattern == VMEM_GUEST_PATTERN_CHECKER) {
        for (uint64_t i = 1; i < load->nr; i += 2) {
            load->flags[i] |= DRAWN;
        }
    } else if (patterns[pattern].fraction > 0) {
        draw_chain(load, pattern, per_unit);
    }
    return 0;
}

void guesti_load_close(struct guesti_load *load)
{
    free(load->flags);
    load->flags = NULL;
    load->nr = 0;
}

/* The pageblocks that a range has a part of. */
static void find(const struct guesti_load *load, uint64_t gpa, uint64_t size,
                 uint64_t *first, uint64_t *end)
{
    uint64_t last;

    *first = *end = 0;
    if (load->nr == 0 || size == 0) {
        return;
    }
    if (gpa < load->base) {
        const uint64_t below = load->base - gpa;

        if (size != UINT64_MAX && size <= below) {
            return;
        }
        size = size == UINT64_MAX ? size : size - below;
        gpa = load->base;
    }
    *first = (gpa - load->base) / load->pageblock_size;
    last = size - 1 > UINT64_MAX - (gpa - load->base)
               ? load->nr - 1
               : (gpa - load->base + (size - 1)) / load->pageblock_size;
    *end = last < load->nr - 1 ? last + 1 : load->nr;
    if (*first > *end) {
        *first = *end;
    }
}

void guesti_load_plugged(struct guesti_load *load, uint64_t gpa, uint64_t size)
{
    uint64_t first, end;

    find(load, gpa, size, &first, &end);
    for (uint64_t i = first; i < end; i++) {
        load->flags[i] |= (load->flags[i] & DRAWN) != 0 ? BY_LOAD : 0;
    }
}

void guesti_load_unplugged(struct guesti_load *load, uint64_t gpa,
                           uint64_t size)
{
    uint64_t first, end;

    find(load, gpa, size, &first, &end);
    for (uint64_t i = first; i < end; i++) {
        load->flags[i] &= (uint8_t)~BY_LOAD;
    }
}

void guesti_load_pin(struct guesti_load *load, uint64_t gpa, uint64_t size)
{
    uint64_t first, end;

    find(load, gpa, size, &first, &end);
    for (uint64_t i = first; i < end; i++) {
        load->flags[i] |= BY_HAND;
    }
}

void guesti_load_unpin(struct guesti_load *load, uint64_t gpa, uint64_t size)
{
    uint64_t first, end;

    find(load, gpa, size, &first, &end);
    for (uint64_t i = first; i < end; i++) {
        load->flags[i] &= (uint8_t)~PINNED;
    }
}

void guesti_load_release(struct guesti_load *load)
{
    for (uint64_t i = 0; i < load->nr; i++) {
        if ((load->flags[i] & BY_LOAD) != 0 &&
            guesti_random_chance(&load->random, load->release_permille)) {
            load->flags[i] &= (uint8_t)~BY_LOAD;
        }
    }
}

bool guesti_load_may_release(const struct guesti_load *load)
{
    if (load->release_permille == 0) {
        return false;
    }
    for (uint64_t i = 0; i < load->nr; i++) {
        if ((load->flags[i] & BY_LOAD) != 0) {
            return true;
        }
    }
    return false;
}

bool guesti_load_is_pinned(const struct guesti_load *load, uint64_t gpa,
                           uint64_t size)
{
    uint64_t first, end;

    find(load, gpa, size, &first, &end);
    for (uint64_t i = first; i < end; i++) {
        if ((load->flags[i] & PINNED) != 0) {
            return true;
        }
    }
    return false;
}

bool guesti_load_isolate(struct guesti_load *load, uint64_t gpa, uint64_t size,
                         unsigned attempts)
{
    if (guesti_load_is_pinned(load, gpa, size)) {
        return false;
    }
    if (load->transient_permille == 0) {
        return true;
    }
    for (unsigned i = 0; i < attempts; i++) {
        if (!guesti_random_chance(&load->random, load->transient_permille)) {
            return true;
        }
    }
    return false;
}
