/* SPDX-License-Identifier: BSD-3-Clause */
/* The public operations that ask and walk, and bitmaps. */
#include <errno.h>

#include "faults/point.h"
#include "faults/scene.h"

static const int may_stop[] = { POINT_POSITIVE, 0 };

static int walk_populated(struct scene *it)
{
    return vmem_region_for_each_populated(it->region, NULL, scene_on_range, it);
}

static int walk_discarded(struct scene *it)
{
    return vmem_region_for_each_discarded(it->region, NULL, scene_on_range, it);
}

static int walk_single_populated(struct scene *it)
{
    return vmem_region_for_each_populated(it->device_region, NULL,
                                          scene_on_range, it);
}

static int walk_single_discarded(struct scene *it)
{
    return vmem_region_for_each_discarded(it->device_region, NULL,
                                          scene_on_range, it);
}

static int hold(struct scene *it)
{
    const struct vmem_range range = units(2, 2);

    return vmem_region_with_populated(it->region, &range, scene_on_range, it,
                                      NULL);
}

static int walk_in_region_list(struct vmem_region *region, void *opaque)
{
    const int ret = point("region list", may_stop);

    /* Of a region that is not held: each run as it is. */
    return ret != 0 ? ret
                    : vmem_region_for_each_populated(region, NULL,
                                                     scene_on_range, opaque);
}

static int list_regions(struct scene *it)
{
    return vmem_vm_for_each_region(it->vm, walk_in_region_list, it);
}

static int on_device(struct vmem_device *device, void *opaque)
{
    (void)device;
    (void)opaque;
    return point("device list", may_stop);
}

static int list_devices(struct scene *it)
{
    return vmem_vm_for_each_device(it->vm, on_device, it);
}

static int on_claim(uint32_t kind, const char *owner, void *opaque)
{
    (void)kind;
    (void)owner;
    (void)opaque;
    return point("claim list", may_stop);
}

static int list_claims(struct scene *it)
{
    return vmem_vm_for_each_claim(it->vm, on_claim, it);
}

/* Nothing in these can fail. */
static int ask(struct scene *it)
{
    struct vmem_region_info region = { .struct_size = sizeof(region) };
    struct vmem_source_info source = { .struct_size = sizeof(source) };
    struct vmem_device_info device = { .struct_size = sizeof(device) };
    struct vmem_device_stats stats = { .struct_size = sizeof(stats) };
    struct vmem_resize_status status = { .struct_size = sizeof(status) };
    struct vmem_backing_info backing = { .struct_size = sizeof(backing) };
    struct vmem_backing_stats counters = { .struct_size = sizeof(counters) };
    const struct vmem_trace_event event = { .struct_size = sizeof(event),
                                            .kind = VMEM_TRACE_FREEZE };
    const struct vmem_range range = units(2, 2);
    uint8_t bytes[VMEM_DEVICE_CONFIG_SIZE];
    uint64_t word;

    return vmem_region_get_info(it->region, &region) == 0 &&
                   vmem_source_get_info(it->a, &source) == 0 &&
                   vmem_device_get_info(it->device, &device) == 0 &&
                   vmem_device_get_stats(it->device, &stats) == 0 &&
                   vmem_device_get_resize_status(it->device, &status) == 0 &&
                   vmem_backing_get_info(it->memory.backing, &backing) == 0 &&
                   vmem_backing_get_stats(it->memory.backing, &counters) == 0 &&
                   vmem_device_read_config(it->device, 0, bytes,
                                           sizeof(bytes)) == 0 &&
                   vmem_device_get_config_generation(it->device) ==
                       device.config_generation &&
                   vmem_device_get_features(it->device) ==
                       VMEM_DEVICE_F_UNPLUGGED_INACCESSIBLE &&
                   vmem_device_check_removable(it->device, NULL) == -EBUSY &&
                   vmem_region_is_populated(it->region, &range) &&
                   !vmem_region_is_frozen(it->region) &&
                   vmem_region_get_size(it->region) == SIZE &&
                   vmem_region_get_backing(it->region) == it->memory.backing &&
                   vmem_region_get_name(it->region) != NULL &&
                   vmem_region_get_page_bitmap(it->region, NULL, UNIT, &word) ==
                       0 &&
                   vmem_source_get_page_bitmap(it->a, NULL, UNIT, &word) == 0 &&
                   vmem_vm_get_name(it->vm) != NULL &&
                   vmem_vm_get_claims(it->vm) != 0 &&
                   !vmem_vm_is_uncoordinated_forbidden(it->vm) &&
                   vmem_vm_is_discard_needed(it->vm) &&
                   vmem_version() != NULL && vmem_reason_name(0) != NULL &&
                   vmem_blame_name(0) != NULL &&
                   vmem_log_level_name(0) != NULL &&
                   vmem_backing_kind_name(0) != NULL &&
                   vmem_usage_method_name(0) != NULL &&
                   vmem_request_type_name(0) != NULL &&
                   vmem_response_type_name(0) != NULL &&
                   vmem_block_state_name(0) != NULL &&
                   vmem_reset_kind_name(0) != NULL &&
                   vmem_resize_state_name(0) != NULL &&
                   vmem_resize_stall_name(0) != NULL &&
                   vmem_trace_event_format(&event, "vmem0", NULL, 0) > 0
               ? 0
               : -EPROTO;
}

