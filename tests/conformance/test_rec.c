/* SPDX-License-Identifier: BSD-3-Clause */
/* Recommendations REC-1 to REC-7, as far as they are a device's. */
#include <errno.h>
#include <string.h>

#include "support/device_rig.h"

#define ACK VMEM_RESPONSE_ACK
#define NACK VMEM_RESPONSE_NACK
#define BUSY VMEM_RESPONSE_BUSY

/* Rule: REC-1 */
static void plug_reserves_then_tells_then_commits_then_answers(void **u)
{
    struct rig *rig = rig_new(&(struct rig_options){ .populates = true });
    struct rig_listener *third;

    (void)u;
    rig_listen(rig, "a");
    rig_listen(rig, "b");
    third = rig_listen(rig, "c");
    assert_int_equal(rig_plug(rig, 0, 2), ACK);
    rig_assert_events(rig, "populate memory 0+2; populate a 0+2; populate b "
                           "0+2; populate c 0+2; size device; resize device");
    rig_clear_events(rig);
    /* One objects: those before it are told in reverse order, not it. */
    third->fail_at = 2;
    assert_int_equal(rig_plug(rig, 2, 2), BUSY);
    rig_assert_events(rig, "populate memory 2+2; populate a 2+2; populate b "
                           "2+2; veto c 2+2; discard b 2+2; discard a 2+2; "
                           "discard memory 2+2; resize device");
    rig_free(rig);
}

/* Rule: REC-1 */
static void unplug_tells_then_commits_then_discards(void **u)
{
    struct rig *rig = rig_new_default();

    (void)u;
    rig_listen(rig, "a");
    rig_listen(rig, "b");
    assert_int_equal(rig_plug(rig, 0, 8), ACK);
    rig_clear_events(rig);
    assert_int_equal(rig_unplug(rig, 2, 3), ACK);
    rig_assert_events(rig, "discard b 2+3; discard a 2+3; discard memory 2+3; "
                           "size device");
    rig_free(rig);
}

/* Rule: REC-2 */
static void the_usable_policy_is_one_of_three_with_unit_the_default(void **u)
{
    static const struct {
        uint64_t policy;
        uint64_t n;
        uint64_t requested;
        uint64_t usable;
    } cases[] = {
        { VMEM_USABLE_DEFAULT, 0, 0, 2 * RIG_GIB },
        { VMEM_USABLE_DEFAULT, 0, RIG_BLOCK, 4 * RIG_GIB },
        { VMEM_USABLE_DEFAULT, 0, 2 * RIG_GIB, 4 * RIG_GIB },
        { VMEM_USABLE_DEFAULT, 0, 2 * RIG_GIB + RIG_BLOCK, 6 * RIG_GIB },
        { VMEM_USABLE_DEFAULT, 77, RIG_BLOCK, 4 * RIG_GIB },
        { VMEM_USABLE_DEFAULT, 0, 15 * RIG_GIB, 16 * RIG_GIB },
        { VMEM_USABLE_UNIT, 0, RIG_BLOCK, 4 * RIG_GIB },
        { VMEM_USABLE_UNIT, 128 * RIG_MIB, RIG_BLOCK, 256 * RIG_MIB },
        { VMEM_USABLE_UNIT, 128 * RIG_MIB, 0, 128 * RIG_MIB },
        { VMEM_USABLE_ALL, 5, 0, 16 * RIG_GIB },
        { VMEM_USABLE_ALL, 0, RIG_GIB, 16 * RIG_GIB },
        { VMEM_USABLE_EXTENT, 256 * RIG_MIB, 0, 0 },
        { VMEM_USABLE_EXTENT, 256 * RIG_MIB, RIG_BLOCK, 258 * RIG_MIB },
        { VMEM_USABLE_EXTENT, 0, RIG_BLOCK, RIG_BLOCK },
        { VMEM_USABLE_EXTENT, 256 * RIG_MIB, 16 * RIG_GIB, 16 * RIG_GIB },
    };

    (void)u;
    for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
        struct rig *rig = rig_new(&(struct rig_options){
            .region_size = 16 * RIG_GIB,
            .config = { .requested_size = cases[i].requested,
                        .usable_policy = cases[i].policy,
                        .usable_headroom = cases[i].n } });

        assert_true(rig_config(rig).usable_region_size == cases[i].usable);
        rig_free(rig);
    }
}

/* Rule: REC-3 */
static void a_kick_and_a_thaw_notify_the_guest(void **u)
{
    struct rig *rig = rig_new_default();

    (void)u;
    assert_int_equal(vmem_device_notify_config(rig->device), 0);
    assert_int_equal(rig->nr_config_changed, 1);
    rig_freeze(rig, "migration");
    rig_freeze(rig, "snapshot");
    assert_int_equal(rig_plug(rig, 0, 1), BUSY);
    rig_thaw(rig, "migration");
    assert_int_equal(rig->nr_config_changed, 1);
    rig_thaw(rig, "snapshot");
    assert_int_equal(rig->nr_config_changed, 2);
    assert_int_equal(vmem_device_notify_config(NULL), -EINVAL);
    rig_free(rig);
}

