// SPDX-License-Identifier: BSD-3-Clause
//! What went wrong: code, reason, range, message.
use std::ffi::{CStr, CString};
use std::fmt;
use std::os::raw::{c_char, c_int};

use vmem_sys as sys;

use crate::numbers::numbers;
use crate::Range;

/// A result of this crate.
pub type Result<T> = std::result::Result<T, Error>;

numbers! {
    /// Why a call failed; stable across releases.
    Reason in the words of sys::vmem_reason_name {
        None = VMEM_REASON_NONE,
        Argument = VMEM_REASON_ARGUMENT,
        StructSize = VMEM_REASON_STRUCT_SIZE,
        StructTail = VMEM_REASON_STRUCT_TAIL,
        Alignment = VMEM_REASON_ALIGNMENT,
        Range = VMEM_REASON_RANGE,
        Overflow = VMEM_REASON_OVERFLOW,
        NoMemory = VMEM_REASON_NO_MEMORY,
        InUse = VMEM_REASON_IN_USE,
        Reentered = VMEM_REASON_REENTERED,
        Frozen = VMEM_REASON_FROZEN,
        ListenerVeto = VMEM_REASON_LISTENER_VETO,
        PopulateFailed = VMEM_REASON_POPULATE_FAILED,
        DiscardFailed = VMEM_REASON_DISCARD_FAILED,
        ClaimConflict = VMEM_REASON_CLAIM_CONFLICT,
        Duplicate = VMEM_REASON_DUPLICATE,
        NotFound = VMEM_REASON_NOT_FOUND,
        NotPopulated = VMEM_REASON_NOT_POPULATED,
        ReadOnly = VMEM_REASON_READ_ONLY,
        Sealed = VMEM_REASON_SEALED,
        Unsupported = VMEM_REASON_UNSUPPORTED,
        Mismatch = VMEM_REASON_MISMATCH,
        Os = VMEM_REASON_OS,
        Budget = VMEM_REASON_BUDGET,
        MapFailed = VMEM_REASON_MAP_FAILED,
        UnmapFailed = VMEM_REASON_UNMAP_FAILED,
    }
}

impl Reason {
    /// None for a number that says that there is none.
    pub(crate) fn some(raw: u32) -> Option<Self> {
        Some(Self::from_raw(raw)).filter(|&reason| reason != Self::None)
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
        let number = format!("(errno {})", -self.code);
        if self.message.contains(&number) {
            return to.write_str(&self.message); // of the kernel's, with its meaning
        }
        write!(to, "{} {number}", self.message)
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
const NO_MEMORY: c_int = 12;
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

/// Words for so many bits, which may be more than there is memory for.
pub(crate) fn room(nr_bits: u64) -> Result<Vec<u64>> {
    let nr = usize::try_from(nr_bits / 64 + u64::from(nr_bits % 64 != 0)).unwrap_or(usize::MAX);
    let mut words = Vec::new();
    words.try_reserve_exact(nr).map_err(|_| Error {
        code: -NO_MEMORY,
        reason: Reason::NoMemory,
        range: None,
        message: format!("out of memory: {nr_bits} bits"),
    })?;
    words.resize(nr, 0);
    Ok(words)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_that_was_cut_within_a_character_ends_before_it() {
        let raw = |bytes: &'static [u8]| bytes.as_ptr() as *const c_char;
        // SAFETY: static, and each ends with a NUL.
        unsafe {
            assert_eq!(text(raw(b"caf\xc3\xa9\0")), "caf\u{e9}");
            assert_eq!(text(raw(b"caf\xc3\0")), "caf");
            assert_eq!(text(std::ptr::null()), "");
        }
    }
}
