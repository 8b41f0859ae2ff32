/* SPDX-License-Identifier: BSD-3-Clause */
/* Rules NEG-01 to NEG-07: features. */
#include <errno.h>

#include "support/device_rig.h"

#define INACCESSIBLE VMEM_DEVICE_F_UNPLUGGED_INACCESSIBLE
#define SUSPEND VMEM_DEVICE_F_PERSISTENT_SUSPEND
#define PXM VMEM_DEVICE_F_ACPI_PXM

static struct rig *rig_offering(uint64_t features, uint64_t flags)
{
    return rig_new(&(struct rig_options){
        .has_memory = true,
        .config = { .features = features,
                    .flags =
                        flags | ((features & INACCESSIBLE) == 0
                                     ? VMEM_DEVICE_NO_UNPLUGGED_INACCESSIBLE
                                     : 0) } });
}

/* Rule: NEG-01 */
static void
a_device_that_insists_refuses_a_driver_without_inaccessible(void **u)
{
    struct rig *rig =
        rig_offering(INACCESSIBLE | SUSPEND, VMEM_DEVICE_REQUIRE_INACCESSIBLE);

    (void)u;
    assert_int_equal(vmem_device_set_driver_features(rig->device, SUSPEND),
                     -ENOTSUP);
    assert_int_equal(vmem_device_set_driver_features(rig->device, 0), -ENOTSUP);
    assert_int_equal(rig_info(rig).driver_features, 0);
    assert_int_equal(rig_info(rig).has_driver, 0);
    assert_int_equal(rig_stats(rig).nr_features_refused, 2);
    assert_int_equal(rig_nr_logs(rig, VMEM_LOG_CODE_FEATURES), 2);
    assert_int_equal(rig_last_log(rig, VMEM_LOG_CODE_FEATURES)->blame,
                     VMEM_BLAME_GUEST);
    assert_int_equal(vmem_device_set_driver_features(rig->device, INACCESSIBLE),
                     0);
    assert_true(rig_info(rig).driver_features == INACCESSIBLE);
    rig_free(rig);
}

/* Nobody could be served by such a device. */

/* Rule: NEG-01 */
static void what_is_withheld_cannot_be_required_or_offered(void **u)
{
    struct rig *rig = rig_new(&(struct rig_options){ .no_device = true });
    struct vmem_device_config config = {
        .struct_size = sizeof(config),
        .name = "dev",
        .block_size = RIG_BLOCK,
        .flags = VMEM_DEVICE_NO_UNPLUGGED_INACCESSIBLE |
                 VMEM_DEVICE_REQUIRE_INACCESSIBLE,
    };
    struct vmem_error err = VMEM_ERROR_INIT;

    (void)u;
    assert_int_equal(rig_make_device(rig, &config, &err), -EINVAL);
    rig_assert_error(&err, -EINVAL, VMEM_REASON_ARGUMENT, "dev", "flags 0x5",
                     "UNPLUGGED_INACCESSIBLE");
    config.flags = VMEM_DEVICE_NO_UNPLUGGED_INACCESSIBLE;
    config.features = INACCESSIBLE | PXM;
    assert_int_equal(rig_make_device(rig, &config, &err), -EINVAL);
    rig_assert_error(&err, -EINVAL, VMEM_REASON_ARGUMENT, "dev", "flags 0x4",
                     "features 0x3");
    config.features = PXM;
    assert_int_equal(rig_make_device(rig, &config, &err), 0);
    assert_true(vmem_device_get_features(rig->device) == PXM);
    rig_free(rig);
}

/* Rule: NEG-01 */
static void the_log_says_what_was_wrong_with_refused_features(void **u)
{
    struct rig *rig =
        rig_offering(INACCESSIBLE, VMEM_DEVICE_REQUIRE_INACCESSIBLE);

    (void)u;
    assert_int_equal(vmem_device_set_driver_features(rig->device, 0), -ENOTSUP);
    assert_non_null(strstr(rig_last_log(rig, VMEM_LOG_CODE_FEATURES)->message,
                           "VMEM_DEVICE_REQUIRE_INACCESSIBLE"));
    /* A rule that is broken comes first: it is no driver for anything. */
    assert_int_equal(vmem_device_set_driver_features(rig->device, PXM),
                     -EPROTO);
    assert_non_null(strstr(rig_last_log(rig, VMEM_LOG_CODE_FEATURES)->message,
                           "0x1 was not offered, only 0x2 was"));
    rig_free(rig);
}

/* Rule: NEG-02 */
static void a_tolerant_device_accepts_every_subset_of_its_offer(void **u)
{
    const uint64_t offered = INACCESSIBLE | SUSPEND | PXM;
    struct rig *rig = rig_offering(offered, 0);

    (void)u;
    for (uint64_t accepted = 0; accepted <= offered; accepted++) {
        assert_int_equal(vmem_device_set_driver_features(rig->device, accepted),
                         0);
        assert_true(rig_info(rig).driver_features == accepted);
        assert_int_equal(rig_info(rig).has_driver, 1);
    }
    assert_int_equal(rig_stats(rig).nr_features_refused, 0);
    rig_free(rig);
}

/* Rule: NEG-03 */
static void a_device_bit_that_was_not_offered_is_refused(void **u)
{
    struct rig *rig = rig_offering(INACCESSIBLE, 0);

    (void)u;
    for (unsigned int bit = 0; bit < 64; bit++) {
        const uint64_t feature = (uint64_t)1 << bit;
        /* 24 to 49 belong to the transport and the queues. */
        const bool mine = bit < 24 || bit >= 50;
        const bool ok = !mine || feature == INACCESSIBLE;

        assert_int_equal(vmem_device_set_driver_features(rig->device, feature),
                         ok ? 0 : -EPROTO);
    }
    assert_int_equal(vmem_device_set_driver_features(NULL, 0), -EINVAL);
    rig_free(rig);
}

