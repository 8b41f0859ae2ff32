// SPDX-License-Identifier: BSD-3-Clause
//! What the library has to tell people: `<vmem/log.h>`.

use std::os::raw::{c_char, c_void};

pub const VMEM_LOG_BURST: u32 = 5;

// enum vmem_log_level
pub const VMEM_LOG_DEBUG: u32 = 1;
pub const VMEM_LOG_INFO: u32 = 2;
pub const VMEM_LOG_WARNING: u32 = 3;
pub const VMEM_LOG_ERROR: u32 = 4;

// enum vmem_blame
pub const VMEM_BLAME_GUEST: u32 = 1;
pub const VMEM_BLAME_HOST: u32 = 2;
pub const VMEM_BLAME_OS: u32 = 3;
pub const VMEM_BLAME_VMEM: u32 = 4;

// enum vmem_log_code
pub const VMEM_LOG_CODE_MALFORMED: u32 = 1;
pub const VMEM_LOG_CODE_GUEST_ERROR: u32 = 2;
pub const VMEM_LOG_CODE_BUSY: u32 = 3;
pub const VMEM_LOG_CODE_RETAINED: u32 = 4;
pub const VMEM_LOG_CODE_ZEROED: u32 = 5;
pub const VMEM_LOG_CODE_FEATURES: u32 = 6;
pub const VMEM_LOG_CODE_SMALL_BLOCKS: u32 = 7;
pub const VMEM_LOG_CODE_READ_ALLOCATES: u32 = 8;
pub const VMEM_LOG_CODE_FILE_MODIFIED: u32 = 9;
pub const VMEM_LOG_CODE_CONFIG_WRITE: u32 = 10;
pub const VMEM_LOG_CODE_UNVERIFIED: u32 = 11;
pub const VMEM_LOG_CODE_DMA_REFUSED: u32 = 12;
pub const VMEM_LOG_CODE_DMA_STUCK: u32 = 13;
pub const VMEM_LOG_CODE_DMA_NEAR: u32 = 14;

#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct vmem_log_record {
    pub struct_size: usize,
    pub level: u32,
    pub blame: u32,
    pub code: u32,
    pub suppressed: u32,
    pub object: *const c_char,
    pub message: *const c_char,
}

pub type vmem_log_fn =
    Option<unsafe extern "C" fn(record: *const vmem_log_record, opaque: *mut c_void)>;

sized! {
    vmem_log_record
}

extern "C" {
    pub fn vmem_blame_name(blame: u32) -> *const c_char;
    pub fn vmem_log_level_name(level: u32) -> *const c_char;
}
