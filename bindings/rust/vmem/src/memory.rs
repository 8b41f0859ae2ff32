// SPDX-License-Identifier: BSD-3-Clause
//! Memory that is entirely the host's, behind a trait.
use std::io;
use std::os::raw::{c_int, c_void};
use std::sync::Arc;

use vmem_sys as sys;

use crate::call::Panics;
use crate::error::{check, name, Result};
use crate::listener::Veto;
use crate::numbers::set;
use crate::vm::Vm;
use crate::Range;

/// Memory that the library reaches through calls only.
///
/// While no region uses the memory, calls may overlap on any threads, also about the
/// same range; `usage` always may. Of a region that uses it the others come one after
/// the other, and in them a change to any region of the machine is refused
/// (-EDEADLK). One that panics has failed.
pub trait Memory: Send + Sync {
    /// Give a range back; it must read as zero afterwards.
    fn discard(&self, range: Range) -> std::result::Result<(), Veto>;

    /// Allocate a range, before a guest gets it.
    fn populate(&self, range: Range) -> std::result::Result<(), Veto> {
        let _ = range;
        Ok(())
    }

    /// Write zeros over a range that could not be given back.
    fn zero(&self, range: Range) -> std::result::Result<(), Veto>;

    /// Bytes of a range that occupy host memory.
    fn usage(&self, range: Range) -> std::result::Result<u64, Veto>;
}

/// What custom memory is.
#[derive(Clone, Debug, Default)]
pub struct CustomConfig {
    /// Appears in diagnostics.
    pub name: String,
    /// Bytes; a multiple of the page size.
    pub size: u64,
    /// Smallest unit of a discard; 0: the kernel's base page.
    pub page_size: u64,
    /// Populate memory before a plug is acknowledged.
    pub populate: bool,
}

struct State {
    memory: Box<dyn Memory>,
    panics: Arc<Panics>,
}

impl State {
    fn ask(&self, run: impl FnOnce(&dyn Memory) -> std::result::Result<(), Veto>) -> c_int {
        self.panics.answer(|| run(&*self.memory).map_err(Veto::errno))
    }
}

unsafe extern "C" fn discard(range: *const Range, opaque: *mut c_void) -> c_int {
    (*(opaque as *const State)).ask(|memory| memory.discard(*range))
}

unsafe extern "C" fn populate(range: *const Range, opaque: *mut c_void) -> c_int {
    (*(opaque as *const State)).ask(|memory| memory.populate(*range))
}

unsafe extern "C" fn zero(range: *const Range, opaque: *mut c_void) -> c_int {
    (*(opaque as *const State)).ask(|memory| memory.zero(*range))
}

unsafe extern "C" fn usage(range: *const Range, resident: *mut u64, opaque: *mut c_void) -> c_int {
    (*(opaque as *const State)).ask(|memory| {
        *resident = memory.usage(*range)?;
        Ok(())
    })
}

unsafe extern "C" fn destroy(opaque: *mut c_void) {
    let state = Box::from_raw(opaque as *mut State);
    let panics = state.panics.clone();
    panics.guard(move || drop(state));
}

pub(crate) fn make(
    vm: &Vm,
    config: &CustomConfig,
    memory: Box<dyn Memory>,
) -> Result<*mut sys::vmem_backing> {
    let named = name(&config.name)?;
    let custom = sys::vmem_backing_custom {
        name: named.as_ptr(),
        size: config.size,
        page_size: config.page_size,
        flags: set(&[(config.populate, sys::VMEM_BACKING_POPULATE)]),
        ..Default::default()
    };
    let ops = sys::vmem_backing_ops {
        discard: Some(discard),
        populate: Some(populate),
        zero: Some(zero),
        usage: Some(usage),
        destroy: Some(destroy),
        ..Default::default()
    };
    let state = Box::new(State { memory, panics: vm.0.panics.clone() });
    let opaque = Box::into_raw(state) as *mut c_void;
    let mut out = std::ptr::null_mut();
    // SAFETY: the state is the library's now, which calls destroy() exactly once,
    // also if this fails.
    check(|err| unsafe {
        sys::vmem_backing_new_custom(vm.as_raw(), &custom, &ops, opaque, &mut out, err)
    })?;
    Ok(out)
}

impl From<io::Error> for Veto {
    fn from(error: io::Error) -> Self {
        Self::from_errno(error.raw_os_error().unwrap_or(0))
    }
}
