// SPDX-License-Identifier: BSD-3-Clause
//! One virtual machine: the root of everything.
use std::os::raw::c_void;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::Arc;

use vmem_sys as sys;

use crate::call::Panics;
use crate::error::{check, name, text, Result};
use crate::log::LogRecord;
use crate::park::{Free, Lot, Raw};

type Sink = Box<dyn Fn(&LogRecord<'_>) + Send + Sync>;
type Clock = Box<dyn Fn() -> u64 + Send + Sync>;

/// What a virtual machine is made of.
#[derive(Default)]
pub struct VmConfig {
    name: String,
    log: Option<Sink>,
    clock_ns: Option<Clock>,
}

impl VmConfig {
    /// A machine of that name, which logs to standard error.
    pub fn new(name: &str) -> Self {
        Self { name: name.into(), ..Self::default() }
    }

    /// Log there. Called by several threads at once.
    pub fn log(mut self, sink: impl Fn(&LogRecord<'_>) + Send + Sync + 'static) -> Self {
        self.log = Some(Box::new(sink));
        self
    }

    /// Nanoseconds from any start. Must not use the machine: locks are held.
    pub fn clock_ns(mut self, clock: impl Fn() -> u64 + Send + Sync + 'static) -> Self {
        self.clock_ns = Some(Box::new(clock));
        self
    }

    /// Make it.
    pub fn build(self) -> Result<Vm> {
        let named = name(&self.name)?;
        // Shared with those that the library makes: a box must not move while they
        // have its address.
        let calls = Arc::new(Calls {
            log: self.log,
            clock_ns: self.clock_ns,
            last_ns: AtomicU64::new(0),
            panics: Arc::default(),
        });
        let mut config = sys::vmem_vm_config { name: named.as_ptr(), ..Default::default() };
        config.log = calls.log.as_ref().map(|_| log as _);
        config.clock_ns = calls.clock_ns.as_ref().map(|_| clock as _);
        config.opaque = Arc::as_ptr(&calls) as *mut c_void;
        let mut out = std::ptr::null_mut();
        // SAFETY: the calls live until the machine is freed.
        check(|err| unsafe { sys::vmem_vm_new(&config, &mut out, err) })?;
        let panics = calls.panics.clone();
        Ok(Vm(Arc::new(VmInner {
            raw: Raw::new(out),
            calls: Some(calls),
            lot: Lot::new(panics.clone()),
            panics,
        })))
    }
}

struct Calls {
    log: Option<Sink>,
    clock_ns: Option<Clock>,
    last_ns: AtomicU64,
    panics: Arc<Panics>,
}

unsafe extern "C" fn log(record: *const sys::vmem_log_record, opaque: *mut c_void) {
    let calls = &*(opaque as *const Calls);
    calls.panics.guard(|| {
        if let Some(sink) = &calls.log {
            sink(&LogRecord::new(&*record));
        }
    });
}

unsafe extern "C" fn clock(opaque: *mut c_void) -> u64 {
    let calls = &*(opaque as *const Calls);
    let now = calls.panics.guard(|| calls.clock_ns.as_ref().map_or(0, |clock| clock()));
    // Time never goes back, and stands still when the clock is broken.
    let now = now.unwrap_or(0);
    calls.last_ns.fetch_max(now, Ordering::Relaxed).max(now)
}

pub(crate) struct VmInner {
    pub(crate) raw: Raw<sys::vmem_vm>,
    calls: Option<Arc<Calls>>,
    pub(crate) panics: Arc<Panics>,
    lot: Lot,
}

impl VmInner {
    pub(crate) fn release(&self, free: Free) {
        self.lot.release(free);
    }

    pub(crate) fn retry(&self) {
        self.lot.retry();
    }
}

impl Drop for VmInner {
    fn drop(&mut self) {
        self.lot.retry();
        // SAFETY: every handle of the machine keeps it alive, so this is the last.
        let ret = unsafe { sys::vmem_vm_free(self.raw.get(), std::ptr::null_mut()) };
        let calls = self.calls.take();
        if ret < 0 {
            // Only inside a callback of its own. Then it stays for good, and what
            // it calls with it.
            std::mem::forget(calls);
        } else if let Some(Calls { log, clock_ns, .. }) =
            calls.and_then(|calls| Arc::try_unwrap(calls).ok())
        {
            // Their drop is the host's code. One at a time: a panic while another
            // one unwinds ends the process.
            self.panics.guard(move || drop(log));
            self.panics.guard(move || drop(clock_ns));
        }
    }
}

/// One virtual machine. A clone is the same machine.
#[derive(Clone)]
pub struct Vm(pub(crate) Arc<VmInner>);

impl Vm {
    /// A machine of that name, which logs to standard error.
    pub fn new(name: &str) -> Result<Self> {
        VmConfig::new(name).build()
    }

    /// Its name.
    pub fn name(&self) -> &str {
        // SAFETY: valid as long as the machine is.
        unsafe { text(sys::vmem_vm_get_name(self.as_raw())) }
    }

    /// Objects whose handles are gone, but which could not be freed yet.
    pub fn nr_parked(&self) -> usize {
        self.0.lot.nr()
    }

    /// Try to free them now. Returns how many stay.
    pub fn retry_parked(&self) -> usize {
        self.0.lot.retry();
        self.nr_parked()
    }

    /// Panics caught in callbacks so far.
    pub fn nr_panics(&self) -> u64 {
        self.0.panics.nr()
    }

    /// What the last of them said, once.
    pub fn take_panic(&self) -> Option<String> {
        self.0.panics.take()
    }

    /// For calls of `vmem_sys`; valid as long as this handle.
    pub fn as_raw(&self) -> *mut sys::vmem_vm {
        self.0.raw.get()
    }
}
