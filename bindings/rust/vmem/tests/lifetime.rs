// SPDX-License-Identifier: BSD-3-Clause
//! Handles dropped in any order, on any thread, and inside callbacks.
mod common;
use common::*;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Barrier, Mutex};
use vmem::*;

#[test]
fn parents_may_be_dropped_first() {
    let vm = vm();
    let request = BackingConfig::new("ram", BackingKind::Memfd, 16 * MIB);
    let backing = Backing::allocate(&vm, &request).unwrap();
    let region = Region::new(&vm, "ram", &backing).unwrap();
    let device = device(&region, "vmem0", ());
    drop(vm);
    drop(backing);
    drop(region);
    device.resize(8 * MIB).unwrap();
    assert_eq!(device.region().vm().name(), "guest");
    assert_eq!(device.region().backing().unwrap().size(), 16 * MIB);
}

#[test]
fn a_device_with_listeners_is_parked_until_they_leave() {
    let (vm, told) = (vm(), Told::default());
    let region = region(&vm);
    let dev = device(&region, "vmem0", ());
    let listener =
        region.add_listener(&named("a"), Recorder { told: told.clone(), vetoes: false }).unwrap();
    let refused = dev.free().err().unwrap();
    assert!(refused.error.is_busy());
    assert_eq!(refused.error.reason(), Reason::InUse);
    drop(refused.handle);
    assert_eq!((vm.nr_parked(), vm.retry_parked()), (1, 1));
    drop(listener);
    assert_eq!(vm.nr_parked(), 0);
    assert_eq!(take(&told), ["destroy"]);
    // Its name and source are free again.
    device(&region, "vmem0", ()).free().unwrap();
}

#[test]
fn a_device_of_a_frozen_region_is_parked_until_it_thaws() {
    let vm = vm();
    let region = region(&vm);
    let dev = device(&region, "vmem0", ());
    let freeze = region.freeze("migration").unwrap();
    assert!(region.is_frozen());
    drop(dev);
    assert_eq!(vm.nr_parked(), 1);
    drop(freeze);
    assert_eq!((vm.nr_parked(), region.is_frozen()), (0, false));
}

/// Drops what it was given, inside a callback.
struct Dropper<T: Send>(Arc<Mutex<Option<T>>>);

impl<T: Send> Listener for Dropper<T> {
    fn populate(&mut self, _: Range) -> std::result::Result<(), Veto> {
        drop(self.0.lock().unwrap().take());
        Ok(())
    }

    fn discard(&mut self, _: Range) {}
}

#[test]
fn handles_dropped_inside_a_callback_are_parked() {
    let vm = vm();
    let (ram, other) = (region(&vm), Region::without_memory(&vm, "other", MIB).unwrap());
    let blocks = source(&ram);
    let told = Told::default();
    let recorder = Recorder { told: told.clone(), vetoes: false };
    let handles = (
        other.add_listener(&named("other"), recorder).unwrap(),
        other.freeze("somebody").unwrap(),
        vm.claim(ClaimKind::NeedCoordinated, "balloon").unwrap(),
        vm.watch_claims(|_| ()).unwrap(),
        other,
    );
    let slot = Arc::new(Mutex::new(Some(handles)));
    let listener = ram.add_listener(&named("dropper"), Dropper(slot)).unwrap();
    blocks.populate(range(0, 1)).unwrap();
    assert_eq!(vm.nr_parked(), 4);
    assert!(ClaimKind::NeedCoordinated.is_in(vm.claims()));
    drop(listener);
    assert_eq!((vm.nr_parked(), vm.claims()), (0, 0));
    assert_eq!(take(&told), ["populate 0 1", "discard 0 1", "destroy"]);
}

#[test]
fn a_listener_may_drop_its_own_handle() {
    let vm = vm();
    let ram = region(&vm);
    let blocks = source(&ram);
    let slot = Arc::new(Mutex::new(None));
    let listener = ram.add_listener(&named("dropper"), Dropper(slot.clone())).unwrap();
    *slot.lock().unwrap() = Some(listener);
    blocks.populate(range(0, 1)).unwrap();
    assert_eq!(vm.nr_parked(), 1);
    assert_eq!(vm.retry_parked(), 0);
    assert_eq!(ram.info().unwrap().nr_listeners, 0);
}

