/* SPDX-License-Identifier: BSD-3-Clause */
/* A device is saved, and another one becomes the same: beside other sources, and as
 * its guest and its host are told. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "support/stream.h"

#define ACK VMEM_RESPONSE_ACK
#define NACK VMEM_RESPONSE_NACK
#define ERROR VMEM_RESPONSE_ERROR

/* ---- what is saved is what is loaded ---- */

static void what_is_loaded_is_what_was_saved(void **u)
{
    struct rig *from = stream_source();
    struct rig *to = rig_new(&(struct rig_options){
        .has_memory = true, .config = { .features = STREAM_FEATURES } });
    struct vmem_error err = VMEM_ERROR_INIT;
    struct stream stream;
    struct vmem_device_info info;

    (void)u;
    stream_save(from, &stream);
    assert_true(stream.saved.gpa == RIG_GPA);
    assert_true(stream.saved.region_size == RIG_REGION);
    assert_true(stream.saved.block_size == RIG_BLOCK);
    assert_int_equal(stream.saved.node_id, 0);
    assert_true(stream.saved.requested_size == 64 * RIG_MIB);
    assert_true(stream.saved.usable_region_size == RIG_USABLE);
    assert_true(stream.saved.plugged_size == 15 * RIG_BLOCK);
    assert_true(stream.saved.driver_features ==
                VMEM_DEVICE_F_PERSISTENT_SUSPEND);
    assert_int_equal(stream.saved.has_driver, 1);
    assert_true(stream.blocks[0] == (UINT64_C(0xf) << 60 | 0x79));
    assert_true(stream.blocks[1] == 0x3f);
    for (size_t i = 2; i < STREAM_WORDS; i++) {
        assert_true(stream.blocks[i] == 0);
    }
    assert_int_equal(stream_load(to, &stream, &err), 0);
    stream_assert(to, &stream);
    rig_assert_plugged(to, "0+1 3+4 60+10");
    info = rig_info(to);
    assert_true(info.driver_features == VMEM_DEVICE_F_PERSISTENT_SUSPEND);
    assert_int_equal(info.has_driver, 1);
    /* The guest goes on as if nothing had happened. */
    assert_int_equal(rig_plug(to, 0, 1), ERROR);
    assert_int_equal(rig_plug(to, 7, 20), NACK);
    assert_int_equal(rig_plug(to, 1, 1), ACK);
    assert_int_equal(rig_unplug(to, 60, 10), ACK);
    assert_int_equal(rig_state(to, 3, 4), VMEM_STATE_PLUGGED);
    rig_free(from);
    rig_free(to);
}

static void a_device_in_use_becomes_the_same_too(void **u)
{
    struct stream_target target = stream_target_new();
    struct rig *rig = target.rig;
    struct stream stream;

    (void)u;
    stream_save_source(&stream);
    stream_plug_others(rig);
    assert_int_equal(stream_load(rig, &stream, NULL), 0);
    stream_assert(rig, &stream);
    rig_check(rig);
    /* What comes is told before what goes, and memory goes last; what stays is
     * not mentioned. */
    rig_assert_events(
        rig, "populate memory 0+1; populate memory 4+3; "
             "populate memory 60+2; populate whole 0+1; populate whole 4+3; "
             "populate whole 60+2; populate chunks 0+1; populate chunks 4+1; "
             "populate chunks 5+1; populate chunks 6+1; populate chunks 60+1; "
             "populate chunks 61+1; populate window 4+3; populate window 60+2; "
             "discard window 2+1; discard chunks 2+1; discard chunks 70+1; "
             "discard chunks 71+1; discard chunks 72+1; discard chunks 73+1; "
             "discard chunks 74+1; discard chunks 75+1; discard chunks 76+1; "
             "discard chunks 77+1; discard chunks 78+1; discard chunks 79+1; "
             "discard chunks 80+1; discard chunks 81+1; discard whole 2+1; "
             "discard whole 70+12; discard memory 2+1; discard memory 70+12; "
             "config device; size device");
    rig_free(rig);
}

