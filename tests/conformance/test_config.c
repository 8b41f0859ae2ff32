/* SPDX-License-Identifier: BSD-3-Clause */
/* Rules CFG-01 to CFG-18: the configuration space and the sizes in it. */
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

#include "support/device_rig.h"

static const struct vmem_device_config base_config = {
    .struct_size = sizeof(struct vmem_device_config),
    .name = "dev",
    .gpa = RIG_GPA,
    .block_size = RIG_BLOCK,
    .requested_size = RIG_REQUESTED,
    .usable_policy = VMEM_USABLE_EXTENT,
    .usable_headroom = RIG_USABLE - RIG_REQUESTED,
};

static struct rig *rig_without_device(uint64_t region_size)
{
    return rig_new(&(struct rig_options){ .no_device = true,
                                          .region_size = region_size,
                                          .empty_region = region_size == 0 });
}

/* Rule: CFG-01 CFG-16 */
static void config_space_is_56_little_endian_bytes_with_zero_padding(void **u)
{
    const struct vmem_device_config config = {
        .struct_size = sizeof(config),
        .name = "dev",
        .gpa = 0x0102030405200000,
        .block_size = 0x200000,
        .requested_size = 0x200000,
        .usable_region_size = 0x600000,
        .features = VMEM_DEVICE_F_ACPI_PXM,
        .node_id = 0x1234,
    };
    static const uint8_t expected[VMEM_DEVICE_CONFIG_SIZE] = {
        0x00, 0x00, 0x20, 0x00, 0,    0,    0,    0,    /* block_size */
        0x34, 0x12, 0,    0,    0,    0,    0,    0,    /* node_id, padding */
        0x00, 0x00, 0x20, 0x05, 0x04, 0x03, 0x02, 0x01, /* addr */
        0x00, 0x00, 0x80, 0x00, 0,    0,    0,    0,    /* region_size */
        0x00, 0x00, 0x60, 0x00, 0,    0,    0,    0,    /* usable_region_size */
        0x00, 0x00, 0x20, 0x00, 0,    0,    0,    0,    /* plugged_size */
        0x00, 0x00, 0x20, 0x00, 0,    0,    0,    0,    /* requested_size */
    };
    struct rig *rig = rig_without_device(0x800000);
    uint8_t bytes[64];

    (void)u;
    assert_int_equal(rig_make_device(rig, &config, NULL), 0);
    assert_int_equal(rig_plug(rig, 0, 1), VMEM_RESPONSE_ACK);
    memset(bytes, 0xee, sizeof(bytes));
    assert_int_equal(vmem_device_read_config(rig->device, 0, bytes, 64), 0);
    assert_memory_equal(bytes, expected, sizeof(expected));
    for (size_t i = sizeof(expected); i < sizeof(bytes); i++) {
        assert_int_equal(bytes[i], 0);
    }
    /* Every narrower read, at every offset, is a window of the same. */
    for (size_t offset = 0; offset < 60; offset++) {
        for (size_t size = 0; size <= 8; size++) {
            uint8_t part[10];

            memset(part, 0xee, sizeof(part));
            assert_int_equal(
                vmem_device_read_config(rig->device, offset, part, size), 0);
            for (size_t i = 0; i < size; i++) {
                assert_int_equal(part[i], offset + i < sizeof(expected)
                                              ? expected[offset + i]
                                              : 0);
            }
            assert_int_equal(part[size], 0xee);
        }
    }
    rig_free(rig);
}

/* Rule: CFG-16 */
static void reads_beyond_the_config_space_are_zero(void **u)
{
    static const size_t offsets[] = {
        56, 57, 64, 4096, SIZE_MAX - 3, SIZE_MAX
    };
    struct rig *rig = rig_new_default();
    uint8_t bytes[4];

    (void)u;
    for (size_t i = 0; i < G_N_ELEMENTS(offsets); i++) {
        memset(bytes, 0xee, sizeof(bytes));
        assert_int_equal(
            vmem_device_read_config(rig->device, offsets[i], bytes, 4), 0);
        for (size_t j = 0; j < 4; j++) {
            assert_int_equal(bytes[j], 0);
        }
    }
    assert_int_equal(vmem_device_read_config(rig->device, 0, NULL, 0), 0);
    assert_int_equal(vmem_device_read_config(rig->device, 0, NULL, 1), -EINVAL);
    assert_int_equal(vmem_device_read_config(NULL, 0, bytes, 1), -EINVAL);
    rig_free(rig);
}