/* Rule: NEG-03 */
static void a_refused_set_leaves_the_accepted_one(void **u)
{
    struct rig *rig = rig_offering(INACCESSIBLE, 0);

    (void)u;
    assert_int_equal(vmem_device_set_driver_features(rig->device, INACCESSIBLE),
                     0);
    assert_int_equal(vmem_device_set_driver_features(rig->device, SUSPEND),
                     -EPROTO);
    assert_true(rig_info(rig).driver_features == INACCESSIBLE);
    rig_free(rig);
}

/* Rule: NEG-04 */
static void the_same_features_are_accepted_again_after_every_reset(void **u)
{
    static const uint32_t kinds[] = { VMEM_RESET_DRIVER, VMEM_RESET_SYSTEM,
                                      VMEM_RESET_WAKEUP };
    struct rig *rig = rig_offering(INACCESSIBLE | SUSPEND, 0);

    (void)u;
    for (size_t i = 0; i < G_N_ELEMENTS(kinds); i++) {
        assert_int_equal(vmem_device_set_driver_features(
                             rig->device, INACCESSIBLE | SUSPEND),
                         0);
        assert_int_equal(vmem_device_reset(rig->device, kinds[i], NULL), 0);
        assert_int_equal(rig_info(rig).driver_features, 0);
        assert_int_equal(rig_info(rig).has_driver, 0);
        assert_true(vmem_device_get_features(rig->device) ==
                    (INACCESSIBLE | SUSPEND));
    }
    assert_int_equal(
        vmem_device_set_driver_features(rig->device, INACCESSIBLE | SUSPEND),
        0);
    rig_free(rig);
}

/* Rule: NEG-05 NEG-06 */
static void a_device_offers_exactly_what_the_host_says(void **u)
{
    (void)u;
    for (uint64_t features = 0; features < 8; features++) {
        struct rig *rig = rig_offering(features, 0);

        assert_true(vmem_device_get_features(rig->device) == features);
        assert_true(rig_info(rig).features == features);
        rig_free(rig);
    }
    for (uint64_t features = 0; features < 8; features++) {
        struct rig *rig = rig_new(&(struct rig_options){
            .has_memory = true, .config = { .features = features } });

        assert_true(vmem_device_get_features(rig->device) ==
                    (features | INACCESSIBLE));
        rig_free(rig);
    }
}

/* Rule: NEG-05 NEG-06 */
static void features_that_the_library_does_not_know_are_not_offered(void **u)
{
    struct rig *rig = rig_new(&(struct rig_options){ .no_device = true });

    (void)u;
    for (unsigned int bit = 3; bit < 64; bit++) {
        const struct vmem_device_config config = {
            .struct_size = sizeof(config),
            .name = "dev",
            .block_size = RIG_BLOCK,
            .features = (uint64_t)1 << bit,
        };
        struct vmem_error err = VMEM_ERROR_INIT;

        assert_int_equal(rig_make_device(rig, &config, &err), -EINVAL);
        rig_assert_error(&err, -EINVAL, VMEM_REASON_ARGUMENT, "dev",
                         "unknown features");
    }
    rig_free(rig);
}

/* Rule: NEG-07 */
static void a_node_without_acpi_pxm_is_refused_and_zero_otherwise(void **u)
{
    struct vmem_device_config config = {
        .struct_size = sizeof(config),
        .name = "dev",
        .block_size = RIG_BLOCK,
        .node_id = 7,
    };
    struct rig *rig = rig_new(&(struct rig_options){ .no_device = true });
    struct vmem_error err = VMEM_ERROR_INIT;

    (void)u;
    assert_int_equal(rig_make_device(rig, &config, &err), -EINVAL);
    rig_assert_error(&err, -EINVAL, VMEM_REASON_ARGUMENT, "dev", "node 7",
                     "ACPI_PXM");
    config.features = PXM;
    config.node_id = 65536;
    assert_int_equal(rig_make_device(rig, &config, &err), -ERANGE);
    rig_assert_error(&err, -ERANGE, VMEM_REASON_RANGE, "dev", "65536", "65535");
    config.node_id = 65535;
    assert_int_equal(rig_make_device(rig, &config, &err), 0);
    assert_int_equal(rig_config(rig).node_id, 65535);
    rig_free_device(rig);
    config.features = 0;
    config.node_id = 0;
    assert_int_equal(rig_make_device(rig, &config, &err), 0);
    assert_int_equal(rig_config(rig).node_id, 0);
    rig_free(rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(
            a_device_that_insists_refuses_a_driver_without_inaccessible),
        cmocka_unit_test(what_is_withheld_cannot_be_required_or_offered),
        cmocka_unit_test(the_log_says_what_was_wrong_with_refused_features),
        cmocka_unit_test(a_tolerant_device_accepts_every_subset_of_its_offer),
        cmocka_unit_test(a_device_bit_that_was_not_offered_is_refused),
        cmocka_unit_test(a_refused_set_leaves_the_accepted_one),
        cmocka_unit_test(
            the_same_features_are_accepted_again_after_every_reset),
        cmocka_unit_test(a_device_offers_exactly_what_the_host_says),
        cmocka_unit_test(
            features_that_the_library_does_not_know_are_not_offered),
        cmocka_unit_test(a_node_without_acpi_pxm_is_refused_and_zero_otherwise),
    };

    return cmocka_run_group_tests_name("features", tests, NULL, NULL);
}
