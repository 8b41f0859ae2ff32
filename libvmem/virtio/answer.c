/* SPDX-License-Identifier: BSD-3-Clause */
/* What a request does, and what it is answered. Nothing in here allocates. */
#include "virtio/answer.h"

#include <inttypes.h>

#include "base/errno.h"

/* Takes the sizes once. A traced request takes them and its date together, so
 * that it is recorded on the right side of a resize on another thread. */
static inline void take_sizes(struct vmem_device *device,
                              struct vmemi_answer *answer)
{
    answer->requested_size =
        atomic_load_explicit(&device->requested_size, memory_order_acquire);
    answer->usable_region_size =
        atomic_load_explicit(&device->usable_region_size, memory_order_acquire);
}

VMEMI_OUT_OF_THE_WAY static void take_sizes_traced(struct vmem_device *device,
                                                   struct vmemi_answer *answer)
{
    vmemi_mutex_lock(&device->region->state);
    take_sizes(device, answer);
    vmemi_device_date(device, &answer->date);
    vmemi_mutex_unlock(&device->region->state);
}

/* The range that a request names, as offsets in the region: aligned, not empty,
 * inside the usable region, in arithmetic that cannot wrap. */
static inline bool find_range(const struct vmem_device *device,
                              const struct vmemi_wire_request *request,
                              const struct vmemi_answer *answer,
                              struct vmem_range *range)
{
    const uint64_t usable = answer->usable_region_size;

    if (request->gpa < device->gpa ||
        (request->gpa & (device->block_size - 1)) != 0 ||
        request->nr_blocks == 0) {
        return false;
    }
    if (__builtin_mul_overflow((uint64_t)request->nr_blocks, device->block_size,
                               &range->size)) {
        return false;
    }
    range->offset = request->gpa - device->gpa;
    return range->offset <= usable && range->size <= usable - range->offset;
}

static uint32_t block_state(const struct vmem_device *device,
                            const struct vmem_range *range)
{
    const unsigned int shift = device->source->block_shift;

    return vmemi_bitmap_state(device->source->blocks, range->offset >> shift,
                              range->size >> shift);
}

VMEMI_OUT_OF_THE_WAY static void answer_busy(struct vmem_device *device,
                                             struct vmemi_change *change,
                                             struct vmemi_answer *answer)
{
    const struct vmemi_cause *cause = &change->cause;

    answer->response = VMEM_RESPONSE_BUSY;
    answer->busy_reason = cause->reason;
    vmemi_device_track_busy(device, cause);
    vmemi_log_add(&device->vm->log, &change->log, VMEM_LOG_INFO,
                  cause->reason == VMEM_REASON_POPULATE_FAILED ||
                          cause->reason == VMEM_REASON_DISCARD_FAILED
                      ? VMEM_BLAME_OS
                      : VMEM_BLAME_HOST,
                  VMEM_LOG_CODE_BUSY, device->name.text,
                  "request answered BUSY: %s%s%s: %s (errno %d)",
                  vmem_reason_name(cause->reason),
                  cause->by[0] != '\0' ? " by " : "", cause->by,
                  vmemi_errno_text(cause->code), -cause->code);
}

/* Looks once more for what was wrong: nobody waits for it but a driver with a
 * defect. */
VMEMI_OUT_OF_THE_WAY static void
answer_error(struct vmem_device *device,
             const struct vmemi_wire_request *request,
             struct vmemi_change *change, struct vmemi_answer *answer)
{
    const char *const type = vmem_request_type_name(request->type);
    struct vmem_range range;

    answer->response = VMEM_RESPONSE_ERROR;
    if (!find_range(device, request, answer, &range)) {
        vmemi_log_add(
            &device->vm->log, &change->log, VMEM_LOG_INFO, VMEM_BLAME_GUEST,
            VMEM_LOG_CODE_GUEST_ERROR, device->name.text,
            "%s of %u blocks at gpa 0x%" PRIx64
            " answered ERROR: blocks have 0x%" PRIx64
            " bytes, usable are 0x%" PRIx64 " from gpa 0x%" PRIx64,
            type, request->nr_blocks, request->gpa, device->block_size,
            answer->usable_region_size, device->gpa);
        return;
    }
    vmemi_log_add(&device->vm->log, &change->log, VMEM_LOG_INFO,
                  VMEM_BLAME_GUEST, VMEM_LOG_CODE_GUEST_ERROR,
                  device->name.text,
                  "%s of %u blocks at gpa 0x%" PRIx64
                  " answered ERROR: not all of them are %s",
                  type, request->nr_blocks, request->gpa,
                  request->type == VMEM_REQUEST_PLUG ? "unplugged" : "plugged");
}

/* Would plugging so many bytes exceed the requested size? */
static bool is_over_requested(const struct vmem_device *device,
                              const struct vmemi_answer *answer, uint64_t size)
{
    const uint64_t requested = answer->requested_size;
    const uint64_t plugged = vmemi_device_plugged(device);

    return plugged > requested || size > requested - plugged;
}

static void plug(struct vmem_device *device,
                 const struct vmemi_wire_request *request,
                 struct vmemi_change *change, struct vmemi_answer *answer)
{
    struct vmem_range range;

    if (!find_range(device, request, answer, &range) ||
        block_state(device, &range) != VMEM_BITMAP_ALL_CLEAR) {
        answer_error(device, request, change, answer);
        return;
    }
    if (is_over_requested(device, answer, range.size)) {
        answer->response = VMEM_RESPONSE_NACK;
        return;
    }
    if (vmemi_source_plug(device->source, &range, change) < 0) {
        answer_busy(device, change, answer);
        return;
    }
    vmemi_add_locked(&device->plugged_bytes, range.size);
    answer->response = VMEM_RESPONSE_ACK;
    answer->news |= VMEMI_NEWS_SIZE;
}

