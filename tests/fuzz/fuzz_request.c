/* SPDX-License-Identifier: BSD-3-Clause */
/* Guest bytes, in any pieces. Two devices hear the same requests, one in one
 * piece and one scattered: nobody may be able to tell them apart. */
#include <errno.h>

#include <vmem/vmem.h>

#include "fuzz_check.h"
#include "fuzz_input.h"
#include "support/quiet.h"

#define BLOCK_SIZE ((uint64_t)1 << 21)
#define NR_BLOCKS 96
#define GPA ((uint64_t)1 << 32)
#define MAX_PIECES 8
/* Room for what a piece claims to have, whatever that is. */
#define MAX_BYTES 64
#define CANARY 0xa5

struct twin {
    struct vmem_vm *vm;
    struct vmem_region *region;
    struct vmem_device *device;
};

struct outcome {
    int ret;
    struct vmem_request_result result;
    uint8_t response[MAX_BYTES];
};

static struct twin twins[2];

/* Once for all inputs, which begin with a system reset: making a device takes
 * longer than a request. */
static void make_twins(void)
{
    struct vmem_vm_config vm_config = {
        .struct_size = sizeof(vm_config),
        .name = "vm",
        .log = quiet_log,
        .clock_ns = quiet_clock,
    };
    const struct vmem_region_config region = {
        .struct_size = sizeof(region),
        .name = "region",
        .size = NR_BLOCKS * BLOCK_SIZE,
    };
    const struct vmem_device_config device = {
        .struct_size = sizeof(device),
        .name = "device",
        .gpa = GPA,
        .block_size = BLOCK_SIZE,
        .usable_policy = VMEM_USABLE_EXTENT,
        .usable_headroom = 8 * BLOCK_SIZE,
    };
    int ret = 0;

    /* Each in a machine of its own: two in one may not overlap. */
    for (unsigned i = 0; ret == 0 && i < 2; i++) {
        ret = vmem_vm_new(&vm_config, &twins[i].vm, NULL);
        vm_config.clock_ns = NULL; /* what time it is changes nothing either */
        if (ret == 0) {
            ret = vmem_region_new(twins[i].vm, &region, &twins[i].region, NULL);
        }
        if (ret == 0) {
            ret = vmem_device_new(twins[i].region, &device, NULL, NULL,
                                  &twins[i].device, NULL);
        }
    }
    fuzz_check(ret == 0, "ret %d", ret);
}

static void reset(struct vmem_device *device, uint64_t requested_blocks)
{
    int ret = vmem_device_resize(device, 0, NULL);

    fuzz_check(ret == 0, "ret %d", ret);
    ret = vmem_device_reset(device, VMEM_RESET_SYSTEM, NULL);
    fuzz_check(ret == 0, "ret %d", ret);
    ret = vmem_device_resize(device, requested_blocks * BLOCK_SIZE, NULL);
    fuzz_check(ret == 0, "ret %d", ret);
}

/* Cuts size bytes into pieces, some without bytes or address; the last one may
 * claim to be larger than any memory. */
static size_t split(struct fuzz_input *input, uint8_t *bytes, size_t size,
                    bool may_lie, struct iovec *pieces)
{
    size_t nr_pieces = 0;
    size_t at = 0;

    while (nr_pieces < MAX_PIECES - 1 && at < size) {
        uint8_t cut = fuzz_u8(input);
        size_t part = cut & 31;

        if (cut >= 224) {
            break;
        }
        part = part < size - at ? part : size - at;
        pieces[nr_pieces].iov_base =
            part == 0 && cut >= 128 ? NULL : bytes + at;
        pieces[nr_pieces].iov_len = part;
        nr_pieces++;
        at += part;
    }
    if (at < size) {
        pieces[nr_pieces].iov_base = bytes + at;
        pieces[nr_pieces].iov_len = may_lie ? SIZE_MAX : size - at;
        nr_pieces++;
    }
    return nr_pieces;
}

