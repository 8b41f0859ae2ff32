/* SPDX-License-Identifier: BSD-3-Clause */
#include "replay_state.h"

#include <inttypes.h>
#include <string.h>

#include "touch.h"
#include "units.h"
#include "wire.h"

static const struct {
    enum trace_op op;
    uint16_t type;
} requests[] = {
    { TRACE_PLUG, VMEM_REQUEST_PLUG },
    { TRACE_UNPLUG, VMEM_REQUEST_UNPLUG },
    { TRACE_UNPLUG_ALL, VMEM_REQUEST_UNPLUG_ALL },
    { TRACE_STATE, VMEM_REQUEST_STATE },
};

bool replay_find_request(enum trace_op op, uint16_t *type)
{
    for (unsigned i = 0; i < G_N_ELEMENTS(requests); i++) {
        if (requests[i].op == op) {
            *type = requests[i].type;
            return true;
        }
    }
    return false;
}

/* The range of a request; false if it leaves the region. */
static bool find_range(const struct rig *rig, const struct trace_record *record,
                       struct vmem_range *range)
{
    range->offset = record->gpa - rig->trace->gpa;
    return record->gpa >= rig->trace->gpa &&
           !__builtin_mul_overflow(record->nr_blocks, rig->trace->block_size,
                                   &range->size) &&
           range->offset <= rig->trace->region_size &&
           range->size <= rig->trace->region_size - range->offset;
}

static void touch_plugged(struct replay *replay, const struct rig *rig,
                          const struct vmem_range *range)
{
    uint64_t bad = 0;
    int ret = touch_write(rig->hva, range->offset, range->size, &bad);

    if (ret < 0) {
        g_autofree char *size = units_format_bytes(range->size);

        replay_fail_host(replay, "the host has no %s to write to: %s", size,
                         g_strerror(-ret));
    } else if (ret > 0) {
        replay_fail(replay, "contents",
                    "newly plugged memory at 0x%" PRIx64 " is not zero",
                    rig->trace->gpa + bad);
        /* Write it all the same, so that what follows can be judged. */
    }
}

/* What an acknowledged request means for the memory. */
static void follow_up(struct replay *replay, const struct trace_record *record,
                      uint64_t before)
{
    struct rig *rig = &replay->rigs[record->device];
    uint64_t after = rig_plugged_size(rig);
    struct vmem_range range;

    if (after > before) {
        replay->totals->plugged += after - before;
    } else {
        replay->totals->unplugged += before - after;
    }
    if (record->op == TRACE_UNPLUG_ALL) {
        range = (struct vmem_range){ 0, rig->trace->region_size };
        replay_check_gone(replay, (unsigned)record->device, &range);
        return;
    }
    if (!find_range(rig, record, &range)) {
        replay_fail(replay, "answer", "ACK for memory outside of the region");
        return;
    }
    if (record->op == TRACE_UNPLUG) {
        replay_check_gone(replay, (unsigned)record->device, &range);
    } else if (replay->options->touch) {
        touch_plugged(replay, rig, &range);
    }
}

static void compare_answer(struct replay *replay,
                           const struct trace_record *record,
                           const uint8_t *response,
                           const struct vmem_request_result *result)
{
    unsigned type = wire_response_type(response);
    unsigned state = wire_response_state(response);

    if (type == VMEM_RESPONSE_BUSY && type != record->response &&
        (result->reason == VMEM_REASON_POPULATE_FAILED ||
         result->reason == VMEM_REASON_NO_MEMORY)) {
        replay_fail_host(replay, "the host has no memory for %u blocks",
                         record->nr_blocks);
        return;
    }
    if (type != record->response) {
        replay_fail(replay, "answer", "%s was answered %s, recorded is %s",
                    trace_op_name(record->op), vmem_response_type_name(type),
                    vmem_response_type_name(record->response));
    } else if (record->state != TRACE_NO_STATE &&
               state != (unsigned)record->state) {
        replay_fail(replay, "answer", "state was answered %s, recorded is %s",
                    vmem_block_state_name(state),
                    vmem_block_state_name((unsigned)record->state));
    }
}

/* What the recorded answer says must be plugged now. */
static void expect_size(struct replay *replay,
                        const struct trace_record *record)
{
    uint64_t *expected = &replay->expected[record->device];
    uint64_t size =
        record->nr_blocks * replay->rigs[record->device].trace->block_size;

    if (record->response != VMEM_RESPONSE_ACK) {
        return;
    }
    if (record->op == TRACE_PLUG) {
        *expected += size;
    } else if (record->op == TRACE_UNPLUG) {
        *expected -= size;
    } else if (record->op == TRACE_UNPLUG_ALL) {
        *expected = 0;
    }
}

/* What is about to go must still hold what was written: nobody may have
 * discarded it before. */
static void check_before(struct replay *replay,
                         const struct trace_record *record)
{
    unsigned device = (unsigned)record->device;
    struct vmem_range range;

    if (record->op == TRACE_UNPLUG_ALL) {
        replay_check_contents(replay, device, NULL);
    } else if (record->op == TRACE_UNPLUG &&
               record->response == VMEM_RESPONSE_ACK &&
               find_range(&replay->rigs[device], record, &range)) {
        replay_check_contents(replay, device, &range);
    }
}

void replay_request(struct replay *replay, const struct trace_record *record,
                    uint16_t type)
{
    struct rig *rig = &replay->rigs[record->device];
    struct vmem_request_result result = { .struct_size = sizeof(result) };
    uint8_t request[VMEM_DEVICE_REQUEST_SIZE];
    uint8_t response[VMEM_DEVICE_RESPONSE_SIZE];
    uint64_t before = rig_plugged_size(rig);
    int ret;

    check_before(replay, record);
    wire_encode_request(request, type, record->gpa, record->nr_blocks);
    memset(response, 0xaa, sizeof(response));
    replay->totals->nr_requests++;
    ret = vmem_device_handle_request(rig->device, request, sizeof(request),
                                     response, sizeof(response), &result);
    expect_size(replay, record);
    if (ret != VMEM_REQUEST_RESPOND || result.used_size != sizeof(response)) {
        replay_fail(replay, "answer", "%s was not answered (%d, %zu bytes)",
                    trace_op_name(record->op), ret, result.used_size);
        return;
    }
    compare_answer(replay, record, response, &result);
    if (wire_response_type(response) == VMEM_RESPONSE_ACK &&
        record->op != TRACE_STATE) {
        replay->nr_unmeasured++;
        follow_up(replay, record, before);
    }
}