static void loading_again_changes_only_what_differs(void **u)
{
    struct stream_target target = stream_target_new();
    struct rig *rig = target.rig;
    struct stream stream;

    (void)u;
    stream_save_source(&stream);
    assert_int_equal(stream_load(rig, &stream, NULL), 0);
    rig_clear_events(rig);
    /* Only sizes, as a stream that has the blocks first and those last. */
    stream.saved.requested_size = 128 * RIG_MIB;
    stream.saved.usable_region_size = 256 * RIG_MIB;
    assert_int_equal(stream_load(rig, &stream, NULL), 0);
    rig_assert_events(rig, "config device");
    stream_assert(rig, &stream);
    rig_free(rig);
}

/* No block for each block: runs. */
static void a_load_costs_by_runs(void **u)
{
    static uint64_t blocks[65536];
    struct rig *rig = rig_new(&(struct rig_options){
        .populates = true,
        .region_size = 8192 * RIG_GIB,
        .config = { .requested_size = 8192 * RIG_GIB,
                    .usable_policy = VMEM_USABLE_ALL } });
    struct rig_listener *listener = rig_listen(rig, "l");
    struct vmem_device_saved saved = { .struct_size = sizeof(saved) };
    const uint64_t nr_words = 8192 * RIG_GIB / RIG_BLOCK / 64;
    uint64_t nr_discards;

    (void)u;
    assert_int_equal(nr_words, 65536);
    assert_int_equal(vmem_device_save(rig->device, &saved, blocks, nr_words),
                     0);
    memset(blocks, 0xff, sizeof(blocks));
    saved.plugged_size = saved.region_size;
    nr_discards = rig->memory.discard.nr_calls;
    assert_int_equal(
        vmem_device_load(rig->device, &saved, blocks, nr_words, NULL), 0);
    assert_int_equal(listener->nr_populates, 1);
    assert_int_equal(rig->memory.populate.nr_calls, 1);
    assert_int_equal(rig->memory.discard.nr_calls, nr_discards);
    /* A hole of one block in the middle, and then only that block. */
    blocks[30000] &= ~UINT64_C(1);
    saved.plugged_size -= RIG_BLOCK;
    assert_int_equal(
        vmem_device_load(rig->device, &saved, blocks, nr_words, NULL), 0);
    assert_int_equal(listener->nr_populates, 1);
    assert_int_equal(listener->nr_discards, 1);
    assert_int_equal(rig->memory.discard.nr_calls, nr_discards + 1);
    memset(blocks, 0, sizeof(blocks));
    blocks[30000] = 1;
    saved.plugged_size = RIG_BLOCK;
    assert_int_equal(
        vmem_device_load(rig->device, &saved, blocks, nr_words, NULL), 0);
    assert_int_equal(listener->nr_populates, 2);
    assert_int_equal(listener->nr_discards, 3);
    assert_int_equal(rig->memory.populate.nr_calls, 2);
    assert_int_equal(rig->memory.discard.nr_calls, nr_discards + 3);
    printf("FIGURE: load: a region of 8 TiB, full: 1 call of each listener and "
           "of the memory\n");
    rig_free(rig);
}

static void a_region_of_no_size_is_saved_and_loaded(void **u)
{
    struct rig *rig = rig_new(&(struct rig_options){ .empty_region = true });
    struct vmem_device_saved saved = { .struct_size = sizeof(saved) };

    (void)u;
    assert_int_equal(vmem_device_save(rig->device, &saved, NULL, 0), 0);
    assert_int_equal(vmem_device_load(rig->device, &saved, NULL, 0, NULL), 0);
    rig_free(rig);
}

/* ---- beside other sources ---- */

static void listeners_hear_of_what_all_sources_have(void **u)
{
    struct stream_target target = stream_target_new();
    struct rig *rig = target.rig;
    const struct vmem_source_config config = { .struct_size = sizeof(config),
                                               .name = "private",
                                               .block_size = RIG_BLOCK,
                                               .flags = VMEM_SOURCE_POPULATED };
    const struct vmem_range hidden = { 4 * RIG_BLOCK, 58 * RIG_BLOCK };
    struct vmem_source *source;
    struct stream stream;

    (void)u;
    stream_save_source(&stream);
    assert_int_equal(vmem_source_add(rig->region, &config, &source, NULL), 0);
    assert_int_equal(vmem_source_discard(source, &hidden, NULL), 0);
    rig_clear_events(rig);
    assert_int_equal(stream_load(rig, &stream, NULL), 0);
    stream_assert(rig, &stream);
    /* Memory follows what discards, which the other source does not. */
    rig_assert_view(target.listeners[0], "0+1 3+1 62+8");
    rig_assert_view(target.listeners[2], "3+1 62+3");
    assert_true(rig->memory.populate.bytes == 15 * RIG_BLOCK);
    assert_int_equal(target.listeners[0]->nr_populates, 3);
    assert_int_equal(vmem_source_remove(source, NULL), 0);
    rig_free(rig);
}