/* A request that means something, or any bytes. */
static size_t make_request(struct fuzz_input *input, uint8_t *bytes)
{
    uint8_t kind = fuzz_u8(input);
    uint64_t first;

    memset(bytes, 0, MAX_BYTES);
    if (kind >= 192) {
        size_t size = kind - 192;

        fuzz_bytes(input, bytes, size);
        return size;
    }
    bytes[0] = kind & 3;
    bytes[1] = kind >= 160;
    first = GPA + fuzz_u8(input) * BLOCK_SIZE + (kind >> 2 & 1);
    for (unsigned i = 0; i < 8; i++) {
        bytes[8 + i] = (uint8_t)(first >> (8 * i));
    }
    bytes[16] = fuzz_u8(input);
    bytes[17] = (kind >> 3 & 7) == 7;
    /* Padding means nothing. */
    memset(bytes + 2, kind, 6);
    memset(bytes + 18, kind, 6);
    return kind >= 128 ? VMEM_DEVICE_REQUEST_SIZE + (kind & 31)
                       : VMEM_DEVICE_REQUEST_SIZE;
}

static void ask(const struct twin *twin, const struct iovec *readable,
                size_t nr_readable, const struct iovec *writable,
                size_t nr_writable, struct outcome *outcome)
{
    memset(&outcome->result, CANARY, sizeof(outcome->result));
    outcome->result.struct_size = sizeof(outcome->result);
    outcome->ret =
        vmem_device_handle_request_iov(twin->device, readable, nr_readable,
                                       writable, nr_writable, &outcome->result);
}

static void check_one(const struct outcome *outcome, size_t request_size,
                      size_t room, bool is_lost)
{
    const struct vmem_request_result *result = &outcome->result;
    uint8_t expected[MAX_BYTES];
    size_t used = 0;

    if (is_lost) {
        fuzz_check(outcome->ret == VMEM_REQUEST_MALFORMED &&
                       result->malformed == VMEM_MALFORMED_ADDRESS,
                   "ret %d", outcome->ret);
    } else if (request_size < VMEM_DEVICE_REQUEST_SIZE) {
        fuzz_check(outcome->ret == VMEM_REQUEST_MALFORMED &&
                       result->malformed == VMEM_MALFORMED_SHORT_REQUEST,
                   "ret %d", outcome->ret);
    } else if (room < VMEM_DEVICE_RESPONSE_SIZE) {
        fuzz_check(outcome->ret == VMEM_REQUEST_MALFORMED &&
                       result->malformed == VMEM_MALFORMED_SHORT_RESPONSE,
                   "ret %d", outcome->ret);
    } else if (outcome->ret == VMEM_REQUEST_MALFORMED) {
        fuzz_check(result->malformed == VMEM_MALFORMED_TYPE, "reason %u",
                   result->malformed);
    } else {
        fuzz_check(outcome->ret == VMEM_REQUEST_RESPOND, "ret %d",
                   outcome->ret);
        fuzz_check(outcome->response[0] == result->response &&
                       result->response <= VMEM_RESPONSE_ERROR,
                   "response");
        used = VMEM_DEVICE_RESPONSE_SIZE;
    }
    fuzz_check(result->used_size == used, "used %zu", result->used_size);
    /* Zeros where the driver must ignore them, nothing behind them. */
    memset(expected, CANARY, sizeof(expected));
    memset(expected, 0, used);
    expected[0] = outcome->response[0];
    expected[8] = outcome->response[8];
    fuzz_check(memcmp(outcome->response, expected, sizeof(expected)) == 0,
               "response bytes");
    fuzz_check(used > 0 || (expected[0] == CANARY && expected[8] == CANARY),
               "response bytes");
}

static void check_twins(void)
{
    uint8_t config[2][VMEM_DEVICE_CONFIG_SIZE];

    for (unsigned i = 0; i < 2; i++) {
        vmem_device_read_config(twins[i].device, 0, config[i],
                                sizeof(config[i]));
    }
    fuzz_check(memcmp(config[0], config[1], sizeof(config[0])) == 0,
               "config differs");
}

