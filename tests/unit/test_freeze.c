/* SPDX-License-Identifier: BSD-3-Clause */
/* While frozen nothing changes and no backing is touched (I14). */
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <string.h>

#include <cmocka.h>

#include "support/world.h"

#define UNIT ((uint64_t)4096)
#define ALL ((struct vmem_range){ 0, 0 })

static void owners_freeze_and_thaw(void **state)
{
    struct vmem_region_info info = { .struct_size = sizeof(info) };
    struct world world;

    (void)state;
    world_open(&world, 16 * UNIT, UNIT, 0);
    assert_false(vmem_region_is_frozen(world.region));
    assert_int_equal(vmem_region_freeze(world.region, "a", NULL), 0);
    assert_true(vmem_region_is_frozen(world.region));
    assert_int_equal(vmem_region_freeze(world.region, "b", NULL), 0);
    vmem_region_get_info(world.region, &info);
    assert_int_equal(info.nr_freezers, 2);
    assert_int_equal(vmem_region_thaw(world.region, "a", NULL), 0);
    assert_true(vmem_region_is_frozen(world.region));
    assert_int_equal(vmem_region_thaw(world.region, "b", NULL), 0);
    assert_false(vmem_region_is_frozen(world.region));
    assert_int_equal(vmem_region_freeze(world.region, "a", NULL), 0);
    assert_int_equal(vmem_region_thaw(world.region, "a", NULL), 0);
    world_close(&world);
}

static void an_owner_freezes_once(void **state)
{
    struct vmem_error err = VMEM_ERROR_INIT;
    struct world world;

    (void)state;
    world_open(&world, 16 * UNIT, UNIT, 0);
    assert_int_equal(vmem_region_freeze(world.region, "a", NULL), 0);
    assert_int_equal(vmem_region_freeze(world.region, "a", &err), -EEXIST);
    assert_int_equal(err.reason, VMEM_REASON_DUPLICATE);
    assert_non_null(strstr(err.message, "\"a\""));
    assert_int_equal(vmem_region_thaw(world.region, "a", NULL), 0);
    assert_false(vmem_region_is_frozen(world.region));
    world_close(&world);
}

static void only_an_owner_thaws(void **state)
{
    struct vmem_error err = VMEM_ERROR_INIT;
    struct world world;

    (void)state;
    world_open(&world, 16 * UNIT, UNIT, 0);
    assert_int_equal(vmem_region_thaw(world.region, "a", &err), -ENOENT);
    assert_int_equal(err.reason, VMEM_REASON_NOT_FOUND);
    assert_non_null(strstr(err.message, "nobody"));
    assert_int_equal(vmem_region_freeze(world.region, "snapshot", NULL), 0);
    assert_int_equal(vmem_region_thaw(world.region, "a", &err), -ENOENT);
    assert_non_null(strstr(err.message, "snapshot"));
    assert_true(vmem_region_is_frozen(world.region));
    assert_int_equal(vmem_region_thaw(world.region, "snapshot", NULL), 0);
    assert_int_equal(vmem_region_thaw(world.region, "snapshot", NULL), -ENOENT);
    world_close(&world);
}

static void bad_arguments_are_refused(void **state)
{
    char longest[VMEM_NAME_MAX + 2];
    struct world world;

    (void)state;
    memset(longest, 'x', sizeof(longest));
    longest[sizeof(longest) - 1] = '\0';
    world_open(&world, 16 * UNIT, UNIT, 0);
    assert_int_equal(vmem_region_freeze(NULL, "a", NULL), -EINVAL);
    assert_int_equal(vmem_region_freeze(world.region, NULL, NULL), -EINVAL);
    assert_int_equal(vmem_region_freeze(world.region, "", NULL), -EINVAL);
    assert_int_equal(vmem_region_freeze(world.region, longest, NULL), -ERANGE);
    assert_int_equal(vmem_region_thaw(NULL, "a", NULL), -EINVAL);
    assert_int_equal(vmem_region_thaw(world.region, NULL, NULL), -EINVAL);
    assert_int_equal(vmem_region_thaw(world.region, longest, NULL), -ENOENT);
    assert_false(vmem_region_is_frozen(world.region));
    world_close(&world);
}

