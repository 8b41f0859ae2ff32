/* SPDX-License-Identifier: BSD-3-Clause */
/* Rules REQ-01 to REQ-11: how requests are framed, whatever they ask. */
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

#include "support/device_rig.h"

#define REQUEST VMEM_DEVICE_REQUEST_SIZE
#define RESPONSE VMEM_DEVICE_RESPONSE_SIZE
#define ALL_BLOCKS 0xffff

/* Rule: REQ-01 */
static void padding_of_any_content_is_ignored(void **u)
{
    static const uint8_t fills[] = { 0x00, 0xff, 0xa5 };
    struct rig *rig = rig_new_default();

    (void)u;
    for (size_t i = 0; i < G_N_ELEMENTS(fills); i++) {
        uint8_t request[REQUEST];

        rig_encode(request, VMEM_REQUEST_PLUG, RIG_GPA + i * RIG_BLOCK, 1);
        memset(request + 2, fills[i], 6);
        memset(request + 18, fills[i], 6);
        assert_int_equal(rig_request_bytes(rig, request, sizeof(request)),
                         VMEM_RESPONSE_ACK);
    }
    rig_assert_plugged(rig, "0+3");
    rig_free(rig);
}

/* Splits a buffer at each set bit of a mask: bit i cuts behind byte i. Before
 * each piece goes an empty one, with or without an address. */
static size_t split(uint8_t *bytes, size_t size, uint32_t cuts,
                    struct iovec *pieces)
{
    size_t nr_pieces = 0;
    size_t start = 0;

    for (size_t i = 0; i < size; i++) {
        if (i + 1 < size && (cuts >> i & 1) == 0) {
            continue;
        }
        pieces[nr_pieces].iov_base = (i & 1) != 0 ? NULL : bytes;
        pieces[nr_pieces++].iov_len = 0;
        pieces[nr_pieces].iov_base = bytes + start;
        pieces[nr_pieces++].iov_len = i + 1 - start;
        start = i + 1;
    }
    return nr_pieces;
}

static void handle_split(struct rig *rig, uint32_t request_cuts,
                         uint32_t response_cuts)
{
    static const uint8_t expected[RESPONSE] = { 0, 0, 0, 0, 0, 0, 0, 0, 2, 0 };
    uint8_t request[REQUEST];
    uint8_t response[RESPONSE];
    struct iovec readable[2 * REQUEST];
    struct iovec writable[2 * RESPONSE];
    struct vmem_request_result result = { .struct_size = sizeof(result) };
    size_t nr_readable;
    size_t nr_writable;

    rig_encode(request, VMEM_REQUEST_STATE, RIG_GPA + 0x1000000, 16);
    memset(response, 0xee, sizeof(response));
    nr_readable = split(request, REQUEST, request_cuts, readable);
    nr_writable = split(response, RESPONSE, response_cuts, writable);
    assert_int_equal(vmem_device_handle_request_iov(rig->device, readable,
                                                    nr_readable, writable,
                                                    nr_writable, &result),
                     VMEM_REQUEST_RESPOND);
    assert_int_equal(result.used_size, RESPONSE);
    assert_memory_equal(response, expected, sizeof(response));
}

/* Rule: REQ-02 */
static void every_split_of_the_response_works(void **u)
{
    struct rig *rig = rig_new(&(struct rig_options){ .quiet = true });

    (void)u;
    assert_int_equal(rig_plug(rig, 9, 3), VMEM_RESPONSE_ACK);
    for (uint32_t cuts = 0; cuts < 1u << (RESPONSE - 1); cuts++) {
        handle_split(rig, cuts * 0x4201u, cuts);
    }
    rig_free(rig);
}

/* One, two and 23 cuts, all cuts of the bytes that have a meaning, and 2^16
 * others; all 2^23 would take a minute under the sanitizers. */

