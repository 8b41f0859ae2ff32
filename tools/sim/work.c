/* SPDX-License-Identifier: BSD-3-Clause */
/* The guest at work: interrupts, timers, time, and what it amounts to. */
#include <errno.h>
#include <string.h>

#include "sim/linux.h"
#include "sim/windows.h"

void vmem_guest_interrupt(struct vmem_guest *guest)
{
    guest->told = true;
    if (!guest->loaded) {
        return;
    }
    if (guest->windows != NULL) {
        guest->windows->woken = true;
    } else {
        guesti_linux_interrupt(guest->tux);
    }
}

/* Whether the driver sleeps, so that nothing may change behind its back. */
static bool is_at_rest(int status)
{
    return status == VMEM_GUEST_IDLE || status == VMEM_GUEST_WAITING ||
           status == VMEM_GUEST_STUCK;
}

int vmem_guest_run(struct vmem_guest *guest)
{
    int status = VMEM_GUEST_ABSENT;

    if (!guest->loaded || guest->running) {
        return status;
    }
    guest->running = true;
    guest->nr_refusals = 0;
    status = guest->windows != NULL ? guesti_windows_run(guest->windows)
                                    : guesti_linux_run(guest->tux);
    if (is_at_rest(status)) {
        guesti_ledger_rest(guest);
    }
    guest->running = false;
    return status;
}

static uint64_t retry_at_ns(const struct vmem_guest *guest)
{
    return guest->loaded && guest->tux != NULL ? guest->tux->retry_at_ns
                                               : VMEM_GUEST_NEVER;
}

/* When something happens by itself. */
static uint64_t next_ns(const struct vmem_guest *guest)
{
    const uint64_t retry = retry_at_ns(guest);

    return guest->release_at_ns < retry ? guest->release_at_ns : retry;
}

static void skip_to(struct vmem_guest *guest, uint64_t ns)
{
    guest->now_ns = guest->now_ns > ns ? guest->now_ns : ns;
}

/* Releases of the load while nobody looks need not be drawn one by one. */
static void release(struct vmem_guest *guest)
{
    guesti_load_release(&guest->load);
    guest->release_at_ns = guest->release_at_ns + GUESTI_RELEASE_NS;
    if (!guesti_load_may_release(&guest->load) &&
        guest->release_at_ns < guest->now_ns) {
        guest->release_at_ns = guest->now_ns + GUESTI_RELEASE_NS;
    }
}

int vmem_guest_advance(struct vmem_guest *guest, uint64_t ns)
{
    const uint64_t end = ns > UINT64_MAX - guest->now_ns - 1
                             ? UINT64_MAX - 1
                             : guest->now_ns + ns;
    int status = vmem_guest_run(guest);

    while (next_ns(guest) <= end) {
        if (guest->release_at_ns <= retry_at_ns(guest)) {
            if (!guesti_load_may_release(&guest->load)) {
                /* None is due before somebody plugs. */
                const uint64_t retry = retry_at_ns(guest);

                skip_to(guest, retry < end ? retry : end);
                guest->release_at_ns = guest->now_ns + GUESTI_RELEASE_NS;
                continue;
            }
            skip_to(guest, guest->release_at_ns);
            release(guest);
            continue;
        }
        skip_to(guest, retry_at_ns(guest));
        guesti_linux_retry(guest->tux);
        status = vmem_guest_run(guest);
    }
    skip_to(guest, end);
    return status;
}

/* Units that lie in a range, one after the other. */
static bool is_in_range(const struct guesti_linux *tux, uint64_t unit,
                        uint64_t gpa, uint64_t size)
{
    const uint64_t start = guesti_unit_gpa(tux, unit);

    return start >= gpa && start - gpa <= size &&
           tux->unit_size <= size - (start - gpa);
}

/* Whole units of state from become to, and partial ones stay partial. */
static bool change_state(struct guesti_linux *tux, uint64_t unit,
                         enum guesti_unit_state from, enum guesti_unit_state to)
{
    const uint8_t state = tux->units[unit].state;

