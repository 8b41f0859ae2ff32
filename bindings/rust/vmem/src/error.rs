// SPDX-License-Identifier: BSD-3-Clause
//! What went wrong: code, reason, range, message.
use std::ffi::{CStr, CString};
use std::fmt;
use std::os::raw::{c_char, c_int};

use vmem_sys as sys;

use crate::Range;

/// A result of this crate.
pub type Result<T> = std::result::Result<T, Error>;

/// Why a call failed; stable across releases.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
#[allow(missing_docs)]
pub enum Reason {
    None,
    Argument,
    StructSize,
    StructTail,
    Alignment,
    Range,
    Overflow,
    NoMemory,
    InUse,
    Reentered,
    Frozen,
    ListenerVeto,
    PopulateFailed,
    DiscardFailed,
    ClaimConflict,
    Duplicate,
    NotFound,
    NotPopulated,
    ReadOnly,
    Sealed,
    Unsupported,
    Mismatch,
    Os,
    Budget,
    MapFailed,
    UnmapFailed,
    /// Of a newer library.
    Unknown(u32),
}

impl Reason {
    /// From an `enum vmem_reason`.
    pub fn from_raw(raw: u32) -> Self {
        match raw {
            sys::VMEM_REASON_NONE => Self::None,
            sys::VMEM_REASON_ARGUMENT => Self::Argument,
            sys::VMEM_REASON_STRUCT_SIZE => Self::StructSize,
            sys::VMEM_REASON_STRUCT_TAIL => Self::StructTail,
            sys::VMEM_REASON_ALIGNMENT => Self::Alignment,
            sys::VMEM_REASON_RANGE => Self::Range,
            sys::VMEM_REASON_OVERFLOW => Self::Overflow,
            sys::VMEM_REASON_NO_MEMORY => Self::NoMemory,
            sys::VMEM_REASON_IN_USE => Self::InUse,
            sys::VMEM_REASON_REENTERED => Self::Reentered,
            sys::VMEM_REASON_FROZEN => Self::Frozen,
            sys::VMEM_REASON_LISTENER_VETO => Self::ListenerVeto,
            sys::VMEM_REASON_POPULATE_FAILED => Self::PopulateFailed,
            sys::VMEM_REASON_DISCARD_FAILED => Self::DiscardFailed,
            sys::VMEM_REASON_CLAIM_CONFLICT => Self::ClaimConflict,
            sys::VMEM_REASON_DUPLICATE => Self::Duplicate,
            sys::VMEM_REASON_NOT_FOUND => Self::NotFound,
            sys::VMEM_REASON_NOT_POPULATED => Self::NotPopulated,
            sys::VMEM_REASON_READ_ONLY => Self::ReadOnly,
            sys::VMEM_REASON_SEALED => Self::Sealed,
            sys::VMEM_REASON_UNSUPPORTED => Self::Unsupported,
            sys::VMEM_REASON_MISMATCH => Self::Mismatch,
            sys::VMEM_REASON_OS => Self::Os,
            sys::VMEM_REASON_BUDGET => Self::Budget,
            sys::VMEM_REASON_MAP_FAILED => Self::MapFailed,
            sys::VMEM_REASON_UNMAP_FAILED => Self::UnmapFailed,
            other => Self::Unknown(other),
        }
    }
}

/// A call that failed.
#[derive(Clone, Debug)]
pub struct Error {
    code: i32,
    reason: Reason,
    range: Option<Range>,
    message: String,
}

impl Error {
    /// The negative errno.
    pub fn code(&self) -> i32 {
        self.code
    }

    /// Why, for programs.
    pub fn reason(&self) -> Reason {
        self.reason
    }

    /// What it is about, if it is about a range.
    pub fn range(&self) -> Option<Range> {
        self.range
    }

    /// Why, for people.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// Called from a callback in which this call is not allowed.
    pub fn is_deadlock(&self) -> bool {
        self.code == -DEADLOCK
    }

    /// In use, frozen, or held by somebody, whom the message names.
    pub fn is_busy(&self) -> bool {
        self.code == -BUSY
    }

    pub(crate) fn from_os(why: &std::io::Error, what: &str) -> Self {
        Self::from_code(-why.raw_os_error().unwrap_or(INVALID), what)
    }

    fn from_code(code: c_int, what: &str) -> Self {
        let os = std::io::Error::from_raw_os_error(-code);
        Self { code, reason: Reason::None, range: None, message: format!("{what}: {os}") }
    }

    fn from_raw(code: c_int, raw: &sys::vmem_error) -> Self {
        if raw.reason == sys::VMEM_REASON_NONE && raw.message[0] == 0 {
            return Self::from_code(code, "libvmem");
        }
        // SAFETY: the library ends its message with a NUL.
        let message = unsafe { CStr::from_ptr(raw.message.as_ptr()) };
        Self {
            code,
            reason: Reason::from_raw(raw.reason),
            range: Some(raw.range).filter(|range| range.size != 0),
            message: message.to_string_lossy().into_owned(),
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(to, "{} (errno {})", self.message, -self.code)
    }
}

impl std::error::Error for Error {}

/// A handle that could not be freed, and why. It is as it was.
pub struct Refused<T> {
    /// The handle.
    pub handle: T,
    /// Why it is still needed.
    pub error: Error,
}

impl<T> fmt::Display for Refused<T> {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.error.fmt(to)
    }
}

impl<T> fmt::Debug for Refused<T> {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.error, to)
    }
}

impl<T> std::error::Error for Refused<T> {}

// As in <errno.h> of Linux, on every machine that libvmem is built for.
const INVALID: c_int = 22;
const BUSY: c_int = 16;
const DEADLOCK: c_int = 35;

/// Make a call that fills a `vmem_error`.
pub(crate) fn check(call: impl FnOnce(*mut sys::vmem_error) -> c_int) -> Result<c_int> {
    let mut raw = sys::vmem_error::default();
    let ret = call(&mut raw);
    if ret < 0 {
        return Err(Error::from_raw(ret, &raw));
    }
    Ok(ret)
}

/// Judge a call that has only a return value.
pub(crate) fn plain(ret: c_int, what: &str) -> Result<c_int> {
    if ret < 0 {
        return Err(Error::from_code(ret, what));
    }
    Ok(ret)
}

/// Text for the library.
pub(crate) fn name(text: &str) -> Result<CString> {
    CString::new(text).map_err(|_| Error {
        code: -INVALID,
        reason: Reason::Argument,
        range: None,
        message: format!("{text:?} has a NUL in it"),
    })
}

/// Text of the library: "" for NULL, and otherwise as far as it is UTF-8, because a
/// text that was cut may end within a character.
///
/// # Safety
/// It is NULL, or ends with a NUL and lives as long as what is returned.
pub(crate) unsafe fn text<'a>(raw: *const c_char) -> &'a str {
    if raw.is_null() {
        return "";
    }
    let bytes = CStr::from_ptr(raw).to_bytes();
    std::str::from_utf8(bytes)
        .unwrap_or_else(|cut| std::str::from_utf8_unchecked(&bytes[..cut.valid_up_to()]))
}