static void every_change_is_refused_with_the_owners_names(void **state)
{
    const struct vmem_source_config config = { .struct_size = sizeof(config),
                                               .name = "new",
                                               .block_size = UNIT };
    struct vmem_range some = { 4 * UNIT, 4 * UNIT };
    struct vmem_source *source;
    struct vmem_source *other = NULL;
    struct recorder listener;
    struct world world;

    (void)state;
    world_open(&world, 16 * UNIT, UNIT, VMEM_BACKING_POPULATE);
    source = world_add_source(&world, "s", UNIT, VMEM_SOURCE_DISCARDS);
    assert_int_equal(vmem_source_populate(source, &some, NULL), 0);
    world_add_listener(&world, &listener, "l", ALL, 0, 0);
    journal_take(&world.journal);
    assert_int_equal(vmem_region_freeze(world.region, "first", NULL), 0);
    assert_int_equal(vmem_region_freeze(world.region, "second", NULL), 0);
    for (unsigned int i = 0; i < 5; i++) {
        struct vmem_error err = VMEM_ERROR_INIT;
        const int codes[] = {
            i == 0 ? vmem_source_populate(source, &some, &err) : 0,
            i == 1 ? vmem_source_discard(source, &some, &err) : 0,
            i == 2 ? vmem_source_remove(source, &err) : 0,
            i == 3 ? vmem_source_add(world.region, &config, &other, &err) : 0,
            i == 4 ? vmem_region_retry_discards(world.region, &err) : 0,
        };

        assert_int_equal(codes[i], -EBUSY);
        assert_int_equal(err.code, -EBUSY);
        assert_int_equal(err.reason, VMEM_REASON_FROZEN);
        assert_non_null(strstr(err.message, "first"));
    }
    assert_null(other);
    world_expect(&world, "");
    assert_string_equal(world_populated_runs(&world), "[4,8)");
    assert_int_equal(vmem_region_thaw(world.region, "first", NULL), 0);
    assert_int_equal(vmem_source_discard(source, &some, NULL), -EBUSY);
    assert_int_equal(vmem_region_thaw(world.region, "second", NULL), 0);
    assert_int_equal(vmem_source_discard(source, &some, NULL), 0);
    world_remove_listener(&world, &listener);
    assert_int_equal(vmem_source_remove(source, NULL), 0);
    world_close(&world);
}

/* No block changes by it. */
static void listeners_come_and_go_while_frozen(void **state)
{
    struct vmem_range some = { 4 * UNIT, 4 * UNIT };
    struct vmem_source *source;
    struct recorder listener;
    struct world world;

    (void)state;
    world_open(&world, 16 * UNIT, UNIT, 0);
    source = world_add_source(&world, "s", UNIT, VMEM_SOURCE_DISCARDS);
    assert_int_equal(vmem_source_populate(source, &some, NULL), 0);
    journal_take(&world.journal);
    assert_int_equal(vmem_region_freeze(world.region, "a", NULL), 0);
    world_add_listener(&world, &listener, "l", ALL, 0, 0);
    world_remove_listener(&world, &listener);
    world_expect(&world, "l+[4,8) l-[4,8) l~");
    assert_int_equal(vmem_region_thaw(world.region, "a", NULL), 0);
    assert_int_equal(vmem_source_remove(source, NULL), 0);
    world_close(&world);
}

/* ---- devices ---- */

struct notified {
    struct vmem_device *device;
    struct vmem_device *frees; /* in its notification, or NULL */
    unsigned int nr_config;
    int code;
};

static void on_config(void *opaque)
{
    struct notified *it = opaque;

    it->nr_config++;
    if (it->frees != NULL) {
        it->code = vmem_device_free(it->frees, NULL);
        it->frees = NULL;
    }
}

static void add_device(struct vmem_region *region, struct notified *it,
                       const char *name, uint64_t gpa)
{
    const struct vmem_device_config config = { .struct_size = sizeof(config),
                                               .name = name,
                                               .gpa = gpa,
                                               .block_size = UNIT };
    const struct vmem_device_ops ops = { .struct_size = sizeof(ops),
                                         .config_changed = on_config };

    memset(it, 0, sizeof(*it));
    it->code = 1;
    assert_int_equal(
        vmem_device_new(region, &config, &ops, it, &it->device, NULL), 0);
}

static void the_last_thaw_kicks_the_guest_once(void **state)
{
    struct notified it;
    struct world world;

    (void)state;
    world_open(&world, 16 * UNIT, UNIT, 0);
    add_device(world.region, &it, "d", 0);
    assert_int_equal(vmem_region_freeze(world.region, "a", NULL), 0);
    assert_int_equal(vmem_region_freeze(world.region, "b", NULL), 0);
    assert_int_equal(vmem_region_thaw(world.region, "c", NULL), -ENOENT);
    assert_int_equal(vmem_region_thaw(world.region, "a", NULL), 0);
    assert_int_equal(it.nr_config, 0);
    assert_int_equal(vmem_region_thaw(world.region, "b", NULL), 0);
    assert_int_equal(it.nr_config, 1);
    assert_int_equal(vmem_device_free(it.device, NULL), 0);
    world_close(&world);
}

static void a_device_may_free_itself_when_it_hears_of_the_thaw(void **state)
{
    struct notified it;
    struct world world;

    (void)state;
    world_open(&world, 16 * UNIT, UNIT, 0);
    add_device(world.region, &it, "d", 0);
    it.frees = it.device;
    assert_int_equal(vmem_region_freeze(world.region, "a", NULL), 0);
    assert_int_equal(vmem_region_thaw(world.region, "a", NULL), 0);
    assert_int_equal(it.code, 0);
    world_close(&world);
}

