// SPDX-License-Identifier: BSD-3-Clause
//! Which blocks are set: `<vmem/bitmap.h>`.

use crate::*;
use std::os::raw::{c_int, c_void};

pub const VMEM_BITMAP_MAX_BLOCKS: u64 = 1 << 32;

// enum vmem_bitmap_state
pub const VMEM_BITMAP_ALL_CLEAR: u32 = 0;
pub const VMEM_BITMAP_ALL_SET: u32 = 1;
pub const VMEM_BITMAP_MIXED: u32 = 2;

#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct vmem_bitmap_run {
    pub first_block: u64,
    pub nr_blocks: u64,
}

pub type vmem_bitmap_run_fn =
    Option<unsafe extern "C" fn(run: *const vmem_bitmap_run, opaque: *mut c_void) -> c_int>;

extern "C" {
    pub fn vmem_bitmap_new(nr_blocks: u64, out: *mut *mut vmem_bitmap) -> c_int;
    pub fn vmem_bitmap_free(bitmap: *mut vmem_bitmap);
    pub fn vmem_bitmap_get_nr_blocks(bitmap: *const vmem_bitmap) -> u64;
    pub fn vmem_bitmap_get_nr_set(bitmap: *const vmem_bitmap) -> u64;
    pub fn vmem_bitmap_set(
        bitmap: *mut vmem_bitmap,
        first_block: u64,
        nr_blocks: u64,
        nr_changed: *mut u64,
    ) -> c_int;
    pub fn vmem_bitmap_clear(
        bitmap: *mut vmem_bitmap,
        first_block: u64,
        nr_blocks: u64,
        nr_changed: *mut u64,
    ) -> c_int;
    pub fn vmem_bitmap_is_set(bitmap: *const vmem_bitmap, block: u64) -> bool;
    pub fn vmem_bitmap_get_state(
        bitmap: *const vmem_bitmap,
        first_block: u64,
        nr_blocks: u64,
    ) -> u32;
    pub fn vmem_bitmap_count(bitmap: *const vmem_bitmap, first_block: u64, nr_blocks: u64) -> u64;
    pub fn vmem_bitmap_next_set(
        bitmap: *const vmem_bitmap,
        first_block: u64,
        end_block: u64,
    ) -> u64;
    pub fn vmem_bitmap_next_clear(
        bitmap: *const vmem_bitmap,
        first_block: u64,
        end_block: u64,
    ) -> u64;
    pub fn vmem_bitmap_for_each_set(
        bitmap: *const vmem_bitmap,
        first_block: u64,
        nr_blocks: u64,
        call: vmem_bitmap_run_fn,
        opaque: *mut c_void,
    ) -> c_int;
    pub fn vmem_bitmap_for_each_clear(
        bitmap: *const vmem_bitmap,
        first_block: u64,
        nr_blocks: u64,
        call: vmem_bitmap_run_fn,
        opaque: *mut c_void,
    ) -> c_int;
    pub fn vmem_bitmap_copy_out(
        bitmap: *const vmem_bitmap,
        first_block: u64,
        nr_blocks: u64,
        words: *mut u64,
    ) -> c_int;
}
