// SPDX-License-Identifier: BSD-3-Clause
//! What devices may reach: `<vmem/dma.h>`.

use crate::*;
use std::os::raw::{c_char, c_int, c_void};

pub const VMEM_DMA_READ_ONLY: u64 = 1 << 8;
pub const VMEM_DMA_STRICT: u64 = 1 << 9;
pub const VMEM_DMA_VIOMMU: u64 = 1 << 10;
pub const VMEM_DMA_HAS_FD: u64 = 1 << 11;
pub const VMEM_DMA_EXACT_UNMAP: u64 = 1 << 16;
pub const VMEM_DMA_NEEDS_FD: u64 = 1 << 17;
pub const VMEM_DMA_NO_PARTS: u64 = 1 << 18;
pub const VMEM_DMA_MEASURE_LATENCY: u64 = 1 << 24;
pub const VMEM_DMA_NO_CLAIM: u64 = 1 << 25;
pub const VMEM_DMA_READ: u32 = 1 << 0;
pub const VMEM_DMA_WRITE: u32 = 1 << 1;
pub const VMEM_DMA_UNLIMITED: u64 = u64::MAX;
pub const VMEM_DMA_GUEST_MAPPINGS: u64 = 65_535;
pub const VMEM_DMA_NEAR: u64 = 8;

// enum vmem_dma_kind
pub const VMEM_DMA_CUSTOM: u32 = 1;
pub const VMEM_DMA_TYPE1: u32 = 2;
pub const VMEM_DMA_IOMMUFD: u32 = 3;

// enum vmem_dma_fit
pub const VMEM_DMA_FIT_OK: u32 = 1;
pub const VMEM_DMA_FIT_TIGHT: u32 = 2;
pub const VMEM_DMA_FIT_IMPOSSIBLE: u32 = 3;

// enum vmem_dma_bound
pub const VMEM_DMA_BOUND_NONE: u32 = 0;
pub const VMEM_DMA_BOUND_MAPPINGS: u32 = 1;
pub const VMEM_DMA_BOUND_PINNED: u32 = 2;

#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct vmem_dma_config {
    pub struct_size: usize,
    pub name: *const c_char,
    pub max_mappings: u64,
    pub reserved_mappings: u64,
    pub max_pinned_size: u64,
    pub max_guest_mappings: u64,
    pub flags: u64,
}

#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct vmem_dma_properties {
    pub struct_size: usize,
    pub flags: u64,
    pub page_sizes: u64,
    pub max_size: u64,
    pub mapping_limit: u64,
}

#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct vmem_dma_mapping {
    pub struct_size: usize,
    pub iova: u64,
    pub size: u64,
    pub hva: *mut c_void,
    pub fd_offset: u64,
    pub fd: i32,
    pub protection: u32,
}

#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct vmem_dma_ops {
    pub struct_size: usize,
    pub map: Option<
        unsafe extern "C" fn(mapping: *const vmem_dma_mapping, opaque: *mut c_void) -> c_int,
    >,
    pub unmap: Option<
        unsafe extern "C" fn(
            iova: u64,
            size: u64,
            unmapped: *mut u64,
            opaque: *mut c_void,
        ) -> c_int,
    >,
    pub begin: Option<unsafe extern "C" fn(opaque: *mut c_void)>,
    pub commit: Option<unsafe extern "C" fn(opaque: *mut c_void) -> c_int>,
    pub destroy: Option<unsafe extern "C" fn(opaque: *mut c_void)>,
}

#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct vmem_dma_attach_config {
    pub struct_size: usize,
    pub name: *const c_char,
    pub region: *mut vmem_region,
    pub window: vmem_range,
    pub iova: u64,
    pub granularity: u64,
    pub requested_size: u64,
    pub hva: *mut c_void,
    pub fd_offset: u64,
    pub flags: u64,
    pub fd: i32,
    pub reserved: u32,
}

#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct vmem_dma_static_config {
    pub struct_size: usize,
    pub name: *const c_char,
    pub iova: u64,
    pub size: u64,
    pub hva: *mut c_void,
    pub fd_offset: u64,
    pub flags: u64,
    pub fd: i32,
    pub reserved: u32,
}

#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct vmem_dma_plan_config {
    pub struct_size: usize,
    pub region_size: u64,
    pub block_size: u64,
    pub requested_size: u64,
    pub max_mappings: u64,
    pub nr_taken: u64,
    pub max_pinned_size: u64,
    pub pinned_size: u64,
    pub nr_containers: u64,
}

#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct vmem_dma_verdict {
    pub struct_size: usize,
    pub fit: u32,
    pub bound: u32,
    pub max_mappings: u64,
    pub nr_taken: u64,
    pub nr_available: u64,
    pub nr_now: u64,
    pub nr_requested: u64,
    pub nr_worst_case: u64,
    pub granularity: u64,
    pub recommended_block_size: u64,
    pub max_pinned_size: u64,
    pub pinned_size: u64,
    pub requested_pinned_size: u64,
    pub worst_case_pinned_size: u64,
}

