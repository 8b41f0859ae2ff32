// SPDX-License-Identifier: BSD-3-Clause
//! The way from C into Rust: whatever panics stays here.
use std::any::Any;
use std::os::raw::{c_int, c_void};
use std::panic::{catch_unwind, AssertUnwindSafe};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use crate::park::lock;

/// The errno (ECANCELED) with which a callback that panicked says no.
pub const PANICKED: i32 = 125;

/// Panics that were caught, of one machine.
#[derive(Default)]
pub(crate) struct Panics {
    nr: AtomicU64,
    last: Mutex<Option<String>>,
}

impl Panics {
    pub(crate) fn nr(&self) -> u64 {
        self.nr.load(Ordering::Relaxed)
    }

    pub(crate) fn take(&self) -> Option<String> {
        lock(&self.last).take()
    }

    fn note(&self, payload: &(dyn Any + Send)) {
        let words = payload
            .downcast_ref::<&str>()
            .map(|text| (*text).to_owned())
            .or_else(|| payload.downcast_ref::<String>().cloned())
            .unwrap_or_else(|| "a panic without words".into());
        self.nr.fetch_add(1, Ordering::Relaxed);
        *lock(&self.last) = Some(words);
    }

    /// Run code of the host; None if it panicked.
    pub(crate) fn guard<T>(&self, run: impl FnOnce() -> T) -> Option<T> {
        match catch_unwind(AssertUnwindSafe(run)) {
            Ok(value) => Some(value),
            Err(payload) => {
                self.note(&*payload);
                // The payload's own drop may panic too. What that leaves is forgotten.
                if let Err(again) = catch_unwind(AssertUnwindSafe(|| drop(payload))) {
                    std::mem::forget(again);
                }
                None
            }
        }
    }

    /// The same for what answers 0 or an errno.
    pub(crate) fn answer(&self, run: impl FnOnce() -> std::result::Result<(), i32>) -> c_int {
        match self.guard(run) {
            Some(Ok(())) => 0,
            Some(Err(errno)) => -errno,
            None => -PANICKED,
        }
    }
}

/// What a notification may drop the owner of, while it runs.
pub(crate) trait Notified {
    /// Those of its machine.
    fn panics(&self) -> &Arc<Panics>;
}

/// Run a notification, whose opaque is what `Arc::as_ptr` gave.
///
/// # Safety
/// `opaque` is of an `Arc<T>` that is still alive.
pub(crate) unsafe fn notify<T: Notified>(opaque: *mut c_void, run: impl FnOnce(&T)) {
    let raw = opaque as *const T;
    Arc::increment_strong_count(raw);
    let calls = Arc::from_raw(raw);
    let panics = calls.panics().clone();
    panics.guard(|| run(&calls));
    // If it was the last owner, the host's code is dropped here. Not while another
    // panic unwinds: a second one would end the process.
    panics.guard(move || drop(calls));
}
