/* SPDX-License-Identifier: BSD-3-Clause */
/* Rules PLG-01 to PLG-10: the PLUG request and the order of its answers. */
#include <errno.h>
#include <string.h>

#include "support/device_rig.h"

#define ACK VMEM_RESPONSE_ACK
#define NACK VMEM_RESPONSE_NACK
#define BUSY VMEM_RESPONSE_BUSY
#define ERROR VMEM_RESPONSE_ERROR

static uint16_t plug_at(struct rig *rig, uint64_t gpa, uint16_t nr_blocks)
{
    return rig_request(rig, VMEM_REQUEST_PLUG, gpa, nr_blocks);
}

/* Rule: PLG-01 */
static void an_address_off_the_blocks_is_an_error(void **u)
{
    static const uint64_t off[] = { 1, 4096, RIG_MIB, RIG_BLOCK - 1 };
    struct rig *rig = rig_new_default();
    struct rig_shot shot = rig_shot(rig);

    (void)u;
    for (size_t i = 0; i < G_N_ELEMENTS(off); i++) {
        assert_int_equal(plug_at(rig, RIG_GPA + off[i], 1), ERROR);
        assert_int_equal(plug_at(rig, RIG_GPA - off[i], 1), ERROR);
        assert_int_equal(plug_at(rig, RIG_GPA + RIG_USABLE - off[i], 1), ERROR);
    }
    rig_assert_same(rig, &shot);
    rig_free(rig);
}

/* Rule: PLG-02 */
static void no_blocks_are_an_error(void **u)
{
    struct rig *rig = rig_new_default();
    struct rig_shot shot = rig_shot(rig);

    (void)u;
    assert_int_equal(plug_at(rig, RIG_GPA, 0), ERROR);
    assert_int_equal(plug_at(rig, RIG_GPA + 5 * RIG_BLOCK, 0), ERROR);
    assert_int_equal(plug_at(rig, 0, 0), ERROR);
    rig_assert_same(rig, &shot);
    rig_free(rig);
}

/* Rule: PLG-03 */
static void blocks_outside_the_usable_region_are_an_error(void **u)
{
    static const struct {
        uint64_t gpa;
        uint16_t nr_blocks;
        uint16_t response;
    } cases[] = {
        { RIG_GPA - RIG_BLOCK, 1, ERROR },
        { RIG_GPA - RIG_BLOCK, 2, ERROR },
        { 0, 1, ERROR },
        { RIG_BLOCK, 1, ERROR },
        { RIG_GPA + RIG_USABLE - RIG_BLOCK, 1, ACK },
        { RIG_GPA + RIG_USABLE - RIG_BLOCK, 2, ERROR },
        { RIG_GPA + RIG_USABLE, 1, ERROR },
        { RIG_GPA + RIG_REGION - RIG_BLOCK, 1, ERROR },
        { RIG_GPA + RIG_REGION, 1, ERROR },
        { RIG_GPA, 256, NACK },
        { RIG_GPA, 257, ERROR },
        { RIG_GPA, 512, ERROR },
        { RIG_GPA, 65535, ERROR },
    };

    (void)u;
    for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
        struct rig *rig = rig_new_default();

        assert_int_equal(plug_at(rig, cases[i].gpa, cases[i].nr_blocks),
                         cases[i].response);
        rig_free(rig);
    }
}

/* Rule: PLG-04 */
static void sums_and_products_that_wrap_are_an_error(void **u)
{
    static const uint64_t block_sizes[] = { 4096,
                                            RIG_BLOCK,
                                            RIG_GIB,
                                            (uint64_t)1 << 47,
                                            (uint64_t)1 << 48,
                                            (uint64_t)1 << 49,
                                            (uint64_t)1 << 62 };

    (void)u;
    for (size_t i = 0; i < G_N_ELEMENTS(block_sizes); i++) {
        const uint64_t block = block_sizes[i];
        struct rig *rig = rig_new(&(struct rig_options){
            .exact_config = true,
            .region_size = 2 * block,
            .config = { .block_size = block,
                        .gpa = block,
                        .requested_size = 2 * block,
                        .usable_policy = VMEM_USABLE_ALL } });
        struct rig_shot shot = rig_shot(rig);

        /* The product's low 32 and 64 bits would fit. */
        assert_int_equal(plug_at(rig, block, 65535), ERROR);
        assert_int_equal(plug_at(rig, block, 32768), ERROR);
        assert_int_equal(plug_at(rig, block, 16384), ERROR);
        assert_int_equal(plug_at(rig, block, 3), ERROR);
        assert_int_equal(plug_at(rig, block, 4), ERROR);
        assert_int_equal(plug_at(rig, 2 * block, 2), ERROR);
        assert_int_equal(plug_at(rig, UINT64_MAX - block + 1, 1), ERROR);
        assert_int_equal(plug_at(rig, UINT64_MAX - block + 1, 2), ERROR);
        assert_int_equal(plug_at(rig, UINT64_MAX - block + 1, 3), ERROR);
        assert_int_equal(plug_at(rig, UINT64_MAX, 1), ERROR);
        assert_int_equal(plug_at(rig, 0, 1), ERROR);
        rig_assert_same(rig, &shot);
        assert_int_equal(plug_at(rig, block, 2), ACK);
        rig_free(rig);
    }
}

