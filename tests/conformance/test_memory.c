/* SPDX-License-Identifier: BSD-3-Clause */
/* Rules MEM-01 to MEM-07: what happens to the bytes. On memory that is really
 * mapped, behind callbacks, so that everything the device does to it shows. */
#include <errno.h>
#include <string.h>

#include "support/device_rig.h"

#define ACK VMEM_RESPONSE_ACK
#define NR_BLOCKS 16

static struct rig *rig_with_real_memory(uint64_t features)
{
    return rig_new(&(struct rig_options){
        .real_memory = true,
        .region_size = NR_BLOCKS * RIG_BLOCK,
        .config = { .requested_size = NR_BLOCKS * RIG_BLOCK,
                    .usable_policy = VMEM_USABLE_ALL,
                    .features = features } });
}

/* One word a page, so that a test touches 8192 of them and not 32 MiB. */
static uint64_t *word(struct rig *rig, uint64_t block, uint64_t page)
{
    return (uint64_t *)(void *)(rig->memory.hva + block * RIG_BLOCK +
                                page * 4096 + 8 * (page % 512));
}

static void write_block(struct rig *rig, uint64_t block, uint64_t seed)
{
    for (uint64_t page = 0; page < RIG_BLOCK / 4096; page++) {
        *word(rig, block, page) = rig_random(&seed);
    }
}

static uint64_t nr_wrong(struct rig *rig, uint64_t block, uint64_t seed)
{
    uint64_t count = 0;

    for (uint64_t page = 0; page < RIG_BLOCK / 4096; page++) {
        uint64_t expected = seed == 0 ? 0 : rig_random(&seed);

        count += *word(rig, block, page) != expected;
    }
    return count;
}

/* Rule: MEM-01 */
static void content_of_plugged_blocks_is_never_touched(void **u)
{
    struct rig *rig = rig_with_real_memory(0);
    struct rig_listener *listener = rig_listen(rig, "l");

    (void)u;
    assert_int_equal(rig_plug(rig, 2, 3), ACK);
    assert_int_equal(rig_plug(rig, 8, 1), ACK);
    for (uint64_t block = 2; block < 5; block++) {
        write_block(rig, block, block);
    }
    write_block(rig, 8, 8);
    for (int step = 0; step < 16; step++) {
        switch (step) {
        case 0:
            rig_plug(rig, 5, 3); /* neighbours come */
            break;
        case 1:
            rig_unplug(rig, 5, 3); /* and go */
            break;
        case 2:
            rig_plug(rig, 0, 5); /* ERROR */
            break;
        case 3:
            rig_unplug(rig, 4, 3); /* ERROR */
            break;
        case 4:
            listener->fail_always = true;
            rig_plug(rig, 5, 3); /* BUSY and undone */
            listener->fail_always = false;
            break;
        case 5:
            vmem_device_reset(rig->device, VMEM_RESET_DRIVER, NULL);
            break;
        case 6:
            vmem_device_reset(rig->device, VMEM_RESET_WAKEUP, NULL);
            break;
        case 7:
            rig_resize(rig, 0);
            break;
        case 8:
            rig_resize(rig, NR_BLOCKS * RIG_BLOCK);
            break;
        case 9:
            rig_freeze(rig, "migration");
            vmem_device_reset(rig->device, VMEM_RESET_SYSTEM, NULL);
            rig_unplug_all(rig);
            rig_thaw(rig, "migration");
            break;
        case 10:
            rig->memory.discard.error = -EIO;
            rig_plug(rig, 6, 1);
            rig_unplug(rig, 6, 1);
            rig->memory.discard.error = 0;
            break;
        case 11:
            vmem_region_retry_discards(rig->region, NULL);
            break;
        case 12:
            rig_unlisten(rig_listen(rig, "passing"));
            break;
        case 13:
            rig_state(rig, 0, NR_BLOCKS);
            break;
        case 14:
            vmem_device_notify_config(rig->device);
            break;
        default:
            vmem_device_set_driver_features(rig->device, 0);
            break;
        }
        for (uint64_t block = 2; block < 5; block++) {
            assert_int_equal(nr_wrong(rig, block, block), 0);
        }
        assert_int_equal(nr_wrong(rig, 8, 8), 0);
    }
    rig_free(rig);
}

/* Rule: MEM-01 */
static void removing_the_device_leaves_plugged_content(void **u)
{
    struct rig *rig = rig_with_real_memory(0);

    (void)u;
    assert_int_equal(rig_plug(rig, 2, 1), ACK);
    write_block(rig, 2, 2);
    rig_free_device(rig);
    assert_int_equal(nr_wrong(rig, 2, 2), 0);
    rig_free(rig);
}

/* Rule: MEM-02 */
static void plugged_blocks_can_be_read_and_written(void **u)
{
    struct rig *rig = rig_with_real_memory(0);

    (void)u;
    assert_int_equal(rig_plug(rig, 0, NR_BLOCKS), ACK);
    for (uint64_t block = 0; block < NR_BLOCKS; block++) {
        assert_int_equal(nr_wrong(rig, block, 0), 0);
        write_block(rig, block, block + 1);
    }
    for (uint64_t block = 0; block < NR_BLOCKS; block++) {
        assert_int_equal(nr_wrong(rig, block, block + 1), 0);
    }
    rig_free(rig);
}