/* Rule: REQ-02 */
static void every_split_of_the_request_works(void **u)
{
    struct rig *rig = rig_new(&(struct rig_options){ .quiet = true });
    uint64_t seed = 1;

    (void)u;
    assert_int_equal(rig_plug(rig, 9, 3), VMEM_RESPONSE_ACK);
    for (uint32_t first = 0; first < REQUEST; first++) {
        for (uint32_t second = 0; second < REQUEST; second++) {
            handle_split(rig, 1u << first | 1u << second, 1u << (first % 10));
        }
    }
    handle_split(rig, UINT32_MAX, UINT32_MAX);
    /* All cuts of the eight address bytes, the type and the count. */
    for (uint32_t cuts = 0; cuts < 1u << 13; cuts++) {
        handle_split(rig,
                     (cuts & 7) | (cuts >> 3 & 0xff) << 8 | (cuts >> 11) << 16,
                     cuts);
    }
    for (int i = 0; i < 1 << 16; i++) {
        uint64_t random = rig_random(&seed);

        handle_split(rig, (uint32_t)random, (uint32_t)(random >> 32));
    }
    rig_free(rig);
}

/* Rule: REQ-03 */
static void longer_buffers_use_24_and_10_bytes(void **u)
{
    struct rig *rig = rig_new_default();
    uint8_t request[REQUEST + 100];
    uint8_t response[RESPONSE + 100];

    (void)u;
    for (size_t extra = 1; extra <= 100; extra++) {
        memset(request, 0xff, sizeof(request));
        memset(response, 0xee, sizeof(response));
        rig_encode(request, VMEM_REQUEST_PLUG, RIG_GPA + extra * RIG_BLOCK, 1);
        rig->result.struct_size = sizeof(rig->result);
        assert_int_equal(vmem_device_handle_request(
                             rig->device, request, REQUEST + extra, response,
                             RESPONSE + extra, &rig->result),
                         VMEM_REQUEST_RESPOND);
        assert_int_equal(rig->result.used_size, RESPONSE);
        for (size_t i = 0; i < sizeof(response); i++) {
            assert_int_equal(response[i], i < RESPONSE ? 0 : 0xee);
        }
    }
    rig_assert_plugged(rig, "1+100");
    rig_free(rig);
}

/* Rule: REQ-04 */
static void a_rejected_request_changes_nothing_that_can_be_seen(void **u)
{
    static const struct {
        uint16_t type;
        uint64_t first_block;
        uint16_t nr_blocks;
        uint16_t response;
    } cases[] = {
        { VMEM_REQUEST_PLUG, 8, 4, VMEM_RESPONSE_ERROR },
        { VMEM_REQUEST_PLUG, 0, 10, VMEM_RESPONSE_ERROR },
        { VMEM_REQUEST_PLUG, 12, 125, VMEM_RESPONSE_NACK },
        { VMEM_REQUEST_PLUG, 255, 2, VMEM_RESPONSE_ERROR },
        { VMEM_REQUEST_PLUG, 20, 10, VMEM_RESPONSE_BUSY },
        { VMEM_REQUEST_UNPLUG, 9, 4, VMEM_RESPONSE_ERROR },
        { VMEM_REQUEST_UNPLUG, 7, 4, VMEM_RESPONSE_ERROR },
        { VMEM_REQUEST_UNPLUG, 100, 1, VMEM_RESPONSE_ERROR },
        { VMEM_REQUEST_STATE, 256, 1, VMEM_RESPONSE_ERROR },
    };
    struct rig *rig = rig_new_default();
    struct rig_listener *good = rig_listen(rig, "good");
    struct rig_listener *bad = rig_listen(rig, "bad");

    (void)u;
    (void)good;
    assert_int_equal(rig_plug(rig, 8, 4), VMEM_RESPONSE_ACK);
    bad->fail_always = true;
    for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
        struct rig_shot shot = rig_shot(rig);

        assert_int_equal(rig_request(rig, cases[i].type,
                                     RIG_GPA + cases[i].first_block * RIG_BLOCK,
                                     cases[i].nr_blocks),
                         cases[i].response);
        rig_assert_same(rig, &shot);
        rig_check(rig);
    }
    rig_free(rig);
}

/* Rule: REQ-05 */
static void fewer_than_24_bytes_are_malformed_and_not_executed(void **u)
{
    struct rig *rig = rig_new_default();
    uint8_t request[REQUEST];

    (void)u;
    assert_int_equal(rig_plug(rig, 0, 4), VMEM_RESPONSE_ACK);
    for (uint16_t type = 0; type <= 4; type++) {
        rig_encode(request, type, RIG_GPA, 1);
        for (size_t size = 0; size < REQUEST; size++) {
            rig_malformed(rig, request, size, RESPONSE,
                          VMEM_MALFORMED_SHORT_REQUEST);
        }
    }
    rig_malformed(rig, NULL, 0, RESPONSE, VMEM_MALFORMED_SHORT_REQUEST);
    assert_int_equal(rig_stats(rig).nr_malformed[VMEM_MALFORMED_SHORT_REQUEST],
                     5 * REQUEST + 1);
    assert_int_equal(rig_nr_logs(rig, VMEM_LOG_CODE_MALFORMED), VMEM_LOG_BURST);
    rig_free(rig);
}

