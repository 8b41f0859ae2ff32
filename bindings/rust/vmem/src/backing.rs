// SPDX-License-Identifier: BSD-3-Clause
//! The host memory behind a region.
use std::ffi::CString;
use std::os::raw::c_void;
use std::sync::Arc;

use vmem_sys as sys;

use crate::error::{check, name, plain, text, Result};
use crate::memory::{self, CustomConfig, Memory};
use crate::numbers::{numbers, set};
use crate::park::Raw;
use crate::vm::{Vm, VmInner};
use crate::{BackingStats, Range};

/// Kinds of memory that the library makes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum BackingKind {
    Anon,
    AnonShared,
    Memfd,
    File,
    HugetlbAnon,
    HugetlbMemfd,
}

impl BackingKind {
    fn raw(self) -> u32 {
        match self {
            Self::Anon => sys::VMEM_BACKING_ANON,
            Self::AnonShared => sys::VMEM_BACKING_ANON_SHARED,
            Self::Memfd => sys::VMEM_BACKING_MEMFD,
            Self::File => sys::VMEM_BACKING_FILE,
            Self::HugetlbAnon => sys::VMEM_BACKING_HUGETLB_ANON,
            Self::HugetlbMemfd => sys::VMEM_BACKING_HUGETLB_MEMFD,
        }
    }

    /// The library's word for it.
    pub fn name(self) -> &'static str {
        // SAFETY: any number is allowed, and the text is static.
        unsafe { text(sys::vmem_backing_kind_name(self.raw())) }
    }
}

numbers! {
    /// How resident bytes were counted.
    UsageMethod in the words of sys::vmem_usage_method_name {
        Pagemap = VMEM_USAGE_PAGEMAP,
        Mincore = VMEM_USAGE_MINCORE,
        SeekData = VMEM_USAGE_SEEK_DATA,
        StBlocks = VMEM_USAGE_ST_BLOCKS,
        /// By [`Memory::usage`].
        Callback = VMEM_USAGE_CALLBACK,
    }
}

/// How much of a range occupies host memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BackingUsage {
    /// Bytes.
    pub resident: u64,
    /// How they were counted.
    pub method: UsageMethod,
}

/// Memory to be made.
#[derive(Clone, Debug)]
pub struct BackingConfig {
    /// Appears in diagnostics.
    pub name: String,
    /// What kind.
    pub kind: BackingKind,
    /// Bytes.
    pub size: u64,
    /// The file of [`BackingKind::File`].
    pub path: Option<String>,
    /// Where in the file it starts.
    pub fd_offset: u64,
    /// Page size in bytes; 0: the usual one.
    pub page_size: u64,
    /// Map a [`BackingKind::File`] shared. Memfds and shared kinds are, without it.
    pub shared: bool,
    /// Discard shared files with MADV_REMOVE, of which a userfaultfd monitor hears.
    pub prefer_remove: bool,
    /// Populate memory before a plug is acknowledged; None: huge pages only.
    pub populate: Option<bool>,
    /// Threads that populate a large range; 0: none besides the caller.
    pub populate_threads: u64,
}

impl BackingConfig {
    /// Memory of that kind and size, all else as usual.
    pub fn new(name: &str, kind: BackingKind, size: u64) -> Self {
        Self {
            name: name.into(),
            kind,
            size,
            path: None,
            fd_offset: 0,
            page_size: 0,
            shared: false,
            prefer_remove: false,
            populate: None,
            populate_threads: 0,
        }
    }
}

pub(crate) struct BackingInner {
    pub(crate) vm: Arc<VmInner>,
    pub(crate) raw: Raw<sys::vmem_backing>,
}

impl Drop for BackingInner {
    fn drop(&mut self) {
        let raw = self.raw;
        // SAFETY: the region that uses it keeps it alive, so nobody does.
        self.vm.release(Box::new(move || unsafe {
            sys::vmem_backing_free(raw.get(), std::ptr::null_mut())
        }));
    }
}

/// Host memory that can be given back. A clone is the same memory.
#[derive(Clone)]
pub struct Backing(pub(crate) Arc<BackingInner>);

impl Backing {
    fn of(vm: &Vm, made: *mut sys::vmem_backing) -> Self {
        Self(Arc::new(BackingInner { vm: vm.0.clone(), raw: Raw::new(made) }))
    }

