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
    assert_eq!(source.page_bitmap(Some(range(1, 3)), MIB).unwrap(), [0b1]);
    assert_eq!(source.page_bitmap(Some(range(15, 2)), MIB).unwrap_err().code(), -34);
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
    let config = BackingConfig {
        path: Some("/nonexistent/ram".into()),
        ..BackingConfig::new("ram", BackingKind::File, MIB)
    };
    let missing = Backing::allocate(&vm, &config).err().unwrap().to_string();
    assert!(missing.ends_with("ram: No such file or directory (errno 2)"), "{missing}");
    let region = region(&vm);
    let _source = source(&region);
    let config = SourceConfig { name: "blocks".into(), block_size: MIB, ..Default::default() };
    assert_eq!(region.add_source(&config).err().unwrap().reason(), Reason::Duplicate);
    assert_eq!(Reason::from_raw(4711), Reason::Unknown(4711));
    assert_eq!(vmem::version(), env!("CARGO_PKG_VERSION"));
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
    assert_eq!((bitmap.count(0, 20), bitmap.count(60, u64::MAX)), (10, 64));
    assert_eq!(bitmap.state(10, 54), BitmapState::AllSet);
    assert_eq!(bitmap.state(125, 1), BitmapState::AllClear);
    assert_eq!(bitmap.state(60, 10), BitmapState::Mixed);
    let mut runs = Vec::new();
    let end = bitmap.for_each_set(20, 100, |run| {
        runs.push(run);
        ControlFlow::<()>::Continue(())
    });
    assert_eq!((end, runs), (Continue(()), vec![(20, 44), (65, 55)]));
    assert_eq!(bitmap.for_each_clear(0, u64::MAX, Break), Break((0, 10)));
    assert_eq!(bitmap.words(60, 10).unwrap(), [0b11_1110_1111]);
    assert_eq!(bitmap.words(0, 1000).unwrap().len(), 16);
    assert_eq!(bitmap.words(0, u64::MAX).unwrap_err().code(), -34);
    assert_eq!(bitmap.words(1000, 0).unwrap(), [0; 0]);
}

#[test]
fn a_source_says_what_it_has() {
    let vm = vm();
    let region = region(&vm);
    let source = source(&region);
    source.populate(range(1, 2)).unwrap();
    let info = source.info().unwrap();
    assert_eq!((source.name(), info.block_size, info.populated_size), ("blocks", MIB, 2 * MIB));
    assert_eq!((info.retained_size, info.discards), (0, false));
}

#[test]
fn memory_without_a_region_is_filled_and_emptied() {
    let vm = vm();
    let config = BackingConfig::new("ram", BackingKind::Memfd, 16 * MIB);
    let backing = Backing::allocate(&vm, &config).unwrap();
    backing.populate(range(1, 2)).unwrap();
    let usage = backing.usage(range(0, 16)).unwrap();
    assert_eq!(usage, BackingUsage { resident: 2 * MIB, method: UsageMethod::StBlocks });
    backing.discard(range(1, 1)).unwrap();
    assert_eq!(backing.usage(range(0, 16)).unwrap().resident, MIB);
    let _region = Region::new(&vm, "ram", &backing).unwrap();
    assert!(backing.discard(range(0, 1)).unwrap_err().is_busy());
    assert!(backing.populate(range(0, 1)).unwrap_err().is_busy());
}

#[test]
fn an_inventory_is_walked() {
    let vm = vm();
    let region = region(&vm);
    let _other = Region::without_memory(&vm, "other", 16 * MIB).unwrap();
    let dev = device(&region, "vmem0", ());
    let mut names = Vec::new();
    let end = vm.for_each_region(|name, info| {
        names.push((name.to_owned(), info.size, info.nr_sources));
        ControlFlow::<()>::Continue(())
    });
    assert_eq!(end.unwrap(), Continue(()));
    assert_eq!(names, [("ram".into(), 16 * MIB, 1), ("other".into(), 16 * MIB, 0)]);
    let found = vm.for_each_device(|name, info| Break((name.to_owned(), info.gpa))).unwrap();
    assert_eq!(found, Break(("vmem0".to_owned(), 4096 * MIB)));
    let mut dev = Some(dev);
    let made = vm.for_each_region(|_, _| {
        dev.take();
        Break(Region::without_memory(&vm, "third", MIB).err())
    });
    assert!(matches!(made.unwrap(), Break(Some(error)) if error.is_deadlock()));
    assert_eq!((vm.nr_parked(), vm.retry_parked()), (1, 0));
    let none = vm.for_each_device(|_, _| Break(())).unwrap();
    assert_eq!(none, Continue(()));
    let panicked = catch_unwind(AssertUnwindSafe(|| {
        let _ = vm.for_each_region(|_, _| -> ControlFlow<()> { panic!("in a walk") });
    }));
    assert!(panicked.is_err());
    Region::without_memory(&vm, "third", MIB).unwrap();
}

#[test]
fn a_request_may_lie_in_pieces() {
    let vm = vm();
    let region = region(&vm);
    let dev = device(&region, "vmem0", ());
    dev.resize(MIB).unwrap();
    let mut request = [0u8; 24];
    request[8..16].copy_from_slice(&(4096 * MIB).to_le_bytes());
    request[16] = 1;
    let mut response = [0xffu8; 10];
    let piece = |at: *mut u8, nr| vmem_sys::iovec { iov_base: at.cast(), iov_len: nr };
    let at = request.as_mut_ptr();
    // SAFETY: all pieces lie in these arrays.
    let verdict = unsafe {
        let readable = [piece(at, 9), piece(at.add(9), 15)];
        dev.handle_request_iov(&readable, &[piece(response.as_mut_ptr(), 10)])
    };
    let ack = Verdict::Respond {
        used_size: 10,
        request: RequestType::Plug,
        response: Response::Ack,
        reason: None,
    };
    assert_eq!(verdict.unwrap(), ack);
    assert_eq!((response[0], dev.info().unwrap().plugged_size), (0, MIB));
    // SAFETY: no piece has an address.
    let verdict = unsafe { dev.handle_request_iov(&[piece(std::ptr::null_mut(), 24)], &[]) };
    assert_eq!(verdict.unwrap(), Verdict::Malformed { why: Malformed::Address });
}

#[test]
fn a_bitmap_larger_than_memory_is_an_error() {
    let vm = vm();
    let region = Region::without_memory(&vm, "huge", 1 << 62).unwrap();
    let error = region.page_bitmap(None, 1).unwrap_err();
    assert_eq!((error.code(), error.reason()), (-12, Reason::NoMemory));
}
