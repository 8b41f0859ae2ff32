/* SPDX-License-Identifier: BSD-3-Clause */
/* Rules UNP-01 to UNP-09: the UNPLUG request. */
#include <errno.h>

#include "support/device_rig.h"

#define ACK VMEM_RESPONSE_ACK
#define BUSY VMEM_RESPONSE_BUSY
#define ERROR VMEM_RESPONSE_ERROR

static uint16_t unplug_at(struct rig *rig, uint64_t gpa, uint16_t nr_blocks)
{
    return rig_request(rig, VMEM_REQUEST_UNPLUG, gpa, nr_blocks);
}

/* Rule: UNP-01 UNP-02 UNP-03 UNP-04 */
static void bad_ranges_are_an_error_even_while_frozen(void **u)
{
    static const struct {
        uint64_t gpa;
        uint16_t nr_blocks;
    } cases[] = {
        { RIG_GPA + 1, 1 },
        { RIG_GPA + RIG_MIB, 1 },
        { RIG_GPA - 1, 1 },
        { RIG_GPA, 0 },
        { RIG_GPA - RIG_BLOCK, 1 },
        { RIG_GPA - RIG_BLOCK, 2 },
        { 0, 1 },
        { RIG_GPA + RIG_USABLE, 1 },
        { RIG_GPA + RIG_USABLE - RIG_BLOCK, 2 },
        { RIG_GPA + RIG_REGION - RIG_BLOCK, 1 },
        { RIG_GPA + RIG_REGION, 1 },
        { RIG_GPA, 65535 },
        { UINT64_MAX - RIG_BLOCK + 1, 1 },
        { UINT64_MAX - RIG_BLOCK + 1, 2 },
        { UINT64_MAX, 65535 },
        { RIG_GPA + ((uint64_t)1 << 63), 1 },
    };
    struct rig *rig = rig_new_default();
    struct rig_shot shot;

    (void)u;
    assert_int_equal(rig_plug(rig, 0, 128), ACK);
    shot = rig_shot(rig);
    for (size_t i = 0; i < 2 * G_N_ELEMENTS(cases); i++) {
        if (i == G_N_ELEMENTS(cases)) {
            rig_freeze(rig, "migration");
        }
        assert_int_equal(unplug_at(rig, cases[i % G_N_ELEMENTS(cases)].gpa,
                                   cases[i % G_N_ELEMENTS(cases)].nr_blocks),
                         ERROR);
    }
    rig_assert_same(rig, &shot);
    rig_thaw(rig, "migration");
    rig_free(rig);
}

/* Rule: UNP-05 */
static void a_block_that_is_unplugged_already_is_an_error(void **u)
{
    static const struct {
        uint64_t first_block;
        uint16_t nr_blocks;
    } cases[] = { { 0, 1 },  { 9, 1 },  { 9, 2 },  { 13, 2 },
                  { 14, 1 }, { 8, 10 }, { 10, 5 }, { 0, 256 } };
    struct rig *rig = rig_new_default();
    struct rig_shot shot;

    (void)u;
    assert_int_equal(rig_plug(rig, 10, 4), ACK);
    shot = rig_shot(rig);
    for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
        assert_int_equal(
            rig_unplug(rig, cases[i].first_block, cases[i].nr_blocks), ERROR);
    }
    rig_assert_same(rig, &shot);
    rig_free(rig);
}

