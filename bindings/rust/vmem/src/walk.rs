// SPDX-License-Identifier: BSD-3-Clause
//! Closures that the library calls before the call that was given them returns.
use std::any::Any;
use std::ops::ControlFlow;
use std::os::raw::{c_int, c_void};
use std::panic::{catch_unwind, resume_unwind, AssertUnwindSafe};

use vmem_sys as sys;

/// What a walk that was stopped returns; errors are negative.
pub(crate) const STOPPED: c_int = 1;

/// A walk's closure, what it broke with, and its panic.
pub(crate) struct Walk<F, B> {
    step: F,
    broke: Option<B>,
    panic: Option<Box<dyn Any + Send>>,
}

impl<F, B> Walk<F, B> {
    pub(crate) fn new(step: F) -> Self {
        Self { step, broke: None, panic: None }
    }

    pub(crate) fn opaque(&mut self) -> *mut c_void {
        self as *mut Self as *mut c_void
    }

    pub(crate) fn step<T>(&mut self, value: T) -> c_int
    where
        F: FnMut(T) -> ControlFlow<B>,
    {
        match catch_unwind(AssertUnwindSafe(|| (self.step)(value))) {
            Ok(ControlFlow::Continue(())) => 0,
            Ok(ControlFlow::Break(value)) => {
                self.broke = Some(value);
                STOPPED
            }
            Err(payload) => {
                self.panic = Some(payload);
                STOPPED
            }
        }
    }

    /// After the call: go on panicking, or say whether the walk was stopped.
    pub(crate) fn finish(self) -> ControlFlow<B> {
        if let Some(payload) = self.panic {
            resume_unwind(payload);
        }
        match self.broke {
            Some(value) => ControlFlow::Break(value),
            None => ControlFlow::Continue(()),
        }
    }
}

/// A `vmem_range_fn` for a `Walk<F, B>`.
pub(crate) unsafe extern "C" fn range<F, B>(
    range: *const sys::vmem_range,
    opaque: *mut c_void,
) -> c_int
where
    F: FnMut(sys::vmem_range) -> ControlFlow<B>,
{
    (*(opaque as *mut Walk<F, B>)).step(*range)
}

/// The type of closure names the function.
pub(crate) fn range_fn<F, B>(_: &Walk<F, B>) -> sys::vmem_range_fn
where
    F: FnMut(sys::vmem_range) -> ControlFlow<B>,
{
    Some(range::<F, B>)
}
