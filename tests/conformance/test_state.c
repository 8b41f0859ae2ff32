/* SPDX-License-Identifier: BSD-3-Clause */
/* Rules STA-01 to STA-04: the STATE request. */
#include "support/device_rig.h"

#define ACK VMEM_RESPONSE_ACK
#define ERROR VMEM_RESPONSE_ERROR
#define PLUGGED VMEM_STATE_PLUGGED
#define UNPLUGGED VMEM_STATE_UNPLUGGED
#define MIXED VMEM_STATE_MIXED

/* Rule: STA-01 */
static void bad_ranges_are_an_error_with_a_state_of_zero(void **u)
{
    static const struct {
        uint64_t gpa;
        uint16_t nr_blocks;
    } cases[] = {
        { RIG_GPA + 1, 1 },
        { RIG_GPA, 0 },
        { 0, 1 },
        { 1, 1 },
        { RIG_GPA - RIG_BLOCK, 1 },
        { RIG_GPA - RIG_BLOCK, 3 },
        { RIG_GPA + RIG_USABLE, 1 },
        { RIG_GPA + RIG_USABLE - RIG_BLOCK, 2 },
        { RIG_GPA + RIG_REGION - RIG_BLOCK, 1 },
        { RIG_GPA, 257 },
        { RIG_GPA, 65535 },
        { UINT64_MAX - RIG_BLOCK + 1, 1 },
        { UINT64_MAX - RIG_BLOCK + 1, 65535 },
        { UINT64_MAX, 1 },
    };
    struct rig *rig = rig_new_default();

    (void)u;
    for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
        /* rig_request() asserts that the state's bytes are zero. */
        assert_int_equal(rig_request(rig, VMEM_REQUEST_STATE, cases[i].gpa,
                                     cases[i].nr_blocks),
                         ERROR);
    }
    assert_int_equal(rig_state(rig, 0, 256), UNPLUGGED);
    rig_free(rig);
}

/* Rule: STA-02 */
static void plugged_unplugged_and_mixed_are_told_apart(void **u)
{
    static const struct {
        uint64_t first_block;
        uint16_t nr_blocks;
        uint16_t state;
    } cases[] = {
        { 60, 10, PLUGGED },  { 60, 1, PLUGGED },   { 69, 1, PLUGGED },
        { 63, 2, PLUGGED },   { 64, 6, PLUGGED },   { 59, 1, UNPLUGGED },
        { 70, 1, UNPLUGGED }, { 0, 60, UNPLUGGED }, { 70, 186, UNPLUGGED },
        { 59, 2, MIXED },     { 69, 2, MIXED },     { 0, 61, MIXED },
        { 69, 100, MIXED },   { 0, 256, MIXED },    { 59, 12, MIXED },
    };
    struct rig *rig = rig_new_default();

    (void)u;
    assert_int_equal(rig_plug(rig, 60, 10), ACK);
    for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
        assert_int_equal(
            rig_state(rig, cases[i].first_block, cases[i].nr_blocks),
            cases[i].state);
    }
    rig_free(rig);
}

/* Rule: STA-02 */
static void states_are_right_at_every_word_boundary(void **u)
{
    struct rig *rig = rig_new(&(struct rig_options){
        .quiet = true,
        .config = { .requested_size = RIG_REGION,
                    .usable_policy = VMEM_USABLE_ALL } });

    (void)u;
    assert_int_equal(rig_plug(rig, 64, 64), ACK);
    for (uint64_t first = 60; first < 132; first++) {
        for (uint64_t end = first + 1; end < 134; end++) {
            uint64_t inside_first = first < 64 ? 64 : first;
            uint64_t inside_end = end > 128 ? 128 : end;
            uint16_t expected = first >= 64 && end <= 128   ? PLUGGED
                                : inside_first < inside_end ? MIXED
                                                            : UNPLUGGED;

            assert_int_equal(rig_state(rig, first, (uint16_t)(end - first)),
                             expected);
        }
    }
    rig_free(rig);
}

/* Rule: STA-03 */
static void it_is_answered_while_frozen_and_whatever_is_requested(void **u)
{
    struct rig *rig = rig_new_default();

    (void)u;
    assert_int_equal(rig_plug(rig, 0, 8), ACK);
    rig_resize(rig, 0);
    rig_freeze(rig, "migration");
    assert_int_equal(rig_state(rig, 0, 8), PLUGGED);
    assert_int_equal(rig_state(rig, 0, 9), MIXED);
    assert_int_equal(rig_state(rig, 8, 100), UNPLUGGED);
    rig_thaw(rig, "migration");
    rig_free(rig);
}

/* Rule: STA-04 */
static void thousands_of_them_leave_no_trace_but_a_counter(void **u)
{
    struct rig *rig = rig_new_default();
    struct rig_listener *listener = rig_listen(rig, "l");
    uint64_t nr_calls;
    struct rig_shot shot;

    (void)u;
    assert_int_equal(rig_plug(rig, 0, 100), ACK);
    nr_calls = rig_nr_memory_calls(rig) + listener->nr_populates;
    shot = rig_shot(rig);
    for (uint64_t i = 0; i < 20000; i++) {
        rig_state(rig, i % 256, 1);
    }
    rig_assert_same(rig, &shot);
    assert_int_equal(rig_nr_memory_calls(rig) + listener->nr_populates,
                     nr_calls);
    assert_int_equal(rig_stats(rig).nr_requests[VMEM_REQUEST_STATE][ACK],
                     20000);
    assert_int_equal(rig->logs->len, 0);
    rig_free(rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bad_ranges_are_an_error_with_a_state_of_zero),
        cmocka_unit_test(plugged_unplugged_and_mixed_are_told_apart),
        cmocka_unit_test(states_are_right_at_every_word_boundary),
        cmocka_unit_test(it_is_answered_while_frozen_and_whatever_is_requested),
        cmocka_unit_test(thousands_of_them_leave_no_trace_but_a_counter),
    };

    return cmocka_run_group_tests_name("state", tests, NULL, NULL);
}
