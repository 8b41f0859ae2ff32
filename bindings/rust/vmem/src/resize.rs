// SPDX-License-Identifier: BSD-3-Clause
//! Sizes that a guest is asked for, and resets.
use vmem_sys as sys;

use crate::error::{text, Reason};
use crate::numbers::numbers;

numbers! {
    /// How a resize goes.
    ResizeState in the words of sys::vmem_resize_state_name {
        /// The guest has what was asked for.
        Idle = VMEM_RESIZE_IDLE,
        Growing = VMEM_RESIZE_GROWING,
        Shrinking = VMEM_RESIZE_SHRINKING,
        /// No progress.
        Stalled = VMEM_RESIZE_STALLED,
    }

    /// Why a resize is stalled.
    Stall in the words of sys::vmem_resize_stall_name {
        /// No driver has negotiated or asked.
        NoDriver = VMEM_STALL_NO_DRIVER,
        /// The last answer was BUSY.
        HostBusy = VMEM_STALL_HOST_BUSY,
        /// No request since the size was asked, or the guest last kicked.
        GuestSilent = VMEM_STALL_GUEST_SILENT,
        /// The guest asked, and then no more.
        GuestRefused = VMEM_STALL_GUEST_REFUSED,
    }

    /// Who resets.
    Reset in the words of sys::vmem_reset_kind_name {
        /// The driver wrote status 0: features are forgotten, blocks stay.
        Driver = VMEM_RESET_DRIVER,
        /// The machine is reset: everything is unplugged.
        System = VMEM_RESET_SYSTEM,
        /// Wake-up from suspend: features are forgotten, blocks stay.
        Wakeup = VMEM_RESET_WAKEUP,
    }
}

/// What stands in the way of a guest's requests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Busy {
    /// Why, for programs.
    pub reason: Reason,
    /// The negative errno.
    pub code: i32,
    /// Name of the listener or of who has frozen the region; empty if it is neither.
    pub by: String,
}

/// How a resize goes, as in `struct vmem_resize_status`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResizeStatus {
    /// Bytes asked for.
    pub requested_size: u64,
    /// Bytes plugged.
    pub plugged_size: u64,
    /// When it was asked, by the machine's clock.
    pub requested_ns: u64,
    /// When the plugged size last changed.
    pub last_progress_ns: u64,
    /// How it goes.
    pub state: ResizeState,
    /// Why it is stalled, if it is.
    pub stall: Option<Stall>,
    /// What [`Stall::HostBusy`] is about.
    pub busy: Option<Busy>,
}

impl ResizeStatus {
    pub(crate) fn new(raw: &sys::vmem_resize_status) -> Self {
        let busy = Reason::some(raw.busy_reason).map(|reason| Busy {
            reason,
            code: raw.busy_errno,
            // SAFETY: the library ends it with a NUL.
            by: unsafe { text(raw.busy_by.as_ptr()) }.to_owned(),
        });
        Self {
            requested_size: raw.requested_size,
            plugged_size: raw.plugged_size,
            requested_ns: raw.requested_ns,
            last_progress_ns: raw.last_progress_ns,
            state: ResizeState::from_raw(raw.state),
            stall: Some(raw.reason).filter(|&raw| raw != 0).map(Stall::from_raw),
            busy,
        }
    }
}
