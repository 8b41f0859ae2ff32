/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>

#include "stress/stage_dma.h"
#include "stress/stage_parts.h"

const struct stage_call stage_calls[] = {
    { "vmem_version vmem_reason_name vmem_blame_name vmem_log_level_name "
      "vmem_backing_kind_name vmem_usage_method_name vmem_request_type_name "
      "vmem_response_type_name vmem_block_state_name vmem_reset_kind_name "
      "vmem_resize_state_name vmem_resize_stall_name vmem_trace_event_format "
      "vmem_vm_get_name "
      "vmem_region_get_name vmem_region_get_size vmem_region_get_backing "
      "vmem_device_get_features",
      STAGE_NAMES, 0, stage_names },
    { "vmem_bitmap_new vmem_bitmap_free vmem_bitmap_get_nr_blocks "
      "vmem_bitmap_get_nr_set vmem_bitmap_set vmem_bitmap_clear "
      "vmem_bitmap_is_set vmem_bitmap_get_state vmem_bitmap_count "
      "vmem_bitmap_next_set vmem_bitmap_next_clear vmem_bitmap_for_each_set "
      "vmem_bitmap_for_each_clear vmem_bitmap_copy_out",
      STAGE_NAMES, 0, stage_bitmap },
    { "vmem_region_get_info vmem_region_is_populated vmem_region_is_frozen",
      STAGE_ASK, 0, stage_region_info },
    { "vmem_source_get_info", STAGE_ASK, 0, stage_source_info },
    { "vmem_device_get_info vmem_device_get_stats "
      "vmem_device_get_resize_status vmem_device_read_config "
      "vmem_device_get_config_generation vmem_device_check_removable",
      STAGE_ASK, 0, stage_device_info },
    { "vmem_device_write_config", STAGE_ASK, 0, stage_write_config },
    { "vmem_backing_get_info vmem_backing_get_stats vmem_backing_get_usage",
      STAGE_ASK, 0, stage_backing_info },
    { "vmem_vm_get_claims vmem_vm_is_uncoordinated_forbidden "
      "vmem_vm_is_discard_needed",
      STAGE_ASK, 0, stage_claims },
    { "vmem_region_for_each_populated vmem_region_for_each_discarded "
      "vmem_region_get_page_bitmap vmem_source_get_page_bitmap",
      STAGE_WALK_OWN, 0, stage_walk_own },
    { "vmem_region_for_each_populated vmem_region_for_each_discarded "
      "vmem_region_get_page_bitmap vmem_source_get_page_bitmap",
      STAGE_WALK_OTHER, 0, stage_walk_other },
    { "vmem_region_with_populated", STAGE_HOLD_OWN, 0, stage_hold_own },
    { "vmem_region_with_populated", STAGE_HOLD_OTHER, 0, stage_hold_other },
    { "vmem_device_save", STAGE_HOLD_OTHER, 0, stage_save },
    { "vmem_vm_for_each_region vmem_vm_for_each_device vmem_vm_for_each_claim",
      STAGE_LISTS, 0, stage_lists },
    { "vmem_dma_get_info vmem_dma_get_stats", STAGE_ASK, 0, stage_dma_info },
    { "vmem_dma_plan", STAGE_NAMES, 0, stage_dma_plan },
    { "vmem_dma_for_each_mapped", STAGE_MAPPED, 0, stage_dma_each },
    { "vmem_backing_populate", STAGE_LOOSE, 0, stage_loose_populate },
    { "vmem_backing_discard", STAGE_LOOSE, 0, stage_loose_discard },
    { "vmem_source_populate", STAGE_BLOCKS, 0, stage_populate_own },
    { "vmem_source_discard", STAGE_BLOCKS, 0, stage_discard_own },
    { "vmem_source_populate", STAGE_BLOCKS, 0, stage_populate_other },
    { "vmem_source_discard", STAGE_BLOCKS, 0, stage_discard_other },
    { "vmem_region_retry_discards", STAGE_BLOCKS, 0, stage_retry },
    { "vmem_device_handle_request", STAGE_BLOCKS, 0, stage_unplug_all },
    { "vmem_device_handle_request", STAGE_BLOCKS, 0, stage_plug },
    { "vmem_device_handle_request", STAGE_BLOCKS, 0, stage_state },
    { "vmem_device_handle_request_iov", STAGE_BLOCKS, 0, stage_unplug_iov },
    { "vmem_device_reset", STAGE_BLOCKS, 0, stage_reset_system },
    { "vmem_device_load", STAGE_BLOCKS, 0, stage_load },
    { "vmem_device_reset", STAGE_SIZES, 0, stage_reset_driver },
    { "vmem_device_resize", STAGE_SIZES, 0, stage_resize },
    { "vmem_device_notify_config", STAGE_SIZES, 0, stage_kick },
    { "vmem_device_poll_resize", STAGE_SIZES, 0, stage_poll },
    { "vmem_device_set_driver_features", STAGE_SIZES, 0, stage_features },
    { "vmem_region_freeze", STAGE_FREEZE, 0, stage_freeze_own },
    { "vmem_region_thaw", STAGE_FREEZE, 0, stage_thaw_own },
    { "vmem_region_freeze", STAGE_FREEZE, 0, stage_freeze_other },
    { "vmem_region_thaw", STAGE_FREEZE, 0, stage_thaw_other },
    { "vmem_source_add", STAGE_JOIN, 0, stage_source_add },
    { "vmem_source_remove", STAGE_JOIN, 0, stage_source_remove },
    { "vmem_listener_add", STAGE_JOIN, 0, stage_listener_add },
    { "vmem_listener_remove", STAGE_JOIN, 0, stage_listener_remove },
    { "vmem_listener_remove", STAGE_JOIN, 0, stage_listener_remove_own },
    { "vmem_dma_attach", STAGE_DMA, 0, stage_dma_attach },
    { "vmem_dma_attach_static", STAGE_DMA, 0, stage_dma_attach_static },
    { "vmem_dma_retry_unmaps", STAGE_DMA, 0, stage_dma_retry },
    { "vmem_dma_viommu_map", STAGE_DMA, 0, stage_dma_guest },
    { "vmem_dma_viommu_unmap", STAGE_DMA, 0, stage_dma_guest_unmap },
    { "vmem_dma_viommu_replay", STAGE_DMA, 0, stage_dma_replay },
    { "vmem_dma_detach", STAGE_DMA, 0, stage_dma_detach },
    { "vmem_region_new", STAGE_MAKE, 0, stage_region_new },
    { "vmem_dma_new_custom", STAGE_MAKE, 0, stage_dma_new },
    { "vmem_dma_new_type1", STAGE_MAKE, -EBADF, stage_dma_new_type1 },
    { "vmem_dma_new_iommufd", STAGE_MAKE, -EBADF, stage_dma_new_iommufd },
    { "vmem_backing_new_custom", STAGE_MAKE, 0, stage_backing_custom },
    { "vmem_backing_new_mapped", STAGE_MAKE, 0, stage_backing_mapped },
    { "vmem_backing_new_allocated", STAGE_MAKE, 0, stage_backing_allocated },
    { "vmem_device_new", STAGE_MAKE, 0, stage_device_new },
    { "vmem_vm_free", STAGE_FREE, -EBUSY, stage_vm_free },
    { "vmem_region_free", STAGE_FREE, 0, stage_region_free },
    { "vmem_backing_free", STAGE_FREE, 0, stage_backing_free },
    { "vmem_device_free", STAGE_FREE, 0, stage_device_free },
    { "vmem_dma_free", STAGE_FREE, 0, stage_dma_free },
    { "vmem_discard_claim_take", STAGE_CLAIMS, 0, stage_claim_take },
    { "vmem_discard_claim_release", STAGE_CLAIMS, 0, stage_claim_release },
    { "vmem_discard_watcher_add", STAGE_CLAIMS, 0, stage_watcher_add },
    { "vmem_discard_watcher_remove", STAGE_CLAIMS, 0, stage_watcher_remove },
    { "vmem_vm_new", STAGE_OTHER_VM, 0, stage_vm_new },
    { "", STAGE_OTHER_VM, 0, stage_other_vm },
};

