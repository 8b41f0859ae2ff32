/* SPDX-License-Identifier: BSD-3-Clause */
/* Every call that a request makes to somebody else fails once, at each of its
 * positions: I3, I6 and I12 as the guest and the host see them. */
#include <errno.h>
#include <string.h>

#include "support/device_rig.h"

#define ACK VMEM_RESPONSE_ACK
#define BUSY VMEM_RESPONSE_BUSY
#define NR_LISTENERS 3

struct bench {
    struct rig *rig;
    struct rig_listener *listeners[NR_LISTENERS];
};

/* Three listeners: whole runs, exact chunks of a window, coarse chunks. */
static struct bench bench_new(void)
{
    struct bench bench = {
        .rig = rig_new(&(struct rig_options){ .populates = true }),
    };

    bench.listeners[0] = rig_listen(bench.rig, "runs");
    bench.listeners[1] =
        rig_listen_to(bench.rig, "exact",
                      (struct vmem_range){ 6 * RIG_BLOCK, 60 * RIG_BLOCK },
                      RIG_BLOCK, VMEM_LISTENER_EXACT_DISCARD);
    bench.listeners[2] = rig_listen_to(
        bench.rig, "chunks", (struct vmem_range){ 0, 0 }, RIG_BLOCK, 0);
    rig_clear_events(bench.rig);
    return bench;
}

/* Blocks 0, 3 to 6 and 60 to 69, in three runs. */
static void plug_three_runs(struct rig *rig)
{
    assert_int_equal(rig_plug(rig, 0, 1), ACK);
    assert_int_equal(rig_plug(rig, 3, 4), ACK);
    assert_int_equal(rig_plug(rig, 60, 10), ACK);
    rig_clear_events(rig);
}

/* A vetoed plug: those told before the veto are told discard of exactly what
 * they were told, latest listener first, the one that refused included as far
 * as it had agreed; then the memory goes back. */
static void assert_undone_in_reverse(struct rig *rig)
{
    guint i = 0;
    guint last;
    struct vmem_range told = { 0, 0 };
    const char *order[NR_LISTENERS + 1] = { NULL };
    size_t nr_told = 0;

    for (; i < rig->events->len; i++) {
        const struct rig_event *event =
            &g_array_index(rig->events, struct rig_event, i);

        if (event->kind == RIG_VETO) {
            break;
        }
        if (event->kind == RIG_POPULATE &&
            (nr_told == 0 || order[nr_told - 1] != event->who)) {
            order[nr_told++] = event->who;
        }
    }
    assert_true(i < rig->events->len);
    for (last = ++i; last < rig->events->len; last++) {
        const struct rig_event *event =
            &g_array_index(rig->events, struct rig_event, last);

        if (event->kind == RIG_MEM_DISCARD) {
            told = event->range;
            break;
        }
        assert_int_equal(event->kind, RIG_DISCARD);
        while (nr_told > 0 && order[nr_told - 1] != event->who) {
            nr_told--;
        }
        assert_true(nr_told > 0);
    }
    assert_int_equal(told.size, 8 * RIG_BLOCK);
}

static void a_plug_is_undone_whichever_listener_call_refuses(void **u)
{
    (void)u;
    for (size_t who = 0; who < NR_LISTENERS; who++) {
        uint64_t n = 1;

        for (;; n++) {
            struct bench bench = bench_new();
            struct rig *rig = bench.rig;
            struct rig_listener *listener = bench.listeners[who];
            struct rig_shot shot;
            uint16_t response;

            plug_three_runs(rig);
            listener->fail_at = listener->nr_populates + n;
            shot = rig_shot(rig);
            response = rig_plug(rig, 10, 8);
            if (response == BUSY) {
                assert_int_equal(rig->result.reason, VMEM_REASON_LISTENER_VETO);
                assert_string_equal(rig_status(rig).busy_by, listener->name);
                rig_assert_same(rig, &shot);
                assert_undone_in_reverse(rig);
                rig_check(rig);
                assert_int_equal(rig_plug(rig, 10, 8), ACK);
            } else {
                g_free(shot.plugged);
                g_free(shot.views);
            }
            rig_assert_plugged(rig, "0+1 3+4 10+8 60+10");
            rig_check(rig);
            rig_free(rig);
            if (response == ACK) {
                break;
            }
        }
        /* One call for the run, or one for each of eight chunks. */
        assert_int_equal(n, who == 0 ? 2 : 9);
    }
}

