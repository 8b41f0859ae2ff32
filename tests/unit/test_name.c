/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/name.h"

static void a_name_must_be_there(void **state)
{
    struct vmem_error err = VMEM_ERROR_INIT;
    struct vmemi_name name;

    (void)state;
    assert_int_equal(vmemi_name_set(&name, NULL, "dog name", &err), -EINVAL);
    assert_int_equal(err.reason, VMEM_REASON_ARGUMENT);
    assert_string_equal(err.message, "dog name is missing");
    assert_int_equal(vmemi_name_set(&name, "", "dog name", NULL), -EINVAL);
}

static void the_longest_name_fits_and_one_more_does_not(void **state)
{
    struct vmem_error err = VMEM_ERROR_INIT;
    char text[VMEM_NAME_MAX + 2];
    struct vmemi_name name;

    (void)state;
    memset(text, 'n', sizeof(text));
    text[VMEM_NAME_MAX] = '\0';
    assert_int_equal(vmemi_name_set(&name, text, "name", &err), 0);
    assert_string_equal(name.text, text);
    text[VMEM_NAME_MAX] = 'n';
    text[VMEM_NAME_MAX + 1] = '\0';
    assert_int_equal(vmemi_name_set(&name, text, "name", &err), -ERANGE);
    assert_int_equal(err.reason, VMEM_REASON_RANGE);
}

/* A name without end is not read past the limit (address sanitizer). */
static void a_name_without_end_is_refused(void **state)
{
    char text[VMEM_NAME_MAX + 1];
    struct vmemi_name name;

    (void)state;
    memset(text, 'n', sizeof(text));
    assert_int_equal(vmemi_name_set(&name, text, "name", NULL), -ERANGE);
}

static void the_rest_of_a_shorter_name_is_cleared(void **state)
{
    struct vmemi_name name;

    (void)state;
    memset(&name, 'x', sizeof(name));
    assert_int_equal(vmemi_name_set(&name, "ab", "name", NULL), 0);
    for (size_t i = 2; i < sizeof(name.text); i++) {
        assert_int_equal(name.text[i], '\0');
    }
}

static void few_names_are_all_listed(void **state)
{
    struct vmemi_name_list list = { 0 };

    (void)state;
    vmemi_name_list_add(&list, "a");
    vmemi_name_list_add(&list, "bc");
    vmemi_name_list_add(&list, "d");
    vmemi_name_list_finish(&list);
    assert_string_equal(list.text, "a, bc, d");
}

static void many_names_are_counted(void **state)
{
    struct vmemi_name_list list = { 0 };
    char expected[160];

    (void)state;
    for (unsigned int i = 0; i < 100; i++) {
        vmemi_name_list_add(&list, "0123456789");
    }
    vmemi_name_list_finish(&list);
    assert_int_equal(list.nr_names + list.nr_dropped, 100);
    assert_true(list.nr_names >= 1);
    snprintf(expected, sizeof(expected), ", and %zu more", list.nr_dropped);
    assert_non_null(strstr(list.text, expected));
    assert_true(strlen(list.text) < sizeof(list.text));
}

/* Otherwise the list would not be in order. */
static void a_short_name_does_not_overtake_a_dropped_one(void **state)
{
    struct vmemi_name_list list = { 0 };
    char longest[VMEM_NAME_MAX + 1];

    (void)state;
    memset(longest, 'l', VMEM_NAME_MAX);
    longest[VMEM_NAME_MAX] = '\0';
    vmemi_name_list_add(&list, longest);
    vmemi_name_list_add(&list, longest);
    vmemi_name_list_add(&list, "s");
    vmemi_name_list_finish(&list);
    assert_null(strstr(list.text, "s"));
    assert_non_null(strstr(list.text, ", and 2 more"));
}

static void a_name_longer_than_the_list_is_counted(void **state)
{
    struct vmemi_name_list list = { 0 };
    char name[sizeof(list.text)];

    (void)state;
    memset(name, 'n', sizeof(name) - 1);
    name[sizeof(name) - 1] = '\0';
    vmemi_name_list_add(&list, name);
    vmemi_name_list_finish(&list);
    assert_string_equal(list.text, "1 more");
}

static void nothing_is_overrun_for_any_length(void **state)
{
    (void)state;
    for (size_t length = 1; length <= VMEM_NAME_MAX; length++) {
        struct {
            struct vmemi_name_list list;
            unsigned char guard;
        } it = { .guard = 0x77 };
        char name[VMEM_NAME_MAX + 1] = "";

        memset(name, 'n', length);
        for (unsigned int i = 0; i < 200; i++) {
            vmemi_name_list_add(&it.list, name);
        }
        vmemi_name_list_finish(&it.list);
        assert_true(strlen(it.list.text) < sizeof(it.list.text));
        assert_int_equal(it.list.nr_names + it.list.nr_dropped, 200);
        assert_int_equal(it.guard, 0x77);
        assert_non_null(strstr(it.list.text, " more"));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_name_must_be_there),
        cmocka_unit_test(the_longest_name_fits_and_one_more_does_not),
        cmocka_unit_test(a_name_without_end_is_refused),
        cmocka_unit_test(the_rest_of_a_shorter_name_is_cleared),
        cmocka_unit_test(few_names_are_all_listed),
        cmocka_unit_test(many_names_are_counted),
        cmocka_unit_test(a_short_name_does_not_overtake_a_dropped_one),
        cmocka_unit_test(a_name_longer_than_the_list_is_counted),
        cmocka_unit_test(nothing_is_overrun_for_any_length),
    };

    return cmocka_run_group_tests_name("name", tests, NULL, NULL);
}