const size_t stage_nr_calls = sizeof(stage_calls) / sizeof(stage_calls[0]);

static const struct {
    const char *name;
    const char *what;
} groups[] = {
    [STAGE_NAMES] = { "names", "Constants, names, sizes, and bitmaps of the "
                               "caller's own." },
    [STAGE_ASK] = { "ask", "Queries; answers may be out of date at once." },
    [STAGE_WALK_OWN] = { "walk own", "Walks of the region that the callback is "
                                     "about." },
    [STAGE_WALK_OTHER] = { "walk other", "The same of another region." },
    [STAGE_HOLD_OWN] = { "hold own", "Holding the region that the callback is "
                                     "about." },
    [STAGE_HOLD_OTHER] = { "hold other", "The same of another region." },
    [STAGE_LISTS] = { "lists", "Walks of the machine's lists." },
    [STAGE_MAPPED] = { "mapped", "Walks of what a mapper has mapped." },
    [STAGE_LOOSE] = { "loose", "Memory of a backing that no region uses." },
    [STAGE_BLOCKS] = { "blocks", "Changes of blocks, of whichever region, and "
                                 "every request." },
    [STAGE_SIZES] = { "sizes", "What a host or driver tells a device, and "
                               "resets." },
    [STAGE_FREEZE] = { "freeze", "Freezing and thawing." },
    [STAGE_JOIN] = { "join", "Adding and removing sources and listeners." },
    [STAGE_DMA] = { "dma", "Attaching to a mapper, detaching, and what a guest "
                           "maps." },
    [STAGE_MAKE] = { "make", "Making objects." },
    [STAGE_FREE] = { "free", "Freeing objects." },
    [STAGE_CLAIMS] = { "claims", "Taking and releasing claims, adding and "
                                 "removing watchers." },
    [STAGE_OTHER_VM] = { "other vm", "Any call on a machine that the thread is "
                                     "in no callback of." },
};

const char *stage_group_name(enum stage_group group)
{
    return groups[group].name;
}

const char *stage_group_what(enum stage_group group)
{
    return groups[group].what;
}