static void a_plug_whose_undo_cannot_discard_is_busy_and_retained(void **u)
{
    struct bench bench = bench_new();
    struct rig *rig = bench.rig;
    struct rig_shot shot;

    (void)u;
    plug_three_runs(rig);
    bench.listeners[2]->fail_at = bench.listeners[2]->nr_populates + 1;
    rig->memory.discard.error = -EIO;
    shot = rig_shot(rig);
    assert_int_equal(rig_plug(rig, 10, 8), BUSY);
    shot.retained_size = 8 * RIG_BLOCK;
    rig_assert_same(rig, &shot);
    rig_check(rig);
    assert_int_equal(rig_state(rig, 10, 8), VMEM_STATE_UNPLUGGED);
    /* The second attempt succeeds though the memory cannot be discarded. */
    assert_int_equal(rig_plug(rig, 10, 8), ACK);
    assert_int_equal(rig_info(rig).retained_size, 0);
    assert_true(rig->memory.zero.bytes == 8 * RIG_BLOCK);
    rig->memory.discard.error = 0;
    rig_free(rig);
}

static void a_plug_without_memory_is_busy_and_gives_back_what_it_got(void **u)
{
    struct bench bench = bench_new();
    struct rig *rig = bench.rig;
    struct rig_shot shot;

    (void)u;
    plug_three_runs(rig);
    rig->memory.populate.fail_at = rig->memory.populate.nr_calls + 1;
    shot = rig_shot(rig);
    assert_int_equal(rig_plug(rig, 10, 8), BUSY);
    assert_int_equal(rig->result.reason, VMEM_REASON_POPULATE_FAILED);
    rig_assert_events(rig, "populate memory 10+8; discard memory 10+8; "
                           "resize device");
    rig_assert_same(rig, &shot);
    assert_int_equal(rig_plug(rig, 10, 8), ACK);
    rig_free(rig);
}

/* Blocks 10, 12 and 14 are retained; then each discard of the clean-up fails in
 * turn. */
static void a_plug_of_retained_blocks_survives_each_failed_discard(void **u)
{
    (void)u;
    for (uint64_t n = 1; n <= 4; n++) {
        struct bench bench = bench_new();
        struct rig *rig = bench.rig;

        assert_int_equal(rig_plug(rig, 10, 5), ACK);
        rig->memory.discard.error = -EIO;
        assert_int_equal(rig_unplug(rig, 10, 1), ACK);
        assert_int_equal(rig_unplug(rig, 12, 1), ACK);
        assert_int_equal(rig_unplug(rig, 14, 1), ACK);
        rig->memory.discard.error = 0;
        assert_int_equal(rig_unplug(rig, 11, 1), ACK);
        assert_int_equal(rig_unplug(rig, 13, 1), ACK);
        assert_true(rig_info(rig).retained_size == 3 * RIG_BLOCK);
        rig_clear_events(rig);
        rig->memory.discard.fail_at = rig->memory.discard.nr_calls + n;
        assert_int_equal(rig_plug(rig, 10, 5), ACK);
        assert_int_equal(rig->memory.zero.nr_calls, n <= 3);
        assert_true(rig->memory.zero.bytes == (n <= 3 ? RIG_BLOCK : 0));
        assert_int_equal(rig_nr_events(rig, RIG_MEM_DISCARD), 3);
        assert_int_equal(rig_info(rig).retained_size, 0);
        rig_assert_plugged(rig, "10+5");
        rig->memory.discard.fail_at = 0;
        rig_free(rig);
    }
}

static void a_plug_of_retained_blocks_that_cannot_be_zeroed_is_busy(void **u)
{
    for (int no_zero = 0; no_zero < 2; no_zero++) {
        struct rig *rig = rig_new(&(struct rig_options){
            .populates = true, .no_zero = no_zero != 0 });
        struct rig_shot shot;

        (void)u;
        rig_listen(rig, "l");
        assert_int_equal(rig_plug(rig, 10, 4), ACK);
        rig->memory.discard.error = -EIO;
        rig->memory.zero.error = -ENOMEM;
        assert_int_equal(rig_unplug(rig, 11, 2), ACK);
        shot = rig_shot(rig);
        rig_clear_events(rig);
        assert_int_equal(rig_plug(rig, 11, 2), BUSY);
        assert_int_equal(rig->result.reason, VMEM_REASON_DISCARD_FAILED);
        assert_int_equal(rig_status(rig).busy_errno,
                         no_zero != 0 ? -ENOTSUP : -ENOMEM);
        assert_int_equal(rig_nr_events(rig, RIG_POPULATE), 0);
        assert_int_equal(rig_nr_events(rig, RIG_MEM_POPULATE), 0);
        rig_assert_same(rig, &shot);
        /* Never plugged with old contents; plugged once it can be cleaned. */
        rig->memory.discard.error = 0;
        assert_int_equal(rig_plug(rig, 11, 2), ACK);
        rig_assert_plugged(rig, "10+4");
        rig_free(rig);
    }
}