/* Rule: REQ-06 */
static void room_for_fewer_than_10_bytes_is_malformed_and_not_executed(void **u)
{
    struct rig *rig = rig_new_default();
    uint8_t request[REQUEST];

    (void)u;
    assert_int_equal(rig_plug(rig, 8, 4), VMEM_RESPONSE_ACK);
    for (uint16_t type = 0; type <= 3; type++) {
        rig_encode(request, type,
                   RIG_GPA + (type == VMEM_REQUEST_UNPLUG ? 8 : 0) * RIG_BLOCK,
                   1);
        for (size_t room = 0; room < RESPONSE; room++) {
            rig_malformed(rig, request, sizeof(request), room,
                          VMEM_MALFORMED_SHORT_RESPONSE);
        }
    }
    rig_free(rig);
}

/* Rule: REQ-07 REQ-08 */
static void every_unknown_type_is_malformed_and_not_executed(void **u)
{
    struct rig *rig = rig_new(&(struct rig_options){ .quiet = true });
    uint8_t request[REQUEST];

    (void)u;
    assert_int_equal(rig_plug(rig, 0, 4), VMEM_RESPONSE_ACK);
    for (uint32_t type = 4; type <= UINT16_MAX; type++) {
        uint8_t response[RESPONSE];

        rig_encode(request, (uint16_t)type, RIG_GPA, 1);
        rig->result.struct_size = sizeof(rig->result);
        assert_int_equal(vmem_device_handle_request(
                             rig->device, request, sizeof(request), response,
                             sizeof(response), &rig->result),
                         VMEM_REQUEST_MALFORMED);
        assert_int_equal(rig->result.malformed, VMEM_MALFORMED_TYPE);
    }
    rig_assert_plugged(rig, "0+4");
    /* A type is not its low byte, nor its bytes swapped. */
    rig_encode(request, 0x0200, RIG_GPA, 1);
    rig_malformed(rig, request, sizeof(request), RESPONSE, VMEM_MALFORMED_TYPE);
    rig_encode(request, 0x0102, RIG_GPA, 1);
    rig_malformed(rig, request, sizeof(request), RESPONSE, VMEM_MALFORMED_TYPE);
    rig_free(rig);
}

/* Rule: REQ-05 REQ-06 REQ-07 */
static void the_first_defect_of_a_request_is_the_one_that_is_named(void **u)
{
    struct rig *rig = rig_new_default();
    uint8_t request[REQUEST];

    (void)u;
    rig_encode(request, 77, RIG_GPA, 1);
    rig_malformed(rig, request, 23, 9, VMEM_MALFORMED_SHORT_REQUEST);
    rig_malformed(rig, request, 24, 9, VMEM_MALFORMED_SHORT_RESPONSE);
    rig_malformed(rig, request, 24, 10, VMEM_MALFORMED_TYPE);
    rig_free(rig);
}

static void check_lost(struct rig *rig, const struct iovec *readable,
                       size_t nr_readable, const struct iovec *writable,
                       size_t nr_writable)
{
    struct rig_shot shot = rig_shot(rig);

    rig->result =
        (struct vmem_request_result){ .struct_size = sizeof(rig->result) };
    assert_int_equal(vmem_device_handle_request_iov(rig->device, readable,
                                                    nr_readable, writable,
                                                    nr_writable, &rig->result),
                     VMEM_REQUEST_MALFORMED);
    assert_int_equal(rig->result.malformed, VMEM_MALFORMED_ADDRESS);
    assert_int_equal(rig->result.used_size, 0);
    rig_assert_same(rig, &shot);
}

/* What a transport has when a guest's address leads nowhere. */

