/* SPDX-License-Identifier: BSD-3-Clause */
/* What cannot be loaded: it may come from anybody, and changes nothing. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "support/stream.h"

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
    struct stream_target target = stream_target_new();
    struct rig *rig = target.rig;
    struct stream stream;

    (void)u;
    stream_save_source(&stream);
    stream_plug_others(rig);
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
        assert_int_equal(stream_load(rig, &wrong, &err), bad->code);
        rig_assert_error(&err, bad->code, bad->reason, "dev", bad->words[0],
                         bad->words[1]);
        rig_assert_same(rig, &shot);
        rig_assert_events(rig, "");
    }
    assert_int_equal(stream_load(rig, &stream, NULL), 0);
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
        .config = { .features = STREAM_FEATURES,
                    .flags = VMEM_DEVICE_REQUIRE_INACCESSIBLE } });
    struct vmem_error err = VMEM_ERROR_INIT;
    struct stream stream;

    (void)u;
    stream_save_source(&stream);
    assert_int_equal(stream_load(rig, &stream, &err), -ENOTSUP);
    rig_assert_error(&err, -ENOTSUP, MISMATCH, "dev", "features 0x4 ",
                     "UNPLUGGED_INACCESSIBLE is required");
    /* Bits of the transport are not judged, and not kept. */
    stream.saved.driver_features = STREAM_FEATURES | UINT64_C(1) << 32;
    assert_int_equal(stream_load(rig, &stream, NULL), 0);
    assert_true(rig_info(rig).driver_features == STREAM_FEATURES);
    /* Whoever is not there yet has accepted nothing. */
    stream.saved.driver_features = 0;
    stream.saved.has_driver = 0;
    assert_int_equal(stream_load(rig, &stream, NULL), 0);
    assert_int_equal(rig_info(rig).has_driver, 0);
    assert_true(rig_info(rig).driver_features == 0);
    rig_free(rig);
}

/* What comes from a stream is never more than an error. */
static void a_malicious_stream_is_an_error_or_valid(void **u)
{
    struct stream_target target = stream_target_new();
    struct rig *rig = target.rig;
    struct stream good;
    uint64_t nr_loaded = 0;
    uint64_t seed = 1;

    (void)u;
    rig->quiet = true;
    stream_save_source(&good);
    for (int i = 0; i < 20000; i++) {
        struct stream stream = good;
        uint64_t *members = &stream.saved.gpa;
        const uint64_t nr_changes = rig_random(&seed) % 4;
        uint64_t value = rig_random(&seed);
        struct stream before;

        stream_save(rig, &before);
        for (uint64_t n = 0; n < nr_changes; n++) {
            value = value >> rig_random(&seed) % 64;
            if (rig_random(&seed) % 2 == 0) {
                value &= ~(RIG_BLOCK - 1);
            }
            if (rig_random(&seed) % 3 == 0) {
                members[rig_random(&seed) % 9] = value;
            } else {
                stream_set_blocks(&stream, value % STREAM_BLOCKS,
                                  rig_random(&seed) % STREAM_BLOCKS,
                                  value >> 20 & 1);
            }
        }
        if (stream_load(rig, &stream, NULL) == 0) {
            nr_loaded++;
            stream.saved.driver_features &= STREAM_FEATURES;
            stream_assert(rig, &stream);
        } else {
            stream_assert(rig, &before);
        }
        if (i % 100 == 0) {
            rig_check(rig);
        }
    }
    assert_in_range(nr_loaded, 1000, 19000);
    rig_free(rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_does_not_fit_is_refused_with_both_values),
        cmocka_unit_test(the_words_must_be_those_of_all_blocks),
        cmocka_unit_test(a_required_feature_must_have_been_accepted),
        cmocka_unit_test(a_malicious_stream_is_an_error_or_valid),
    };

    return cmocka_run_group_tests_name("device_load_refused", tests, NULL,
                                       NULL);
}
