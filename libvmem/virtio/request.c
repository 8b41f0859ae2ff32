/* SPDX-License-Identifier: BSD-3-Clause */
/* Guest bytes in, response bytes out. Nothing in here allocates, and every loop
 * is bounded by what the host program passed. */
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "base/error.h"
#include "base/range.h"
#include "base/sized.h"
#include "virtio/device.h"
#include "virtio/wire.h"

/* Kept out of line: what is no part of answering a request with ACK would only
 * be in its way. */
#define OUT_OF_THE_WAY __attribute__((noinline, cold))

/* A request being answered. */
struct answer {
    uint16_t response;
    uint16_t state;
    uint32_t news; /* enum vmemi_device_news */
    uint32_t busy_reason;
    /* What it is judged by. */
    uint64_t usable_region_size;
    uint64_t requested_size;
    struct vmemi_date date; /* only if the device is traced */
};

/* Takes the sizes once. A traced request takes them and its date together, so
 * that it is recorded on the right side of a resize on another thread. */
static inline void take_sizes(struct vmem_device *device, struct answer *answer)
{
    answer->requested_size =
        atomic_load_explicit(&device->requested_size, memory_order_acquire);
    answer->usable_region_size =
        atomic_load_explicit(&device->usable_region_size, memory_order_acquire);
}

OUT_OF_THE_WAY static void take_sizes_traced(struct vmem_device *device,
                                             struct answer *answer)
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
                              const struct answer *answer,
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

OUT_OF_THE_WAY static void answer_busy(struct vmem_device *device,
                                       struct vmemi_change *change,
                                       struct answer *answer)
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
                  "request answered BUSY: %s%s%s, errno %d",
                  vmem_reason_name(cause->reason),
                  cause->by[0] != '\0' ? " by " : "", cause->by, -cause->code);
}

OUT_OF_THE_WAY static void
answer_error(struct vmem_device *device,
             const struct vmemi_wire_request *request,
             struct vmemi_change *change, struct answer *answer)
{
    answer->response = VMEM_RESPONSE_ERROR;
    vmemi_log_add(&device->vm->log, &change->log, VMEM_LOG_INFO,
                  VMEM_BLAME_GUEST, VMEM_LOG_CODE_GUEST_ERROR,
                  device->name.text,
                  "request %u for %u blocks at gpa 0x%" PRIx64
                  " answered ERROR: outside the usable 0x%" PRIx64
                  " bytes, or blocks in the wrong state",
                  request->type, request->nr_blocks, request->gpa,
                  atomic_load(&device->usable_region_size));
}

/* Would plugging so many bytes exceed the requested size? */
static bool is_over_requested(const struct vmem_device *device,
                              const struct answer *answer, uint64_t size)
{
    const uint64_t requested = answer->requested_size;
    const uint64_t plugged = vmemi_device_plugged(device);

    return plugged > requested || size > requested - plugged;
}

static void plug(struct vmem_device *device,
                 const struct vmemi_wire_request *request,
                 struct vmemi_change *change, struct answer *answer)
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
                   struct vmemi_change *change, struct answer *answer)
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
                       struct answer *answer)
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
                         const struct answer *answer)
{
    vmemi_add_locked(&device->nr_requests[request->type][answer->response], 1);
}

/* A kdump kernel asks half a million of these: the short lock is enough. */
static void state(struct vmem_device *device,
                  const struct vmemi_wire_request *request,
                  struct answer *answer)
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
                    struct vmemi_change *change, struct answer *answer)
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

static void answer_request(struct vmem_device *device,
                           const struct vmemi_wire_request *request,
                           struct answer *answer)
{
    const bool timed = (device->flags & VMEM_DEVICE_MEASURE_LATENCY) != 0;
    const uint64_t start_ns = timed ? vmemi_vm_now_ns(device->vm) : 0;
    struct vmemi_change change;