/* The other one finds it clean or retained when it comes to want it. */
static void what_another_source_does_not_want_is_handed_over(void **u)
{
    struct stream_target target = stream_target_new();
    struct rig *rig = target.rig;
    const struct vmem_source_config config = { .struct_size = sizeof(config),
                                               .name = "balloon",
                                               .block_size = RIG_BLOCK,
                                               .flags = VMEM_SOURCE_POPULATED |
                                                        VMEM_SOURCE_DISCARDS };
    const struct vmem_range ballooned = { 3 * RIG_BLOCK, 2 * RIG_BLOCK };
    struct vmem_source_info info = { .struct_size = sizeof(info) };
    struct vmem_source *source;
    struct stream stream;

    (void)u;
    stream_save_source(&stream);
    assert_int_equal(vmem_source_add(rig->region, &config, &source, NULL), 0);
    assert_int_equal(rig_plug(rig, 2, 5), ACK);
    assert_int_equal(vmem_source_discard(source, &ballooned, NULL), 0);
    rig->memory.discard.error = -EIO;
    assert_int_equal(rig_unplug(rig, 2, 5), ACK);
    assert_int_equal(stream_load(rig, &stream, NULL), 0);
    stream_assert(rig, &stream);
    assert_int_equal(vmem_source_get_info(source, &info), 0);
    assert_true(info.retained_size == 2 * RIG_BLOCK);
    assert_int_equal(vmem_source_populate(source, &ballooned, NULL), 0);
    assert_true(rig->memory.zero.bytes == 2 * RIG_BLOCK);
    rig->memory.discard.error = 0;
    assert_int_equal(vmem_source_remove(source, NULL), 0);
    rig_free(rig);
}

/* ---- what is told and counted ---- */

static void a_load_notifies_once_and_is_no_request(void **u)
{
    struct rig *rig = rig_new(&(struct rig_options){
        .has_memory = true, .config = { .features = STREAM_FEATURES } });
    struct vmem_device_stats stats;
    uint32_t generation;
    struct stream stream;

    (void)u;
    stream_save_source(&stream);
    assert_int_equal(rig_plug(rig, 2, 2), ACK);
    rig->nr_config_changed = 0;
    rig->nr_size_changed = 0;
    generation = vmem_device_get_config_generation(rig->device);
    assert_int_equal(stream_load(rig, &stream, NULL), 0);
    assert_int_equal(rig->nr_config_changed, 1);
    assert_int_equal(rig->nr_size_changed, 1);
    assert_true(rig->told_size == 15 * RIG_BLOCK);
    assert_true(vmem_device_get_config_generation(rig->device) != generation);
    stats = rig_stats(rig);
    assert_int_equal(stats.nr_loads, 1);
    assert_int_equal(stats.nr_requests[VMEM_REQUEST_PLUG][ACK], 1);
    assert_int_equal(stats.nr_requests[VMEM_REQUEST_UNPLUG][ACK], 0);
    assert_int_equal(stats.nr_resizes, 0);
    assert_true(stats.plugged_bytes == 16 * RIG_BLOCK);
    assert_true(stats.unplugged_bytes == 1 * RIG_BLOCK);
    /* As many blocks, but others. */
    stream_set_blocks(&stream, 0, 1, false);
    stream_set_blocks(&stream, 1, 1, true);
    assert_int_equal(stream_load(rig, &stream, NULL), 0);
    assert_int_equal(rig->nr_config_changed, 2);
    assert_int_equal(rig->nr_size_changed, 1);
    rig_free(rig);
}

static void assert_resize(struct rig *rig, uint32_t state, uint32_t reason)
{
    struct vmem_resize_status status = rig_status(rig);

    assert_int_equal(status.state, state);
    assert_int_equal(status.reason, reason);
}

