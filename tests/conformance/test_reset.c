/* SPDX-License-Identifier: BSD-3-Clause */
/* Rules RST-01 to RST-04 and SUS-01 to SUS-04: resets, suspend and wake-up. */
#include <errno.h>

#include "support/device_rig.h"

#define ACK VMEM_RESPONSE_ACK

static struct rig *rig_with_three_runs(void)
{
    struct rig *rig = rig_new(&(struct rig_options){
        .has_memory = true,
        .config = { .features = VMEM_DEVICE_F_PERSISTENT_SUSPEND } });

    assert_int_equal(rig_plug(rig, 0, 1), ACK);
    assert_int_equal(rig_plug(rig, 3, 4), ACK);
    assert_int_equal(rig_plug(rig, 60, 10), ACK);
    return rig;
}

/* Rule: RST-01 */
static void a_driver_reset_changes_no_block_and_no_size(void **u)
{
    struct rig *rig = rig_with_three_runs();
    struct rig_listener *listener = rig_listen(rig, "l");
    uint64_t nr_calls = rig_nr_memory_calls(rig);
    struct rig_shot shot;

    (void)u;
    assert_int_equal(vmem_device_set_driver_features(
                         rig->device, VMEM_DEVICE_F_PERSISTENT_SUSPEND),
                     0);
    rig_resize(rig, RIG_REGION);
    rig_resize(rig, RIG_BLOCK);
    shot = rig_shot(rig);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(
            vmem_device_reset(rig->device, VMEM_RESET_DRIVER, NULL), 0);
    }
    rig_assert_same(rig, &shot);
    rig_assert_view(listener, "0+1 3+4 60+10");
    assert_int_equal(listener->nr_discards, 0);
    assert_int_equal(rig_nr_memory_calls(rig), nr_calls);
    assert_int_equal(rig_info(rig).driver_features, 0);
    assert_int_equal(rig_info(rig).has_driver, 0);
    assert_int_equal(rig_stats(rig).nr_resets[VMEM_RESET_DRIVER], 3);
    rig_free(rig);
}

/* Rule: RST-01 */
static void a_driver_that_comes_back_finds_its_blocks(void **u)
{
    struct rig *rig = rig_with_three_runs();

    (void)u;
    /* kexec: reset, look, UNPLUG ALL, plug again. */
    vmem_device_reset(rig->device, VMEM_RESET_DRIVER, NULL);
    assert_true(rig_config(rig).plugged_size == 15 * RIG_BLOCK);
    assert_int_equal(rig_state(rig, 3, 4), VMEM_STATE_PLUGGED);
    assert_int_equal(rig_unplug_all(rig), ACK);
    assert_int_equal(rig_plug(rig, 0, 128), ACK);
    rig_free(rig);
}

/* Rule: RST-02 */
static void a_system_reset_unplugs_everything_and_shrinks_usable(void **u)
{
    struct rig *rig = rig_with_three_runs();

    (void)u;
    rig_resize(rig, RIG_REGION);
    rig_resize(rig, 2 * RIG_BLOCK);
    rig->nr_size_changed = 0;
    assert_int_equal(vmem_device_reset(rig->device, VMEM_RESET_SYSTEM, NULL),
                     0);
    rig_assert_plugged(rig, "");
    assert_int_equal(rig_config(rig).plugged_size, 0);
    assert_true(rig_config(rig).usable_region_size == 130 * RIG_BLOCK);
    assert_true(rig_config(rig).requested_size == 2 * RIG_BLOCK);
    assert_int_equal(rig->nr_size_changed, 1);
    assert_int_equal(rig->told_size, 0);
    assert_true(rig_stats(rig).unplugged_bytes == 15 * RIG_BLOCK);
    /* And once more with nothing plugged: nobody is told. */
    assert_int_equal(vmem_device_reset(rig->device, VMEM_RESET_SYSTEM, NULL),
                     0);
    assert_int_equal(rig->nr_size_changed, 1);
    rig_free(rig);
}

/* Rule: RST-02 */
static void a_system_reset_tries_again_to_give_back_retained_memory(void **u)
{
    struct rig *rig = rig_with_three_runs();

    (void)u;
    rig->memory.discard.error = -EIO;
    assert_int_equal(rig_unplug(rig, 3, 4), ACK);
    assert_int_equal(vmem_device_reset(rig->device, VMEM_RESET_SYSTEM, NULL),
                     0);
    assert_true(rig_info(rig).retained_size == 15 * RIG_BLOCK);
    rig->memory.discard.error = 0;
    assert_int_equal(vmem_device_reset(rig->device, VMEM_RESET_SYSTEM, NULL),
                     0);
    assert_int_equal(rig_info(rig).retained_size, 0);
    rig_free(rig);
}

