// SPDX-License-Identifier: BSD-3-Clause
//! What a guest asks, and what becomes of it.
use std::os::raw::c_int;

use vmem_sys as sys;

use crate::error::{plain, Reason, Result};
use crate::numbers::numbers;

numbers! {
    /// What a guest asks.
    RequestType in the words of sys::vmem_request_type_name {
        Plug = VMEM_REQUEST_PLUG,
        Unplug = VMEM_REQUEST_UNPLUG,
        UnplugAll = VMEM_REQUEST_UNPLUG_ALL,
        /// The state of a range.
        State = VMEM_REQUEST_STATE,
    }

    /// What it is answered.
    Response in the words of sys::vmem_response_type_name {
        /// Done.
        Ack = VMEM_RESPONSE_ACK,
        /// Would exceed the requested size.
        Nack = VMEM_RESPONSE_NACK,
        /// Not now; try again.
        Busy = VMEM_RESPONSE_BUSY,
        /// The guest broke the rules.
        Error = VMEM_RESPONSE_ERROR,
    }

    /// State of a range, in an acknowledged answer.
    BlockState in the words of sys::vmem_block_state_name {
        Plugged = VMEM_STATE_PLUGGED,
        Unplugged = VMEM_STATE_UNPLUGGED,
        /// Some blocks are and some are not.
        Mixed = VMEM_STATE_MIXED,
    }

    /// Why bytes are no request.
    Malformed {
        /// Fewer than 24 readable bytes.
        ShortRequest = VMEM_MALFORMED_SHORT_REQUEST,
        /// Fewer than 10 writable bytes.
        ShortResponse = VMEM_MALFORMED_SHORT_RESPONSE,
        /// Unknown type.
        Type = VMEM_MALFORMED_TYPE,
        /// Bytes at no address.
        Address = VMEM_MALFORMED_ADDRESS,
    }
}

/// What became of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Verdict {
    /// Push the response bytes.
    Respond {
        /// How many there are.
        used_size: usize,
        /// What was asked.
        request: RequestType,
        /// What they say.
        response: Response,
        /// With [`Response::Busy`]: why.
        reason: Option<Reason>,
    },
    /// Nothing was executed, and there is no response.
    Malformed {
        /// Why it is no request.
        why: Malformed,
    },
    /// It is answered later: there is no response yet. Reserved.
    Pending,
    /// Of a newer library: there is no response that could be pushed.
    Unknown(u32),
}

impl Verdict {
    pub(crate) fn of(ret: c_int, result: &sys::vmem_request_result) -> Result<Self> {
        Ok(match plain(ret, "request of a guest")? as u32 {
            sys::VMEM_REQUEST_RESPOND => Self::Respond {
                used_size: result.used_size,
                request: RequestType::from_raw(result.r#type),
                response: Response::from_raw(result.response),
                reason: Reason::some(result.reason),
            },
            sys::VMEM_REQUEST_MALFORMED => {
                Self::Malformed { why: Malformed::from_raw(result.malformed) }
            }
            sys::VMEM_REQUEST_PENDING => Self::Pending,
            unknown => Self::Unknown(unknown),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_has_a_response_is_responded_to() {
        let result = sys::vmem_request_result {
            used_size: 10,
            r#type: sys::VMEM_REQUEST_UNPLUG,
            response: sys::VMEM_RESPONSE_BUSY,
            malformed: sys::VMEM_MALFORMED_TYPE,
            reason: sys::VMEM_REASON_FROZEN,
            ..Default::default()
        };
        let of = |ret| Verdict::of(ret, &result);
        let busy = Verdict::Respond {
            used_size: 10,
            request: RequestType::Unplug,
            response: Response::Busy,
            reason: Some(Reason::Frozen),
        };
        assert_eq!(of(0).unwrap(), busy);
        assert_eq!(of(1).unwrap(), Verdict::Malformed { why: Malformed::Type });
        assert_eq!(of(2).unwrap(), Verdict::Pending);
        assert_eq!(of(3).unwrap(), Verdict::Unknown(3));
        assert_eq!(of(-22).unwrap_err().code(), -22);
    }
}