    *answer = (struct answer){ .news = VMEMI_NEWS_RESIZE };
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

OUT_OF_THE_WAY static void tell_traced(struct vmem_device *device,
                                       const struct vmemi_wire_request *request,
                                       const struct answer *answer)
{
    struct vmem_trace_event event = {
        .gpa = request->gpa,
        .kind = VMEM_TRACE_REQUEST,
        .type = request->type,
        .nr_blocks = request->nr_blocks,
        .response = answer->response,
        .state = answer->state,
        .reason = answer->busy_reason,
    };

    vmemi_device_tell_event(device, answer->news, &answer->date, &event);
}

/* Without locks. */
static inline void tell(struct vmem_device *device,
                        const struct vmemi_wire_request *request,
                        const struct answer *answer)
{
    if (vmemi_device_is_traced(device)) {
        tell_traced(device, request, answer);
    } else {
        vmemi_device_tell(device, answer->news);
    }
}

OUT_OF_THE_WAY static int malformed(struct vmem_device *device, uint32_t reason,
                                    struct vmem_request_result *result)
{
    static const char *const texts[] = {
        [VMEM_MALFORMED_NONE] = "",
        [VMEM_MALFORMED_SHORT_REQUEST] = "fewer than 24 request bytes",
        [VMEM_MALFORMED_SHORT_RESPONSE] = "room for fewer than 10 bytes",
        [VMEM_MALFORMED_TYPE] = "unknown request type",
        [VMEM_MALFORMED_ADDRESS] = "bytes where the guest has no memory",
    };

    vmemi_count(&device->nr_malformed[reason]);
    vmemi_vm_log_now(device->vm, VMEM_LOG_WARNING, VMEM_BLAME_GUEST,
                     VMEM_LOG_CODE_MALFORMED, device->name.text,
                     "malformed request: %s", texts[reason]);
    result->malformed = reason;
    return VMEM_REQUEST_MALFORMED;
}

/* Defect is VMEM_MALFORMED_NONE if there were 24 bytes and is room for 10. The
 * response goes straight to where it belongs, in one go, at the end. Inlined
 * into both callers: a call with so many arguments costs what it saves. */
static inline __attribute__((always_inline)) int
handle(struct vmem_device *device, const uint8_t *request_bytes,
       uint32_t defect, uint8_t *response_bytes,
       struct vmem_request_result *result)
{
    struct vmemi_wire_request request;
    struct answer answer;
    int ret;

    ret =
        vmemi_vm_check_unlocked(device->vm, "vmem_device_handle_request", NULL);
    if (ret < 0) {
        return ret;
    }
    /* Before executing: an answer that cannot be delivered is no answer. */
    if (defect != VMEM_MALFORMED_NONE) {
        return malformed(device, defect, result);
    }
    if (!vmemi_wire_decode_request(request_bytes, &request)) {
        return malformed(device, VMEM_MALFORMED_TYPE, result);
    }
    answer_request(device, &request, &answer);
    vmemi_wire_encode_response(answer.response, answer.state, response_bytes);
    result->used_size = VMEM_DEVICE_RESPONSE_SIZE;
    result->type = request.type;
    result->response = answer.response;
    result->reason = answer.busy_reason;
    tell(device, &request, &answer);
    return VMEM_REQUEST_RESPOND;
}

/* The first of them that there is. */
static inline uint32_t find_defect(bool has_addresses, bool has_request,
                                   bool has_room)
{
    return !has_addresses ? VMEM_MALFORMED_ADDRESS
           : !has_request ? VMEM_MALFORMED_SHORT_REQUEST
           : !has_room    ? VMEM_MALFORMED_SHORT_RESPONSE
                          : VMEM_MALFORMED_NONE;
}

static int check_result(const struct vmem_request_result *host_result)
{
    return host_result == NULL
               ? 0
               : vmemi_sized_check_out(
                     host_result,
                     VMEMI_SIZE_THROUGH(struct vmem_request_result, reason));
}

static void return_result(const struct vmem_request_result *result,
                          struct vmem_request_result *host_result)
{
    if (host_result != NULL) {
        vmemi_sized_write(host_result, result, sizeof(*result));
    }
}

int vmem_device_handle_request(struct vmem_device *device, const void *request,
                               size_t request_size, void *response,
                               size_t response_size,
                               struct vmem_request_result *host_result)
{
    struct vmem_request_result result = { 0 };
    uint8_t request_bytes[VMEM_DEVICE_REQUEST_SIZE];
    const uint32_t defect =
        find_defect((request != NULL || request_size == 0) &&
                        (response != NULL || response_size == 0),
                    request_size >= sizeof(request_bytes),
                    response_size >= VMEM_DEVICE_RESPONSE_SIZE);
    int ret;

