// SPDX-License-Identifier: BSD-3-Clause
//! Which parts of guest memory are populated: `<vmem/region.h>`.

use crate::*;
use std::os::raw::{c_char, c_int, c_void};

pub const VMEM_REGION_MAX_SOURCES: u64 = 16;

#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct vmem_region_config {
    pub struct_size: usize,
    pub name: *const c_char,
    pub size: u64,
    pub backing: *mut vmem_backing,
}

#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct vmem_region_info {
    pub struct_size: usize,
    pub name: *const c_char,
    pub size: u64,
    pub min_granularity: u64,
    pub populated_size: u64,
    pub retained_size: u64,
    pub nr_sources: u64,
    pub nr_listeners: u64,
    pub nr_freezers: u64,
    pub nr_populate_calls: u64,
    pub nr_discard_calls: u64,
    pub nr_vetoes: u64,
    pub nr_rollbacks: u64,
}

sized! {
    vmem_region_config
    vmem_region_info
}

extern "C" {
    pub fn vmem_region_new(
        vm: *mut vmem_vm,
        config: *const vmem_region_config,
        out: *mut *mut vmem_region,
        err: *mut vmem_error,
    ) -> c_int;
    pub fn vmem_region_free(region: *mut vmem_region, err: *mut vmem_error) -> c_int;
    pub fn vmem_region_get_name(region: *const vmem_region) -> *const c_char;
    pub fn vmem_region_get_size(region: *const vmem_region) -> u64;
    pub fn vmem_region_get_backing(region: *const vmem_region) -> *mut vmem_backing;
    pub fn vmem_region_get_info(region: *const vmem_region, info: *mut vmem_region_info) -> c_int;
    pub fn vmem_region_is_populated(region: *const vmem_region, range: *const vmem_range) -> bool;
    pub fn vmem_region_for_each_populated(
        region: *mut vmem_region,
        window: *const vmem_range,
        call: vmem_range_fn,
        opaque: *mut c_void,
    ) -> c_int;
    pub fn vmem_region_for_each_discarded(
        region: *mut vmem_region,
        window: *const vmem_range,
        call: vmem_range_fn,
        opaque: *mut c_void,
    ) -> c_int;
    pub fn vmem_region_get_page_bitmap(
        region: *mut vmem_region,
        window: *const vmem_range,
        page_size: u64,
        words: *mut u64,
    ) -> c_int;
    pub fn vmem_region_with_populated(
        region: *mut vmem_region,
        range: *const vmem_range,
        call: vmem_range_fn,
        opaque: *mut c_void,
        err: *mut vmem_error,
    ) -> c_int;
    pub fn vmem_region_retry_discards(region: *mut vmem_region, err: *mut vmem_error) -> c_int;
    pub fn vmem_region_freeze(
        region: *mut vmem_region,
        owner: *const c_char,
        err: *mut vmem_error,
    ) -> c_int;
    pub fn vmem_region_thaw(
        region: *mut vmem_region,
        owner: *const c_char,
        err: *mut vmem_error,
    ) -> c_int;
    pub fn vmem_region_is_frozen(region: *const vmem_region) -> bool;
}
