/* SPDX-License-Identifier: BSD-3-Clause */
#include "stress/busy_device.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "stress/threads.h"
#include "support/quiet.h"

static int on_populate(const struct vmem_range *range, void *opaque)
{
    struct busy_follower *follower = opaque;

    if (follower->nr_calls++ == follower->veto_at) {
        return -ENOSPC;
    }
    STRESS_CHECK(!follower->is_gone);
    for (uint64_t i = range->offset / BLOCK;
         i < (range->offset + range->size) / BLOCK; i++) {
        STRESS_CHECK(!follower->has[i]);
        follower->has[i] = true;
    }
    return 0;
}

static void on_discard(const struct vmem_range *range, void *opaque)
{
    struct busy_follower *follower = opaque;

    STRESS_CHECK(!follower->is_gone);
    for (uint64_t i = range->offset / BLOCK;
         i < (range->offset + range->size) / BLOCK; i++) {
        STRESS_CHECK(follower->has[i]);
        follower->has[i] = false;
    }
}

static void on_destroy(void *opaque)
{
    struct busy_follower *follower = opaque;

    for (uint64_t i = 0; i < NR_BLOCKS; i++) {
        STRESS_CHECK(!follower->has[i]);
    }
    follower->is_gone = true;
}

const struct vmem_listener_ops busy_follower_ops = {
    .struct_size = sizeof(busy_follower_ops),
    .populate = on_populate,
    .discard = on_discard,
    .destroy = on_destroy,
};

static int set_memory(struct busy_device *world, const struct vmem_range *range,
                      bool allocated)
{
    for (uint64_t i = range->offset / BLOCK;
         i < (range->offset + range->size) / BLOCK; i++) {
        world->allocated[i] = allocated;
    }
    return 0;
}

static int memory_discard(const struct vmem_range *range, void *opaque)
{
    struct busy_device *world = opaque;

    /* Nobody may have it any more, and then it may fail. */
    for (unsigned int i = 0; i < NR_LISTENERS; i++) {
        for (uint64_t block = range->offset / BLOCK;
             block < (range->offset + range->size) / BLOCK; block++) {
            STRESS_CHECK(!world->followers[i].has[block]);
        }
    }
    if (world->nr_memory_calls++ % 16 == 15) {
        return -EIO;
    }
    return set_memory(world, range, false);
}

static int memory_populate(const struct vmem_range *range, void *opaque)
{
    struct busy_device *world = opaque;

    if (world->nr_memory_calls++ % 32 == 31) {
        return -ENOMEM;
    }
    return set_memory(world, range, true);
}

static int memory_zero(const struct vmem_range *range, void *opaque)
{
    struct busy_device *world = opaque;

    return world->nr_memory_calls++ % 8 == 7 ? -EIO
                                             : set_memory(opaque, range, true);
}

static const struct vmem_backing_ops memory_ops = {
    .struct_size = sizeof(memory_ops),
    .discard = memory_discard,
    .populate = memory_populate,
    .zero = memory_zero,
    .usage = quiet_usage,
};

static void on_log(const struct vmem_log_record *record, void *opaque)
{
    struct busy_device *world = opaque;

    STRESS_CHECK(record->message[0] != '\0' && record->object[0] != '\0');
    atomic_fetch_add(&world->nr_logs, 1);
}

static uint64_t clock_ns(void *opaque)
{
    struct busy_device *world = opaque;

    return atomic_fetch_add(&world->now_ns, 1000000);
}

static void on_config_changed(void *opaque)
{
    struct busy_device *world = opaque;

    atomic_fetch_add(&world->nr_config_changed, 1);
}

static void on_size_changed(uint64_t plugged_size, void *opaque)
{
    struct busy_device *world = opaque;

    STRESS_CHECK(plugged_size % BLOCK == 0 && plugged_size <= SIZE);
    atomic_fetch_add(&world->nr_size_changed, 1);
}

static void on_resize_changed(const struct vmem_resize_status *status,
                              void *opaque)
{
    struct busy_device *world = opaque;

    STRESS_CHECK((status->plugged_size == status->requested_size) ==
                 (status->state == VMEM_RESIZE_IDLE));
    atomic_fetch_add(&world->nr_resize_changed, 1);
}

