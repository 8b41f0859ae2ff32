/* SPDX-License-Identifier: BSD-3-Clause */
/* Rules ALL-01 to ALL-06: the UNPLUG ALL request. */
#include <errno.h>
#include <string.h>

#include "support/device_rig.h"

#define ACK VMEM_RESPONSE_ACK
#define BUSY VMEM_RESPONSE_BUSY

static void plug_three_runs(struct rig *rig)
{
    assert_int_equal(rig_plug(rig, 0, 1), ACK);
    assert_int_equal(rig_plug(rig, 3, 4), ACK);
    assert_int_equal(rig_plug(rig, 60, 10), ACK);
}

/* Rule: ALL-01 */
static void everything_after_the_type_is_ignored(void **u)
{
    struct rig *rig = rig_new_default();
    uint8_t request[VMEM_DEVICE_REQUEST_SIZE];

    (void)u;
    plug_three_runs(rig);
    memset(request, 0xff, sizeof(request));
    request[0] = VMEM_REQUEST_UNPLUG_ALL;
    request[1] = 0;
    assert_int_equal(rig_request_bytes(rig, request, sizeof(request)), ACK);
    rig_assert_plugged(rig, "");
    rig_free(rig);
}

/* Rule: ALL-02 */
static void while_frozen_it_is_busy_and_nothing_changes(void **u)
{
    struct rig *rig = rig_new_default();
    struct rig_shot shot;

    (void)u;
    rig_listen(rig, "l");
    plug_three_runs(rig);
    rig_resize(rig, 20 * RIG_BLOCK);
    rig_freeze(rig, "migration");
    shot = rig_shot(rig);
    assert_int_equal(rig_unplug_all(rig), BUSY);
    assert_int_equal(rig->result.reason, VMEM_REASON_FROZEN);
    rig_assert_same(rig, &shot);
    rig_thaw(rig, "migration");
    assert_int_equal(rig_unplug_all(rig), ACK);
    rig_assert_plugged(rig, "");
    rig_free(rig);
}

/* All or nothing: the last of three runs is kept. */
/* Rule: ALL-02 */
static void what_a_listener_keeps_is_busy_and_nothing_changes(void **u)
{
    struct rig *rig = rig_new_default();
    const struct vmem_range high = { 32 * RIG_BLOCK, RIG_REGION / 2 };
    struct rig_listener *keeper;
    struct rig_shot shot;

    (void)u;
    rig_listen(rig, "l");
    keeper = rig_listen_to(rig, "keeper", high, 0, 0);
    plug_three_runs(rig);
    rig_resize(rig, 20 * RIG_BLOCK);
    keeper->keep_code = -EBUSY;
    shot = rig_shot(rig);
    rig_clear_events(rig);
    assert_int_equal(rig_unplug_all(rig), BUSY);
    assert_int_equal(rig->result.reason, VMEM_REASON_LISTENER_VETO);
    rig_assert_events(rig, "keep keeper 60+10; resize device");
    rig_assert_same(rig, &shot);
    /* What it does not have, it cannot keep. */
    assert_int_equal(rig_unplug(rig, 0, 1), ACK);
    assert_int_equal(rig_unplug_all(rig), BUSY);
    keeper->keep_code = 0;
    assert_int_equal(rig_unplug_all(rig), ACK);
    rig_assert_plugged(rig, "");
    keeper->keep_code = -EBUSY;
    assert_int_equal(rig_unplug_all(rig), ACK);
    rig_free(rig);
}

/* Rule: ALL-02 ALL-03 */
static void failed_discards_are_acked_and_the_memory_retained(void **u)
{
    struct rig *rig = rig_new_default();

    (void)u;
    plug_three_runs(rig);
    /* The second of three runs. */
    rig->memory.discard.fail_at = rig->memory.discard.nr_calls + 2;
    assert_int_equal(rig_unplug_all(rig), ACK);
    rig_assert_plugged(rig, "");
    assert_int_equal(rig_config(rig).plugged_size, 0);
    assert_true(rig_info(rig).retained_size == 4 * RIG_BLOCK);
    rig->memory.discard.error = -EIO;
    assert_int_equal(rig_plug(rig, 10, 2), ACK);
    assert_int_equal(rig_unplug_all(rig), ACK);
    assert_true(rig_info(rig).retained_size == 6 * RIG_BLOCK);
    rig->memory.discard.error = 0;
    assert_int_equal(vmem_region_retry_discards(rig->region, NULL), 0);
    assert_int_equal(rig_info(rig).retained_size, 0);
    rig_free(rig);
}

/* Rule: ALL-03 */
static void every_block_is_unplugged_and_can_be_plugged_again(void **u)
{
    struct rig *rig = rig_new_default();

    (void)u;
    rig_listen(rig, "l");
    for (int round = 0; round < 3; round++) {
        plug_three_runs(rig);
        assert_int_equal(rig_unplug_all(rig), ACK);
        rig_assert_plugged(rig, "");
        assert_int_equal(rig_config(rig).plugged_size, 0);
        assert_int_equal(rig_state(rig, 0, 256), VMEM_STATE_UNPLUGGED);
        rig_check(rig);
    }
    assert_true(rig_stats(rig).unplugged_bytes == 3 * 15 * RIG_BLOCK);
    rig_free(rig);
}

