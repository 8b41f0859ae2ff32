// SPDX-License-Identifier: BSD-3-Clause
//! Listeners: told, asked, refused, and panicking.
mod common;
use common::*;
use std::sync::{Arc, Mutex};
use vmem::{Error, Listener, Range, Reason, Region, Veto, PANICKED};

#[test]
fn a_listener_is_replayed_told_and_destroyed() {
    let (vm, told) = (vm(), Told::default());
    let region = region(&vm);
    let source = source(&region);
    source.populate(range(2, 2)).unwrap();
    let listener =
        region.add_listener(&named("a"), Recorder { told: told.clone(), vetoes: false }).unwrap();
    assert_eq!(take(&told), ["populate 2 2"]);
    source.discard(range(2, 1)).unwrap();
    assert_eq!(take(&told), ["discard 2 1"]);
    drop(listener);
    assert_eq!(take(&told), ["discard 3 1", "destroy"]);
}

#[test]
fn a_veto_comes_back_as_the_error() {
    let (vm, told) = (vm(), Told::default());
    let region = region(&vm);
    let source = source(&region);
    let _a = region
        .add_listener(&named("first"), Recorder { told: told.clone(), vetoes: false })
        .unwrap();
    let _b =
        region.add_listener(&named("second"), Recorder { told: Told::default(), vetoes: true });
    let error = source.populate(range(0, 1)).unwrap_err();
    assert_eq!((error.code(), error.reason()), (-Veto::BUSY.errno(), Reason::ListenerVeto));
    assert!(error.is_busy());
    assert!(error.message().contains("second"), "{error}");
    assert_eq!(error.range(), Some(range(0, 1)));
    assert_eq!(take(&told), ["populate 0 1", "discard 0 1"]);
    assert!(!region.is_populated(range(0, 1)));
}

#[test]
fn a_listener_that_cannot_join_is_destroyed_all_the_same() {
    let (vm, told) = (vm(), Told::default());
    let region = region(&vm);
    let mut config = named("a");
    config.granularity = 3;
    let error =
        region.add_listener(&config, Recorder { told: told.clone(), vetoes: false }).err().unwrap();
    assert_eq!(error.reason(), Reason::Alignment, "{error}");
    assert_eq!(take(&told), ["destroy"]);
    let veto = Recorder { told: told.clone(), vetoes: true };
    assert!(region.add_listener(&named("b"), veto).err().unwrap().is_busy());
    assert_eq!(take(&told), ["populate 0 16", "destroy"]);
}

/// Does not let go while it is told not to; then, of one range, it panics.
struct Keeper {
    keeps: Arc<Mutex<bool>>,
    told: Told,
}

impl Listener for Keeper {
    fn populate(&mut self, _: Range) -> Result<(), Veto> {
        Ok(())
    }

    fn discard(&mut self, range: Range) {
        self.told.lock().unwrap().push(format!("discard {}", range.offset / MIB));
    }

    fn may_discard(&mut self, at: Range) -> Result<(), Veto> {
        assert!(at != range(3, 1), "not this one");
        if *self.keeps.lock().unwrap() {
            return Err(Veto::BUSY);
        }
        Ok(())
    }
}

#[test]
fn a_listener_may_keep_what_it_has() {
    let (vm, told, keeps) = (vm(), Told::default(), Arc::new(Mutex::new(true)));
    let region = region(&vm);
    let source = source(&region);
    source.populate(range(0, 4)).unwrap();
    let keeper = Keeper { keeps: keeps.clone(), told: told.clone() };
    let _listener = region.add_listener(&named("keeper"), keeper).unwrap();
    let error = source.discard(range(0, 1)).unwrap_err();
    assert_eq!((error.code(), error.reason()), (-Veto::BUSY.errno(), Reason::ListenerVeto));
    assert!(error.message().contains("keeper"), "{error}");
    assert!(region.is_populated(range(0, 4)));
    *keeps.lock().unwrap() = false;
    source.discard(range(0, 1)).unwrap();
    assert_eq!(take(&told), ["discard 0"]);
    // A panic is a no. After it the listener is not asked again, but still told.
    assert_eq!(source.discard(range(3, 1)).unwrap_err().code(), -PANICKED);
    assert!(region.is_populated(range(3, 1)));
    *keeps.lock().unwrap() = true;
    source.discard(range(1, 3)).unwrap();
    assert_eq!(take(&told), ["discard 1"]);
}