/* Rule: PLG-05 */
static void a_block_that_is_plugged_already_is_an_error(void **u)
{
    static const struct {
        uint64_t first_block;
        uint16_t nr_blocks;
    } cases[] = { { 10, 4 }, { 10, 1 }, { 13, 1 }, { 8, 3 },
                  { 13, 5 }, { 5, 20 }, { 0, 128 } };
    struct rig *rig = rig_new_default();
    struct rig_shot shot;

    (void)u;
    assert_int_equal(rig_plug(rig, 10, 4), ACK);
    shot = rig_shot(rig);
    for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
        assert_int_equal(
            rig_plug(rig, cases[i].first_block, cases[i].nr_blocks), ERROR);
    }
    rig_assert_same(rig, &shot);
    rig_free(rig);
}

/* Rule: PLG-05 */
static void bits_are_told_apart_at_every_word_boundary(void **u)
{
    (void)u;
    for (uint64_t edge = 62; edge <= 66; edge++) {
        struct rig *rig = rig_new(&(struct rig_options){
            .quiet = true,
            .config = { .requested_size = RIG_REGION,
                        .usable_policy = VMEM_USABLE_ALL } });

        assert_int_equal(rig_plug(rig, edge, 1), ACK);
        assert_int_equal(rig_plug(rig, edge - 1, 2), ERROR);
        assert_int_equal(rig_plug(rig, edge, 2), ERROR);
        assert_int_equal(rig_plug(rig, edge - 2, 128), ERROR);
        assert_int_equal(rig_plug(rig, 0, (uint16_t)edge), ACK);
        assert_int_equal(rig_plug(rig, edge + 1, 100), ACK);
        rig_free(rig);
    }
}

/* Rule: PLG-06 */
static void more_than_requested_is_refused_as_a_whole(void **u)
{
    struct rig *rig = rig_new_default();
    struct rig_shot shot;

    (void)u;
    assert_int_equal(rig_plug(rig, 0, 129), NACK);
    assert_int_equal(rig_plug(rig, 0, 128), ACK);
    shot = rig_shot(rig);
    assert_int_equal(rig_plug(rig, 128, 1), NACK);
    rig_resize(rig, 100 * RIG_BLOCK);
    assert_int_equal(rig_plug(rig, 128, 1), NACK);
    rig_resize(rig, RIG_REQUESTED);
    shot.nr_config_changed += 2;
    shot.generation += 2;
    rig_assert_same(rig, &shot);
    rig_resize(rig, 130 * RIG_BLOCK);
    assert_int_equal(rig_plug(rig, 128, 3), NACK);
    assert_int_equal(rig_plug(rig, 128, 2), ACK);
    rig_free(rig);
}

/* Each request is wrong in several ways; the first of ERROR, NACK, BUSY is the
 * answer. */
/* Rule: PLG-05 PLG-06 PLG-07 */
static void error_comes_before_nack_and_nack_before_busy(void **u)
{
    static const struct {
        uint64_t gpa;
        uint16_t nr_blocks;
        uint16_t thawed;
        uint16_t frozen;
    } cases[] = {
        /* misaligned, outside, empty; all over requested */
        { RIG_GPA + 1, 200, ERROR, ERROR },
        { RIG_GPA, 300, ERROR, ERROR },
        { RIG_GPA - RIG_BLOCK, 200, ERROR, ERROR },
        { RIG_GPA, 0, ERROR, ERROR },
        { RIG_GPA + RIG_USABLE, 1, ERROR, ERROR },
        /* plugged already and over requested */
        { RIG_GPA, 129, ERROR, ERROR },
        { RIG_GPA + 63 * RIG_BLOCK, 100, ERROR, ERROR },
        { RIG_GPA, 1, ERROR, ERROR },
        /* over requested */
        { RIG_GPA + 64 * RIG_BLOCK, 65, NACK, NACK },
        /* good */
        { RIG_GPA + 64 * RIG_BLOCK, 64, ACK, BUSY },
    };

    (void)u;
    for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
        struct rig *rig = rig_new_default();
        struct rig_shot shot;

        assert_int_equal(rig_plug(rig, 0, 64), ACK);
        rig_freeze(rig, "migration");
        shot = rig_shot(rig);
        assert_int_equal(plug_at(rig, cases[i].gpa, cases[i].nr_blocks),
                         cases[i].frozen);
        rig_assert_same(rig, &shot);
        rig_thaw(rig, "migration");
        assert_int_equal(plug_at(rig, cases[i].gpa, cases[i].nr_blocks),
                         cases[i].thawed);
        rig_free(rig);
    }
}