/* Rule: CFG-02 */
static void block_size_is_a_power_of_two(void **u)
{
    static const uint64_t bad[] = {
        3, 6 * RIG_MIB, RIG_BLOCK + 1, RIG_BLOCK - 1, 3 * RIG_GIB, UINT64_MAX,
    };

    (void)u;
    for (unsigned int shift = 12; shift <= 30; shift++) {
        struct vmem_device_config config = base_config;
        struct rig *rig = rig_without_device(RIG_GIB);

        config.block_size = (uint64_t)1 << shift;
        config.requested_size = RIG_GIB;
        assert_int_equal(rig_make_device(rig, &config, NULL), 0);
        assert_true(rig_config(rig).block_size == config.block_size);
        rig_free(rig);
    }
    for (size_t i = 0; i < G_N_ELEMENTS(bad); i++) {
        struct vmem_device_config config = base_config;
        struct rig *rig = rig_without_device(6 * RIG_GIB);
        struct vmem_error err = VMEM_ERROR_INIT;

        config.block_size = bad[i];
        assert_int_equal(rig_make_device(rig, &config, &err), -EINVAL);
        rig_assert_error(&err, -EINVAL, VMEM_REASON_ALIGNMENT, "dev",
                         "power of two");
        assert_null(rig->device);
        rig_free(rig);
    }
}

/* Rule: CFG-03 */
static void sizes_that_are_no_multiple_of_the_block_size_are_refused(void **u)
{
    static const struct {
        uint64_t region_size;
        uint64_t gpa;
        uint64_t requested_size;
        uint64_t usable_region_size;
    } cases[] = {
        { RIG_REGION, RIG_GPA + 1, 0, 0 },
        { RIG_REGION, RIG_GPA + RIG_MIB, 0, 0 },
        { RIG_REGION + RIG_MIB, RIG_GPA, 0, 0 },
        { RIG_REGION - 1, RIG_GPA, 0, 0 },
        { RIG_MIB, RIG_GPA, 0, 0 },
        { RIG_REGION, RIG_GPA, 1, 0 },
        { RIG_REGION, RIG_GPA, RIG_BLOCK + RIG_MIB, 0 },
        { RIG_REGION, RIG_GPA, 0, 1 },
        { RIG_REGION, RIG_GPA, RIG_BLOCK, RIG_BLOCK + 1 },
        { RIG_REGION, RIG_GPA, RIG_BLOCK, RIG_BLOCK + RIG_MIB },
    };

    (void)u;
    for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
        struct vmem_device_config config = base_config;
        struct rig *rig = rig_without_device(cases[i].region_size);
        struct vmem_error err = VMEM_ERROR_INIT;

        config.gpa = cases[i].gpa;
        config.requested_size = cases[i].requested_size;
        config.usable_region_size = cases[i].usable_region_size;
        assert_int_equal(rig_make_device(rig, &config, &err), -EINVAL);
        rig_assert_error(&err, -EINVAL, VMEM_REASON_ALIGNMENT, "dev",
                         "multiple");
        rig_free(rig);
    }
}

/* Rule: CFG-03 CFG-05 CFG-06 CFG-08 */
static void sizes_stay_consistent_through_a_device_s_life(void **u)
{
    static const uint64_t policies[] = {
        VMEM_USABLE_DEFAULT,
        VMEM_USABLE_ALL,
        VMEM_USABLE_UNIT,
        VMEM_USABLE_EXTENT,
    };
    static const uint64_t ns[] = { 0, 1, 3 * RIG_MIB + 5, 128 * RIG_MIB,
                                   UINT64_MAX };
    static const uint64_t sizes[] = { 0, 1, 100, 511, 512, 3, 0 };

    (void)u;
    for (size_t i = 0; i < G_N_ELEMENTS(policies) * G_N_ELEMENTS(ns); i++) {
        struct rig *rig = rig_new(&(struct rig_options){
            .config = { .usable_policy = policies[i % 4],
                        .usable_headroom = ns[i / 4] } });

        rig_check(rig);
        for (size_t j = 0; j < G_N_ELEMENTS(sizes); j++) {
            rig_resize(rig, sizes[j] * RIG_BLOCK);
            rig_check(rig);
            rig_plug(rig, j, 1);
            rig_check(rig);
            if (j == 3) {
                assert_int_equal(rig_unplug_all(rig), VMEM_RESPONSE_ACK);
                rig_check(rig);
            }
        }
        assert_int_equal(
            vmem_device_reset(rig->device, VMEM_RESET_SYSTEM, NULL), 0);
        rig_check(rig);
        assert_int_equal(rig_config(rig).plugged_size, 0);
        rig_free(rig);
    }
}

