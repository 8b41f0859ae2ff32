/* SPDX-License-Identifier: BSD-3-Clause */
/* Sub-block mode: memory blocks of which a part may be plugged. */
#include "sim/linux.h"

static uint64_t sub_gpa(const struct guesti_linux *tux, uint64_t unit,
                        uint64_t sub)
{
    return guesti_unit_gpa(tux, unit) + sub * tux->sub_size;
}

/* Plugs the holes of one unit, the lowest first. */
static enum guesti_result fill(struct guesti_linux *tux, uint64_t unit,
                               uint64_t *nr_left)
{
    uint64_t first = 0;
    uint64_t nr = 0;

    while (*nr_left > 0 &&
           guesti_unit_find_run(tux, unit, &first, &nr, false)) {
        const uint64_t take = nr < *nr_left ? nr : *nr_left;
        enum guesti_result result = guesti_linux_plug(
            tux, sub_gpa(tux, unit, first), take * tux->sub_size);

        if (result != GUESTI_DONE) {
            return result;
        }
        guesti_unit_mark(tux, unit, first, take, true);
        *nr_left -= take;
        first += take;
    }
    if (tux->units[unit].nr_plugged == tux->per_unit) {
        guesti_unit_set(tux, unit, guesti_unit_full(tux->units[unit].state));
    }
    return GUESTI_DONE;
}

/* What Linux has already comes first. */
static enum guesti_result fill_partial(struct guesti_linux *tux,
                                       uint64_t *nr_left)
{
    static const enum guesti_unit_state states[] = {
        GUESTI_UNIT_KERNEL_PARTIAL,
        GUESTI_UNIT_MOVABLE_PARTIAL,
        GUESTI_UNIT_OFFLINE_PARTIAL,
    };

    for (unsigned i = 0; i < sizeof(states) / sizeof(states[0]); i++) {
        uint64_t unit = guesti_unit_find(tux, states[i], 0);

        while (*nr_left > 0 && unit < tux->nr_seen) {
            enum guesti_result result = fill(tux, unit, nr_left);

            if (result != GUESTI_DONE) {
                return result;
            }
            unit = guesti_unit_find(tux, states[i], unit + 1);
        }
    }
    return GUESTI_DONE;
}

/* Plugs the start of an empty unit and gives it to Linux; if Linux does not take
 * it, it is unplugged at once. */
static enum guesti_result plug_and_add(struct guesti_linux *tux, uint64_t unit,
                                       uint64_t nr)
{
    const uint64_t gpa = guesti_unit_gpa(tux, unit);
    enum guesti_result result;

    result = guesti_linux_plug(tux, gpa, nr * tux->sub_size);
    if (result != GUESTI_DONE) {
        return result;
    }
    guesti_unit_mark(tux, unit, 0, nr, true);
    result = guesti_unit_add(tux, unit);
    if (result == GUESTI_DONE) {
        return result;
    }
    guesti_unit_set(tux, unit, GUESTI_UNIT_PLUGGED);
    if (guesti_linux_unplug(tux, gpa, nr * tux->sub_size) == GUESTI_DONE) {
        guesti_unit_mark(tux, unit, 0, nr, false);
        guesti_unit_set(tux, unit, GUESTI_UNIT_UNUSED);
    }
    return result;
}

enum guesti_result guesti_sbm_grow(struct guesti_linux *tux, uint64_t size)
{
    uint64_t nr_left = size / tux->sub_size;
    enum guesti_result result = fill_partial(tux, &nr_left);
    uint64_t unit;

    while (result == GUESTI_DONE && nr_left > 0) {
        const uint64_t nr = nr_left < tux->per_unit ? nr_left : tux->per_unit;

        if (!guesti_unit_pick(tux, &unit)) {
            return GUESTI_NO_SPACE;
        }
        result = plug_and_add(tux, unit, nr);
        nr_left -= nr;
    }
    return result;
}

/* Offline memory needs no asking: runs from the top, each in one request. */
static enum guesti_result shrink_offline(struct guesti_linux *tux,
                                         uint64_t unit, uint64_t *nr_left)
{
    uint64_t end = tux->per_unit;
    uint64_t first = 0;
    uint64_t nr = 0;

    while (*nr_left > 0 &&
           guesti_unit_find_run_below(tux, unit, end, &first, &nr)) {
        const uint64_t take = nr < *nr_left ? nr : *nr_left;
        const uint64_t from = first + nr - take;
        enum guesti_result result = guesti_linux_unplug(
            tux, sub_gpa(tux, unit, from), take * tux->sub_size);

        if (result != GUESTI_DONE) {
            return result;
        }
        guesti_unit_mark(tux, unit, from, take, false);
        guesti_unit_set(tux, unit, GUESTI_UNIT_OFFLINE_PARTIAL);
        *nr_left -= take;
        end = from;
    }
    return GUESTI_DONE;
}

