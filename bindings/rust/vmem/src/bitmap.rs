// SPDX-License-Identifier: BSD-3-Clause
//! A block bitmap that is nearly free to walk, on its own.
use std::ops::ControlFlow;
use std::os::raw::{c_int, c_void};
use std::ptr::NonNull;

use vmem_sys as sys;

use crate::error::{plain, room, Result};
use crate::walk::Walk;

/// Which blocks of a range are set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BitmapState {
    /// None, or the range is empty.
    AllClear,
    /// All.
    AllSet,
    /// Some.
    Mixed,
}

/// `vmem_bitmap_for_each_set()` and `vmem_bitmap_for_each_clear()`.
type ForEach = unsafe extern "C" fn(
    *const sys::vmem_bitmap,
    u64,
    u64,
    sys::vmem_bitmap_run_fn,
    *mut c_void,
) -> c_int;

unsafe extern "C" fn run<F, B>(run: *const sys::vmem_bitmap_run, opaque: *mut c_void) -> c_int
where
    F: FnMut((u64, u64)) -> ControlFlow<B>,
{
    (*(opaque as *mut Walk<F, B>)).step(((*run).first_block, (*run).nr_blocks))
}

fn run_fn<F, B>(_: &Walk<F, B>) -> sys::vmem_bitmap_run_fn
where
    F: FnMut((u64, u64)) -> ControlFlow<B>,
{
    Some(run::<F, B>)
}

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

    /// How many of some blocks are set; those beyond the end are not.
    pub fn count(&self, first_block: u64, nr_blocks: u64) -> u64 {
        unsafe { sys::vmem_bitmap_count(self.0.as_ptr(), first_block, nr_blocks) }
    }

    /// Are some blocks all set, all clear, or mixed?
    pub fn state(&self, first_block: u64, nr_blocks: u64) -> BitmapState {
        match unsafe { sys::vmem_bitmap_get_state(self.0.as_ptr(), first_block, nr_blocks) } {
            sys::VMEM_BITMAP_ALL_CLEAR => BitmapState::AllClear,
            sys::VMEM_BITMAP_ALL_SET => BitmapState::AllSet,
            _ => BitmapState::Mixed,
        }
    }

    /// Visit the runs of set blocks among some blocks, each as first block and number.
    pub fn for_each_set<B>(
        &self,
        first_block: u64,
        nr_blocks: u64,
        step: impl FnMut((u64, u64)) -> ControlFlow<B>,
    ) -> ControlFlow<B> {
        self.walk(sys::vmem_bitmap_for_each_set, first_block, nr_blocks, step)
    }

    /// Visit the runs of clear blocks among some blocks.
    pub fn for_each_clear<B>(
        &self,
        first_block: u64,
        nr_blocks: u64,
        step: impl FnMut((u64, u64)) -> ControlFlow<B>,
    ) -> ControlFlow<B> {
        self.walk(sys::vmem_bitmap_for_each_clear, first_block, nr_blocks, step)
    }

    fn walk<B>(
        &self,
        for_each: ForEach,
        first_block: u64,
        nr_blocks: u64,
        step: impl FnMut((u64, u64)) -> ControlFlow<B>,
    ) -> ControlFlow<B> {
        let mut walk = Walk::new(step);
        let run = run_fn(&walk);
        // SAFETY: the walk lives until the call returns. It cannot fail.
        unsafe { for_each(self.0.as_ptr(), first_block, nr_blocks, run, walk.opaque()) };
        walk.finish()
    }

    /// The bits of some blocks, from bit 0 of the first word on.
    pub fn words(&self, first_block: u64, nr_blocks: u64) -> Result<Vec<u64>> {
        // Too many are refused before anything is written; room for them is not made.
        let mut words = room(nr_blocks.min(self.nr_blocks()))?;
        // SAFETY: there is room for every block that the bitmap has.
        let ret = unsafe {
            let words = words.as_mut_ptr();
            sys::vmem_bitmap_copy_out(self.0.as_ptr(), first_block, nr_blocks, words)
        };
        plain(ret, "bitmap").map(|_| words)
    }

    /// The runs of set blocks up to an end, each as first block and number. What
    /// [`Bitmap::for_each_set`] visits, for who wants to go on elsewhere between them.
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
