// SPDX-License-Identifier: BSD-3-Clause
//! What decides, or is, an answer to a guest: something to record.
use std::ffi::CStr;
use std::fmt;

use vmem_sys as sys;

use crate::error::{name, plain, Reason, Result};
use crate::request::{BlockState, RequestType, Response};
use crate::resize::Reset;

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Traced {
    /// A request was answered.
    Request {
        /// What it asked.
        request: RequestType,
        /// Where, as the guest wrote it.
        gpa: u64,
        /// How much, as the guest wrote it.
        nr_blocks: u32,
        /// What it was answered.
        response: Response,
        /// With an acknowledged [`RequestType::State`].
        state: Option<BlockState>,
        /// With [`Response::Busy`]: why.
        reason: Option<Reason>,
    },
    /// The host asked for a size.
    Resize {
        /// Bytes asked for.
        size: u64,
        /// 0, or the negative errno with which it was refused.
        code: i32,
    },
    /// The device was reset.
    Reset {
        /// By whom.
        kind: Reset,
        /// 0, or the negative errno with which it was refused.
        code: i32,
        /// Why it was refused.
        reason: Option<Reason>,
    },
    /// The region was frozen, or has thawed.
    Freeze {
        /// Does anybody hold it still?
        frozen: bool,
    },
    /// A saved state was loaded: what is recorded before says nothing of what comes
    /// after.
    Load {
        /// Bytes plugged.
        size: u64,
    },
    /// Of a newer library.
    Unknown(u32),
}

/// Something to record. Whoever does the same to an equal device, in order of the
/// sequence, gets the same answers.
#[derive(Clone, Copy)]
pub struct TraceEvent(sys::vmem_trace_event);

impl TraceEvent {
    pub(crate) fn new(raw: &sys::vmem_trace_event) -> Self {
        // A newer library's may be larger. This one is so large.
        let struct_size = std::mem::size_of::<sys::vmem_trace_event>();
        Self(sys::vmem_trace_event { struct_size, ..*raw })
    }

    /// One more for every event of the region, in the order in which they happened.
    pub fn sequence(&self) -> u64 {
        self.0.sequence
    }

    /// When it happened, by the machine's clock.
    pub fn time_ns(&self) -> u64 {
        self.0.time_ns
    }

    /// What happened.
    pub fn what(&self) -> Traced {
        let raw = &self.0;
        let reason = Reason::some(raw.reason);
        match raw.kind {
            sys::VMEM_TRACE_REQUEST => {
                let (request, response) =
                    (RequestType::from_raw(raw.r#type), Response::from_raw(raw.response));
                let has_state = (request, response) == (RequestType::State, Response::Ack);
                Traced::Request {
                    request,
                    gpa: raw.gpa,
                    nr_blocks: raw.nr_blocks,
                    response,
                    state: has_state.then(|| BlockState::from_raw(raw.state)),
                    reason,
                }
            }
            sys::VMEM_TRACE_RESIZE => Traced::Resize { size: raw.size, code: raw.code },
            sys::VMEM_TRACE_RESET => {
                Traced::Reset { kind: Reset::from_raw(raw.r#type), code: raw.code, reason }
            }
            sys::VMEM_TRACE_FREEZE => Traced::Freeze { frozen: raw.frozen != 0 },
            sys::VMEM_TRACE_LOAD => Traced::Load { size: raw.size },
            unknown => Traced::Unknown(unknown),
        }
    }

    /// As the lines of a recorded trace, for a device of that name.
    pub fn line(&self, device: &str) -> Result<String> {
        let device = name(device)?;
        let mut line = [0; sys::VMEM_TRACE_TEXT_SIZE];
        // SAFETY: the text ends with a NUL within the line.
        unsafe {
            let (to, size) = (line.as_mut_ptr(), line.len());
            let ret = sys::vmem_trace_event_format(&self.0, device.as_ptr(), to, size);
            plain(ret, "line of a trace event")?;
            Ok(CStr::from_ptr(line.as_ptr()).to_string_lossy().into_owned())
        }
    }
}

impl fmt::Debug for TraceEvent {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.debug_struct("TraceEvent")
            .field("sequence", &self.sequence())
            .field("time_ns", &self.time_ns())
            .field("what", &self.what())
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_that_is_not_known_has_no_line() {
        let event = TraceEvent::new(&sys::vmem_trace_event { kind: 99, ..Default::default() });
        assert_eq!(event.what(), Traced::Unknown(99));
        assert_eq!(event.line("vmem0").unwrap_err().code(), -22);
        assert_eq!(event.line("\0").unwrap_err().reason(), Reason::Argument);
    }
}
