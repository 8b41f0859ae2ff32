/* SPDX-License-Identifier: BSD-3-Clause */
/* What other implementations got wrong (rows E1 to E45 of the notes), as far as
 * it concerns a device. Rows of other parts are in docs/testing.md. */
#include <errno.h>
#include <string.h>

#include "core/backing.h"
#include "support/device_rig.h"

#define ACK VMEM_RESPONSE_ACK
#define NACK VMEM_RESPONSE_NACK
#define BUSY VMEM_RESPONSE_BUSY
#define ERROR VMEM_RESPONSE_ERROR

static struct vmem_device_config good_config(void)
{
    return (struct vmem_device_config){
        .struct_size = sizeof(struct vmem_device_config),
        .name = "dev",
        .gpa = RIG_GPA,
        .block_size = RIG_BLOCK,
        .requested_size = RIG_REQUESTED,
    };
}

/* Row: E1 */
static void blocks_of_6_mib_are_refused(void **u)
{
    struct rig *rig = rig_new(&(struct rig_options){
        .no_device = true, .region_size = 600 * RIG_MIB });
    struct vmem_device_config config = good_config();
    struct vmem_error err = VMEM_ERROR_INIT;

    (void)u;
    config.block_size = 6 * RIG_MIB;
    config.gpa = 0;
    config.requested_size = 0;
    assert_int_equal(rig_make_device(rig, &config, &err), -EINVAL);
    rig_assert_error(&err, -EINVAL, VMEM_REASON_ALIGNMENT, "0x600000");
    rig_free(rig);
}

/* A Linux guest with 2 GiB memory blocks uses whole ones, at absolute multiples
 * of 2 GiB, from the start of the device to the end of the usable region. */
/* Row: E2 */
static void a_guest_with_2_gib_units_reaches_every_size(void **u)
{
    const uint64_t unit = 2 * RIG_GIB;
    static const uint64_t gpas[] = { 0x100000000, 0x140000000, 0x1c0200000 };

    (void)u;
    for (size_t i = 0; i < G_N_ELEMENTS(gpas); i++) {
        for (uint64_t requested = RIG_BLOCK; requested <= 60 * RIG_GIB;
             requested += 387 * RIG_MIB + RIG_MIB) {
            struct rig *rig = rig_new(&(struct rig_options){
                .quiet = true,
                .region_size = 64 * RIG_GIB,
                .config = { .gpa = gpas[i], .requested_size = requested } });
            const uint64_t first = (gpas[i] + unit - 1) / unit * unit;
            const uint64_t end =
                (gpas[i] + rig_config(rig).usable_region_size) / unit * unit;
            uint64_t left = requested;

            for (uint64_t gpa = first; gpa < end && left > 0; gpa += unit) {
                uint64_t part = left < unit ? left : unit;

                assert_int_equal(rig_request(rig, VMEM_REQUEST_PLUG, gpa,
                                             (uint16_t)(part / RIG_BLOCK)),
                                 ACK);
                left -= part;
            }
            assert_int_equal(left, 0);
            rig_free(rig);
        }
    }
}

/* Row: E3 */
static void after_a_reboot_a_full_cycle_works_and_the_memory_goes(void **u)
{
    struct rig *rig = rig_new_default();

    (void)u;
    assert_int_equal(rig_plug(rig, 0, 128), ACK);
    assert_int_equal(vmem_device_reset(rig->device, VMEM_RESET_SYSTEM, NULL),
                     0);
    assert_true(rig_config(rig).requested_size == RIG_REQUESTED);
    assert_int_equal(rig_plug(rig, 0, 128), ACK);
    assert_int_equal(rig_plug(rig, 128, 1), NACK);
    rig_resize(rig, 0);
    assert_int_equal(rig_unplug(rig, 0, 128), ACK);
    assert_int_equal(vmem_device_check_removable(rig->device, NULL), 0);
    rig_free(rig);
}

/* Row: E4 */
static void the_last_block_of_the_region_can_be_plugged(void **u)
{
    struct rig *rig = rig_new_default();

    (void)u;
    rig_resize(rig, RIG_REGION);
    assert_int_equal(rig_plug(rig, 511, 1), ACK);
    assert_int_equal(rig_plug(rig, 0, 511), ACK);
    assert_true(rig_config(rig).plugged_size == RIG_REGION);
    assert_int_equal(rig_unplug(rig, 0, 512), ACK);
    assert_int_equal(rig_plug(rig, 0, 512), ACK);
    assert_int_equal(rig_state(rig, 0, 512), VMEM_STATE_PLUGGED);
    rig_free(rig);
}

