/* SPDX-License-Identifier: BSD-3-Clause */
/* How often things are called: counts tell more than times, and stay true on a
 * busy machine. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "base/le.h"
#include "support/allocations.h"
#include "support/quiet.h"
#include "support/world.h"

#define UNIT ((uint64_t)4096)
#define ALL ((struct vmem_range){ 0, 0 })
#define DISCARDS VMEM_SOURCE_DISCARDS
#define EXACT VMEM_LISTENER_EXACT_DISCARD

static int populate(struct world *world, struct vmem_source *source,
                    uint64_t first, uint64_t nr)
{
    const struct vmem_range range = { first * UNIT, nr * UNIT };

    (void)world;
    return vmem_source_populate(source, &range, NULL);
}

static int discard(struct world *world, struct vmem_source *source,
                   uint64_t first, uint64_t nr)
{
    const struct vmem_range range = { first * UNIT, nr * UNIT };

    (void)world;
    return vmem_source_discard(source, &range, NULL);
}

/* ---- callbacks and backing calls ---- */

static void a_change_costs_one_call_for_each_run_or_chunk(void **state)
{
    static const struct {
        uint64_t granularity;
        uint64_t flags;
        uint64_t nr_populates;
        uint64_t nr_discards;
    } cases[] = {
        { 0, 0, 1, 1 },
        { UNIT, 0, 64, 1 },
        { 4 * UNIT, 0, 16, 1 },
        { UNIT, EXACT, 64, 64 },
        { 4 * UNIT, EXACT, 16, 16 },
        { 2 * UNIT, EXACT, 32, 32 },
    };
    struct recorder listeners[G_N_ELEMENTS(cases)];
    struct vmem_source *source;
    struct world world;

    (void)state;
    world_open(&world, 256 * UNIT, UNIT, VMEM_BACKING_POPULATE);
    source = world_add_source(&world, "s", 4 * UNIT, DISCARDS);
    for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
        world_add_listener(&world, &listeners[i], "l", ALL,
                           cases[i].granularity, cases[i].flags);
    }
    fake_calls_succeed(&world.memory.discards);
    assert_int_equal(populate(&world, source, 64, 64), 0);
    assert_int_equal(world.memory.populates.nr_calls, 1);
    assert_int_equal(world.memory.discards.nr_calls, 0);
    assert_int_equal(discard(&world, source, 64, 64), 0);
    assert_int_equal(world.memory.populates.nr_calls, 1);
    assert_int_equal(world.memory.discards.nr_calls, 1);
    assert_int_equal(world.memory.zeros.nr_calls, 0);
    for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
        assert_int_equal(listeners[i].nr_populates, cases[i].nr_populates);
        assert_int_equal(listeners[i].nr_discards, cases[i].nr_discards);
        world_remove_listener(&world, &listeners[i]);
    }
    assert_int_equal(vmem_source_remove(source, NULL), 0);
    world_close(&world);
}

static void a_listener_that_sees_nothing_is_not_called(void **state)
{
    struct recorder listener;
    struct vmem_source *source;
    struct world world;

    (void)state;
    world_open(&world, 256 * UNIT, UNIT, 0);
    source = world_add_source(&world, "s", UNIT, DISCARDS);
    world_add_listener(&world, &listener, "l",
                       (struct vmem_range){ 64 * UNIT, UNIT }, UNIT, 0);
    assert_int_equal(populate(&world, source, 0, 64), 0);
    assert_int_equal(populate(&world, source, 65, 191), 0);
    assert_int_equal(discard(&world, source, 0, 256), 0);
    assert_int_equal(listener.nr_populates + listener.nr_discards, 0);
    world_remove_listener(&world, &listener);
    assert_int_equal(vmem_source_remove(source, NULL), 0);
    world_close(&world);
}

static void a_fragmented_change_costs_one_call_for_each_run(void **state)
{
    struct recorder listener;
    struct vmem_source *source;
    struct world world;

    (void)state;
    world_open(&world, 256 * UNIT, UNIT, VMEM_BACKING_POPULATE);
    source = world_add_source(&world, "s", UNIT, DISCARDS);
    world_add_listener(&world, &listener, "l", ALL, 0, 0);
    for (uint64_t i = 0; i < 256; i += 8) {
        assert_int_equal(populate(&world, source, i, 4), 0);
    }
    recorder_forget_calls(&listener);
    fake_calls_succeed(&world.memory.populates);
    fake_calls_succeed(&world.memory.discards);
    assert_int_equal(discard(&world, source, 0, 256), 0);
    assert_int_equal(listener.nr_discards, 32);
    assert_int_equal(world.memory.discards.nr_calls, 32);
    for (uint64_t i = 0; i < 256; i += 8) {
        assert_int_equal(populate(&world, source, i, 4), 0);
    }
    recorder_forget_calls(&listener);
    fake_calls_succeed(&world.memory.populates);
    assert_int_equal(populate(&world, source, 0, 256), 0);
    assert_int_equal(listener.nr_populates, 32);
    assert_int_equal(world.memory.populates.nr_calls, 32);
    world_remove_listener(&world, &listener);
    assert_int_equal(vmem_source_remove(source, NULL), 0);
    world_close(&world);
}

