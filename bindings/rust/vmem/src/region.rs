// SPDX-License-Identifier: BSD-3-Clause
//! Which parts of a range of guest memory are populated?
use std::ops::ControlFlow;
use std::os::raw::{c_int, c_void};
use std::sync::Arc;

use vmem_sys as sys;

use crate::backing::{Backing, BackingInner};
use crate::error::{check, name, plain, room, text, Result};
use crate::freeze::Freeze;
use crate::listener::{Listener, ListenerConfig, ListenerHandle};
use crate::park::Raw;
use crate::source::{Source, SourceConfig};
use crate::vm::{Vm, VmInner};
use crate::walk::{range_fn, Walk};
use crate::Range;

/// State and counters of a region, as in `struct vmem_region_info`.
#[derive(Clone, Copy, Debug)]
#[allow(missing_docs)]
pub struct RegionInfo {
    pub size: u64,
    pub min_granularity: u64,
    pub populated_size: u64,
    pub retained_size: u64,
    pub nr_sources: u64,
    pub nr_listeners: u64,
    pub nr_freezers: u64,
    pub nr_populate_calls: u64,
    pub nr_discard_calls: u64,
    pub nr_vetoes: u64,
    pub nr_rollbacks: u64,
}

impl RegionInfo {
    pub(crate) fn new(info: &sys::vmem_region_info) -> Self {
        Self {
            size: info.size,
            min_granularity: info.min_granularity,
            populated_size: info.populated_size,
            retained_size: info.retained_size,
            nr_sources: info.nr_sources,
            nr_listeners: info.nr_listeners,
            nr_freezers: info.nr_freezers,
            nr_populate_calls: info.nr_populate_calls,
            nr_discard_calls: info.nr_discard_calls,
            nr_vetoes: info.nr_vetoes,
            nr_rollbacks: info.nr_rollbacks,
        }
    }
}

/// # Safety
/// The region is alive.
pub(crate) unsafe fn raw_info(region: *mut sys::vmem_region) -> Result<sys::vmem_region_info> {
    let mut info = sys::vmem_region_info::default();
    plain(sys::vmem_region_get_info(region, &mut info), "state of a region").map(|_| info)
}

pub(crate) struct RegionInner {
    pub(crate) vm: Arc<VmInner>,
    pub(crate) raw: Raw<sys::vmem_region>,
    backing: Option<Arc<BackingInner>>,
}

impl Drop for RegionInner {
    fn drop(&mut self) {
        let (raw, backing) = (self.raw, self.backing.take());
        self.vm.release(Box::new(move || {
            // The memory goes after the region.
            let _ = &backing;
            // SAFETY: sources, devices, listeners and freezers keep it alive.
            unsafe { sys::vmem_region_free(raw.get(), std::ptr::null_mut()) }
        }));
    }
}

/// A contiguous range of guest memory. A clone is the same region.
#[derive(Clone)]
pub struct Region(pub(crate) Arc<RegionInner>);

impl Region {
    /// The region of all of a backing, fully populated.
    pub fn new(vm: &Vm, called: &str, backing: &Backing) -> Result<Self> {
        Self::make(vm, called, 0, Some(backing))
    }

    /// A region without memory: bookkeeping only.
    pub fn without_memory(vm: &Vm, called: &str, size: u64) -> Result<Self> {
        Self::make(vm, called, size, None)
    }

    fn make(vm: &Vm, called: &str, size: u64, backing: Option<&Backing>) -> Result<Self> {
        let named = name(called)?;
        let config = sys::vmem_region_config {
            name: named.as_ptr(),
            size,
            backing: backing.map_or(std::ptr::null_mut(), Backing::as_raw),
            ..Default::default()
        };
        let mut out = std::ptr::null_mut();
        // SAFETY: the library copies what it is given, and checks that the backing
        // is of this machine; the handle keeps it alive.
        check(|err| unsafe { sys::vmem_region_new(vm.as_raw(), &config, &mut out, err) })?;
        Ok(Self(Arc::new(RegionInner {
            vm: vm.0.clone(),
            raw: Raw::new(out),
            backing: backing.map(|backing| backing.0.clone()),
        })))
    }

    /// Its machine.
    pub fn vm(&self) -> Vm {
        Vm(self.0.vm.clone())
    }

    /// Its memory.
    pub fn backing(&self) -> Option<Backing> {
        self.0.backing.clone().map(Backing)
    }

    /// Its name.
    pub fn name(&self) -> &str {
        // SAFETY: valid as long as the region is.
        unsafe { text(sys::vmem_region_get_name(self.as_raw())) }
    }

    /// Bytes.
    pub fn size(&self) -> u64 {
        // SAFETY: the handle keeps the region alive; so below.
        unsafe { sys::vmem_region_get_size(self.as_raw()) }
    }

    /// State and counters.
    pub fn info(&self) -> Result<RegionInfo> {
        unsafe { raw_info(self.as_raw()) }.map(|info| RegionInfo::new(&info))
    }