/* Row: E5 */
static void a_resize_works_in_every_status_of_the_device(void **u)
{
    struct rig *rig = rig_new_default();

    (void)u;
    for (int status = 0; status < 6; status++) {
        switch (status) {
        case 0: /* never driven */
            break;
        case 1: /* refused features */
            vmem_device_set_driver_features(rig->device, 1);
            break;
        case 2:
            vmem_device_set_driver_features(rig->device, 0);
            break;
        case 3: /* driver gone */
            vmem_device_reset(rig->device, VMEM_RESET_DRIVER, NULL);
            break;
        case 4:
            rig_freeze(rig, "migration");
            break;
        default:
            rig_thaw(rig, "migration");
            vmem_device_reset(rig->device, VMEM_RESET_SYSTEM, NULL);
            break;
        }
        rig_resize(rig, (uint64_t)(status + 1) * 10 * RIG_BLOCK);
        assert_true(rig_config(rig).requested_size ==
                    (uint64_t)(status + 1) * 10 * RIG_BLOCK);
    }
    rig_free(rig);
}

/* Row: E6 */
static void an_empty_region_and_a_size_beyond_it_are_no_crash(void **u)
{
    struct rig *rig = rig_new(&(struct rig_options){ .empty_region = true });
    struct vmem_error err = VMEM_ERROR_INIT;

    (void)u;
    assert_int_equal(vmem_device_resize(rig->device, RIG_BLOCK, &err), -ERANGE);
    rig_assert_error(&err, -ERANGE, VMEM_REASON_RANGE, "dev", "0x200000");
    rig_resize(rig, 0);
    assert_int_equal(rig_plug(rig, 0, 1), ERROR);
    rig_free(rig);
}

/* Row: E8 */
static void listeners_hear_of_plugs_and_never_of_resizes(void **u)
{
    struct rig *rig = rig_new_default();
    struct rig_listener *vfio = rig_listen(rig, "vfio");

    (void)u;
    rig_resize(rig, RIG_REGION);
    rig_resize(rig, RIG_BLOCK);
    rig_resize(rig, RIG_REGION);
    assert_int_equal(vfio->nr_populates + vfio->nr_discards, 0);
    assert_int_equal(rig_plug(rig, 7, 2), ACK);
    rig_resize(rig, 0);
    rig_assert_view(vfio, "7+2");
    rig_free(rig);
}

/* Row: E9 */
static void a_listener_that_left_has_nothing_and_hears_nothing(void **u)
{
    struct rig *rig = rig_new_default();
    struct rig_listener *stays = rig_listen(rig, "stays");
    struct rig_listener *leaves = rig_listen(rig, "leaves");
    uint64_t nr_calls;

    (void)u;
    assert_int_equal(rig_plug(rig, 0, 4), ACK);
    assert_int_equal(rig_plug(rig, 10, 4), ACK);
    rig_unlisten(leaves); /* asserts an empty view and one destroy */
    assert_int_equal(leaves->nr_discards, 2);
    nr_calls = leaves->nr_populates + leaves->nr_discards;
    assert_int_equal(rig_plug(rig, 4, 1), ACK);
    assert_int_equal(rig_unplug_all(rig), ACK);
    assert_int_equal(leaves->nr_populates + leaves->nr_discards, nr_calls);
    assert_int_equal(stays->nr_populates, 3);
    rig_free(rig);
}

/* Row: E10 E23 */
static void a_failed_plug_leaves_no_bit_no_size_and_no_mapping(void **u)
{
    for (uint64_t n = 1; n <= 8; n++) {
        struct rig *rig = rig_new_default();
        struct rig_listener *first = rig_listen(rig, "first");
        struct rig_listener *dma =
            rig_listen_to(rig, "dma", (struct vmem_range){ 0, 0 }, RIG_BLOCK,
                          VMEM_LISTENER_EXACT_DISCARD);
        struct rig_shot shot = rig_shot(rig);

        (void)u;
        dma->fail_at = n;
        assert_int_equal(rig_plug(rig, 0, 8), BUSY);
        rig_assert_same(rig, &shot);
        rig_assert_view(first, "");
        rig_assert_view(dma, "");
        assert_int_equal(dma->nr_discards, n - 1);
        assert_int_equal(rig_plug(rig, 0, 8), ACK);
        rig_free(rig);
    }
}

