/* SPDX-License-Identifier: BSD-3-Clause */
/* Memory blocks and big blocks: their states, and Linux' side of them. */
#include <errno.h>
#include <string.h>

#include "sim/linux.h"

void guesti_unit_set(struct guesti_linux *tux, uint64_t unit,
                     enum guesti_unit_state state)
{
    tux->nr_in_state[tux->units[unit].state]--;
    tux->nr_in_state[state]++;
    tux->units[unit].state = (uint8_t)state;
}

uint64_t guesti_unit_find(const struct guesti_linux *tux,
                          enum guesti_unit_state state, uint64_t unit)
{
    if (tux->nr_in_state[state] == 0) {
        return tux->nr_seen;
    }
    while (unit < tux->nr_seen && tux->units[unit].state != state) {
        unit++;
    }
    return unit;
}

uint64_t guesti_unit_find_below(const struct guesti_linux *tux,
                                enum guesti_unit_state state, uint64_t unit)
{
    if (tux->nr_in_state[state] == 0) {
        return tux->nr_seen;
    }
    while (unit-- > 0) {
        if (tux->units[unit].state == state) {
            return unit;
        }
    }
    return tux->nr_seen;
}

static uint8_t *sub_blocks(const struct guesti_linux *tux, uint64_t unit)
{
    return tux->plugged + unit * tux->per_unit;
}

void guesti_unit_mark(struct guesti_linux *tux, uint64_t unit, uint64_t first,
                      uint64_t nr, bool plugged)
{
    uint8_t *has = sub_blocks(tux, unit);

    for (uint64_t i = first; i < first + nr; i++) {
        if (has[i] != (uint8_t)plugged) {
            has[i] = (uint8_t)plugged;
            tux->units[unit].nr_plugged += plugged ? 1u : -1u;
        }
    }
}

bool guesti_unit_find_run(const struct guesti_linux *tux, uint64_t unit,
                          uint64_t *first, uint64_t *nr, bool plugged)
{
    const uint8_t *has = sub_blocks(tux, unit);
    uint64_t i = *first;
    uint64_t end;

    while (i < tux->per_unit && has[i] != (uint8_t)plugged) {
        i++;
    }
    end = i;
    while (end < tux->per_unit && has[end] == (uint8_t)plugged) {
        end++;
    }
    *first = i;
    *nr = end - i;
    return end > i;
}

bool guesti_unit_find_run_below(const struct guesti_linux *tux, uint64_t unit,
                                uint64_t end, uint64_t *first, uint64_t *nr)
{
    const uint8_t *has = sub_blocks(tux, unit);
    uint64_t start;

    while (end > 0 && has[end - 1] == 0) {
        end--;
    }
    start = end;
    while (start > 0 && has[start - 1] != 0) {
        start--;
    }
    *first = start;
    *nr = end - start;
    return end > start;
}

enum guesti_unit_state guesti_unit_partial(enum guesti_unit_state state)
{
    switch (state) {
    case GUESTI_UNIT_OFFLINE:
        return GUESTI_UNIT_OFFLINE_PARTIAL;
    case GUESTI_UNIT_KERNEL:
        return GUESTI_UNIT_KERNEL_PARTIAL;
    case GUESTI_UNIT_MOVABLE:
        return GUESTI_UNIT_MOVABLE_PARTIAL;
    default:
        return state;
    }
}

enum guesti_unit_state guesti_unit_full(enum guesti_unit_state state)
{
    switch (state) {
    case GUESTI_UNIT_OFFLINE_PARTIAL:
        return GUESTI_UNIT_OFFLINE;
    case GUESTI_UNIT_KERNEL_PARTIAL:
        return GUESTI_UNIT_KERNEL;
    case GUESTI_UNIT_MOVABLE_PARTIAL:
        return GUESTI_UNIT_MOVABLE;
    default:
        return state;
    }
}

bool guesti_unit_may_add(const struct guesti_linux *tux, uint64_t size)
{
    return tux->offline_size + size <= tux->offline_max;
}

bool guesti_unit_pick(struct guesti_linux *tux, uint64_t *unit)
{
    if (!guesti_unit_may_add(tux, tux->unit_size)) {
        return false;
    }
    *unit = guesti_unit_find(tux, GUESTI_UNIT_UNUSED, 0);
    if (*unit < tux->nr_seen) {
        return true;
    }
    if (tux->nr_seen >= tux->nr_usable) {
        return false;
    }
    *unit = tux->nr_seen++;
    guesti_unit_set(tux, *unit, GUESTI_UNIT_UNUSED);
    return true;
}

static enum guesti_unit_state state_when_added(const struct guesti_linux *tux)
{
    switch (tux->guest->config.online) {
    case VMEM_GUEST_ONLINE_OFFLINE:
        return GUESTI_UNIT_OFFLINE;
    case VMEM_GUEST_ONLINE_MOVABLE:
        return GUESTI_UNIT_MOVABLE;
    default:
        return GUESTI_UNIT_KERNEL;
    }
}

enum guesti_result guesti_unit_add(struct guesti_linux *tux, uint64_t unit)
{
    struct vmem_guest *guest = tux->guest;
    enum guesti_unit_state state = state_when_added(tux);
    int ret = 0;

    if (guest->ops.add_memory != NULL) {
        ret = guest->ops.add_memory(guesti_unit_gpa(tux, unit), tux->unit_size,
                                    guest->opaque);
    }
    if (ret != 0) {
        return ret == -ENOMEM ? GUESTI_RETRY : GUESTI_BROKEN;
    }
    if (state == GUESTI_UNIT_OFFLINE) {
        tux->offline_size += tux->unit_size;
    }
    if (tux->units[unit].nr_plugged < tux->per_unit) {
        state = guesti_unit_partial(state);
    }
    guesti_unit_set(tux, unit, state);
    return GUESTI_DONE;
}

void guesti_unit_remove(struct guesti_linux *tux, uint64_t unit)
{
    struct vmem_guest *guest = tux->guest;
    const uint8_t state = tux->units[unit].state;

    if (guest->ops.remove_memory != NULL &&
        guest->ops.remove_memory(guesti_unit_gpa(tux, unit), tux->unit_size,
                                 guest->opaque) != 0) {
        tux->has_empty = true;
        return;
    }
    if (state == GUESTI_UNIT_OFFLINE || state == GUESTI_UNIT_OFFLINE_PARTIAL) {
        tux->offline_size -= tux->unit_size;
    }
    guesti_unit_set(tux, unit, GUESTI_UNIT_UNUSED);
    /* Linux tells the driver of every removal. */
    tux->queued = true;
}