/// Changes the region from inside its own callback.
struct Meddler {
    region: Region,
    seen: Arc<Mutex<Vec<Error>>>,
}

impl Listener for Meddler {
    fn populate(&mut self, _: Range) -> Result<(), Veto> {
        assert!(self.region.info().is_ok(), "queries work");
        let mut seen = self.seen.lock().unwrap();
        seen.extend(self.region.freeze("inside").err());
        seen.extend(self.region.add_listener(&named("b"), Recorder::default()).err());
        Ok(())
    }

    fn discard(&mut self, _: Range) {}
}

#[test]
fn a_change_inside_a_callback_is_a_deadlock_error() {
    let vm = vm();
    let region = region(&vm);
    let seen = Arc::default();
    let meddler = Meddler { region: region.clone(), seen: Arc::clone(&seen) };
    let listener = region.add_listener(&named("a"), meddler).unwrap();
    let errors = seen.lock().unwrap().drain(..).collect::<Vec<_>>();
    assert_eq!(errors.len(), 2);
    assert!(errors.iter().all(Error::is_deadlock));
    assert_eq!(errors[0].reason(), Reason::Reentered);
    drop(listener);
    assert_eq!((vm.nr_panics(), vm.nr_parked()), (0, 0));
}

struct Panics {
    in_discard: bool,
}

impl Listener for Panics {
    fn populate(&mut self, range: Range) -> Result<(), Veto> {
        assert!(self.in_discard || range.offset == 0, "out of ideas");
        Ok(())
    }

    fn discard(&mut self, _: Range) {
        assert!(!self.in_discard, "cannot let go");
    }
}

impl Drop for Panics {
    fn drop(&mut self) {
        panic!("not even this");
    }
}

#[test]
fn a_panic_is_a_veto_and_the_listener_is_broken() {
    let vm = vm();
    let region = region(&vm);
    let source = source(&region);
    let listener = region.add_listener(&named("a"), Panics { in_discard: false }).unwrap();
    source.populate(range(0, 1)).unwrap();
    let error = source.populate(range(4, 1)).unwrap_err();
    assert_eq!((error.code(), error.reason()), (-PANICKED, Reason::ListenerVeto));
    assert_eq!(vm.nr_panics(), 1);
    assert_eq!(vm.take_panic().as_deref(), Some("out of ideas"));
    assert_eq!(vm.take_panic(), None);
    // Nobody asks it again, but it still hears of discards.
    source.discard(range(0, 1)).unwrap();
    assert_eq!(source.populate(range(0, 1)).unwrap_err().code(), -PANICKED);
    assert_eq!(vm.nr_panics(), 1);
    drop(listener);
    assert_eq!(vm.take_panic().as_deref(), Some("not even this"));
}

#[test]
fn a_panic_in_a_discard_does_not_stop_the_discard() {
    let vm = vm();
    let region = region(&vm);
    let source = source(&region);
    source.populate(range(0, 2)).unwrap();
    let _listener = region.add_listener(&named("a"), Panics { in_discard: true }).unwrap();
    source.discard(range(0, 1)).unwrap();
    assert!(!region.is_populated(range(0, 1)));
    assert_eq!(vm.take_panic().as_deref(), Some("cannot let go"));
    assert_eq!(source.populate(range(0, 1)).unwrap_err().code(), -PANICKED);
}
