/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/sized.h"

/* The first release had a and b; this library knows c as well. */
struct thing {
    size_t struct_size;
    uint64_t a;
    uint64_t b;
    uint64_t c;
};

#define FIRST_SIZE offsetof(struct thing, c)

/* What a host of the future passes. */
struct newer_thing {
    struct thing thing;
    uint64_t d[4];
};

static int read_thing(struct thing *dst, const void *src,
                      struct vmem_error *err)
{
    memset(dst, 0xee, sizeof(*dst));
    return vmemi_sized_read(dst, sizeof(*dst), FIRST_SIZE, src, "thing", err);
}

static void a_null_struct_is_refused(void **state)
{
    struct vmem_error err = VMEM_ERROR_INIT;
    struct thing dst;

    (void)state;
    assert_int_equal(read_thing(&dst, NULL, &err), -EINVAL);
    assert_int_equal(err.reason, VMEM_REASON_ARGUMENT);
    assert_non_null(strstr(err.message, "thing"));
}

static void a_struct_shorter_than_the_first_release_is_refused(void **state)
{
    (void)state;
    for (size_t size = 0; size < FIRST_SIZE; size++) {
        const struct thing src = { .struct_size = size };
        struct vmem_error err = VMEM_ERROR_INIT;
        struct thing dst;

        assert_int_equal(read_thing(&dst, &src, &err), -EINVAL);
        assert_int_equal(err.reason, VMEM_REASON_STRUCT_SIZE);
    }
}

static void members_that_the_host_does_not_know_read_as_zero(void **state)
{
    const struct thing src = { FIRST_SIZE, 1, 2, 0xbad };
    struct thing dst;

    (void)state;
    assert_int_equal(read_thing(&dst, &src, NULL), 0);
    assert_int_equal(dst.a, 1);
    assert_int_equal(dst.b, 2);
    assert_int_equal(dst.c, 0);
}

static void a_size_in_the_middle_of_a_member_leaves_the_member_out(void **state)
{
    struct thing dst;

    (void)state;
    for (size_t more = 0; more < sizeof(dst.c); more++) {
        const struct thing src = { FIRST_SIZE + more, 1, 2, UINT64_MAX };

        assert_int_equal(read_thing(&dst, &src, NULL), 0);
        assert_int_equal(dst.b, 2);
        assert_true(dst.c == 0);
    }
}

static void the_exact_size_copies_everything(void **state)
{
    const struct thing src = { sizeof(src), 1, 2, 3 };
    struct thing dst;

    (void)state;
    assert_int_equal(read_thing(&dst, &src, NULL), 0);
    assert_memory_equal(&dst, &src, sizeof(dst));
}

static void an_unknown_tail_of_zeros_is_accepted(void **state)
{
    const struct newer_thing src = { .thing = { sizeof(src), 1, 2, 3 } };
    struct thing dst;

    (void)state;
    assert_int_equal(read_thing(&dst, &src, NULL), 0);
    assert_int_equal(dst.c, 3);
}

static void one_set_byte_anywhere_in_the_tail_is_refused(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(((struct newer_thing *)0)->d); i++) {
        struct newer_thing src = { .thing = { sizeof(src), 1, 2, 3 } };
        struct vmem_error err = VMEM_ERROR_INIT;
        struct thing dst;

        ((unsigned char *)src.d)[i] = 1;
        assert_int_equal(read_thing(&dst, &src, &err), -E2BIG);
        assert_int_equal(err.reason, VMEM_REASON_STRUCT_TAIL);
        /* A tail that struct_size does not cover is not looked at. */
        src.thing.struct_size = sizeof(src.thing) + i;
        assert_int_equal(read_thing(&dst, &src, &err), 0);
    }
}

static void only_a_large_enough_struct_may_be_filled(void **state)
{
    (void)state;
    assert_int_equal(vmemi_sized_check_out(NULL, FIRST_SIZE), -EINVAL);
    for (size_t size = 0; size < sizeof(struct newer_thing); size++) {
        struct newer_thing dst = { .thing = { .struct_size = size } };

        assert_int_equal(vmemi_sized_check_out(&dst, FIRST_SIZE),
                         size < FIRST_SIZE ? -EINVAL : 0);
    }
}

static void writing_stops_at_the_smaller_size_and_zeroes_the_rest(void **state)
{
    const struct thing src = { 12345, 1, 2, 3 };

    (void)state;
    for (size_t size = FIRST_SIZE; size <= sizeof(struct newer_thing); size++) {
        struct newer_thing dst;
        struct newer_thing expected;

        memset(&dst, 0xee, sizeof(dst));
        memset(&expected, 0xee, sizeof(expected));
        memset(&expected, 0, size);
        memcpy(&expected, &src, size < sizeof(src) ? size : sizeof(src));
        dst.thing.struct_size = size;
        expected.thing.struct_size = size;
        vmemi_sized_write(&dst, &src, sizeof(src));
        assert_memory_equal(&dst, &expected, sizeof(dst));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_null_struct_is_refused),
        cmocka_unit_test(a_struct_shorter_than_the_first_release_is_refused),
        cmocka_unit_test(members_that_the_host_does_not_know_read_as_zero),
        cmocka_unit_test(
            a_size_in_the_middle_of_a_member_leaves_the_member_out),
        cmocka_unit_test(the_exact_size_copies_everything),
        cmocka_unit_test(an_unknown_tail_of_zeros_is_accepted),
        cmocka_unit_test(one_set_byte_anywhere_in_the_tail_is_refused),
        cmocka_unit_test(only_a_large_enough_struct_may_be_filled),
        cmocka_unit_test(writing_stops_at_the_smaller_size_and_zeroes_the_rest),
    };

    return cmocka_run_group_tests_name("sized", tests, NULL, NULL);
}
