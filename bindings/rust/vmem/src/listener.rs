// SPDX-License-Identifier: BSD-3-Clause
//! A party that must follow a region, as a trait object.
use std::os::raw::{c_int, c_void};
use std::sync::Arc;

use vmem_sys as sys;

use crate::call::{Panics, PANICKED};
use crate::error::{check, name, Refused, Result};
use crate::numbers::set;
use crate::park::Raw;
use crate::region::Region;
use crate::Range;

/// A no, with the errno that comes back to whoever asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Veto(i32);

impl Veto {
    /// Not now (EBUSY).
    pub const BUSY: Self = Self(16);
    /// No memory or room (ENOMEM).
    pub const NO_MEMORY: Self = Self(12);

    /// With this errno; EIO for what is none.
    pub fn from_errno(errno: i32) -> Self {
        Self(if (1..4096).contains(&errno) { errno } else { 5 })
    }

    /// The errno, positive.
    pub fn errno(self) -> i32 {
        self.0
    }
}

/// A party that must follow a region.
///
/// Calls come from whatever thread changes the region, one after the other. In them
/// queries and walks work; a change to any region of the machine is refused
/// (-EDEADLK). Ranges count from the start of the region.
pub trait Listener: Send {
    /// A range becomes populated, unless this vetoes.
    fn populate(&mut self, range: Range) -> std::result::Result<(), Veto>;

    /// A range is about to be discarded. When this returns nothing may use it.
    fn discard(&mut self, range: Range);

    /// Calls follow that belong together.
    fn begin(&mut self) {}

    /// They are over, unless this vetoes; after discards alone it does not matter.
    fn commit(&mut self) -> std::result::Result<(), Veto> {
        Ok(())
    }

    /// A change would discard a range: may it? Everybody is asked before anybody is
    /// told; one no, and nothing is discarded.
    fn may_discard(&mut self, _range: Range) -> std::result::Result<(), Veto> {
        Ok(())
    }
}

/// What a listener looks at.
#[derive(Clone, Debug, Default)]
pub struct ListenerConfig {
    /// Appears in every diagnostic.
    pub name: String,
    /// In the region; None: all of it.
    pub window: Option<Range>,
    /// Chunk size, a power of two; 0: whole runs.
    pub granularity: u64,
    /// One discard for each populate; needs a granularity.
    pub exact: bool,
}

struct State {
    listener: Box<dyn Listener>,
    panics: Arc<Panics>,
    // Nobody knows what a listener that panicked still does right.
    broken: bool,
}

impl State {
    fn ask(
        &mut self,
        run: impl FnOnce(&mut dyn Listener) -> std::result::Result<(), Veto>,
    ) -> c_int {
        if self.broken {
            return -PANICKED;
        }
        let listener = &mut *self.listener;
        let ret = self.panics.answer(|| run(listener).map_err(Veto::errno));
        self.broken = ret == -PANICKED;
        ret
    }

    fn tell(&mut self, run: impl FnOnce(&mut dyn Listener)) {
        let listener = &mut *self.listener;
        if self.panics.guard(|| run(listener)).is_none() {
            self.broken = true;
        }
    }
}

unsafe extern "C" fn populate(range: *const Range, opaque: *mut c_void) -> c_int {
    (*(opaque as *mut State)).ask(|listener| listener.populate(*range))
}

unsafe extern "C" fn discard(range: *const Range, opaque: *mut c_void) {
    (*(opaque as *mut State)).tell(|listener| listener.discard(*range));
}

unsafe extern "C" fn begin(opaque: *mut c_void) {
    (*(opaque as *mut State)).tell(|listener| listener.begin());
}

unsafe extern "C" fn commit(opaque: *mut c_void) -> c_int {
    (*(opaque as *mut State)).ask(|listener| listener.commit())
}

unsafe extern "C" fn may_discard(range: *const Range, opaque: *mut c_void) -> c_int {
    let state = &mut *(opaque as *mut State);
    // One that panicked is told discard all the same, and holds up nobody.
    if state.broken {
        return 0;
    }
    state.ask(|listener| listener.may_discard(*range))
}

unsafe extern "C" fn destroy(opaque: *mut c_void) {
    let state = Box::from_raw(opaque as *mut State);
    let panics = state.panics.clone();
    panics.guard(move || drop(state));
}

/// A registered listener. Dropping it removes the listener, which is told `discard`
/// of what it still has, and then dropped itself.
pub struct ListenerHandle {
    raw: Raw<sys::vmem_listener>,
    region: Region,
    removed: bool,
}

impl ListenerHandle {
    pub(crate) fn add(
        region: &Region,
        config: &ListenerConfig,
        listener: Box<dyn Listener>,
    ) -> Result<Self> {
        let named = name(&config.name)?;
        let raw = sys::vmem_listener_config {
            name: named.as_ptr(),
            window: config.window.unwrap_or_default(),
            granularity: config.granularity,
            flags: set(&[(config.exact, sys::VMEM_LISTENER_EXACT_DISCARD)]),
            ..Default::default()
        };
        let ops = sys::vmem_listener_ops {
            populate: Some(populate),
            discard: Some(discard),
            destroy: Some(destroy),
            begin: Some(begin),
            commit: Some(commit),
            may_discard: Some(may_discard),
            ..Default::default()
        };
        let state = State { listener, panics: region.0.vm.panics.clone(), broken: false };
        let opaque = Box::into_raw(Box::new(state)) as *mut c_void;
        let mut out = std::ptr::null_mut();
        // SAFETY: the state is the library's now: it calls one at a time, and
        // destroy() exactly once and last, also if this fails.
        check(|err| unsafe {
            sys::vmem_listener_add(region.as_raw(), &raw, &ops, opaque, &mut out, err)
        })?;
        Ok(Self { raw: Raw::new(out), region: region.clone(), removed: false })
    }

    /// Its region.
    pub fn region(&self) -> &Region {
        &self.region
    }

    /// Remove it, or get it back: refused inside a callback (-EDEADLK).
    pub fn remove(mut self) -> std::result::Result<(), Refused<Self>> {
        // SAFETY: the handle is the only one.
        match check(|err| unsafe { sys::vmem_listener_remove(self.raw.get(), err) }) {
            Ok(_) => {
                self.removed = true;
                Ok(())
            }
            Err(error) => Err(Refused { handle: self, error }),
        }
    }
}

impl Drop for ListenerHandle {
    fn drop(&mut self) {
        let (raw, region, removed) = (self.raw, self.region.clone(), self.removed);
        self.region.0.vm.release(Box::new(move || {
            let _ = &region;
            if removed {
                return 0;
            }
            // SAFETY: the handle was the only one.
            unsafe { sys::vmem_listener_remove(raw.get(), std::ptr::null_mut()) }
        }));
    }
}