/* Rule: PLG-07 */
static void what_the_host_cannot_do_now_is_busy_and_changes_nothing(void **u)
{
    static const struct {
        uint32_t reason;
        const char *events;
    } cases[] = {
        { VMEM_REASON_FROZEN, "" },
        { VMEM_REASON_POPULATE_FAILED,
          "populate memory 8+4; discard memory 8+4; resize device" },
        { VMEM_REASON_LISTENER_VETO,
          "populate memory 8+4; populate first 8+4; veto second 8+4; "
          "discard first 8+4; discard memory 8+4; resize device" },
    };

    (void)u;
    for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
        struct rig *rig = rig_new(&(struct rig_options){ .populates = true });
        struct rig_listener *second;
        struct rig_shot shot;

        rig_listen(rig, "first");
        second = rig_listen(rig, "second");
        if (cases[i].reason == VMEM_REASON_FROZEN) {
            rig_freeze(rig, "snapshot");
        } else if (cases[i].reason == VMEM_REASON_POPULATE_FAILED) {
            rig->memory.populate.fail_at = 1;
        } else {
            second->fail_at = 1;
        }
        shot = rig_shot(rig);
        rig_clear_events(rig);
        assert_int_equal(rig_plug(rig, 8, 4), BUSY);
        assert_int_equal(rig->result.reason, cases[i].reason);
        if (cases[i].reason != VMEM_REASON_FROZEN) {
            rig_assert_events(rig, cases[i].events);
        } else {
            assert_int_equal(rig_nr_memory_calls(rig), 1); /* device_new */
        }
        rig_assert_same(rig, &shot);
        if (vmem_region_is_frozen(rig->region)) {
            rig_thaw(rig, "snapshot");
        }
        assert_int_equal(rig_plug(rig, 8, 4), ACK);
        rig_assert_plugged(rig, "8+4");
        rig_free(rig);
    }
}

/* Rule: PLG-08 */
static void a_good_plug_is_acked_and_plugs_all_of_it(void **u)
{
    struct rig *rig = rig_new_default();

    (void)u;
    assert_int_equal(rig_plug(rig, 0, 1), ACK);
    assert_int_equal(rig_plug(rig, 5, 64), ACK);
    assert_int_equal(rig_plug(rig, 3, 1), ACK);
    rig_assert_plugged(rig, "0+1 3+1 5+64");
    assert_int_equal(rig_plug(rig, 1, 2), ACK);
    assert_int_equal(rig_plug(rig, 4, 1), ACK);
    rig_assert_plugged(rig, "0+69");
    assert_true(rig_config(rig).plugged_size == 69 * RIG_BLOCK);
    assert_true(rig_stats(rig).plugged_bytes == 69 * RIG_BLOCK);
    assert_int_equal(rig_stats(rig).nr_requests[VMEM_REQUEST_PLUG][ACK], 5);
    rig_free(rig);
}

/* Rule: PLG-08 PLG-04 */
static void blocks_of_4_kib_2_mib_and_1_gib_behave_alike(void **u)
{
    static const uint64_t block_sizes[] = { 4096, RIG_BLOCK, RIG_GIB };

    (void)u;
    for (size_t i = 0; i < G_N_ELEMENTS(block_sizes); i++) {
        const uint64_t block = block_sizes[i];
        struct rig *rig = rig_new(&(struct rig_options){
            .quiet = true,
            .region_size = 70000 * block,
            .config = { .block_size = block,
                        .requested_size = 70000 * block,
                        .gpa = RIG_GPA,
                        .usable_policy = VMEM_USABLE_ALL } });

        /* The largest request there is. */
        assert_int_equal(rig_plug(rig, 0, 65535), ACK);
        assert_true(rig_config(rig).plugged_size == 65535 * block);
        assert_int_equal(rig_plug(rig, 65535, 4465), ACK);
        assert_int_equal(rig_plug(rig, 70000, 1), ERROR);
        assert_int_equal(rig_unplug(rig, 1000, 65535), ACK);
        rig_assert_plugged(rig, "0+1000 66535+3465");
        rig_free(rig);
    }
}

