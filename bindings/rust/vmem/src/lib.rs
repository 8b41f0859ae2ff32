// SPDX-License-Identifier: BSD-3-Clause
//! Discard-aware guest memory for virtual machine monitors: libvmem, safe.
//!
//! What the objects are, what happens in which order and what each error means is
//! in the headers and guides of libvmem; here is what Rust adds.
//!
//! **Owners.** A handle keeps alive what it stands on: a [`Device`], [`Source`],
//! [`ListenerHandle`] or [`Freeze`] its [`Region`], an [`Attachment`] that and its
//! [`Dma`], a region its [`Backing`] and [`Vm`]. They may be dropped in any order.
//!
//! **Drop.** Some calls that free are refused: with -EBUSY as long as others need
//! the object (a device whose region has listeners, or is frozen), with what a
//! backend said when an attachment cannot be unmapped, and with -EDEADLK inside a
//! callback. A refused object is then *parked* in its machine with all that it stands
//! on, callbacks included, and freed when a handle of the machine is dropped for
//! which nothing stands in the way any more. [`Vm::nr_parked`] counts them,
//! [`Vm::retry_parked`] tries at once. Who wants to know at the time calls `free()`,
//! `remove()` or `detach()`, which give the handle back.
//!
//! **-EDEADLK** ([`Error::is_deadlock`]) means: this thread is inside a callback of
//! a listener, of custom memory, of a mapper's backend, or of a walk. Queries work
//! there, changes to any region of the machine do not. Note what is to be done, and
//! do it later.
//!
//! **Numbers** that stand for something are enums, with the library's word for each;
//! flags are members of their own. Counters are the library's: an array of them is
//! indexed by the `raw()` of an enum.
//!
//! **Threads.** Handles are [`Send`] and [`Sync`], but a [`Bitmap`] is its user's to
//! lock and only [`Send`]. Callbacks run on whatever thread changes the region, so
//! traits ask for [`Send`], and for [`Sync`] where calls may overlap.
//!
//! **Panics** do not cross into C. One in a walk goes on in the caller of the walk.
//! One in a callback is caught: a question is answered no ([`PANICKED`]), a
//! listener or backend that panicked vetoes every later populate, and the machine
//! counts it ([`Vm::nr_panics`], [`Vm::take_panic`]). So is one in the drop of what
//! was given to the library.
#![warn(missing_docs)]

pub use vmem_sys;

mod attachment;
mod backing;
mod bitmap;
mod call;
mod claim;
mod device;
mod dma;
mod dma_backend;
mod dma_plan;
mod error;
mod freeze;
mod inventory;
mod listener;
mod log;
mod memory;
mod notify;
mod numbers;
mod park;
#[cfg(doctest)]
mod refused;
mod region;
mod request;
mod resize;
mod source;
mod trace;
mod vm;
mod walk;

pub use attachment::{AttachConfig, Attachment, StaticConfig};
pub use backing::{Backing, BackingConfig, BackingKind, BackingUsage, UsageMethod};
pub use bitmap::{Bitmap, BitmapState};
pub use call::PANICKED;
pub use claim::{Claim, ClaimKind, Watcher};
pub use device::{feature, Device, DeviceConfig, DeviceInfo, UsablePolicy};
pub use dma::{Dma, DmaConfig, DmaInfo, DmaKind, DmaProperties, DmaRun};
pub use dma_backend::{DmaBackend, DmaMapping, Protection};
pub use dma_plan::{Bound, DmaPlan, DmaVerdict, Fit, NotAttached};
pub use error::{Error, Reason, Refused, Result};
pub use freeze::Freeze;
pub use listener::{Listener, ListenerConfig, ListenerHandle, Veto};
pub use log::{Blame, Level, LogCode, LogRecord};
pub use memory::{CustomConfig, Memory};
pub use notify::Notify;
pub use region::{Region, RegionInfo};
pub use request::{BlockState, Malformed, RequestType, Response, Verdict};
pub use resize::{Busy, Reset, ResizeState, ResizeStatus, Stall};
pub use source::{Source, SourceConfig, SourceInfo};
pub use trace::{TraceEvent, Traced};
pub use vm::{Vm, VmConfig};
pub use vmem_sys::vmem_backing_stats as BackingStats;
pub use vmem_sys::vmem_device_saved as DeviceSaved;
pub use vmem_sys::vmem_device_stats as DeviceStats;
pub use vmem_sys::vmem_dma_stats as DmaStats;
pub use vmem_sys::vmem_range as Range;

/// Version of the library that is running, "MAJOR.MINOR.PATCH".
pub fn version() -> &'static str {
    // SAFETY: static text of the library.
    unsafe { error::text(vmem_sys::vmem_version()) }
}
