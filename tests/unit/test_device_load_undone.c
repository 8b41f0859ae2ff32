/* SPDX-License-Identifier: BSD-3-Clause */
/* A load that somebody refuses, or that lacks memory, is undone as a whole. */
#include <errno.h>
#include <string.h>

#include "support/allocations.h"
#include "support/stream.h"

#define ACK VMEM_RESPONSE_ACK

/* A load that was refused: blocks, sizes, views are as before; what may have been
 * populated, 6 blocks, is retained and can be given back. */
static void assert_refused(struct rig *rig, struct rig_shot *shot,
                           uint64_t nr_discards)
{
    shot->retained_size = 6 * RIG_BLOCK;
    rig_assert_same(rig, shot);
    rig_check(rig);
    assert_int_equal(rig->memory.discard.nr_calls, nr_discards);
    assert_int_equal(rig_stats(rig).nr_loads, 0);
}

static void a_load_is_undone_whichever_listener_call_refuses(void **u)
{
    static const uint64_t nr_calls[] = { 3, 6, 2 };

    (void)u;
    for (size_t who = 0; who < 3; who++) {
        for (uint64_t n = 1; n <= nr_calls[who]; n++) {
            struct stream_target target = stream_target_new();
            struct rig *rig = target.rig;
            struct rig_listener *listener = target.listeners[who];
            struct vmem_error err = VMEM_ERROR_INIT;
            struct rig_shot shot;
            struct stream stream;
            uint64_t nr_discards;

            stream_save_source(&stream);
            stream_plug_others(rig);
            listener->fail_at = listener->nr_populates + n;
            nr_discards = rig->memory.discard.nr_calls;
            shot = rig_shot(rig);
            assert_int_equal(stream_load(rig, &stream, &err), -ENOSPC);
            rig_assert_error(&err, -ENOSPC, VMEM_REASON_LISTENER_VETO, "dev",
                             listener->name);
            assert_int_equal(rig_nr_events(rig, RIG_VETO), 1);
            assert_refused(rig, &shot, nr_discards);
            assert_int_equal(stream_load(rig, &stream, NULL), 0);
            stream_assert(rig, &stream);
            assert_int_equal(rig_info(rig).retained_size, 0);
            rig_free(rig);
        }
    }
}

/* Whoever may keep what goes is asked before anything else happens, so there is
 * nothing to undo, and nothing is retained. */
static void a_load_is_refused_by_who_keeps_what_goes(void **u)
{
    struct stream_target target = stream_target_new();
    struct rig *rig = target.rig;
    struct vmem_error err = VMEM_ERROR_INIT;
    struct rig_shot shot;
    struct stream stream;

    (void)u;
    stream_save_source(&stream);
    stream_plug_others(rig);
    target.listeners[2]->keep_code = -EPERM;
    shot = rig_shot(rig);
    assert_int_equal(stream_load(rig, &stream, &err), -EPERM);
    rig_assert_error(&err, -EPERM, VMEM_REASON_LISTENER_VETO, "dev", "window");
    rig_assert_same(rig, &shot);
    assert_int_equal(rig_nr_events(rig, RIG_POPULATE), 0);
    assert_int_equal(rig_nr_events(rig, RIG_DISCARD), 0);
    assert_int_equal(rig_nr_events(rig, RIG_MEM_POPULATE), 0);
    /* Its window begins behind block 0, and what stays is no question. */
    stream_set_blocks(&stream, 2, 1, true);
    stream_set_blocks(&stream, 70, 12, true);
    assert_int_equal(stream_load(rig, &stream, NULL), 0);
    target.listeners[2]->keep_code = 0;
    rig_free(rig);
}

static void a_load_without_memory_is_undone_at_each_run(void **u)
{
    (void)u;
    for (uint64_t n = 1; n <= 3; n++) {
        struct stream_target target = stream_target_new();
        struct rig *rig = target.rig;
        struct vmem_error err = VMEM_ERROR_INIT;
        struct rig_shot shot;
        struct stream stream;
        uint64_t nr_discards;

        stream_save_source(&stream);
        stream_plug_others(rig);
        rig->memory.populate.fail_at = rig->memory.populate.nr_calls + n;
        nr_discards = rig->memory.discard.nr_calls;
        shot = rig_shot(rig);
        assert_int_equal(stream_load(rig, &stream, &err), -EIO);
        rig_assert_error(&err, -EIO, VMEM_REASON_POPULATE_FAILED, "dev");
        assert_int_equal(rig_nr_events(rig, RIG_POPULATE), 0);
        assert_refused(rig, &shot, nr_discards);
        /* Whoever gives up gives it back. */
        assert_int_equal(vmem_region_retry_discards(rig->region, NULL), 0);
        assert_int_equal(rig_info(rig).retained_size, 0);
        assert_true(rig->memory.discard.nr_calls == nr_discards + 3);
        assert_int_equal(stream_load(rig, &stream, NULL), 0);
        stream_assert(rig, &stream);
        rig_free(rig);
    }
}

