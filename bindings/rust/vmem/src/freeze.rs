// SPDX-License-Identifier: BSD-3-Clause
//! A region that is held still.
use std::ffi::CString;

use vmem_sys as sys;

use crate::error::{check, name, Result};
use crate::region::Region;

/// Holds a region still; dropping it thaws. Inside a callback that is refused, and
/// then parked like anything else.
#[must_use = "the region thaws when this is dropped"]
pub struct Freeze {
    region: Region,
    owner: CString,
}

impl Freeze {
    pub(crate) fn new(region: &Region, owner: &str) -> Result<Self> {
        let owner = name(owner)?;
        // SAFETY: the owner is copied.
        check(|err| unsafe { sys::vmem_region_freeze(region.as_raw(), owner.as_ptr(), err) })?;
        Ok(Self { region: region.clone(), owner })
    }

    /// The region.
    pub fn region(&self) -> &Region {
        &self.region
    }
}

impl Drop for Freeze {
    fn drop(&mut self) {
        let (region, owner) = (self.region.clone(), self.owner.clone());
        self.region.0.vm.release(Box::new(move || {
            // SAFETY: nobody else thaws for this owner.
            unsafe { sys::vmem_region_thaw(region.as_raw(), owner.as_ptr(), std::ptr::null_mut()) }
        }));
    }
}