/* Row: E11 E15 E17 */
static void everybody_lets_go_before_memory_is_discarded(void **u)
{
    struct rig *rig = rig_new_default();

    (void)u;
    rig_listen(rig, "dma");
    rig_listen_to(rig, "slots", (struct vmem_range){ 0, 0 }, RIG_BLOCK,
                  VMEM_LISTENER_EXACT_DISCARD);
    assert_int_equal(rig_plug(rig, 0, 8), ACK);
    rig_clear_events(rig);
    assert_int_equal(rig_unplug(rig, 2, 2), ACK);
    rig_assert_events(rig, "discard slots 2+1; discard slots 3+1; discard dma "
                           "2+2; discard memory 2+2; size device");
    rig_clear_events(rig);
    assert_int_equal(rig_unplug_all(rig), ACK);
    rig_assert_events(
        rig, "discard slots 0+1; discard slots 1+1; discard slots 4+1; discard "
             "slots 5+1; discard slots 6+1; discard slots 7+1; discard dma "
             "0+2; discard dma 4+4; discard memory 0+2; discard memory 4+4; "
             "size device");
    rig_free(rig);
}

static void touch_what_was_plugged(struct rig *rig)
{
    *(uint64_t *)rig->user = rig_config(rig).plugged_size;
    rig->memory.hva[0] = 0x5a;
}

/* Row: E12 */
static void at_completion_config_and_memory_are_ready(void **u)
{
    struct rig *rig = rig_new(
        &(struct rig_options){ .real_memory = true,
                               .region_size = 16 * RIG_MIB,
                               .config = { .requested_size = 16 * RIG_MIB } });
    uint64_t plugged = 0;

    (void)u;
    rig->user = &plugged;
    rig->on_size_changed = touch_what_was_plugged;
    assert_int_equal(rig_plug(rig, 0, 1), ACK);
    assert_true(plugged == RIG_BLOCK);
    assert_int_equal(rig->memory.hva[0], 0x5a);
    rig->on_size_changed = NULL;
    rig_free(rig);
}

/* Row: E13 */
static void a_discard_that_fails_is_never_answered_error(void **u)
{
    struct rig *rig = rig_new_default();

    (void)u;
    assert_int_equal(rig_plug(rig, 0, 8), ACK);
    rig->memory.discard.error = -EIO;
    assert_int_equal(rig_unplug(rig, 0, 4), ACK);
    assert_int_equal(rig_unplug_all(rig), ACK);
    assert_true(rig_info(rig).retained_size == 8 * RIG_BLOCK);
    rig->memory.discard.error = 0;
    rig_free(rig);
}

/* Row: E14 */
static void the_bitmap_has_the_configured_blocks(void **u)
{
    static const uint64_t block_sizes[] = { 4096, RIG_MIB, RIG_BLOCK,
                                            512 * RIG_MIB, RIG_GIB };

    (void)u;
    for (size_t i = 0; i < G_N_ELEMENTS(block_sizes); i++) {
        struct rig *rig = rig_new(&(struct rig_options){
            .quiet = true,
            .has_memory = true,
            .region_size = 2 * RIG_GIB,
            .config = { .block_size = block_sizes[i],
                        .gpa = 4 * RIG_GIB,
                        .requested_size = 2 * RIG_GIB,
                        .usable_policy = VMEM_USABLE_ALL } });
        const uint64_t nr_blocks = 2 * RIG_GIB / block_sizes[i];

        assert_int_equal(rig_plug(rig, nr_blocks - 1, 1), ACK);
        assert_int_equal(rig_plug(rig, nr_blocks, 1), ERROR);
        assert_int_equal(rig_state(rig, nr_blocks - 1, 1), VMEM_STATE_PLUGGED);
        assert_int_equal(rig_state(rig, nr_blocks - 2, 1),
                         VMEM_STATE_UNPLUGGED);
        assert_int_equal(rig_plug(rig, nr_blocks - 2, 1), ACK);
        rig_free(rig);
    }
}

/* Row: E18 */
static void repeated_unplug_alls_discard_nothing(void **u)
{
    struct rig *rig = rig_new_default();
    uint64_t nr_calls;

    (void)u;
    assert_int_equal(rig_plug(rig, 0, 4), ACK);
    assert_int_equal(rig_unplug_all(rig), ACK);
    nr_calls = rig_nr_memory_calls(rig);
    assert_int_equal(rig_unplug_all(rig), ACK);
    assert_int_equal(rig_unplug_all(rig), ACK);
    assert_int_equal(rig_nr_memory_calls(rig), nr_calls);
    rig_free(rig);
}

