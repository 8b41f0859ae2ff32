// SPDX-License-Identifier: BSD-3-Clause
//! A party that must follow a region: `<vmem/listener.h>`.

use crate::*;
use std::os::raw::{c_char, c_int, c_void};

pub const VMEM_LISTENER_EXACT_DISCARD: u64 = 1 << 0;

#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct vmem_listener_ops {
    pub struct_size: usize,
    pub populate:
        Option<unsafe extern "C" fn(range: *const vmem_range, opaque: *mut c_void) -> c_int>,
    pub discard: Option<unsafe extern "C" fn(range: *const vmem_range, opaque: *mut c_void)>,
    pub destroy: Option<unsafe extern "C" fn(opaque: *mut c_void)>,
    pub begin: Option<unsafe extern "C" fn(opaque: *mut c_void)>,
    pub commit: Option<unsafe extern "C" fn(opaque: *mut c_void) -> c_int>,
    pub may_discard:
        Option<unsafe extern "C" fn(range: *const vmem_range, opaque: *mut c_void) -> c_int>,
}

#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct vmem_listener_config {
    pub struct_size: usize,
    pub name: *const c_char,
    pub window: vmem_range,
    pub granularity: u64,
    pub flags: u64,
}

sized! {
    vmem_listener_ops
    vmem_listener_config
}

extern "C" {
    pub fn vmem_listener_add(
        region: *mut vmem_region,
        config: *const vmem_listener_config,
        ops: *const vmem_listener_ops,
        opaque: *mut c_void,
        out: *mut *mut vmem_listener,
        err: *mut vmem_error,
    ) -> c_int;
    pub fn vmem_listener_remove(listener: *mut vmem_listener, err: *mut vmem_error) -> c_int;
}