/* Rule: CFG-04 */
static void an_empty_region_rejects_every_range_and_acks_unplug_all(void **u)
{
    static const uint16_t types[] = { VMEM_REQUEST_PLUG, VMEM_REQUEST_UNPLUG,
                                      VMEM_REQUEST_STATE };
    struct rig *rig = rig_new(&(struct rig_options){ .empty_region = true });

    (void)u;
    assert_int_equal(rig_config(rig).region_size, 0);
    assert_int_equal(rig_config(rig).usable_region_size, 0);
    for (size_t i = 0; i < G_N_ELEMENTS(types); i++) {
        assert_int_equal(rig_request(rig, types[i], RIG_GPA, 1),
                         VMEM_RESPONSE_ERROR);
        assert_int_equal(rig_request(rig, types[i], RIG_GPA, 0),
                         VMEM_RESPONSE_ERROR);
        assert_int_equal(rig_request(rig, types[i], 0, 0xffff),
                         VMEM_RESPONSE_ERROR);
    }
    assert_int_equal(rig_unplug_all(rig), VMEM_RESPONSE_ACK);
    assert_int_equal(vmem_device_reset(rig->device, VMEM_RESET_SYSTEM, NULL),
                     0);
    rig_resize(rig, 0);
    assert_int_equal(vmem_device_resize(rig->device, RIG_BLOCK, NULL), -ERANGE);
    rig_free(rig);
}

/* Rule: CFG-05 */
static void usable_below_requested_is_refused_at_creation(void **u)
{
    struct vmem_device_config config = base_config;
    struct rig *rig = rig_without_device(RIG_REGION);
    struct vmem_error err = VMEM_ERROR_INIT;

    (void)u;
    config.usable_region_size = RIG_REQUESTED - RIG_BLOCK;
    assert_int_equal(rig_make_device(rig, &config, &err), -EINVAL);
    rig_assert_error(&err, -EINVAL, VMEM_REASON_RANGE, "dev", "0xfe00000",
                     "0x10000000");
    config.usable_region_size = RIG_REQUESTED;
    assert_int_equal(rig_make_device(rig, &config, &err), 0);
    assert_true(rig_config(rig).usable_region_size == RIG_REQUESTED);
    rig_free(rig);
}

/* Rule: CFG-06 */
static void usable_and_requested_never_exceed_the_region(void **u)
{
    struct vmem_device_config config = base_config;
    struct rig *rig = rig_without_device(RIG_REGION);
    struct vmem_error err = VMEM_ERROR_INIT;

    (void)u;
    config.usable_region_size = RIG_REGION + RIG_BLOCK;
    assert_int_equal(rig_make_device(rig, &config, &err), -ERANGE);
    rig_assert_error(&err, -ERANGE, VMEM_REASON_RANGE, "dev", "0x40200000",
                     "0x40000000");
    config.usable_region_size = 0;
    config.requested_size = RIG_REGION + RIG_BLOCK;
    assert_int_equal(rig_make_device(rig, &config, &err), -ERANGE);
    rig_assert_error(&err, -ERANGE, VMEM_REASON_RANGE, "dev", "0x40200000",
                     "0x40000000");
    rig_free(rig);
}

/* Rule: CFG-06 */
static void a_region_may_end_at_two_to_the_64_but_not_beyond(void **u)
{
    struct vmem_device_config config = base_config;
    struct rig *rig = rig_without_device(RIG_REGION);
    struct vmem_error err = VMEM_ERROR_INIT;

    (void)u;
    config.gpa = UINT64_MAX - RIG_REGION + 1 + RIG_BLOCK;
    assert_int_equal(rig_make_device(rig, &config, &err), -EOVERFLOW);
    rig_assert_error(&err, -EOVERFLOW, VMEM_REASON_OVERFLOW, "dev",
                     "0xffffffffc0200000", "2^64");
    config.gpa = UINT64_MAX - RIG_BLOCK + 1;
    assert_int_equal(rig_make_device(rig, &config, NULL), -EOVERFLOW);
    config.gpa = UINT64_MAX - RIG_REGION + 1;
    assert_int_equal(rig_make_device(rig, &config, &err), 0);
    rig_resize(rig, RIG_REGION);
    /* The very last block; the next one would wrap to address 0. */
    assert_int_equal(rig_plug(rig, 511, 1), VMEM_RESPONSE_ACK);
    assert_int_equal(rig_plug(rig, 510, 2), VMEM_RESPONSE_ERROR);
    assert_int_equal(rig_request(rig, VMEM_REQUEST_PLUG, 0, 1),
                     VMEM_RESPONSE_ERROR);
    assert_int_equal(rig_plug(rig, 510, 3), VMEM_RESPONSE_ERROR);
    assert_int_equal(rig_plug(rig, 0, 511), VMEM_RESPONSE_ACK);
    assert_int_equal(rig_unplug(rig, 0, 512), VMEM_RESPONSE_ACK);
    rig_free(rig);
}

