// SPDX-License-Identifier: BSD-3-Clause
//! What the compiler refuses, because it would not be safe: tests that must not
//! compile, each beside one that does.
//!
//! A bitmap goes to other threads, but is not shared between them.
//!
//! ```
//! fn is_send<T: Send>() {}
//! is_send::<vmem::Bitmap>();
//! ```
//! ```compile_fail,E0277
//! fn is_sync<T: Sync>() {}
//! is_sync::<vmem::Bitmap>();
//! ```
//!
//! A listener is called by whatever thread changes its region.
//!
//! ```
//! struct Follows(std::sync::Arc<u32>);
//! impl vmem::Listener for Follows {
//!     fn populate(&mut self, _: vmem::Range) -> Result<(), vmem::Veto> { Ok(()) }
//!     fn discard(&mut self, _: vmem::Range) {}
//! }
//! ```
//! ```compile_fail,E0277
//! struct Follows(std::rc::Rc<u32>);
//! impl vmem::Listener for Follows {
//!     fn populate(&mut self, _: vmem::Range) -> Result<(), vmem::Veto> { Ok(()) }
//!     fn discard(&mut self, _: vmem::Range) {}
//! }
//! ```
//!
//! Notifications overlap, so what they write is locked.
//!
//! ```
//! struct Counts(std::sync::Mutex<u32>);
//! impl vmem::Notify for Counts {}
//! ```
//! ```compile_fail,E0277
//! struct Counts(std::cell::Cell<u32>);
//! impl vmem::Notify for Counts {}
//! ```
//!
//! What the library keeps lives as long as it may be called: nothing of a stack.
//!
//! ```
//! fn watch(vm: &vmem::Vm) {
//!     let _ = vm.watch_claims(move |claims| drop(claims));
//! }
//! ```
//! ```compile_fail,E0521
//! fn watch(vm: &vmem::Vm, seen: &std::sync::atomic::AtomicU32) {
//!     let _ = vm.watch_claims(move |claims| {
//!         seen.store(claims, std::sync::atomic::Ordering::Relaxed)
//!     });
//! }
//! ```
//!
//! A record and a mapping are gone after the call.
//!
//! ```
//! let config = vmem::VmConfig::new("guest").log(|record| drop(record.message.to_owned()));
//! ```
//! ```compile_fail
//! let kept = std::sync::Mutex::new(Vec::new());
//! let config = vmem::VmConfig::new("guest")
//!     .log(move |record| kept.lock().unwrap().push(record.message));
//! ```
//!
//! What was removed is not used again.
//!
//! ```
//! fn remove(source: vmem::Source, range: vmem::Range) {
//!     let _ = source.discard(range);
//!     let _ = source.remove();
//! }
//! ```
//! ```compile_fail,E0382
//! fn remove(source: vmem::Source, range: vmem::Range) {
//!     let _ = source.remove();
//!     let _ = source.discard(range);
//! }
//! ```