/* What the guest would see if it looked, and asked, in the notification. */
struct in_notification {
    struct rig_config config;
    uint32_t generation;
    uint16_t response;
};

static void look_and_plug(struct rig *rig)
{
    struct in_notification *seen = rig->user;
    uint8_t request[VMEM_DEVICE_REQUEST_SIZE];
    uint8_t response[VMEM_DEVICE_RESPONSE_SIZE];

    seen->config = rig_config(rig);
    seen->generation = vmem_device_get_config_generation(rig->device);
    rig_encode(request, VMEM_REQUEST_PLUG, RIG_GPA, 200);
    vmem_device_handle_request(rig->device, request, sizeof(request), response,
                               sizeof(response), NULL);
    seen->response = response[0];
}

/* Rule: REC-4 */
static void sizes_are_published_together_before_the_notification(void **u)
{
    struct rig *rig = rig_new_default();
    uint32_t generation = vmem_device_get_config_generation(rig->device);
    struct in_notification seen = { .response = 0xffff };

    (void)u;
    rig->user = &seen;
    rig->on_config_changed = look_and_plug;
    assert_int_equal(rig_plug(rig, 0, 200), NACK);
    rig_resize(rig, 300 * RIG_BLOCK);
    assert_true(seen.config.requested_size == 300 * RIG_BLOCK);
    assert_true(seen.config.usable_region_size == 428 * RIG_BLOCK);
    /* One step for both. */
    assert_int_equal(seen.generation, generation + 1);
    assert_int_equal(seen.response, ACK);
    rig->on_config_changed = NULL;
    rig_free(rig);
}

/* Rule: REC-5 */
static void unplug_all_and_system_reset_do_the_same(void **u)
{
    char *events[2];

    (void)u;
    for (int reset = 0; reset < 2; reset++) {
        struct rig *rig = rig_new_default();

        rig_listen(rig, "a");
        assert_int_equal(rig_plug(rig, 0, 2), ACK);
        assert_int_equal(rig_plug(rig, 5, 1), ACK);
        rig_resize(rig, RIG_REGION);
        rig_resize(rig, RIG_BLOCK);
        rig_clear_events(rig);
        if (reset != 0) {
            assert_int_equal(
                vmem_device_reset(rig->device, VMEM_RESET_SYSTEM, NULL), 0);
        } else {
            assert_int_equal(rig_unplug_all(rig), ACK);
        }
        assert_true(rig_config(rig).usable_region_size == 129 * RIG_BLOCK);
        rig_assert_plugged(rig, "");
        events[reset] = rig_events(rig);
        rig_free(rig);
    }
    /* The resize's state differs, for a reset leaves no driver. */
    *strstr(events[0], "; resize") = '\0';
    *strstr(events[1], "; resize") = '\0';
    assert_string_equal(events[0], events[1]);
    g_free(events[0]);
    g_free(events[1]);
}

/* Rule: REC-6 */
static void a_request_without_room_for_its_answer_is_not_executed(void **u)
{
    struct rig *rig = rig_new_default();
    uint8_t request[VMEM_DEVICE_REQUEST_SIZE];

    (void)u;
    rig_encode(request, VMEM_REQUEST_PLUG, RIG_GPA, 1);
    rig_malformed(rig, request, sizeof(request), 9,
                  VMEM_MALFORMED_SHORT_RESPONSE);
    rig_assert_plugged(rig, "");
    assert_int_equal(rig_nr_memory_calls(rig), 1); /* device_new */
    rig_free(rig);
}

/* Rule: REC-7 */
static void plugged_size_is_counted_from_the_blocks(void **u)
{
    struct rig *rig = rig_new_default();
    uint64_t seed = 7;

    (void)u;
    for (int i = 0; i < 2000; i++) {
        uint64_t random = rig_random(&seed);
        uint16_t nr_blocks = (uint16_t)(1 + (random >> 16) % 7);

        if ((random & 1) != 0) {
            rig_plug(rig, (random >> 8) % 250, nr_blocks);
        } else {
            rig_unplug(rig, (random >> 8) % 250, nr_blocks);
        }
        /* Compares plugged_size with the runs. */
        rig_check(rig);
    }
    rig_free(rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(plug_reserves_then_tells_then_commits_then_answers),
        cmocka_unit_test(unplug_tells_then_commits_then_discards),
        cmocka_unit_test(
            the_usable_policy_is_one_of_three_with_unit_the_default),
        cmocka_unit_test(a_kick_and_a_thaw_notify_the_guest),
        cmocka_unit_test(sizes_are_published_together_before_the_notification),
        cmocka_unit_test(unplug_all_and_system_reset_do_the_same),
        cmocka_unit_test(a_request_without_room_for_its_answer_is_not_executed),
        cmocka_unit_test(plugged_size_is_counted_from_the_blocks),
    };

    return cmocka_run_group_tests_name("rec", tests, NULL, NULL);
}