    if (state == from) {
        guesti_unit_set(tux, unit, to);
    } else if (guesti_unit_partial(from) != from &&
               state == guesti_unit_partial(from)) {
        guesti_unit_set(tux, unit, guesti_unit_partial(to));
    } else {
        return false;
    }
    return true;
}

uint64_t vmem_guest_online(struct vmem_guest *guest, uint64_t gpa,
                           uint64_t size, uint32_t online)
{
    struct guesti_linux *tux = guest->tux;
    const enum guesti_unit_state to = online == VMEM_GUEST_ONLINE_MOVABLE
                                          ? GUESTI_UNIT_MOVABLE
                                          : GUESTI_UNIT_KERNEL;
    uint64_t nr = 0;

    for (uint64_t unit = 0; tux != NULL && unit < tux->nr_seen; unit++) {
        if (is_in_range(tux, unit, gpa, size) &&
            change_state(tux, unit, GUESTI_UNIT_OFFLINE, to)) {
            tux->offline_size -= tux->unit_size;
            nr++;
        }
    }
    if (nr > 0 && guesti_unit_may_add(tux, tux->offline_max / 2)) {
        tux->queued = true;
    }
    return nr;
}

uint64_t vmem_guest_offline(struct vmem_guest *guest, uint64_t gpa,
                            uint64_t size)
{
    struct guesti_linux *tux = guest->tux;
    uint64_t nr = 0;

    for (uint64_t unit = 0; tux != NULL && unit < tux->nr_seen; unit++) {
        if (is_in_range(tux, unit, gpa, size) &&
            !guesti_load_is_pinned(&guest->load, guesti_unit_gpa(tux, unit),
                                   tux->unit_size) &&
            (change_state(tux, unit, GUESTI_UNIT_KERNEL, GUESTI_UNIT_OFFLINE) ||
             change_state(tux, unit, GUESTI_UNIT_MOVABLE,
                          GUESTI_UNIT_OFFLINE))) {
            tux->offline_size += tux->unit_size;
            nr++;
        }
    }
    if (nr > 0 && (guest->config.flags & VMEM_GUEST_KEEP_ONLINE) != 0) {
        tux->queued = true;
    }
    return nr;
}

void vmem_guest_pin(struct vmem_guest *guest, uint64_t gpa, uint64_t size)
{
    guesti_load_pin(&guest->load, gpa, size);
}

void vmem_guest_unpin(struct vmem_guest *guest, uint64_t gpa, uint64_t size)
{
    guesti_load_unpin(&guest->load, gpa, size);
}

static uint64_t count_pinned(const struct vmem_guest *guest)
{
    const struct guesti_ledger *ledger = &guest->ledger;
    const uint64_t block_size = ledger->seen.block_size;
    uint64_t size = 0;

    for (uint64_t i = 0; i < ledger->nr_blocks; i++) {
        if (ledger->has[i] != 0 &&
            guesti_load_is_pinned(
                &guest->load, ledger->seen.gpa + i * block_size, block_size)) {
            size += block_size;
        }
    }
    return size;
}

int vmem_guest_get_stats(const struct vmem_guest *guest,
                         struct vmem_guest_stats *stats)
{
    const size_t size = sizeof(*stats);

    if (guest == NULL || stats == NULL || stats->struct_size < size) {
        return -EINVAL;
    }
    const size_t host_size = stats->struct_size;

    *stats = guest->stats;
    stats->struct_size = host_size;
    stats->plugged_size = guest->ledger.plugged_size;
    stats->requested_size = guest->ledger.seen.requested_size;
    stats->pinned_size = count_pinned(guest);
    stats->retry_at_ns = retry_at_ns(guest);
    stats->capacity = guest->ledger.seen.usable_region_size;
    stats->granularity = guest->ledger.seen.block_size;
    if (guest->tux != NULL) {
        stats->offline_size = guest->tux->offline_size;
        stats->granularity = guest->tux->sub_size;
        stats->capacity = guest->tux->nr_usable * guest->tux->unit_size;
    }
    return 0;
}