static void a_resize_goes_on_after_a_load(void **u)
{
    struct stream_target target = stream_target_new();
    struct rig *rig = target.rig;
    struct stream stream;

    (void)u;
    stream_save_source(&stream);
    /* Whatever was before: a guest that got BUSY, long ago. */
    target.listeners[0]->fail_always = true;
    assert_int_equal(rig_plug(rig, 0, 1), VMEM_RESPONSE_BUSY);
    target.listeners[0]->fail_always = false;
    assert_resize(rig, VMEM_RESIZE_STALLED, VMEM_STALL_HOST_BUSY);
    rig->now_ns += 100 * VMEM_DEVICE_STALL_AFTER_NS;
    assert_int_equal(stream_load(rig, &stream, NULL), 0);
    assert_resize(rig, VMEM_RESIZE_GROWING, VMEM_STALL_NONE);
    assert_true(rig_status(rig).requested_ns == rig->now_ns);
    rig->now_ns += VMEM_DEVICE_STALL_AFTER_NS - 1;
    assert_resize(rig, VMEM_RESIZE_GROWING, VMEM_STALL_NONE);
    rig->now_ns += 1;
    assert_resize(rig, VMEM_RESIZE_STALLED, VMEM_STALL_GUEST_SILENT);

    stream.saved.requested_size = 2 * RIG_BLOCK;
    assert_int_equal(stream_load(rig, &stream, NULL), 0);
    assert_resize(rig, VMEM_RESIZE_SHRINKING, VMEM_STALL_NONE);
    stream.saved.requested_size = 15 * RIG_BLOCK;
    assert_int_equal(stream_load(rig, &stream, NULL), 0);
    assert_resize(rig, VMEM_RESIZE_IDLE, VMEM_STALL_NONE);
    stream.saved.requested_size = 16 * RIG_BLOCK;
    stream.saved.has_driver = 0;
    stream.saved.driver_features = 0;
    assert_int_equal(stream_load(rig, &stream, NULL), 0);
    assert_resize(rig, VMEM_RESIZE_STALLED, VMEM_STALL_NO_DRIVER);
    /* Negotiated later, by the virtio part of a stream. */
    rig->now_ns += 100 * VMEM_DEVICE_STALL_AFTER_NS;
    assert_int_equal(
        vmem_device_set_driver_features(rig->device, STREAM_FEATURES), 0);
    assert_resize(rig, VMEM_RESIZE_GROWING, VMEM_STALL_NONE);
    rig_free(rig);
}

/* The usable size is the guest's, not the policy's; it may be smaller than it
 * was. */
static void the_usable_size_is_what_was_saved(void **u)
{
    struct rig *rig = rig_new_default();
    struct stream stream;

    (void)u;
    stream_save(rig, &stream);
    stream.saved.usable_region_size = 130 * RIG_BLOCK;
    assert_int_equal(stream_load(rig, &stream, NULL), 0);
    assert_true(rig_config(rig).usable_region_size == 130 * RIG_BLOCK);
    assert_int_equal(rig_plug(rig, 130, 1), ERROR);
    assert_int_equal(rig_plug(rig, 129, 1), ACK);
    rig_resize(rig, RIG_REQUESTED);
    assert_true(rig_config(rig).usable_region_size == RIG_USABLE);
    /* All of the region, with everything plugged. */
    stream_save(rig, &stream);
    stream.saved.usable_region_size = RIG_REGION;
    stream_set_blocks(&stream, 0, STREAM_BLOCKS, true);
    assert_int_equal(stream_load(rig, &stream, NULL), 0);
    stream_assert(rig, &stream);
    assert_int_equal(rig_unplug_all(rig), ACK);
    assert_true(rig_config(rig).usable_region_size == RIG_USABLE);
    rig_free(rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_loaded_is_what_was_saved),
        cmocka_unit_test(a_device_in_use_becomes_the_same_too),
        cmocka_unit_test(loading_again_changes_only_what_differs),
        cmocka_unit_test(a_load_costs_by_runs),
        cmocka_unit_test(a_region_of_no_size_is_saved_and_loaded),
        cmocka_unit_test(listeners_hear_of_what_all_sources_have),
        cmocka_unit_test(what_another_source_does_not_want_is_handed_over),
        cmocka_unit_test(a_load_notifies_once_and_is_no_request),
        cmocka_unit_test(a_resize_goes_on_after_a_load),
        cmocka_unit_test(the_usable_size_is_what_was_saved),
    };

    return cmocka_run_group_tests_name("device_load", tests, NULL, NULL);
}
