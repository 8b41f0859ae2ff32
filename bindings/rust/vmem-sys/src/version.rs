// SPDX-License-Identifier: BSD-3-Clause
//! The version declared here and the version running: `<vmem/version.h>`.

use std::os::raw::c_char;

pub const VMEM_VERSION_MAJOR: u32 = 0;
pub const VMEM_VERSION_MINOR: u32 = 1;
pub const VMEM_VERSION_PATCH: u32 = 0;

extern "C" {
    pub fn vmem_version() -> *const c_char;
}