static void queries_call_nobody(void **state)
{
    const struct vmem_range some = { 3 * UNIT, 9 * UNIT };
    struct recorder listener;
    struct vmem_source *source;
    struct world world;
    uint64_t nr_events;

    (void)state;
    world_open(&world, 256 * UNIT, UNIT, VMEM_BACKING_POPULATE);
    source = world_add_source(&world, "s", UNIT, DISCARDS);
    assert_int_equal(populate(&world, source, 8, 8), 0);
    world_add_listener(&world, &listener, "l", ALL, UNIT, EXACT);
    nr_events = world.journal.nr_events;
    vmem_region_is_populated(world.region, &some);
    world_populated_runs(&world);
    world_populated(&world);
    assert_int_equal(vmem_region_freeze(world.region, "a", NULL), 0);
    assert_int_equal(vmem_region_thaw(world.region, "a", NULL), 0);
    assert_int_equal(vmem_region_retry_discards(world.region, NULL), 0);
    assert_true(world.journal.nr_events == nr_events);
    world_remove_listener(&world, &listener);
    assert_int_equal(vmem_source_remove(source, NULL), 0);
    world_close(&world);
}

/* ---- allocations ---- */

/* Changes, failed ones too, and queries; the design allows no allocation. */
static void changes_and_queries_do_not_allocate(void **state)
{
    const struct vmem_range some = { 4 * UNIT, UNIT };
    struct vmem_region_info info = { .struct_size = sizeof(info) };
    struct recorder listeners[3];
    struct vmem_source *sources[3];
    struct world world;

    (void)state;
    world_open(&world, 256 * UNIT, UNIT, VMEM_BACKING_POPULATE);
    world.journal.muted = true;
    sources[0] = world_add_source(&world, "a", UNIT, DISCARDS);
    sources[1] = world_add_source(&world, "b", 4 * UNIT, DISCARDS);
    sources[2] = world_add_source(&world, "c", 2 * UNIT, 0);
    world_add_listener(&world, &listeners[0], "x", ALL, 0, 0);
    world_add_listener(&world, &listeners[1], "y", ALL, UNIT, 0);
    world_add_listener(&world, &listeners[2], "z", ALL, UNIT, EXACT);

    allocations_count();
    for (unsigned int i = 0; i < 3; i++) {
        assert_int_equal(populate(&world, sources[i], 0, 64), 0);
    }
    assert_int_equal(discard(&world, sources[0], 3, 7), 0);
    assert_int_equal(discard(&world, sources[0], 0, 32), 0);
    listeners[2].veto_at = listeners[2].nr_populates + 5;
    assert_int_equal(populate(&world, sources[0], 0, 32), -ENOSPC);
    fake_calls_fail(&world.memory.discards, 0, UINT64_MAX, -EIO);
    assert_int_equal(discard(&world, sources[1], 0, 64), 0);
    assert_int_equal(vmem_region_retry_discards(world.region, NULL), -EIO);
    assert_int_equal(populate(&world, sources[1], 0, 64), 0);
    fake_calls_succeed(&world.memory.discards);
    assert_int_equal(vmem_region_retry_discards(world.region, NULL), 0);
    fake_calls_fail(&world.memory.populates, 0, 1, -ENOMEM);
    assert_int_equal(populate(&world, sources[0], 0, 32), -ENOMEM);
    assert_int_equal(populate(&world, sources[0], 0, 32), 0);

    assert_true(vmem_region_is_populated(world.region, &some));
    assert_int_equal(
        vmem_region_for_each_populated(world.region, NULL, quiet_accept, NULL),
        0);
    assert_int_equal(
        vmem_region_for_each_discarded(world.region, NULL, quiet_accept, NULL),
        0);
    assert_int_equal(vmem_region_with_populated(world.region, &some,
                                                quiet_accept, NULL, NULL),
                     0);
    assert_int_equal(vmem_region_get_info(world.region, &info), 0);
    for (unsigned int i = 0; i < 3; i++) {
        world_remove_listener(&world, &listeners[i]);
    }
    assert_true(allocations_end() == 0);
    for (unsigned int i = 0; i < 3; i++) {
        assert_int_equal(vmem_source_remove(sources[i], NULL), 0);
    }
    world_close(&world);
}

