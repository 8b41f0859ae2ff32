// SPDX-License-Identifier: BSD-3-Clause
//! The host memory behind a region: `<vmem/backing.h>`.

use crate::*;
use std::os::raw::{c_char, c_int, c_void};

pub const VMEM_BACKING_STEP: u64 = 1 << 30;
pub const VMEM_BACKING_MAX_POPULATE_THREADS: u64 = 64;
pub const VMEM_BACKING_POPULATE_SHARE: u64 = 16 << 20;

// enum vmem_backing_kind
pub const VMEM_BACKING_ANON: u32 = 1;
pub const VMEM_BACKING_ANON_SHARED: u32 = 2;
pub const VMEM_BACKING_MEMFD: u32 = 3;
pub const VMEM_BACKING_FILE: u32 = 4;
pub const VMEM_BACKING_HUGETLB_ANON: u32 = 5;
pub const VMEM_BACKING_HUGETLB_MEMFD: u32 = 6;
pub const VMEM_BACKING_CUSTOM: u32 = 7;
pub const VMEM_BACKING_SHARED: u64 = 1 << 0;
pub const VMEM_BACKING_HAS_FD: u64 = 1 << 1;
pub const VMEM_BACKING_LOCKED: u64 = 1 << 2;
pub const VMEM_BACKING_PREFER_REMOVE: u64 = 1 << 3;
pub const VMEM_BACKING_POPULATE: u64 = 1 << 4;
pub const VMEM_BACKING_NO_POPULATE: u64 = 1 << 5;
pub const VMEM_BACKING_USES_PUNCH_HOLE: u64 = 1 << 16;
pub const VMEM_BACKING_USES_REMOVE: u64 = 1 << 17;
pub const VMEM_BACKING_USES_DONTNEED: u64 = 1 << 18;
pub const VMEM_BACKING_USES_DONTNEED_TABLES: u64 = 1 << 19;
pub const VMEM_BACKING_USES_LOCKED: u64 = 1 << 20;

#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct vmem_backing_mapping {
    pub struct_size: usize,
    pub name: *const c_char,
    pub hva: *mut c_void,
    pub size: u64,
    pub fd_offset: u64,
    pub page_size: u64,
    pub flags: u64,
    pub fd: i32,
    pub reserved: u32,
    pub populate_threads: u64,
}

#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct vmem_backing_config {
    pub struct_size: usize,
    pub name: *const c_char,
    pub path: *const c_char,
    pub size: u64,
    pub fd_offset: u64,
    pub page_size: u64,
    pub flags: u64,
    pub kind: u32,
    pub reserved: u32,
    pub populate_threads: u64,
}

#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct vmem_backing_ops {
    pub struct_size: usize,
    pub discard:
        Option<unsafe extern "C" fn(range: *const vmem_range, opaque: *mut c_void) -> c_int>,
    pub populate:
        Option<unsafe extern "C" fn(range: *const vmem_range, opaque: *mut c_void) -> c_int>,
    pub zero: Option<unsafe extern "C" fn(range: *const vmem_range, opaque: *mut c_void) -> c_int>,
    pub usage: Option<
        unsafe extern "C" fn(
            range: *const vmem_range,
            resident: *mut u64,
            opaque: *mut c_void,
        ) -> c_int,
    >,
    pub destroy: Option<unsafe extern "C" fn(opaque: *mut c_void)>,
}

#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct vmem_backing_custom {
    pub struct_size: usize,
    pub name: *const c_char,
    pub size: u64,
    pub page_size: u64,
    pub flags: u64,
}

#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct vmem_backing_info {
    pub struct_size: usize,
    pub name: *const c_char,
    pub hva: *mut c_void,
    pub size: u64,
    pub page_size: u64,
    pub fd_offset: u64,
    pub uses: u64,
    pub flags: u64,
    pub default_block_size: u64,
    pub kind: u32,
    pub fd: i32,
    pub populate_threads: u64,
}

#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct vmem_backing_stats {
    pub struct_size: usize,
    pub nr_discards: u64,
    pub nr_discard_errors: u64,
    pub discarded_bytes: u64,
    pub nr_populates: u64,
    pub nr_populate_errors: u64,
    pub populated_bytes: u64,
    pub zeroed_bytes: u64,
    pub nr_syscalls: u64,
    pub nr_threads: u64,
    pub nr_thread_errors: u64,
}

// enum vmem_usage_method
pub const VMEM_USAGE_PAGEMAP: u32 = 1;
pub const VMEM_USAGE_MINCORE: u32 = 2;
pub const VMEM_USAGE_SEEK_DATA: u32 = 3;
pub const VMEM_USAGE_ST_BLOCKS: u32 = 4;
pub const VMEM_USAGE_CALLBACK: u32 = 5;

#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct vmem_backing_usage {
    pub struct_size: usize,
    pub resident: u64,
    pub method: u32,
    pub reserved: u32,
}

sized! {
    vmem_backing_mapping
    vmem_backing_config
    vmem_backing_ops
    vmem_backing_custom
    vmem_backing_info
    vmem_backing_stats
    vmem_backing_usage
}

extern "C" {
    pub fn vmem_backing_new_mapped(
        vm: *mut vmem_vm,
        mapping: *const vmem_backing_mapping,
        out: *mut *mut vmem_backing,
        err: *mut vmem_error,
    ) -> c_int;
    pub fn vmem_backing_new_allocated(
        vm: *mut vmem_vm,
        request: *const vmem_backing_config,
        out: *mut *mut vmem_backing,
        err: *mut vmem_error,
    ) -> c_int;
    pub fn vmem_backing_new_custom(
        vm: *mut vmem_vm,
        custom: *const vmem_backing_custom,
        ops: *const vmem_backing_ops,
        opaque: *mut c_void,
        out: *mut *mut vmem_backing,
        err: *mut vmem_error,
    ) -> c_int;
    pub fn vmem_backing_free(backing: *mut vmem_backing, err: *mut vmem_error) -> c_int;
    pub fn vmem_backing_get_info(
        backing: *const vmem_backing,
        info: *mut vmem_backing_info,
    ) -> c_int;
    pub fn vmem_backing_get_stats(
        backing: *const vmem_backing,
        stats: *mut vmem_backing_stats,
    ) -> c_int;
    pub fn vmem_backing_get_usage(
        backing: *mut vmem_backing,
        range: *const vmem_range,
        usage: *mut vmem_backing_usage,
        err: *mut vmem_error,
    ) -> c_int;
    pub fn vmem_backing_discard(
        backing: *mut vmem_backing,
        range: *const vmem_range,
        err: *mut vmem_error,
    ) -> c_int;
    pub fn vmem_backing_populate(
        backing: *mut vmem_backing,
        range: *const vmem_range,
        err: *mut vmem_error,
    ) -> c_int;
    pub fn vmem_backing_kind_name(kind: u32) -> *const c_char;
    pub fn vmem_usage_method_name(method: u32) -> *const c_char;
}