/* Rule: PLG-08 */
static void a_device_of_one_block_plugs_it_and_nothing_else(void **u)
{
    struct rig *rig = rig_new(&(struct rig_options){
        .exact_config = true,
        .region_size = RIG_BLOCK,
        .config = { .block_size = RIG_BLOCK, .gpa = RIG_BLOCK } });

    (void)u;
    assert_int_equal(rig_plug(rig, 0, 1), NACK);
    rig_resize(rig, RIG_BLOCK);
    assert_int_equal(rig_plug(rig, 0, 2), ERROR);
    assert_int_equal(rig_plug(rig, 1, 1), ERROR);
    assert_int_equal(rig_plug(rig, 0, 1), ACK);
    assert_int_equal(rig_plug(rig, 0, 1), ERROR);
    rig_resize(rig, 0);
    assert_int_equal(rig_plug(rig, 0, 1), ERROR);
    assert_int_equal(rig_unplug(rig, 0, 1), ACK);
    assert_int_equal(rig_plug(rig, 0, 1), NACK);
    rig_free(rig);
}

/* What the device looked like when a listener was asked to agree. */
static void look_during_populate(struct rig *rig)
{
    *(uint64_t *)rig->user = rig_config(rig).plugged_size;
}

/* Rule: PLG-09 */
static void listeners_and_memory_are_ready_before_the_answer(void **u)
{
    struct rig *rig = rig_new(&(struct rig_options){ .populates = true });
    uint64_t plugged_then = UINT64_MAX;

    (void)u;
    rig_listen(rig, "first");
    rig_listen(rig, "second");
    rig->user = &plugged_then;
    rig->on_populate = look_during_populate;
    assert_int_equal(rig_plug(rig, 8, 4), ACK);
    rig_assert_events(rig, "populate memory 8+4; populate first 8+4; "
                           "populate second 8+4; size device; resize device");
    assert_int_equal(plugged_then, 0);
    assert_true(rig_config(rig).plugged_size == 4 * RIG_BLOCK);
    rig->on_populate = NULL;
    rig_free(rig);
}

/* Rule: PLG-10 */
static void a_newly_plugged_block_reads_as_zero(void **u)
{
    struct rig *rig = rig_new(
        &(struct rig_options){ .real_memory = true,
                               .region_size = 16 * RIG_MIB,
                               .config = { .block_size = RIG_BLOCK,
                                           .requested_size = 16 * RIG_MIB } });
    uint8_t *hva = rig->memory.hva;

    (void)u;
    for (int round = 0; round < 3; round++) {
        assert_int_equal(rig_plug(rig, 0, 8), ACK);
        for (uint64_t at = 0; at < 16 * RIG_MIB; at += 4096) {
            assert_int_equal(hva[at], 0);
            hva[at] = 0xaa;
        }
        /* The second time the discard fails, and fails again before the next
         * plug: then the memory is zeroed by writing. */
        rig->memory.discard.error = round == 1 ? -EIO : 0;
        assert_int_equal(rig_unplug(rig, 0, 8), ACK);
        if (round == 1) {
            assert_true(rig_info(rig).retained_size == 16 * RIG_MIB);
            assert_int_equal(hva[0], 0xaa);
        }
    }
    assert_int_equal(rig->memory.zero.nr_calls, 1);
    assert_int_equal(rig_nr_logs(rig, VMEM_LOG_CODE_ZEROED), 1);
    assert_int_equal(rig_info(rig).retained_size, 0);
    rig_free(rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_address_off_the_blocks_is_an_error),
        cmocka_unit_test(no_blocks_are_an_error),
        cmocka_unit_test(blocks_outside_the_usable_region_are_an_error),
        cmocka_unit_test(sums_and_products_that_wrap_are_an_error),
        cmocka_unit_test(a_block_that_is_plugged_already_is_an_error),
        cmocka_unit_test(bits_are_told_apart_at_every_word_boundary),
        cmocka_unit_test(more_than_requested_is_refused_as_a_whole),
        cmocka_unit_test(error_comes_before_nack_and_nack_before_busy),
        cmocka_unit_test(
            what_the_host_cannot_do_now_is_busy_and_changes_nothing),
        cmocka_unit_test(a_good_plug_is_acked_and_plugs_all_of_it),
        cmocka_unit_test(blocks_of_4_kib_2_mib_and_1_gib_behave_alike),
        cmocka_unit_test(a_device_of_one_block_plugs_it_and_nothing_else),
        cmocka_unit_test(listeners_and_memory_are_ready_before_the_answer),
        cmocka_unit_test(a_newly_plugged_block_reads_as_zero),
    };

    return cmocka_run_group_tests_name("plug", tests, NULL, NULL);
}
