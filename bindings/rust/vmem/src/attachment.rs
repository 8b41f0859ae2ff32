// SPDX-License-Identifier: BSD-3-Clause
//! What a mapper maps: windows of regions, and memory that is never discarded.
use std::ffi::CString;
use std::os::raw::c_void;
use std::os::unix::io::{AsRawFd, BorrowedFd, OwnedFd};

use vmem_sys as sys;

use crate::dma::{own, Dma};
use crate::dma_backend::Protection;
use crate::dma_plan::{DmaVerdict, NotAttached};
use crate::error::{check, name, Refused, Result};
use crate::numbers::set;
use crate::park::Raw;
use crate::region::Region;
use crate::Range;

/// A window of a region, and where the device finds it.
#[derive(Clone, Debug, Default)]
pub struct AttachConfig<'fd> {
    /// Appears in diagnostics.
    pub name: String,
    /// In the region; None: all of it.
    pub window: Option<Range>,
    /// Of the window's first byte; 0 for a virtual IOMMU.
    pub iova: u64,
    /// Chunk size, a power of two not larger than the region's smallest block size;
    /// 0: that block size.
    pub granularity: u64,
    /// Bytes of the window that the host wants to be able to have populated, by which
    /// the budget is judged; 0: what is populated now.
    pub requested_size: u64,
    /// A file that shares the memory, and where in it the region's offset 0 is; None:
    /// as the backing says.
    pub file: Option<(BorrowedFd<'fd>, u64)>,
    /// The device may only read.
    pub read_only: bool,
    /// Refuse it when a limit is near.
    pub strict: bool,
    /// The window is not mapped; [`Attachment::viommu_map`] may point at it.
    pub viommu: bool,
}

/// Memory that is never discarded, and where the device finds it.
#[derive(Clone, Debug, Default)]
pub struct StaticConfig<'fd> {
    /// Appears in diagnostics.
    pub name: String,
    /// Of the first byte.
    pub iova: u64,
    /// Bytes.
    pub size: u64,
    /// A file that shares the memory, and where in it.
    pub file: Option<(BorrowedFd<'fd>, u64)>,
    /// The device may only read.
    pub read_only: bool,
    /// Refuse it when a limit is near.
    pub strict: bool,
}

/// What both have in common, as the library wants it.
struct Common {
    name: CString,
    file: Option<OwnedFd>,
    fd_offset: u64,
    flags: u64,
}

impl Common {
    fn new(
        named: &str,
        file: Option<(BorrowedFd<'_>, u64)>,
        flags: &[(bool, u64)],
    ) -> Result<Self> {
        Ok(Self {
            name: name(named)?,
            file: file.map(|(fd, _)| own(fd)).transpose()?,
            fd_offset: file.map_or(0, |(_, offset)| offset),
            flags: set(flags) | set(&[(file.is_some(), sys::VMEM_DMA_HAS_FD)]),
        })
    }

    fn fd(&self) -> i32 {
        self.file.as_ref().map_or(0, |file| file.as_raw_fd())
    }
}

/// Something attached to a mapper. Dropping it unmaps and detaches; what cannot be
/// unmapped is parked with it.
pub struct Attachment {
    raw: Raw<sys::vmem_dma_attachment>,
    dma: Dma,
    // What the mappings stand on.
    region: Option<Region>,
    file: Option<OwnedFd>,
    verdict: DmaVerdict,
    detached: bool,
}

impl Dma {
    /// Attach a window of a region and map what is populated.
    pub fn attach(
        &self,
        region: &Region,
        config: &AttachConfig<'_>,
    ) -> std::result::Result<Attachment, NotAttached> {
        // SAFETY: the address is the backing's, which the region keeps mapped.
        unsafe { self.attach_mapped(region, config, std::ptr::null_mut()) }
    }

    /// The same where the host has mapped the region's offset 0 itself; NULL: as the
    /// backing says.
    ///
    /// # Safety
    /// The region's memory is mapped there until the attachment is gone, and whoever
    /// accesses it expects that a device does, too.
    pub unsafe fn attach_mapped(
        &self,
        region: &Region,
        config: &AttachConfig<'_>,
        hva: *mut c_void,
    ) -> std::result::Result<Attachment, NotAttached> {
        let common = Common::new(
            &config.name,
            config.file,
            &[
                (config.read_only, sys::VMEM_DMA_READ_ONLY),
                (config.strict, sys::VMEM_DMA_STRICT),
                (config.viommu, sys::VMEM_DMA_VIOMMU),
            ],
        )?;
        let raw = sys::vmem_dma_attach_config {
            name: common.name.as_ptr(),
            region: region.as_raw(),
            window: config.window.unwrap_or_default(),
            iova: config.iova,
            granularity: config.granularity,
            requested_size: config.requested_size,
            hva,
            fd_offset: common.fd_offset,
            flags: common.flags,
            fd: common.fd(),
            ..Default::default()
        };
        // The handles keep both alive; that they are of one machine is checked.
        self.made(common.file, Some(region), |verdict, out, err| {
            sys::vmem_dma_attach(self.as_raw(), &raw, verdict, out, err)
        })
    }

