/* SPDX-License-Identifier: BSD-3-Clause */
#include "sim/windows.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

int guesti_windows_new(struct vmem_guest *guest,
                       const struct guesti_device_config *config,
                       struct guesti_windows **out)
{
    struct guesti_windows *windows = calloc(1, sizeof(*windows));

    if (windows == NULL) {
        return -ENOMEM;
    }
    windows->guest = guest;
    windows->nr_blocks = config->region_size / config->block_size;
    windows->has = calloc(windows->nr_blocks + 1, 1);
    if (windows->has == NULL) {
        free(windows);
        return -ENOMEM;
    }
    windows->woken = true;
    windows->must_ask = true;
    *out = windows;
    return 0;
}

void guesti_windows_free(struct guesti_windows *windows)
{
    if (windows != NULL) {
        free(windows->has);
        free(windows);
    }
}

void guesti_windows_resume(struct guesti_windows *windows)
{
    memset(windows->has, 0, windows->nr_blocks);
    windows->must_ask = false;
    windows->woken = true;
}

static uint32_t send(struct guesti_windows *windows, uint16_t type,
                     uint64_t gpa, uint64_t nr_blocks, uint16_t *state)
{
    windows->woken = true;
    return guesti_send(windows->guest, type, gpa, nr_blocks, state);
}

/* The first of the longest runs of blocks that it has, or has not. */
static uint64_t find_longest(const struct guesti_windows *windows, uint8_t has,
                             uint64_t *first)
{
    uint64_t longest = 0;
    uint64_t i = 0;

    *first = 0;
    while (i < windows->nr_blocks) {
        uint64_t end = i;

        while (end < windows->nr_blocks && windows->has[end] == has) {
            end++;
        }
        if (end - i > longest) {
            *first = i;
            longest = end - i;
        }
        i = end > i ? end : i + 1;
    }
    return longest;
}

/* One STATE for each usable block. */
static bool ask_all(struct guesti_windows *windows,
                    const struct guesti_device_config *config)
{
    const uint64_t usable = config->usable_region_size < config->region_size
                                ? config->usable_region_size
                                : config->region_size;
    const uint64_t nr = usable / config->block_size;

    for (uint64_t i = 0; i < nr && i < windows->nr_blocks; i++) {
        uint16_t state = 0;

        if (send(windows, VMEM_GUEST_STATE,
                 config->gpa + i * config->block_size, 1,
                 &state) != VMEM_GUEST_ACK) {
            return false;
        }
        windows->has[i] = state == 0;
    }
    return true;
}

/* Everything in one request. */
static void grow(struct guesti_windows *windows,
                 const struct guesti_device_config *config)
{
    struct vmem_guest *guest = windows->guest;
    const uint64_t wanted =
        (config->requested_size - config->plugged_size) / config->block_size;
    uint64_t first;
    uint64_t nr = find_longest(windows, 0, &first);
    const uint64_t gpa = config->gpa + first * config->block_size;

    nr = nr < wanted ? nr : wanted;
    if (nr == 0 ||
        send(windows, VMEM_GUEST_PLUG, gpa, nr, NULL) != VMEM_GUEST_ACK) {
        return;
    }
    /* If Windows does not take it, it stays plugged, and is forgotten. */
    if (guest->ops.add_memory == NULL ||
        guest->ops.add_memory(gpa, nr * config->block_size, guest->opaque) ==
            0) {
        memset(windows->has + first, 1, nr);
    }
}

/* The parts of the longest run that can be removed, each in one request. */
static void shrink(struct guesti_windows *windows,
                   const struct guesti_device_config *config)
{
    struct guesti_load *load = &windows->guest->load;
    const uint64_t wanted =
        (config->plugged_size - config->requested_size) / config->block_size;
    uint64_t first;
    uint64_t nr = find_longest(windows, 1, &first);
    const uint64_t end = first + (nr < wanted ? nr : wanted);

    while (first < end) {
        uint64_t gpa = config->gpa + first * config->block_size;

        nr = 0;
        while (first + nr < end &&
               guesti_load_isolate(load, gpa + nr * config->block_size,
                                   config->block_size, 1)) {
            nr++;
        }
        if (nr > 0 &&
            send(windows, VMEM_GUEST_UNPLUG, gpa, nr, NULL) == VMEM_GUEST_ACK) {
            memset(windows->has + first, 0, nr);
        }
        first += nr + 1;
    }
}

static int status_of(const struct guesti_windows *windows,
                     const struct guesti_device_config *config)
{
    if (windows->exited) {
        return VMEM_GUEST_BROKEN;
    }
    return config->requested_size == config->plugged_size ? VMEM_GUEST_IDLE
                                                          : VMEM_GUEST_STUCK;
}

int guesti_windows_run(struct guesti_windows *windows)
{
    struct vmem_guest *guest = windows->guest;
    struct guesti_device_config config = guest->ledger.seen;

    while (windows->woken && !windows->exited) {
        if (guesti_is_spinning(guest)) {
            return VMEM_GUEST_SPINNING;
        }
        windows->woken = false;
        guest->stats.nr_passes++;
        if (guest->ops.pass != NULL) {
            guest->ops.pass(guest->opaque);
        }
        guesti_read_config(guest, &config);
        if (windows->must_ask) {
            windows->must_ask = false;
            if (config.plugged_size > 0 && !ask_all(windows, &config)) {
                windows->exited = true;
                break;
            }
        }
        if (config.requested_size > config.plugged_size) {
            grow(windows, &config);
        } else if (config.requested_size < config.plugged_size) {
            shrink(windows, &config);
        }
        windows->exited = windows->exited || guest->hung;
    }
    return status_of(windows, &config);
}
