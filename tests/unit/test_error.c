/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include <vmem/vmem.h>

#include "base/errno.h"
#include "base/error.h"

static const struct vmem_range range = { 0x1000, 0x2000 };

static int fail_with(struct vmem_error *err)
{
    return vmemi_fail(err, -EBUSY, VMEM_REASON_IN_USE, &range,
                      "object \"%s\" has %d of %d", "name", 17, 16);
}

static void failing_without_an_error_struct_only_returns_the_code(void **state)
{
    (void)state;
    assert_int_equal(fail_with(NULL), -EBUSY);
}

static void every_member_is_filled(void **state)
{
    struct vmem_error err = VMEM_ERROR_INIT;

    (void)state;
    assert_int_equal(fail_with(&err), -EBUSY);
    assert_int_equal(err.struct_size, sizeof(err));
    assert_int_equal(err.code, -EBUSY);
    assert_int_equal(err.reason, VMEM_REASON_IN_USE);
    assert_int_equal(err.range.offset, 0x1000);
    assert_int_equal(err.range.size, 0x2000);
    assert_string_equal(err.message, "object \"name\" has 17 of 16");
}

static void without_a_range_the_range_is_empty(void **state)
{
    struct vmem_error err = VMEM_ERROR_INIT;

    (void)state;
    err.range = range;
    vmemi_fail(&err, -EINVAL, VMEM_REASON_ARGUMENT, NULL, "x");
    assert_int_equal(err.range.offset, 0);
    assert_int_equal(err.range.size, 0);
}

/* Not a byte behind what the host has room for, whatever that is. */
static void a_short_struct_gets_what_fits(void **state)
{
    struct vmem_error whole = VMEM_ERROR_INIT;
    struct vmem_error err;

    (void)state;
    fail_with(&whole);
    for (size_t size = 0; size <= sizeof(err); size++) {
        const unsigned char *bytes = (const unsigned char *)&err;
        const unsigned char *expected = (const unsigned char *)&whole;

        memset(&err, 0xee, sizeof(err));
        err.struct_size = size;
        assert_int_equal(fail_with(&err), -EBUSY);
        assert_int_equal(err.struct_size, size);
        for (size_t i = sizeof(err.struct_size); i < size; i++) {
            /* A cut message still ends. */
            if (i == size - 1 && i >= offsetof(struct vmem_error, message)) {
                assert_int_equal(bytes[i], '\0');
            } else {
                assert_int_equal(bytes[i], expected[i]);
            }
        }
        for (size_t i = size < sizeof(size_t) ? sizeof(size_t) : size;
             i < sizeof(err); i++) {
            assert_int_equal(bytes[i], 0xee);
        }
    }
}

static void a_longer_struct_keeps_its_size_and_is_not_overrun(void **state)
{
    struct {
        struct vmem_error err;
        unsigned char newer[16];
    } host;

    (void)state;
    memset(&host, 0xee, sizeof(host));
    host.err.struct_size = sizeof(host);
    fail_with(&host.err);
    assert_int_equal(host.err.struct_size, sizeof(host));
    assert_int_equal(host.err.code, -EBUSY);
    assert_string_equal(host.err.message, "object \"name\" has 17 of 16");
}

static void a_long_message_is_cut_and_ends(void **state)
{
    struct vmem_error err = VMEM_ERROR_INIT;
    char text[1000];

    (void)state;
    memset(text, 'x', sizeof(text));
    text[sizeof(text) - 1] = '\0';
    vmemi_fail(&err, -EINVAL, VMEM_REASON_ARGUMENT, NULL, "%s", text);
    assert_int_equal(strlen(err.message), VMEM_ERROR_MESSAGE_SIZE - 1);
}

/* QEMU's B12: an error text from a stale errno. */
static void errno_is_neither_read_nor_changed(void **state)
{
    struct vmem_error err = VMEM_ERROR_INIT;

    (void)state;
    errno = EXDEV;
    fail_with(&err);
    assert_int_equal(errno, EXDEV);
    assert_int_equal(err.code, -EBUSY);
}

static void running_out_of_memory_says_for_what(void **state)
{
    struct vmem_error err = VMEM_ERROR_INIT;

    (void)state;
    assert_int_equal(vmemi_fail_no_memory(&err, "a thing"), -ENOMEM);
    assert_int_equal(err.code, -ENOMEM);
    assert_int_equal(err.reason, VMEM_REASON_NO_MEMORY);
    assert_non_null(strstr(err.message, "a thing"));
}

