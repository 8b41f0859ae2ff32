/* SPDX-License-Identifier: BSD-3-Clause */
/* A device is saved, and another one becomes the same: as a whole or not at all,
 * whatever is in what is loaded. */
#include <errno.h>
#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "support/allocations.h"
#include "support/device_rig.h"

#define ACK VMEM_RESPONSE_ACK
#define NACK VMEM_RESPONSE_NACK
#define BUSY VMEM_RESPONSE_BUSY
#define ERROR VMEM_RESPONSE_ERROR
#define NR_BLOCKS (RIG_REGION / RIG_BLOCK)
#define NR_WORDS (NR_BLOCKS / 64)
#define FEATURES                                                               \
    (VMEM_DEVICE_F_UNPLUGGED_INACCESSIBLE | VMEM_DEVICE_F_PERSISTENT_SUSPEND)

struct stream {
    struct vmem_device_saved saved;
    uint64_t blocks[NR_WORDS];
};

static void save(struct rig *rig, struct stream *stream)
{
    memset(stream, 0xee, sizeof(*stream));
    stream->saved.struct_size = sizeof(stream->saved);
    assert_int_equal(
        vmem_device_save(rig->device, &stream->saved, stream->blocks, NR_WORDS),
        0);
}

static int load(struct rig *rig, const struct stream *stream,
                struct vmem_error *err)
{
    return vmem_device_load(rig->device, &stream->saved, stream->blocks,
                            NR_WORDS, err);
}

static void assert_stream(struct rig *rig, const struct stream *stream)
{
    struct stream now;

    save(rig, &now);
    assert_memory_equal(&now, stream, sizeof(now));
}

/* Blocks of a stream that was saved, and the size that goes with them. */
static void set_blocks(struct stream *stream, uint64_t first, uint64_t nr,
                       bool plugged)
{
    stream->saved.plugged_size = 0;
    for (uint64_t i = 0; i < NR_BLOCKS; i++) {
        const uint64_t bit = UINT64_C(1) << (i % 64);

        if (i >= first && i < first + nr) {
            stream->blocks[i / 64] &= ~bit;
            stream->blocks[i / 64] |= plugged ? bit : 0;
        }
        stream->saved.plugged_size +=
            (stream->blocks[i / 64] & bit) != 0 ? RIG_BLOCK : 0;
    }
}

/* A device that offers features, with fragments plugged: 0+1 3+4 60+10. */
static struct rig *source_rig(void)
{
    struct rig *rig = rig_new(&(struct rig_options){
        .has_memory = true, .config = { .features = FEATURES } });

    assert_int_equal(vmem_device_set_driver_features(
                         rig->device, VMEM_DEVICE_F_PERSISTENT_SUSPEND),
                     0);
    assert_int_equal(rig_plug(rig, 0, 1), ACK);
    assert_int_equal(rig_plug(rig, 3, 4), ACK);
    assert_int_equal(rig_plug(rig, 60, 10), ACK);
    rig_resize(rig, 64 * RIG_MIB);
    return rig;
}

static void save_source(struct stream *stream)
{
    struct rig *rig = source_rig();

    save(rig, stream);
    rig_free(rig);
}

/* Three listeners of different kinds, on memory that is populated. */
struct target {
    struct rig *rig;
    struct rig_listener *listeners[3];
};

static struct target target_new(void)
{
    struct target target = { .rig = rig_new(&(struct rig_options){
                                 .populates = true,
                                 .config = { .features = FEATURES } }) };
    const struct vmem_range some = { 2 * RIG_BLOCK, 63 * RIG_BLOCK };

    target.listeners[0] = rig_listen(target.rig, "whole");
    target.listeners[1] =
        rig_listen_to(target.rig, "chunks", (struct vmem_range){ 0, 0 },
                      RIG_BLOCK, VMEM_LISTENER_EXACT_DISCARD);
    target.listeners[2] = rig_listen_to(target.rig, "window", some, 0, 0);
    return target;
}

/* 2+2 and 62+20 are plugged: some of it stays, some goes, some comes. */
static void plug_others(struct rig *rig)
{
    assert_int_equal(rig_plug(rig, 2, 2), ACK);
    assert_int_equal(rig_plug(rig, 62, 20), ACK);
    rig_clear_events(rig);
}

