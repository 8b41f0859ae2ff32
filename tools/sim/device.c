/* SPDX-License-Identifier: BSD-3-Clause */
#include "sim/device.h"

#include <string.h>

#include "sim/guest.h"

static uint64_t get_le(const uint8_t *bytes, unsigned size)
{
    uint64_t value = 0;

    for (unsigned i = size; i-- > 0;) {
        value = value << 8 | bytes[i];
    }
    return value;
}

static void put_le(uint8_t *bytes, unsigned size, uint64_t value)
{
    for (unsigned i = 0; i < size; i++) {
        bytes[i] = (uint8_t)(value >> (8 * i));
    }
}

void guesti_peek_config(struct vmem_guest *guest,
                        struct guesti_device_config *config)
{
    uint8_t bytes[VMEM_GUEST_CONFIG_SIZE] = { 0 };

    guest->ops.read_config(bytes, guest->opaque);
    config->block_size = get_le(bytes, 8);
    config->node_id = get_le(bytes + 8, 2);
    config->gpa = get_le(bytes + 16, 8);
    config->region_size = get_le(bytes + 24, 8);
    config->usable_region_size = get_le(bytes + 32, 8);
    config->plugged_size = get_le(bytes + 40, 8);
    config->requested_size = get_le(bytes + 48, 8);
}

void guesti_read_config(struct vmem_guest *guest,
                        struct guesti_device_config *config)
{
    guest->told = false;
    guesti_peek_config(guest, config);
    guesti_ledger_read(guest, config);
}

/* An answer that makes the driver try again, whatever it is. */
static void count_refusals(struct vmem_guest *guest, uint16_t type,
                           uint32_t answer)
{
    if (type == VMEM_GUEST_STATE || answer == VMEM_GUEST_ACK) {
        guest->nr_refusals = 0;
        return;
    }
    guest->nr_refusals++;
    if (guest->nr_refusals > guest->stats.max_refusals) {
        guest->stats.max_refusals = guest->nr_refusals;
    }
}

uint32_t guesti_send(struct vmem_guest *guest, uint16_t type, uint64_t gpa,
                     uint64_t nr_blocks, uint16_t *state)
{
    uint8_t request[VMEM_GUEST_REQUEST_SIZE] = { 0 };
    uint8_t response[VMEM_GUEST_RESPONSE_SIZE];
    uint32_t answer = GUESTI_NO_ANSWER;
    uint16_t found;

    put_le(request, 2, type);
    put_le(request + 8, 8, gpa);
    put_le(request + 16, 2, nr_blocks & 0xffff);
    /* What is not written must not look like an answer. */
    memset(response, 0xaa, sizeof(response));
    if (guest->ops.request(request, response, guest->opaque) == 0) {
        answer = (uint32_t)get_le(response, 2);
    } else {
        guest->hung = true;
        guesti_ledger_report(guest, VMEM_GUEST_RULE_UNANSWERED,
                             "request %u for 0x%llx was not answered", type,
                             (unsigned long long)gpa);
    }
    found = (uint16_t)get_le(response + 8, 2);
    guest->now_ns += guest->config.request_ns;
    if (answer > VMEM_GUEST_ERROR) {
        guest->stats.nr_unanswered++;
    } else {
        guest->stats.nr_requests[type][answer]++;
    }
    if (answer != GUESTI_NO_ANSWER) {
        guesti_ledger_answer(guest, type, gpa, nr_blocks & 0xffff, answer,
                             found);
    }
    count_refusals(guest, type, answer);
    if (state != NULL) {
        *state = found;
    }
    return answer > VMEM_GUEST_ERROR ? GUESTI_NO_ANSWER : answer;
}

void guesti_reset(struct vmem_guest *guest)
{
    if (guest->ops.reset != NULL) {
        guest->ops.reset(guest->opaque);
    }
}
