// SPDX-License-Identifier: BSD-3-Clause
//! Walks, queries, custom memory, claims, errors.
mod common;
use common::*;
use std::ops::ControlFlow::{self, Break, Continue};
use std::panic::{catch_unwind, AssertUnwindSafe};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use vmem::*;

#[test]
fn a_walk_visits_stops_and_lets_panics_through() {
    let vm = vm();
    let region = region(&vm);
    let source = source(&region);
    source.populate(range(1, 2)).unwrap();
    source.populate(range(8, 1)).unwrap();
    let mut runs = Vec::new();
    let end = region.for_each_populated(None, |run| {
        runs.push(run);
        ControlFlow::<()>::Continue(())
    });
    assert_eq!(end.unwrap(), Continue(()));
    assert_eq!(runs, [range(1, 2), range(8, 1)]);
    let first = region.for_each_discarded(Some(range(1, 15)), Break).unwrap();
    assert_eq!(first, Break(range(3, 5)));
    let error = region.for_each_populated(Some(range(9, 9)), Break).unwrap_err();
    assert_eq!(error.code(), -34);

    let panicked = catch_unwind(AssertUnwindSafe(|| {
        let _ = region.for_each_populated(None, |_| -> ControlFlow<()> { panic!("in a walk") });
    }));
    assert_eq!(panicked.unwrap_err().downcast_ref::<&str>(), Some(&"in a walk"));
    // The lock was given back.
    source.discard(range(8, 1)).unwrap();
    assert_eq!(vm.nr_panics(), 0);
}

#[test]
fn work_is_done_only_while_a_range_is_populated() {
    let vm = vm();
    let region = region(&vm);
    let source = source(&region);
    source.populate(range(0, 2)).unwrap();
    let inside = region.with_populated(range(0, 2), || source.discard(range(0, 1)));
    assert!(inside.unwrap().unwrap_err().is_deadlock());
    let error = region.with_populated(range(1, 2), || ()).unwrap_err();
    assert_eq!((error.reason(), error.range()), (Reason::NotPopulated, Some(range(2, 1))));
    assert_eq!(region.page_bitmap(None, MIB).unwrap(), [0b11]);
    assert_eq!(region.page_bitmap(None, 0).unwrap_err().code(), -22);
}

#[test]
fn errors_say_what_and_why() {
    let error = Vm::new("with\0NUL").err().unwrap();
    assert_eq!((error.code(), error.reason()), (-22, Reason::Argument));
    let error = Vm::new("").err().unwrap();
    assert_eq!(error.reason(), Reason::Argument);
    assert!(error.to_string().ends_with("(errno 22)"), "{error}");
    let _: &dyn std::error::Error = &error;
    let vm = vm();
    let region = region(&vm);
    let _source = source(&region);
    let config = SourceConfig { name: "blocks".into(), block_size: MIB, ..Default::default() };
    assert_eq!(region.add_source(&config).err().unwrap().reason(), Reason::Duplicate);
    assert_eq!(Reason::from_raw(4711), Reason::Unknown(4711));
    assert_eq!(vmem::version(), env!("CARGO_PKG_VERSION"));
}

#[test]
fn every_reason_of_the_library_has_a_name_here() {
    for raw in 0..1000 {
        // SAFETY: any number is allowed, and the name is static.
        let name = unsafe { std::ffi::CStr::from_ptr(vmem_sys::vmem_reason_name(raw)) };
        let known = Reason::from_raw(raw) != Reason::Unknown(raw);
        assert_eq!(known, name.to_bytes() != b"unknown", "{raw} is {name:?}");
    }
}

/// Memory that is nowhere.
struct Nowhere {
    discards: Arc<Mutex<Vec<Range>>>,
}

impl Memory for Nowhere {
    fn discard(&self, range: Range) -> std::result::Result<(), Veto> {
        self.discards.lock().unwrap().push(range);
        Ok(())
    }

    fn zero(&self, _: Range) -> std::result::Result<(), Veto> {
        Err(Veto::from_errno(95))
    }

    fn usage(&self, _: Range) -> std::result::Result<u64, Veto> {
        panic!("who knows")
    }
}

#[test]
fn custom_memory_is_called() {
    let vm = vm();
    let discards = Arc::default();
    let config = CustomConfig { name: "own".into(), size: 16 * MIB, ..Default::default() };
    let memory = Nowhere { discards: Arc::clone(&discards) };
    let backing = Backing::custom(&vm, &config, memory).unwrap();
    assert!(backing.hva().is_null());
    let region = Region::new(&vm, "ram", &backing).unwrap();
    let config =
        SourceConfig { name: "s".into(), block_size: MIB, discards: true, populated: true };
    let source = region.add_source(&config).unwrap();
    source.discard(range(3, 1)).unwrap();
    assert_eq!(*discards.lock().unwrap(), [range(3, 1)]);
    assert_eq!(backing.usage(range(0, 1)).unwrap_err().code(), -PANICKED);
    assert_eq!(vm.take_panic().as_deref(), Some("who knows"));
}

#[test]
fn claims_conflict_and_are_watched() {
    let vm = vm();
    let seen = Arc::new(AtomicU32::new(0));
    let sees = seen.clone();
    let watcher = vm.watch_claims(move |claims| sees.store(claims, Ordering::Relaxed)).unwrap();
    let claim = vm.claim(ClaimKind::ForbidAll, "pinner").unwrap();
    assert!(ClaimKind::ForbidAll.is_in(seen.load(Ordering::Relaxed)));
    assert!(vm.is_uncoordinated_forbidden());
    let error = vm.claim(ClaimKind::NeedCoordinated, "mem").err().unwrap();
    assert_eq!(error.reason(), Reason::ClaimConflict);
    assert!(error.message().contains("pinner"), "{error}");
    let owner = vm.for_each_claim(|kind, owner| Break((kind, owner.to_owned()))).unwrap();
    assert_eq!(owner, Break((ClaimKind::ForbidAll, "pinner".to_owned())));
    drop(claim);
    assert_eq!((vm.claims(), seen.load(Ordering::Relaxed)), (0, 0));
    drop(watcher);
    let _claim = vm.claim(ClaimKind::NeedCoordinated, "mem").unwrap();
    assert_eq!(seen.load(Ordering::Relaxed), 0);
    assert!(vm.is_discard_needed());
}

#[test]
fn a_bitmap_stands_alone() {
    let mut bitmap = Bitmap::new(1000).unwrap();
    assert_eq!(bitmap.set(10, 20).unwrap(), 20);
    assert_eq!(bitmap.set(25, 100).unwrap(), 95);
    assert_eq!(bitmap.clear(64, 1).unwrap(), 1);
    assert_eq!(bitmap.set(990, 20).unwrap_err().code(), -34);
    assert_eq!((bitmap.nr_blocks(), bitmap.nr_set()), (1000, 114));
    assert!(bitmap.is_set(10) && !bitmap.is_set(64) && !bitmap.is_set(5000));
    assert_eq!(bitmap.runs(0, u64::MAX).collect::<Vec<_>>(), [(10, 54), (65, 60)]);
}