/* 2+1 and 70+12 go; then each discard of these fails in turn. */
static void a_load_whose_discards_fail_retains_and_succeeds(void **u)
{
    static const uint64_t sizes[] = { 1, 12 };

    (void)u;
    for (uint64_t n = 0; n < 2; n++) {
        struct stream_target target = stream_target_new();
        struct rig *rig = target.rig;
        struct stream stream;

        stream_save_source(&stream);
        stream_plug_others(rig);
        rig->memory.discard.fail_at = rig->memory.discard.nr_calls + 1 + n;
        assert_int_equal(stream_load(rig, &stream, NULL), 0);
        stream_assert(rig, &stream);
        rig_check(rig);
        assert_true(rig_info(rig).retained_size == sizes[n] * RIG_BLOCK);
        assert_int_equal(rig_nr_logs(rig, VMEM_LOG_CODE_RETAINED), 1);
        assert_int_equal(vmem_region_retry_discards(rig->region, NULL), 0);
        assert_int_equal(rig_info(rig).retained_size, 0);
        rig_free(rig);
    }
}

/* A retained block that is loaded is used as it is; one that the guest plugs is
 * not. */
static void a_retained_block_is_loaded_as_it_is(void **u)
{
    struct stream_target target = stream_target_new();
    struct rig *rig = target.rig;
    struct stream stream;
    uint64_t nr_discards;

    (void)u;
    stream_save_source(&stream);
    assert_int_equal(rig_plug(rig, 3, 4), ACK);
    rig->memory.discard.error = -EIO;
    assert_int_equal(rig_unplug(rig, 3, 4), ACK);
    nr_discards = rig->memory.discard.nr_calls;
    assert_int_equal(stream_load(rig, &stream, NULL), 0);
    assert_int_equal(rig->memory.discard.nr_calls, nr_discards);
    assert_int_equal(rig->memory.zero.nr_calls, 0);
    assert_int_equal(rig_info(rig).retained_size, 0);
    assert_int_equal(rig_unplug(rig, 3, 4), ACK);
    assert_int_equal(rig_plug(rig, 3, 1), ACK);
    assert_true(rig->memory.zero.bytes == RIG_BLOCK);
    rig->memory.discard.error = 0;
    rig_free(rig);
}

static void a_load_without_room_for_its_bitmaps_changes_nothing(void **u)
{
    struct stream_target target = stream_target_new();
    struct rig *rig = target.rig;
    struct stream stream;
    struct rig_shot shot;
    int ret = -ENOMEM;
    int n;

    (void)u;
    stream_save_source(&stream);
    stream_plug_others(rig);
    for (n = 0; ret == -ENOMEM; n++) {
        struct vmem_error err = VMEM_ERROR_INIT;

        shot = rig_shot(rig);
        allocations_limit((uint64_t)n);
        ret = stream_load(rig, &stream, &err);
        allocations_end();
        if (ret == -ENOMEM) {
            rig_assert_error(&err, -ENOMEM, VMEM_REASON_NO_MEMORY, "blocks");
            rig_assert_events(rig, "");
            rig_assert_same(rig, &shot);
        } else {
            g_free(shot.plugged);
            g_free(shot.views);
        }
    }
    assert_int_equal(ret, 0);
    assert_int_equal(n, 3); /* the blocks, and what is retained */
    stream_assert(rig, &stream);
    rig_free(rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_load_is_undone_whichever_listener_call_refuses),
        cmocka_unit_test(a_load_is_refused_by_who_keeps_what_goes),
        cmocka_unit_test(a_load_without_memory_is_undone_at_each_run),
        cmocka_unit_test(a_load_whose_discards_fail_retains_and_succeeds),
        cmocka_unit_test(a_retained_block_is_loaded_as_it_is),
        cmocka_unit_test(a_load_without_room_for_its_bitmaps_changes_nothing),
    };

    return cmocka_run_group_tests_name("device_load_undone", tests, NULL, NULL);
}
