// SPDX-License-Identifier: BSD-3-Clause
//! What the library has to tell people.
use vmem_sys as sys;

use crate::error::text;
use crate::numbers::numbers;

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

impl Level {
    /// The library's word for it.
    pub fn name(self) -> &'static str {
        let raw = match self {
            Self::Debug => sys::VMEM_LOG_DEBUG,
            Self::Info => sys::VMEM_LOG_INFO,
            Self::Warning => sys::VMEM_LOG_WARNING,
            Self::Error => sys::VMEM_LOG_ERROR,
        };
        // SAFETY: any number is allowed, and the text is static.
        unsafe { text(sys::vmem_log_level_name(raw)) }
    }
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
        // SAFETY: as above.
        unsafe { text(sys::vmem_blame_name(raw)) }
    }
}

numbers! {
    /// What a record is about.
    LogCode {
        /// Request without meaning.
        Malformed = VMEM_LOG_CODE_MALFORMED,
        /// Request answered ERROR.
        GuestError = VMEM_LOG_CODE_GUEST_ERROR,
        /// Request answered BUSY, and why.
        Busy = VMEM_LOG_CODE_BUSY,
        /// Unplugged memory stays allocated.
        Retained = VMEM_LOG_CODE_RETAINED,
        /// Retained memory was zeroed by writing.
        Zeroed = VMEM_LOG_CODE_ZEROED,
        /// The driver's features were refused.
        Features = VMEM_LOG_CODE_FEATURES,
        /// The block size may be too small.
        SmallBlocks = VMEM_LOG_CODE_SMALL_BLOCKS,
        /// Reading unplugged memory allocates.
        ReadAllocates = VMEM_LOG_CODE_READ_ALLOCATES,
        /// A privately mapped file is punched.
        FileModified = VMEM_LOG_CODE_FILE_MODIFIED,
        /// The driver wrote config space.
        ConfigWrite = VMEM_LOG_CODE_CONFIG_WRITE,
        /// A description was not checked.
        Unverified = VMEM_LOG_CODE_UNVERIFIED,
        /// Nothing can be mapped, and why.
        DmaRefused = VMEM_LOG_CODE_DMA_REFUSED,
        /// What is discarded stays mapped.
        DmaStuck = VMEM_LOG_CODE_DMA_STUCK,
        /// A limit of a mapper is near.
        DmaNear = VMEM_LOG_CODE_DMA_NEAR,
    }
}

/// One record, valid during the sink's call.
#[derive(Clone, Copy, Debug)]
pub struct LogRecord<'a> {
    /// How bad it is.
    pub level: Level,
    /// Whose fault it is.
    pub blame: Blame,
    /// What it is about.
    pub code: LogCode,
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
            code: LogCode::from_raw(raw.code),
            suppressed: raw.suppressed,
            object: text(raw.object),
            message: text(raw.message),
        }
    }
}