/* The vectors' U08: the answer is ACK, the memory is retained. */
static void an_unplug_whose_discard_fails_is_acked_and_retained(void **u)
{
    struct bench bench = bench_new();
    struct rig *rig = bench.rig;

    (void)u;
    plug_three_runs(rig);
    rig->nr_size_changed = 0;
    rig->memory.discard.fail_at = rig->memory.discard.nr_calls + 1;
    assert_int_equal(rig_unplug(rig, 4, 2), ACK);
    rig_assert_plugged(rig, "0+1 3+1 6+1 60+10");
    assert_true(rig_config(rig).plugged_size == 13 * RIG_BLOCK);
    assert_true(rig_info(rig).retained_size == 2 * RIG_BLOCK);
    assert_int_equal(rig->nr_size_changed, 1);
    rig_check(rig);
    assert_int_equal(rig_unplug(rig, 4, 2), VMEM_RESPONSE_ERROR);
    assert_int_equal(rig_state(rig, 4, 2), VMEM_STATE_UNPLUGGED);
    assert_int_equal(rig_plug(rig, 4, 1), ACK);
    assert_true(rig_info(rig).retained_size == RIG_BLOCK);
    assert_int_equal(vmem_region_retry_discards(rig->region, NULL), 0);
    assert_int_equal(rig_info(rig).retained_size, 0);
    rig_free(rig);
}

static const uint64_t run_blocks[] = { 1, 4, 10 };

/* The vectors' A08, and the same for a system reset: each of three runs. */
static void each_failed_discard_of_unplug_all_and_reset_is_retained(void **u)
{
    (void)u;
    for (uint64_t i = 0; i < 6; i++) {
        const uint64_t n = i % 3;
        struct bench bench = bench_new();
        struct rig *rig = bench.rig;
        struct vmem_error err = VMEM_ERROR_INIT;

        plug_three_runs(rig);
        rig->nr_size_changed = 0;
        rig->memory.discard.fail_at = rig->memory.discard.nr_calls + 1 + n;
        if (i < 3) {
            assert_int_equal(rig_unplug_all(rig), ACK);
        } else {
            assert_int_equal(
                vmem_device_reset(rig->device, VMEM_RESET_SYSTEM, NULL), 0);
        }
        rig_assert_plugged(rig, "");
        assert_int_equal(rig_config(rig).plugged_size, 0);
        assert_true(rig_info(rig).retained_size == run_blocks[n] * RIG_BLOCK);
        assert_int_equal(rig->nr_size_changed, 1);
        assert_int_equal(rig->nr_config_changed, 0);
        /* The other runs were discarded all the same. */
        assert_int_equal(rig_nr_events(rig, RIG_MEM_DISCARD), 3);
        rig_check(rig);
        rig->memory.discard.error = -EIO;
        assert_int_equal(vmem_region_retry_discards(rig->region, &err), -EIO);
        rig_assert_error(&err, -EIO, VMEM_REASON_DISCARD_FAILED, "region");
        assert_true(err.range.size == run_blocks[n] * RIG_BLOCK);
        rig->memory.discard.error = 0;
        plug_three_runs(rig);
        assert_int_equal(rig_info(rig).retained_size, 0);
        rig_free(rig);
    }
}

static void a_device_is_made_though_the_first_discard_fails(void **u)
{
    struct rig *rig =
        rig_new(&(struct rig_options){ .no_device = true, .populates = true });
    const struct vmem_device_config config = {
        .struct_size = sizeof(config),
        .name = "dev",
        .gpa = RIG_GPA,
        .block_size = RIG_BLOCK,
        .requested_size = RIG_REQUESTED,
    };

    (void)u;
    rig_listen(rig, "a");
    rig_listen(rig, "b");
    rig_listen(rig, "c");
    rig->memory.discard.fail_at = 1;
    assert_int_equal(rig_make_device(rig, &config, NULL), 0);
    assert_true(rig_info(rig).retained_size == RIG_REGION);
    assert_int_equal(rig_config(rig).plugged_size, 0);
    rig_check(rig);
    /* Whatever was there before never reaches the guest. */
    rig->memory.discard.error = -EIO;
    assert_int_equal(rig_plug(rig, 0, 4), ACK);
    assert_true(rig->memory.zero.bytes == 4 * RIG_BLOCK);
    assert_true(rig_info(rig).retained_size == RIG_REGION - 4 * RIG_BLOCK);
    rig->memory.discard.error = 0;
    assert_int_equal(vmem_device_reset(rig->device, VMEM_RESET_SYSTEM, NULL),
                     0);
    assert_int_equal(rig_info(rig).retained_size, 0);
    rig_free(rig);
}