static const struct vmem_device_ops device_ops = {
    .struct_size = sizeof(device_ops),
    .config_changed = on_config_changed,
    .size_changed = on_size_changed,
    .resize_changed = on_resize_changed,
};

bool busy_device_open(struct busy_device *world)
{
    const struct vmem_vm_config vm_config = {
        .struct_size = sizeof(vm_config),
        .name = "vm",
        .log = on_log,
        .clock_ns = clock_ns,
        .opaque = world,
    };
    const struct vmem_backing_custom backing_config = {
        .struct_size = sizeof(backing_config),
        .name = "memory",
        .size = SIZE,
        .page_size = 4096,
        .flags = VMEM_BACKING_POPULATE,
    };
    struct vmem_region_config region_config = {
        .struct_size = sizeof(region_config),
        .name = "region",
    };
    const struct vmem_device_config device_config = {
        .struct_size = sizeof(device_config),
        .name = "device",
        .gpa = GPA,
        .block_size = BLOCK,
        .usable_policy = VMEM_USABLE_EXTENT,
        .usable_headroom = 16 * BLOCK,
        .flags = VMEM_DEVICE_MEASURE_LATENCY,
        .stall_after_ns = 50000000,
    };

    memset(world, 0, sizeof(*world));
    if (vmem_vm_new(&vm_config, &world->vm, NULL) < 0 ||
        vmem_backing_new_custom(world->vm, &backing_config, &memory_ops, world,
                                &world->backing, NULL) < 0) {
        return false;
    }
    region_config.backing = world->backing;
    return vmem_region_new(world->vm, &region_config, &world->region, NULL) ==
               0 &&
           vmem_device_new(world->region, &device_config, &device_ops, world,
                           &world->device, NULL) == 0;
}

void busy_device_check(struct busy_device *world)
{
    struct vmem_region_info info = { .struct_size = sizeof(info) };
    uint64_t nr_allocated = 0;

    for (unsigned int i = 0; i < NR_LISTENERS; i++) {
        if (world->followers[i].listener != NULL) {
            STRESS_CHECK(
                vmem_listener_remove(world->followers[i].listener, NULL) == 0);
        }
        for (uint64_t block = 0; block < NR_BLOCKS; block++) {
            STRESS_CHECK(!world->followers[i].has[block]);
        }
    }
    STRESS_CHECK(vmem_region_get_info(world->region, &info) == 0);
    for (uint64_t block = 0; block < NR_BLOCKS; block++) {
        const struct vmem_range range = { block * BLOCK, BLOCK };

        nr_allocated += world->allocated[block];
        STRESS_CHECK(world->allocated[block] ||
                     !vmem_region_is_populated(world->region, &range));
    }
    STRESS_CHECK(nr_allocated * BLOCK <=
                 info.populated_size + info.retained_size);
    printf("  %llu logs, %llu config, %llu size, %llu resize notifications, "
           "%llu busy, %llu loads, %llu undone, %llu vetoes, %llu rollbacks\n",
           (unsigned long long)world->nr_logs,
           (unsigned long long)world->nr_config_changed,
           (unsigned long long)world->nr_size_changed,
           (unsigned long long)world->nr_resize_changed,
           (unsigned long long)world->nr_busy,
           (unsigned long long)world->nr_loads,
           (unsigned long long)world->nr_undone_loads,
           (unsigned long long)info.nr_vetoes,
           (unsigned long long)info.nr_rollbacks);
    STRESS_CHECK(world->nr_busy > 0 && info.nr_vetoes > 0);
    STRESS_CHECK(world->nr_loads > 0 && world->nr_undone_loads > 0);
}

void busy_device_close(struct busy_device *world)
{
    STRESS_CHECK(vmem_device_free(world->device, NULL) == 0);
    STRESS_CHECK(vmem_region_free(world->region, NULL) == 0);
    STRESS_CHECK(vmem_backing_free(world->backing, NULL) == 0);
    STRESS_CHECK(vmem_vm_free(world->vm, NULL) == 0);
}
