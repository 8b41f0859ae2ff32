/* SPDX-License-Identifier: BSD-3-Clause */
/* Between the guest and the device: a transport, and whoever uses the memory. */
#include <string.h>

#include "sim_state.h"
#include "touch.h"
#include "wire.h"

/* The range of a PLUG or UNPLUG. */
static bool find_range(const struct sim *sim, const uint8_t *request,
                       struct vmem_range *range)
{
    uint64_t gpa;
    uint16_t nr_blocks;

    wire_request_range(request, &gpa, &nr_blocks);
    range->offset = gpa - sim->shape.gpa;
    range->size = nr_blocks * sim->shape.block_size;
    return gpa >= sim->shape.gpa && range->offset <= sim->shape.region_size &&
           range->size <= sim->shape.region_size - range->offset;
}

static void verify(struct sim *sim, const struct vmem_range *range)
{
    const struct shadow *blocks = &sim->rig.shadows[0];
    const uint64_t end = (range->offset + range->size) / blocks->block_size;
    uint64_t first = shadow_find(blocks, range->offset / blocks->block_size, 1);

    while (first < end) {
        const uint64_t last = MIN(shadow_find(blocks, first, 0), end);
        uint64_t bad = 0;

        if (touch_verify(sim->rig.hva, first * blocks->block_size,
                         (last - first) * blocks->block_size, &bad) != 0) {
            sim_fail(sim, "contents",
                     "plugged memory at offset 0x%" G_GINT64_MODIFIER
                     "x does not hold what was written",
                     bad);
            return;
        }
        first = shadow_find(blocks, last, 1);
    }
}

/* What is about to go must still hold what was written. */
static void touch_before(struct sim *sim, uint16_t type, const uint8_t *request)
{
    struct vmem_range range = { 0, sim->shape.region_size };

    if (type == VMEM_GUEST_UNPLUG_ALL ||
        (type == VMEM_GUEST_UNPLUG && find_range(sim, request, &range))) {
        verify(sim, &range);
    }
}

static void touch_after(struct sim *sim, uint16_t type, const uint8_t *request)
{
    struct vmem_range range;
    uint64_t bad = 0;
    int ret;

    if (type != VMEM_GUEST_PLUG || !find_range(sim, request, &range)) {
        return;
    }
    ret = touch_write(sim->rig.hva, range.offset, range.size, &bad);
    if (ret < 0) {
        sim_fail_host(sim, "the host has no memory to write to: %s",
                      g_strerror(-ret));
    } else if (ret > 0) {
        sim_fail(sim, "contents",
                 "newly plugged memory at offset 0x%" G_GINT64_MODIFIER
                 "x is not zero",
                 bad);
    }
}

static int on_request(const uint8_t *request, uint8_t *response, void *opaque)
{
    struct sim *sim = opaque;
    const uint16_t type = wire_request_type(request);
    struct vmem_request_result result = { .struct_size = sizeof(result) };
    int ret;

    sim_follow_clock(sim);
    if (sim->options->touch) {
        touch_before(sim, type, request);
    }
    ret = vmem_device_handle_request(sim->rig.device, request,
                                     VMEM_GUEST_REQUEST_SIZE, response,
                                     VMEM_GUEST_RESPONSE_SIZE, &result);
    if (ret != VMEM_REQUEST_RESPOND || sim->host_failed) {
        return -1;
    }
    if (result.response == VMEM_RESPONSE_BUSY &&
        (result.reason == VMEM_REASON_POPULATE_FAILED ||
         result.reason == VMEM_REASON_NO_MEMORY)) {
        sim_fail_host(sim, "the host has no memory to plug");
    }
    if (sim->options->touch && result.response == VMEM_RESPONSE_ACK) {
        touch_after(sim, type, request);
    }
    sim->nr_answers++;
    sim_tell_watch(sim, WATCH_REQUEST);
    return 0;
}

static void on_read_config(uint8_t *config, void *opaque)
{
    struct sim *sim = opaque;

    (void)vmem_device_read_config(sim->rig.device, 0, config,
                                  VMEM_GUEST_CONFIG_SIZE);
}

static void on_reset(void *opaque)
{
    struct sim *sim = opaque;

    (void)vmem_device_reset(sim->rig.device, VMEM_RESET_DRIVER, NULL);
    (void)vmem_device_set_driver_features(
        sim->rig.device, vmem_device_get_features(sim->rig.device));
}

static void on_finding(const struct vmem_guest_finding *finding, void *opaque)
{
    sim_fail(opaque, vmem_guest_rule_name(finding->rule), "%s (%s)",
             finding->message, vmem_guest_rule_clause(finding->rule));
}

const struct vmem_guest_ops sim_guest_ops = {
    .struct_size = sizeof(sim_guest_ops),
    .request = on_request,
    .read_config = on_read_config,
    .reset = on_reset,
    .finding = on_finding,
};