/* Rule: ALL-04 */
static void usable_shrinks_to_the_policy_before_the_ack_and_silently(void **u)
{
    struct rig *rig = rig_new_default();

    (void)u;
    plug_three_runs(rig);
    rig_resize(rig, RIG_REGION);
    rig_resize(rig, RIG_BLOCK);
    rig->nr_config_changed = 0;
    assert_int_equal(rig_unplug_all(rig), ACK);
    assert_true(rig_config(rig).usable_region_size == 129 * RIG_BLOCK);
    assert_int_equal(rig->nr_config_changed, 0);
    /* With nothing requested the extent policy leaves nothing usable. */
    rig_resize(rig, 0);
    assert_int_equal(rig_unplug_all(rig), ACK);
    assert_int_equal(rig_config(rig).usable_region_size, 0);
    assert_int_equal(rig_plug(rig, 0, 1), VMEM_RESPONSE_ERROR);
    rig_free(rig);
}

/* Rule: ALL-04 */
static void usable_stays_at_least_requested_for_every_policy(void **u)
{
    for (uint64_t policy = 0; policy <= VMEM_USABLE_EXTENT; policy++) {
        struct rig *rig = rig_new(&(struct rig_options){
            .config = { .usable_policy = policy, .usable_headroom = 1 } });

        (void)u;
        for (uint64_t blocks = 0; blocks <= 512; blocks += 64) {
            rig_resize(rig, RIG_REGION);
            rig_resize(rig, blocks * RIG_BLOCK);
            assert_int_equal(rig_unplug_all(rig), ACK);
            assert_true(rig_config(rig).usable_region_size >=
                        blocks * RIG_BLOCK);
            if (policy == VMEM_USABLE_ALL) {
                assert_true(rig_config(rig).usable_region_size == RIG_REGION);
            }
            rig_check(rig);
        }
        rig_free(rig);
    }
}

/* Rule: ALL-05 */
static void with_nothing_plugged_it_is_acked_without_any_call(void **u)
{
    struct rig *rig = rig_new_default();
    struct rig_listener *listener = rig_listen(rig, "l");
    uint64_t nr_calls = rig_nr_memory_calls(rig);

    (void)u;
    assert_int_equal(rig_unplug_all(rig), ACK);
    rig_freeze(rig, "migration");
    assert_int_equal(rig_unplug_all(rig), ACK);
    rig_thaw(rig, "migration");
    assert_int_equal(rig_nr_memory_calls(rig), nr_calls);
    assert_int_equal(listener->nr_discards + listener->nr_populates, 0);
    assert_int_equal(rig->nr_size_changed, 0);
    rig_free(rig);
}

/* Rule: ALL-05 */
static void while_frozen_even_an_empty_one_leaves_the_usable_region(void **u)
{
    struct rig *rig = rig_new_default();

    (void)u;
    rig_resize(rig, RIG_REGION);
    rig_resize(rig, RIG_BLOCK);
    rig_freeze(rig, "migration");
    assert_int_equal(rig_unplug_all(rig), ACK);
    assert_true(rig_config(rig).usable_region_size == RIG_REGION);
    rig_thaw(rig, "migration");
    assert_int_equal(rig_unplug_all(rig), ACK);
    assert_true(rig_config(rig).usable_region_size < RIG_REGION);
    rig_free(rig);
}

/* Rule: ALL-06 */
static void it_is_never_answered_error_or_nack(void **u)
{
    struct rig *rig = rig_new(&(struct rig_options){ .populates = true });

    (void)u;
    rig_listen(rig, "l");
    for (int i = 0; i < 32; i++) {
        rig->memory.discard.error = (i & 1) != 0 ? -EIO : 0;
        rig->memory.zero.error = (i & 2) != 0 ? -EIO : 0;
        rig_resize(rig, (i & 4) != 0 ? 0 : RIG_REQUESTED);
        rig_plug(rig, (uint64_t)i, 3);
        if ((i & 8) != 0) {
            rig_freeze(rig, "migration");
        }
        rig_unplug_all(rig);
        rig_check(rig);
        if ((i & 8) != 0) {
            rig_thaw(rig, "migration");
        }
    }
    assert_int_equal(rig_stats(rig).nr_requests[VMEM_REQUEST_UNPLUG_ALL]
                                               [VMEM_RESPONSE_ERROR],
                     0);
    assert_int_equal(
        rig_stats(rig).nr_requests[VMEM_REQUEST_UNPLUG_ALL][VMEM_RESPONSE_NACK],
        0);
    rig->memory.discard.error = 0;
    rig_free(rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(everything_after_the_type_is_ignored),
        cmocka_unit_test(while_frozen_it_is_busy_and_nothing_changes),
        cmocka_unit_test(what_a_listener_keeps_is_busy_and_nothing_changes),
        cmocka_unit_test(failed_discards_are_acked_and_the_memory_retained),
        cmocka_unit_test(every_block_is_unplugged_and_can_be_plugged_again),
        cmocka_unit_test(
            usable_shrinks_to_the_policy_before_the_ack_and_silently),
        cmocka_unit_test(usable_stays_at_least_requested_for_every_policy),
        cmocka_unit_test(with_nothing_plugged_it_is_acked_without_any_call),
        cmocka_unit_test(
            while_frozen_even_an_empty_one_leaves_the_usable_region),
        cmocka_unit_test(it_is_never_answered_error_or_nack),
    };

    return cmocka_run_group_tests_name("unplug_all", tests, NULL, NULL);
}