/* ---- bitmaps ---- */

#define NR_BLOCKS 256

static int new_bitmap(struct scene *it)
{
    return vmem_bitmap_new(NR_BLOCKS, &it->made_bitmap);
}

static void undo_bitmap(struct scene *it)
{
    vmem_bitmap_free(it->made_bitmap);
}

static int on_run(const struct vmem_bitmap_run *run, void *opaque)
{
    (void)run;
    (void)opaque;
    return point("run", may_stop);
}

/* Runs that end inside a word, at its end, and at the end of the window. */
static int walk_bitmap(struct scene *it)
{
    struct vmem_bitmap *bitmap;
    uint64_t words[NR_BLOCKS / 64];
    int ret = vmem_bitmap_new(NR_BLOCKS, &bitmap);

    (void)it;
    if (ret < 0) {
        return ret;
    }
    vmem_bitmap_set(bitmap, 3, 4, NULL);
    vmem_bitmap_set(bitmap, 10, 54, NULL);
    vmem_bitmap_set(bitmap, 100, 156, NULL);
    vmem_bitmap_clear(bitmap, 110, 5, NULL);
    ret = vmem_bitmap_for_each_set(bitmap, 0, NR_BLOCKS, on_run, NULL);
    if (ret == 0) {
        ret = vmem_bitmap_for_each_clear(bitmap, 0, 112, on_run, NULL);
    }
    if (ret == 0 && (vmem_bitmap_get_nr_set(bitmap) != 209 ||
                     vmem_bitmap_get_nr_blocks(bitmap) != NR_BLOCKS ||
                     !vmem_bitmap_is_set(bitmap, 3) ||
                     vmem_bitmap_get_state(bitmap, 3, 4) != 1 ||
                     vmem_bitmap_count(bitmap, 0, 10) != 4 ||
                     vmem_bitmap_next_set(bitmap, 0, 9) != 3 ||
                     vmem_bitmap_next_clear(bitmap, 3, 9) != 7 ||
                     vmem_bitmap_copy_out(bitmap, 0, NR_BLOCKS, words) != 0)) {
        ret = -EPROTO;
    }
    vmem_bitmap_free(bitmap);
    return ret;
}

const struct operation query_operations[] = {
    { "walking what is populated", walk_populated },
    { "walking what is discarded", walk_discarded },
    { "walking what one source populates", walk_single_populated },
    { "walking what one source discards", walk_single_discarded },
    { "holding a range", hold },
    { "listing regions", list_regions },
    { "listing devices", list_devices },
    { "listing claims", list_claims },
    { "asking", ask },
    { "making a bitmap", new_bitmap, .undo = undo_bitmap },
    { "walking a bitmap", walk_bitmap },
};

const size_t nr_query_operations =
    sizeof(query_operations) / sizeof(query_operations[0]);