    /// Is every byte of a range populated? Out of date when it arrives; see
    /// [`Region::with_populated`].
    pub fn is_populated(&self, range: Range) -> bool {
        unsafe { sys::vmem_region_is_populated(self.as_raw(), &range) }
    }

    /// Visit the populated runs of a window (None: all), ascending. Nothing changes
    /// meanwhile.
    pub fn for_each_populated<B>(
        &self,
        window: Option<Range>,
        step: impl FnMut(Range) -> ControlFlow<B>,
    ) -> Result<ControlFlow<B>> {
        self.walk(window, step, sys::vmem_region_for_each_populated)
    }

    /// Visit the discarded runs of a window (None: all), ascending.
    pub fn for_each_discarded<B>(
        &self,
        window: Option<Range>,
        step: impl FnMut(Range) -> ControlFlow<B>,
    ) -> Result<ControlFlow<B>> {
        self.walk(window, step, sys::vmem_region_for_each_discarded)
    }

    fn walk<B>(
        &self,
        window: Option<Range>,
        step: impl FnMut(Range) -> ControlFlow<B>,
        call: unsafe extern "C" fn(
            *mut sys::vmem_region,
            *const Range,
            sys::vmem_range_fn,
            *mut c_void,
        ) -> c_int,
    ) -> Result<ControlFlow<B>> {
        let window = window.as_ref().map_or(std::ptr::null(), |window| window);
        let mut walk = Walk::new(step);
        let each = range_fn(&walk);
        // SAFETY: the walk lives until the call returns.
        let ret = unsafe { call(self.as_raw(), window, each, walk.opaque()) };
        let end = walk.finish();
        plain(ret, "walk over a region").map(|_| end)
    }

    /// Run a function only if, and while, a range is populated.
    pub fn with_populated<T>(&self, range: Range, run: impl FnOnce() -> T) -> Result<T> {
        let mut run = Some(run);
        let mut walk = Walk::new(|_: Range| match run.take() {
            Some(run) => ControlFlow::Break(run()),
            None => ControlFlow::Continue(()),
        });
        let each = range_fn(&walk);
        let opaque = walk.opaque();
        // SAFETY: as for a walk.
        let ret = check(|err| unsafe {
            sys::vmem_region_with_populated(self.as_raw(), &range, each, opaque, err)
        });
        match walk.finish() {
            ControlFlow::Break(value) => Ok(value),
            ControlFlow::Continue(()) => match ret {
                Err(error) => Err(error),
                Ok(_) => unreachable!("it succeeds only if it has called"),
            },
        }
    }

    /// One bit for each page of a window (None: all): is all of it populated?
    pub fn page_bitmap(&self, window: Option<Range>, page_size: u64) -> Result<Vec<u64>> {
        self.expand("page bitmap of a region", window, page_size, |window, words| {
            // SAFETY: there is room for every page that the region can have in it.
            unsafe { sys::vmem_region_get_page_bitmap(self.as_raw(), window, page_size, words) }
        })
    }

    pub(crate) fn expand(
        &self,
        what: &str,
        window: Option<Range>,
        page_size: u64,
        write: impl FnOnce(*const Range, *mut u64) -> c_int,
    ) -> Result<Vec<u64>> {
        let size = window.map_or_else(|| self.size(), |window| window.size);
        // A window that leaves the region is refused before anything is written;
        // room for it is not made.
        let size = size.min(self.size());
        let nr_pages = size.checked_div(page_size).unwrap_or(0);
        let mut words = room(nr_pages)?;
        let window = window.as_ref().map_or(std::ptr::null(), |window| window);
        plain(write(window, words.as_mut_ptr()), what).map(|_| words)
    }

    /// Try again to give back retained memory.
    pub fn retry_discards(&self) -> Result<()> {
        check(|err| unsafe { sys::vmem_region_retry_discards(self.as_raw(), err) }).map(drop)
    }

    /// Hold it still until the guard is dropped. Waits for a running change.
    pub fn freeze(&self, owner: &str) -> Result<Freeze> {
        Freeze::new(self, owner)
    }

    /// Has somebody frozen it?
    pub fn is_frozen(&self) -> bool {
        unsafe { sys::vmem_region_is_frozen(self.as_raw()) }
    }

    /// Add a reason for parts to be discarded.
    pub fn add_source(&self, config: &SourceConfig) -> Result<Source> {
        Source::add(self, config)
    }

    /// Register a listener and replay what is populated.
    pub fn add_listener(
        &self,
        config: &ListenerConfig,
        listener: impl Listener + 'static,
    ) -> Result<ListenerHandle> {
        ListenerHandle::add(self, config, Box::new(listener))
    }

    /// For calls of `vmem_sys`; valid as long as this handle.
    pub fn as_raw(&self) -> *mut sys::vmem_region {
        self.0.raw.get()
    }
}