/* Rule: UNP-06 */
static void while_frozen_it_is_busy_and_content_stays(void **u)
{
    struct rig *rig = rig_new(
        &(struct rig_options){ .real_memory = true,
                               .region_size = 16 * RIG_MIB,
                               .config = { .requested_size = 16 * RIG_MIB } });
    uint64_t nr_calls;
    struct rig_shot shot;

    (void)u;
    rig_listen(rig, "l");
    assert_int_equal(rig_plug(rig, 0, 8), ACK);
    rig->memory.hva[7] = 0x77;
    rig_freeze(rig, "migration");
    shot = rig_shot(rig);
    nr_calls = rig_nr_memory_calls(rig);
    assert_int_equal(rig_unplug(rig, 0, 1), BUSY);
    assert_int_equal(rig->result.reason, VMEM_REASON_FROZEN);
    assert_int_equal(rig_unplug_all(rig), BUSY);
    assert_int_equal(rig->memory.hva[7], 0x77);
    assert_int_equal(rig_nr_memory_calls(rig), nr_calls);
    rig_assert_same(rig, &shot);
    rig_thaw(rig, "migration");
    assert_int_equal(rig_unplug(rig, 0, 1), ACK);
    assert_int_equal(rig->memory.hva[7], 0);
    rig_free(rig);
}

/* Rule: UNP-06 */
static void what_a_listener_keeps_is_busy_and_content_stays(void **u)
{
    struct rig *rig = rig_new(
        &(struct rig_options){ .real_memory = true,
                               .region_size = 16 * RIG_MIB,
                               .config = { .requested_size = 16 * RIG_MIB } });
    struct rig_listener *first = rig_listen(rig, "first");
    struct rig_listener *keeper = rig_listen(rig, "keeper");
    struct vmem_resize_status status;
    uint64_t nr_calls;
    struct rig_shot shot;

    (void)u;
    assert_int_equal(rig_plug(rig, 0, 8), ACK);
    rig_resize(rig, 0);
    rig->memory.hva[7] = 0x77;
    keeper->keep_code = -ETXTBSY;
    shot = rig_shot(rig);
    nr_calls = rig_nr_memory_calls(rig);
    rig_clear_events(rig);
    assert_int_equal(rig_unplug(rig, 0, 3), BUSY);
    assert_int_equal(rig->result.reason, VMEM_REASON_LISTENER_VETO);
    rig_assert_events(rig, "keep keeper 0+3; resize device");
    rig_assert_same(rig, &shot);
    assert_int_equal(rig->memory.hva[7], 0x77);
    assert_int_equal(rig_nr_memory_calls(rig), nr_calls);
    assert_int_equal(first->nr_asks, 1);
    status = rig_status(rig);
    assert_int_equal(status.reason, VMEM_STALL_HOST_BUSY);
    assert_int_equal(status.busy_reason, VMEM_REASON_LISTENER_VETO);
    assert_int_equal(status.busy_errno, -ETXTBSY);
    assert_string_equal(status.busy_by, "keeper");
    /* What is an error is one before anybody is asked. */
    assert_int_equal(rig_unplug(rig, 7, 2), ERROR);
    assert_int_equal(keeper->nr_asks, 1);
    keeper->keep_code = 0;
    assert_int_equal(vmem_device_notify_config(rig->device), 0);
    rig_clear_events(rig);
    assert_int_equal(rig_unplug(rig, 0, 3), ACK);
    rig_assert_events(rig, "discard keeper 0+3; discard first 0+3; "
                           "discard memory 0+3; size device");
    assert_int_equal(rig->memory.hva[7], 0);
    rig_free(rig);
}

/* Rule: UNP-06 */
static void a_failed_discard_is_acked_and_the_memory_retained(void **u)
{
    struct rig *rig = rig_new_default();

    (void)u;
    assert_int_equal(rig_plug(rig, 0, 8), ACK);
    rig->memory.discard.error = -EIO;
    assert_int_equal(rig_unplug(rig, 2, 3), ACK);
    rig_assert_plugged(rig, "0+2 5+3");
    assert_true(rig_info(rig).retained_size == 3 * RIG_BLOCK);
    assert_int_equal(rig_nr_logs(rig, VMEM_LOG_CODE_RETAINED), 1);
    assert_int_equal(rig_last_log(rig, VMEM_LOG_CODE_RETAINED)->blame,
                     VMEM_BLAME_OS);
    rig->memory.discard.error = 0;
    assert_int_equal(vmem_region_retry_discards(rig->region, NULL), 0);
    assert_int_equal(rig_info(rig).retained_size, 0);
    rig_free(rig);
}

