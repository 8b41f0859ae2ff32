// SPDX-License-Identifier: BSD-3-Clause
//! A block bitmap that is nearly free to walk, on its own.
use std::ptr::NonNull;

use vmem_sys as sys;

use crate::error::{plain, Result};

/// Which blocks are set. Not shared between threads without a lock of its user.
pub struct Bitmap(NonNull<sys::vmem_bitmap>);

// SAFETY: it belongs to no thread; that it is not Sync keeps calls apart.
unsafe impl Send for Bitmap {}

impl Bitmap {
    /// All blocks clear.
    pub fn new(nr_blocks: u64) -> Result<Self> {
        let mut out = std::ptr::null_mut();
        // SAFETY: out is written on success only.
        plain(unsafe { sys::vmem_bitmap_new(nr_blocks, &mut out) }, "bitmap")?;
        Ok(Self(NonNull::new(out).expect("libvmem succeeded without a result")))
    }

    /// Blocks in all.
    pub fn nr_blocks(&self) -> u64 {
        // SAFETY: alive as long as self, and this thread's; so below.
        unsafe { sys::vmem_bitmap_get_nr_blocks(self.0.as_ptr()) }
    }

    /// Blocks set.
    pub fn nr_set(&self) -> u64 {
        unsafe { sys::vmem_bitmap_get_nr_set(self.0.as_ptr()) }
    }

    /// Set blocks; returns how many were clear.
    pub fn set(&mut self, first_block: u64, nr_blocks: u64) -> Result<u64> {
        let mut nr = 0;
        let ret = unsafe { sys::vmem_bitmap_set(self.0.as_ptr(), first_block, nr_blocks, &mut nr) };
        plain(ret, "bitmap").map(|_| nr)
    }

    /// Clear blocks; returns how many were set.
    pub fn clear(&mut self, first_block: u64, nr_blocks: u64) -> Result<u64> {
        let mut nr = 0;
        let ret =
            unsafe { sys::vmem_bitmap_clear(self.0.as_ptr(), first_block, nr_blocks, &mut nr) };
        plain(ret, "bitmap").map(|_| nr)
    }

    /// Is a block set? Those beyond the end are not.
    pub fn is_set(&self, block: u64) -> bool {
        unsafe { sys::vmem_bitmap_is_set(self.0.as_ptr(), block) }
    }

    /// The runs of set blocks in a range, each as first block and number.
    pub fn runs(&self, first_block: u64, end_block: u64) -> impl Iterator<Item = (u64, u64)> + '_ {
        let end = end_block.min(self.nr_blocks());
        let mut next = first_block;
        std::iter::from_fn(move || {
            if next >= end {
                return None;
            }
            // SAFETY: as above. Both give the end when there is none.
            let first = unsafe { sys::vmem_bitmap_next_set(self.0.as_ptr(), next, end) };
            if first >= end {
                return None;
            }
            next = unsafe { sys::vmem_bitmap_next_clear(self.0.as_ptr(), first, end) };
            Some((first, next - first))
        })
    }
}

impl Drop for Bitmap {
    fn drop(&mut self) {
        // SAFETY: made by vmem_bitmap_new(), and nobody has it any more.
        unsafe { sys::vmem_bitmap_free(self.0.as_ptr()) }
    }
}
