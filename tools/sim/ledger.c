/* SPDX-License-Identifier: BSD-3-Clause */
#include "sim/ledger.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sim/guest.h"

void guesti_ledger_report(struct vmem_guest *guest, uint32_t rule,
                          const char *format, ...)
{
    char message[200];
    struct vmem_guest_finding finding = {
        .struct_size = sizeof(finding),
        .rule = rule,
        .now_ns = guest->now_ns,
        .message = message,
    };
    va_list args;

    guest->stats.nr_findings[rule]++;
    if (guest->ops.finding == NULL) {
        return;
    }
    va_start(args, format);
    (void)vsnprintf(message, sizeof(message), format, args);
    va_end(args);
    guest->ops.finding(&finding, guest->opaque);
}

static bool is_power_of_two(uint64_t value)
{
    return value != 0 && (value & (value - 1)) == 0;
}

static void check_geometry(struct vmem_guest *guest,
                           const struct guesti_device_config *config)
{
    const uint64_t rest =
        (config->gpa | config->region_size | config->usable_region_size |
         config->plugged_size | config->requested_size) &
        (config->block_size - 1);

    if (!is_power_of_two(config->block_size)) {
        guesti_ledger_report(guest, VMEM_GUEST_RULE_BLOCK_SIZE,
                             "block_size is %" PRIu64, config->block_size);
        return;
    }
    if (rest != 0) {
        guesti_ledger_report(
            guest, VMEM_GUEST_RULE_ALIGNMENT,
            "addr 0x%" PRIx64 ", region 0x%" PRIx64 ", usable 0x%" PRIx64
            ", plugged 0x%" PRIx64 " or requested 0x%" PRIx64
            " is not a multiple of the block size 0x%" PRIx64,
            config->gpa, config->region_size, config->usable_region_size,
            config->plugged_size, config->requested_size, config->block_size);
    }
    if (config->usable_region_size > config->region_size ||
        config->requested_size > config->usable_region_size ||
        (config->region_size > 0 &&
         config->gpa > UINT64_MAX - (config->region_size - 1))) {
        guesti_ledger_report(guest, VMEM_GUEST_RULE_RANGE,
                             "requested 0x%" PRIx64 ", usable 0x%" PRIx64
                             ", region 0x%" PRIx64 " at 0x%" PRIx64,
                             config->requested_size, config->usable_region_size,
                             config->region_size, config->gpa);
    }
}

static bool is_same_device(const struct guesti_device_config *a,
                           const struct guesti_device_config *b)
{
    return a->block_size == b->block_size && a->node_id == b->node_id &&
           a->gpa == b->gpa && a->region_size == b->region_size;
}

static void check_changes(struct vmem_guest *guest,
                          const struct guesti_device_config *config)
{
    struct guesti_ledger *ledger = &guest->ledger;

    if (!is_same_device(config, &ledger->seen)) {
        guesti_ledger_report(guest, VMEM_GUEST_RULE_CONSTANT,
                             "block_size, node_id, addr or region_size changed "
                             "while the driver was loaded");
    }
    if (config->usable_region_size < ledger->seen.usable_region_size &&
        !ledger->may_shrink) {
        guesti_ledger_report(guest, VMEM_GUEST_RULE_SHRANK,
                             "usable_region_size went from 0x%" PRIx64
                             " to 0x%" PRIx64 " by itself",
                             ledger->seen.usable_region_size,
                             config->usable_region_size);
    }
    ledger->may_shrink = false;
}

static void check_plugged(struct vmem_guest *guest,
                          const struct guesti_device_config *config)
{
    struct guesti_ledger *ledger = &guest->ledger;

    if (ledger->known && config->plugged_size != ledger->plugged_size) {
        guesti_ledger_report(guest, VMEM_GUEST_RULE_PLUGGED,
                             "plugged_size is 0x%" PRIx64
                             ", acknowledged were 0x%" PRIx64,
                             config->plugged_size, ledger->plugged_size);
        /* Said once is enough. */
        ledger->known = false;
    }
}