static void a_device_may_free_another_when_it_hears_of_the_thaw(void **state)
{
    const struct vmem_region_config config = { .struct_size = sizeof(config),
                                               .name = "second",
                                               .size = 16 * UNIT };
    struct vmem_region *region;
    struct notified first;
    struct notified second;
    struct world world;

    (void)state;
    world_open(&world, 16 * UNIT, UNIT, 0);
    assert_int_equal(vmem_region_new(world.vm, &config, &region, NULL), 0);
    add_device(world.region, &first, "first", 0);
    add_device(region, &second, "second", 16 * UNIT);
    first.frees = second.device;
    assert_int_equal(vmem_region_freeze(world.region, "a", NULL), 0);
    assert_int_equal(vmem_region_thaw(world.region, "a", NULL), 0);
    assert_int_equal(first.code, 0);
    assert_int_equal(first.nr_config, 1);
    assert_int_equal(second.nr_config, 0);
    assert_int_equal(vmem_device_free(first.device, NULL), 0);
    assert_int_equal(vmem_region_free(region, NULL), 0);
    world_close(&world);
}

static void a_frozen_device_stays(void **state)
{
    struct vmem_error err = VMEM_ERROR_INIT;
    struct notified it;
    struct world world;

    (void)state;
    world_open(&world, 16 * UNIT, UNIT, 0);
    add_device(world.region, &it, "d", 0);
    assert_int_equal(vmem_region_freeze(world.region, "a", NULL), 0);
    assert_int_equal(vmem_device_free(it.device, &err), -EBUSY);
    assert_int_equal(err.reason, VMEM_REASON_FROZEN);
    assert_int_equal(vmem_device_reset(it.device, VMEM_RESET_SYSTEM, &err),
                     -EBUSY);
    assert_int_equal(vmem_device_reset(it.device, VMEM_RESET_DRIVER, &err), 0);
    assert_int_equal(vmem_region_thaw(world.region, "a", NULL), 0);
    assert_int_equal(vmem_device_free(it.device, &err), 0);
    world_close(&world);
}

/* ---- waiting ---- */

struct waiting {
    struct world *world;
    _Atomic bool inside;
    _Atomic bool frozen;
    bool was_frozen_inside;
};

static void *freeze(void *opaque)
{
    struct waiting *it = opaque;

    while (!atomic_load(&it->inside)) {
        g_usleep(100);
    }
    vmem_region_freeze(it->world->region, "thread", NULL);
    atomic_store(&it->frozen, true);
    return NULL;
}

static void linger(struct recorder *recorder, enum recorder_call call,
                   const struct vmem_range *range)
{
    struct waiting *it = recorder->inside_opaque;

    (void)range;
    if (call == RECORDER_POPULATE) {
        atomic_store(&it->inside, true);
        g_usleep(30000);
        it->was_frozen_inside = atomic_load(&it->frozen) ||
                                vmem_region_is_frozen(it->world->region);
    }
}

static void freezing_waits_for_a_running_change(void **state)
{
    struct vmem_range some = { 4 * UNIT, 4 * UNIT };
    struct vmem_source *source;
    struct recorder listener;
    struct waiting waiting;
    struct world world;
    pthread_t thread;

    (void)state;
    memset(&waiting, 0, sizeof(waiting));
    waiting.world = &world;
    world_open(&world, 16 * UNIT, UNIT, 0);
    source = world_add_source(&world, "s", UNIT, VMEM_SOURCE_DISCARDS);
    world_add_listener(&world, &listener, "l", ALL, 0, 0);
    listener.inside = linger;
    listener.inside_opaque = &waiting;
    assert_int_equal(pthread_create(&thread, NULL, freeze, &waiting), 0);
    assert_int_equal(vmem_source_populate(source, &some, NULL), 0);
    pthread_join(thread, NULL);
    assert_false(waiting.was_frozen_inside);
    assert_true(vmem_region_is_frozen(world.region));
    assert_int_equal(vmem_source_discard(source, &some, NULL), -EBUSY);
    assert_string_equal(world_populated_runs(&world), "[4,8)");
    assert_int_equal(vmem_region_thaw(world.region, "thread", NULL), 0);
    world_remove_listener(&world, &listener);
    assert_int_equal(vmem_source_remove(source, NULL), 0);
    world_close(&world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(owners_freeze_and_thaw),
        cmocka_unit_test(an_owner_freezes_once),
        cmocka_unit_test(only_an_owner_thaws),
        cmocka_unit_test(bad_arguments_are_refused),
        cmocka_unit_test(every_change_is_refused_with_the_owners_names),
        cmocka_unit_test(listeners_come_and_go_while_frozen),
        cmocka_unit_test(the_last_thaw_kicks_the_guest_once),
        cmocka_unit_test(a_device_may_free_itself_when_it_hears_of_the_thaw),
        cmocka_unit_test(a_device_may_free_another_when_it_hears_of_the_thaw),
        cmocka_unit_test(a_frozen_device_stays),
        cmocka_unit_test(freezing_waits_for_a_running_change),
    };

    return cmocka_run_group_tests_name("freeze", tests, NULL, NULL);
}
