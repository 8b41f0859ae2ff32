/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>

#include "stress/stage_parts.h"
#include "support/quiet.h"

int stage_names(struct stage *it)
{
    const struct vmem_trace_event thaw = { .struct_size = sizeof(thaw),
                                           .kind = VMEM_TRACE_FREEZE };

    return vmem_version() != NULL && vmem_reason_name(0) != NULL &&
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
                   vmem_trace_event_format(&thaw, "vmem0", NULL, 0) > 0 &&
                   vmem_vm_get_name(it->vm) != NULL &&
                   vmem_region_get_name(it->region) != NULL &&
                   vmem_region_get_size(it->region) == STAGE_SIZE &&
                   vmem_region_get_backing(it->region) == it->backing &&
                   vmem_device_get_features(it->device) ==
                       VMEM_DEVICE_F_UNPLUGGED_INACCESSIBLE
               ? 0
               : -EPROTO;
}

static int ignore_run(const struct vmem_bitmap_run *run, void *opaque)
{
    (void)run;
    (void)opaque;
    return 0;
}

int stage_bitmap(struct stage *it)
{
    struct vmem_bitmap *bitmap;
    uint64_t word;
    bool ok;

    (void)it;
    if (vmem_bitmap_new(8, &bitmap) < 0) {
        return -ENOMEM;
    }
    ok = vmem_bitmap_set(bitmap, 0, 8, NULL) == 0 &&
         vmem_bitmap_clear(bitmap, 4, 4, NULL) == 0 &&
         vmem_bitmap_get_nr_blocks(bitmap) == 8 &&
         vmem_bitmap_get_nr_set(bitmap) == 4 && vmem_bitmap_is_set(bitmap, 0) &&
         vmem_bitmap_get_state(bitmap, 0, 8) == VMEM_BITMAP_MIXED &&
         vmem_bitmap_count(bitmap, 0, 8) == 4 &&
         vmem_bitmap_next_set(bitmap, 0, 8) == 0 &&
         vmem_bitmap_next_clear(bitmap, 0, 8) == 4 &&
         vmem_bitmap_for_each_set(bitmap, 0, 8, ignore_run, NULL) == 0 &&
         vmem_bitmap_for_each_clear(bitmap, 0, 8, ignore_run, NULL) == 0 &&
         vmem_bitmap_copy_out(bitmap, 0, 8, &word) == 0 && word == 0xf;
    vmem_bitmap_free(bitmap);
    return ok ? 0 : -EPROTO;
}

int stage_region_info(struct stage *it)
{
    struct vmem_region_info info = { .struct_size = sizeof(info) };

    return vmem_region_get_info(it->region, &info) < 0 ||
                   vmem_region_get_info(it->other, &info) < 0 ||
                   info.populated_size < stage_high.size ||
                   !vmem_region_is_populated(it->region, &stage_high) ||
                   !vmem_region_is_populated(it->other, &stage_high) ||
                   vmem_region_is_frozen(it->other)
               ? -EPROTO
               : 0;
}

int stage_source_info(struct stage *it)
{
    struct vmem_source_info info = { .struct_size = sizeof(info) };

    return vmem_source_get_info(it->source, &info);
}

int stage_device_info(struct stage *it)
{
    struct vmem_device_info info = { .struct_size = sizeof(info) };
    struct vmem_device_stats stats = { .struct_size = sizeof(stats) };
    struct vmem_resize_status status = { .struct_size = sizeof(status) };
    uint8_t bytes[VMEM_DEVICE_CONFIG_SIZE];

    vmem_device_get_config_generation(it->device);
    return vmem_device_get_info(it->device, &info) < 0 ||
                   vmem_device_get_stats(it->device, &stats) < 0 ||
                   vmem_device_get_resize_status(it->device, &status) < 0 ||
                   vmem_device_read_config(it->device, 0, bytes,
                                           sizeof(bytes)) < 0 ||
                   vmem_device_check_removable(it->device, NULL) != -EBUSY
               ? -EPROTO
               : 0;
}