/* Row: E19 */
static void no_size_from_the_host_wraps(void **u)
{
    static const uint64_t sizes[] = { UINT64_MAX, UINT64_MAX - RIG_BLOCK + 1,
                                      (uint64_t)1 << 63,
                                      RIG_REGION + RIG_BLOCK };
    struct rig *rig = rig_new(&(struct rig_options){ .no_device = true });

    (void)u;
    for (size_t i = 0; i < G_N_ELEMENTS(sizes); i++) {
        struct vmem_device_config config = good_config();

        config.requested_size = sizes[i];
        assert_true(rig_make_device(rig, &config, NULL) < 0);
        config = good_config();
        config.usable_region_size = sizes[i];
        assert_true(rig_make_device(rig, &config, NULL) < 0);
        config = good_config();
        config.block_size = sizes[i];
        assert_true(rig_make_device(rig, &config, NULL) < 0);
    }
    rig_free(rig);
}

/* Row: E20 */
static void good_requests_around_a_bad_one_complete(void **u)
{
    struct rig *rig = rig_new_default();
    uint8_t bad[VMEM_DEVICE_REQUEST_SIZE - 1] = { 0 };

    (void)u;
    assert_int_equal(rig_plug(rig, 0, 1), ACK);
    rig_malformed(rig, bad, sizeof(bad), 10, VMEM_MALFORMED_SHORT_REQUEST);
    assert_int_equal(rig_plug(rig, 1, 1), ACK);
    rig_assert_plugged(rig, "0+2");
    rig_free(rig);
}

/* Row: E21 */
static void a_plug_that_races_with_a_shrink_is_nacked(void **u)
{
    struct rig *rig = rig_new_default();

    (void)u;
    assert_int_equal(rig_plug(rig, 0, 64), ACK);
    rig_resize(rig, 32 * RIG_BLOCK);
    assert_int_equal(rig_plug(rig, 64, 64), NACK);
    assert_int_equal(rig_plug(rig, 64, 1), NACK);
    rig_resize(rig, 0);
    assert_int_equal(rig_plug(rig, 64, 1), NACK);
    rig_free(rig);
}

/* Row: E22 */
static void after_unplug_all_the_guest_can_plug_up_to_requested(void **u)
{
    for (uint64_t policy = 0; policy <= VMEM_USABLE_EXTENT; policy++) {
        struct rig *rig = rig_new(
            &(struct rig_options){ .config = { .usable_policy = policy } });

        (void)u;
        assert_int_equal(rig_plug(rig, 0, 128), ACK);
        assert_int_equal(rig_unplug_all(rig), ACK);
        assert_int_equal(rig_plug(rig, 0, 128), ACK);
        rig_free(rig);
    }
}

/* Row: E24 */
static void a_malformed_plug_over_the_size_is_an_error_not_a_nack(void **u)
{
    struct rig *rig = rig_new_default();

    (void)u;
    assert_int_equal(rig_request(rig, VMEM_REQUEST_PLUG, RIG_GPA + 1, 200),
                     ERROR);
    assert_int_equal(rig_plug(rig, 255, 200), ERROR);
    assert_int_equal(rig_plug(rig, 0, 65535), ERROR);
    rig_free(rig);
}

/* Row: E25 */
static void plugged_blocks_over_the_size_are_an_error_not_a_nack(void **u)
{
    struct rig *rig = rig_new_default();

    (void)u;
    assert_int_equal(rig_plug(rig, 0, 128), ACK);
    assert_int_equal(rig_plug(rig, 0, 1), ERROR);
    assert_int_equal(rig_plug(rig, 127, 2), ERROR);
    assert_int_equal(rig_plug(rig, 128, 1), NACK);
    rig_free(rig);
}

/* Row: E26 */
static void requested_above_the_region_is_refused_at_creation(void **u)
{
    struct rig *rig = rig_new(&(struct rig_options){ .no_device = true });
    struct vmem_device_config config = good_config();

    (void)u;
    config.requested_size = RIG_REGION + RIG_BLOCK;
    assert_int_equal(rig_make_device(rig, &config, NULL), -ERANGE);
    config.requested_size = RIG_REGION;
    assert_int_equal(rig_make_device(rig, &config, NULL), 0);
    rig_free(rig);
}