/* Rule: RST-03 */
static void a_system_reset_that_a_listener_refuses_keeps_everything(void **u)
{
    struct rig *rig = rig_with_three_runs();
    struct rig_listener *keeper = rig_listen(rig, "keeper");
    struct vmem_error err = VMEM_ERROR_INIT;
    struct rig_shot shot;
    uint64_t nr_calls;

    (void)u;
    /* Something that a reset would give back. */
    rig->memory.discard.error = -EIO;
    assert_int_equal(rig_unplug(rig, 0, 1), ACK);
    rig->memory.discard.error = 0;
    vmem_device_set_driver_features(rig->device, 0);
    rig_resize(rig, RIG_REGION);
    rig_resize(rig, RIG_BLOCK);
    keeper->keep_code = -EADDRINUSE;
    shot = rig_shot(rig);
    nr_calls = rig_nr_memory_calls(rig);
    assert_int_equal(vmem_device_reset(rig->device, VMEM_RESET_SYSTEM, &err),
                     -EADDRINUSE);
    rig_assert_error(&err, -EADDRINUSE, VMEM_REASON_LISTENER_VETO,
                     "system reset", "keeper");
    rig_assert_same(rig, &shot);
    assert_int_equal(rig_nr_memory_calls(rig), nr_calls);
    assert_int_equal(rig_info(rig).has_driver, 0);
    /* The machine starts again. The other resets ask nobody, and the driver
     * recovers with UNPLUG ALL: BUSY until the listener lets go. */
    assert_int_equal(vmem_device_reset(rig->device, VMEM_RESET_DRIVER, NULL),
                     0);
    assert_int_equal(vmem_device_reset(rig->device, VMEM_RESET_WAKEUP, NULL),
                     0);
    assert_int_equal(rig_unplug_all(rig), VMEM_RESPONSE_BUSY);
    keeper->keep_code = 0;
    assert_int_equal(rig_unplug_all(rig), ACK);
    rig_assert_plugged(rig, "");
    /* With nothing plugged nobody is asked. */
    keeper->keep_code = -EBUSY;
    assert_int_equal(vmem_device_reset(rig->device, VMEM_RESET_SYSTEM, NULL),
                     0);
    assert_int_equal(rig_info(rig).retained_size, 0);
    rig_free(rig);
}

/* Rule: RST-03 */
static void while_frozen_a_system_reset_keeps_everything(void **u)
{
    struct rig *rig = rig_with_three_runs();
    struct vmem_error err = VMEM_ERROR_INIT;
    uint64_t nr_calls = rig_nr_memory_calls(rig);
    struct rig_shot shot;

    (void)u;
    rig_listen(rig, "l");
    vmem_device_set_driver_features(rig->device, 0);
    rig_resize(rig, RIG_REGION);
    rig_resize(rig, RIG_BLOCK);
    rig_freeze(rig, "migration");
    shot = rig_shot(rig);
    assert_int_equal(vmem_device_reset(rig->device, VMEM_RESET_SYSTEM, &err),
                     -EBUSY);
    rig_assert_error(&err, -EBUSY, VMEM_REASON_FROZEN, "region", "migration");
    rig_assert_same(rig, &shot);
    assert_int_equal(rig_nr_memory_calls(rig), nr_calls);
    assert_int_equal(rig_info(rig).has_driver, 0);
    /* The driver recovers with UNPLUG ALL: BUSY until it thaws. */
    assert_int_equal(rig_unplug_all(rig), VMEM_RESPONSE_BUSY);
    rig_thaw(rig, "migration");
    assert_int_equal(rig_unplug_all(rig), ACK);
    rig_assert_plugged(rig, "");
    rig_free(rig);
}

/* Rule: RST-04 */
static void listeners_hear_of_each_plugged_run_exactly_once(void **u)
{
    struct rig *rig = rig_with_three_runs();
    struct rig_listener *all = rig_listen(rig, "all");
    struct rig_listener *part = rig_listen_to(
        rig, "part", (struct vmem_range){ 4 * RIG_BLOCK, 60 * RIG_BLOCK }, 0,
        0);

    (void)u;
    rig_clear_events(rig);
    assert_int_equal(vmem_device_reset(rig->device, VMEM_RESET_SYSTEM, NULL),
                     0);
    rig_assert_events(rig, "discard part 4+3; discard part 60+4; "
                           "discard all 0+1; discard all 3+4; discard all "
                           "60+10; discard memory 0+1; discard memory 3+4; "
                           "discard memory 60+10; size device; resize device");
    assert_int_equal(all->nr_discards, 3);
    assert_int_equal(part->nr_discards, 2);
    assert_int_equal(vmem_device_reset(rig->device, VMEM_RESET_SYSTEM, NULL),
                     0);
    assert_int_equal(all->nr_discards, 3);
    rig_free(rig);
}