static void unplug(struct vmem_device *device,
                   const struct vmemi_wire_request *request,
                   struct vmemi_change *change, struct vmemi_answer *answer)
{
    struct vmem_range range;

    if (!find_range(device, request, answer, &range) ||
        block_state(device, &range) != VMEM_BITMAP_ALL_SET) {
        answer_error(device, request, change, answer);
        return;
    }
    if (vmemi_source_unplug(device->source, &range, change) < 0) {
        answer_busy(device, change, answer);
        return;
    }
    vmemi_add_locked(&device->unplugged_bytes, range.size);
    answer->response = VMEM_RESPONSE_ACK;
    answer->news |= VMEMI_NEWS_SIZE;
}

/* With nothing plugged it is answered even while frozen and costs nothing, but
 * then the usable region stays as well. */
static void unplug_all(struct vmem_device *device, struct vmemi_change *change,
                       struct vmemi_answer *answer)
{
    const struct vmem_range all = { .offset = 0, .size = device->region->size };
    const uint64_t plugged = vmemi_device_plugged(device);
    bool emptied = !vmem_region_is_frozen(device->region);

    answer->response = VMEM_RESPONSE_ACK;
    if (plugged > 0 && vmemi_source_unplug(device->source, &all, change) < 0) {
        answer_busy(device, change, answer);
        emptied = false;
    } else if (plugged > 0) {
        vmemi_add_locked(&device->unplugged_bytes, plugged);
        answer->news |= VMEMI_NEWS_SIZE;
    }
    vmemi_device_conclude(device, emptied, &answer->date);
}

/* Each type's counters are written under one lock: the state lock for STATE, the
 * change lock for the rest. */
static void count_answer(struct vmem_device *device,
                         const struct vmemi_wire_request *request,
                         const struct vmemi_answer *answer)
{
    vmemi_add_locked(&device->nr_requests[request->type][answer->response], 1);
}

/* A kdump kernel asks half a million of these: the short lock is enough. */
static void state(struct vmem_device *device,
                  const struct vmemi_wire_request *request,
                  struct vmemi_answer *answer)
{
    struct vmem_range range;
    uint32_t found = VMEM_BITMAP_MIXED;
    bool valid;

    vmemi_mutex_lock(&device->region->state);
    take_sizes(device, answer);
    vmemi_device_date(device, &answer->date);
    valid = find_range(device, request, answer, &range);
    if (valid) {
        found = block_state(device, &range);
    }
    answer->response = valid ? VMEM_RESPONSE_ACK : VMEM_RESPONSE_ERROR;
    count_answer(device, request, answer);
    vmemi_mutex_unlock(&device->region->state);

    if (!valid) {
        answer->state = 0;
    } else if (found == VMEM_BITMAP_ALL_SET) {
        answer->state = VMEM_STATE_PLUGGED;
    } else if (found == VMEM_BITMAP_ALL_CLEAR) {
        answer->state = VMEM_STATE_UNPLUGGED;
    } else {
        answer->state = VMEM_STATE_MIXED;
    }
}

/* Under the change lock. */
static void execute(struct vmem_device *device,
                    const struct vmemi_wire_request *request,
                    struct vmemi_change *change, struct vmemi_answer *answer)
{
    /* An UNPLUG ALL is judged by no size, and dated at its end. */
    if (request->type != VMEM_REQUEST_UNPLUG_ALL) {
        if (vmemi_device_is_traced(device)) {
            take_sizes_traced(device, answer);
        } else {
            take_sizes(device, answer);
        }
    }
    if (request->type == VMEM_REQUEST_PLUG) {
        plug(device, request, change, answer);
    } else if (request->type == VMEM_REQUEST_UNPLUG) {
        unplug(device, request, change, answer);
    } else {
        unplug_all(device, change, answer);
    }
    /* An UNPLUG ALL of nothing is acknowledged too, but is no progress. */
    if ((answer->news & VMEMI_NEWS_SIZE) != 0) {
        vmemi_device_track_progress(device);
    } else if (answer->response != VMEM_RESPONSE_BUSY) {
        vmemi_device_forget_busy(device);
    }
    count_answer(device, request, answer);
}

static void count_latency(struct vmem_device *device, uint16_t type,
                          uint64_t start_ns)
{
    const uint64_t taken_ns = vmemi_vm_now_ns(device->vm) - start_ns;
    uint64_t max_ns = atomic_load(&device->latency_max_ns[type]);

    atomic_fetch_add_explicit(&device->latency_total_ns[type], taken_ns,
                              memory_order_relaxed);
    while (taken_ns > max_ns &&
           !atomic_compare_exchange_weak(&device->latency_max_ns[type], &max_ns,
                                         taken_ns)) {
    }
}

void vmemi_device_answer(struct vmem_device *device,
                         const struct vmemi_wire_request *request,
                         struct vmemi_answer *answer)
{
    const bool timed = (device->flags & VMEM_DEVICE_MEASURE_LATENCY) != 0;
    const uint64_t start_ns = timed ? vmemi_vm_now_ns(device->vm) : 0;
    struct vmemi_change change;

    *answer = (struct vmemi_answer){ .news = VMEMI_NEWS_RESIZE };
    if (request->type == VMEM_REQUEST_STATE) {
        state(device, request, answer);
    } else {
        vmemi_change_lock(&change, device->region);
        execute(device, request, &change, answer);
        vmemi_change_end(&change);
    }
    atomic_store_explicit(&device->has_driver, 1, memory_order_relaxed);
    atomic_store_explicit(&device->tracker.has_asked, 1, memory_order_relaxed);
    if (timed) {
        count_latency(device, request->type, start_ns);
    }
}