/* Row: E27 */
static void state_below_the_region_is_an_error_without_a_state(void **u)
{
    static const uint64_t gpas[] = { 0, 1, RIG_GPA - RIG_BLOCK, RIG_GPA - 1 };
    struct rig *rig = rig_new_default();

    (void)u;
    for (size_t i = 0; i < G_N_ELEMENTS(gpas); i++) {
        assert_int_equal(rig_request(rig, VMEM_REQUEST_STATE, gpas[i], 1),
                         ERROR);
        assert_int_equal(rig->state, 0);
    }
    rig_free(rig);
}

/* Row: E28 */
static void a_longer_request_is_accepted(void **u)
{
    struct rig *rig = rig_new_default();
    uint8_t request[4096];

    (void)u;
    memset(request, 0xff, sizeof(request));
    rig_encode(request, VMEM_REQUEST_PLUG, RIG_GPA, 1);
    assert_int_equal(rig_request_bytes(rig, request, sizeof(request)), ACK);
    rig_free(rig);
}

/* Row: E29 */
static void an_unplug_all_that_fails_half_way_is_consistent(void **u)
{
    for (uint64_t n = 1; n <= 3; n++) {
        struct rig *rig = rig_new_default();

        (void)u;
        rig_listen(rig, "l");
        assert_int_equal(rig_plug(rig, 0, 1), ACK);
        assert_int_equal(rig_plug(rig, 2, 1), ACK);
        assert_int_equal(rig_plug(rig, 4, 1), ACK);
        rig->memory.discard.fail_at = rig->memory.discard.nr_calls + n;
        assert_int_equal(rig_unplug_all(rig), ACK);
        assert_int_equal(rig_config(rig).plugged_size, 0);
        rig_assert_plugged(rig, "");
        rig_check(rig);
        assert_true(rig_info(rig).retained_size == RIG_BLOCK);
        rig_free(rig);
    }
}

static void scribble(struct rig *rig)
{
    memset(rig->user, 0xff, VMEM_DEVICE_REQUEST_SIZE);
}

/* Row: E31 */
static void a_request_is_read_once(void **u)
{
    struct rig *rig = rig_new_default();
    uint8_t request[VMEM_DEVICE_REQUEST_SIZE];

    (void)u;
    rig_listen(rig, "l");
    rig->user = request;
    rig->on_populate = scribble;
    rig_encode(request, VMEM_REQUEST_PLUG, RIG_GPA + 3 * RIG_BLOCK, 2);
    assert_int_equal(rig_request_bytes(rig, request, sizeof(request)), ACK);
    rig_assert_plugged(rig, "3+2");
    rig->on_populate = NULL;
    rig_free(rig);
}

/* Row: E32 */
static void a_wake_up_unplugs_nothing(void **u)
{
    struct rig *rig = rig_new_default();

    (void)u;
    assert_int_equal(rig_plug(rig, 0, 100), ACK);
    assert_int_equal(vmem_device_reset(rig->device, VMEM_RESET_WAKEUP, NULL),
                     0);
    rig_assert_plugged(rig, "0+100");
    rig_free(rig);
}

/* Row: E33 */
static void every_chain_completes_whatever_is_wrong(void **u)
{
    struct rig *rig = rig_new(&(struct rig_options){ .populates = true });
    struct rig_listener *listener = rig_listen(rig, "l");
    uint8_t request[VMEM_DEVICE_REQUEST_SIZE];
    uint8_t response[VMEM_DEVICE_RESPONSE_SIZE];
    uint64_t seed = 3;

    (void)u;
    for (int i = 0; i < 2000; i++) {
        uint64_t random = rig_random(&seed);
        int verdict;

        listener->fail_always = (random & 1) != 0;
        rig->memory.discard.error = (random & 2) != 0 ? -EIO : 0;
        rig->memory.populate.error = (random & 4) != 0 ? -ENOMEM : 0;
        rig->memory.zero.error = (random & 8) != 0 ? -EIO : 0;
        rig_encode(request, (uint16_t)(random >> 4 & 7),
                   RIG_GPA + (random >> 8 & 0xff) * RIG_BLOCK,
                   (uint16_t)(random >> 16 & 7));
        verdict = vmem_device_handle_request(
            rig->device, request, (random >> 20 & 15) != 0 ? 24 : 23, response,
            (random >> 24 & 15) != 0 ? 10 : 9, NULL);
        assert_in_range(verdict, VMEM_REQUEST_RESPOND, VMEM_REQUEST_MALFORMED);
    }
    rig->memory.discard.error = 0;
    rig_free(rig);
}

