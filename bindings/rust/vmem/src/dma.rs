// SPDX-License-Identifier: BSD-3-Clause
//! An IOMMU address space that has mapped exactly what is populated.
use std::ops::ControlFlow;
use std::os::raw::{c_int, c_void};
use std::os::unix::io::{AsRawFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

use vmem_sys as sys;

use crate::attachment::Attachment;
use crate::dma_backend::{self, DmaBackend};
use crate::dma_plan::limit;
use crate::error::{check, name, plain, text, Error, Result};
use crate::numbers::set;
use crate::park::Raw;
use crate::vm::{Vm, VmInner};
use crate::walk::Walk;
use crate::{DmaStats, Range};

/// What a mapper is made of.
#[derive(Clone, Debug, Default)]
pub struct DmaConfig {
    /// Appears in diagnostics.
    pub name: String,
    /// Most mappings; 0: as the backend says; [`DmaConfig::UNLIMITED`]: do not count.
    pub max_mappings: u64,
    /// Of these, left to the host's own use.
    pub reserved_mappings: u64,
    /// Most bytes mapped; 0: no limit.
    pub max_pinned_size: u64,
    /// Most mappings of a virtual IOMMU; 0: [`DmaConfig::GUEST_MAPPINGS`].
    pub max_guest_mappings: u64,
    /// Time each call of the backend.
    pub measure_latency: bool,
    /// Attachments take no claim: the host promises that nobody discards what may be
    /// mapped but through its region, and nothing notices when it is wrong.
    pub no_claim: bool,
}

impl DmaConfig {
    /// A number of mappings that is not counted.
    pub const UNLIMITED: u64 = sys::VMEM_DMA_UNLIMITED;
    /// Most mappings of a virtual IOMMU if the config does not say.
    pub const GUEST_MAPPINGS: u64 = sys::VMEM_DMA_GUEST_MAPPINGS;

    /// A mapper of that name, all else as usual.
    pub fn new(name: &str) -> Self {
        Self { name: name.into(), ..Self::default() }
    }

    /// Make a call with it.
    fn with(&self, call: impl FnOnce(&sys::vmem_dma_config) -> Result<Dma>) -> Result<Dma> {
        let named = name(&self.name)?;
        call(&sys::vmem_dma_config {
            name: named.as_ptr(),
            max_mappings: self.max_mappings,
            reserved_mappings: self.reserved_mappings,
            max_pinned_size: self.max_pinned_size,
            max_guest_mappings: self.max_guest_mappings,
            flags: set(&[
                (self.measure_latency, sys::VMEM_DMA_MEASURE_LATENCY),
                (self.no_claim, sys::VMEM_DMA_NO_CLAIM),
            ]),
            ..Default::default()
        })
    }
}

/// What a backend of callbacks can do.
#[derive(Clone, Copy, Debug, Default)]
pub struct DmaProperties {
    /// It unmaps only what was one map call.
    pub exact_unmap: bool,
    /// It maps files; a mapping need not have an address then.
    pub needs_fd: bool,
    /// It pins all memory whatever is mapped: no discard works with it.
    pub no_parts: bool,
    /// Set of page sizes, each its own bit; 0: the kernel's base page.
    pub page_sizes: u64,
    /// Bytes of the largest mapping; 0: no limit.
    pub max_size: u64,
    /// Most mappings; 0: no limit.
    pub mapping_limit: u64,
}

impl DmaProperties {
    fn raw(&self) -> sys::vmem_dma_properties {
        sys::vmem_dma_properties {
            flags: set(&[
                (self.exact_unmap, sys::VMEM_DMA_EXACT_UNMAP),
                (self.needs_fd, sys::VMEM_DMA_NEEDS_FD),
                (self.no_parts, sys::VMEM_DMA_NO_PARTS),
            ]),
            page_sizes: self.page_sizes,
            max_size: self.max_size,
            mapping_limit: self.mapping_limit,
            ..Default::default()
        }
    }
}

/// What maps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum DmaKind {
    /// A [`DmaBackend`].
    Custom,
    /// A VFIO container, type1 version 2.
    Type1,
    /// An address space of iommufd.
    Iommufd,
}

