// SPDX-License-Identifier: BSD-3-Clause
//! Objects whose owner is gone but which the library did not let go yet.
use std::os::raw::c_int;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard};

/// Frees one object, and owns all that it stands on. Called until it succeeds.
pub(crate) type Free = Box<dyn FnMut() -> c_int + Send>;

/// A pointer of the library, whose functions may be called from any thread.
pub(crate) struct Raw<T>(NonNull<T>);

// SAFETY: the library locks for itself; what it does not lock (freeing, bitmaps)
// the wrappers call only with the object for themselves.
unsafe impl<T> Send for Raw<T> {}
unsafe impl<T> Sync for Raw<T> {}

impl<T> Clone for Raw<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Raw<T> {}

impl<T> Raw<T> {
    /// What a call that succeeded has made.
    pub(crate) fn new(made: *mut T) -> Self {
        Self(NonNull::new(made).expect("libvmem succeeded without a result"))
    }

    pub(crate) fn get(self) -> *mut T {
        self.0.as_ptr()
    }
}

#[derive(Default)]
pub(crate) struct Lot {
    waiting: Mutex<Vec<Free>>,
    nr: AtomicUsize,
}

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}

impl Lot {
    pub(crate) fn nr(&self) -> usize {
        self.nr.load(Ordering::Relaxed)
    }

    /// Free it now, and what waited for it, or let it wait.
    pub(crate) fn release(&self, mut free: Free) {
        if free() < 0 {
            self.nr.fetch_add(1, Ordering::Relaxed);
            lock(&self.waiting).push(free);
        } else {
            drop(free);
            self.retry();
        }
    }

    /// Try all, until a round frees nothing more.
    pub(crate) fn retry(&self) {
        loop {
            // Not under the lock: what is freed may drop handles, which come here.
            let mut waiting = std::mem::take(&mut *lock(&self.waiting));
            let before = waiting.len();
            let mut stays = Vec::new();
            for mut free in waiting.drain(..) {
                if free() < 0 {
                    stays.push(free);
                } else {
                    self.nr.fetch_sub(1, Ordering::Relaxed);
                }
            }
            let nr_stays = stays.len();
            lock(&self.waiting).append(&mut stays);
            if nr_stays == 0 || nr_stays == before {
                return;
            }
        }
    }
}
