// SPDX-License-Identifier: BSD-3-Clause
//! Objects whose owner is gone but which the library did not let go yet.
use std::os::raw::c_int;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use crate::call::Panics;

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

/// Where objects of one machine wait.
pub(crate) struct Lot {
    waiting: Mutex<Vec<Free>>,
    nr: AtomicUsize,
    // Whatever was freed may have stood in the way of what waits.
    nr_freed: AtomicUsize,
    panics: Arc<Panics>,
}

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}

impl Lot {
    pub(crate) fn new(panics: Arc<Panics>) -> Self {
        Self {
            waiting: Mutex::default(),
            nr: AtomicUsize::new(0),
            nr_freed: AtomicUsize::new(0),
            panics,
        }
    }

    pub(crate) fn nr(&self) -> usize {
        self.nr.load(Ordering::Relaxed)
    }

    /// Free it now, and what waited for it, or let it wait.
    pub(crate) fn release(&self, mut free: Free) {
        let seen = self.nr_freed.load(Ordering::SeqCst);
        if free() < 0 {
            self.nr.fetch_add(1, Ordering::Relaxed);
            lock(&self.waiting).push(free);
            // What stood in the way may have gone before this was in the list.
            if self.nr_freed.load(Ordering::SeqCst) == seen {
                return;
            }
        } else {
            self.finish(free);
        }
        self.retry();
    }

    /// Try all, until a round in which nobody freed anything.
    pub(crate) fn retry(&self) {
        loop {
            let seen = self.nr_freed.load(Ordering::SeqCst);
            // Not under the lock: what is freed may drop handles, which come here.
            let waiting = std::mem::take(&mut *lock(&self.waiting));
            let mut stays = Vec::new();
            for mut free in waiting {
                if free() < 0 {
                    stays.push(free);
                } else {
                    self.nr.fetch_sub(1, Ordering::Relaxed);
                    self.finish(free);
                }
            }
            lock(&self.waiting).append(&mut stays);
            if self.nr_freed.load(Ordering::SeqCst) == seen {
                return;
            }
        }
    }

    /// Drop what a freed object stood on. Callbacks of the host are among it, whose
    /// own drop may panic: it must not take along what still waits, because the
    /// library would go on calling what that owns.
    fn finish(&self, free: Free) {
        self.nr_freed.fetch_add(1, Ordering::SeqCst);
        self.panics.guard(move || drop(free));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicBool;

    fn lot() -> Arc<Lot> {
        Arc::new(Lot::new(Arc::default()))
    }

    /// Frees once the obstacle is gone, which goes on another thread while the first
    /// try is being refused: too late for that try, and too early to find this
    /// waiting.
    fn overtaken(lot: &Arc<Lot>) -> Free {
        let gone = Arc::new(AtomicBool::new(false));
        let lot = lot.clone();
        Box::new(move || {
            if gone.load(Ordering::SeqCst) {
                return 0;
            }
            let (others, obstacle) = (lot.clone(), gone.clone());
            let goes = move || {
                obstacle.store(true, Ordering::SeqCst);
                0
            };
            std::thread::spawn(move || others.release(Box::new(goes))).join().unwrap();
            -16
        })
    }

    #[test]
    fn an_obstacle_may_go_while_an_object_is_parked() {
        let lot = lot();
        lot.release(overtaken(&lot));
        assert_eq!(lot.nr(), 0);
    }

    #[test]
    fn an_obstacle_may_go_while_others_are_tried() {
        let lot = lot();
        let late = Arc::new(Mutex::new(None));
        let tries = late.clone();
        lot.release(Box::new(move || lock(&tries).as_mut().map_or(-16, |free: &mut Free| free())));
        lot.retry();
        assert_eq!(lot.nr(), 1);
        *lock(&late) = Some(overtaken(&lot));
        lot.retry();
        assert_eq!(lot.nr(), 0);
    }

    struct Loud;

    impl Drop for Loud {
        fn drop(&mut self) {
            panic!("loud");
        }
    }

    #[test]
    fn a_drop_that_panics_takes_nothing_along() {
        let lot = lot();
        let free = Arc::new(AtomicBool::new(false));
        for _ in 0..3 {
            let (loud, may) = (Loud, free.clone());
            lot.release(Box::new(move || {
                let _ = &loud;
                if may.load(Ordering::SeqCst) {
                    0
                } else {
                    -16
                }
            }));
        }
        assert_eq!((lot.nr(), lot.panics.nr()), (3, 0));
        free.store(true, Ordering::SeqCst);
        lot.retry();
        assert_eq!((lot.nr(), lot.panics.nr()), (0, 3));
        assert_eq!(lot.panics.take().as_deref(), Some("loud"));
    }
}
