/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "support/fake_backing.h"
#include "support/quiet.h"

static struct vmem_vm *new_vm(const char *name)
{
    const struct vmem_vm_config config = { .struct_size = sizeof(config),
                                           .name = name };
    struct vmem_vm *vm = NULL;

    assert_int_equal(vmem_vm_new(&config, &vm, NULL), 0);
    return vm;
}

static struct vmem_region *new_region(struct vmem_vm *vm, const char *name)
{
    const struct vmem_region_config config = { .struct_size = sizeof(config),
                                               .name = name,
                                               .size = 4096 };
    struct vmem_region *region = NULL;

    assert_int_equal(vmem_region_new(vm, &config, &region, NULL), 0);
    return region;
}

static struct vmem_device *new_device(struct vmem_region *region,
                                      const char *name)
{
    static uint64_t next_gpa;
    const struct vmem_device_config config = { .struct_size = sizeof(config),
                                               .name = name,
                                               .gpa = next_gpa,
                                               .block_size = 4096 };
    struct vmem_device *device = NULL;

    next_gpa += 4096;
    assert_int_equal(
        vmem_device_new(region, &config, NULL, NULL, &device, NULL), 0);
    return device;
}

static struct vmem_vm *new_quiet_vm(void)
{
    const struct vmem_vm_config config = { .struct_size = sizeof(config),
                                           .name = "vm",
                                           .log = quiet_log };
    struct vmem_vm *vm = NULL;

    assert_int_equal(vmem_vm_new(&config, &vm, NULL), 0);
    return vm;
}

static void a_new_vm_keeps_a_copy_of_its_name(void **state)
{
    char name[] = "first";
    struct vmem_vm *vm = new_vm(name);

    (void)state;
    name[0] = 'x';
    assert_string_equal(vmem_vm_get_name(vm), "first");
    assert_int_equal(vmem_vm_free(vm, NULL), 0);
}

static void bad_configs_are_refused_and_out_stays(void **state)
{
    char longer[VMEM_NAME_MAX + 2];
    struct vmem_vm *const untouched = (struct vmem_vm *)&longer;
    struct vmem_vm_config config = { .struct_size = sizeof(config) };
    struct vmem_error err = VMEM_ERROR_INIT;
    struct vmem_vm *vm = untouched;

    (void)state;
    memset(longer, 'x', sizeof(longer));
    longer[sizeof(longer) - 1] = '\0';
    assert_int_equal(vmem_vm_new(NULL, &vm, &err), -EINVAL);
    assert_int_equal(vmem_vm_new(&config, &vm, &err), -EINVAL);
    config.name = "";
    assert_int_equal(vmem_vm_new(&config, &vm, &err), -EINVAL);
    config.name = longer;
    assert_int_equal(vmem_vm_new(&config, &vm, &err), -ERANGE);
    config.name = "vm";
    assert_int_equal(vmem_vm_new(&config, NULL, &err), -EINVAL);
    assert_ptr_equal(vm, untouched);
}

static void freeing_nothing_does_nothing(void **state)
{
    (void)state;
    assert_int_equal(vmem_vm_free(NULL, NULL), 0);
    assert_int_equal(vmem_region_free(NULL, NULL), 0);
    assert_int_equal(vmem_backing_free(NULL, NULL), 0);
    assert_int_equal(vmem_device_free(NULL, NULL), 0);
    assert_int_equal(vmem_listener_remove(NULL, NULL), 0);
    assert_int_equal(vmem_source_remove(NULL, NULL), 0);
}

/* I13, and QEMU's B33: a manager that was gone while its memory used it. */
static void a_vm_with_children_stays_and_names_them(void **state)
{
    struct vmem_vm *vm = new_quiet_vm();
    struct fake_backing memory;
    struct vmem_region *region = new_region(vm, "lonely region");
    struct vmem_region *other = new_region(vm, "device region");
    struct vmem_device *device = new_device(other, "some device");
    struct vmem_error err = VMEM_ERROR_INIT;

    (void)state;
    fake_backing_init(&memory, "some memory", 4096, 4096, NULL);
    assert_int_equal(fake_backing_make(&memory, vm, NULL), 0);

    assert_int_equal(vmem_vm_free(vm, &err), -EBUSY);
    assert_int_equal(err.reason, VMEM_REASON_IN_USE);
    assert_non_null(strstr(err.message, "lonely region"));
    assert_non_null(strstr(err.message, "device region"));
    assert_non_null(strstr(err.message, "some device"));
    assert_non_null(strstr(err.message, "some memory"));

    assert_int_equal(vmem_region_free(region, NULL), 0);
    assert_int_equal(vmem_vm_free(vm, &err), -EBUSY);
    assert_null(strstr(err.message, "lonely region"));
    assert_int_equal(vmem_device_free(device, NULL), 0);
    assert_int_equal(vmem_vm_free(vm, &err), -EBUSY);
    assert_int_equal(vmem_region_free(other, NULL), 0);
    assert_int_equal(vmem_vm_free(vm, &err), -EBUSY);
    assert_int_equal(vmem_backing_free(memory.backing, NULL), 0);
    assert_int_equal(vmem_vm_free(vm, &err), 0);
    fake_backing_destroy(&memory);
}

