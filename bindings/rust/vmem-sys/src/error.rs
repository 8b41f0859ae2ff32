// SPDX-License-Identifier: BSD-3-Clause
//! What went wrong, for the host program: `<vmem/error.h>`.

use crate::*;
use std::os::raw::c_char;

// enum vmem_reason
pub const VMEM_REASON_NONE: u32 = 0;
pub const VMEM_REASON_ARGUMENT: u32 = 1;
pub const VMEM_REASON_STRUCT_SIZE: u32 = 2;
pub const VMEM_REASON_STRUCT_TAIL: u32 = 3;
pub const VMEM_REASON_ALIGNMENT: u32 = 4;
pub const VMEM_REASON_RANGE: u32 = 5;
pub const VMEM_REASON_OVERFLOW: u32 = 6;
pub const VMEM_REASON_NO_MEMORY: u32 = 7;
pub const VMEM_REASON_IN_USE: u32 = 8;
pub const VMEM_REASON_REENTERED: u32 = 9;
pub const VMEM_REASON_FROZEN: u32 = 10;
pub const VMEM_REASON_LISTENER_VETO: u32 = 11;
pub const VMEM_REASON_POPULATE_FAILED: u32 = 12;
pub const VMEM_REASON_DISCARD_FAILED: u32 = 13;
pub const VMEM_REASON_CLAIM_CONFLICT: u32 = 14;
pub const VMEM_REASON_DUPLICATE: u32 = 15;
pub const VMEM_REASON_NOT_FOUND: u32 = 16;
pub const VMEM_REASON_NOT_POPULATED: u32 = 17;
pub const VMEM_REASON_READ_ONLY: u32 = 18;
pub const VMEM_REASON_SEALED: u32 = 19;
pub const VMEM_REASON_UNSUPPORTED: u32 = 20;
pub const VMEM_REASON_MISMATCH: u32 = 21;
pub const VMEM_REASON_OS: u32 = 22;
pub const VMEM_REASON_BUDGET: u32 = 23;
pub const VMEM_REASON_MAP_FAILED: u32 = 24;
pub const VMEM_REASON_UNMAP_FAILED: u32 = 25;
pub const VMEM_ERROR_MESSAGE_SIZE: usize = 256;

#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct vmem_error {
    pub struct_size: usize,
    pub code: i32,
    pub reason: u32,
    pub range: vmem_range,
    pub message: [c_char; VMEM_ERROR_MESSAGE_SIZE],
}

sized! {
    vmem_error
}

extern "C" {
    pub fn vmem_reason_name(reason: u32) -> *const c_char;
}
