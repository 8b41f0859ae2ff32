/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <glib.h>

#include <cmocka.h>

#include "base/range.h"

#define TOP UINT64_MAX

static void a_range_is_checked_without_wrapping(void **state)
{
    static const struct {
        uint64_t offset;
        uint64_t size;
        uint64_t limit;
        int code;
        uint32_t reason;
    } cases[] = {
        { 0, 0, 0, 0, VMEM_REASON_NONE },
        { 0, 1, 0, -ERANGE, VMEM_REASON_RANGE },
        { 1, 0, 0, -ERANGE, VMEM_REASON_RANGE },
        { 0, 10, 10, 0, VMEM_REASON_NONE },
        { 10, 0, 10, 0, VMEM_REASON_NONE },
        { 9, 1, 10, 0, VMEM_REASON_NONE },
        { 9, 2, 10, -ERANGE, VMEM_REASON_RANGE },
        { 0, TOP, TOP, 0, VMEM_REASON_NONE },
        { TOP, 0, TOP, 0, VMEM_REASON_NONE },
        { TOP, 1, TOP, -EOVERFLOW, VMEM_REASON_OVERFLOW },
        { 1, TOP, TOP, -EOVERFLOW, VMEM_REASON_OVERFLOW },
        { TOP, TOP, 10, -EOVERFLOW, VMEM_REASON_OVERFLOW },
        { 1, TOP - 1, TOP, 0, VMEM_REASON_NONE },
        { TOP - 4095, 4096, TOP, -EOVERFLOW, VMEM_REASON_OVERFLOW },
        { TOP - 4095, 4095, TOP, 0, VMEM_REASON_NONE },
    };

    (void)state;
    for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
        const struct vmem_range range = { cases[i].offset, cases[i].size };
        struct vmem_error err = VMEM_ERROR_INIT;

        assert_int_equal(vmemi_range_check(&range, cases[i].limit, "it", &err),
                         cases[i].code);
        assert_int_equal(err.code, cases[i].code);
        assert_int_equal(err.reason, cases[i].reason);
        if (cases[i].code != 0) {
            assert_true(err.range.offset == range.offset);
            assert_true(err.range.size == range.size);
            assert_memory_equal(err.message, "it: ", 4);
        }
    }
}

static void both_ends_must_be_aligned(void **state)
{
    static const struct {
        uint64_t offset;
        uint64_t size;
        uint64_t granularity;
        int code;
    } cases[] = {
        { 0, 0, 1, 0 },
        { 3, 5, 1, 0 },
        { 0, 0, 4096, 0 },
        { 4096, 8192, 4096, 0 },
        { 1, 4096, 4096, -EINVAL },
        { 4096, 1, 4096, -EINVAL },
        { 2048, 2048, 4096, -EINVAL },
        { (uint64_t)1 << 63, 0, (uint64_t)1 << 63, 0 },
        { TOP, 0, (uint64_t)1 << 63, -EINVAL },
    };

    (void)state;
    for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
        const struct vmem_range range = { cases[i].offset, cases[i].size };
        struct vmem_error err = VMEM_ERROR_INIT;

        assert_int_equal(
            vmemi_range_check_aligned(&range, cases[i].granularity, "it", &err),
            cases[i].code);
        assert_int_equal(err.reason, cases[i].code == 0
                                         ? VMEM_REASON_NONE
                                         : VMEM_REASON_ALIGNMENT);
    }
}

static void exactly_the_powers_of_two_are_powers_of_two(void **state)
{
    (void)state;
    assert_false(vmemi_is_power_of_two(0));
    for (unsigned int i = 0; i < 64; i++) {
        const uint64_t power = (uint64_t)1 << i;

        assert_true(vmemi_is_power_of_two(power));
        if (i > 0) {
            assert_false(vmemi_is_power_of_two(power | 1));
            assert_true(vmemi_is_power_of_two(power - 1) == (i == 1));
        }
    }
    assert_false(vmemi_is_power_of_two(TOP));
}

/* QEMU's B17 was a primitive that no test compared with anything. */
static void aligning_agrees_with_wide_arithmetic(void **state)
{
    const guint32 seed = 1;
    GRand *rand = g_rand_new_with_seed(seed);

    (void)state;
    for (unsigned int i = 0; i < 200000; i++) {
        const uint64_t granularity = (uint64_t)1
                                     << g_rand_int_range(rand, 0, 64);
        uint64_t value = (uint64_t)g_rand_int(rand) << 32 | g_rand_int(rand);
        unsigned __int128 up;

        value = i % 3 == 0 ? value >> g_rand_int_range(rand, 0, 64) : value;
        value = i % 7 == 0 ? TOP - value % 5 : value;
        up = (unsigned __int128)value + granularity - 1;
        up -= up % granularity;
        assert_true(vmemi_align_down(value, granularity) ==
                    value - value % granularity);
        if (up <= TOP) {
            assert_true(vmemi_align_up_saturating(value, granularity) == up);
        } else {
            /* The largest multiple that fits. */
            assert_true(vmemi_align_up_saturating(value, granularity) ==
                        TOP - (granularity - 1));
        }
    }
    g_rand_free(rand);
}

static void adding_saturates(void **state)
{
    (void)state;
    assert_true(vmemi_add_saturating(0, 0) == 0);
    assert_true(vmemi_add_saturating(TOP, 0) == TOP);
    assert_true(vmemi_add_saturating(0, TOP) == TOP);
    assert_true(vmemi_add_saturating(TOP, 1) == TOP);
    assert_true(vmemi_add_saturating(TOP, TOP) == TOP);
    assert_true(vmemi_add_saturating(TOP - 1, 1) == TOP);
    assert_true(vmemi_add_saturating((uint64_t)1 << 63, (uint64_t)1 << 63) ==
                TOP);
}

static void the_smaller_and_the_larger_are_found(void **state)
{
    (void)state;
    assert_true(vmemi_min(0, TOP) == 0 && vmemi_min(TOP, 0) == 0);
    assert_true(vmemi_max(0, TOP) == TOP && vmemi_max(TOP, 0) == TOP);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_range_is_checked_without_wrapping),
        cmocka_unit_test(both_ends_must_be_aligned),
        cmocka_unit_test(exactly_the_powers_of_two_are_powers_of_two),
        cmocka_unit_test(aligning_agrees_with_wide_arithmetic),
        cmocka_unit_test(adding_saturates),
        cmocka_unit_test(the_smaller_and_the_larger_are_found),
    };

    return cmocka_run_group_tests_name("range", tests, NULL, NULL);
}