/* Rule: CFG-07 */
static void identity_fields_never_change(void **u)
{
    struct rig *rig = rig_new_default();
    const struct rig_config before = rig_config(rig);

    (void)u;
    for (int step = 0; step < 8; step++) {
        struct rig_config now;

        switch (step) {
        case 0:
            rig_resize(rig, RIG_REGION);
            break;
        case 1:
            rig_plug(rig, 0, 400);
            break;
        case 2:
            rig_resize(rig, 0);
            break;
        case 3:
            rig_unplug(rig, 0, 100);
            break;
        case 4:
            vmem_device_reset(rig->device, VMEM_RESET_DRIVER, NULL);
            break;
        case 5:
            vmem_device_reset(rig->device, VMEM_RESET_WAKEUP, NULL);
            break;
        case 6:
            rig_unplug_all(rig);
            break;
        default:
            vmem_device_reset(rig->device, VMEM_RESET_SYSTEM, NULL);
            break;
        }
        now = rig_config(rig);
        assert_true(now.block_size == before.block_size);
        assert_true(now.node_id == before.node_id);
        assert_true(now.gpa == before.gpa);
        assert_true(now.region_size == before.region_size);
    }
    rig_free(rig);
}

static void note_config(struct rig *rig)
{
    *(struct rig_config *)rig->user = rig_config(rig);
}

/* Rule: CFG-08 */
static void plugged_size_is_in_config_space_before_anybody_hears(void **u)
{
    struct rig *rig = rig_new_default();
    struct rig_config seen = { 0 };

    (void)u;
    rig->user = &seen;
    rig->on_size_changed = note_config;
    assert_int_equal(rig_plug(rig, 3, 5), VMEM_RESPONSE_ACK);
    assert_true(seen.plugged_size == 5 * RIG_BLOCK);
    assert_true(rig_config(rig).plugged_size == 5 * RIG_BLOCK);
    assert_true(rig->told_size == 5 * RIG_BLOCK);
    assert_int_equal(rig_unplug(rig, 4, 2), VMEM_RESPONSE_ACK);
    assert_true(seen.plugged_size == 3 * RIG_BLOCK);
    assert_true(rig_config(rig).plugged_size == 3 * RIG_BLOCK);
    assert_int_equal(rig_unplug_all(rig), VMEM_RESPONSE_ACK);
    assert_int_equal(seen.plugged_size, 0);
    assert_int_equal(rig_config(rig).plugged_size, 0);
    assert_int_equal(rig->nr_size_changed, 3);
    rig_free(rig);
}

/* Rule: CFG-09 */
static void usable_shrinks_on_unplug_all_and_system_reset_only(void **u)
{
    struct rig *rig = rig_new_default();

    (void)u;
    rig_resize(rig, 400 * RIG_BLOCK);
    assert_int_equal(rig_plug(rig, 0, 2), VMEM_RESPONSE_ACK);
    assert_true(rig_config(rig).usable_region_size == RIG_REGION);
    rig_resize(rig, 0);
    assert_true(rig_config(rig).usable_region_size == RIG_REGION);
    rig_resize(rig, 10 * RIG_BLOCK);
    assert_int_equal(rig_unplug(rig, 0, 1), VMEM_RESPONSE_ACK);
    vmem_device_reset(rig->device, VMEM_RESET_DRIVER, NULL);
    vmem_device_reset(rig->device, VMEM_RESET_WAKEUP, NULL);
    assert_true(rig_config(rig).usable_region_size == RIG_REGION);
    assert_int_equal(rig_unplug_all(rig), VMEM_RESPONSE_ACK);
    assert_true(rig_config(rig).usable_region_size == 138 * RIG_BLOCK);
    rig_resize(rig, 400 * RIG_BLOCK);
    rig_resize(rig, 20 * RIG_BLOCK);
    assert_true(rig_config(rig).usable_region_size == RIG_REGION);
    assert_int_equal(vmem_device_reset(rig->device, VMEM_RESET_SYSTEM, NULL),
                     0);
    assert_true(rig_config(rig).usable_region_size == 148 * RIG_BLOCK);
    rig_free(rig);
}