/* I8. */
static void requests_of_a_guest_do_not_allocate(void **state)
{
    const struct vmem_device_config config = { .struct_size = sizeof(config),
                                               .name = "d",
                                               .block_size = UNIT,
                                               .requested_size = 64 * UNIT };
    struct vmem_device *device;
    struct recorder listener;
    struct world world;

    (void)state;
    world_open(&world, 256 * UNIT, UNIT, 0);
    world.journal.muted = true;
    assert_int_equal(
        vmem_device_new(world.region, &config, NULL, NULL, &device, NULL), 0);
    world_add_listener(&world, &listener, "x", ALL, UNIT, EXACT);
    allocations_count();
    for (unsigned int i = 0; i < 4 * 6; i++) {
        static const uint16_t sizes[] = { 0, 1, 7, 64, 256, 65535 };
        uint8_t request[VMEM_DEVICE_REQUEST_SIZE] = { 0 };
        uint8_t response[VMEM_DEVICE_RESPONSE_SIZE];
        int code;

        vmemi_le16_store(request, (uint16_t)(i % 4));
        vmemi_le64_store(request + 8, 0);
        vmemi_le16_store(request + 16, sizes[i / 4]);
        code = vmem_device_handle_request(device, request, sizeof(request),
                                          response, sizeof(response), NULL);
        assert_int_equal(code, VMEM_REQUEST_RESPOND);
    }
    assert_true(allocations_end() == 0);
    world_remove_listener(&world, &listener);
    assert_int_equal(vmem_device_free(device, NULL), 0);
    world_close(&world);
}

/* ---- walks ---- */

static int count_run(const struct vmem_range *range, void *opaque)
{
    (void)range;
    ++*(uint64_t *)opaque;
    return 0;
}