/* The device does not care; the guide says why guests do. */
/* Row: E34 */
static void a_region_at_address_0_works(void **u)
{
    struct rig *rig = rig_new(&(struct rig_options){
        .exact_config = true,
        .region_size = RIG_REGION,
        .config = { .block_size = RIG_BLOCK, .requested_size = RIG_REGION } });

    (void)u;
    assert_int_equal(rig_request(rig, VMEM_REQUEST_PLUG, 0, 512), ACK);
    assert_int_equal(rig_request(rig, VMEM_REQUEST_STATE, 0, 1), ACK);
    assert_int_equal(
        rig_request(rig, VMEM_REQUEST_STATE, UINT64_MAX - RIG_BLOCK + 1, 1),
        ERROR);
    rig_free(rig);
}

/* Row: E35 */
static void an_odd_region_size_is_refused_with_both_numbers(void **u)
{
    struct rig *rig = rig_new(&(struct rig_options){
        .no_device = true, .region_size = 15 * RIG_GIB + 4096 });
    struct vmem_device_config config = good_config();
    struct vmem_error err = VMEM_ERROR_INIT;

    (void)u;
    assert_int_equal(rig_make_device(rig, &config, &err), -EINVAL);
    rig_assert_error(&err, -EINVAL, VMEM_REASON_ALIGNMENT, "0x3c0001000",
                     "0x200000", "region");
    rig_free(rig);
}

/* Row: E36 */
static void a_guest_that_plugs_and_rolls_back_forever_costs_little(void **u)
{
    struct rig *rig = rig_new_default();
    uint64_t nr_calls = rig_nr_memory_calls(rig);

    (void)u;
    for (int i = 0; i < 1000; i++) {
        assert_int_equal(rig_plug(rig, 0, 64), ACK);
        assert_int_equal(rig_unplug(rig, 0, 64), ACK);
    }
    assert_int_equal(rig_config(rig).plugged_size, 0);
    assert_int_equal(rig_nr_memory_calls(rig) - nr_calls, 1000);
    assert_int_equal(rig->logs->len, 0);
    rig_free(rig);
}

/* Row: E38 */
static void asking_for_the_same_size_notifies(void **u)
{
    struct rig *rig = rig_new_default();

    (void)u;
    rig_resize(rig, RIG_REQUESTED);
    assert_int_equal(rig->nr_config_changed, 1);
    assert_int_equal(rig_stats(rig).nr_resizes, 1);
    rig_free(rig);
}

/* Row: E39 */
static void blocks_too_small_for_a_guest_s_unit_are_warned_about(void **u)
{
    struct rig *rig = rig_new(
        &(struct rig_options){ .config = { .block_size = 32 * RIG_KIB } });

    (void)u;
    assert_int_equal(rig_nr_logs(rig, VMEM_LOG_CODE_SMALL_BLOCKS), 1);
    /* What such a guest sends: 65536 truncated to 16 bits. */
    assert_int_equal(rig_plug(rig, 0, (uint16_t)(2 * RIG_GIB / RIG_KIB / 32)),
                     ERROR);
    rig_free(rig);
}

struct nacked {
    uint64_t nr_notified;
    uint16_t response;
};

static void ask_again(struct rig *rig)
{
    struct nacked *nacked = rig->user;
    uint8_t request[VMEM_DEVICE_REQUEST_SIZE];
    uint8_t response[VMEM_DEVICE_RESPONSE_SIZE];
    struct rig_config config = rig_config(rig);

    /* A guest that plugs what it now sees is not nacked. */
    nacked->nr_notified++;
    rig_encode(
        request, VMEM_REQUEST_PLUG, RIG_GPA,
        (uint16_t)((config.requested_size - config.plugged_size) / RIG_BLOCK));
    vmem_device_handle_request(rig->device, request, sizeof(request), response,
                               sizeof(response), NULL);
    nacked->response = response[0];
}

/* Row: E40 */
static void a_nack_always_has_a_notification_on_its_way(void **u)
{
    struct rig *rig = rig_new_default();
    struct nacked nacked = { 0, 0xff };

    (void)u;
    rig->user = &nacked;
    rig->on_config_changed = ask_again;
    rig_resize(rig, 64 * RIG_BLOCK);
    assert_int_equal(nacked.nr_notified, 1);
    assert_int_equal(nacked.response, ACK);
    rig->on_config_changed = NULL;
    rig_free(rig);
}