/* ---- what is saved is what is loaded ---- */

static void what_is_loaded_is_what_was_saved(void **u)
{
    struct rig *from = source_rig();
    struct rig *to = rig_new(&(struct rig_options){
        .has_memory = true, .config = { .features = FEATURES } });
    struct vmem_error err = VMEM_ERROR_INIT;
    struct stream stream;
    struct vmem_device_info info;

    (void)u;
    save(from, &stream);
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
    for (size_t i = 2; i < NR_WORDS; i++) {
        assert_true(stream.blocks[i] == 0);
    }
    assert_int_equal(load(to, &stream, &err), 0);
    assert_stream(to, &stream);
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
    struct target target = target_new();
    struct rig *rig = target.rig;
    struct stream stream;

    (void)u;
    save_source(&stream);
    plug_others(rig);
    assert_int_equal(load(rig, &stream, NULL), 0);
    assert_stream(rig, &stream);
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
    struct target target = target_new();
    struct rig *rig = target.rig;
    struct stream stream;

    (void)u;
    save_source(&stream);
    assert_int_equal(load(rig, &stream, NULL), 0);
    rig_clear_events(rig);
    /* Only sizes, as a stream that has the blocks first and those last. */
    stream.saved.requested_size = 128 * RIG_MIB;
    stream.saved.usable_region_size = 256 * RIG_MIB;
    assert_int_equal(load(rig, &stream, NULL), 0);
    rig_assert_events(rig, "config device");
    assert_stream(rig, &stream);
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

/* ---- saving ---- */

static void saving_wants_room_for_all_blocks_and_no_more(void **u)
{
    struct rig *rig = source_rig();
    struct vmem_device_saved saved = { .struct_size = sizeof(saved) };
    uint64_t blocks[NR_WORDS + 1] = { 0 };

    (void)u;
    assert_int_equal(vmem_device_save(NULL, &saved, blocks, NR_WORDS), -EINVAL);
    assert_int_equal(vmem_device_save(rig->device, NULL, blocks, NR_WORDS),
                     -EINVAL);
    assert_int_equal(vmem_device_save(rig->device, &saved, NULL, NR_WORDS),
                     -EINVAL);
    assert_int_equal(vmem_device_save(rig->device, &saved, NULL, 0), -EINVAL);
    assert_int_equal(
        vmem_device_save(rig->device, &saved, blocks, NR_WORDS - 1), -EINVAL);
    assert_int_equal(
        vmem_device_save(rig->device, &saved, blocks, NR_WORDS + 1), -EINVAL);
    saved.struct_size--;
    assert_int_equal(vmem_device_save(rig->device, &saved, blocks, NR_WORDS),
                     -EINVAL);
    for (size_t i = 0; i <= NR_WORDS; i++) {
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
        vmem_device_save(rig->device, &seen.saved, seen.blocks, NR_WORDS);
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
    struct rig *rig = source_rig();
    struct rig *other = rig_new_default();
    struct stream before;

    (void)u;
    rig_listen(rig, "l");
    save(rig, &before);
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
    struct rig *rig = source_rig();
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

/* ---- what cannot be loaded ---- */

struct bad {
    const char *what;
    size_t member; /* offset in vmem_device_saved */
    uint64_t value;
    int code;
    uint32_t reason;
    const char *words[3];
};

#define MEMBER(name) offsetof(struct vmem_device_saved, name)
#define MISMATCH VMEM_REASON_MISMATCH

static const struct bad bads[] = {
    { "gpa",
      MEMBER(gpa),
      0x140200000,
      -EINVAL,
      MISMATCH,
      { "gpa 0x140200000 ", "0x140000000" } },
    { "region",
      MEMBER(region_size),
      0x80000000,
      -EINVAL,
      MISMATCH,
      { "region size 0x80000000 ", "0x40000000" } },
    { "block",
      MEMBER(block_size),
      0x400000,
      -EINVAL,
      MISMATCH,
      { "block size 0x400000 ", "0x200000" } },
    { "node", MEMBER(node_id), 7, -EINVAL, MISMATCH, { "node 0x7 ", "0x0" } },
    { "odd requested",
      MEMBER(requested_size),
      0x300000,
      -EINVAL,
      VMEM_REASON_ALIGNMENT,
      { "requested size 0x300000 ", "0x200000" } },
    { "large requested",
      MEMBER(requested_size),
      0x40200000,
      -ERANGE,
      VMEM_REASON_RANGE,
      { "requested size 0x40200000 ", "0x40000000" } },
    { "odd usable",
      MEMBER(usable_region_size),
      0x1ff00000,
      -EINVAL,
      VMEM_REASON_ALIGNMENT,
      { "usable size 0x1ff00000 ", "0x200000" } },
    { "small usable",
      MEMBER(usable_region_size),
      0x3e00000,
      -EINVAL,
      VMEM_REASON_RANGE,
      { "usable size 0x3e00000 ", "0x4000000" } },
    { "large usable",
      MEMBER(usable_region_size),
      UINT64_C(0) - RIG_BLOCK,
      -ERANGE,
      VMEM_REASON_RANGE,
      { "usable size 0xffffffffffe00000 ", "0x40000000" } },
    { "plugged beyond",
      MEMBER(usable_region_size),
      69 * RIG_BLOCK,
      -ERANGE,
      VMEM_REASON_RANGE,
      { "offset 0x8a00000 ", "usable size is 0x8a00000" } },
    { "less plugged",
      MEMBER(plugged_size),
      14 * RIG_BLOCK,
      -EINVAL,
      MISMATCH,
      { "plugged size 0x1c00000 ", "0x1e00000" } },
    { "odd plugged",
      MEMBER(plugged_size),
      15 * RIG_BLOCK + 1,
      -EINVAL,
      MISMATCH,
      { "plugged size 0x1e00001 ", "0x1e00000" } },
    { "features",
      MEMBER(driver_features),
      5,
      -ENOTSUP,
      MISMATCH,
      { "features 0x5 ", "0x6 are offered" } },
    { "driver",
      MEMBER(has_driver),
      2,
      -EINVAL,
      VMEM_REASON_ARGUMENT,
      { "has_driver 2 ", "0x4" } },
    { "no driver",
      MEMBER(has_driver),
      0,
      -EINVAL,
      VMEM_REASON_ARGUMENT,
      { "has_driver 0 ", "0x4" } },
};

static void what_does_not_fit_is_refused_with_both_values(void **u)
{
    struct target target = target_new();
    struct rig *rig = target.rig;
    struct stream stream;

    (void)u;
    save_source(&stream);
    plug_others(rig);
    for (size_t i = 0; i < G_N_ELEMENTS(bads); i++) {
        const struct bad *bad = &bads[i];
        struct vmem_error err = VMEM_ERROR_INIT;
        struct rig_shot shot = rig_shot(rig);
        struct stream wrong = stream;

        memcpy((char *)&wrong.saved + bad->member, &bad->value,
               sizeof(bad->value));
        if (bad->member == MEMBER(usable_region_size) &&
            bad->value == 69 * RIG_BLOCK) {
            wrong.saved.requested_size = 0;
        }
        assert_int_equal(load(rig, &wrong, &err), bad->code);
        rig_assert_error(&err, bad->code, bad->reason, "dev", bad->words[0],
                         bad->words[1]);
        rig_assert_same(rig, &shot);
        rig_assert_events(rig, "");
    }
    assert_int_equal(load(rig, &stream, NULL), 0);
    rig_free(rig);
}

static void the_words_must_be_those_of_all_blocks(void **u)
{
    struct rig *rig = rig_new(&(struct rig_options){
        .region_size = 65 * RIG_BLOCK,
        .config = { .usable_policy = VMEM_USABLE_ALL } });
    struct vmem_device_saved saved = { .struct_size = sizeof(saved) };
    struct vmem_error err = VMEM_ERROR_INIT;
    uint64_t blocks[3] = { 0 };

    (void)u;
    assert_int_equal(vmem_device_save(rig->device, &saved, blocks, 2), 0);
    for (size_t nr = 0; nr <= 3; nr++) {
        if (nr != 2) {
            char number[32];

            snprintf(number, sizeof(number), "%zu words", nr);
            assert_int_equal(
                vmem_device_load(rig->device, &saved, blocks, nr, &err),
                -EINVAL);
            rig_assert_error(&err, -EINVAL, VMEM_REASON_ARGUMENT, "dev", number,
                             "65 blocks need 2");
        }
    }
    assert_int_equal(vmem_device_load(rig->device, &saved, NULL, 2, &err),
                     -EINVAL);
    rig_assert_error(&err, -EINVAL, VMEM_REASON_ARGUMENT, "blocks is NULL");
    assert_int_equal(vmem_device_load(NULL, &saved, blocks, 2, &err), -EINVAL);
    assert_int_equal(vmem_device_load(rig->device, NULL, blocks, 2, &err),
                     -EINVAL);
    blocks[1] = 2;
    saved.plugged_size = 0;
    assert_int_equal(vmem_device_load(rig->device, &saved, blocks, 2, &err),
                     -ERANGE);
    rig_assert_error(&err, -ERANGE, VMEM_REASON_RANGE, "dev", "65 blocks");
    blocks[1] = 1;
    saved.plugged_size = RIG_BLOCK;
    assert_int_equal(vmem_device_load(rig->device, &saved, blocks, 2, &err), 0);
    rig_assert_plugged(rig, "64+1");
    rig_free(rig);
}

static void a_required_feature_must_have_been_accepted(void **u)
{
    struct rig *rig = rig_new(&(struct rig_options){
        .config = { .features = FEATURES,
                    .flags = VMEM_DEVICE_REQUIRE_INACCESSIBLE } });
    struct vmem_error err = VMEM_ERROR_INIT;
    struct stream stream;

    (void)u;
    save_source(&stream);
    assert_int_equal(load(rig, &stream, &err), -ENOTSUP);
    rig_assert_error(&err, -ENOTSUP, MISMATCH, "dev", "features 0x4 ",
                     "UNPLUGGED_INACCESSIBLE is required");
    /* Bits of the transport are not judged, and not kept. */
    stream.saved.driver_features = FEATURES | UINT64_C(1) << 32;
    assert_int_equal(load(rig, &stream, NULL), 0);
    assert_true(rig_info(rig).driver_features == FEATURES);
    /* Whoever is not there yet has accepted nothing. */
    stream.saved.driver_features = 0;
    stream.saved.has_driver = 0;
    assert_int_equal(load(rig, &stream, NULL), 0);
    assert_int_equal(rig_info(rig).has_driver, 0);
    assert_true(rig_info(rig).driver_features == 0);
    rig_free(rig);
}

/* What comes from a stream is never more than an error. */
static void a_malicious_stream_is_an_error_or_valid(void **u)
{
    struct target target = target_new();
    struct rig *rig = target.rig;
    struct stream good;
    uint64_t nr_loaded = 0;
    uint64_t seed = 1;

    (void)u;
    rig->quiet = true;
    save_source(&good);
    for (int i = 0; i < 20000; i++) {
        struct stream stream = good;
        uint64_t *members = &stream.saved.gpa;
        const uint64_t nr_changes = rig_random(&seed) % 4;
        uint64_t value = rig_random(&seed);
        struct stream before;

        save(rig, &before);
        for (uint64_t n = 0; n < nr_changes; n++) {
            value = value >> rig_random(&seed) % 64;
            if (rig_random(&seed) % 2 == 0) {
                value &= ~(RIG_BLOCK - 1);
            }
            if (rig_random(&seed) % 3 == 0) {
                members[rig_random(&seed) % 9] = value;
            } else {
                set_blocks(&stream, value % NR_BLOCKS,
                           rig_random(&seed) % NR_BLOCKS, value >> 20 & 1);
            }
        }
        if (load(rig, &stream, NULL) == 0) {
            nr_loaded++;
            stream.saved.driver_features &= FEATURES;
            assert_stream(rig, &stream);
        } else {
            assert_stream(rig, &before);
        }
        if (i % 100 == 0) {
            rig_check(rig);
        }
    }
    assert_in_range(nr_loaded, 1000, 19000);
    rig_free(rig);
}

static void while_frozen_nothing_is_loaded(void **u)
{
    struct target target = target_new();
    struct rig *rig = target.rig;
    struct vmem_error err = VMEM_ERROR_INIT;
    struct rig_shot shot;
    struct stream stream;

    (void)u;
    save_source(&stream);
    plug_others(rig);
    rig_freeze(rig, "migration");
    shot = rig_shot(rig);
    assert_int_equal(load(rig, &stream, &err), -EBUSY);
    rig_assert_error(&err, -EBUSY, VMEM_REASON_FROZEN, "migration");
    rig_assert_same(rig, &shot);
    rig_thaw(rig, "migration");
    assert_int_equal(load(rig, &stream, NULL), 0);
    /* Saving is what freezing is for. */
    rig_freeze(rig, "migration");
    assert_stream(rig, &stream);
    rig_thaw(rig, "migration");
    rig_free(rig);
}

static struct vmem_device_saved inside_saved;
static int inside_load_returned;

static void load_inside(struct rig *rig)
{
    uint64_t blocks[NR_WORDS] = { 0 };

    inside_load_returned =
        vmem_device_load(rig->device, &inside_saved, blocks, NR_WORDS, NULL);
}

/* A device that sleeps while it is restored: who froze it thaws it for the load. */
static int restore_asleep(struct rig *rig, const struct stream *stream,
                          struct vmem_error *err)
{
    int ret;

    rig_thaw(rig, "sleep");
    ret = load(rig, stream, err);
    rig_freeze(rig, "sleep");
    return ret;
}

static void a_device_that_sleeps_is_restored_and_wakes_up(void **u)
{
    struct target target = target_new();
    struct rig *rig = target.rig;
    struct vmem_error err = VMEM_ERROR_INIT;
    struct stream stream;

    (void)u;
    save_source(&stream);
    plug_others(rig);
    rig_freeze(rig, "sleep");
    assert_int_equal(load(rig, &stream, &err), -EBUSY);
    rig_assert_error(&err, -EBUSY, VMEM_REASON_FROZEN, "sleep");
    assert_int_equal(restore_asleep(rig, &stream, &err), 0);

    /* Asleep as before, with another state. */
    assert_true(vmem_region_is_frozen(rig->region));
    assert_stream(rig, &stream);
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
    struct target target = target_new();
    struct rig *rig = target.rig;
    struct vmem_error err = VMEM_ERROR_INIT;
    struct stream before;
    struct stream stream;

    (void)u;
    save_source(&stream);
    plug_others(rig);
    save(rig, &before);
    rig_freeze(rig, "sleep");
    rig_freeze(rig, "migration");
    /* Held still by somebody else as well. */
    assert_int_equal(restore_asleep(rig, &stream, &err), -EBUSY);
    rig_assert_error(&err, -EBUSY, VMEM_REASON_FROZEN, "migration");
    assert_null(strstr(err.message, "sleep"));
    assert_stream(rig, &before);
    rig_thaw(rig, "migration");
    assert_true(vmem_region_is_frozen(rig->region));

    target.listeners[1]->fail_always = true;
    assert_int_equal(restore_asleep(rig, &stream, &err), -ENOSPC);
    rig_assert_error(&err, -ENOSPC, VMEM_REASON_LISTENER_VETO, "chunks");
    assert_stream(rig, &before);
    target.listeners[1]->fail_always = false;
    rig_thaw(rig, "sleep");
    assert_int_equal(rig_plug(rig, 0, 1), ACK);
    rig_assert_plugged(rig, "0+1 2+2 62+20");
    rig_free(rig);
}

static void a_listener_cannot_load_and_a_notification_can(void **u)
{
    struct rig *rig = rig_new_default();
    struct stream empty;

    (void)u;
    rig_listen(rig, "l");
    save(rig, &empty);
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

/* ---- failures ---- */

static uint64_t nr_events(struct rig *rig, enum rig_event_kind kind)
{
    uint64_t count = 0;

    for (guint i = 0; i < rig->events->len; i++) {
        count += g_array_index(rig->events, struct rig_event, i).kind == kind;
    }
    return count;
}

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
            struct target target = target_new();
            struct rig *rig = target.rig;
            struct rig_listener *listener = target.listeners[who];
            struct vmem_error err = VMEM_ERROR_INIT;
            struct rig_shot shot;
            struct stream stream;
            uint64_t nr_discards;

            save_source(&stream);
            plug_others(rig);
            listener->fail_at = listener->nr_populates + n;
            nr_discards = rig->memory.discard.nr_calls;
            shot = rig_shot(rig);
            assert_int_equal(load(rig, &stream, &err), -ENOSPC);
            rig_assert_error(&err, -ENOSPC, VMEM_REASON_LISTENER_VETO, "dev",
                             listener->name);
            assert_int_equal(nr_events(rig, RIG_VETO), 1);
            assert_refused(rig, &shot, nr_discards);
            assert_int_equal(load(rig, &stream, NULL), 0);
            assert_stream(rig, &stream);
            assert_int_equal(rig_info(rig).retained_size, 0);
            rig_free(rig);
        }
    }
}

/* Whoever may keep what goes is asked before anything else happens, so there is
 * nothing to undo, and nothing is retained. */
static void a_load_is_refused_by_who_keeps_what_goes(void **u)
{
    struct target target = target_new();
    struct rig *rig = target.rig;
    struct vmem_error err = VMEM_ERROR_INIT;
    struct rig_shot shot;
    struct stream stream;

    (void)u;
    save_source(&stream);
    plug_others(rig);
    target.listeners[2]->keep_code = -EPERM;
    shot = rig_shot(rig);
    assert_int_equal(load(rig, &stream, &err), -EPERM);
    rig_assert_error(&err, -EPERM, VMEM_REASON_LISTENER_VETO, "dev", "window");
    rig_assert_same(rig, &shot);
    assert_int_equal(nr_events(rig, RIG_POPULATE), 0);
    assert_int_equal(nr_events(rig, RIG_DISCARD), 0);
    assert_int_equal(nr_events(rig, RIG_MEM_POPULATE), 0);
    /* Its window begins behind block 0, and what stays is no question. */
    set_blocks(&stream, 2, 1, true);
    set_blocks(&stream, 70, 12, true);
    assert_int_equal(load(rig, &stream, NULL), 0);
    target.listeners[2]->keep_code = 0;
    rig_free(rig);
}

static void a_load_without_memory_is_undone_at_each_run(void **u)
{
    (void)u;
    for (uint64_t n = 1; n <= 3; n++) {
        struct target target = target_new();
        struct rig *rig = target.rig;
        struct vmem_error err = VMEM_ERROR_INIT;
        struct rig_shot shot;
        struct stream stream;
        uint64_t nr_discards;

        save_source(&stream);
        plug_others(rig);
        rig->memory.populate.fail_at = rig->memory.populate.nr_calls + n;
        nr_discards = rig->memory.discard.nr_calls;
        shot = rig_shot(rig);
        assert_int_equal(load(rig, &stream, &err), -EIO);
        rig_assert_error(&err, -EIO, VMEM_REASON_POPULATE_FAILED, "dev");
        assert_int_equal(nr_events(rig, RIG_POPULATE), 0);
        assert_refused(rig, &shot, nr_discards);
        /* Whoever gives up gives it back. */
        assert_int_equal(vmem_region_retry_discards(rig->region, NULL), 0);
        assert_int_equal(rig_info(rig).retained_size, 0);
        assert_true(rig->memory.discard.nr_calls == nr_discards + 3);
        assert_int_equal(load(rig, &stream, NULL), 0);
        assert_stream(rig, &stream);
        rig_free(rig);
    }
}

/* 2+1 and 70+12 go; then each discard of these fails in turn. */
static void a_load_whose_discards_fail_retains_and_succeeds(void **u)
{
    static const uint64_t sizes[] = { 1, 12 };

    (void)u;
    for (uint64_t n = 0; n < 2; n++) {
        struct target target = target_new();
        struct rig *rig = target.rig;
        struct stream stream;

        save_source(&stream);
        plug_others(rig);
        rig->memory.discard.fail_at = rig->memory.discard.nr_calls + 1 + n;
        assert_int_equal(load(rig, &stream, NULL), 0);
        assert_stream(rig, &stream);
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
    struct target target = target_new();
    struct rig *rig = target.rig;
    struct stream stream;
    uint64_t nr_discards;

    (void)u;
    save_source(&stream);
    assert_int_equal(rig_plug(rig, 3, 4), ACK);
    rig->memory.discard.error = -EIO;
    assert_int_equal(rig_unplug(rig, 3, 4), ACK);
    nr_discards = rig->memory.discard.nr_calls;
    assert_int_equal(load(rig, &stream, NULL), 0);
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
    struct target target = target_new();
    struct rig *rig = target.rig;
    struct stream stream;
    struct rig_shot shot;
    int ret = -ENOMEM;
    int n;

    (void)u;
    save_source(&stream);
    plug_others(rig);
    for (n = 0; ret == -ENOMEM; n++) {
        struct vmem_error err = VMEM_ERROR_INIT;

        shot = rig_shot(rig);
        allocations_limit((uint64_t)n);
        ret = load(rig, &stream, &err);
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
    assert_stream(rig, &stream);
    rig_free(rig);
}

/* ---- beside other sources ---- */

static void listeners_hear_of_what_all_sources_have(void **u)
{
    struct target target = target_new();
    struct rig *rig = target.rig;
    const struct vmem_source_config config = { .struct_size = sizeof(config),
                                               .name = "private",
                                               .block_size = RIG_BLOCK,
                                               .flags = VMEM_SOURCE_POPULATED };
    const struct vmem_range hidden = { 4 * RIG_BLOCK, 58 * RIG_BLOCK };
    struct vmem_source *source;
    struct stream stream;

    (void)u;
    save_source(&stream);
    assert_int_equal(vmem_source_add(rig->region, &config, &source, NULL), 0);
    assert_int_equal(vmem_source_discard(source, &hidden, NULL), 0);
    rig_clear_events(rig);
    assert_int_equal(load(rig, &stream, NULL), 0);
    assert_stream(rig, &stream);
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
    struct target target = target_new();
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
    save_source(&stream);
    assert_int_equal(vmem_source_add(rig->region, &config, &source, NULL), 0);
    assert_int_equal(rig_plug(rig, 2, 5), ACK);
    assert_int_equal(vmem_source_discard(source, &ballooned, NULL), 0);
    rig->memory.discard.error = -EIO;
    assert_int_equal(rig_unplug(rig, 2, 5), ACK);
    assert_int_equal(load(rig, &stream, NULL), 0);
    assert_stream(rig, &stream);
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
        .has_memory = true, .config = { .features = FEATURES } });
    struct vmem_device_stats stats;
    uint32_t generation;
    struct stream stream;

    (void)u;
    save_source(&stream);
    assert_int_equal(rig_plug(rig, 2, 2), ACK);
    rig->nr_config_changed = 0;
    rig->nr_size_changed = 0;
    generation = vmem_device_get_config_generation(rig->device);
    assert_int_equal(load(rig, &stream, NULL), 0);
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
    set_blocks(&stream, 0, 1, false);
    set_blocks(&stream, 1, 1, true);
    assert_int_equal(load(rig, &stream, NULL), 0);
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
    struct target target = target_new();
    struct rig *rig = target.rig;
    struct stream stream;

    (void)u;
    save_source(&stream);
    /* Whatever was before: a guest that got BUSY, long ago. */
    target.listeners[0]->fail_always = true;
    assert_int_equal(rig_plug(rig, 0, 1), VMEM_RESPONSE_BUSY);
    target.listeners[0]->fail_always = false;
    assert_resize(rig, VMEM_RESIZE_STALLED, VMEM_STALL_HOST_BUSY);
    rig->now_ns += 100 * VMEM_DEVICE_STALL_AFTER_NS;
    assert_int_equal(load(rig, &stream, NULL), 0);
    assert_resize(rig, VMEM_RESIZE_GROWING, VMEM_STALL_NONE);
    assert_true(rig_status(rig).requested_ns == rig->now_ns);
    rig->now_ns += VMEM_DEVICE_STALL_AFTER_NS - 1;
    assert_resize(rig, VMEM_RESIZE_GROWING, VMEM_STALL_NONE);
    rig->now_ns += 1;
    assert_resize(rig, VMEM_RESIZE_STALLED, VMEM_STALL_GUEST_SILENT);

    stream.saved.requested_size = 2 * RIG_BLOCK;
    assert_int_equal(load(rig, &stream, NULL), 0);
    assert_resize(rig, VMEM_RESIZE_SHRINKING, VMEM_STALL_NONE);
    stream.saved.requested_size = 15 * RIG_BLOCK;
    assert_int_equal(load(rig, &stream, NULL), 0);
    assert_resize(rig, VMEM_RESIZE_IDLE, VMEM_STALL_NONE);
    stream.saved.requested_size = 16 * RIG_BLOCK;
    stream.saved.has_driver = 0;
    stream.saved.driver_features = 0;
    assert_int_equal(load(rig, &stream, NULL), 0);
    assert_resize(rig, VMEM_RESIZE_STALLED, VMEM_STALL_NO_DRIVER);
    /* Negotiated later, by the virtio part of a stream. */
    rig->now_ns += 100 * VMEM_DEVICE_STALL_AFTER_NS;
    assert_int_equal(vmem_device_set_driver_features(rig->device, FEATURES), 0);
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
    save(rig, &stream);
    stream.saved.usable_region_size = 130 * RIG_BLOCK;
    assert_int_equal(load(rig, &stream, NULL), 0);
    assert_true(rig_config(rig).usable_region_size == 130 * RIG_BLOCK);
    assert_int_equal(rig_plug(rig, 130, 1), ERROR);
    assert_int_equal(rig_plug(rig, 129, 1), ACK);
    rig_resize(rig, RIG_REQUESTED);
    assert_true(rig_config(rig).usable_region_size == RIG_USABLE);
    /* All of the region, with everything plugged. */
    save(rig, &stream);
    stream.saved.usable_region_size = RIG_REGION;
    set_blocks(&stream, 0, NR_BLOCKS, true);
    assert_int_equal(load(rig, &stream, NULL), 0);
    assert_stream(rig, &stream);
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
        cmocka_unit_test(saving_wants_room_for_all_blocks_and_no_more),
        cmocka_unit_test(a_callback_saves_what_was_before_the_change),
        cmocka_unit_test(a_callback_of_another_region_cannot_save),
        cmocka_unit_test(what_does_not_fit_is_refused_with_both_values),
        cmocka_unit_test(the_words_must_be_those_of_all_blocks),
        cmocka_unit_test(a_required_feature_must_have_been_accepted),
        cmocka_unit_test(a_malicious_stream_is_an_error_or_valid),
        cmocka_unit_test(while_frozen_nothing_is_loaded),
        cmocka_unit_test(a_device_that_sleeps_is_restored_and_wakes_up),
        cmocka_unit_test(a_restore_that_fails_leaves_a_sleeper_as_it_was),
        cmocka_unit_test(a_listener_cannot_load_and_a_notification_can),
        cmocka_unit_test(a_load_is_undone_whichever_listener_call_refuses),
        cmocka_unit_test(a_load_is_refused_by_who_keeps_what_goes),
        cmocka_unit_test(a_load_without_memory_is_undone_at_each_run),
        cmocka_unit_test(a_load_whose_discards_fail_retains_and_succeeds),
        cmocka_unit_test(a_retained_block_is_loaded_as_it_is),
        cmocka_unit_test(a_load_without_room_for_its_bitmaps_changes_nothing),
        cmocka_unit_test(listeners_hear_of_what_all_sources_have),
        cmocka_unit_test(what_another_source_does_not_want_is_handed_over),
        cmocka_unit_test(a_load_notifies_once_and_is_no_request),
        cmocka_unit_test(a_resize_goes_on_after_a_load),
        cmocka_unit_test(the_usable_size_is_what_was_saved),
    };

    return cmocka_run_group_tests_name("device_load", tests, NULL, NULL);
}