/* Rule: REQ-05 REQ-06 */
static void bytes_outside_memory_are_malformed_and_not_executed(void **u)
{
    struct rig *rig = rig_new_default();
    uint8_t request[REQUEST];
    uint8_t response[RESPONSE];
    const struct iovec whole = { request, REQUEST };
    const struct iovec room = { response, RESPONSE };
    const struct iovec lost = { NULL, 1 };
    const struct iovec head_lost[2] = { { NULL, 8 }, { request, 16 } };
    /* Behind the bytes that count too. */
    const struct iovec tail_lost[2] = { { request, REQUEST }, { NULL, 1 } };
    const struct iovec room_tail_lost[2] = { { response, RESPONSE },
                                             { NULL, SIZE_MAX } };

    (void)u;
    rig_encode(request, VMEM_REQUEST_PLUG, RIG_GPA, 1);
    memset(response, 0xee, sizeof(response));
    check_lost(rig, &lost, 1, &room, 1);
    check_lost(rig, &whole, 1, &lost, 1);
    check_lost(rig, head_lost, 2, &room, 1);
    check_lost(rig, tail_lost, 2, &room, 1);
    check_lost(rig, &whole, 1, room_tail_lost, 2);
    for (size_t i = 0; i < sizeof(response); i++) {
        assert_int_equal(response[i], 0xee);
    }
    rig_malformed(rig, NULL, REQUEST, RESPONSE, VMEM_MALFORMED_ADDRESS);
    /* A missing address is named before missing bytes. */
    rig_malformed(rig, NULL, 1, 1, VMEM_MALFORMED_ADDRESS);
    assert_int_equal(vmem_device_handle_request(rig->device, request, REQUEST,
                                                NULL, RESPONSE, NULL),
                     VMEM_REQUEST_MALFORMED);
    assert_int_equal(rig_stats(rig).nr_malformed[VMEM_MALFORMED_ADDRESS], 8);
    assert_int_equal(rig_nr_logs(rig, VMEM_LOG_CODE_MALFORMED), VMEM_LOG_BURST);
    assert_int_equal(rig_plug(rig, 0, 1), VMEM_RESPONSE_ACK);
    rig_free(rig);
}

/* Rule: REQ-09 */
static void a_bad_request_in_a_batch_does_not_spoil_the_others(void **u)
{
    struct rig *rig = rig_new_default();
    uint8_t request[REQUEST];

    (void)u;
    rig_encode(request, 9, 0, 0);
    assert_int_equal(rig_plug(rig, 0, 1), VMEM_RESPONSE_ACK);
    rig_malformed(rig, request, sizeof(request), RESPONSE, VMEM_MALFORMED_TYPE);
    assert_int_equal(rig_plug(rig, 1, 1), VMEM_RESPONSE_ACK);
    rig_malformed(rig, request, 3, RESPONSE, VMEM_MALFORMED_SHORT_REQUEST);
    assert_int_equal(rig_plug(rig, 0, 1), VMEM_RESPONSE_ERROR);
    rig_malformed(rig, request, REQUEST, 3, VMEM_MALFORMED_SHORT_RESPONSE);
    assert_int_equal(rig_plug(rig, 2, 1), VMEM_RESPONSE_ACK);
    rig_assert_plugged(rig, "0+3");
    rig_free(rig);
}

/* The guest rewrites its request while the device is busy with it. */
struct rewritten {
    uint8_t request[REQUEST];
    uint64_t nr_times;
};

static void rewrite(struct rig *rig)
{
    struct rewritten *rewritten = rig->user;

    rewritten->nr_times++;
    rig_encode(rewritten->request, VMEM_REQUEST_UNPLUG_ALL, UINT64_MAX - 5,
               ALL_BLOCKS);
}

/* Rule: REQ-10 */
static void a_request_rewritten_while_it_runs_is_executed_as_it_was(void **u)
{
    struct rig *rig = rig_new_default();
    struct rig_listener *listener = rig_listen(rig, "l");
    struct rewritten rewritten = { { 0 }, 0 };

    (void)u;
    rig->user = &rewritten;
    rig->on_populate = rewrite;
    rig->on_discard = rewrite;
    rig_encode(rewritten.request, VMEM_REQUEST_PLUG, RIG_GPA, 4);
    assert_int_equal(rig_request_bytes(rig, rewritten.request, REQUEST),
                     VMEM_RESPONSE_ACK);
    assert_int_equal(rig->result.type, VMEM_REQUEST_PLUG);
    rig_assert_plugged(rig, "0+4");
    rig_encode(rewritten.request, VMEM_REQUEST_UNPLUG, RIG_GPA, 3);
    assert_int_equal(rig_request_bytes(rig, rewritten.request, REQUEST),
                     VMEM_RESPONSE_ACK);
    rig_assert_plugged(rig, "3+1");
    rig_assert_view(listener, "3+1");
    assert_int_equal(rewritten.nr_times, 2);
    rig->on_populate = NULL;
    rig->on_discard = NULL;
    rig_free(rig);
}