/// What a mapper is, as in `struct vmem_dma_info`. A limit that does not exist is
/// None.
#[derive(Clone, Copy, Debug)]
#[allow(missing_docs)]
pub struct DmaInfo {
    pub kind: DmaKind,
    pub page_sizes: u64,
    pub max_size: Option<u64>,
    pub max_mappings: Option<u64>,
    pub reserved_mappings: u64,
    pub max_pinned_size: Option<u64>,
    pub max_guest_mappings: u64,
    pub exact_unmap: bool,
    pub needs_fd: bool,
    pub no_parts: bool,
    pub nr_attachments: u64,
}

/// A run of mappings, contiguous in IOVA and in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DmaRun {
    /// In the region, or in the static memory.
    pub range: Range,
    /// Of its first byte.
    pub iova: u64,
    /// Mappings that it is made of.
    pub nr_mappings: u64,
    // An address that is compared, never followed: the attachment may be gone.
    attachment: usize,
}

impl DmaRun {
    /// Does it belong to this attachment?
    pub fn is_of(&self, attachment: &Attachment) -> bool {
        self.attachment == attachment.as_raw() as usize
    }
}

unsafe extern "C" fn each<F, B>(run: *const sys::vmem_dma_run, opaque: *mut c_void) -> c_int
where
    F: FnMut(DmaRun) -> ControlFlow<B>,
{
    let raw = &*run;
    (*(opaque as *mut Walk<F, B>)).step(DmaRun {
        range: raw.range,
        iova: raw.iova,
        nr_mappings: raw.nr_mappings,
        attachment: raw.attachment as usize,
    })
}

fn each_fn<F, B>(_: &Walk<F, B>) -> sys::vmem_dma_run_fn
where
    F: FnMut(DmaRun) -> ControlFlow<B>,
{
    Some(each::<F, B>)
}

/// Another descriptor of the same open file, which nobody else closes.
pub(crate) fn own(fd: BorrowedFd<'_>) -> Result<OwnedFd> {
    fd.try_clone_to_owned().map_err(|why| Error::from_os(&why, "descriptor"))
}

pub(crate) struct DmaInner {
    pub(crate) vm: Arc<VmInner>,
    pub(crate) raw: Raw<sys::vmem_dma>,
    fd: Option<OwnedFd>,
}

impl Drop for DmaInner {
    fn drop(&mut self) {
        let (raw, fd) = (self.raw, self.fd.take());
        self.vm.release(Box::new(move || {
            // The kernel's side is closed after the mapper.
            let _ = &fd;
            // SAFETY: attachments keep it alive, so nobody uses it.
            unsafe { sys::vmem_dma_free(raw.get(), std::ptr::null_mut()) }
        }));
    }
}

/// An IOMMU address space. A clone is the same mapper.
#[derive(Clone)]
pub struct Dma(pub(crate) Arc<DmaInner>);

impl Dma {
    fn of(vm: &Vm, made: *mut sys::vmem_dma, fd: Option<OwnedFd>) -> Self {
        Self(Arc::new(DmaInner { vm: vm.0.clone(), raw: Raw::new(made), fd }))
    }

    /// A mapper whose backend is called.
    pub fn custom(
        vm: &Vm,
        config: &DmaConfig,
        properties: &DmaProperties,
        backend: impl DmaBackend + 'static,
    ) -> Result<Self> {
        let properties = properties.raw();
        config.with(|config| {
            let (ops, opaque) = dma_backend::calls(Box::new(backend), &vm.0.panics);
            let mut out = std::ptr::null_mut();
            // SAFETY: the state is the library's now: it calls one at a time, and
            // destroy() exactly once and last, also if this fails.
            check(|err| unsafe {
                let vm = vm.as_raw();
                sys::vmem_dma_new_custom(vm, config, &properties, &ops, opaque, &mut out, err)
            })?;
            Ok(Self::of(vm, out, None))
        })
    }

    /// A mapper of a VFIO container with a group and its IOMMU set.
    pub fn type1(vm: &Vm, config: &DmaConfig, container: BorrowedFd<'_>) -> Result<Self> {
        let fd = own(container)?;
        config.with(|config| {
            let mut out = std::ptr::null_mut();
            // SAFETY: the descriptor is closed after the mapper.
            check(|err| unsafe {
                sys::vmem_dma_new_type1(vm.as_raw(), config, fd.as_raw_fd(), &mut out, err)
            })?;
            Ok(Self::of(vm, out, Some(fd)))
        })
    }