int stage_write_config(struct stage *it)
{
    return vmem_device_write_config(it->spare_device, 0, "", 1);
}

int stage_backing_info(struct stage *it)
{
    struct vmem_backing_info info = { .struct_size = sizeof(info) };
    struct vmem_backing_stats stats = { .struct_size = sizeof(stats) };
    struct vmem_backing_usage usage = { .struct_size = sizeof(usage) };

    return vmem_backing_get_info(it->backing, &info) < 0 ||
                   vmem_backing_get_stats(it->backing, &stats) < 0 ||
                   vmem_backing_get_usage(it->spare_backing, NULL, &usage,
                                          NULL) < 0
               ? -EPROTO
               : 0;
}

int stage_claims(struct stage *it)
{
    /* A mapper or a watcher's claim may forbid, on any thread. */
    (void)vmem_vm_is_uncoordinated_forbidden(it->vm);
    return vmem_vm_get_claims(it->vm) == 0 || !vmem_vm_is_discard_needed(it->vm)
               ? -EPROTO
               : 0;
}

static int count_range(const struct vmem_range *range, void *opaque)
{
    (void)range;
    ++*(unsigned int *)opaque;
    return 0;
}

static int walk(struct vmem_region *region, const struct vmem_source *source)
{
    unsigned int nr_runs = 0;
    uint64_t word = 0;
    uint64_t source_word = 0;
    int ret = vmem_region_for_each_populated(region, &stage_high, count_range,
                                             &nr_runs);

    if (ret == 0) {
        ret = vmem_region_for_each_discarded(region, &stage_top, count_range,
                                             &nr_runs);
    }
    if (ret == 0) {
        ret = vmem_region_get_page_bitmap(region, &stage_high, UNIT, &word);
    }
    if (ret == 0) {
        ret = vmem_source_get_page_bitmap(source, &stage_high, UNIT,
                                          &source_word);
    }
    return ret < 0                                             ? ret
           : nr_runs == 2 && word == 0xf && source_word == 0xf ? 0
                                                               : -EPROTO;
}

int stage_walk_own(struct stage *it)
{
    return walk(it->region, it->source);
}

int stage_walk_other(struct stage *it)
{
    return walk(it->other, it->other_source);
}

int stage_hold_own(struct stage *it)
{
    return vmem_region_with_populated(it->region, &stage_high, quiet_accept,
                                      NULL, NULL);
}

int stage_hold_other(struct stage *it)
{
    return vmem_region_with_populated(it->other, &stage_high, quiet_accept,
                                      NULL, NULL);
}

int stage_save(struct stage *it)
{
    struct vmem_device_saved saved = { .struct_size = sizeof(saved) };
    uint64_t blocks;

    return vmem_device_save(it->device, &saved, &blocks, 1);
}

static int count_region(struct vmem_region *region, void *opaque)
{
    (void)region;
    ++*(unsigned int *)opaque;
    return 0;
}

static int count_device(struct vmem_device *device, void *opaque)
{
    (void)device;
    ++*(unsigned int *)opaque;
    return 0;
}

static int count_claim(uint32_t kind, const char *owner, void *opaque)
{
    (void)kind;
    (void)owner;
    ++*(unsigned int *)opaque;
    return 0;
}

int stage_lists(struct stage *it)
{
    unsigned int nr_regions = 0;
    unsigned int nr_devices = 0;
    unsigned int nr_claims = 0;
    bool ok = vmem_vm_for_each_region(it->vm, count_region, &nr_regions) == 0 &&
              vmem_vm_for_each_device(it->vm, count_device, &nr_devices) == 0 &&
              vmem_vm_for_each_claim(it->vm, count_claim, &nr_claims) == 0;

    return ok && nr_regions >= 3 && nr_devices >= 1 && nr_claims >= 2 ? 0
                                                                      : -EPROTO;
}