/// Frees its own device in a notification.
struct Quitter(Arc<Mutex<Option<Device>>>, Arc<AtomicUsize>);

impl Notify for Quitter {
    fn config_changed(&self) {
        drop(self.0.lock().unwrap().take());
    }
}

impl Drop for Quitter {
    fn drop(&mut self) {
        self.1.fetch_add(1, Ordering::Relaxed);
    }
}

#[test]
fn a_device_may_be_freed_by_its_own_notification() {
    let vm = vm();
    let ram = region(&vm);
    let (slot, nr_gone) = (Arc::new(Mutex::new(None)), Arc::new(AtomicUsize::new(0)));
    let dev = device(&ram, "vmem0", Quitter(slot.clone(), nr_gone.clone()));
    let raw = dev.as_raw();
    *slot.lock().unwrap() = Some(dev);
    // SAFETY: alive when the call starts; the library lets its notifications free it.
    assert_eq!(unsafe { vmem_sys::vmem_device_notify_config(raw) }, 0);
    assert!(slot.lock().unwrap().is_none());
    assert_eq!((vm.nr_parked(), nr_gone.load(Ordering::Relaxed)), (0, 1));
    assert_eq!(ram.info().unwrap().nr_sources, 0);
}

#[test]
fn a_watcher_may_drop_itself() {
    let vm = vm();
    let slot = Arc::new(Mutex::new(None::<Watcher>));
    let (drops, nr) = (slot.clone(), Arc::new(AtomicUsize::new(0)));
    let counts = nr.clone();
    let watcher = vm.watch_claims(move |_| {
        counts.fetch_add(1, Ordering::Relaxed);
        let mine = drops.lock().unwrap().take();
        drop(mine);
    });
    *slot.lock().unwrap() = Some(watcher.unwrap());
    drop(vm.claim(ClaimKind::ForbidAll, "a").unwrap());
    assert_eq!((nr.load(Ordering::Relaxed), vm.nr_parked()), (1, 0));
}

#[test]
fn handles_go_to_other_threads() {
    fn assert_send_sync<T: Send + Sync>() {}
    assert_send_sync::<(Vm, Backing, Region, Source, ListenerHandle)>();
    assert_send_sync::<(Device, Freeze, Claim, Watcher, Error)>();
    let vm = vm();
    let ram = region(&vm);
    let dev = Arc::new(device(&ram, "vmem0", ()));
    let recorder = Recorder::default();
    let told = recorder.told.clone();
    let listener = ram.add_listener(&named("a"), recorder).unwrap();
    let threads: Vec<_> = (0..4u64)
        .map(|nr| {
            let dev = dev.clone();
            std::thread::spawn(move || {
                for _ in 0..50 {
                    dev.resize(16 * MIB).unwrap();
                    for kind in [0u8, 1] {
                        let mut request = [0; 24];
                        request[0] = kind;
                        let gpa = 4096 * MIB + nr * 4 * MIB;
                        request[8..16].copy_from_slice(&gpa.to_le_bytes());
                        request[16] = 4;
                        let mut response = [0xff; 10];
                        let verdict = dev.handle_request(&request, &mut response).unwrap();
                        assert!(matches!(
                            verdict,
                            Verdict::Respond { response: Response::Ack, .. }
                        ));
                        assert_eq!(response[0], 0);
                    }
                }
            })
        })
        .collect();
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    let verdict = dev.handle_request(&[0; 5], &mut [0; 10]).unwrap();
    assert_eq!(verdict, Verdict::Malformed { why: Malformed::ShortRequest });
    assert_eq!(dev.stats().unwrap().nr_requests[0][0], 200);
    assert_eq!(take(&told).len(), 400);
    drop((dev, listener));
    assert_eq!(vm.nr_parked(), 0);
}

