/* SPDX-License-Identifier: BSD-3-Clause */
/* The public operations on machines, regions, sources, listeners and claims, which
 * need no memory of the kernel's. */
#include <errno.h>
#include <string.h>

#include "faults/scene.h"

/* ---- machine, region, backing ---- */

static int new_vm(struct scene *it)
{
    const struct vmem_vm_config config = { .struct_size = sizeof(config),
                                           .name = "made" };

    return vmem_vm_new(&config, &it->made_vm, &it->err);
}

static void undo_vm(struct scene *it)
{
    if (vmem_vm_free(it->made_vm, NULL) < 0) {
        complain(it, "the made machine is not freed");
    }
}

/* With the library's own clock and log. */
static int new_vm_with_region(struct scene *it)
{
    const struct vmem_region_config region_config = {
        .struct_size = sizeof(region_config),
        .name = "made",
        .size = SIZE,
    };
    const struct vmem_device_config device_config = {
        .struct_size = sizeof(device_config),
        .name = "made",
        .block_size = UNIT,
        .requested_size = SIZE,
        .flags = VMEM_DEVICE_MEASURE_LATENCY,
    };
    int ret = new_vm(it);

    if (ret < 0) {
        return ret;
    }
    ret = vmem_region_new(it->made_vm, &region_config, &it->made_region,
                          &it->err);
    if (ret == 0) {
        ret = vmem_device_new(it->made_region, &device_config, NULL, NULL,
                              &it->made_device, &it->err);
        if (ret < 0) {
            vmem_region_free(it->made_region, NULL);
        }
    }
    if (ret < 0) {
        undo_vm(it);
    }
    return ret;
}

static void undo_vm_with_region(struct scene *it)
{
    if (vmem_device_free(it->made_device, NULL) < 0 ||
        vmem_region_free(it->made_region, NULL) < 0) {
        complain(it, "the made device or region is not freed");
    }
    undo_vm(it);
}

static int new_region(struct scene *it)
{
    const struct vmem_region_config config = {
        .struct_size = sizeof(config),
        .name = "made",
        .backing = it->loose.backing,
    };

    return vmem_region_new(it->vm, &config, &it->made_region, &it->err);
}

static void undo_region(struct scene *it)
{
    if (vmem_region_free(it->made_region, NULL) < 0) {
        complain(it, "the made region is not freed");
    }
}

static int new_memory(struct scene *it)
{
    const int ret = make_memory(it, "made", &it->made_memory);

    if (it->made_memory.nr_destroys != (ret < 0)) {
        complain(it, "made memory: %u destroys, returned %d",
                 it->made_memory.nr_destroys, ret);
    }
    return ret;
}

static void undo_memory(struct scene *it)
{
    if (vmem_backing_free(it->made_memory.backing, NULL) < 0 ||
        it->made_memory.nr_destroys != 1) {
        complain(it, "made memory is not freed once");
    }
}

/* What is made goes again, without a fault point that could fail. */
static int make_and_free(struct scene *it)
{
    int ret = new_vm_with_region(it);

    if (ret < 0) {
        return ret;
    }
    undo_vm_with_region(it);
    ret = new_memory(it);
    if (ret < 0) {
        return ret;
    }
    undo_memory(it);
    return 0;
}

static int memory_usage_of(struct scene *it)
{
    struct vmem_backing_usage usage = { .struct_size = sizeof(usage) };

    return vmem_backing_get_usage(it->memory.backing, NULL, &usage, &it->err);
}

static int loose_populate(struct scene *it)
{
    const struct vmem_range range = units(4, 8);

    return vmem_backing_populate(it->loose.backing, &range, &it->err);
}

static int loose_discard(struct scene *it)
{
    const struct vmem_range range = units(4, 8);

    return vmem_backing_discard(it->loose.backing, &range, &it->err);
}

/* The error's range is what was not discarded. */
static void check_loose_discard(struct scene *it, int ret)
{
    if (it->err.code != ret || it->err.range.offset != 4 * UNIT ||
        it->err.range.size != 8 * UNIT) {
        complain(it, "the error does not say how far the discard got");
    }
}

/* ---- sources ---- */

static int add_hiding(struct scene *it)
{
    return add_source(it, it->region, "made", 2 * UNIT, 0, &it->made_source);
}

static int add_discarding(struct scene *it)
{
    return add_source(it, it->region, "made", 2 * UNIT, VMEM_SOURCE_DISCARDS,
                      &it->made_source);
}

static int add_populated(struct scene *it)
{
    return add_source(it, it->region, "made", UNIT,
                      VMEM_SOURCE_DISCARDS | VMEM_SOURCE_POPULATED,
                      &it->made_source);
}

static void undo_source(struct scene *it)
{
    if (vmem_source_remove(it->made_source, NULL) < 0) {
        complain(it, "the made source is not removed");
    }
}

static int remove_a(struct scene *it)
{
    const int ret = vmem_source_remove(it->a, &it->err);

    it->a = ret == 0 ? NULL : it->a;
    return ret;
}

static int remove_b(struct scene *it)
{
    const int ret = vmem_source_remove(it->b, &it->err);

    it->b = ret == 0 ? NULL : it->b;
    return ret;
}