int guesti_ledger_open(struct vmem_guest *guest,
                       const struct guesti_device_config *config)
{
    struct guesti_ledger *ledger = &guest->ledger;

    check_geometry(guest, config);
    if (!is_power_of_two(config->block_size) ||
        (config->region_size > 0 &&
         config->gpa > UINT64_MAX - (config->region_size - 1))) {
        return -EINVAL;
    }
    if (ledger->has == NULL || !is_same_device(config, &ledger->seen)) {
        guesti_ledger_close(guest);
        ledger->nr_blocks = config->region_size / config->block_size;
        ledger->has = calloc(ledger->nr_blocks + 1, 1);
        if (ledger->has == NULL) {
            return -ENOMEM;
        }
        ledger->known = config->plugged_size == 0;
    }
    /* A reset may keep all, some or none of it. */
    if (config->plugged_size == 0) {
        memset(ledger->has, 0, ledger->nr_blocks);
        ledger->plugged_size = 0;
        ledger->known = true;
    } else if (config->plugged_size != ledger->plugged_size) {
        ledger->known = false;
    }
    ledger->seen = *config;
    return 0;
}

void guesti_ledger_close(struct vmem_guest *guest)
{
    free(guest->ledger.has);
    guest->ledger = (struct guesti_ledger){ .has = NULL };
}

void guesti_ledger_read(struct vmem_guest *guest,
                        const struct guesti_device_config *config)
{
    check_geometry(guest, config);
    check_changes(guest, config);
    check_plugged(guest, config);
    guest->ledger.seen = *config;
}

/* The first block and whether the range may be named at all. */
static bool find_blocks(const struct guesti_device_config *config, uint64_t gpa,
                        uint64_t nr_blocks, uint64_t *first)
{
    const uint64_t usable = config->usable_region_size / config->block_size;

    if (gpa < config->gpa || (gpa & (config->block_size - 1)) != 0 ||
        nr_blocks == 0) {
        return false;
    }
    *first = (gpa - config->gpa) / config->block_size;
    return *first <= usable && nr_blocks <= usable - *first;
}

static uint64_t count_plugged(const struct guesti_ledger *ledger,
                              uint64_t first, uint64_t nr_blocks)
{
    uint64_t nr = 0;

    for (uint64_t i = first; i < first + nr_blocks; i++) {
        nr += ledger->has[i];
    }
    return nr;
}

/* Books an acknowledged PLUG or UNPLUG. */
static void book(struct vmem_guest *guest, uint16_t type, uint64_t first,
                 uint64_t nr_blocks)
{
    struct guesti_ledger *ledger = &guest->ledger;
    const uint64_t block_size = ledger->seen.block_size;
    const uint64_t plugged = count_plugged(ledger, first, nr_blocks);
    const uint64_t gpa = ledger->seen.gpa + first * block_size;

    if (type == VMEM_GUEST_PLUG) {
        memset(ledger->has + first, 1, nr_blocks);
        ledger->plugged_size += (nr_blocks - plugged) * block_size;
        guesti_load_plugged(&guest->load, gpa, nr_blocks * block_size);
    } else {
        memset(ledger->has + first, 0, nr_blocks);
        ledger->plugged_size -= plugged * block_size;
        guesti_load_unplugged(&guest->load, gpa, nr_blocks * block_size);
    }
}