#[test]
fn handles_that_wait_for_each_other_may_go_on_several_threads_at_once() {
    let vm = vm();
    for _ in 0..100 {
        let ram = region(&vm);
        let dev = device(&ram, "vmem0", ());
        let listener = ram.add_listener(&named("a"), Recorder::default()).unwrap();
        let freeze = ram.freeze("somebody").unwrap();
        let start = Barrier::new(3);
        std::thread::scope(|scope| {
            fn goes<T: Send>(start: &Barrier, handle: T) {
                start.wait();
                drop(handle);
            }
            scope.spawn(|| goes(&start, (dev, ram)));
            scope.spawn(|| goes(&start, listener));
            scope.spawn(|| goes(&start, freeze));
        });
        assert_eq!(vm.nr_parked(), 0);
    }
}

/// Memory whose callbacks change their own machine, and drop a handle.
struct Inside(Arc<Mutex<(Option<Region>, Option<Claim>, Vec<Error>)>>);

impl Memory for Inside {
    fn discard(&self, _: Range) -> std::result::Result<(), Veto> {
        let mut slot = self.0.lock().unwrap();
        let error = slot.0.as_ref().and_then(|region| region.freeze("inside").err());
        slot.2.extend(error);
        let claim = slot.1.take();
        drop(claim);
        Ok(())
    }

    fn zero(&self, _: Range) -> std::result::Result<(), Veto> {
        Ok(())
    }

    fn usage(&self, _: Range) -> std::result::Result<u64, Veto> {
        Ok(0)
    }
}

#[test]
fn memory_changes_nothing_in_its_callbacks() {
    let vm = vm();
    let claim = vm.claim(ClaimKind::NeedCoordinated, "balloon").unwrap();
    let slot = Arc::new(Mutex::new((None, Some(claim), Vec::new())));
    let config = CustomConfig { name: "own".into(), size: 16 * MIB, ..Default::default() };
    let backing = Backing::custom(&vm, &config, Inside(slot.clone())).unwrap();
    let ram = Region::new(&vm, "ram", &backing).unwrap();
    slot.lock().unwrap().0 = Some(ram.clone());
    let config =
        SourceConfig { name: "blocks".into(), block_size: MIB, discards: true, populated: true };
    let blocks = ram.add_source(&config).unwrap();
    blocks.discard(range(0, 1)).unwrap();
    let (region, _, errors) = std::mem::take(&mut *slot.lock().unwrap());
    assert!(!errors.is_empty() && errors.iter().all(Error::is_deadlock), "{errors:?}");
    assert_eq!((vm.nr_parked(), vm.retry_parked()), (1, 0));
    drop(region);
}

/// Changes its own region in a notification.
struct Changer(Region, Arc<AtomicUsize>);

impl Notify for Changer {
    fn size_changed(&self, _: u64) {
        let freeze = self.0.freeze("notified").unwrap();
        self.0.add_listener(&named("b"), Recorder::default()).unwrap();
        drop(freeze);
        self.1.fetch_add(1, Ordering::Relaxed);
    }
}

#[test]
fn a_notification_changes_what_it_likes() {
    let (vm, nr) = (vm(), Arc::new(AtomicUsize::new(0)));
    let ram = region(&vm);
    let dev = device(&ram, "vmem0", Changer(ram.clone(), nr.clone()));
    dev.resize(MIB).unwrap();
    let mut request = [0; 24];
    request[8..16].copy_from_slice(&(4096 * MIB).to_le_bytes());
    request[16] = 1;
    dev.handle_request(&request, &mut [0; 10]).unwrap();
    assert_eq!((nr.load(Ordering::Relaxed), vm.nr_panics()), (1, 0));
}

#[test]
fn log_and_clock_of_the_host_are_used_and_may_panic() {
    let lines = Arc::new(Mutex::new(Vec::new()));
    let writes = lines.clone();
    let vm = VmConfig::new("guest")
        .log(move |record| {
            writes.lock().unwrap().push((record.code, record.blame, record.object.to_owned()));
            panic!("the sink is full");
        })
        .clock_ns(|| panic!("no clock"))
        .build()
        .unwrap();
    let ram = region(&vm);
    let dev = device(&ram, "vmem0", ());
    dev.handle_request(&[9; 24], &mut [0; 10]).unwrap();
    assert_eq!(*lines.lock().unwrap(), [(LogCode::Malformed, Blame::Guest, "vmem0".to_owned())]);
    assert!(vm.nr_panics() > 1);
}