/* Rule: CFG-10 */
static void a_change_of_size_is_notified_except_while_unplugging_all(void **u)
{
    struct rig *rig = rig_new_default();

    (void)u;
    rig_resize(rig, RIG_REGION);
    assert_int_equal(rig->nr_config_changed, 1);
    rig_resize(rig, RIG_BLOCK);
    assert_int_equal(rig->nr_config_changed, 2);
    assert_int_equal(rig_plug(rig, 0, 1), VMEM_RESPONSE_ACK);
    assert_int_equal(rig_unplug_all(rig), VMEM_RESPONSE_ACK);
    assert_true(rig_config(rig).usable_region_size < RIG_REGION);
    assert_int_equal(rig->nr_config_changed, 2);
    rig_free(rig);
}

/* Rule: CFG-11 */
static void plugging_and_unplugging_send_no_config_notification(void **u)
{
    struct rig *rig = rig_new_default();

    (void)u;
    assert_int_equal(rig_plug(rig, 0, 64), VMEM_RESPONSE_ACK);
    assert_int_equal(rig_plug(rig, 0, 1), VMEM_RESPONSE_ERROR);
    assert_int_equal(rig_plug(rig, 64, 100), VMEM_RESPONSE_NACK);
    assert_int_equal(rig_unplug(rig, 0, 64), VMEM_RESPONSE_ACK);
    assert_int_equal(rig->nr_config_changed, 0);
    assert_int_equal(rig->nr_size_changed, 2);
    rig_free(rig);
}

/* Rule: CFG-12 */
static void the_same_size_again_and_a_kick_are_notified(void **u)
{
    struct rig *rig = rig_new_default();
    uint8_t before[VMEM_DEVICE_CONFIG_SIZE];
    uint8_t now[VMEM_DEVICE_CONFIG_SIZE];

    (void)u;
    vmem_device_read_config(rig->device, 0, before, sizeof(before));
    rig_resize(rig, RIG_REQUESTED);
    assert_int_equal(rig->nr_config_changed, 1);
    assert_int_equal(vmem_device_notify_config(rig->device), 0);
    assert_int_equal(rig->nr_config_changed, 2);
    vmem_device_read_config(rig->device, 0, now, sizeof(now));
    assert_memory_equal(now, before, sizeof(now));
    rig_free(rig);
}

/* Rule: CFG-13 */
static void config_writes_by_the_driver_change_nothing(void **u)
{
    struct rig *rig = rig_new_default();
    struct rig_shot shot = rig_shot(rig);
    uint8_t bytes[VMEM_DEVICE_CONFIG_SIZE];

    (void)u;
    memset(bytes, 0xff, sizeof(bytes));
    for (size_t offset = 0; offset < 56; offset += 8) {
        assert_int_equal(
            vmem_device_write_config(rig->device, offset, bytes, 8), 0);
    }
    assert_int_equal(vmem_device_write_config(rig->device, 0, bytes, 56), 0);
    assert_int_equal(
        vmem_device_write_config(rig->device, SIZE_MAX, NULL, SIZE_MAX), 0);
    assert_int_equal(vmem_device_write_config(NULL, 0, bytes, 1), -EINVAL);
    rig_assert_same(rig, &shot);
    assert_int_equal(rig_stats(rig).nr_config_writes, 9);
    assert_int_equal(rig_nr_logs(rig, VMEM_LOG_CODE_CONFIG_WRITE),
                     VMEM_LOG_BURST);
    assert_int_equal(rig_last_log(rig, VMEM_LOG_CODE_CONFIG_WRITE)->blame,
                     VMEM_BLAME_GUEST);
    rig_free(rig);
}