static enum guesti_result unplug_online(struct guesti_linux *tux, uint64_t unit,
                                        uint64_t first, uint64_t nr)
{
    const enum guesti_unit_state state = tux->units[unit].state;
    const bool movable =
        state == GUESTI_UNIT_MOVABLE || state == GUESTI_UNIT_MOVABLE_PARTIAL;
    enum guesti_result result = guesti_linux_unplug_online(
        tux, sub_gpa(tux, unit, first), nr * tux->sub_size, movable);

    if (result == GUESTI_DONE) {
        guesti_unit_mark(tux, unit, first, nr, false);
        guesti_unit_set(tux, unit, guesti_unit_partial(state));
    }
    return result;
}

/* The whole unit at once if it is full and not too much; else, or if that cannot
 * be freed, one sub-block after the other from the top, without the pinned. */
static enum guesti_result shrink_online(struct guesti_linux *tux, uint64_t unit,
                                        uint64_t *nr_left)
{
    uint64_t end = tux->per_unit;
    uint64_t first = 0;
    uint64_t nr = 0;
    enum guesti_result result = GUESTI_PINNED;

    if (*nr_left >= tux->per_unit &&
        tux->units[unit].nr_plugged == tux->per_unit) {
        result = unplug_online(tux, unit, 0, tux->per_unit);
        if (result == GUESTI_DONE) {
            *nr_left -= tux->per_unit;
        }
    }
    if (result != GUESTI_PINNED) {
        return result;
    }
    while (*nr_left > 0 &&
           guesti_unit_find_run_below(tux, unit, end, &first, &nr)) {
        end = first + nr - 1;
        result = unplug_online(tux, unit, end, 1);
        if (result == GUESTI_DONE) {
            (*nr_left)--;
        } else if (result != GUESTI_PINNED) {
            return result;
        }
    }
    return GUESTI_DONE;
}

static enum guesti_result shrink_unit(struct guesti_linux *tux, uint64_t unit,
                                      uint64_t *nr_left)
{
    const enum guesti_unit_state state = tux->units[unit].state;
    const bool offline =
        state == GUESTI_UNIT_OFFLINE || state == GUESTI_UNIT_OFFLINE_PARTIAL;
    enum guesti_result result = offline ? shrink_offline(tux, unit, nr_left)
                                        : shrink_online(tux, unit, nr_left);

    if (result == GUESTI_DONE && tux->units[unit].nr_plugged == 0) {
        guesti_unit_remove(tux, unit);
    }
    return result;
}

enum guesti_result guesti_sbm_shrink(struct guesti_linux *tux, uint64_t size)
{
    static const enum guesti_unit_state states[] = {
        GUESTI_UNIT_OFFLINE_PARTIAL, GUESTI_UNIT_OFFLINE,
        GUESTI_UNIT_MOVABLE_PARTIAL, GUESTI_UNIT_KERNEL_PARTIAL,
        GUESTI_UNIT_MOVABLE,         GUESTI_UNIT_KERNEL,
    };
    const unsigned nr_states =
        (tux->guest->config.flags & VMEM_GUEST_KEEP_ONLINE) != 0 ? 2 : 6;
    uint64_t nr_left = size / tux->sub_size;

    for (unsigned i = 0; i < nr_states; i++) {
        uint64_t unit = guesti_unit_find_below(tux, states[i], tux->nr_seen);

        while (nr_left > 0 && unit < tux->nr_seen) {
            enum guesti_result result = shrink_unit(tux, unit, &nr_left);

            if (result != GUESTI_DONE) {
                return result;
            }
            unit = guesti_unit_find_below(tux, states[i], unit);
        }
    }
    return nr_left > 0 && nr_states == 6 ? GUESTI_RETRY : GUESTI_DONE;
}

enum guesti_result guesti_sbm_clean(struct guesti_linux *tux, uint64_t unit)
{
    uint64_t first = 0;
    uint64_t nr = 0;

    while (guesti_unit_find_run_below(tux, unit, tux->per_unit, &first, &nr)) {
        enum guesti_result result = guesti_linux_unplug(
            tux, sub_gpa(tux, unit, first), nr * tux->sub_size);

        if (result != GUESTI_DONE) {
            return result;
        }
        guesti_unit_mark(tux, unit, first, nr, false);
    }
    guesti_unit_set(tux, unit, GUESTI_UNIT_UNUSED);
    return GUESTI_DONE;
}
