/* SPDX-License-Identifier: BSD-3-Clause */
#include "support/world.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static void keep_log(const struct vmem_log_record *record, void *opaque)
{
    struct world *world = opaque;

    atomic_fetch_add(&world->nr_logs, 1);
    world->last_log = *record;
    g_strlcpy(world->log_object, record->object, sizeof(world->log_object));
    g_strlcpy(world->log_message, record->message, sizeof(world->log_message));
    world->last_log.object = world->log_object;
    world->last_log.message = world->log_message;
    if (world->on_log != NULL) {
        world->on_log(world);
    }
}

static uint64_t read_clock(void *opaque)
{
    struct world *world = opaque;

    return atomic_load(&world->now_ns);
}

void world_open(struct world *world, uint64_t size, uint64_t unit,
                uint64_t flags)
{
    const struct vmem_vm_config vm_config = {
        .struct_size = sizeof(vm_config),
        .name = "vm",
        .log = keep_log,
        .clock_ns = read_clock,
        .opaque = world,
    };
    struct vmem_region_config region_config = {
        .struct_size = sizeof(region_config),
        .name = "region",
        .size = size,
    };
    struct vmem_error err = VMEM_ERROR_INIT;

    memset(world, 0, sizeof(*world));
    world->size = size;
    world->unit = unit;
    atomic_store(&world->now_ns, 1000000000000);
    journal_init(&world->journal, unit > 0 ? unit : 4096);
    fake_backing_init(&world->memory, "mem", size, unit, &world->journal);
    world->memory.flags = flags;
    if (vmem_vm_new(&vm_config, &world->vm, &err) < 0 ||
        fake_backing_make(&world->memory, world->vm, &err) < 0) {
        fail_msg("%s", err.message);
    }
    region_config.backing = world->memory.backing;
    if (vmem_region_new(world->vm, &region_config, &world->region, &err) < 0) {
        fail_msg("%s", err.message);
    }
}

void world_close(struct world *world)
{
    struct vmem_error err = VMEM_ERROR_INIT;

    if (vmem_region_free(world->region, &err) < 0 ||
        vmem_backing_free(world->memory.backing, &err) < 0 ||
        vmem_vm_free(world->vm, &err) < 0) {
        fail_msg("%s", err.message);
    }
    assert_int_equal(world->memory.nr_destroys, 1);
    assert_string_equal(world->memory.complaint, "");
    fake_backing_destroy(&world->memory);
    journal_destroy(&world->journal);
}

struct vmem_source *world_add_source(struct world *world, const char *name,
                                     uint64_t block_size, uint64_t flags)
{
    const struct vmem_source_config config = {
        .struct_size = sizeof(config),
        .name = name,
        .block_size = block_size,
        .flags = flags,
    };
    struct vmem_error err = VMEM_ERROR_INIT;
    struct vmem_source *source = NULL;

    if (vmem_source_add(world->region, &config, &source, &err) < 0) {
        fail_msg("%s", err.message);
    }
    return source;
}

/* Of a recorder that has its name and its ops. */
static void register_listener(struct world *world, struct recorder *recorder,
                              struct vmem_range window, uint64_t granularity,
                              uint64_t flags)
{
    struct vmem_error err = VMEM_ERROR_INIT;

    recorder->window = window;
    recorder->granularity = granularity;
    recorder->flags = flags;
    if (recorder_add(recorder, world->region, &err) < 0) {
        fail_msg("%s", err.message);
    }
    fake_backing_watch(&world->memory, recorder);
}

void world_add_listener(struct world *world, struct recorder *recorder,
                        const char *name, struct vmem_range window,
                        uint64_t granularity, uint64_t flags)
{
    recorder_init(recorder, name, world->size, world->unit, &world->journal);
    register_listener(world, recorder, window, granularity, flags);
}

void world_add_objector(struct world *world, struct recorder *recorder,
                        const char *name, struct vmem_range window,
                        uint64_t granularity, uint64_t flags)
{
    recorder_init(recorder, name, world->size, world->unit, &world->journal);
    recorder->may_object = true;
    register_listener(world, recorder, window, granularity, flags);
}

void world_remove_listener(struct world *world, struct recorder *recorder)
{
    fake_backing_unwatch(&world->memory, recorder);
    if (recorder->listener != NULL) {
        struct vmem_error err = VMEM_ERROR_INIT;

        if (recorder_remove(recorder, &err) < 0) {
            fail_msg("%s", err.message);
        }
        assert_int_equal(recorder->nr_destroys, 1);
    }
    assert_string_equal(recorder->complaint, "");
    recorder_destroy(recorder);
}

struct vmem_range units(const struct world *world, uint64_t first, uint64_t nr)
{
    return (struct vmem_range){ first * world->unit, nr * world->unit };
}

int world_plug(struct world *world, struct vmem_source *source, uint64_t first,
               uint64_t nr)
{
    const struct vmem_range range = units(world, first, nr);

    return vmem_source_populate(source, &range, NULL);
}

int world_unplug(struct world *world, struct vmem_source *source,
                 uint64_t first, uint64_t nr)
{
    const struct vmem_range range = units(world, first, nr);

    return vmem_source_discard(source, &range, NULL);
}

uint64_t world_populated(struct world *world)
{
    struct vmem_region_info info = { .struct_size = sizeof(info) };

    assert_int_equal(vmem_region_get_info(world->region, &info), 0);
    return info.populated_size;
}

uint64_t world_retained(struct world *world)
{
    struct vmem_region_info info = { .struct_size = sizeof(info) };

    assert_int_equal(vmem_region_get_info(world->region, &info), 0);
    return info.retained_size;
}

static int add_run(const struct vmem_range *range, void *opaque)
{
    journal_add(opaque, "", '\0', range);
    return 0;
}

const char *world_populated_runs(struct world *world)
{
    struct journal runs;
    const char *text;

    journal_init(&runs, world->journal.unit);
    assert_int_equal(
        vmem_region_for_each_populated(world->region, NULL, add_run, &runs), 0);
    text = journal_take(&runs);
    journal_destroy(&runs);
    return text;
}
