/* SPDX-License-Identifier: BSD-3-Clause */
/* No public function crashes on an object that is not there: those that can fail
 * say -EINVAL, the others have an answer that is safe. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include <vmem/vmem.h>

#include "support/quiet.h"

static struct vmem_vm *vm;
static struct vmem_region *region;
static struct vmem_source *source;
static struct vmem_device *device;
static struct vmem_bitmap *bitmap;

static int set_up(void **state)
{
    const struct vmem_vm_config vm_config = { .struct_size = sizeof(vm_config),
                                              .name = "vm" };
    const struct vmem_region_config region_config = {
        .struct_size = sizeof(region_config),
        .name = "region",
        .size = UINT64_C(16) << 20,
    };
    const struct vmem_source_config source_config = {
        .struct_size = sizeof(source_config),
        .name = "source",
        .block_size = 4096,
    };
    const struct vmem_device_config device_config = {
        .struct_size = sizeof(device_config),
        .name = "device",
        .block_size = UINT64_C(2) << 20,
    };

    (void)state;
    return vmem_vm_new(&vm_config, &vm, NULL) < 0 ||
           vmem_region_new(vm, &region_config, &region, NULL) < 0 ||
           vmem_source_add(region, &source_config, &source, NULL) < 0 ||
           vmem_device_new(region, &device_config, NULL, NULL, &device, NULL) <
               0 ||
           vmem_bitmap_new(64, &bitmap) < 0;
}

static int tear_down(void **state)
{
    (void)state;
    vmem_bitmap_free(bitmap);
    return vmem_device_free(device, NULL) < 0 ||
           vmem_source_remove(source, NULL) < 0 ||
           vmem_region_free(region, NULL) < 0 || vmem_vm_free(vm, NULL) < 0;
}

static int on_run(const struct vmem_bitmap_run *run, void *opaque)
{
    (void)run;
    (void)opaque;
    return 0;
}

static int on_region(struct vmem_region *visited, void *opaque)
{
    (void)visited;
    (void)opaque;
    return 0;
}

static int on_device(struct vmem_device *visited, void *opaque)
{
    (void)visited;
    (void)opaque;
    return 0;
}

static int on_claim(uint32_t kind, const char *owner, void *opaque)
{
    (void)kind;
    (void)owner;
    (void)opaque;
    return 0;
}

#define REFUSED(call) assert_int_equal((call), -EINVAL)

/* With an error to fill, which then names the function. */
#define REFUSED_BY_NAME(function, ...)                                         \
    do {                                                                       \
        struct vmem_error err = VMEM_ERROR_INIT;                               \
                                                                               \
        assert_int_equal(function(__VA_ARGS__, &err), -EINVAL);                \
        assert_int_equal(err.code, -EINVAL);                                   \
        assert_non_null(strstr(err.message, #function));                       \
    } while (0)

static void names_and_numbers_of_nothing_are_nothing(void **state)
{
    (void)state;
    assert_null(vmem_vm_get_name(NULL));
    assert_null(vmem_region_get_name(NULL));
    assert_null(vmem_region_get_backing(NULL));
    assert_int_equal(vmem_region_get_size(NULL), 0);
    assert_false(vmem_region_is_frozen(NULL));
    assert_false(vmem_region_is_populated(NULL, NULL));
    assert_int_equal(vmem_vm_get_claims(NULL), 0);
    assert_false(vmem_vm_is_uncoordinated_forbidden(NULL));
    assert_false(vmem_vm_is_discard_needed(NULL));
    assert_int_equal(vmem_trace_event_format(NULL, NULL, NULL, 0), -EINVAL);
    assert_int_equal(vmem_device_get_features(NULL), 0);
    assert_int_equal(vmem_device_get_config_generation(NULL), 0);
    assert_int_equal(vmem_bitmap_get_nr_blocks(NULL), 0);
    assert_int_equal(vmem_bitmap_get_nr_set(NULL), 0);
    assert_false(vmem_bitmap_is_set(NULL, 0));
}

static void freeing_nothing_is_no_error(void **state)
{
    (void)state;
    assert_int_equal(vmem_vm_free(NULL, NULL), 0);
    assert_int_equal(vmem_region_free(NULL, NULL), 0);
    assert_int_equal(vmem_backing_free(NULL, NULL), 0);
    assert_int_equal(vmem_device_free(NULL, NULL), 0);
    assert_int_equal(vmem_source_remove(NULL, NULL), 0);
    assert_int_equal(vmem_listener_remove(NULL, NULL), 0);
    assert_int_equal(vmem_discard_claim_release(NULL, NULL), 0);
    assert_int_equal(vmem_discard_watcher_remove(NULL, NULL), 0);
    vmem_bitmap_free(NULL);
}

static void queries_of_nothing_and_into_nothing_are_refused(void **state)
{
    struct vmem_region_info region_info = { .struct_size =
                                                sizeof(region_info) };
    struct vmem_source_info source_info = { .struct_size =
                                                sizeof(source_info) };
    struct vmem_device_info device_info = { .struct_size =
                                                sizeof(device_info) };
    struct vmem_device_stats device_stats = { .struct_size =
                                                  sizeof(device_stats) };
    struct vmem_resize_status resize = { .struct_size = sizeof(resize) };
    struct vmem_backing_info info = { .struct_size = sizeof(info) };
    struct vmem_backing_stats stats = { .struct_size = sizeof(stats) };
    struct vmem_backing_usage usage = { .struct_size = sizeof(usage) };
    struct vmem_device_saved saved = { .struct_size = sizeof(saved) };
    uint64_t word = 0;
    uint8_t byte;

    (void)state;
    REFUSED(vmem_region_get_info(NULL, &region_info));
    REFUSED(vmem_region_get_info(region, NULL));
    REFUSED(vmem_source_get_info(NULL, &source_info));
    REFUSED(vmem_source_get_info(source, NULL));
    REFUSED(vmem_device_get_info(NULL, &device_info));
    REFUSED(vmem_device_get_info(device, NULL));
    REFUSED(vmem_device_get_stats(NULL, &device_stats));
    REFUSED(vmem_device_get_stats(device, NULL));
    REFUSED(vmem_device_get_resize_status(NULL, &resize));
    REFUSED(vmem_device_get_resize_status(device, NULL));
    REFUSED(vmem_device_save(NULL, &saved, &word, 1));
    REFUSED(vmem_device_save(device, NULL, &word, 1));
    REFUSED(vmem_device_save(device, &saved, NULL, 1));
    REFUSED(vmem_backing_get_info(NULL, &info));
    REFUSED(vmem_backing_get_stats(NULL, &stats));
    REFUSED_BY_NAME(vmem_backing_get_usage, NULL, NULL, &usage);
    REFUSED(vmem_device_read_config(NULL, 0, &byte, 1));
    REFUSED(vmem_device_read_config(device, 0, NULL, 1));
    REFUSED(vmem_device_write_config(NULL, 0, &byte, 1));
}

static void walks_of_nothing_and_with_nothing_are_refused(void **state)
{
    const struct vmem_range all = { 0, 4096 };
    uint64_t word;

    (void)state;
    REFUSED(vmem_vm_for_each_region(NULL, on_region, NULL));
    REFUSED(vmem_vm_for_each_region(vm, NULL, NULL));
    REFUSED(vmem_vm_for_each_device(NULL, on_device, NULL));
    REFUSED(vmem_vm_for_each_device(vm, NULL, NULL));
    REFUSED(vmem_vm_for_each_claim(NULL, on_claim, NULL));
    REFUSED(vmem_vm_for_each_claim(vm, NULL, NULL));
    REFUSED(vmem_region_for_each_populated(NULL, &all, quiet_accept, NULL));
    REFUSED(vmem_region_for_each_populated(region, &all, NULL, NULL));
    REFUSED(vmem_region_for_each_discarded(NULL, &all, quiet_accept, NULL));
    REFUSED(vmem_region_for_each_discarded(region, &all, NULL, NULL));
    REFUSED(vmem_region_get_page_bitmap(NULL, &all, 4096, &word));
    REFUSED(vmem_region_get_page_bitmap(region, &all, 4096, NULL));
    REFUSED(vmem_source_get_page_bitmap(NULL, &all, 4096, &word));
    REFUSED(vmem_source_get_page_bitmap(source, &all, 4096, NULL));
    REFUSED(vmem_region_with_populated(NULL, &all, quiet_accept, NULL, NULL));
    REFUSED(vmem_region_with_populated(region, NULL, quiet_accept, NULL, NULL));
    REFUSED(vmem_region_with_populated(region, &all, NULL, NULL, NULL));
    REFUSED(vmem_bitmap_for_each_set(NULL, 0, 1, on_run, NULL));
    REFUSED(vmem_bitmap_for_each_set(bitmap, 0, 1, NULL, NULL));
    REFUSED(vmem_bitmap_for_each_clear(NULL, 0, 1, on_run, NULL));
    REFUSED(vmem_bitmap_for_each_clear(bitmap, 0, 1, NULL, NULL));
    REFUSED(vmem_bitmap_copy_out(NULL, 0, 1, &word));
    REFUSED(vmem_bitmap_copy_out(bitmap, 0, 1, NULL));
}

static void changes_of_nothing_are_refused(void **state)
{
    const struct vmem_range some = { 0, 4096 };
    struct vmem_request_result result = { .struct_size = sizeof(result) };
    const struct vmem_device_saved saved = { .struct_size = sizeof(saved) };
    const uint64_t word = 0;
    uint8_t bytes[24] = { 0 };

    (void)state;
    REFUSED_BY_NAME(vmem_source_populate, NULL, &some);
    REFUSED_BY_NAME(vmem_source_populate, source, NULL);
    REFUSED_BY_NAME(vmem_source_discard, NULL, &some);
    REFUSED_BY_NAME(vmem_source_discard, source, NULL);
    REFUSED_BY_NAME(vmem_backing_discard, NULL, &some);
    REFUSED_BY_NAME(vmem_backing_populate, NULL, &some);
    REFUSED_BY_NAME(vmem_region_retry_discards, NULL);
    REFUSED(vmem_region_freeze(NULL, "owner", NULL));
    REFUSED(vmem_region_freeze(region, NULL, NULL));
    REFUSED(vmem_region_thaw(NULL, "owner", NULL));
    REFUSED(vmem_region_thaw(region, NULL, NULL));
    REFUSED(vmem_device_resize(NULL, 0, NULL));
    REFUSED(vmem_device_notify_config(NULL));
    REFUSED_BY_NAME(vmem_device_reset, NULL, VMEM_RESET_SYSTEM);
    REFUSED_BY_NAME(vmem_device_check_removable, NULL);
    REFUSED_BY_NAME(vmem_device_load, NULL, &saved, &word, 1);
    REFUSED(vmem_device_load(device, NULL, &word, 1, NULL));
    REFUSED(vmem_device_poll_resize(NULL));
    REFUSED(vmem_device_set_driver_features(NULL, 0));
    REFUSED(vmem_device_handle_request(NULL, bytes, sizeof(bytes), bytes, 10,
                                       &result));
    REFUSED(vmem_device_handle_request_iov(NULL, NULL, 0, NULL, 0, &result));
    REFUSED(vmem_bitmap_set(NULL, 0, 1, NULL));
    REFUSED(vmem_bitmap_clear(NULL, 0, 1, NULL));
}

static void claims_of_nothing_are_refused(void **state)
{
    struct vmem_discard_watcher *watcher;
    struct vmem_discard_claim *claim;

    (void)state;
    REFUSED(vmem_discard_claim_take(NULL, VMEM_CLAIM_FORBID_ALL, "owner",
                                    &claim, NULL));
    REFUSED(
        vmem_discard_claim_take(vm, VMEM_CLAIM_FORBID_ALL, NULL, &claim, NULL));
    REFUSED(vmem_discard_claim_take(vm, VMEM_CLAIM_FORBID_ALL, "owner", NULL,
                                    NULL));
    assert_int_equal(vmem_discard_claim_take(vm, VMEM_CLAIM_NEED_COORDINATED,
                                             "owner", &claim, NULL),
                     0);
    assert_int_equal(vmem_discard_claim_release(claim, NULL), 0);
    REFUSED_BY_NAME(vmem_discard_watcher_add, NULL, quiet_claims, NULL,
                    &watcher);
    REFUSED_BY_NAME(vmem_discard_watcher_add, vm, NULL, NULL, &watcher);
    REFUSED_BY_NAME(vmem_discard_watcher_add, vm, quiet_claims, NULL, NULL);
    assert_int_equal(
        vmem_discard_watcher_add(vm, quiet_claims, NULL, &watcher, NULL), 0);
    assert_int_equal(vmem_discard_watcher_remove(watcher, NULL), 0);
}

static void making_of_nothing_is_refused(void **state)
{
    const struct vmem_vm_config vm_config = { .struct_size = sizeof(vm_config),
                                              .name = "new" };
    const struct vmem_region_config region_config = {
        .struct_size = sizeof(region_config), .name = "new", .size = 4096
    };
    const struct vmem_source_config source_config = {
        .struct_size = sizeof(source_config), .name = "new", .block_size = 4096
    };
    const struct vmem_device_config device_config = {
        .struct_size = sizeof(device_config), .name = "new", .block_size = 4096
    };
    const struct vmem_listener_config listener_config = {
        .struct_size = sizeof(listener_config), .name = "new"
    };
    const struct vmem_listener_ops listener_ops = { .struct_size =
                                                        sizeof(listener_ops) };
    const struct vmem_backing_config request = {
        .struct_size = sizeof(request),
        .name = "new",
        .kind = VMEM_BACKING_ANON,
        .size = 4096,
    };
    const struct vmem_backing_custom custom = {
        .struct_size = sizeof(custom),
        .name = "new",
        .size = 4096,
    };
    const struct vmem_backing_ops ops = { .struct_size = sizeof(ops),
                                          .discard = quiet_accept };
    const struct vmem_backing_ops no_discard = { .struct_size =
                                                     sizeof(no_discard) };
    struct vmem_region *new_region;
    struct vmem_source *new_source;
    struct vmem_device *new_device;
    struct vmem_listener *listener;
    struct vmem_backing *backing;
    struct vmem_vm *new_vm;

    (void)state;
    REFUSED(vmem_vm_new(NULL, &new_vm, NULL));
    REFUSED(vmem_vm_new(&vm_config, NULL, NULL));
    REFUSED(vmem_region_new(NULL, &region_config, &new_region, NULL));
    REFUSED(vmem_region_new(vm, NULL, &new_region, NULL));
    REFUSED(vmem_region_new(vm, &region_config, NULL, NULL));
    REFUSED(vmem_source_add(NULL, &source_config, &new_source, NULL));
    REFUSED(vmem_source_add(region, NULL, &new_source, NULL));
    REFUSED(vmem_source_add(region, &source_config, NULL, NULL));
    REFUSED(
        vmem_device_new(NULL, &device_config, NULL, NULL, &new_device, NULL));
    REFUSED(vmem_device_new(region, NULL, NULL, NULL, &new_device, NULL));
    REFUSED(vmem_device_new(region, &device_config, NULL, NULL, NULL, NULL));
    REFUSED(vmem_listener_add(NULL, &listener_config, &listener_ops, NULL,
                              &listener, NULL));
    REFUSED(
        vmem_listener_add(region, NULL, &listener_ops, NULL, &listener, NULL));
    REFUSED(vmem_listener_add(region, &listener_config, NULL, NULL, &listener,
                              NULL));
    REFUSED(vmem_listener_add(region, &listener_config, &listener_ops, NULL,
                              NULL, NULL));
    REFUSED(vmem_backing_new_allocated(NULL, &request, &backing, NULL));
    REFUSED(vmem_backing_new_allocated(vm, NULL, &backing, NULL));
    REFUSED(vmem_backing_new_allocated(vm, &request, NULL, NULL));
    REFUSED_BY_NAME(vmem_backing_new_custom, NULL, &custom, &ops, NULL,
                    &backing);
    REFUSED(vmem_backing_new_custom(vm, NULL, &ops, NULL, &backing, NULL));
    REFUSED(vmem_backing_new_custom(vm, &custom, NULL, NULL, &backing, NULL));
    REFUSED_BY_NAME(vmem_backing_new_custom, vm, &custom, &ops, NULL, NULL);
    REFUSED_BY_NAME(vmem_backing_new_custom, vm, &custom, &no_discard, NULL,
                    &backing);
    REFUSED(vmem_bitmap_new(64, NULL));
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(names_and_numbers_of_nothing_are_nothing),
        TEST(freeing_nothing_is_no_error),
        TEST(queries_of_nothing_and_into_nothing_are_refused),
        TEST(walks_of_nothing_and_with_nothing_are_refused),
        TEST(changes_of_nothing_are_refused),
        TEST(claims_of_nothing_are_refused),
        TEST(making_of_nothing_is_refused),
    };

    return cmocka_run_group_tests_name("NULL", tests, NULL, NULL);
}