static int discard_nothing(struct vmem_backing *backing,
                           const struct vmem_range *range, uint64_t *done)
{
    (void)backing;
    *done = range->size;
    return 0;
}

static void destroy_nothing(void *impl)
{
    (void)impl;
}

/* Row: E41 */
static void shared_memory_without_inaccessible_is_warned_about(void **u)
{
    static const struct vmemi_backing_ops ops = { .discard = discard_nothing,
                                                  .destroy = destroy_nothing };
    const struct vmemi_backing_traits traits = {
        .name = "memfd",
        .size = RIG_REGION,
        .page_size = 4096,
        .default_block_size = RIG_BLOCK,
        .read_allocates = true,
    };
    struct rig *rig = rig_new(&(struct rig_options){ .no_device = true });
    struct vmem_device_config config = good_config();
    struct vmem_region_config region_config = {
        .struct_size = sizeof(region_config),
        .name = "shared",
    };
    struct vmem_region *region;
    struct vmem_device *device;

    (void)u;
    config.flags = VMEM_DEVICE_NO_UNPLUGGED_INACCESSIBLE;
    assert_int_equal(vmemi_backing_new(rig->vm, &traits, &ops, rig,
                                       &region_config.backing, NULL),
                     0);
    assert_int_equal(vmem_region_new(rig->vm, &region_config, &region, NULL),
                     0);
    assert_int_equal(
        vmem_device_new(region, &config, NULL, NULL, &device, NULL), 0);
    assert_int_equal(rig_nr_logs(rig, VMEM_LOG_CODE_READ_ALLOCATES), 1);
    assert_int_equal(vmem_device_free(device, NULL), 0);
    assert_int_equal(vmem_region_free(region, NULL), 0);
    assert_int_equal(vmem_backing_free(region_config.backing, NULL), 0);
    rig_free(rig);
}

/* Row: E42 */
static void while_frozen_blocks_stay_and_only_the_size_may_be_asked(void **u)
{
    struct rig *rig = rig_new_default();

    (void)u;
    rig_listen(rig, "l");
    assert_int_equal(rig_plug(rig, 0, 4), ACK);
    rig_freeze(rig, "migration");
    for (int i = 0; i < 10; i++) {
        assert_int_equal(rig_plug(rig, 10, 1), BUSY);
        assert_int_equal(rig_unplug(rig, 0, 1), BUSY);
        assert_int_equal(rig_unplug_all(rig), BUSY);
        rig_resize(rig, (uint64_t)(100 + i) * RIG_BLOCK);
    }
    rig_assert_plugged(rig, "0+4");
    assert_true(rig_config(rig).requested_size == 109 * RIG_BLOCK);
    rig_thaw(rig, "migration");
    rig_free(rig);
}

/* Row: E43 */
static void usable_never_ends_below_a_plugged_block(void **u)
{
    struct rig *rig = rig_new_default();

    (void)u;
    assert_int_equal(rig_plug(rig, 255, 1), ACK);
    rig_resize(rig, 0);
    assert_true(rig_config(rig).usable_region_size == RIG_USABLE);
    rig_check(rig);
    rig_freeze(rig, "migration");
    vmem_device_reset(rig->device, VMEM_RESET_SYSTEM, NULL);
    rig_unplug_all(rig);
    rig_check(rig);
    rig_thaw(rig, "migration");
    assert_int_equal(rig_unplug(rig, 255, 1), ACK);
    rig_free(rig);
}

/* Row: E44 */
static void unplug_all_discards_exactly_the_plugged_runs(void **u)
{
    struct rig *rig = rig_new_default();
    struct rig_listener *part = rig_listen_to(
        rig, "part", (struct vmem_range){ 5 * RIG_BLOCK, 10 * RIG_BLOCK }, 0,
        0);

    (void)u;
    assert_int_equal(rig_plug(rig, 0, 6), ACK);
    assert_int_equal(rig_plug(rig, 8, 2), ACK);
    assert_int_equal(rig_plug(rig, 14, 10), ACK);
    assert_int_equal(rig_plug(rig, 100, 1), ACK);
    rig_assert_view(part, "5+1 8+2 14+1");
    rig_clear_events(rig);
    assert_int_equal(rig_unplug_all(rig), ACK);
    rig_assert_events(rig, "discard part 5+1; discard part 8+2; discard part "
                           "14+1; discard memory 0+6; discard memory 8+2; "
                           "discard memory 14+10; discard memory 100+1; size "
                           "device");
    rig_free(rig);
}

