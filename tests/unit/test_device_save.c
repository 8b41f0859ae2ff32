/* SPDX-License-Identifier: BSD-3-Clause */
/* What a device is, out of it: from the host and from callbacks. */
#include <errno.h>
#include <string.h>

#include "support/stream.h"

#define ACK VMEM_RESPONSE_ACK

static void saving_wants_room_for_all_blocks_and_no_more(void **u)
{
    struct rig *rig = stream_source();
    struct vmem_device_saved saved = { .struct_size = sizeof(saved) };
    uint64_t blocks[STREAM_WORDS + 1] = { 0 };

    (void)u;
    assert_int_equal(vmem_device_save(NULL, &saved, blocks, STREAM_WORDS),
                     -EINVAL);
    assert_int_equal(vmem_device_save(rig->device, NULL, blocks, STREAM_WORDS),
                     -EINVAL);
    assert_int_equal(vmem_device_save(rig->device, &saved, NULL, STREAM_WORDS),
                     -EINVAL);
    assert_int_equal(vmem_device_save(rig->device, &saved, NULL, 0), -EINVAL);
    assert_int_equal(
        vmem_device_save(rig->device, &saved, blocks, STREAM_WORDS - 1),
        -EINVAL);
    assert_int_equal(
        vmem_device_save(rig->device, &saved, blocks, STREAM_WORDS + 1),
        -EINVAL);
    saved.struct_size--;
    assert_int_equal(
        vmem_device_save(rig->device, &saved, blocks, STREAM_WORDS), -EINVAL);
    for (size_t i = 0; i <= STREAM_WORDS; i++) {
        assert_true(blocks[i] == 0);
    }
    assert_true(saved.region_size == 0);
    rig_free(rig);
}

static struct stream seen;
static int save_returned;

static void save_inside(struct rig *rig)
{
    seen.saved.struct_size = sizeof(seen.saved);
    save_returned =
        vmem_device_save(rig->device, &seen.saved, seen.blocks, STREAM_WORDS);
}

/* Also of another machine, whose locks are nothing to this one. */
static int save_other(const struct vmem_range *range, void *opaque)
{
    (void)range;
    save_inside(opaque);
    return 0;
}

static void a_callback_saves_what_was_before_the_change(void **u)
{
    struct rig *rig = stream_source();
    struct rig *other = rig_new_default();
    struct stream before;

    (void)u;
    rig_listen(rig, "l");
    stream_save(rig, &before);
    rig->on_populate = save_inside;
    assert_int_equal(rig_plug(rig, 20, 1), ACK);
    assert_int_equal(save_returned, 0);
    assert_memory_equal(&seen, &before, sizeof(seen));
    rig->on_populate = NULL;
    rig->on_size_changed = save_inside;
    assert_int_equal(rig_plug(rig, 21, 1), ACK);
    assert_int_equal(save_returned, 0);
    assert_true(seen.saved.plugged_size == 17 * RIG_BLOCK);
    rig->on_size_changed = NULL;
    /* Waiting for the region could be a deadlock. */
    assert_int_equal(
        vmem_region_for_each_discarded(other->region, NULL, save_other, rig),
        0);
    assert_int_equal(save_returned, 0); /* of another machine */
    rig_free(other);
    rig_free(rig);
}

static void a_callback_of_another_region_cannot_save(void **u)
{
    struct rig *rig = stream_source();
    const struct vmem_region_config config = { .struct_size = sizeof(config),
                                               .name = "other",
                                               .size = RIG_BLOCK };
    struct vmem_region *other;

    (void)u;
    assert_int_equal(vmem_region_new(rig->vm, &config, &other, NULL), 0);
    assert_int_equal(
        vmem_region_for_each_populated(other, NULL, save_other, rig), 0);
    assert_int_equal(save_returned, -EDEADLK);
    assert_int_equal(vmem_region_free(other, NULL), 0);
    rig_free(rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(saving_wants_room_for_all_blocks_and_no_more),
        cmocka_unit_test(a_callback_saves_what_was_before_the_change),
        cmocka_unit_test(a_callback_of_another_region_cannot_save),
    };

    return cmocka_run_group_tests_name("device_save", tests, NULL, NULL);
}