/* Rule: REQ-10 */
static void request_and_response_may_overlap_at_every_offset(void **u)
{
    (void)u;
    for (size_t offset = 0; offset <= REQUEST; offset++) {
        struct rig *rig = rig_new_default();
        uint8_t bytes[REQUEST + RESPONSE];
        uint8_t expected[REQUEST + RESPONSE];

        memset(bytes, 0xee, sizeof(bytes));
        rig_encode(bytes, VMEM_REQUEST_PLUG, RIG_GPA + RIG_BLOCK, 2);
        memcpy(expected, bytes, sizeof(bytes));
        memset(expected + offset, 0, RESPONSE);
        assert_int_equal(vmem_device_handle_request(rig->device, bytes, REQUEST,
                                                    bytes + offset, RESPONSE,
                                                    NULL),
                         VMEM_REQUEST_RESPOND);
        assert_memory_equal(bytes, expected, sizeof(bytes));
        rig_assert_plugged(rig, "1+2");
        rig_free(rig);
    }
}

/* Rule: REQ-10 */
static void one_byte_may_be_named_by_many_pieces(void **u)
{
    struct rig *rig = rig_new_default();
    uint8_t zero = 0;
    uint8_t request[REQUEST];
    uint8_t last = 0xee;
    struct iovec readable[REQUEST];
    struct iovec writable[RESPONSE];

    (void)u;
    /* A PLUG of block 0 whose zero bytes are all the same byte, and a
     * response whose ten bytes are. */
    rig_encode(request, VMEM_REQUEST_PLUG, RIG_GPA, 1);
    for (size_t i = 0; i < REQUEST; i++) {
        readable[i].iov_base = request[i] == 0 ? &zero : &request[i];
        readable[i].iov_len = 1;
    }
    for (size_t i = 0; i < RESPONSE; i++) {
        writable[i].iov_base = &last;
        writable[i].iov_len = 1;
    }
    assert_int_equal(vmem_device_handle_request_iov(rig->device, readable,
                                                    REQUEST, writable, RESPONSE,
                                                    NULL),
                     VMEM_REQUEST_RESPOND);
    assert_int_equal(last, 0);
    rig_assert_plugged(rig, "0+1");
    rig_free(rig);
}

/* A guest CPU that flips a request between two valid ones all the time. */
struct flipper {
    _Atomic uint8_t type;
    _Atomic int stop;
};

static void *keep_flipping(void *opaque)
{
    struct flipper *flipper = opaque;

    while (atomic_load(&flipper->stop) == 0) {
        atomic_store(&flipper->type, VMEM_REQUEST_PLUG);
        atomic_store(&flipper->type, VMEM_REQUEST_UNPLUG);
    }
    return NULL;
}

/* Rule: REQ-10 */
static void bytes_flipped_by_another_cpu_give_one_or_the_other_request(void **u)
{
    struct rig *rig = rig_new(&(struct rig_options){ .quiet = true });
    struct flipper flipper = { .type = VMEM_REQUEST_PLUG };
    uint8_t request[REQUEST];
    uint8_t response[RESPONSE];
    const struct iovec readable[] = {
        { (void *)(uintptr_t)&flipper.type, 1 },
        { request + 1, REQUEST - 1 },
    };
    const struct iovec writable = { response, RESPONSE };
    uint64_t nr_bad = 0;
    bool plugged = false;
    pthread_t thread;

    (void)u;
#ifdef __SANITIZE_THREAD__
    print_message("SKIP: this race is the test\n");
    skip();
#endif
    rig_encode(request, 0, RIG_GPA, 1);
    assert_int_equal(pthread_create(&thread, NULL, keep_flipping, &flipper), 0);
    for (int i = 0; i < 100000; i++) {
        struct vmem_request_result result = { .struct_size = sizeof(result) };
        bool is_plug;

        vmem_device_handle_request_iov(rig->device, readable, 2, &writable, 1,
                                       &result);
        is_plug = result.type == VMEM_REQUEST_PLUG;
        nr_bad += result.response != (is_plug == plugged ? VMEM_RESPONSE_ERROR
                                                         : VMEM_RESPONSE_ACK);
        plugged = is_plug;
    }
    atomic_store(&flipper.stop, 1);
    pthread_join(thread, NULL);
    assert_int_equal(nr_bad, 0);
    rig_free(rig);
}