    /// A mapper of an I/O address space of iommufd.
    pub fn iommufd(
        vm: &Vm,
        config: &DmaConfig,
        iommufd: BorrowedFd<'_>,
        ioas_id: u32,
    ) -> Result<Self> {
        let fd = own(iommufd)?;
        config.with(|config| {
            let (raw, mut out) = (fd.as_raw_fd(), std::ptr::null_mut());
            // SAFETY: as above.
            check(|err| unsafe {
                sys::vmem_dma_new_iommufd(vm.as_raw(), config, raw, ioas_id, &mut out, err)
            })?;
            Ok(Self::of(vm, out, Some(fd)))
        })
    }

    /// Its machine.
    pub fn vm(&self) -> Vm {
        Vm(self.0.vm.clone())
    }

    fn raw_info(&self) -> Result<sys::vmem_dma_info> {
        let mut info = sys::vmem_dma_info::default();
        // SAFETY: the handle keeps the mapper alive; so below.
        let ret = unsafe { sys::vmem_dma_get_info(self.as_raw(), &mut info) };
        plain(ret, "a mapper").map(|_| info)
    }

    /// Its name.
    pub fn name(&self) -> &str {
        // SAFETY: valid as long as the mapper is.
        self.raw_info().map_or("", |info| unsafe { text(info.name) })
    }

    /// What it is.
    pub fn info(&self) -> Result<DmaInfo> {
        let info = self.raw_info()?;
        Ok(DmaInfo {
            kind: match info.kind {
                sys::VMEM_DMA_TYPE1 => DmaKind::Type1,
                sys::VMEM_DMA_IOMMUFD => DmaKind::Iommufd,
                _ => DmaKind::Custom,
            },
            page_sizes: info.page_sizes,
            max_size: limit(info.max_size),
            max_mappings: limit(info.max_mappings),
            reserved_mappings: info.reserved_mappings,
            max_pinned_size: limit(info.max_pinned_size),
            max_guest_mappings: info.max_guest_mappings,
            exact_unmap: info.properties & sys::VMEM_DMA_EXACT_UNMAP != 0,
            needs_fd: info.properties & sys::VMEM_DMA_NEEDS_FD != 0,
            no_parts: info.properties & sys::VMEM_DMA_NO_PARTS != 0,
            nr_attachments: info.nr_attachments,
        })
    }

    /// Counters.
    pub fn stats(&self) -> Result<DmaStats> {
        let mut stats = DmaStats::default();
        let ret = unsafe { sys::vmem_dma_get_stats(self.as_raw(), &mut stats) };
        plain(ret, "counters of a mapper").map(|_| stats)
    }

    /// Try again to unmap what is stuck.
    pub fn retry_unmaps(&self) -> Result<()> {
        check(|err| unsafe { sys::vmem_dma_retry_unmaps(self.as_raw(), err) })?;
        // What a failed attach has left may have kept a region.
        self.0.vm.retry();
        Ok(())
    }

    /// Visit what is mapped, of one attachment (None: of all), one call for each run.
    /// Nothing changes meanwhile.
    pub fn for_each_mapped<B>(
        &self,
        attachment: Option<&Attachment>,
        step: impl FnMut(DmaRun) -> ControlFlow<B>,
    ) -> Result<ControlFlow<B>> {
        let attachment: *const sys::vmem_dma_attachment =
            attachment.map_or(std::ptr::null(), |attachment| attachment.as_raw());
        let mut walk = Walk::new(step);
        let each = each_fn(&walk);
        // SAFETY: the walk lives until the call returns.
        let ret = unsafe {
            sys::vmem_dma_for_each_mapped(self.as_raw(), attachment, each, walk.opaque())
        };
        let end = walk.finish();
        plain(ret, "walk over mappings").map(|_| end)
    }

    /// The guest unmaps a range of IOVAs. Says also on failure how many bytes were
    /// unmapped.
    pub fn viommu_unmap(&self, iova: u64, size: u64) -> (u64, Result<()>) {
        let mut unmapped = 0;
        let ret = check(|err| unsafe {
            sys::vmem_dma_viommu_unmap(self.as_raw(), iova, size, &mut unmapped, err)
        });
        (unmapped, ret.map(drop))
    }

    /// Bring this late address space to where an earlier one of the same guest is.
    pub fn viommu_replay(&self, from: &Dma) -> Result<()> {
        check(|err| unsafe { sys::vmem_dma_viommu_replay(self.as_raw(), from.as_raw(), err) })
            .map(drop)
    }

    /// For calls of `vmem_sys`; valid as long as this handle.
    pub fn as_raw(&self) -> *mut sys::vmem_dma {
        self.0.raw.get()
    }
}
