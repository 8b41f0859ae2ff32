// SPDX-License-Identifier: BSD-3-Clause
//! Who needs discards, and whom they would break.
use std::ffi::CStr;
use std::ops::ControlFlow;
use std::os::raw::{c_char, c_int, c_void};
use std::sync::Arc;

use vmem_sys as sys;

use crate::call::{notify, Notified, Panics};
use crate::error::{check, name, plain, Result};
use crate::park::Raw;
use crate::vm::Vm;
use crate::walk::Walk;

/// What a claim says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClaimKind {
    /// Any discard would break me.
    ForbidAll,
    /// Tell me first, or break me.
    ForbidUncoordinated,
    /// I discard without telling.
    NeedUncoordinated,
    /// I discard through a region.
    NeedCoordinated,
}

impl ClaimKind {
    const ALL: [Self; 4] = [
        Self::ForbidAll,
        Self::ForbidUncoordinated,
        Self::NeedUncoordinated,
        Self::NeedCoordinated,
    ];

    fn raw(self) -> u32 {
        match self {
            Self::ForbidAll => sys::VMEM_CLAIM_FORBID_ALL,
            Self::ForbidUncoordinated => sys::VMEM_CLAIM_FORBID_UNCOORDINATED,
            Self::NeedUncoordinated => sys::VMEM_CLAIM_NEED_UNCOORDINATED,
            Self::NeedCoordinated => sys::VMEM_CLAIM_NEED_COORDINATED,
        }
    }

    /// Is it in a set, as [`Vm::claims`] and watchers have it?
    pub fn is_in(self, claims: u32) -> bool {
        claims & sys::VMEM_CLAIM_BIT(self.raw()) != 0
    }
}

/// A claim that is held until this is dropped.
#[must_use = "the claim is released when this is dropped"]
pub struct Claim {
    raw: Raw<sys::vmem_discard_claim>,
    vm: Vm,
}

impl Drop for Claim {
    fn drop(&mut self) {
        let (raw, vm) = (self.raw, self.vm.clone());
        self.vm.0.release(Box::new(move || {
            let _ = &vm;
            // SAFETY: the handle was the only one, and its machine is kept.
            unsafe { sys::vmem_discard_claim_release(raw.get(), std::ptr::null_mut()) }
        }));
    }
}

struct Calls {
    changed: Box<dyn Fn(u32) + Send + Sync>,
    panics: Arc<Panics>,
}

impl Notified for Calls {
    fn panics(&self) -> &Arc<Panics> {
        &self.panics
    }
}

unsafe extern "C" fn changed(claims: u32, opaque: *mut c_void) {
    notify::<Calls>(opaque, |to| (to.changed)(claims));
}

/// Told of changes until this is dropped.
#[must_use = "nothing is watched any more when this is dropped"]
pub struct Watcher {
    raw: Raw<sys::vmem_discard_watcher>,
    vm: Vm,
    // None once what removes the watcher owns it.
    calls: Option<Arc<Calls>>,
}

impl Drop for Watcher {
    fn drop(&mut self) {
        let (raw, vm, calls) = (self.raw, self.vm.clone(), self.calls.take());
        self.vm.0.release(Box::new(move || {
            let _ = (&vm, &calls);
            // SAFETY: the handle was the only one, and its machine is kept.
            unsafe { sys::vmem_discard_watcher_remove(raw.get(), std::ptr::null_mut()) }
        }));
    }
}

unsafe extern "C" fn each<F, B>(kind: u32, owner: *const c_char, opaque: *mut c_void) -> c_int
where
    F: FnMut((ClaimKind, &str)) -> ControlFlow<B>,
{
    let walk = &mut *(opaque as *mut Walk<F, B>);
    let owner = CStr::from_ptr(owner).to_string_lossy();
    match ClaimKind::ALL.into_iter().find(|known| known.raw() == kind) {
        Some(kind) => walk.step((kind, &*owner)),
        None => 0,
    }
}

fn each_fn<F, B>(
    _: &Walk<F, B>,
) -> Option<unsafe extern "C" fn(u32, *const c_char, *mut c_void) -> c_int>
where
    F: FnMut((ClaimKind, &str)) -> ControlFlow<B>,
{
    Some(each::<F, B>)
}

impl Vm {
    /// Take a claim; refused with the names of those who hold an opposite one.
    pub fn claim(&self, kind: ClaimKind, owner: &str) -> Result<Claim> {
        let owner = name(owner)?;
        let mut out = std::ptr::null_mut();
        // SAFETY: the owner is copied.
        check(|err| unsafe {
            let raw = kind.raw();
            sys::vmem_discard_claim_take(self.as_raw(), raw, owner.as_ptr(), &mut out, err)
        })?;
        Ok(Claim { raw: Raw::new(out), vm: self.clone() })
    }

    /// Be told when the set of held kinds changes; calls never overlap, and any call
    /// is legal in them.
    pub fn watch_claims(&self, told: impl Fn(u32) + Send + Sync + 'static) -> Result<Watcher> {
        let calls = Arc::new(Calls { changed: Box::new(told), panics: self.0.panics.clone() });
        let opaque = Arc::as_ptr(&calls) as *mut c_void;
        let mut out = std::ptr::null_mut();
        // SAFETY: the calls live until the watcher is removed.
        check(|err| unsafe {
            sys::vmem_discard_watcher_add(self.as_raw(), Some(changed), opaque, &mut out, err)
        })?;
        Ok(Watcher { raw: Raw::new(out), vm: self.clone(), calls: Some(calls) })
    }

    /// The kinds held now; see [`ClaimKind::is_in`].
    pub fn claims(&self) -> u32 {
        // SAFETY: the handle keeps the machine alive; so below.
        unsafe { sys::vmem_vm_get_claims(self.as_raw()) }
    }

    /// Would an uncoordinated discard break somebody?
    pub fn is_uncoordinated_forbidden(&self) -> bool {
        unsafe { sys::vmem_vm_is_uncoordinated_forbidden(self.as_raw()) }
    }

    /// Does somebody rely on discards?
    pub fn is_discard_needed(&self) -> bool {
        unsafe { sys::vmem_vm_is_discard_needed(self.as_raw()) }
    }

    /// Visit every claim with its owner, in the order in which they were taken.
    pub fn for_each_claim<B>(
        &self,
        mut step: impl FnMut(ClaimKind, &str) -> ControlFlow<B>,
    ) -> Result<ControlFlow<B>> {
        let mut walk = Walk::new(|(kind, owner): (ClaimKind, &str)| step(kind, owner));
        let each = each_fn(&walk);
        // SAFETY: the walk lives until the call returns.
        let ret = unsafe { sys::vmem_vm_for_each_claim(self.as_raw(), each, walk.opaque()) };
        let end = walk.finish();
        plain(ret, "walk over claims").map(|_| end)
    }
}
