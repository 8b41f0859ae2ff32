/* SPDX-License-Identifier: BSD-3-Clause */
#include "stress/device_readers.h"

#include <errno.h>
#include <string.h>

#include "base/le.h"
#include "stress/busy_device.h"

void read_config(struct stress_thread *thread)
{
    struct busy_device *world = thread->world;
    uint8_t bytes[VMEM_DEVICE_CONFIG_SIZE];
    uint8_t again[VMEM_DEVICE_CONFIG_SIZE];
    const uint32_t generation =
        vmem_device_get_config_generation(world->device);
    uint64_t usable;
    uint64_t plugged;
    uint64_t requested;

    STRESS_CHECK(
        vmem_device_read_config(world->device, 0, bytes, sizeof(bytes)) == 0);
    /* In two halves, as a guest does. */
    STRESS_CHECK(vmem_device_read_config(world->device, 0, again, 32) == 0);
    STRESS_CHECK(vmem_device_read_config(world->device, 32, again + 32,
                                         sizeof(again) - 32) == 0);
    if (vmem_device_get_config_generation(world->device) == generation) {
        STRESS_CHECK(memcmp(bytes, again, sizeof(bytes)) == 0);
    }
    usable = vmemi_le64_load(bytes + 32);
    plugged = vmemi_le64_load(bytes + 40);
    requested = vmemi_le64_load(bytes + 48);
    STRESS_CHECK(usable <= SIZE && plugged <= usable && requested <= usable);
    STRESS_CHECK((usable | plugged | requested) % BLOCK == 0);
}

static int check_run(const struct vmem_range *range, void *opaque)
{
    uint64_t *sum = opaque;

    STRESS_CHECK(range->size > 0 && range->size % BLOCK == 0);
    *sum += range->size;
    return 0;
}

/* While a range is held nobody changes it: answers agree. */
static int check_held(const struct vmem_range *range, void *opaque)
{
    struct busy_device *world = opaque;
    struct vmem_region_info info = { .struct_size = sizeof(info) };
    uint64_t words[NR_BLOCKS / 64];
    uint64_t populated = 0;
    uint64_t discarded = 0;
    uint64_t nr_set = 0;

    STRESS_CHECK(vmem_region_is_populated(world->region, range));
    STRESS_CHECK(vmem_region_for_each_populated(world->region, NULL, check_run,
                                                &populated) == 0);
    STRESS_CHECK(vmem_region_for_each_discarded(world->region, NULL, check_run,
                                                &discarded) == 0);
    STRESS_CHECK(
        vmem_region_get_page_bitmap(world->region, NULL, BLOCK, words) == 0);
    STRESS_CHECK(vmem_region_get_info(world->region, &info) == 0);
    for (unsigned int i = 0; i < NR_BLOCKS / 64; i++) {
        nr_set += (uint64_t)__builtin_popcountll(words[i]);
    }
    STRESS_CHECK(populated + discarded == SIZE);
    STRESS_CHECK(populated == info.populated_size);
    STRESS_CHECK(populated == nr_set * BLOCK);
    return 0;
}

void read_region(struct stress_thread *thread)
{
    struct busy_device *world = thread->world;
    struct vmem_region_info info = { .struct_size = sizeof(info) };
    const struct vmem_range range = { BLOCK * stress_below(thread, NR_BLOCKS),
                                      BLOCK };
    struct vmem_error err = VMEM_ERROR_INIT;
    uint64_t sum = 0;
    int ret;

    switch (stress_below(thread, 4)) {
    case 0:
        ret = vmem_region_with_populated(world->region, &range, check_held,
                                         world, &err);
        STRESS_CHECK(ret == 0 || ret == -ENXIO);
        break;
    case 1:
        STRESS_CHECK(vmem_region_for_each_populated(world->region, NULL,
                                                    check_run, &sum) == 0);
        STRESS_CHECK(sum <= SIZE);
        break;
    case 2:
        STRESS_CHECK(vmem_region_get_info(world->region, &info) == 0);
        STRESS_CHECK(info.populated_size + info.retained_size <= SIZE);
        STRESS_CHECK(info.nr_listeners <= NR_LISTENERS);
        STRESS_CHECK(info.nr_vetoes <= info.nr_populate_calls);
        break;
    default:
        vmem_region_is_populated(world->region, &range);
        vmem_region_is_frozen(world->region);
        break;
    }
}

static int visit_device(struct vmem_device *device, void *opaque)
{
    struct vmem_device_info info = { .struct_size = sizeof(info) };

    (void)opaque;
    STRESS_CHECK(vmem_device_get_info(device, &info) == 0);
    STRESS_CHECK(info.plugged_size <= info.usable_region_size);
    STRESS_CHECK(info.plugged_size + info.retained_size <= SIZE);
    return 0;
}

void read_statistics(struct stress_thread *thread)
{
    struct busy_device *world = thread->world;
    struct vmem_device_stats stats = { .struct_size = sizeof(stats) };
    struct vmem_backing_stats memory = { .struct_size = sizeof(memory) };
    struct vmem_backing_usage usage = { .struct_size = sizeof(usage) };
    struct vmem_resize_status status = { .struct_size = sizeof(status) };
    int ret;

    STRESS_CHECK(vmem_device_get_stats(world->device, &stats) == 0);
    STRESS_CHECK(vmem_backing_get_stats(world->backing, &memory) == 0);
    STRESS_CHECK(vmem_backing_get_usage(world->backing, NULL, &usage, NULL) ==
                 0);
    STRESS_CHECK(vmem_device_get_resize_status(world->device, &status) == 0);
    STRESS_CHECK((status.plugged_size == status.requested_size) ==
                 (status.state == VMEM_RESIZE_IDLE));
    STRESS_CHECK(status.busy_reason == VMEM_REASON_NONE ||
                 status.busy_errno != 0);
    ret = vmem_device_check_removable(world->device, NULL);
    STRESS_CHECK(ret == 0 || ret == -EBUSY);
    STRESS_CHECK(vmem_vm_for_each_device(world->vm, visit_device, NULL) == 0);
    STRESS_CHECK(vmem_vm_is_discard_needed(world->vm));
}
