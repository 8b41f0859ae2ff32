/* SPDX-License-Identifier: BSD-3-Clause */
/* Guest bytes in, response bytes out. Nothing in here allocates, and every loop
 * is bounded by what the host program passed. */
#include <errno.h>
#include <string.h>

#include "base/range.h"
#include "base/sized.h"
#include "virtio/answer.h"

VMEMI_OUT_OF_THE_WAY static void
tell_traced(struct vmem_device *device,
            const struct vmemi_wire_request *request,
            const struct vmemi_answer *answer)
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
                        const struct vmemi_answer *answer)
{
    if (vmemi_device_is_traced(device)) {
        tell_traced(device, request, answer);
    } else {
        vmemi_device_tell(device, answer->news);
    }
}

/* number: bytes that there were, or are room for, or the type. */
VMEMI_OUT_OF_THE_WAY static int malformed(struct vmem_device *device,
                                          uint32_t reason, size_t number,
                                          struct vmem_request_result *result)
{
    static const char *const texts[][2] = {
        [VMEM_MALFORMED_SHORT_REQUEST] = { "", " bytes, the least is 24" },
        [VMEM_MALFORMED_SHORT_RESPONSE] = { "room for ",
                                            " bytes, the least is 10" },
        [VMEM_MALFORMED_TYPE] = { "type ", ", the largest is 3" },
    };

    vmemi_count(&device->nr_malformed[reason]);
    if (reason == VMEM_MALFORMED_ADDRESS) {
        vmemi_vm_log_now(device->vm, VMEM_LOG_WARNING, VMEM_BLAME_GUEST,
                         VMEM_LOG_CODE_MALFORMED, device->name.text,
                         "malformed request: bytes where the guest has no "
                         "memory");
    } else {
        vmemi_vm_log_now(device->vm, VMEM_LOG_WARNING, VMEM_BLAME_GUEST,
                         VMEM_LOG_CODE_MALFORMED, device->name.text,
                         "malformed request: %s%zu%s", texts[reason][0], number,
                         texts[reason][1]);
    }
    result->malformed = reason;
    return VMEM_REQUEST_MALFORMED;
}

/* What there is besides the bytes of a request. */
struct given {
    bool has_addresses; /* no piece is where the guest has no memory */
    size_t nr_bytes;
    size_t room; /* for the response */
};

/* The first defect that there is. */
static inline uint32_t find_defect(const struct given *given)
{
    return !given->has_addresses ? VMEM_MALFORMED_ADDRESS
           : given->nr_bytes < VMEM_DEVICE_REQUEST_SIZE
               ? VMEM_MALFORMED_SHORT_REQUEST
           : given->room < VMEM_DEVICE_RESPONSE_SIZE
               ? VMEM_MALFORMED_SHORT_RESPONSE
               : VMEM_MALFORMED_NONE;
}

/* The response goes straight to where it belongs, in one go, at the end. Inlined
 * into both callers: a call with so many arguments costs what it saves. */
static inline __attribute__((always_inline)) int
handle(struct vmem_device *device, const uint8_t *request_bytes,
       const struct given *given, uint8_t *response_bytes,
       struct vmem_request_result *result)
{
    const uint32_t defect = find_defect(given);
    struct vmemi_wire_request request;
    struct vmemi_answer answer;
    int ret;

    ret =
        vmemi_vm_check_unlocked(device->vm, "vmem_device_handle_request", NULL);
    if (ret < 0) {
        return ret;
    }
    /* Before executing: an answer that cannot be delivered is no answer. */
    if (defect != VMEM_MALFORMED_NONE) {
        return malformed(device, defect,
                         defect == VMEM_MALFORMED_SHORT_REQUEST
                             ? given->nr_bytes
                             : given->room,
                         result);
    }
    if (!vmemi_wire_decode_request(request_bytes, &request)) {
        return malformed(device, VMEM_MALFORMED_TYPE, request.type, result);
    }
    vmemi_device_answer(device, &request, &answer);
    vmemi_wire_encode_response(answer.response, answer.state, response_bytes);
    result->used_size = VMEM_DEVICE_RESPONSE_SIZE;
    result->type = request.type;
    result->response = answer.response;
    result->reason = answer.busy_reason;
    tell(device, &request, &answer);
    return VMEM_REQUEST_RESPOND;
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
    const struct given given = {
        .has_addresses = (request != NULL || request_size == 0) &&
                         (response != NULL || response_size == 0),
        .nr_bytes = request_size,
        .room = response_size,
    };
    int ret;

    if (device == NULL || check_result(host_result) < 0) {
        return -EINVAL;
    }
    /* Once: the guest may change its memory while we look. */
    if (find_defect(&given) == VMEM_MALFORMED_NONE) {
        memcpy(request_bytes, request, sizeof(request_bytes));
    }
    ret = handle(device, request_bytes, &given, response, &result);
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

/* How much room there is, as far as size bytes need it. */
static size_t measure_room(const struct iovec *pieces, size_t nr_pieces,
                           size_t size)
{
    size_t room = 0;

    for (size_t i = 0; i < nr_pieces && room < size; i++) {
        room += (size_t)vmemi_min(pieces[i].iov_len, size - room);
    }
    return room;
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
    struct given given = { 0 };
    int ret;

    if (device == NULL || check_result(host_result) < 0 ||
        (readable == NULL && nr_readable > 0) ||
        (writable == NULL && nr_writable > 0)) {
        return -EINVAL;
    }
    given.has_addresses = have_addresses(readable, nr_readable) &&
                          have_addresses(writable, nr_writable);
    if (given.has_addresses) {
        /* Once: the guest may change its memory while we look. */
        given.nr_bytes =
            gather(readable, nr_readable, request, sizeof(request));
        given.room = measure_room(writable, nr_writable, sizeof(response));
    }
    ret = handle(device, request, &given, response, &result);
    if (ret == VMEM_REQUEST_RESPOND) {
        scatter(writable, nr_writable, response, sizeof(response));
    }
    if (ret >= 0) {
        return_result(&result, host_result);
    }
    return ret;
}