static double cpu_seconds(void)
{
    struct timespec now;

    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

#define TIB ((uint64_t)1 << 40)
#define MIB ((uint64_t)1 << 20)

/* 1 TiB: 2^28 blocks of 4 KiB, all populated but a few, and 2^19 blocks of 2 MiB
 * of which every other one is. A walk that looks at each small block, or at all
 * of the fine map for each run of the coarse one, takes many seconds. */
static void combining_sources_costs_per_run(bool fine_first)
{
    const struct vmem_vm_config vm_config = { .struct_size = sizeof(vm_config),
                                              .name = "vm" };
    const struct vmem_region_config config = { .struct_size = sizeof(config),
                                               .name = "r",
                                               .size = TIB };
    const struct vmem_source_config configs[] = {
        { sizeof(configs[0]), "fine", 4096, VMEM_SOURCE_POPULATED },
        { sizeof(configs[0]), "coarse", 2 * MIB, 0 },
    };
    struct vmem_region_info info = { .struct_size = sizeof(info) };
    struct vmem_source *sources[2];
    struct vmem_region *region;
    uint64_t nr_populated = 0;
    uint64_t nr_discarded = 0;
    struct vmem_vm *vm;
    double start;

    assert_int_equal(vmem_vm_new(&vm_config, &vm, NULL), 0);
    assert_int_equal(vmem_region_new(vm, &config, &region, NULL), 0);
    for (unsigned int i = 0; i < 2; i++) {
        const unsigned int which = fine_first ? i : 1 - i;

        assert_int_equal(
            vmem_source_add(region, &configs[which], &sources[which], NULL), 0);
    }
    for (uint64_t offset = 0; offset < TIB; offset += 4 * MIB) {
        const struct vmem_range block = { offset, 2 * MIB };

        assert_int_equal(vmem_source_populate(sources[1], &block, NULL), 0);
    }
    for (uint64_t i = 0; i < 3; i++) {
        const struct vmem_range page = { i * (TIB / 4) + MIB, 4096 };

        assert_int_equal(vmem_source_discard(sources[0], &page, NULL), 0);
    }

    start = cpu_seconds();
    assert_int_equal(
        vmem_region_for_each_populated(region, NULL, count_run, &nr_populated),
        0);
    assert_int_equal(
        vmem_region_for_each_discarded(region, NULL, count_run, &nr_discarded),
        0);
    assert_int_equal(vmem_region_get_info(region, &info), 0);
    assert_true(nr_populated == TIB / (4 * MIB) + 3);
    assert_true(nr_discarded == TIB / (4 * MIB) + 3);
    assert_true(info.populated_size == TIB / 2 - 3 * 4096);
    /* Some 50 ms; a hundred times as much where it costs more than the runs. */
    assert_true(cpu_seconds() - start < 1.5);

    for (unsigned int i = 0; i < 2; i++) {
        assert_int_equal(vmem_source_remove(sources[i], NULL), 0);
    }
    assert_int_equal(vmem_region_free(region, NULL), 0);
    assert_int_equal(vmem_vm_free(vm, NULL), 0);
}

/* B30: one virtual call for each granule. */
static void a_fine_and_a_coarse_source_cost_per_run(void **state)
{
    (void)state;
    combining_sources_costs_per_run(true);
}

static void a_coarse_and_a_fine_source_cost_per_run(void **state)
{
    (void)state;
    combining_sources_costs_per_run(false);
}

/* Two large maps without holes are one run, and cost as little. */
static void two_uniform_sources_are_one_run(void **state)
{
    const struct vmem_vm_config vm_config = { .struct_size = sizeof(vm_config),
                                              .name = "vm" };
    const struct vmem_region_config config = { .struct_size = sizeof(config),
                                               .name = "r",
                                               .size = TIB };
    const struct vmem_source_config configs[] = {
        { sizeof(configs[0]), "a", 4096, VMEM_SOURCE_POPULATED },
        { sizeof(configs[0]), "b", 4096, VMEM_SOURCE_POPULATED },
    };
    struct vmem_source *sources[2];
    struct vmem_region *region;
    uint64_t nr_runs = 0;
    struct vmem_vm *vm;
    double start;

    (void)state;
    assert_int_equal(vmem_vm_new(&vm_config, &vm, NULL), 0);
    assert_int_equal(vmem_region_new(vm, &config, &region, NULL), 0);
    for (unsigned int i = 0; i < 2; i++) {
        assert_int_equal(
            vmem_source_add(region, &configs[i], &sources[i], NULL), 0);
    }
    start = cpu_seconds();
    for (unsigned int i = 0; i < 100; i++) {
        assert_int_equal(
            vmem_region_for_each_populated(region, NULL, count_run, &nr_runs),
            0);
    }
    assert_true(nr_runs == 100);
    assert_true(cpu_seconds() - start < 1.5);
    for (unsigned int i = 0; i < 2; i++) {
        assert_int_equal(vmem_source_remove(sources[i], NULL), 0);
    }
    assert_int_equal(vmem_region_free(region, NULL), 0);
    assert_int_equal(vmem_vm_free(vm, NULL), 0);
}

/* The largest bitmap with one run is one callback. */
static void a_uniform_source_is_one_run(void **state)
{
    const struct vmem_vm_config vm_config = { .struct_size = sizeof(vm_config),
                                              .name = "vm" };
    const struct vmem_region_config config = { .struct_size = sizeof(config),
                                               .name = "r",
                                               .size = TIB };
    const struct vmem_source_config source_config = { sizeof(source_config),
                                                      "s", 4096,
                                                      VMEM_SOURCE_POPULATED };
    const struct vmem_range all = { 0, TIB };
    struct vmem_region *region;
    struct vmem_source *source;
    struct recorder listener;
    uint64_t nr_runs = 0;
    struct vmem_vm *vm;

    (void)state;
    assert_int_equal(vmem_vm_new(&vm_config, &vm, NULL), 0);
    assert_int_equal(vmem_region_new(vm, &config, &region, NULL), 0);
    assert_int_equal(vmem_source_add(region, &source_config, &source, NULL), 0);
    recorder_init(&listener, "l", TIB, 0, NULL);
    assert_int_equal(recorder_add(&listener, region, NULL), 0);
    assert_int_equal(listener.nr_populates, 1);
    assert_int_equal(
        vmem_region_for_each_populated(region, NULL, count_run, &nr_runs), 0);
    assert_int_equal(nr_runs, 1);
    for (unsigned int i = 0; i < 100000; i++) {
        assert_true(vmem_region_is_populated(region, &all));
    }
    assert_int_equal(vmem_source_discard(source, &all, NULL), 0);
    assert_int_equal(listener.nr_discards, 1);
    assert_int_equal(recorder_remove(&listener, NULL), 0);
    recorder_destroy(&listener);
    assert_int_equal(vmem_source_remove(source, NULL), 0);
    assert_int_equal(vmem_region_free(region, NULL), 0);
    assert_int_equal(vmem_vm_free(vm, NULL), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_change_costs_one_call_for_each_run_or_chunk),
        cmocka_unit_test(a_listener_that_sees_nothing_is_not_called),
        cmocka_unit_test(a_fragmented_change_costs_one_call_for_each_run),
        cmocka_unit_test(queries_call_nobody),
        cmocka_unit_test(changes_and_queries_do_not_allocate),
        cmocka_unit_test(requests_of_a_guest_do_not_allocate),
        cmocka_unit_test(a_fine_and_a_coarse_source_cost_per_run),
        cmocka_unit_test(a_coarse_and_a_fine_source_cost_per_run),
        cmocka_unit_test(two_uniform_sources_are_one_run),
        cmocka_unit_test(a_uniform_source_is_one_run),
    };

    return cmocka_run_group_tests_name("counts", tests, NULL, NULL);
}
