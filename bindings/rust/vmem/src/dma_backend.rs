// SPDX-License-Identifier: BSD-3-Clause
//! What maps for a mapper, as a trait object.
use std::os::raw::{c_int, c_void};
use std::os::unix::io::BorrowedFd;
use std::sync::Arc;

use vmem_sys as sys;

use crate::call::{Panics, PANICKED};
use crate::listener::Veto;

/// What a device may do with what is mapped for it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Protection {
    /// It may read.
    pub read: bool,
    /// It may write.
    pub write: bool,
}

impl Protection {
    /// It may read and not write.
    pub const READ: Self = Self { read: true, write: false };
    /// It may do both.
    pub const READ_WRITE: Self = Self { read: true, write: true };

    pub(crate) fn raw(self) -> u32 {
        let read = if self.read { sys::VMEM_DMA_READ } else { 0 };
        let write = if self.write { sys::VMEM_DMA_WRITE } else { 0 };
        read | write
    }

    fn from_raw(raw: u32) -> Self {
        Self { read: raw & sys::VMEM_DMA_READ != 0, write: raw & sys::VMEM_DMA_WRITE != 0 }
    }
}

/// One mapping to be made, valid during the call.
#[derive(Clone, Copy, Debug)]
pub struct DmaMapping<'a> {
    /// First address that the device uses.
    pub iova: u64,
    /// Bytes.
    pub size: u64,
    /// Where the memory is in this process; NULL only if the backend needs files and
    /// no address is known. Valid until it is unmapped.
    pub hva: *mut c_void,
    /// The file, if the memory is a shared one, and where in it.
    pub file: Option<(BorrowedFd<'a>, u64)>,
    /// What the device may do.
    pub protection: Protection,
}

/// A backend of callbacks: a vfio-user server, vhost-vdpa, VFIO in another process.
///
/// One call at a time, on whatever thread changes something. In them queries work; a
/// change of anything of the machine is refused (-EDEADLK). After a panic nothing
/// more is mapped, but what was is still unmapped.
pub trait DmaBackend: Send {
    /// Map all of it, or nothing.
    fn map(&mut self, mapping: &DmaMapping<'_>) -> std::result::Result<(), Veto>;

    /// Unmap everything in a range of IOVAs: a run of mappings that were made, or
    /// exactly one of them if the backend is exact, and where the run failed.
    ///
    /// `unmapped` is `size` and shall be how many bytes are not mapped any more
    /// because of this call. When it is less, or after a no, the mapper asks for each
    /// mapping alone; Ok with no bytes then means that it is gone already.
    fn unmap(&mut self, iova: u64, size: u64, unmapped: &mut u64) -> std::result::Result<(), Veto>;

    /// Calls of map and unmap follow.
    fn begin(&mut self) {}

    /// They are over and shall take effect. After a no what was mapped is unmapped,
    /// and what was unmapped is stuck.
    fn commit(&mut self) -> std::result::Result<(), Veto> {
        Ok(())
    }
}

struct State {
    backend: Box<dyn DmaBackend>,
    panics: Arc<Panics>,
    // Nobody knows what a backend that panicked still does right.
    broken: bool,
    began_badly: bool,
}

impl State {
    fn ask(
        &mut self,
        run: impl FnOnce(&mut dyn DmaBackend) -> std::result::Result<(), Veto>,
    ) -> c_int {
        let backend = &mut *self.backend;
        let ret = self.panics.guard(|| run(backend));
        self.broken |= ret.is_none();
        match ret {
            Some(Ok(())) => 0,
            Some(Err(veto)) => -veto.errno(),
            None => -PANICKED,
        }
    }
}

unsafe extern "C" fn map(mapping: *const sys::vmem_dma_mapping, opaque: *mut c_void) -> c_int {
    let state = &mut *(opaque as *mut State);
    if state.broken {
        return -PANICKED;
    }
    let raw = &*mapping;
    let mapping = DmaMapping {
        iova: raw.iova,
        size: raw.size,
        hva: raw.hva,
        // Open during the call: the backing's, or the attachment's.
        file: (raw.fd >= 0).then(|| (BorrowedFd::borrow_raw(raw.fd), raw.fd_offset)),
        protection: Protection::from_raw(raw.protection),
    };
    state.ask(|backend| backend.map(&mapping))
}

unsafe extern "C" fn unmap(iova: u64, size: u64, unmapped: *mut u64, opaque: *mut c_void) -> c_int {
    let state = &mut *(opaque as *mut State);
    let mut nr = size;
    let ret = state.ask(|backend| backend.unmap(iova, size, &mut nr));
    *unmapped = if ret == -PANICKED { 0 } else { nr };
    ret
}

unsafe extern "C" fn begin(opaque: *mut c_void) {
    let state = &mut *(opaque as *mut State);
    let ret = state.ask(|backend| {
        backend.begin();
        Ok(())
    });
    state.began_badly = ret < 0;
}

unsafe extern "C" fn commit(opaque: *mut c_void) -> c_int {
    let state = &mut *(opaque as *mut State);
    if std::mem::take(&mut state.began_badly) {
        return -PANICKED;
    }
    state.ask(|backend| backend.commit())
}

unsafe extern "C" fn destroy(opaque: *mut c_void) {
    let state = Box::from_raw(opaque as *mut State);
    let panics = state.panics.clone();
    panics.guard(move || drop(state));
}

/// The callbacks and their opaque, which `destroy` frees.
pub(crate) fn calls(
    backend: Box<dyn DmaBackend>,
    panics: &Arc<Panics>,
) -> (sys::vmem_dma_ops, *mut c_void) {
    let ops = sys::vmem_dma_ops {
        map: Some(map),
        unmap: Some(unmap),
        begin: Some(begin),
        commit: Some(commit),
        destroy: Some(destroy),
        ..Default::default()
    };
    let state = State { backend, panics: panics.clone(), broken: false, began_badly: false };
    (ops, Box::into_raw(Box::new(state)) as *mut c_void)
}
