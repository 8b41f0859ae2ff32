// SPDX-License-Identifier: BSD-3-Clause
//! Who needs discards, and whom they would break: `<vmem/claim.h>`.

use crate::*;
use std::os::raw::{c_char, c_int, c_void};

// enum vmem_discard_claim_kind
pub const VMEM_CLAIM_FORBID_ALL: u32 = 1;
pub const VMEM_CLAIM_FORBID_UNCOORDINATED: u32 = 2;
pub const VMEM_CLAIM_NEED_UNCOORDINATED: u32 = 3;
pub const VMEM_CLAIM_NEED_COORDINATED: u32 = 4;

/// Bit of a claim kind in the answer of [`vmem_vm_get_claims`].
pub const fn VMEM_CLAIM_BIT(kind: u32) -> u32 {
    1 << kind
}

pub type vmem_discard_watcher_fn = Option<unsafe extern "C" fn(claims: u32, opaque: *mut c_void)>;

extern "C" {
    pub fn vmem_discard_claim_take(
        vm: *mut vmem_vm,
        kind: u32,
        owner: *const c_char,
        out: *mut *mut vmem_discard_claim,
        err: *mut vmem_error,
    ) -> c_int;
    pub fn vmem_discard_claim_release(
        claim: *mut vmem_discard_claim,
        err: *mut vmem_error,
    ) -> c_int;
    pub fn vmem_vm_get_claims(vm: *const vmem_vm) -> u32;
    pub fn vmem_vm_is_uncoordinated_forbidden(vm: *const vmem_vm) -> bool;
    pub fn vmem_vm_is_discard_needed(vm: *const vmem_vm) -> bool;
    pub fn vmem_vm_for_each_claim(
        vm: *mut vmem_vm,
        call: Option<
            unsafe extern "C" fn(kind: u32, owner: *const c_char, opaque: *mut c_void) -> c_int,
        >,
        opaque: *mut c_void,
    ) -> c_int;
    pub fn vmem_discard_watcher_add(
        vm: *mut vmem_vm,
        call: vmem_discard_watcher_fn,
        opaque: *mut c_void,
        out: *mut *mut vmem_discard_watcher,
        err: *mut vmem_error,
    ) -> c_int;
    pub fn vmem_discard_watcher_remove(
        watcher: *mut vmem_discard_watcher,
        err: *mut vmem_error,
    ) -> c_int;
}