    if (device == NULL || check_result(host_result) < 0) {
        return -EINVAL;
    }
    /* Once: the guest may change its memory while we look. */
    if (defect == VMEM_MALFORMED_NONE) {
        memcpy(request_bytes, request, sizeof(request_bytes));
    }
    ret = handle(device, request_bytes, defect, response, &result);
    if (ret >= 0) {
        return_result(&result, host_result);
    }
    return ret;
}

/* Pieces without bytes need none. */
static bool have_addresses(const struct iovec *pieces, size_t nr_pieces)
{
    for (size_t i = 0; i < nr_pieces; i++) {
        if (pieces[i].iov_base == NULL && pieces[i].iov_len > 0) {
            return false;
        }
    }
    return true;
}

/* Copies up to size bytes together; returns how many there were. */
static size_t gather(const struct iovec *pieces, size_t nr_pieces,
                     uint8_t *bytes, size_t size)
{
    size_t done = 0;

    for (size_t i = 0; i < nr_pieces && done < size; i++) {
        size_t part = (size_t)vmemi_min(pieces[i].iov_len, size - done);

        if (part > 0) {
            memcpy(bytes + done, pieces[i].iov_base, part);
            done += part;
        }
    }
    return done;
}

static void scatter(const struct iovec *pieces, size_t nr_pieces,
                    const uint8_t *bytes, size_t size)
{
    size_t done = 0;

    for (size_t i = 0; i < nr_pieces && done < size; i++) {
        size_t part = (size_t)vmemi_min(pieces[i].iov_len, size - done);

        if (part > 0) {
            memcpy(pieces[i].iov_base, bytes + done, part);
            done += part;
        }
    }
}

/* Is there room for size bytes? */
static bool has_room_for(const struct iovec *pieces, size_t nr_pieces,
                         size_t size)
{
    size_t room = 0;

    for (size_t i = 0; i < nr_pieces && room < size; i++) {
        room += (size_t)vmemi_min(pieces[i].iov_len, size - room);
    }
    return room >= size;
}

int vmem_device_handle_request_iov(struct vmem_device *device,
                                   const struct iovec *readable,
                                   size_t nr_readable,
                                   const struct iovec *writable,
                                   size_t nr_writable,
                                   struct vmem_request_result *host_result)
{
    struct vmem_request_result result = { 0 };
    uint8_t request[VMEM_DEVICE_REQUEST_SIZE];
    uint8_t response[VMEM_DEVICE_RESPONSE_SIZE];
    bool has_addresses;
    bool has_request;
    int ret;

    if (device == NULL || check_result(host_result) < 0 ||
        (readable == NULL && nr_readable > 0) ||
        (writable == NULL && nr_writable > 0)) {
        return -EINVAL;
    }
    has_addresses = have_addresses(readable, nr_readable) &&
                    have_addresses(writable, nr_writable);
    /* Once: the guest may change its memory while we look. */
    has_request = has_addresses && gather(readable, nr_readable, request,
                                          sizeof(request)) == sizeof(request);
    ret = handle(
        device, request,
        find_defect(has_addresses, has_request,
                    has_room_for(writable, nr_writable, sizeof(response))),
        response, &result);
    if (ret == VMEM_REQUEST_RESPOND) {
        scatter(writable, nr_writable, response, sizeof(response));
    }
    if (ret >= 0) {
        return_result(&result, host_result);
    }
    return ret;
}