/* Row: E45 */
static void a_listener_refused_in_its_replay_is_not_registered(void **u)
{
    struct rig *rig = rig_new_default();
    struct rig_listener *listener;
    const struct vmem_listener_config config = {
        .struct_size = sizeof(config),
        .name = "late",
    };

    (void)u;
    assert_int_equal(rig_plug(rig, 0, 1), ACK);
    assert_int_equal(rig_plug(rig, 5, 2), ACK);
    assert_int_equal(rig_plug(rig, 9, 1), ACK);
    listener = rig_listener_new(rig, "late");
    listener->fail_at = 3;
    rig_clear_events(rig);
    assert_int_equal(rig_listener_add(listener, &config, NULL), -ENOSPC);
    rig_assert_events(rig, "populate late 0+1; populate late 5+2; veto late "
                           "9+1; discard late 0+1; discard late 5+2");
    assert_int_equal(listener->nr_destroys, 1);
    rig_free(rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(blocks_of_6_mib_are_refused),
        cmocka_unit_test(a_guest_with_2_gib_units_reaches_every_size),
        cmocka_unit_test(after_a_reboot_a_full_cycle_works_and_the_memory_goes),
        cmocka_unit_test(the_last_block_of_the_region_can_be_plugged),
        cmocka_unit_test(a_resize_works_in_every_status_of_the_device),
        cmocka_unit_test(an_empty_region_and_a_size_beyond_it_are_no_crash),
        cmocka_unit_test(listeners_hear_of_plugs_and_never_of_resizes),
        cmocka_unit_test(a_listener_that_left_has_nothing_and_hears_nothing),
        cmocka_unit_test(a_failed_plug_leaves_no_bit_no_size_and_no_mapping),
        cmocka_unit_test(everybody_lets_go_before_memory_is_discarded),
        cmocka_unit_test(at_completion_config_and_memory_are_ready),
        cmocka_unit_test(a_discard_that_fails_is_never_answered_error),
        cmocka_unit_test(the_bitmap_has_the_configured_blocks),
        cmocka_unit_test(repeated_unplug_alls_discard_nothing),
        cmocka_unit_test(no_size_from_the_host_wraps),
        cmocka_unit_test(good_requests_around_a_bad_one_complete),
        cmocka_unit_test(a_plug_that_races_with_a_shrink_is_nacked),
        cmocka_unit_test(after_unplug_all_the_guest_can_plug_up_to_requested),
        cmocka_unit_test(a_malformed_plug_over_the_size_is_an_error_not_a_nack),
        cmocka_unit_test(plugged_blocks_over_the_size_are_an_error_not_a_nack),
        cmocka_unit_test(requested_above_the_region_is_refused_at_creation),
        cmocka_unit_test(state_below_the_region_is_an_error_without_a_state),
        cmocka_unit_test(a_longer_request_is_accepted),
        cmocka_unit_test(an_unplug_all_that_fails_half_way_is_consistent),
        cmocka_unit_test(a_request_is_read_once),
        cmocka_unit_test(a_wake_up_unplugs_nothing),
        cmocka_unit_test(every_chain_completes_whatever_is_wrong),
        cmocka_unit_test(a_region_at_address_0_works),
        cmocka_unit_test(an_odd_region_size_is_refused_with_both_numbers),
        cmocka_unit_test(
            a_guest_that_plugs_and_rolls_back_forever_costs_little),
        cmocka_unit_test(asking_for_the_same_size_notifies),
        cmocka_unit_test(blocks_too_small_for_a_guest_s_unit_are_warned_about),
        cmocka_unit_test(a_nack_always_has_a_notification_on_its_way),
        cmocka_unit_test(shared_memory_without_inaccessible_is_warned_about),
        cmocka_unit_test(
            while_frozen_blocks_stay_and_only_the_size_may_be_asked),
        cmocka_unit_test(usable_never_ends_below_a_plugged_block),
        cmocka_unit_test(unplug_all_discards_exactly_the_plugged_runs),
        cmocka_unit_test(a_listener_refused_in_its_replay_is_not_registered),
    };

    return cmocka_run_group_tests_name("device_errors", tests, NULL, NULL);
}