/* Rule: SUS-01 */
static void suspend_and_wake_up_change_no_block(void **u)
{
    struct rig *rig = rig_with_three_runs();
    uint64_t nr_calls = rig_nr_memory_calls(rig);
    struct rig_shot shot;

    (void)u;
    rig_listen(rig, "l");
    assert_int_equal(vmem_device_set_driver_features(
                         rig->device, VMEM_DEVICE_F_PERSISTENT_SUSPEND),
                     0);
    shot = rig_shot(rig);
    /* Linux resets the device when it suspends; the wake-up is a reset too. */
    vmem_device_reset(rig->device, VMEM_RESET_DRIVER, NULL);
    assert_int_equal(vmem_device_reset(rig->device, VMEM_RESET_WAKEUP, NULL),
                     0);
    rig_assert_same(rig, &shot);
    assert_int_equal(rig_nr_memory_calls(rig), nr_calls);
    assert_int_equal(rig_info(rig).driver_features, 0);
    rig_free(rig);
}

/* Rule: SUS-02 */
static void a_wake_up_keeps_blocks_whatever_was_negotiated(void **u)
{
    struct rig *rig = rig_with_three_runs();
    struct rig_shot shot;

    (void)u;
    assert_int_equal(vmem_device_set_driver_features(rig->device, 0), 0);
    shot = rig_shot(rig);
    vmem_device_reset(rig->device, VMEM_RESET_WAKEUP, NULL);
    rig_assert_same(rig, &shot);
    rig_free(rig);
}

/* Rule: SUS-03 */
static void a_resize_while_suspended_is_seen_after_the_wake_up(void **u)
{
    struct rig *rig = rig_with_three_runs();

    (void)u;
    vmem_device_reset(rig->device, VMEM_RESET_DRIVER, NULL);
    rig_resize(rig, 200 * RIG_BLOCK);
    vmem_device_reset(rig->device, VMEM_RESET_WAKEUP, NULL);
    assert_int_equal(vmem_device_set_driver_features(rig->device, 0), 0);
    assert_true(rig_config(rig).requested_size == 200 * RIG_BLOCK);
    assert_true(rig_config(rig).usable_region_size >= 200 * RIG_BLOCK);
    assert_int_equal(rig_plug(rig, 100, 156), ACK);
    rig_free(rig);
}

/* Rule: RST-02 */
static void an_unknown_reset_is_refused_and_does_nothing(void **u)
{
    static const uint32_t kinds[] = { 0, 4, UINT32_MAX };
    struct rig *rig = rig_with_three_runs();
    struct rig_shot shot = rig_shot(rig);

    (void)u;
    vmem_device_set_driver_features(rig->device, 0);
    for (size_t i = 0; i < G_N_ELEMENTS(kinds); i++) {
        struct vmem_error err = VMEM_ERROR_INIT;

        assert_int_equal(vmem_device_reset(rig->device, kinds[i], &err),
                         -EINVAL);
        rig_assert_error(&err, -EINVAL, VMEM_REASON_ARGUMENT, "kind");
    }
    assert_int_equal(vmem_device_reset(NULL, VMEM_RESET_SYSTEM, NULL), -EINVAL);
    rig_assert_same(rig, &shot);
    assert_int_equal(rig_info(rig).has_driver, 1);
    rig_free(rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_driver_reset_changes_no_block_and_no_size),
        cmocka_unit_test(a_driver_that_comes_back_finds_its_blocks),
        cmocka_unit_test(a_system_reset_unplugs_everything_and_shrinks_usable),
        cmocka_unit_test(
            a_system_reset_tries_again_to_give_back_retained_memory),
        cmocka_unit_test(
            a_system_reset_that_a_listener_refuses_keeps_everything),
        cmocka_unit_test(while_frozen_a_system_reset_keeps_everything),
        cmocka_unit_test(listeners_hear_of_each_plugged_run_exactly_once),
        cmocka_unit_test(suspend_and_wake_up_change_no_block),
        cmocka_unit_test(a_wake_up_keeps_blocks_whatever_was_negotiated),
        cmocka_unit_test(a_resize_while_suspended_is_seen_after_the_wake_up),
        cmocka_unit_test(an_unknown_reset_is_refused_and_does_nothing),
    };

    return cmocka_run_group_tests_name("reset", tests, NULL, NULL);
}