/* Refused before anything is looked at. */
static void misuse(struct fuzz_input *input)
{
    uint8_t bytes[VMEM_DEVICE_REQUEST_SIZE] = { 0 };
    const struct iovec all = { .iov_base = bytes, .iov_len = sizeof(bytes) };
    struct vmem_request_result result = { .struct_size =
                                              fuzz_u8(input) % sizeof(result) };
    struct vmem_device *device = twins[0].device;

    fuzz_check(vmem_device_handle_request_iov(NULL, &all, 1, &all, 1, NULL) ==
                   -EINVAL,
               "no device");
    fuzz_check(vmem_device_handle_request_iov(device, NULL, 1, &all, 1, NULL) ==
                   -EINVAL,
               "no array");
    fuzz_check(vmem_device_handle_request_iov(device, &all, 1, &all, 1,
                                              &result) == -EINVAL,
               "short result");
    fuzz_check(vmem_device_handle_request(device, NULL, 0, NULL, 0, NULL) ==
                   VMEM_REQUEST_MALFORMED,
               "nothing");
    fuzz_check(vmem_device_handle_request_iov(twins[1].device, NULL, 0, NULL, 0,
                                              NULL) == VMEM_REQUEST_MALFORMED,
               "nothing");
}

static void one_request(struct fuzz_input *input)
{
    uint8_t bytes[MAX_BYTES + VMEM_DEVICE_REQUEST_SIZE];
    struct iovec readable[MAX_PIECES + 1];
    struct iovec writable[MAX_PIECES + 1];
    const struct iovec lost = { .iov_base = NULL, .iov_len = 1 };
    struct outcome outcomes[2];
    size_t size = make_request(input, bytes);
    uint8_t options = fuzz_u8(input);
    size_t room = options < 128 ? VMEM_DEVICE_RESPONSE_SIZE : options & 31;
    bool lies = options >= 240;
    /* Outside the guest's memory: all of it, or the end of it. */
    bool loses_request = options >= 200 && options < 208 && (options & 1) != 0;
    bool loses_room = options >= 200 && options < 208 && (options & 2) != 0;
    struct iovec all;
    struct iovec flat;
    size_t nr_readable;
    size_t nr_writable;

    memset(outcomes[0].response, CANARY, MAX_BYTES);
    memset(outcomes[1].response, CANARY, MAX_BYTES);
    if (lies) {
        /* There is enough for all that is read and written. */
        size = VMEM_DEVICE_REQUEST_SIZE;
        room = VMEM_DEVICE_RESPONSE_SIZE;
    }
    all = (struct iovec){ .iov_base = bytes, .iov_len = size };
    flat = (struct iovec){ .iov_base = outcomes[0].response, .iov_len = room };
    nr_readable = split(input, bytes, size, lies, readable);
    nr_writable = split(input, outcomes[1].response, room, lies, writable);
    if (loses_request) {
        all = (struct iovec){ .iov_base = NULL, .iov_len = size + 1 };
        readable[nr_readable++] = lost;
    }
    if (loses_room) {
        flat = (struct iovec){ .iov_base = NULL, .iov_len = room + 1 };
        writable[nr_writable++] = lost;
    }
    ask(&twins[0], &all, 1, &flat, 1, &outcomes[0]);
    ask(&twins[1], readable, nr_readable, writable, nr_writable, &outcomes[1]);
    check_one(&outcomes[0], size, room, loses_request || loses_room);
    fuzz_check(outcomes[0].ret == outcomes[1].ret, "%d and %d", outcomes[0].ret,
               outcomes[1].ret);
    fuzz_check(memcmp(&outcomes[0].result, &outcomes[1].result,
                      sizeof(outcomes[0].result)) == 0,
               "results differ");
    fuzz_check(memcmp(outcomes[0].response, outcomes[1].response, MAX_BYTES) ==
                   0,
               "responses differ");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz_input input = { data, size };
    uint8_t first = fuzz_u8(&input);

    if (twins[0].vm == NULL) {
        make_twins();
    }
    for (unsigned i = 0; i < 2; i++) {
        reset(twins[i].device, first % (NR_BLOCKS + 1));
    }
    while (fuzz_more(&input)) {
        one_request(&input);
    }
    if (first >= 250) {
        misuse(&input);
    }
    check_twins();
    return 0;
}