/* Rule: CFG-14 */
static void config_reads_work_before_features_and_after_a_refusal(void **u)
{
    struct rig *rig = rig_new_default();

    (void)u;
    assert_int_equal(rig_info(rig).has_driver, 0);
    assert_true(rig_config(rig).requested_size == RIG_REQUESTED);
    assert_int_equal(vmem_device_set_driver_features(
                         rig->device, VMEM_DEVICE_F_PERSISTENT_SUSPEND),
                     -EPROTO);
    assert_true(rig_config(rig).requested_size == RIG_REQUESTED);
    vmem_device_reset(rig->device, VMEM_RESET_DRIVER, NULL);
    assert_true(rig_config(rig).requested_size == RIG_REQUESTED);
    rig_free(rig);
}

/* Rule: CFG-15 */
static void the_generation_changes_with_every_change_and_only_then(void **u)
{
    struct rig *rig = rig_new_default();
    uint32_t generation = vmem_device_get_config_generation(rig->device);
    uint32_t next;

    (void)u;
    rig_state(rig, 0, 1);
    assert_int_equal(rig_unplug_all(rig), VMEM_RESPONSE_ACK);
    assert_int_equal(rig_plug(rig, 0, 200), VMEM_RESPONSE_NACK);
    rig_config(rig);
    assert_int_equal(vmem_device_get_config_generation(rig->device),
                     generation);
    assert_int_equal(rig_info(rig).config_generation, generation);
    for (int step = 0; step < 5; step++) {
        switch (step) {
        case 0:
            assert_int_equal(rig_plug(rig, 0, 2), VMEM_RESPONSE_ACK);
            break;
        case 1:
            rig_resize(rig, RIG_REGION);
            break;
        case 2:
            rig_resize(rig, RIG_BLOCK);
            break;
        case 3:
            assert_int_equal(rig_unplug(rig, 0, 1), VMEM_RESPONSE_ACK);
            break;
        default:
            assert_int_equal(rig_unplug_all(rig), VMEM_RESPONSE_ACK);
            break;
        }
        next = vmem_device_get_config_generation(rig->device);
        assert_int_not_equal(next, generation);
        generation = next;
    }
    rig_free(rig);
}

/* One thread resizes and plugs, the other reads as Linux does: 64-bit fields in
 * two halves inside a loop on the generation. */
struct race {
    struct rig *rig;
    _Atomic int stop;
};

static void *keep_changing(void *opaque)
{
    struct race *race = opaque;
    struct vmem_device *device = race->rig->device;
    uint8_t plug[VMEM_DEVICE_REQUEST_SIZE];
    uint8_t unplug[VMEM_DEVICE_REQUEST_SIZE];
    uint8_t response[VMEM_DEVICE_RESPONSE_SIZE];

    /* Both halves of the sizes differ between the two states. */
    rig_encode(plug, VMEM_REQUEST_PLUG, race->rig->config.gpa, 1);
    rig_encode(unplug, VMEM_REQUEST_UNPLUG, race->rig->config.gpa, 1);
    for (int i = 0; i < 20000; i++) {
        vmem_device_resize(device, (i & 1) != 0 ? 0x180000000 : 0x240000000,
                           NULL);
        vmem_device_handle_request(device, (i & 1) != 0 ? unplug : plug,
                                   sizeof(plug), response, sizeof(response),
                                   NULL);
    }
    atomic_store(&race->stop, 1);
    return NULL;
}

static uint64_t read_halves(struct vmem_device *device, size_t offset)
{
    uint32_t generation;
    uint32_t half[2];

    do {
        generation = vmem_device_get_config_generation(device);
        vmem_device_read_config(device, offset, &half[0], 4);
        vmem_device_read_config(device, offset + 4, &half[1], 4);
    } while (generation != vmem_device_get_config_generation(device));
    return GUINT32_FROM_LE(half[0]) | (uint64_t)GUINT32_FROM_LE(half[1]) << 32;
}

/* Rule: CFG-15 */
static void halves_read_under_one_generation_belong_together(void **u)
{
    struct rig *rig = rig_new(&(struct rig_options){
        .region_size = 16 * RIG_GIB,
        .quiet = true,
        .config = { .block_size = 0x40000000,
                    .requested_size = 0x180000000,
                    .usable_policy = VMEM_USABLE_ALL } });
    struct race race = { .rig = rig };
    uint64_t nr_bad = 0;
    pthread_t thread;

    (void)u;
    assert_int_equal(pthread_create(&thread, NULL, keep_changing, &race), 0);
    while (atomic_load(&race.stop) == 0) {
        uint64_t requested = read_halves(rig->device, 48);
        uint64_t plugged = read_halves(rig->device, 40);

        nr_bad += requested != 0x180000000 && requested != 0x240000000;
        nr_bad += plugged != 0 && plugged != 0x40000000;
    }
    pthread_join(thread, NULL);
    assert_int_equal(nr_bad, 0);
    rig_free(rig);
}