static void a_listener_that_cannot_be_registered_leaves_no_trace(void **u)
{
    (void)u;
    for (uint64_t n = 1; n <= 15; n++) {
        struct bench bench = bench_new();
        struct rig *rig = bench.rig;
        struct rig_listener *late;
        const struct vmem_listener_config config = {
            .struct_size = sizeof(config),
            .name = "late",
            .granularity = RIG_BLOCK,
        };
        struct vmem_error err = VMEM_ERROR_INIT;

        plug_three_runs(rig);
        late = rig_listener_new(rig, "late");
        late->fail_at = n;
        late->fail_code = -ENOSPC;
        assert_int_equal(rig_listener_add(late, &config, &err), -ENOSPC);
        rig_assert_error(&err, -ENOSPC, VMEM_REASON_LISTENER_VETO, "late");
        rig_assert_view(late, "");
        assert_int_equal(late->nr_destroys, 1);
        assert_null(late->handle);
        assert_int_equal(rig_plug(rig, 100, 1), ACK);
        assert_int_equal(late->nr_populates, n);
        rig_free(rig);
    }
}

static void a_veto_may_have_any_code(void **u)
{
    static const struct {
        int code;
        int told;
    } cases[] = { { -1, -1 }, { -4095, -4095 }, { 7, -EINVAL } };

    (void)u;
    for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
        struct rig *rig = rig_new_default();
        struct rig_listener *listener = rig_listen(rig, "l");

        listener->fail_at = 1;
        listener->fail_code = cases[i].code;
        assert_int_equal(rig_plug(rig, 0, 1), BUSY);
        assert_int_equal(rig_status(rig).busy_errno, cases[i].told);
        rig_free(rig);
    }
}

static void a_guest_that_fails_forever_writes_a_bounded_log(void **u)
{
    struct rig *rig = rig_new_default();
    struct rig_listener *listener = rig_listen(rig, "l");
    uint8_t nonsense[VMEM_DEVICE_REQUEST_SIZE] = { 99 };

    (void)u;
    listener->fail_always = true;
    rig->memory.discard.error = -EIO;
    for (int i = 0; i < 1000; i++) {
        uint8_t response[VMEM_DEVICE_RESPONSE_SIZE];

        rig_plug(rig, 0, 1);   /* BUSY, and the undo's discard fails */
        rig_unplug(rig, 0, 1); /* ERROR */
        vmem_device_handle_request(rig->device, nonsense, sizeof(nonsense),
                                   response, sizeof(response), NULL);
        vmem_device_write_config(rig->device, 0, nonsense, 1);
        vmem_device_set_driver_features(rig->device, 1);
    }
    assert_true(rig->logs->len <= 7 * VMEM_LOG_BURST);
    assert_int_equal(rig_nr_logs(rig, VMEM_LOG_CODE_GUEST_ERROR),
                     VMEM_LOG_BURST);
    /* A second later the next record says how many were dropped. */
    rig->now_ns += 1000000000;
    rig_unplug(rig, 0, 1);
    assert_int_equal(rig_last_log(rig, VMEM_LOG_CODE_GUEST_ERROR)->suppressed,
                     1000 - VMEM_LOG_BURST);
    rig->memory.discard.error = 0;
    rig_free(rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_plug_is_undone_whichever_listener_call_refuses),
        cmocka_unit_test(a_plug_whose_undo_cannot_discard_is_busy_and_retained),
        cmocka_unit_test(
            a_plug_without_memory_is_busy_and_gives_back_what_it_got),
        cmocka_unit_test(
            a_plug_of_retained_blocks_survives_each_failed_discard),
        cmocka_unit_test(
            a_plug_of_retained_blocks_that_cannot_be_zeroed_is_busy),
        cmocka_unit_test(an_unplug_whose_discard_fails_is_acked_and_retained),
        cmocka_unit_test(
            each_failed_discard_of_unplug_all_and_reset_is_retained),
        cmocka_unit_test(a_device_is_made_though_the_first_discard_fails),
        cmocka_unit_test(a_listener_that_cannot_be_registered_leaves_no_trace),
        cmocka_unit_test(a_veto_may_have_any_code),
        cmocka_unit_test(a_guest_that_fails_forever_writes_a_bounded_log),
    };

    return cmocka_run_group_tests_name("device_faults", tests, NULL, NULL);
}
