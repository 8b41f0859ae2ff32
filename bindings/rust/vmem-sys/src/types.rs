// SPDX-License-Identifier: BSD-3-Clause
//! Ranges and the names of the objects: `<vmem/types.h>`.

use std::os::raw::{c_int, c_void};

#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct vmem_range {
    pub offset: u64,
    pub size: u64,
}

opaque! {
    vmem_vm
    vmem_backing
    vmem_region
    vmem_source
    vmem_listener
    vmem_device
    vmem_discard_claim
    vmem_discard_watcher
    vmem_bitmap
    vmem_dma
    vmem_dma_attachment
}

pub const VMEM_NAME_MAX: usize = 63;

pub type vmem_range_fn =
    Option<unsafe extern "C" fn(range: *const vmem_range, opaque: *mut c_void) -> c_int>;
