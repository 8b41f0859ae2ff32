// SPDX-License-Identifier: BSD-3-Clause
//! What a device tells its host, as a trait object.
use std::os::raw::c_void;
use std::sync::Arc;

use vmem_sys as sys;

use crate::call::{notify, Notified, Panics};
use crate::resize::ResizeStatus;
use crate::trace::TraceEvent;

/// Notifications, after all locks are dropped: any call is legal in them, freeing
/// the device included. They may overlap, on any threads; freeing a device waits for
/// those of it that run on other threads, so two must not free each other's.
pub trait Notify: Send + Sync {
    /// The config space changed, or a kick: raise a config interrupt.
    fn config_changed(&self) {}
    /// The plugged size changed; more changes may have followed meanwhile.
    fn size_changed(&self, plugged_size: u64) {
        let _ = plugged_size;
    }
    /// The state or stall reason of a resize changed.
    fn resize_changed(&self, status: &ResizeStatus) {
        let _ = status;
    }
    /// Something to record.
    fn trace(&self, event: &TraceEvent) {
        let _ = event;
    }
}

/// Nobody who listens.
impl Notify for () {}

/// What a device calls, shared with the calls that run.
pub(crate) struct Calls {
    notify: Box<dyn Notify>,
    panics: Arc<Panics>,
}

impl Notified for Calls {
    fn panics(&self) -> &Arc<Panics> {
        &self.panics
    }
}

unsafe extern "C" fn config_changed(opaque: *mut c_void) {
    notify::<Calls>(opaque, |to| to.notify.config_changed());
}

unsafe extern "C" fn size_changed(plugged_size: u64, opaque: *mut c_void) {
    notify::<Calls>(opaque, |to| to.notify.size_changed(plugged_size));
}

unsafe extern "C" fn resize_changed(status: *const sys::vmem_resize_status, opaque: *mut c_void) {
    notify::<Calls>(opaque, |to| to.notify.resize_changed(&ResizeStatus::new(&*status)));
}

unsafe extern "C" fn trace(event: *const sys::vmem_trace_event, opaque: *mut c_void) {
    notify::<Calls>(opaque, |to| to.notify.trace(&TraceEvent::new(&*event)));
}

/// The callbacks, and what their opaque points at.
pub(crate) fn calls(
    notify: Box<dyn Notify>,
    panics: &Arc<Panics>,
) -> (sys::vmem_device_ops, Arc<Calls>) {
    let ops = sys::vmem_device_ops {
        config_changed: Some(config_changed),
        size_changed: Some(size_changed),
        resize_changed: Some(resize_changed),
        trace: Some(trace),
        ..Default::default()
    };
    (ops, Arc::new(Calls { notify, panics: panics.clone() }))
}
