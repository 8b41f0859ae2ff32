/* SPDX-License-Identifier: BSD-3-Clause */
#include "execute.h"

#include <errno.h>
#include <string.h>

#include <vmem/region.h>

#include "wire.h"

/* What the response buffer holds before, so that writes show. */
#define UNTOUCHED 0xa5

/* A request that must be answered. */
static void check_response(struct finding *finding,
                           const struct vector_step *step,
                           const uint8_t *response, size_t used_size)
{
    uint8_t got[VMEM_DEVICE_RESPONSE_SIZE];

    finding_compare(finding, "used length", used_size, step->used_len);
    /* Bytes with a meaning first: a wrong answer is worse than wrong padding,
     * and reads better by its name. */
    for (unsigned i = 0; i < sizeof(got); i++) {
        got[i] = (uint8_t)((response[i] & step->resp_mask->data[i]) |
                           (step->resp->data[i] & ~step->resp_mask->data[i]));
    }
    if (wire_response_type(got) != wire_response_type(step->resp->data)) {
        finding_add(
            finding, "answer is %s, expected %s",
            vmem_response_type_name(wire_response_type(got)),
            vmem_response_type_name(wire_response_type(step->resp->data)));
    }
    if (wire_response_state(got) != wire_response_state(step->resp->data)) {
        finding_add(
            finding, "state is %s, expected %s",
            vmem_block_state_name(wire_response_state(got)),
            vmem_block_state_name(wire_response_state(step->resp->data)));
    }
    finding_compare_bytes(finding, "response", response, step->resp->data,
                          sizeof(got));
}

/* What the transport makes of a verdict, as one of VECTOR_MAY_*; 0 if there is
 * an ordinary response. */
static unsigned transport(struct vector_rig *rig, int verdict,
                          const uint8_t *response)
{
    if (verdict == VMEM_REQUEST_RESPOND) {
        return wire_response_type(response) == VMEM_RESPONSE_ERROR
                   ? VECTOR_MAY_BE_ERROR
                   : 0;
    }
    if (verdict == VMEM_REQUEST_MALFORMED) {
        if (rig->vector->policy.malformed_is_len0) {
            return VECTOR_MAY_BE_LEN0;
        }
        rig->needs_reset = true;
        return VECTOR_MAY_NEED_RESET;
    }
    return 0;
}

static void check_untouched(struct finding *finding, const uint8_t *response,
                            size_t used_size, size_t room)
{
    for (size_t i = used_size; i < room; i++) {
        if (response[i] != UNTOUCHED) {
            finding_add(finding, "byte %zu behind the response was written",
                        i - used_size);
            return;
        }
    }
}

static void run_request(struct vector_rig *rig, const struct vector_step *step,
                        struct finding *finding)
{
    struct vmem_request_result result = { .struct_size = sizeof(result) };
    /* 16 bytes more than the device is told of. */
    size_t room = step->resp_space + 16;
    g_autofree uint8_t *response = g_malloc(room);
    int verdict;

    memset(response, UNTOUCHED, room);
    if (rig->needs_reset) {
        if (step->resp != NULL || !(step->any_of & VECTOR_MAY_NEED_RESET)) {
            finding_add(finding,
                        "the device needs a reset, expected is an answer");
        }
        return;
    }
    verdict = vmem_device_handle_request(rig->device, step->bytes->data,
                                         step->bytes->len, response,
                                         step->resp_space, &result);
    check_untouched(finding, response, result.used_size, room);
    if (verdict < 0) {
        finding_add(finding, "the request failed: %s", g_strerror(-verdict));
    } else if (step->resp == NULL) {
        if (!(transport(rig, verdict, response) & step->any_of)) {
            finding_add(finding, "the outcome is none of those allowed");
        }
    } else if (verdict != VMEM_REQUEST_RESPOND) {
        (void)transport(rig, verdict, response);
        finding_add(finding, "the request was taken for malformed (%u)",
                    result.malformed);
    } else {
        check_response(finding, step, response, result.used_size);
    }
    /* A failure waits for a request that gets as far as the memory. */
    if (rig->has_failed) {
        rig->has_failed = false;
        rig->fails_populate = false;
        rig->fails_discard = false;
    }
}

static void run_busy(struct vector_rig *rig, const struct vector_step *step,
                     struct finding *finding)
{
    struct vmem_error err = VMEM_ERROR_INIT;
    int ret = 0;

    if (step->flag != rig->frozen) {
        ret = step->flag
                  ? vmem_region_freeze(rig->region, VECTOR_RIG_FREEZER, &err)
                  : vmem_region_thaw(rig->region, VECTOR_RIG_FREEZER, &err);
        rig->frozen = step->flag;
    }
    if (ret < 0) {
        finding_add(finding, "cannot freeze or thaw: %s", err.message);
    }
}

static void run_reset(struct vector_rig *rig, const struct vector_step *step,
                      struct finding *finding)
{
    struct vmem_error err = VMEM_ERROR_INIT;
    uint32_t kind = step->op == VECTOR_SYSTEM_RESET   ? VMEM_RESET_SYSTEM
                    : step->op == VECTOR_DEVICE_RESET ? VMEM_RESET_DRIVER
                                                      : VMEM_RESET_WAKEUP;
    int ret = vmem_device_reset(rig->device, kind, &err);

    rig->needs_reset = false;
    if (ret < 0 &&
        !(ret == -EBUSY && rig->frozen && kind == VMEM_RESET_SYSTEM)) {
        finding_add(finding, "reset failed: %s", err.message);
    }
}

static void run_config_read(struct vector_rig *rig,
                            const struct vector_step *step,
                            struct finding *finding)
{
    g_autofree uint8_t *got = g_malloc0(step->bytes->len + 1);
    int ret = vmem_device_read_config(rig->device, step->value, got,
                                      step->bytes->len);

    if (ret < 0) {
        finding_add(finding, "config cannot be read: %s", g_strerror(-ret));
    }
    finding_compare_bytes(finding, "config", got, step->bytes->data,
                          step->bytes->len);
}

void execute_step(struct vector_rig *rig, const struct vector_step *step,
                  struct finding *finding)
{
    struct vmem_error err = VMEM_ERROR_INIT;

    switch (step->op) {
    case VECTOR_REQUEST:
        run_request(rig, step, finding);
        break;
    case VECTOR_SET_REQUESTED_SIZE:
        if ((vmem_device_resize(rig->device, step->value, &err) == 0) !=
            step->flag) {
            finding_add(finding, "resize was %s",
                        step->flag ? err.message : "accepted");
        }
        break;
    case VECTOR_SET_BUSY:
        run_busy(rig, step, finding);
        break;
    case VECTOR_FAIL_NEXT:
        rig->fails_populate = step->flag;
        rig->fails_discard = !step->flag;
        break;
    case VECTOR_DEVICE_RESET:
    case VECTOR_SYSTEM_RESET:
    case VECTOR_SUSPEND_RESUME:
        run_reset(rig, step, finding);
        break;
    case VECTOR_NEGOTIATE:
        if ((vmem_device_set_driver_features(rig->device, step->value) == 0) !=
            step->flag) {
            finding_add(finding, "features were %s",
                        step->flag ? "refused" : "accepted");
        }
        break;
    case VECTOR_CONFIG_READ:
        run_config_read(rig, step, finding);
        break;
    case VECTOR_CONFIG_WRITE:
        if (vmem_device_write_config(rig->device, step->value,
                                     step->bytes->data, step->bytes->len) < 0) {
            finding_add(finding, "a config write failed");
        }
        break;
    }
}