/* Rule: UNP-07 */
static void a_good_unplug_is_acked_and_keeps_the_usable_region(void **u)
{
    struct rig *rig = rig_new_default();
    const uint64_t usable = rig_config(rig).usable_region_size;

    (void)u;
    assert_int_equal(rig_plug(rig, 0, 100), ACK);
    assert_int_equal(rig_unplug(rig, 50, 1), ACK);
    rig_assert_plugged(rig, "0+50 51+49");
    assert_int_equal(rig_unplug(rig, 0, 50), ACK);
    assert_int_equal(rig_unplug(rig, 99, 1), ACK);
    rig_assert_plugged(rig, "51+48");
    assert_true(rig_config(rig).plugged_size == 48 * RIG_BLOCK);
    assert_int_equal(rig_unplug(rig, 51, 48), ACK);
    rig_assert_plugged(rig, "");
    assert_true(rig_config(rig).usable_region_size == usable);
    assert_true(rig_stats(rig).unplugged_bytes == 100 * RIG_BLOCK);
    rig_free(rig);
}

/* Rule: UNP-07 */
static void a_checkerboard_can_be_made_and_filled(void **u)
{
    struct rig *rig = rig_new_default();

    (void)u;
    rig_listen(rig, "l");
    assert_int_equal(rig_plug(rig, 0, 128), ACK);
    for (uint64_t block = 0; block < 128; block += 2) {
        assert_int_equal(rig_unplug(rig, block, 1), ACK);
    }
    assert_int_equal(rig_unplug(rig, 0, 128), ERROR);
    assert_true(rig_config(rig).plugged_size == 64 * RIG_BLOCK);
    rig_check(rig);
    for (uint64_t block = 0; block < 128; block += 2) {
        assert_int_equal(rig_plug(rig, block, 1), ACK);
    }
    rig_assert_plugged(rig, "0+128");
    rig_free(rig);
}

/* Rule: UNP-08 */
static void below_the_requested_size_it_is_still_allowed(void **u)
{
    struct rig *rig = rig_new_default();

    (void)u;
    assert_int_equal(rig_plug(rig, 0, 4), ACK);
    assert_int_equal(rig_unplug(rig, 0, 2), ACK);
    rig_resize(rig, 0);
    assert_int_equal(rig_unplug(rig, 2, 2), ACK);
    rig_free(rig);
}

/* Rule: UNP-09 */
static void it_is_never_nacked(void **u)
{
    struct rig *rig = rig_new_default();

    (void)u;
    assert_int_equal(rig_plug(rig, 0, 128), ACK);
    rig_resize(rig, RIG_BLOCK);
    for (uint16_t nr_blocks = 0; nr_blocks < 300; nr_blocks += 7) {
        rig_unplug(rig, 0, nr_blocks);
        rig_unplug(rig, 200, nr_blocks);
    }
    rig_freeze(rig, "migration");
    rig_unplug(rig, 10, 1);
    rig_thaw(rig, "migration");
    assert_int_equal(
        rig_stats(rig).nr_requests[VMEM_REQUEST_UNPLUG][VMEM_RESPONSE_NACK], 0);
    rig_free(rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bad_ranges_are_an_error_even_while_frozen),
        cmocka_unit_test(a_block_that_is_unplugged_already_is_an_error),
        cmocka_unit_test(while_frozen_it_is_busy_and_content_stays),
        cmocka_unit_test(what_a_listener_keeps_is_busy_and_content_stays),
        cmocka_unit_test(a_failed_discard_is_acked_and_the_memory_retained),
        cmocka_unit_test(a_good_unplug_is_acked_and_keeps_the_usable_region),
        cmocka_unit_test(a_checkerboard_can_be_made_and_filled),
        cmocka_unit_test(below_the_requested_size_it_is_still_allowed),
        cmocka_unit_test(it_is_never_nacked),
    };

    return cmocka_run_group_tests_name("unplug", tests, NULL, NULL);
}