/* PLUG and UNPLUG were acknowledged; now is the config space after that. */
static void check_ack(struct vmem_guest *guest,
                      const struct guesti_device_config *now, uint16_t type,
                      uint64_t gpa, uint64_t nr_blocks)
{
    struct guesti_ledger *ledger = &guest->ledger;
    const uint64_t size = nr_blocks * now->block_size;
    uint64_t first = 0;

    if (!find_blocks(now, gpa, nr_blocks, &first) ||
        first + nr_blocks > ledger->nr_blocks) {
        guesti_ledger_report(guest, VMEM_GUEST_RULE_ACK,
                             "%" PRIu64 " blocks at 0x%" PRIx64
                             " are not usable, and were acknowledged",
                             nr_blocks, gpa);
        return;
    }
    if (ledger->known && count_plugged(ledger, first, nr_blocks) !=
                             (type == VMEM_GUEST_PLUG ? 0 : nr_blocks)) {
        guesti_ledger_report(guest, VMEM_GUEST_RULE_ACK,
                             "%" PRIu64 " blocks at 0x%" PRIx64
                             " were %splugged, all or in part, and %s was "
                             "acknowledged",
                             nr_blocks, gpa,
                             type == VMEM_GUEST_PLUG ? "" : "un",
                             type == VMEM_GUEST_PLUG ? "PLUG" : "UNPLUG");
    }
    if (type == VMEM_GUEST_PLUG && ledger->known && !guest->told &&
        ledger->plugged_size + size > now->requested_size) {
        guesti_ledger_report(guest, VMEM_GUEST_RULE_ACK,
                             "plugged 0x%" PRIx64 " + 0x%" PRIx64
                             " exceeds the requested 0x%" PRIx64
                             ", and was acknowledged",
                             ledger->plugged_size, size, now->requested_size);
    }
    book(guest, type, first, nr_blocks);
}

/* PLUG and UNPLUG were refused. */
static void check_refusal(struct vmem_guest *guest,
                          const struct guesti_device_config *now, uint16_t type,
                          uint64_t gpa, uint64_t nr_blocks, uint32_t answer)
{
    const struct guesti_ledger *ledger = &guest->ledger;
    uint64_t first = 0;
    bool valid = ledger->known && find_blocks(now, gpa, nr_blocks, &first) &&
                 first + nr_blocks <= ledger->nr_blocks;

    valid = valid && count_plugged(ledger, first, nr_blocks) ==
                         (type == VMEM_GUEST_PLUG ? 0 : nr_blocks);
    if (!valid) {
        return;
    }
    if (answer == VMEM_GUEST_ERROR) {
        guesti_ledger_report(guest, VMEM_GUEST_RULE_ERROR,
                             "%s of %" PRIu64 " blocks at 0x%" PRIx64
                             " is valid and was answered ERROR",
                             type == VMEM_GUEST_PLUG ? "PLUG" : "UNPLUG",
                             nr_blocks, gpa);
    }
    /* After a notification the size may have been another one meanwhile. */
    if (answer == VMEM_GUEST_NACK && type == VMEM_GUEST_PLUG && !guest->told &&
        ledger->plugged_size + nr_blocks * now->block_size <=
            now->requested_size) {
        guesti_ledger_report(guest, VMEM_GUEST_RULE_NACK,
                             "PLUG of 0x%" PRIx64 " at 0x%" PRIx64
                             " fits: 0x%" PRIx64 " of 0x%" PRIx64
                             " are plugged; it was answered NACK",
                             nr_blocks * now->block_size, gpa,
                             ledger->plugged_size, now->requested_size);
    }
}

static void check_state(struct vmem_guest *guest,
                        const struct guesti_device_config *now, uint64_t gpa,
                        uint64_t nr_blocks, uint32_t answer, uint16_t state)
{
    const struct guesti_ledger *ledger = &guest->ledger;
    uint64_t first = 0;
    const bool valid = find_blocks(now, gpa, nr_blocks, &first) &&
                       first + nr_blocks <= ledger->nr_blocks;
    uint64_t plugged;
    unsigned expected;

    if (valid != (answer == VMEM_GUEST_ACK)) {
        guesti_ledger_report(
            guest, valid ? VMEM_GUEST_RULE_ERROR : VMEM_GUEST_RULE_ACK,
            "STATE of %" PRIu64 " blocks at 0x%" PRIx64
            " is %s and was answered %s",
            nr_blocks, gpa, valid ? "valid" : "not usable",
            valid ? "ERROR" : "ACK");
        return;
    }
    if (!valid || !ledger->known) {
        return;
    }
    plugged = count_plugged(ledger, first, nr_blocks);
    expected = plugged == nr_blocks ? 0 : plugged == 0 ? 1 : 2;
    if (state != expected) {
        guesti_ledger_report(guest, VMEM_GUEST_RULE_STATE,
                             "STATE of %" PRIu64 " blocks at 0x%" PRIx64
                             " is %u, must be %u",
                             nr_blocks, gpa, state, expected);
    }
}

