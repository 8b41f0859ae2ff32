/* SPDX-License-Identifier: BSD-3-Clause */
/* What errors and log lines say: which object, which value, which limit. */
#include <errno.h>
#include <string.h>

#include "base/alloc.h"
#include "support/device_rig.h"

static void assert_said(const struct vmem_error *err, const char *message)
{
    assert_string_equal(err->message, message);
}

static int never_asked(const struct vmem_range *range, void *opaque)
{
    (void)range;
    (void)opaque;
    return 0;
}

static void never_told(const struct vmem_range *range, void *opaque)
{
    (void)range;
    (void)opaque;
}

static void a_listener_is_refused_by_name(void **u)
{
    static const struct {
        uint64_t granularity;
        uint64_t flags;
        struct vmem_range window;
        const char *message;
    } cases[] = {
        { 3,
          0,
          { 0, 0 },
          "listener \"l\": granularity 0x3 is not a power of two" },
        { 4096, 9, { 0, 0 }, "listener \"l\": unknown flags 0x8" },
        { 0,
          VMEM_LISTENER_EXACT_DISCARD,
          { 0, 0 },
          "listener \"l\": VMEM_LISTENER_EXACT_DISCARD needs a granularity" },
        { 0,
          0,
          { 4096, 0 },
          "listener \"l\": the window at offset 0x1000 is empty" },
        { 0,
          0,
          { 0, RIG_REGION + 1 },
          "l: range ends at 0x40000001, the limit is 0x40000000" },
    };
    struct vmem_listener_ops ops = { .struct_size = sizeof(ops),
                                     .populate = never_asked,
                                     .discard = never_told };
    struct vmem_listener_config config = { .struct_size = sizeof(config),
                                           .name = "l" };
    struct rig *rig = rig_new_default();
    struct vmem_listener *listener;

    (void)u;
    for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
        struct vmem_error err = VMEM_ERROR_INIT;

        config.granularity = cases[i].granularity;
        config.flags = cases[i].flags;
        config.window = cases[i].window;
        assert_true(vmem_listener_add(rig->region, &config, &ops, NULL,
                                      &listener, &err) < 0);
        assert_said(&err, cases[i].message);
    }
    ops.populate = NULL;
    {
        struct vmem_error err = VMEM_ERROR_INIT;

        assert_int_equal(vmem_listener_add(rig->region, &config, &ops, NULL,
                                           &listener, &err),
                         -EINVAL);
        assert_said(&err, "listener \"l\": populate or discard is NULL");
    }
    rig_free(rig);
}

static bool refuse(size_t size)
{
    (void)size;
    return false;
}

static void a_source_is_refused_by_name(void **u)
{
    const struct vmem_source_config config = { .struct_size = sizeof(config),
                                               .name = "s",
                                               .block_size = RIG_BLOCK };
    struct rig *rig = rig_new(&(struct rig_options){ .no_device = true });
    struct vmem_error err = VMEM_ERROR_INIT;
    struct vmem_source *source;

    (void)u;
    vmemi_alloc_set_hook(refuse);
    assert_int_equal(vmem_source_add(rig->region, &config, &source, &err),
                     -ENOMEM);
    vmemi_alloc_set_hook(NULL);
    assert_said(&err, "source \"s\": out of memory for 512 blocks");
    assert_int_equal(vmem_source_add(rig->region, &config, &source, NULL), 0);
    assert_int_equal(vmem_source_populate(
                         source, &(struct vmem_range){ 1, RIG_BLOCK }, &err),
                     -EINVAL);
    assert_said(&err, "s: offset 0x1 or size 0x200000 is not a multiple of "
                      "0x200000");
    assert_int_equal(
        vmem_source_discard(
            source, &(struct vmem_range){ RIG_REGION, RIG_BLOCK }, &err),
        -ERANGE);
    assert_said(&err, "s: range ends at 0x40200000, the limit is 0x40000000");
    assert_int_equal(vmem_source_remove(source, NULL), 0);
    rig_free(rig);
}

static int fail_memory(const struct vmem_range *range, void *opaque)
{
    (void)range;
    (void)opaque;
    return -EIO;
}

static void memory_fails_by_name_and_place(void **u)
{
    const struct vmem_backing_ops ops = { .struct_size = sizeof(ops),
                                          .discard = fail_memory,
                                          .populate = fail_memory };
    const struct vmem_range range = { 8192, 4096 };
    struct vmem_backing_custom config = { .struct_size = sizeof(config),
                                          .name = "m",
                                          .size = RIG_BLOCK,
                                          .page_size = 4096,
                                          .flags = 0x8000 };
    struct rig *rig = rig_new(&(struct rig_options){ .no_device = true });
    struct vmem_error err = VMEM_ERROR_INIT;
    struct vmem_backing *backing;

    (void)u;
    assert_int_equal(
        vmem_backing_new_custom(rig->vm, &config, &ops, NULL, &backing, &err),
        -EINVAL);
    assert_said(&err, "backing \"m\": unknown flags 0x8000");
    config.name = NULL;
    assert_int_equal(
        vmem_backing_new_custom(rig->vm, &config, &ops, NULL, &backing, &err),
        -EINVAL);
    assert_said(&err, "backing \"\": unknown flags 0x8000");
    config.name = "m";
    config.flags = 0;
    assert_int_equal(
        vmem_backing_new_custom(rig->vm, &config, &ops, NULL, &backing, NULL),
        0);
    assert_int_equal(vmem_backing_discard(backing, &range, &err), -EIO);
    assert_said(&err,
                "backing \"m\": discard of 0x1000 bytes at offset 0x2000: "
                "Input/output error (errno 5)");
    assert_int_equal(vmem_backing_populate(backing, &range, &err), -EIO);
    assert_said(&err, "backing \"m\": populate of 0x1000 bytes at offset "
                      "0x2000: Input/output error (errno 5)");
    assert_int_equal(vmem_backing_free(backing, NULL), 0);
    rig_free(rig);
}