static void a_vm_with_claims_or_watchers_stays(void **state)
{
    struct vmem_discard_watcher *watcher;
    struct vmem_discard_claim *claim;
    struct vmem_vm *vm = new_vm("vm");
    struct vmem_error err = VMEM_ERROR_INIT;

    (void)state;
    assert_int_equal(vmem_discard_claim_take(vm, VMEM_CLAIM_FORBID_ALL,
                                             "a driver", &claim, NULL),
                     0);
    assert_int_equal(vmem_vm_free(vm, &err), -EBUSY);
    assert_int_equal(err.reason, VMEM_REASON_IN_USE);
    assert_non_null(strstr(err.message, "a driver"));
    assert_int_equal(
        vmem_discard_watcher_add(vm, quiet_claims, NULL, &watcher, NULL), 0);
    assert_int_equal(vmem_discard_claim_release(claim, NULL), 0);
    assert_int_equal(vmem_vm_free(vm, &err), -EBUSY);
    assert_int_equal(vmem_discard_watcher_remove(watcher, NULL), 0);
    assert_int_equal(vmem_vm_free(vm, &err), 0);
}

/* A callback that lists names and stops where it is told to. */
struct names {
    GString *text;
    const char *stop_at;
};

static int add_name(const char *name, struct names *names)
{
    g_string_append_printf(names->text, "%s ", name);
    return g_strcmp0(name, names->stop_at) == 0 ? 42 : 0;
}

static int add_region(struct vmem_region *region, void *opaque)
{
    return add_name(vmem_region_get_name(region), opaque);
}

static int add_device(struct vmem_device *device, void *opaque)
{
    struct vmem_device_info info = { .struct_size = sizeof(info) };

    if (vmem_device_get_info(device, &info) < 0) {
        return -1;
    }
    return add_name(info.name, opaque);
}

static void regions_and_devices_are_visited_in_order_of_creation(void **state)
{
    struct vmem_vm *vm = new_quiet_vm();
    struct vmem_region *a = new_region(vm, "a");
    struct vmem_region *b = new_region(vm, "b");
    struct vmem_region *c = new_region(vm, "c");
    struct vmem_device *y = new_device(b, "y");
    struct vmem_device *x = new_device(a, "x");
    struct names names = { g_string_new(NULL), NULL };

    (void)state;
    assert_int_equal(vmem_vm_for_each_region(vm, add_region, &names), 0);
    assert_int_equal(vmem_vm_for_each_device(vm, add_device, &names), 0);
    assert_string_equal(names.text->str, "a b c y x ");

    g_string_truncate(names.text, 0);
    names.stop_at = "b";
    assert_int_equal(vmem_vm_for_each_region(vm, add_region, &names), 42);
    names.stop_at = "y";
    assert_int_equal(vmem_vm_for_each_device(vm, add_device, &names), 42);
    assert_string_equal(names.text->str, "a b y ");

    g_string_free(names.text, TRUE);
    assert_int_equal(vmem_vm_for_each_region(vm, NULL, NULL), -EINVAL);
    assert_int_equal(vmem_vm_for_each_region(NULL, add_region, NULL), -EINVAL);
    assert_int_equal(vmem_vm_for_each_device(vm, NULL, NULL), -EINVAL);
    assert_int_equal(vmem_vm_for_each_device(NULL, add_device, NULL), -EINVAL);
    assert_int_equal(vmem_device_free(x, NULL), 0);
    assert_int_equal(vmem_device_free(y, NULL), 0);
    assert_int_equal(vmem_region_free(a, NULL), 0);
    assert_int_equal(vmem_region_free(b, NULL), 0);
    assert_int_equal(vmem_region_free(c, NULL), 0);
    assert_int_equal(vmem_vm_free(vm, NULL), 0);
}

