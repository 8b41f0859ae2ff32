/* SPDX-License-Identifier: BSD-3-Clause */
/* Big-block mode: units that are plugged entirely or not at all. */
#include "sim/linux.h"

static enum guesti_result plug_and_add(struct guesti_linux *tux, uint64_t unit)
{
    const uint64_t gpa = guesti_unit_gpa(tux, unit);
    enum guesti_result result;

    result = guesti_linux_plug(tux, gpa, tux->unit_size);
    if (result != GUESTI_DONE) {
        return result;
    }
    guesti_unit_mark(tux, unit, 0, 1, true);
    result = guesti_unit_add(tux, unit);
    if (result == GUESTI_DONE) {
        return result;
    }
    guesti_unit_set(tux, unit, GUESTI_UNIT_PLUGGED);
    if (guesti_linux_unplug(tux, gpa, tux->unit_size) == GUESTI_DONE) {
        guesti_unit_mark(tux, unit, 0, 1, false);
        guesti_unit_set(tux, unit, GUESTI_UNIT_UNUSED);
    }
    return result;
}

enum guesti_result guesti_bbm_grow(struct guesti_linux *tux, uint64_t size)
{
    for (uint64_t nr = size / tux->unit_size; nr > 0; nr--) {
        enum guesti_result result;
        uint64_t unit;

        if (!guesti_unit_pick(tux, &unit)) {
            return GUESTI_NO_SPACE;
        }
        result = plug_and_add(tux, unit);
        if (result != GUESTI_DONE) {
            return result;
        }
    }
    return GUESTI_DONE;
}

/* Linux removes the memory first, then the driver unplugs it. */
static enum guesti_result shrink_unit(struct guesti_linux *tux, uint64_t unit)
{
    const enum guesti_unit_state state = tux->units[unit].state;
    const uint64_t gpa = guesti_unit_gpa(tux, unit);
    enum guesti_result result;

    if (state == GUESTI_UNIT_OFFLINE) {
        tux->offline_size -= tux->unit_size;
    } else if (tux->config_changed) {
        return GUESTI_AGAIN;
    } else if (!guesti_load_isolate(&tux->guest->load, gpa, tux->unit_size,
                                    state == GUESTI_UNIT_MOVABLE ? 5 : 1)) {
        return GUESTI_PINNED;
    }
    tux->queued = true;
    guesti_unit_set(tux, unit, GUESTI_UNIT_PLUGGED);
    result = guesti_linux_unplug(tux, gpa, tux->unit_size);
    if (result == GUESTI_DONE) {
        guesti_unit_mark(tux, unit, 0, 1, false);
        guesti_unit_set(tux, unit, GUESTI_UNIT_UNUSED);
    }
    return result;
}

/* Offline units first, then those of movable memory only, then any. */
static bool is_candidate(const struct guesti_linux *tux, uint64_t unit,
                         unsigned round)
{
    switch (tux->units[unit].state) {
    case GUESTI_UNIT_OFFLINE:
        return true;
    case GUESTI_UNIT_MOVABLE:
        return round >= 1;
    case GUESTI_UNIT_KERNEL:
        return round >= 2;
    default:
        return false;
    }
}

enum guesti_result guesti_bbm_shrink(struct guesti_linux *tux, uint64_t size)
{
    const unsigned nr_rounds =
        (tux->guest->config.flags & VMEM_GUEST_KEEP_ONLINE) != 0 ? 1 : 3;
    uint64_t nr_left = size / tux->unit_size;

    for (unsigned round = 0; round < nr_rounds; round++) {
        for (uint64_t unit = tux->nr_seen; nr_left > 0 && unit-- > 0;) {
            enum guesti_result result;

            if (!is_candidate(tux, unit, round)) {
                continue;
            }
            result = shrink_unit(tux, unit);
            if (result == GUESTI_DONE) {
                nr_left--;
            } else if (result != GUESTI_PINNED) {
                return result;
            }
        }
    }
    return nr_left > 0 && nr_rounds == 3 ? GUESTI_RETRY : GUESTI_DONE;
}