/* Rule: MEM-02 */
static void who_maps_for_dma_has_every_plugged_block_at_the_answer(void **u)
{
    struct rig *rig = rig_with_real_memory(0);
    struct rig_listener *mapper =
        rig_listen_to(rig, "mapper", (struct vmem_range){ 0, 0 }, RIG_BLOCK,
                      VMEM_LISTENER_EXACT_DISCARD);

    (void)u;
    for (uint64_t block = 0; block < NR_BLOCKS; block += 3) {
        assert_int_equal(rig_plug(rig, block, 1), ACK);
        rig_check(rig);
    }
    assert_int_equal(mapper->nr_populates, 6);
    rig_free(rig);
}

/* Rule: MEM-03 */
static void content_of_unplugged_blocks_goes_back_to_the_host(void **u)
{
    struct rig *rig = rig_with_real_memory(0);

    (void)u;
    assert_int_equal(rig_plug(rig, 0, 4), ACK);
    for (uint64_t block = 0; block < 4; block++) {
        write_block(rig, block, block + 1);
    }
    assert_int_equal(rig_unplug(rig, 1, 2), ACK);
    assert_int_equal(nr_wrong(rig, 0, 1), 0);
    assert_int_equal(nr_wrong(rig, 1, 0), 0);
    assert_int_equal(nr_wrong(rig, 2, 0), 0);
    assert_int_equal(nr_wrong(rig, 3, 4), 0);
    rig_free(rig);
}

/* Rule: MEM-04 */
static void a_guest_that_writes_unplugged_blocks_harms_no_state(void **u)
{
    struct rig *rig = rig_with_real_memory(0);

    (void)u;
    rig_listen(rig, "l");
    assert_int_equal(rig_plug(rig, 0, 2), ACK);
    write_block(rig, 0, 1);
    write_block(rig, 5, 5); /* unplugged */
    rig_check(rig);
    rig_assert_plugged(rig, "0+2");
    assert_int_equal(rig_state(rig, 5, 1), VMEM_STATE_UNPLUGGED);
    assert_int_equal(rig_plug(rig, 5, 1), ACK);
    write_block(rig, 5, 6);
    assert_int_equal(nr_wrong(rig, 0, 1), 0);
    assert_int_equal(rig_unplug_all(rig), ACK);
    rig_check(rig);
    rig_free(rig);
}

/* Rule: MEM-05 */
static void unplugged_blocks_stay_readable_without_inaccessible(void **u)
{
    struct rig *rig = rig_with_real_memory(0);

    (void)u;
    assert_int_equal(vmem_device_set_driver_features(rig->device, 0), 0);
    assert_int_equal(rig_plug(rig, 0, NR_BLOCKS), ACK);
    write_block(rig, 3, 3);
    assert_int_equal(rig_unplug_all(rig), ACK);
    for (uint64_t block = 0; block < NR_BLOCKS; block++) {
        assert_int_equal(nr_wrong(rig, block, 0), 0);
    }
    rig_free(rig);
}

/* Rule: MEM-06 */
static void who_maps_has_nothing_of_unplugged_blocks(void **u)
{
    struct rig *rig =
        rig_with_real_memory(VMEM_DEVICE_F_UNPLUGGED_INACCESSIBLE);
    struct rig_listener *mapper = rig_listen(rig, "mapper");

    (void)u;
    assert_int_equal(vmem_device_set_driver_features(
                         rig->device, VMEM_DEVICE_F_UNPLUGGED_INACCESSIBLE),
                     0);
    assert_int_equal(rig_plug(rig, 0, 8), ACK);
    assert_int_equal(rig_unplug(rig, 2, 2), ACK);
    rig_assert_view(mapper, "0+2 4+4");
    assert_int_equal(rig_unplug_all(rig), ACK);
    rig_assert_view(mapper, "");
    rig_free(rig);
}

/* What the porting guides count on: a host may load the content of a block
 * before the block is plugged, if none is retained. */
static void a_plug_leaves_what_is_in_the_memory(void **u)
{
    struct rig *rig = rig_with_real_memory(0);

    (void)u;
    assert_int_equal(rig_plug(rig, 5, 1), ACK);
    rig->memory.discard.error = -EIO;
    assert_int_equal(rig_unplug(rig, 5, 1), ACK);
    rig->memory.discard.error = 0;
    write_block(rig, 3, 3);
    write_block(rig, 5, 5); /* retained */
    assert_int_equal(rig_plug(rig, 3, 1), ACK);
    assert_int_equal(rig_plug(rig, 5, 1), ACK);
    assert_int_equal(nr_wrong(rig, 3, 3), 0);
    assert_int_equal(nr_wrong(rig, 5, 0), 0);
    rig_check(rig);
    rig_free(rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(content_of_plugged_blocks_is_never_touched),
        cmocka_unit_test(removing_the_device_leaves_plugged_content),
        cmocka_unit_test(plugged_blocks_can_be_read_and_written),
        cmocka_unit_test(
            who_maps_for_dma_has_every_plugged_block_at_the_answer),
        cmocka_unit_test(content_of_unplugged_blocks_goes_back_to_the_host),
        cmocka_unit_test(a_guest_that_writes_unplugged_blocks_harms_no_state),
        cmocka_unit_test(unplugged_blocks_stay_readable_without_inaccessible),
        cmocka_unit_test(who_maps_has_nothing_of_unplugged_blocks),
        cmocka_unit_test(a_plug_leaves_what_is_in_the_memory),
    };

    return cmocka_run_group_tests_name("memory", tests, NULL, NULL);
}
