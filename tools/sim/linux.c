/* SPDX-License-Identifier: BSD-3-Clause */
#include "sim/linux.h"

#include <errno.h>
#include <stdlib.h>

#define RETRY_MIN_NS (50000 * GUESTI_MS_NS)
#define RETRY_MAX_NS (300000 * GUESTI_MS_NS)
#define OFFLINE_MIN ((uint64_t)1 << 30)

static uint64_t max_of(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

/* Sub-blocks or big blocks, and how large. */
static void choose_mode(struct guesti_linux *tux)
{
    const struct vmem_guest_config *config = &tux->guest->config;
    const uint64_t memory_block = config->memory_block_size;
    const uint64_t sub = max_of(config->pageblock_size, tux->block_size);

    tux->sbm = sub < memory_block && config->kind != VMEM_GUEST_LINUX_BBM;
    if (tux->sbm) {
        tux->sub_size = sub;
        tux->unit_size = memory_block;
        tux->offline_max = max_of(2 * memory_block, OFFLINE_MIN);
    } else {
        tux->unit_size = max_of(tux->block_size, memory_block);
        tux->unit_size = max_of(tux->unit_size, config->big_block_size);
        tux->sub_size = tux->unit_size;
        tux->offline_max = max_of(2 * tux->unit_size, OFFLINE_MIN);
    }
    tux->per_unit = tux->unit_size / tux->sub_size;
}

/* Units lie on multiples of their size: how many whole ones are there? */
static uint64_t count_units(const struct guesti_linux *tux, uint64_t size)
{
    return size < tux->skipped ? 0 : (size - tux->skipped) / tux->unit_size;
}

static int lay_out(struct guesti_linux *tux,
                   const struct guesti_device_config *config)
{
    const uint64_t rest = config->gpa % tux->unit_size;

    tux->skipped = rest == 0 ? 0 : tux->unit_size - rest;
    tux->first_gpa = config->gpa + tux->skipped;
    tux->nr_units = count_units(tux, config->region_size);
    tux->units = calloc(tux->nr_units + 1, sizeof(*tux->units));
    tux->plugged = calloc(tux->nr_units * tux->per_unit + 1, 1);
    tux->nr_in_state[GUESTI_UNIT_UNSEEN] = tux->nr_units;
    return tux->units == NULL || tux->plugged == NULL ? -ENOMEM : 0;
}

int guesti_linux_new(struct vmem_guest *guest,
                     const struct guesti_device_config *config,
                     struct guesti_linux **out)
{
    struct guesti_linux *tux = calloc(1, sizeof(*tux));
    int ret;

    if (tux == NULL) {
        return -ENOMEM;
    }
    tux->guest = guest;
    tux->block_size = config->block_size;
    choose_mode(tux);
    ret = lay_out(tux, config);
    if (ret < 0) {
        guesti_linux_free(tux);
        return ret;
    }
    tux->plugged_size = config->plugged_size;
    tux->unplug_all_required = config->plugged_size > 0;
    tux->config_changed = true;
    tux->queued = true;
    tux->retry_at_ns = VMEM_GUEST_NEVER;
    tux->retry_ns = RETRY_MIN_NS;
    *out = tux;
    return 0;
}

void guesti_linux_free(struct guesti_linux *tux)
{
    if (tux == NULL) {
        return;
    }
    free(tux->units);
    free(tux->plugged);
    free(tux);
}

static enum guesti_result unplug_all(struct guesti_linux *tux)
{
    switch (guesti_send(tux->guest, VMEM_GUEST_UNPLUG_ALL, 0, 0, NULL)) {
    case VMEM_GUEST_ACK:
        tux->unplug_all_required = false;
        tux->plugged_size = 0;
        /* The usable region may have shrunk without a notification. */
        tux->config_changed = true;
        return GUESTI_DONE;
    default:
        return GUESTI_RETRY;
    }
}

static void refresh(struct guesti_linux *tux)
{
    struct guesti_device_config config;

    guesti_read_config(tux->guest, &config);
    tux->plugged_size = config.plugged_size;
    tux->requested_size = config.requested_size;
    tux->nr_usable = count_units(tux, config.usable_region_size);
    if (tux->nr_usable > tux->nr_units) {
        tux->nr_usable = tux->nr_units;
    }
}

/* What could not be unplugged after Linux refused it. */
static enum guesti_result clean_plugged(struct guesti_linux *tux)
{
    uint64_t unit = guesti_unit_find(tux, GUESTI_UNIT_PLUGGED, 0);

    while (unit < tux->nr_seen) {
        enum guesti_result result = guesti_sbm_clean(tux, unit);

        if (result != GUESTI_DONE) {
            return result;
        }
        unit = guesti_unit_find(tux, GUESTI_UNIT_PLUGGED, unit + 1);
    }
    return GUESTI_DONE;
}

/* What is empty and could not be removed. */
static void remove_empty(struct guesti_linux *tux)
{
    static const enum guesti_unit_state states[] = {
        GUESTI_UNIT_MOVABLE_PARTIAL,
        GUESTI_UNIT_KERNEL_PARTIAL,
        GUESTI_UNIT_OFFLINE_PARTIAL,
    };

    tux->has_empty = false;
    for (unsigned i = 0; i < sizeof(states) / sizeof(states[0]); i++) {
        uint64_t unit = guesti_unit_find(tux, states[i], 0);

        while (unit < tux->nr_seen) {
            if (tux->units[unit].nr_plugged == 0) {
                guesti_unit_remove(tux, unit);
            }
            unit = guesti_unit_find(tux, states[i], unit + 1);
        }
    }
}

static enum guesti_result follow(struct guesti_linux *tux)
{
    if (tux->requested_size > tux->plugged_size) {
        const uint64_t more = tux->requested_size - tux->plugged_size;

        return tux->sbm ? guesti_sbm_grow(tux, more)
                        : guesti_bbm_grow(tux, more);
    }
    if (tux->requested_size < tux->plugged_size) {
        const uint64_t less = tux->plugged_size - tux->requested_size;

        return tux->sbm ? guesti_sbm_shrink(tux, less)
                        : guesti_bbm_shrink(tux, less);
    }
    return GUESTI_DONE;
}

static enum guesti_result pass(struct guesti_linux *tux)
{
    struct vmem_guest *guest = tux->guest;
    enum guesti_result result = GUESTI_DONE;

    guest->stats.nr_passes++;
    if (guest->ops.pass != NULL) {
        guest->ops.pass(guest->opaque);
    }
    if (tux->unplug_all_required) {
        result = unplug_all(tux);
    }
    if (tux->config_changed) {
        tux->config_changed = false;
        refresh(tux);
    }
    if (result == GUESTI_DONE) {
        result = clean_plugged(tux);
    }
    if (result == GUESTI_DONE && tux->has_empty) {
        remove_empty(tux);
    }
    if (result == GUESTI_DONE) {
        result = follow(tux);
    }
    if (result == GUESTI_DONE && tux->has_empty) {
        result = GUESTI_RETRY;
    }
    return result;
}

/* Passes until one ends for good. false: it spins, and was cut short. */
static bool work(struct guesti_linux *tux)
{
    struct vmem_guest *guest = tux->guest;
    enum guesti_result result = pass(tux);

    while (result == GUESTI_AGAIN) {
        guest->stats.nr_restarts++;
        if (guesti_is_spinning(guest)) {
            return false;
        }
        result = pass(tux);
    }
    tux->starved = result == GUESTI_NO_SPACE;
    if (result == GUESTI_DONE) {
        tux->retry_ns = RETRY_MIN_NS;
    } else if (result == GUESTI_BROKEN || guest->hung) {
        tux->broken = true;
    } else if (result != GUESTI_NO_SPACE) {
        tux->retry_at_ns = guest->now_ns + tux->retry_ns;
    }
    return true;
}

int guesti_linux_run(struct guesti_linux *tux)
{
    while (tux->queued && !tux->broken) {
        tux->queued = false;
        tux->retry_at_ns = VMEM_GUEST_NEVER;
        if (!work(tux)) {
            tux->queued = true;
            return VMEM_GUEST_SPINNING;
        }
    }
    if (tux->broken) {
        tux->retry_at_ns = VMEM_GUEST_NEVER;
        return VMEM_GUEST_BROKEN;
    }
    if (tux->retry_at_ns != VMEM_GUEST_NEVER) {
        return VMEM_GUEST_WAITING;
    }
    return tux->starved ? VMEM_GUEST_STUCK : VMEM_GUEST_IDLE;
}

void guesti_linux_interrupt(struct guesti_linux *tux)
{
    tux->config_changed = true;
    tux->queued = true;
}

void guesti_linux_retry(struct guesti_linux *tux)
{
    tux->retry_at_ns = VMEM_GUEST_NEVER;
    tux->queued = true;
    tux->retry_ns *= 2;
    if (tux->retry_ns > RETRY_MAX_NS) {
        tux->retry_ns = RETRY_MAX_NS;
    }
    tux->guest->stats.nr_retries++;
}

bool guesti_linux_uses_memory(const struct guesti_linux *tux)
{
    return tux->nr_in_state[GUESTI_UNIT_UNSEEN] +
               tux->nr_in_state[GUESTI_UNIT_UNUSED] +
               tux->nr_in_state[GUESTI_UNIT_PLUGGED] <
           tux->nr_units;
}