static void a_device_says_what_it_was_given(void **u)
{
    struct rig *rig = rig_new_default();
    struct vmem_device_saved saved = { .struct_size = sizeof(saved) };
    struct vmem_error err = VMEM_ERROR_INIT;
    uint64_t blocks[8];

    (void)u;
    assert_int_equal(vmem_device_reset(rig->device, 9, &err), -EINVAL);
    assert_said(&err, "vmem_device_reset: device is NULL, or kind 9 is none of "
                      "1 to 3");
    assert_int_equal(vmem_device_save(rig->device, &saved, blocks, 8), 0);
    vmemi_alloc_set_hook(refuse);
    assert_int_equal(vmem_device_load(rig->device, &saved, blocks, 8, &err),
                     -ENOMEM);
    vmemi_alloc_set_hook(NULL);
    assert_said(&err, "device \"dev\": out of memory for 512 blocks to load");
    rig_free(rig);
}

static void assert_logged(struct rig *rig, uint32_t code, const char *message)
{
    const struct rig_log *log = rig_last_log(rig, code);

    assert_non_null(log);
    assert_int_equal(log->blame, VMEM_BLAME_GUEST);
    assert_string_equal(log->message, message);
    rig->now_ns += 2 * UINT64_C(1000000000); /* nothing is suppressed */
}

static void a_malformed_request_is_logged_with_what_is_wrong(void **u)
{
    struct rig *rig = rig_new_default();
    uint8_t request[VMEM_DEVICE_REQUEST_SIZE];
    uint8_t response[VMEM_DEVICE_RESPONSE_SIZE];
    struct iovec readable[2] = { { request, 4 }, { request + 4, 3 } };
    struct iovec writable[2] = { { response, 2 }, { response + 2, 6 } };

    (void)u;
    rig_encode(request, 9, RIG_GPA, 1);
    rig_malformed(rig, request, 23, sizeof(response),
                  VMEM_MALFORMED_SHORT_REQUEST);
    assert_logged(rig, VMEM_LOG_CODE_MALFORMED,
                  "malformed request: 23 bytes, the least is 24");
    rig_malformed(rig, request, sizeof(request), 9,
                  VMEM_MALFORMED_SHORT_RESPONSE);
    assert_logged(rig, VMEM_LOG_CODE_MALFORMED,
                  "malformed request: room for 9 bytes, the least is 10");
    rig_malformed(rig, request, sizeof(request), sizeof(response),
                  VMEM_MALFORMED_TYPE);
    assert_logged(rig, VMEM_LOG_CODE_MALFORMED,
                  "malformed request: type 9, the largest is 3");
    rig_malformed(rig, NULL, sizeof(request), sizeof(response),
                  VMEM_MALFORMED_ADDRESS);
    assert_logged(rig, VMEM_LOG_CODE_MALFORMED,
                  "malformed request: bytes where the guest has no memory");

    /* In pieces. */
    assert_int_equal(vmem_device_handle_request_iov(rig->device, readable, 2,
                                                    writable, 2, NULL),
                     VMEM_REQUEST_MALFORMED);
    assert_logged(rig, VMEM_LOG_CODE_MALFORMED,
                  "malformed request: 7 bytes, the least is 24");
    readable[1].iov_len = sizeof(request) - 4;
    assert_int_equal(vmem_device_handle_request_iov(rig->device, readable, 2,
                                                    writable, 2, NULL),
                     VMEM_REQUEST_MALFORMED);
    assert_logged(rig, VMEM_LOG_CODE_MALFORMED,
                  "malformed request: room for 8 bytes, the least is 10");
    rig_free(rig);
}

static void an_error_is_logged_with_what_is_wrong(void **u)
{
    struct rig *rig = rig_new_default();

    (void)u;
    assert_int_equal(
        rig_request(rig, VMEM_REQUEST_PLUG, RIG_GPA + RIG_USABLE, 3),
        VMEM_RESPONSE_ERROR);
    assert_logged(rig, VMEM_LOG_CODE_GUEST_ERROR,
                  "plug of 3 blocks at gpa 0x160000000 answered ERROR: blocks "
                  "have 0x200000 bytes, usable are 0x20000000 from gpa "
                  "0x140000000");
    assert_int_equal(rig_unplug(rig, 4, 2), VMEM_RESPONSE_ERROR);
    assert_logged(rig, VMEM_LOG_CODE_GUEST_ERROR,
                  "unplug of 2 blocks at gpa 0x140800000 answered ERROR: not "
                  "all of them are plugged");
    assert_int_equal(rig_plug(rig, 4, 1), VMEM_RESPONSE_ACK);
    assert_int_equal(rig_plug(rig, 4, 2), VMEM_RESPONSE_ERROR);
    assert_logged(rig, VMEM_LOG_CODE_GUEST_ERROR,
                  "plug of 2 blocks at gpa 0x140800000 answered ERROR: not all "
                  "of them are unplugged");
    rig_free(rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_listener_is_refused_by_name),
        cmocka_unit_test(a_source_is_refused_by_name),
        cmocka_unit_test(memory_fails_by_name_and_place),
        cmocka_unit_test(a_device_says_what_it_was_given),
        cmocka_unit_test(a_malformed_request_is_logged_with_what_is_wrong),
        cmocka_unit_test(an_error_is_logged_with_what_is_wrong),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