static void success_leaves_the_error_alone(void **state)
{
    const struct vmem_vm_config config = { .struct_size = sizeof(config),
                                           .name = "vm" };
    struct vmem_error before = VMEM_ERROR_INIT;
    struct vmem_error err;
    struct vmem_vm *vm;

    (void)state;
    memset(&before.code, 0x5a, sizeof(before) - sizeof(before.struct_size));
    err = before;
    assert_int_equal(vmem_vm_new(&config, &vm, &err), 0);
    assert_int_equal(vmem_vm_free(vm, &err), 0);
    assert_memory_equal(&err, &before, sizeof(err));
}

static void every_reason_has_a_name_of_its_own(void **state)
{
    (void)state;
    for (uint32_t i = 0; i <= VMEM_REASON_UNMAP_FAILED; i++) {
        assert_string_not_equal(vmem_reason_name(i), "unknown");
        for (uint32_t j = 0; j < i; j++) {
            assert_string_not_equal(vmem_reason_name(i), vmem_reason_name(j));
        }
    }
    assert_string_equal(vmem_reason_name(VMEM_REASON_LISTENER_VETO),
                        "listener-veto");
}

static void an_unknown_reason_is_called_unknown(void **state)
{
    (void)state;
    assert_string_equal(vmem_reason_name(VMEM_REASON_UNMAP_FAILED + 1),
                        "unknown");
    assert_string_equal(vmem_reason_name(UINT32_MAX), "unknown");
}

/* What the kernel says of memory, files and IOMMUs, and callbacks with it. */
static void an_errno_is_said_in_words(void **state)
{
    static const int codes[] = {
        EPERM,   ENOENT, EINTR,  EIO,    ENXIO,  E2BIG,     EBADF,   EAGAIN,
        ENOMEM,  EACCES, EFAULT, EBUSY,  EEXIST, ENODEV,    EISDIR,  EINVAL,
        ENFILE,  EMFILE, ENOTTY, EFBIG,  ENOSPC, EROFS,     EPIPE,   ERANGE,
        EDEADLK, ENOSYS, ELOOP,  EPROTO, EDQUOT, EOVERFLOW, ENOTSUP, ETIMEDOUT,
    };

    (void)state;
    assert_string_equal(vmemi_errno_text(-ENOENT), "No such file or directory");
    for (size_t i = 0; i < sizeof(codes) / sizeof(codes[0]); i++) {
        const char *text = vmemi_errno_text(-codes[i]);

        assert_string_not_equal(text, "unknown error");
        assert_in_range(strlen(text), 5, 48);
        for (size_t k = 0; k < i; k++) {
            assert_string_not_equal(text, vmemi_errno_text(-codes[k]));
        }
    }
}

/* A callback of the host may return anything. */
static void other_numbers_are_unknown_errors(void **state)
{
    static const int codes[] = { 0,     1,     ENOENT,  -4095,
                                 -4096, -9999, INT_MAX, INT_MIN };

    (void)state;
    for (size_t i = 0; i < sizeof(codes) / sizeof(codes[0]); i++) {
        assert_string_equal(vmemi_errno_text(codes[i]), "unknown error");
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(failing_without_an_error_struct_only_returns_the_code),
        cmocka_unit_test(every_member_is_filled),
        cmocka_unit_test(without_a_range_the_range_is_empty),
        cmocka_unit_test(a_short_struct_gets_what_fits),
        cmocka_unit_test(a_longer_struct_keeps_its_size_and_is_not_overrun),
        cmocka_unit_test(a_long_message_is_cut_and_ends),
        cmocka_unit_test(errno_is_neither_read_nor_changed),
        cmocka_unit_test(running_out_of_memory_says_for_what),
        cmocka_unit_test(success_leaves_the_error_alone),
        cmocka_unit_test(every_reason_has_a_name_of_its_own),
        cmocka_unit_test(an_unknown_reason_is_called_unknown),
        cmocka_unit_test(an_errno_is_said_in_words),
        cmocka_unit_test(other_numbers_are_unknown_errors),
    };

    return cmocka_run_group_tests_name("error", tests, NULL, NULL);
}
