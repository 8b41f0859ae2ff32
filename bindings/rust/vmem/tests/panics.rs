// SPDX-License-Identifier: BSD-3-Clause
//! Code of the host that panics where nothing may unwind.
mod common;
use common::*;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use vmem::*;

/// Panics when it is dropped.
struct Loud(&'static str);

impl Drop for Loud {
    fn drop(&mut self) {
        panic!("{}", self.0);
    }
}

impl Notify for Loud {
    fn config_changed(&self) {
        panic!("and when it is called");
    }
}

/// Memory that panics until it works.
struct Flaky(Arc<AtomicBool>);

impl Drop for Flaky {
    fn drop(&mut self) {
        panic!("dropped");
    }
}

impl Flaky {
    fn done(&self, what: &str) -> std::result::Result<(), Veto> {
        assert!(self.0.load(Ordering::Relaxed), "no {what}");
        Ok(())
    }
}

impl Memory for Flaky {
    fn discard(&self, _: Range) -> std::result::Result<(), Veto> {
        self.done("discard")
    }

    fn populate(&self, _: Range) -> std::result::Result<(), Veto> {
        self.done("populate")
    }

    fn zero(&self, _: Range) -> std::result::Result<(), Veto> {
        self.done("zero")
    }

    fn usage(&self, _: Range) -> std::result::Result<u64, Veto> {
        self.done("usage").map(|_| 0)
    }
}

#[test]
fn a_notifier_that_panics_when_dropped_leaves_others_parked() {
    let vm = vm();
    let (one, two) = (region(&vm), Region::without_memory(&vm, "other", 16 * MIB).unwrap());
    let devices = (device(&one, "vmem0", Loud("first")), device(&two, "vmem1", Loud("second")));
    let freezes = (one.freeze("a").unwrap(), two.freeze("a").unwrap());
    drop(devices);
    assert_eq!((vm.nr_parked(), vm.nr_panics()), (2, 0));
    // Told that it thaws, freed, dropped: the other one is still whole.
    drop(freezes.0);
    assert_eq!((vm.nr_parked(), vm.nr_panics()), (1, 2));
    assert_eq!(vm.take_panic().as_deref(), Some("first"));
    drop(freezes.1);
    assert_eq!((vm.nr_parked(), vm.nr_panics()), (0, 4));
    assert_eq!(vm.take_panic().as_deref(), Some("second"));
}

#[test]
fn a_watcher_may_drop_itself_panic_and_panic_when_dropped() {
    let vm = vm();
    let slot = Arc::new(Mutex::new(None::<Watcher>));
    let (mine, loud) = (slot.clone(), Loud("dropped"));
    let watcher = vm.watch_claims(move |_| {
        let _ = &loud;
        let own = mine.lock().unwrap().take();
        drop(own);
        panic!("told");
    });
    *slot.lock().unwrap() = Some(watcher.unwrap());
    drop(vm.claim(ClaimKind::ForbidAll, "a").unwrap());
    assert_eq!((vm.nr_panics(), vm.nr_parked()), (2, 0));
    assert_eq!(vm.take_panic().as_deref(), Some("dropped"));
}

#[test]
fn what_a_panic_carries_may_panic_when_it_is_dropped() {
    let vm = vm();
    let _watcher = vm.watch_claims(|_| std::panic::panic_any(Loud("carried"))).unwrap();
    drop(vm.claim(ClaimKind::ForbidAll, "a").unwrap());
    assert_eq!(vm.take_panic().as_deref(), Some("a panic without words"));
    assert_eq!((vm.nr_panics(), vm.claims()), (2, 0));
}

#[test]
fn a_sink_and_a_clock_that_panic_when_dropped_do_not_hurt() {
    let (sink, clock) = (Loud("sink"), Loud("clock"));
    let vm = VmConfig::new("guest")
        .log(move |_| {
            let _ = &sink;
        })
        .clock_ns(move || {
            let _ = &clock;
            1
        })
        .build()
        .unwrap();
    let held = vm.clone();
    drop(vm);
    assert_eq!(held.nr_panics(), 0);
}

#[test]
fn memory_that_panics_has_failed() {
    let vm = vm();
    let config =
        CustomConfig { name: "own".into(), size: 16 * MIB, populate: true, ..Default::default() };
    let works = Arc::new(AtomicBool::new(false));
    let backing = Backing::custom(&vm, &config, Flaky(works.clone())).unwrap();
    let region = Region::new(&vm, "ram", &backing).unwrap();
    let config =
        SourceConfig { name: "blocks".into(), block_size: MIB, discards: true, populated: true };
    let blocks = region.add_source(&config).unwrap();
    // It stays behind as retained: neither given back nor zeroed.
    blocks.discard(range(0, 1)).unwrap();
    assert_eq!(region.info().unwrap().retained_size, MIB);
    assert_eq!(vm.take_panic().as_deref(), Some("no discard"));
    assert!(region.retry_discards().is_err());
    let error = blocks.populate(range(0, 1)).unwrap_err();
    assert_eq!(error.code(), -PANICKED, "{error}");
    assert_eq!(vm.take_panic().as_deref(), Some("no zero"));
    assert_eq!(backing.usage(range(0, 1)).unwrap_err().code(), -PANICKED);
    works.store(true, Ordering::Relaxed);
    blocks.populate(range(0, 1)).unwrap();
    blocks.discard(range(1, 1)).unwrap();
    works.store(false, Ordering::Relaxed);
    assert_eq!(blocks.populate(range(1, 1)).unwrap_err().code(), -PANICKED);
    works.store(true, Ordering::Relaxed);
    drop((blocks, region, backing));
    assert_eq!(vm.take_panic().as_deref(), Some("dropped"));
    assert_eq!(vm.nr_parked(), 0);
}