/* Rule: CFG-17 */
static void an_invalid_resize_changes_nothing_and_notifies_nobody(void **u)
{
    static const struct {
        uint64_t size;
        int code;
        uint32_t reason;
        const char *value;
    } cases[] = {
        { 1, -EINVAL, VMEM_REASON_ALIGNMENT, "0x1 " },
        { RIG_BLOCK + 4096, -EINVAL, VMEM_REASON_ALIGNMENT, "0x201000" },
        { RIG_REGION + RIG_BLOCK, -ERANGE, VMEM_REASON_RANGE, "0x40200000" },
        { UINT64_MAX - RIG_BLOCK + 1, -ERANGE, VMEM_REASON_RANGE,
          "0xffffffffffe00000" },
        { UINT64_MAX, -EINVAL, VMEM_REASON_ALIGNMENT, "0xffffffffffffffff" },
    };
    struct rig *rig = rig_new_default();
    struct rig_shot shot = rig_shot(rig);

    (void)u;
    for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
        struct vmem_error err = VMEM_ERROR_INIT;

        assert_int_equal(vmem_device_resize(rig->device, cases[i].size, &err),
                         cases[i].code);
        rig_assert_error(&err, cases[i].code, cases[i].reason, "dev",
                         cases[i].value,
                         cases[i].code == -ERANGE ? "0x40000000" : "0x200000");
    }
    rig_assert_same(rig, &shot);
    assert_int_equal(rig_stats(rig).nr_resizes, 0);
    rig_free(rig);
}

/* Rule: CFG-18 */
static void a_resize_before_the_driver_is_seen_when_it_comes(void **u)
{
    struct rig *rig = rig_new_default();

    (void)u;
    rig_resize(rig, RIG_REGION);
    assert_int_equal(rig_status(rig).reason, VMEM_STALL_NO_DRIVER);
    assert_int_equal(vmem_device_set_driver_features(rig->device, 0), 0);
    assert_true(rig_config(rig).requested_size == RIG_REGION);
    assert_true(rig_config(rig).usable_region_size == RIG_REGION);
    assert_int_equal(rig_plug(rig, 0, 512), VMEM_RESPONSE_ACK);
    rig_free(rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(
            config_space_is_56_little_endian_bytes_with_zero_padding),
        cmocka_unit_test(reads_beyond_the_config_space_are_zero),
        cmocka_unit_test(block_size_is_a_power_of_two),
        cmocka_unit_test(
            sizes_that_are_no_multiple_of_the_block_size_are_refused),
        cmocka_unit_test(sizes_stay_consistent_through_a_device_s_life),
        cmocka_unit_test(
            an_empty_region_rejects_every_range_and_acks_unplug_all),
        cmocka_unit_test(usable_below_requested_is_refused_at_creation),
        cmocka_unit_test(usable_and_requested_never_exceed_the_region),
        cmocka_unit_test(a_region_may_end_at_two_to_the_64_but_not_beyond),
        cmocka_unit_test(identity_fields_never_change),
        cmocka_unit_test(plugged_size_is_in_config_space_before_anybody_hears),
        cmocka_unit_test(usable_shrinks_on_unplug_all_and_system_reset_only),
        cmocka_unit_test(
            a_change_of_size_is_notified_except_while_unplugging_all),
        cmocka_unit_test(plugging_and_unplugging_send_no_config_notification),
        cmocka_unit_test(the_same_size_again_and_a_kick_are_notified),
        cmocka_unit_test(config_writes_by_the_driver_change_nothing),
        cmocka_unit_test(config_reads_work_before_features_and_after_a_refusal),
        cmocka_unit_test(
            the_generation_changes_with_every_change_and_only_then),
        cmocka_unit_test(halves_read_under_one_generation_belong_together),
        cmocka_unit_test(an_invalid_resize_changes_nothing_and_notifies_nobody),
        cmocka_unit_test(a_resize_before_the_driver_is_seen_when_it_comes),
    };

    return cmocka_run_group_tests_name("config", tests, NULL, NULL);
}
