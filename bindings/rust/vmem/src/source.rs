// SPDX-License-Identifier: BSD-3-Clause
//! One reason for parts of a region to be discarded.
use vmem_sys as sys;

use crate::error::{check, name, plain, text, Refused, Result};
use crate::numbers::set;
use crate::park::Raw;
use crate::region::Region;
use crate::Range;

/// What a source is.
#[derive(Clone, Debug, Default)]
pub struct SourceConfig {
    /// Unique in the region.
    pub name: String,
    /// Bytes, a power of two that divides the region's size.
    pub block_size: u64,
    /// The memory of what it discards is given back; otherwise only hidden.
    pub discards: bool,
    /// All blocks start populated, not discarded.
    pub populated: bool,
}

/// What a source has, as in `struct vmem_source_info`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct SourceInfo {
    pub block_size: u64,
    pub populated_size: u64,
    pub retained_size: u64,
    pub discards: bool,
}

/// A block bitmap with a say in what is populated.
///
/// Removing it tells listeners what becomes visible. If one objects, the source
/// stays, and a dropped one is parked.
pub struct Source {
    raw: Raw<sys::vmem_source>,
    region: Region,
    removed: bool,
}

impl Source {
    pub(crate) fn add(region: &Region, config: &SourceConfig) -> Result<Self> {
        let named = name(&config.name)?;
        let raw = sys::vmem_source_config {
            name: named.as_ptr(),
            block_size: config.block_size,
            flags: set(&[
                (config.discards, sys::VMEM_SOURCE_DISCARDS),
                (config.populated, sys::VMEM_SOURCE_POPULATED),
            ]),
            ..Default::default()
        };
        let mut out = std::ptr::null_mut();
        // SAFETY: the library copies the config.
        check(|err| unsafe { sys::vmem_source_add(region.as_raw(), &raw, &mut out, err) })?;
        Ok(Self { raw: Raw::new(out), region: region.clone(), removed: false })
    }

    /// Its region.
    pub fn region(&self) -> &Region {
        &self.region
    }

    /// Populate a range of whole blocks; a listener may veto.
    pub fn populate(&self, range: Range) -> Result<()> {
        // SAFETY: the handle keeps the source alive; so below.
        check(|err| unsafe { sys::vmem_source_populate(self.raw.get(), &range, err) }).map(drop)
    }

    /// Discard a range of whole blocks.
    pub fn discard(&self, range: Range) -> Result<()> {
        check(|err| unsafe { sys::vmem_source_discard(self.raw.get(), &range, err) }).map(drop)
    }

    fn raw_info(&self) -> Result<sys::vmem_source_info> {
        let mut info = sys::vmem_source_info::default();
        let ret = unsafe { sys::vmem_source_get_info(self.raw.get(), &mut info) };
        plain(ret, "state of a source").map(|_| info)
    }

    /// Its name.
    pub fn name(&self) -> &str {
        // SAFETY: valid as long as the source is.
        self.raw_info().map_or("", |info| unsafe { text(info.name) })
    }

    /// What it has.
    pub fn info(&self) -> Result<SourceInfo> {
        let info = self.raw_info()?;
        Ok(SourceInfo {
            block_size: info.block_size,
            populated_size: info.populated_size,
            retained_size: info.retained_size,
            discards: info.flags & sys::VMEM_SOURCE_DISCARDS != 0,
        })
    }

    /// One bit for each page of a window (None: all): has this source populated all of
    /// it, whatever the others say?
    pub fn page_bitmap(&self, window: Option<Range>, page_size: u64) -> Result<Vec<u64>> {
        self.region.expand("page bitmap of a source", window, page_size, |window, words| {
            // SAFETY: there is room for every page that the region can have in it.
            unsafe { sys::vmem_source_get_page_bitmap(self.raw.get(), window, page_size, words) }
        })
    }

    /// Remove it, or get it back with the reason.
    pub fn remove(mut self) -> std::result::Result<(), Refused<Self>> {
        match check(|err| unsafe { sys::vmem_source_remove(self.raw.get(), err) }) {
            Ok(_) => {
                self.removed = true;
                Ok(())
            }
            Err(error) => Err(Refused { handle: self, error }),
        }
    }

    /// For calls of `vmem_sys`; valid as long as this handle.
    pub fn as_raw(&self) -> *mut sys::vmem_source {
        self.raw.get()
    }
}

impl Drop for Source {
    fn drop(&mut self) {
        let (raw, region, removed) = (self.raw, self.region.clone(), self.removed);
        self.region.0.vm.release(Box::new(move || {
            let _ = &region;
            if removed {
                return 0;
            }
            // SAFETY: the handle was the only one.
            unsafe { sys::vmem_source_remove(raw.get(), std::ptr::null_mut()) }
        }));
    }
}