static void clear(struct vmem_guest *guest)
{
    struct guesti_ledger *ledger = &guest->ledger;

    memset(ledger->has, 0, ledger->nr_blocks);
    ledger->plugged_size = 0;
    ledger->known = true;
    ledger->may_shrink = true;
    guesti_load_unplugged(&guest->load, ledger->seen.gpa,
                          ledger->seen.region_size);
}

void guesti_ledger_answer(struct vmem_guest *guest, uint16_t type, uint64_t gpa,
                          uint64_t nr_blocks, uint32_t answer, uint16_t state)
{
    static const unsigned answers[] = {
        [VMEM_GUEST_PLUG] = 1 << VMEM_GUEST_ACK | 1 << VMEM_GUEST_NACK |
                            1 << VMEM_GUEST_BUSY | 1 << VMEM_GUEST_ERROR,
        [VMEM_GUEST_UNPLUG] =
            1 << VMEM_GUEST_ACK | 1 << VMEM_GUEST_BUSY | 1 << VMEM_GUEST_ERROR,
        [VMEM_GUEST_UNPLUG_ALL] = 1 << VMEM_GUEST_ACK | 1 << VMEM_GUEST_BUSY,
        [VMEM_GUEST_STATE] = 1 << VMEM_GUEST_ACK | 1 << VMEM_GUEST_ERROR,
    };
    struct guesti_device_config now;

    if (answer > VMEM_GUEST_ERROR || (answers[type] & 1u << answer) == 0) {
        guesti_ledger_report(guest, VMEM_GUEST_RULE_ANSWER,
                             "request %u at 0x%" PRIx64 " was answered %u",
                             type, gpa, answer);
        return;
    }
    if (type == VMEM_GUEST_UNPLUG_ALL) {
        if (answer == VMEM_GUEST_ACK) {
            clear(guest);
        }
        return;
    }
    if (answer == VMEM_GUEST_BUSY) {
        return;
    }
    /* The host may have changed sizes since the driver looked. */
    guesti_peek_config(guest, &now);
    if (!is_same_device(&now, &guest->ledger.seen)) {
        return;
    }
    if (type == VMEM_GUEST_STATE) {
        check_state(guest, &now, gpa, nr_blocks, answer, state);
    } else if (answer == VMEM_GUEST_ACK) {
        check_ack(guest, &now, type, gpa, nr_blocks);
    } else {
        check_refusal(guest, &now, type, gpa, nr_blocks, answer);
    }
}

void guesti_ledger_rest(struct vmem_guest *guest)
{
    struct guesti_ledger *ledger = &guest->ledger;
    struct guesti_device_config now;

    guesti_peek_config(guest, &now);
    check_plugged(guest, &now);
    if (now.requested_size != ledger->seen.requested_size ||
        now.usable_region_size != ledger->seen.usable_region_size) {
        guesti_ledger_report(
            guest, VMEM_GUEST_RULE_SILENT,
            "requested is 0x%" PRIx64 " and usable 0x%" PRIx64
            ", the driver knows of 0x%" PRIx64 " and 0x%" PRIx64,
            now.requested_size, now.usable_region_size,
            ledger->seen.requested_size, ledger->seen.usable_region_size);
        /* Said once is enough; the driver still does not know. */
        ledger->seen.requested_size = now.requested_size;
        ledger->seen.usable_region_size = now.usable_region_size;
    }
}
