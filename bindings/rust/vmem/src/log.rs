// SPDX-License-Identifier: BSD-3-Clause
//! What the library has to tell people.
use vmem_sys as sys;

use crate::error::text;

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[allow(missing_docs)]
pub enum Level {
    Debug,
    Info,
    Warning,
    Error,
}

/// Whose fault it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Blame {
    Guest,
    Host,
    Os,
    Vmem,
}

impl Blame {
    /// The library's word for it.
    pub fn name(self) -> &'static str {
        let raw = match self {
            Self::Guest => sys::VMEM_BLAME_GUEST,
            Self::Host => sys::VMEM_BLAME_HOST,
            Self::Os => sys::VMEM_BLAME_OS,
            Self::Vmem => sys::VMEM_BLAME_VMEM,
        };
        // SAFETY: any number is allowed, and the text is static.
        unsafe { text(sys::vmem_blame_name(raw)) }
    }
}

/// One record, valid during the sink's call.
#[derive(Clone, Copy, Debug)]
pub struct LogRecord<'a> {
    /// How bad it is.
    pub level: Level,
    /// Whose fault it is.
    pub blame: Blame,
    /// An `enum vmem_log_code`.
    pub code: u32,
    /// Records of this code dropped before this one.
    pub suppressed: u32,
    /// Name of the object it is about.
    pub object: &'a str,
    /// One line for people.
    pub message: &'a str,
}

impl<'a> LogRecord<'a> {
    /// # Safety
    /// The record is the library's, during the call of a sink.
    pub(crate) unsafe fn new(raw: &'a sys::vmem_log_record) -> Self {
        Self {
            level: match raw.level {
                sys::VMEM_LOG_DEBUG => Level::Debug,
                sys::VMEM_LOG_INFO => Level::Info,
                sys::VMEM_LOG_WARNING => Level::Warning,
                _ => Level::Error,
            },
            blame: match raw.blame {
                sys::VMEM_BLAME_GUEST => Blame::Guest,
                sys::VMEM_BLAME_HOST => Blame::Host,
                sys::VMEM_BLAME_OS => Blame::Os,
                _ => Blame::Vmem,
            },
            code: raw.code,
            suppressed: raw.suppressed,
            object: text(raw.object),
            message: text(raw.message),
        }
    }
}
