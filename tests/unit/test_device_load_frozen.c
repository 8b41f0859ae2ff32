/* SPDX-License-Identifier: BSD-3-Clause */
/* When a device may be loaded: not while somebody holds its region still, and not
 * from what is told of a change. */
#include <errno.h>
#include <string.h>

#include "support/stream.h"

#define ACK VMEM_RESPONSE_ACK
#define BUSY VMEM_RESPONSE_BUSY

static void while_frozen_nothing_is_loaded(void **u)
{
    struct stream_target target = stream_target_new();
    struct rig *rig = target.rig;
    struct vmem_error err = VMEM_ERROR_INIT;
    struct rig_shot shot;
    struct stream stream;

    (void)u;
    stream_save_source(&stream);
    stream_plug_others(rig);
    rig_freeze(rig, "migration");
    shot = rig_shot(rig);
    assert_int_equal(stream_load(rig, &stream, &err), -EBUSY);
    rig_assert_error(&err, -EBUSY, VMEM_REASON_FROZEN, "migration");
    rig_assert_same(rig, &shot);
    rig_thaw(rig, "migration");
    assert_int_equal(stream_load(rig, &stream, NULL), 0);
    /* Saving is what freezing is for. */
    rig_freeze(rig, "migration");
    stream_assert(rig, &stream);
    rig_thaw(rig, "migration");
    rig_free(rig);
}

/* A device that sleeps while it is restored: who froze it thaws it for the load. */
static int restore_asleep(struct rig *rig, const struct stream *stream,
                          struct vmem_error *err)
{
    int ret;

    rig_thaw(rig, "sleep");
    ret = stream_load(rig, stream, err);
    rig_freeze(rig, "sleep");
    return ret;
}

static void a_device_that_sleeps_is_restored_and_wakes_up(void **u)
{
    struct stream_target target = stream_target_new();
    struct rig *rig = target.rig;
    struct vmem_error err = VMEM_ERROR_INIT;
    struct stream stream;

    (void)u;
    stream_save_source(&stream);
    stream_plug_others(rig);
    rig_freeze(rig, "sleep");
    assert_int_equal(stream_load(rig, &stream, &err), -EBUSY);
    rig_assert_error(&err, -EBUSY, VMEM_REASON_FROZEN, "sleep");
    assert_int_equal(restore_asleep(rig, &stream, &err), 0);

    /* Asleep as before, with another state. */
    assert_true(vmem_region_is_frozen(rig->region));
    stream_assert(rig, &stream);
    rig_check(rig);
    assert_int_equal(rig_plug(rig, 1, 1), BUSY);
    assert_int_equal(rig_unplug(rig, 0, 1), BUSY);
    assert_int_equal(rig_state(rig, 0, 1), VMEM_STATE_PLUGGED);

    rig->nr_config_changed = 0;
    rig_thaw(rig, "sleep");
    assert_int_equal(rig->nr_config_changed, 1);
    assert_int_equal(rig_plug(rig, 1, 1), ACK);
    assert_int_equal(rig_unplug(rig, 60, 10), ACK);
    rig_assert_plugged(rig, "0+2 3+4");
    rig_check(rig);
    rig_free(rig);
}

static void a_restore_that_fails_leaves_a_sleeper_as_it_was(void **u)
{
    struct stream_target target = stream_target_new();
    struct rig *rig = target.rig;
    struct vmem_error err = VMEM_ERROR_INIT;
    struct stream before;
    struct stream stream;

    (void)u;
    stream_save_source(&stream);
    stream_plug_others(rig);
    stream_save(rig, &before);
    rig_freeze(rig, "sleep");
    rig_freeze(rig, "migration");
    /* Held still by somebody else as well. */
    assert_int_equal(restore_asleep(rig, &stream, &err), -EBUSY);
    rig_assert_error(&err, -EBUSY, VMEM_REASON_FROZEN, "migration");
    assert_null(strstr(err.message, "sleep"));
    stream_assert(rig, &before);
    rig_thaw(rig, "migration");
    assert_true(vmem_region_is_frozen(rig->region));

    target.listeners[1]->fail_always = true;
    assert_int_equal(restore_asleep(rig, &stream, &err), -ENOSPC);
    rig_assert_error(&err, -ENOSPC, VMEM_REASON_LISTENER_VETO, "chunks");
    stream_assert(rig, &before);
    target.listeners[1]->fail_always = false;
    rig_thaw(rig, "sleep");
    assert_int_equal(rig_plug(rig, 0, 1), ACK);
    rig_assert_plugged(rig, "0+1 2+2 62+20");
    rig_free(rig);
}

static struct vmem_device_saved inside_saved;
static int inside_load_returned;

static void load_inside(struct rig *rig)
{
    uint64_t blocks[STREAM_WORDS] = { 0 };

    inside_load_returned = vmem_device_load(rig->device, &inside_saved, blocks,
                                            STREAM_WORDS, NULL);
}

static void a_listener_cannot_load_and_a_notification_can(void **u)
{
    struct rig *rig = rig_new_default();
    struct stream empty;

    (void)u;
    rig_listen(rig, "l");
    stream_save(rig, &empty);
    inside_saved = empty.saved;
    rig->on_populate = load_inside;
    assert_int_equal(rig_plug(rig, 0, 1), ACK);
    assert_int_equal(inside_load_returned, -EDEADLK);
    rig_assert_plugged(rig, "0+1");
    rig->on_populate = NULL;
    rig->on_resize_changed = load_inside;
    assert_int_equal(rig_plug(rig, 1, 127), ACK);
    assert_int_equal(inside_load_returned, 0);
    rig_assert_plugged(rig, "");
    rig->on_resize_changed = NULL;
    rig_free(rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(while_frozen_nothing_is_loaded),
        cmocka_unit_test(a_device_that_sleeps_is_restored_and_wakes_up),
        cmocka_unit_test(a_restore_that_fails_leaves_a_sleeper_as_it_was),
        cmocka_unit_test(a_listener_cannot_load_and_a_notification_can),
    };

    return cmocka_run_group_tests_name("device_load_frozen", tests, NULL, NULL);
}