#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct vmem_dma_info {
    pub struct_size: usize,
    pub name: *const c_char,
    pub page_sizes: u64,
    pub max_size: u64,
    pub max_mappings: u64,
    pub reserved_mappings: u64,
    pub max_pinned_size: u64,
    pub max_guest_mappings: u64,
    pub properties: u64,
    pub nr_attachments: u64,
    pub kind: u32,
    pub reserved: u32,
}

#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct vmem_dma_stats {
    pub struct_size: usize,
    pub nr_mappings: u64,
    pub peak_mappings: u64,
    pub pinned_size: u64,
    pub peak_pinned_size: u64,
    pub nr_static_mappings: u64,
    pub nr_guest_mappings: u64,
    pub nr_stuck: u64,
    pub stuck_size: u64,
    pub nr_maps: u64,
    pub nr_unmaps: u64,
    pub nr_map_errors: u64,
    pub nr_unmap_errors: u64,
    pub nr_commit_errors: u64,
    pub nr_budget_refusals: u64,
    pub nr_stuck_refusals: u64,
    pub nr_forced_unmaps: u64,
    pub map_ns: u64,
    pub unmap_ns: u64,
    pub max_map_ns: u64,
    pub max_unmap_ns: u64,
}

#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct vmem_dma_run {
    pub struct_size: usize,
    pub attachment: *const vmem_dma_attachment,
    pub region: *mut vmem_region,
    pub range: vmem_range,
    pub iova: u64,
    pub nr_mappings: u64,
}

pub type vmem_dma_run_fn =
    Option<unsafe extern "C" fn(run: *const vmem_dma_run, opaque: *mut c_void) -> c_int>;

sized! {
    vmem_dma_config
    vmem_dma_properties
    vmem_dma_mapping
    vmem_dma_ops
    vmem_dma_attach_config
    vmem_dma_static_config
    vmem_dma_plan_config
    vmem_dma_verdict
    vmem_dma_info
    vmem_dma_stats
    vmem_dma_run
}

extern "C" {
    pub fn vmem_dma_new_custom(
        vm: *mut vmem_vm,
        config: *const vmem_dma_config,
        properties: *const vmem_dma_properties,
        ops: *const vmem_dma_ops,
        opaque: *mut c_void,
        out: *mut *mut vmem_dma,
        err: *mut vmem_error,
    ) -> c_int;
    pub fn vmem_dma_new_type1(
        vm: *mut vmem_vm,
        config: *const vmem_dma_config,
        container_fd: c_int,
        out: *mut *mut vmem_dma,
        err: *mut vmem_error,
    ) -> c_int;
    pub fn vmem_dma_new_iommufd(
        vm: *mut vmem_vm,
        config: *const vmem_dma_config,
        iommufd: c_int,
        ioas_id: u32,
        out: *mut *mut vmem_dma,
        err: *mut vmem_error,
    ) -> c_int;
    pub fn vmem_dma_free(dma: *mut vmem_dma, err: *mut vmem_error) -> c_int;
    pub fn vmem_dma_get_info(dma: *const vmem_dma, info: *mut vmem_dma_info) -> c_int;
    pub fn vmem_dma_get_stats(dma: *const vmem_dma, stats: *mut vmem_dma_stats) -> c_int;
    pub fn vmem_dma_plan(
        config: *const vmem_dma_plan_config,
        verdict: *mut vmem_dma_verdict,
        err: *mut vmem_error,
    ) -> c_int;
    pub fn vmem_dma_attach(
        dma: *mut vmem_dma,
        config: *const vmem_dma_attach_config,
        verdict: *mut vmem_dma_verdict,
        out: *mut *mut vmem_dma_attachment,
        err: *mut vmem_error,
    ) -> c_int;
    pub fn vmem_dma_attach_static(
        dma: *mut vmem_dma,
        config: *const vmem_dma_static_config,
        verdict: *mut vmem_dma_verdict,
        out: *mut *mut vmem_dma_attachment,
        err: *mut vmem_error,
    ) -> c_int;
    pub fn vmem_dma_detach(attachment: *mut vmem_dma_attachment, err: *mut vmem_error) -> c_int;
    pub fn vmem_dma_retry_unmaps(dma: *mut vmem_dma, err: *mut vmem_error) -> c_int;
    pub fn vmem_dma_for_each_mapped(
        dma: *mut vmem_dma,
        attachment: *const vmem_dma_attachment,
        call: vmem_dma_run_fn,
        opaque: *mut c_void,
    ) -> c_int;
    pub fn vmem_dma_viommu_map(
        target: *mut vmem_dma_attachment,
        iova: u64,
        range: *const vmem_range,
        protection: u32,
        err: *mut vmem_error,
    ) -> c_int;
    pub fn vmem_dma_viommu_unmap(
        dma: *mut vmem_dma,
        iova: u64,
        size: u64,
        unmapped: *mut u64,
        err: *mut vmem_error,
    ) -> c_int;
    pub fn vmem_dma_viommu_replay(
        dma: *mut vmem_dma,
        from: *mut vmem_dma,
        err: *mut vmem_error,
    ) -> c_int;
}
