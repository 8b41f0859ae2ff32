// SPDX-License-Identifier: BSD-3-Clause
//! One reason for parts to be discarded: `<vmem/source.h>`.

use crate::*;
use std::os::raw::{c_char, c_int};

pub const VMEM_SOURCE_DISCARDS: u64 = 1 << 0;
pub const VMEM_SOURCE_POPULATED: u64 = 1 << 1;

#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct vmem_source_config {
    pub struct_size: usize,
    pub name: *const c_char,
    pub block_size: u64,
    pub flags: u64,
}

#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct vmem_source_info {
    pub struct_size: usize,
    pub name: *const c_char,
    pub block_size: u64,
    pub populated_size: u64,
    pub retained_size: u64,
    pub flags: u64,
}

sized! {
    vmem_source_config
    vmem_source_info
}

extern "C" {
    pub fn vmem_source_add(
        region: *mut vmem_region,
        config: *const vmem_source_config,
        out: *mut *mut vmem_source,
        err: *mut vmem_error,
    ) -> c_int;
    pub fn vmem_source_remove(source: *mut vmem_source, err: *mut vmem_error) -> c_int;
    pub fn vmem_source_populate(
        source: *mut vmem_source,
        range: *const vmem_range,
        err: *mut vmem_error,
    ) -> c_int;
    pub fn vmem_source_discard(
        source: *mut vmem_source,
        range: *const vmem_range,
        err: *mut vmem_error,
    ) -> c_int;
    pub fn vmem_source_get_info(source: *const vmem_source, info: *mut vmem_source_info) -> c_int;
    pub fn vmem_source_get_page_bitmap(
        source: *const vmem_source,
        window: *const vmem_range,
        page_size: u64,
        words: *mut u64,
    ) -> c_int;
}