    /// Attach memory that is never discarded, and map all of it.
    ///
    /// # Safety
    /// The memory is mapped at `hva` until the attachment is gone, and whoever
    /// accesses it expects that a device does, too.
    pub unsafe fn attach_static(
        &self,
        config: &StaticConfig<'_>,
        hva: *mut c_void,
    ) -> std::result::Result<Attachment, NotAttached> {
        let common = Common::new(
            &config.name,
            config.file,
            &[(config.read_only, sys::VMEM_DMA_READ_ONLY), (config.strict, sys::VMEM_DMA_STRICT)],
        )?;
        let raw = sys::vmem_dma_static_config {
            name: common.name.as_ptr(),
            iova: config.iova,
            size: config.size,
            hva,
            fd_offset: common.fd_offset,
            flags: common.flags,
            fd: common.fd(),
            ..Default::default()
        };
        self.made(common.file, None, |verdict, out, err| {
            sys::vmem_dma_attach_static(self.as_raw(), &raw, verdict, out, err)
        })
    }

    fn made(
        &self,
        file: Option<OwnedFd>,
        region: Option<&Region>,
        call: impl FnOnce(
            *mut sys::vmem_dma_verdict,
            *mut *mut sys::vmem_dma_attachment,
            *mut sys::vmem_error,
        ) -> i32,
    ) -> std::result::Result<Attachment, NotAttached> {
        let mut verdict = sys::vmem_dma_verdict::default();
        let mut out = std::ptr::null_mut();
        let ret = check(|err| call(&mut verdict, &mut out, err));
        let verdict = DmaVerdict::from_raw(&verdict);
        match ret {
            Ok(_) => Ok(Attachment {
                raw: Raw::new(out),
                dma: self.clone(),
                region: region.cloned(),
                file,
                verdict: verdict.expect("libvmem attached without a verdict"),
                detached: false,
            }),
            Err(error) => Err(NotAttached { verdict, error }),
        }
    }
}

impl Attachment {
    /// Its mapper.
    pub fn dma(&self) -> &Dma {
        &self.dma
    }

    /// Its region; None: static memory.
    pub fn region(&self) -> Option<&Region> {
        self.region.as_ref()
    }

    /// How it fitted when it was attached.
    pub fn verdict(&self) -> &DmaVerdict {
        &self.verdict
    }

    /// The guest maps: let an IOVA of its choice point at a part of the region, until
    /// it unmaps it or a block of it is unplugged.
    pub fn viommu_map(&self, iova: u64, range: Range, protection: Protection) -> Result<()> {
        // SAFETY: the handle keeps the attachment alive.
        check(|err| unsafe {
            sys::vmem_dma_viommu_map(self.as_raw(), iova, &range, protection.raw(), err)
        })
        .map(drop)
    }

    /// Unmap and detach, or get it back with the reason: something is stuck, or this
    /// is called inside a callback.
    pub fn detach(mut self) -> std::result::Result<(), Refused<Self>> {
        // SAFETY: the handle is the only one.
        match check(|err| unsafe { sys::vmem_dma_detach(self.as_raw(), err) }) {
            Ok(_) => {
                self.detached = true;
                Ok(())
            }
            Err(error) => Err(Refused { handle: self, error }),
        }
    }

    /// For calls of `vmem_sys`; valid as long as this handle.
    pub fn as_raw(&self) -> *mut sys::vmem_dma_attachment {
        self.raw.get()
    }
}

impl Drop for Attachment {
    fn drop(&mut self) {
        let (raw, detached) = (self.raw, self.detached);
        let keep = (self.dma.clone(), self.region.take(), self.file.take());
        self.dma.0.vm.release(Box::new(move || {
            let _ = &keep;
            if detached {
                return 0;
            }
            // SAFETY: the handle was the only one.
            unsafe { sys::vmem_dma_detach(raw.get(), std::ptr::null_mut()) }
        }));
    }
}