/* Rule: REQ-11 */
static void every_type_gets_an_answer_in_every_condition(void **u)
{
    struct rig *rig = rig_new(&(struct rig_options){ .populates = true });
    struct rig_listener *listener = rig_listen(rig, "l");

    (void)u;
    for (int condition = 0; condition < 6; condition++) {
        switch (condition) {
        case 0:
            break;
        case 1:
            listener->fail_always = true;
            break;
        case 2:
            rig->memory.discard.error = -EIO;
            break;
        case 3:
            rig->memory.populate.error = -ENOMEM;
            break;
        case 4:
            rig->memory.zero.error = -EIO;
            break;
        default:
            rig_freeze(rig, "migration");
            break;
        }
        for (uint16_t type = 0; type <= 3; type++) {
            for (uint64_t block = 0; block < 4; block++) {
                rig_request(rig, type, RIG_GPA + block * RIG_BLOCK, 2);
                rig_check(rig);
            }
        }
    }
    rig_thaw(rig, "migration");
    rig_free(rig);
}

/* Rule: REQ-11 */
static void arguments_that_the_host_gets_wrong_are_its_own_error(void **u)
{
    struct rig *rig = rig_new_default();
    uint8_t request[REQUEST] = { 0 };
    uint8_t response[RESPONSE];
    struct vmem_request_result small = { .struct_size = sizeof(small) - 1 };
    const struct iovec piece = { response, sizeof(response) };
    struct rig_shot shot = rig_shot(rig);

    (void)u;
    assert_int_equal(
        vmem_device_handle_request(NULL, request, 24, response, 10, NULL),
        -EINVAL);
    assert_int_equal(vmem_device_handle_request(rig->device, request, 24,
                                                response, 10, &small),
                     -EINVAL);
    assert_int_equal(
        vmem_device_handle_request_iov(rig->device, NULL, 1, &piece, 1, NULL),
        -EINVAL);
    assert_int_equal(
        vmem_device_handle_request_iov(rig->device, &piece, 1, NULL, 1, NULL),
        -EINVAL);
    /* No pieces at all are a guest's short request. */
    assert_int_equal(
        vmem_device_handle_request_iov(rig->device, NULL, 0, NULL, 0, NULL),
        VMEM_REQUEST_MALFORMED);
    rig_assert_same(rig, &shot);
    rig_free(rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(padding_of_any_content_is_ignored),
        cmocka_unit_test(every_split_of_the_response_works),
        cmocka_unit_test(every_split_of_the_request_works),
        cmocka_unit_test(longer_buffers_use_24_and_10_bytes),
        cmocka_unit_test(a_rejected_request_changes_nothing_that_can_be_seen),
        cmocka_unit_test(fewer_than_24_bytes_are_malformed_and_not_executed),
        cmocka_unit_test(
            room_for_fewer_than_10_bytes_is_malformed_and_not_executed),
        cmocka_unit_test(every_unknown_type_is_malformed_and_not_executed),
        cmocka_unit_test(bytes_outside_memory_are_malformed_and_not_executed),
        cmocka_unit_test(
            the_first_defect_of_a_request_is_the_one_that_is_named),
        cmocka_unit_test(a_bad_request_in_a_batch_does_not_spoil_the_others),
        cmocka_unit_test(
            a_request_rewritten_while_it_runs_is_executed_as_it_was),
        cmocka_unit_test(request_and_response_may_overlap_at_every_offset),
        cmocka_unit_test(one_byte_may_be_named_by_many_pieces),
        cmocka_unit_test(
            bytes_flipped_by_another_cpu_give_one_or_the_other_request),
        cmocka_unit_test(every_type_gets_an_answer_in_every_condition),
        cmocka_unit_test(arguments_that_the_host_gets_wrong_are_its_own_error),
    };

    return cmocka_run_group_tests_name("requests", tests, NULL, NULL);
}