static int populate_a(struct scene *it)
{
    const struct vmem_range range = units(0, NR_UNITS);

    return vmem_source_populate(it->a, &range, &it->err);
}

static int populate_b(struct scene *it)
{
    const struct vmem_range range = units(8, 8);

    return vmem_source_populate(it->b, &range, &it->err);
}

static int discard_a(struct scene *it)
{
    const struct vmem_range range = units(0, NR_UNITS);

    return vmem_source_discard(it->a, &range, &it->err);
}

static int discard_b(struct scene *it)
{
    const struct vmem_range range = units(0, 12);

    return vmem_source_discard(it->b, &range, &it->err);
}

static int retry(struct scene *it)
{
    return vmem_region_retry_discards(it->region, &it->err);
}

/* ---- listeners ---- */

static int listen(struct scene *it)
{
    const int ret = follow(&it->made_follower, it, it->region, "made", UNIT, 0);

    if (ret != 0) {
        it->made_follower.listener = NULL;
    }
    if (it->made_follower.nr_destroys != (ret < 0)) {
        complain(it, "made listener: %u destroys, returned %d",
                 it->made_follower.nr_destroys, ret);
    }
    return ret;
}

static void undo_listen(struct scene *it)
{
    if (vmem_listener_remove(it->made_follower.listener, NULL) < 0 ||
        it->made_follower.nr_destroys != 1) {
        complain(it, "the made listener is not removed once");
    }
}

static int unlisten(struct scene *it)
{
    const int ret = vmem_listener_remove(it->followers[0].listener, &it->err);

    it->followers[0].listener = ret == 0 ? NULL : it->followers[0].listener;
    return ret;
}

/* ---- freezing, claims ---- */

static int freeze(struct scene *it)
{
    return vmem_region_freeze(it->device_region, "owner", &it->err);
}

static int freeze_and_thaw(struct scene *it)
{
    const int ret = freeze(it);

    return ret < 0 ? ret
                   : vmem_region_thaw(it->device_region, "owner", &it->err);
}

static void undo_freeze(struct scene *it)
{
    if (vmem_region_thaw(it->device_region, "owner", NULL) < 0) {
        complain(it, "the region does not thaw");
    }
}

static int take_claim(struct scene *it)
{
    return vmem_discard_claim_take(it->vm, VMEM_CLAIM_NEED_UNCOORDINATED,
                                   "made", &it->made_claim, &it->err);
}

static void undo_claim(struct scene *it)
{
    if (vmem_discard_claim_release(it->made_claim, NULL) < 0) {
        complain(it, "the claim is not released");
    }
}

static int add_watcher(struct scene *it)
{
    return vmem_discard_watcher_add(it->vm, scene_on_claims, it,
                                    &it->made_watcher, &it->err);
}

static void undo_watcher(struct scene *it)
{
    if (vmem_discard_watcher_remove(it->made_watcher, NULL) < 0) {
        complain(it, "the watcher is not removed");
    }
}

/* Refused, with names. */
static int free_too_early(struct scene *it)
{
    return vmem_vm_free(it->vm, NULL) == -EBUSY &&
                   vmem_region_free(it->region, NULL) == -EBUSY &&
                   vmem_backing_free(it->memory.backing, NULL) == -EBUSY &&
                   vmem_device_free(it->device, NULL) == -EBUSY
               ? 0
               : -EPROTO;
}

const struct operation core_operations[] = {
    { "making a machine", new_vm, .undo = undo_vm, .has_error = true },
    { "making a machine with a region and a device", new_vm_with_region,
      .undo = undo_vm_with_region, .has_error = true },
    { "making a region", new_region, .undo = undo_region, .has_error = true },
    { "making memory of callbacks", new_memory, .undo = undo_memory,
      .has_error = true },
    { "making and freeing", make_and_free, .has_error = true },
    { "measuring memory", memory_usage_of, .has_error = true },
    /* What was populated in part may stay. */
    { "populating loose memory", loose_populate, .has_error = true },
    { "discarding loose memory", loose_discard,
      .check_failed = check_loose_discard, .has_error = true },
    { "adding a source that hides", add_hiding, .undo = undo_source,
      .has_error = true },
    { "adding a source that discards", add_discarding, .undo = undo_source,
      .has_error = true },
    { "adding a source that has all", add_populated, .undo = undo_source,
      .has_error = true },
    { "removing a source of single units", remove_a, .has_error = true },
    { "removing a source of four units", remove_b, .has_error = true },
    { "populating single units", populate_a, .has_error = true },
    { "populating four units", populate_b, .has_error = true },
    { "discarding single units", discard_a, .has_error = true },
    { "discarding four units", discard_b, .has_error = true },
    { "retrying discards", retry, .has_error = true },
    { "adding a listener", listen, .undo = undo_listen, .has_error = true },
    { "removing a listener", unlisten, .has_error = true },
    { "freezing", freeze, .undo = undo_freeze, .has_error = true },
    { "freezing and thawing", freeze_and_thaw, .has_error = true },
    { "taking a claim", take_claim, .undo = undo_claim, .has_error = true },
    { "adding a watcher", add_watcher, .undo = undo_watcher,
      .has_error = true },
    { "freeing too early", free_too_early },
};

const size_t nr_core_operations =
    sizeof(core_operations) / sizeof(core_operations[0]);