    /// Make memory, mapped and with nothing allocated yet.
    pub fn allocate(vm: &Vm, config: &BackingConfig) -> Result<Self> {
        let named = name(&config.name)?;
        let path = config.path.as_deref().map(name).transpose()?;
        let raw = sys::vmem_backing_config {
            name: named.as_ptr(),
            path: path.as_ref().map_or(std::ptr::null(), |path: &CString| path.as_ptr()),
            size: config.size,
            fd_offset: config.fd_offset,
            page_size: config.page_size,
            flags: set(&[
                (config.shared, sys::VMEM_BACKING_SHARED),
                (config.prefer_remove, sys::VMEM_BACKING_PREFER_REMOVE),
                (config.populate == Some(true), sys::VMEM_BACKING_POPULATE),
                (config.populate == Some(false), sys::VMEM_BACKING_NO_POPULATE),
            ]),
            kind: config.kind.raw(),
            populate_threads: config.populate_threads,
            ..Default::default()
        };
        let mut out = std::ptr::null_mut();
        // SAFETY: all that it points at lives until the call returns.
        check(|err| unsafe { sys::vmem_backing_new_allocated(vm.as_raw(), &raw, &mut out, err) })?;
        Ok(Self::of(vm, out))
    }

    /// Describe memory that the host has mapped.
    ///
    /// # Safety
    /// The mapping and its file stay as described until the last handle of this
    /// backing, of the region that uses it, and of whatever stands on that region is
    /// gone, and none of these is parked ([`Vm::nr_parked`]); and whoever accesses the
    /// memory expects its contents to vanish when it is discarded.
    pub unsafe fn describe(vm: &Vm, mapping: &sys::vmem_backing_mapping) -> Result<Self> {
        let mut out = std::ptr::null_mut();
        check(|err| sys::vmem_backing_new_mapped(vm.as_raw(), mapping, &mut out, err))?;
        Ok(Self::of(vm, out))
    }

    /// Memory that is reached through calls.
    pub fn custom(vm: &Vm, config: &CustomConfig, memory: impl Memory + 'static) -> Result<Self> {
        Ok(Self::of(vm, memory::make(vm, config, Box::new(memory))?))
    }

    fn info(&self) -> sys::vmem_backing_info {
        let mut info = sys::vmem_backing_info::default();
        // SAFETY: the library fills what struct_size says.
        let ret = unsafe { sys::vmem_backing_get_info(self.as_raw(), &mut info) };
        debug_assert_eq!(ret, 0);
        info
    }

    /// Where it is mapped; NULL for custom memory. Valid as long as a handle of it, of
    /// the region that uses it, or of what stands on that region; what is discarded
    /// reads as zero.
    pub fn hva(&self) -> *mut c_void {
        self.info().hva
    }

    /// Bytes.
    pub fn size(&self) -> u64 {
        self.info().size
    }

    /// Smallest unit of a discard, in bytes.
    pub fn page_size(&self) -> u64 {
        self.info().page_size
    }

    /// Block size of a device that does not ask for one.
    pub fn default_block_size(&self) -> u64 {
        self.info().default_block_size
    }

    /// Counters.
    pub fn stats(&self) -> Result<BackingStats> {
        let mut stats = BackingStats::default();
        // SAFETY: as above.
        let ret = unsafe { sys::vmem_backing_get_stats(self.as_raw(), &mut stats) };
        plain(ret, "counters of a backing").map(|_| stats)
    }

    /// Bytes of a range that occupy host memory.
    pub fn usage(&self, range: Range) -> Result<BackingUsage> {
        let mut usage = sys::vmem_backing_usage::default();
        // SAFETY: as above.
        check(|err| unsafe {
            sys::vmem_backing_get_usage(self.as_raw(), &range, &mut usage, err)
        })?;
        Ok(BackingUsage { resident: usage.resident, method: UsageMethod::from_raw(usage.method) })
    }

    /// Give a range back. Only while no region uses the memory.
    pub fn discard(&self, range: Range) -> Result<()> {
        // SAFETY: the handle keeps the backing alive; so below.
        check(|err| unsafe { sys::vmem_backing_discard(self.as_raw(), &range, err) }).map(drop)
    }

    /// Allocate a range. Only while no region uses the memory.
    pub fn populate(&self, range: Range) -> Result<()> {
        check(|err| unsafe { sys::vmem_backing_populate(self.as_raw(), &range, err) }).map(drop)
    }

    /// For calls of `vmem_sys`; valid as long as this handle.
    pub fn as_raw(&self) -> *mut sys::vmem_backing {
        self.0.raw.get()
    }
}
