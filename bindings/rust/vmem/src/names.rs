// SPDX-License-Identifier: BSD-3-Clause
//! The library's words for its numbers, and the line of a trace event. A number that
//! it does not know is "unknown".
use std::ffi::CStr;
use std::os::raw::c_char;

use vmem_sys as sys;

use crate::error::{name, plain, text, Result};
use crate::TraceEvent;

/// # Safety
/// The function takes any number and returns static text.
unsafe fn of(function: unsafe extern "C" fn(u32) -> *const c_char, raw: u32) -> &'static str {
    text(function(raw))
}

/// Of an `enum vmem_request_type`.
pub fn request_type(raw: u32) -> &'static str {
    // SAFETY: as its header says; so below.
    unsafe { of(sys::vmem_request_type_name, raw) }
}

/// Of an `enum vmem_response_type`.
pub fn response_type(raw: u32) -> &'static str {
    unsafe { of(sys::vmem_response_type_name, raw) }
}

/// Of an `enum vmem_block_state`.
pub fn block_state(raw: u32) -> &'static str {
    unsafe { of(sys::vmem_block_state_name, raw) }
}

/// Of an `enum vmem_reset_kind`; see [`crate::Reset`].
pub fn reset_kind(raw: u32) -> &'static str {
    unsafe { of(sys::vmem_reset_kind_name, raw) }
}

/// Of an `enum vmem_resize_state`.
pub fn resize_state(raw: u32) -> &'static str {
    unsafe { of(sys::vmem_resize_state_name, raw) }
}

/// Of an `enum vmem_resize_stall`.
pub fn resize_stall(raw: u32) -> &'static str {
    unsafe { of(sys::vmem_resize_stall_name, raw) }
}

/// Of an `enum vmem_usage_method`.
pub fn usage_method(raw: u32) -> &'static str {
    unsafe { of(sys::vmem_usage_method_name, raw) }
}

/// Of an `enum vmem_backing_kind`; see [`crate::BackingKind`].
pub fn backing_kind(raw: u32) -> &'static str {
    unsafe { of(sys::vmem_backing_kind_name, raw) }
}

/// Of an `enum vmem_log_level`; see [`crate::Level`].
pub fn log_level(raw: u32) -> &'static str {
    unsafe { of(sys::vmem_log_level_name, raw) }
}

/// A trace event as the lines of a recorded trace, for a device of that name.
pub fn trace_line(event: &TraceEvent, device: &str) -> Result<String> {
    let device = name(device)?;
    // Whatever the caller has put there, it is so large.
    let event = TraceEvent { struct_size: std::mem::size_of::<TraceEvent>(), ..*event };
    let mut line = [0; sys::VMEM_TRACE_TEXT_SIZE];
    // SAFETY: the text ends with a NUL within the line.
    unsafe {
        let (to, size) = (line.as_mut_ptr(), line.len());
        let ret = sys::vmem_trace_event_format(&event, device.as_ptr(), to, size);
        plain(ret, "line of a trace event")?;
        Ok(CStr::from_ptr(line.as_ptr()).to_string_lossy().into_owned())
    }
}