static int walk_again(struct vmem_region *region, void *opaque)
{
    struct vmem_vm *vm = ((void **)opaque)[0];

    (void)region;
    return vmem_vm_for_each_region(vm, add_region, ((void **)opaque)[1]);
}

static void a_walk_inside_a_walk_works(void **state)
{
    struct vmem_vm *vm = new_vm("vm");
    struct vmem_region *a = new_region(vm, "a");
    struct vmem_region *b = new_region(vm, "b");
    struct names names = { g_string_new(NULL), NULL };
    void *opaque[] = { vm, &names };

    (void)state;
    assert_int_equal(vmem_vm_for_each_region(vm, walk_again, opaque), 0);
    assert_string_equal(names.text->str, "a b a b ");
    g_string_free(names.text, TRUE);
    assert_int_equal(vmem_region_free(a, NULL), 0);
    assert_int_equal(vmem_region_free(b, NULL), 0);
    assert_int_equal(vmem_vm_free(vm, NULL), 0);
}

static void machines_do_not_know_of_each_other(void **state)
{
    struct vmem_vm *a = new_vm("a");
    struct vmem_vm *b = new_vm("b");
    struct vmem_discard_claim *forbid;
    struct vmem_discard_claim *need;
    struct vmem_region *region = new_region(a, "r");
    struct names names = { g_string_new(NULL), NULL };

    (void)state;
    assert_int_equal(vmem_vm_for_each_region(b, add_region, &names), 0);
    assert_string_equal(names.text->str, "");
    assert_int_equal(
        vmem_discard_claim_take(a, VMEM_CLAIM_FORBID_ALL, "x", &forbid, NULL),
        0);
    assert_int_equal(vmem_discard_claim_take(b, VMEM_CLAIM_NEED_COORDINATED,
                                             "y", &need, NULL),
                     0);
    assert_int_equal(vmem_discard_claim_release(need, NULL), 0);
    assert_int_equal(vmem_vm_get_claims(a),
                     VMEM_CLAIM_BIT(VMEM_CLAIM_FORBID_ALL));
    assert_int_equal(vmem_discard_claim_release(forbid, NULL), 0);
    g_string_free(names.text, TRUE);
    assert_int_equal(vmem_vm_free(b, NULL), 0);
    assert_int_equal(vmem_region_free(region, NULL), 0);
    assert_int_equal(vmem_vm_free(a, NULL), 0);
}

static void without_a_clock_time_is_monotonic(void **state)
{
    const struct vmem_device_config config = { .struct_size = sizeof(config),
                                               .name = "d",
                                               .block_size = 4096 };
    struct vmem_resize_status status = { .struct_size = sizeof(status) };
    struct vmem_vm *vm = new_quiet_vm();
    struct vmem_region *region = new_region(vm, "r");
    struct vmem_device *device;
    uint64_t before;

    (void)state;
    assert_int_equal(
        vmem_device_new(region, &config, NULL, NULL, &device, NULL), 0);
    assert_int_equal(vmem_device_get_resize_status(device, &status), 0);
    before = status.requested_ns;
    assert_true(before > 0);
    g_usleep(2000);
    assert_int_equal(vmem_device_resize(device, 4096, NULL), 0);
    assert_int_equal(vmem_device_get_resize_status(device, &status), 0);
    assert_true(status.requested_ns - before >= 2000000);
    assert_true(status.requested_ns - before < UINT64_C(60000000000));
    assert_int_equal(vmem_device_free(device, NULL), 0);
    assert_int_equal(vmem_region_free(region, NULL), 0);
    assert_int_equal(vmem_vm_free(vm, NULL), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_new_vm_keeps_a_copy_of_its_name),
        cmocka_unit_test(bad_configs_are_refused_and_out_stays),
        cmocka_unit_test(freeing_nothing_does_nothing),
        cmocka_unit_test(a_vm_with_children_stays_and_names_them),
        cmocka_unit_test(a_vm_with_claims_or_watchers_stays),
        cmocka_unit_test(regions_and_devices_are_visited_in_order_of_creation),
        cmocka_unit_test(a_walk_inside_a_walk_works),
        cmocka_unit_test(machines_do_not_know_of_each_other),
        cmocka_unit_test(without_a_clock_time_is_monotonic),
    };

    return cmocka_run_group_tests_name("vm", tests, NULL, NULL);
}
