// SPDX-License-Identifier: BSD-3-Clause
//! Backends that panic, call back, drop their own handles, and are called by several
//! threads.
mod common;
use common::*;
use std::ops::ControlFlow::{self, Break};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use vmem::*;

#[derive(Clone, Copy, PartialEq)]
enum Call {
    Map,
    Unmap,
    Begin,
    Commit,
    Drop,
}

/// Panics in one of its calls while it is told to.
struct Panics {
    what: Call,
    now: Arc<AtomicBool>,
    told: Told,
}

impl Panics {
    fn done(&self, what: Call, words: &str) {
        self.told.lock().unwrap().push(words.into());
        assert!(self.what != what || !self.now.load(Ordering::Relaxed), "in {words}");
    }
}

impl DmaBackend for Panics {
    fn map(&mut self, _: &DmaMapping<'_>) -> std::result::Result<(), Veto> {
        self.done(Call::Map, "map");
        Ok(())
    }

    fn unmap(&mut self, _: u64, _: u64, _: &mut u64) -> std::result::Result<(), Veto> {
        self.done(Call::Unmap, "unmap");
        Ok(())
    }

    fn begin(&mut self) {
        self.done(Call::Begin, "begin");
    }

    fn commit(&mut self) -> std::result::Result<(), Veto> {
        self.done(Call::Commit, "commit");
        Ok(())
    }
}

impl Drop for Panics {
    fn drop(&mut self) {
        self.done(Call::Drop, "drop");
    }
}

struct Case {
    vm: Vm,
    blocks: Source,
    attached: Attachment,
    now: Arc<AtomicBool>,
    told: Told,
}

/// One block is mapped; from now on it panics.
fn panics_in(what: Call) -> Case {
    let vm = vm();
    let (_, ram, blocks) = memory(&vm);
    let (now, told) = (Arc::new(AtomicBool::new(false)), Told::default());
    let backend = Panics { what, now: now.clone(), told: told.clone() };
    let config = DmaConfig::new("dma");
    let dma = Dma::custom(&vm, &config, &DmaProperties::default(), backend).unwrap();
    let attached = dma.attach(&ram, &at(4096)).unwrap();
    blocks.populate(range(0, 1)).unwrap();
    now.store(true, Ordering::Relaxed);
    take(&told);
    Case { vm, blocks, attached, now, told }
}

impl Case {
    /// It maps nothing more, and lets go of what it has.
    fn ends(self) {
        self.now.store(false, Ordering::Relaxed);
        let error = self.blocks.populate(range(5, 1)).unwrap_err();
        assert_eq!(error.code(), -PANICKED, "{error}");
        take(&self.told);
        self.attached.detach().unwrap();
        let told = take(&self.told);
        assert!(told.contains(&"unmap".into()));
        assert_eq!(told.last().map(String::as_str), Some("drop"));
        assert_eq!(self.vm.nr_parked(), 0);
    }
}

#[test]
fn a_panic_in_map_is_a_veto() {
    let case = panics_in(Call::Map);
    let error = case.blocks.populate(range(1, 1)).unwrap_err();
    assert_eq!((error.code(), error.reason()), (-PANICKED, Reason::ListenerVeto));
    assert_eq!(case.vm.take_panic().as_deref(), Some("in map"));
    assert_eq!(take(&case.told), ["begin", "map", "commit"]);
    case.ends();
}

#[test]
fn a_panic_in_unmap_leaves_it_stuck() {
    let case = panics_in(Call::Unmap);
    case.blocks.discard(range(0, 1)).unwrap();
    assert!(case.vm.nr_panics() >= 1);
    assert_eq!(case.attached.dma().stats().unwrap().nr_stuck, 1);
    assert_eq!(case.attached.dma().retry_unmaps().unwrap_err().code(), -PANICKED);
    case.ends();
}

#[test]
fn a_panic_in_begin_fails_its_batch() {
    let case = panics_in(Call::Begin);
    assert_eq!(case.blocks.populate(range(1, 1)).unwrap_err().code(), -PANICKED);
    assert_eq!(case.vm.take_panic().as_deref(), Some("in begin"));
    // It was not asked to map, nor to commit what it had not begun.
    assert_eq!(take(&case.told), ["begin"]);
    case.ends();
}

#[test]
fn a_panic_in_commit_undoes_its_batch() {
    let case = panics_in(Call::Commit);
    assert_eq!(case.blocks.populate(range(1, 1)).unwrap_err().code(), -PANICKED);
    let told = take(&case.told);
    assert_eq!(told[..5], ["begin", "map", "commit", "begin", "unmap"]);
    assert_eq!(case.vm.take_panic().as_deref(), Some("in commit"));
    case.ends();
}

#[test]
fn a_panic_when_dropped_is_caught() {
    let case = panics_in(Call::Drop);
    let (vm, now) = (case.vm, case.now);
    drop((case.attached, case.blocks));
    assert_eq!(vm.take_panic().as_deref(), Some("in drop"));
    assert_eq!((vm.nr_panics(), vm.nr_parked()), (1, 0));
    now.store(false, Ordering::Relaxed);
}

/// Calls back while it is asked to map.
struct Meddler {
    ram: Region,
    mapper: Arc<Mutex<Option<Dma>>>,
    seen: Arc<Mutex<Vec<Error>>>,
}

impl DmaBackend for Meddler {
    fn map(&mut self, _: &DmaMapping<'_>) -> std::result::Result<(), Veto> {
        let dma = self.mapper.lock().unwrap().clone().unwrap();
        assert!(dma.stats().is_ok() && dma.info().is_ok(), "queries work");
        let mut seen = self.seen.lock().unwrap();
        seen.extend(dma.attach(&self.ram, &at(8192)).err().map(Error::from));
        seen.extend(dma.retry_unmaps().err());
        seen.extend(dma.for_each_mapped(None, |_| -> ControlFlow<()> { Break(()) }).err());
        seen.extend(dma.viommu_unmap(0, MIB).1.err());
        seen.extend(self.ram.freeze("inside").err());
        Ok(())
    }

    fn unmap(&mut self, _: u64, _: u64, _: &mut u64) -> std::result::Result<(), Veto> {
        Ok(())
    }
}

#[test]
fn a_change_inside_a_backend_is_a_deadlock_error() {
    let vm = vm();
    let (_, ram, blocks) = memory(&vm);
    let (slot, seen) = (Arc::new(Mutex::new(None)), Arc::default());
    let backend = Meddler { ram: ram.clone(), mapper: slot.clone(), seen: Arc::clone(&seen) };
    let config = DmaConfig::new("dma");
    let dma = Dma::custom(&vm, &config, &DmaProperties::default(), backend).unwrap();
    *slot.lock().unwrap() = Some(dma.clone());
    let attached = dma.attach(&ram, &at(4096)).unwrap();
    blocks.populate(range(0, 1)).unwrap();
    let errors = std::mem::take(&mut *seen.lock().unwrap());
    assert_eq!(errors.len(), 5);
    assert!(errors.iter().all(Error::is_deadlock), "{errors:?}");
    // Inside a walk over mappings, too.
    let end = dma.for_each_mapped(None, |_| Break(blocks.discard(range(0, 1)))).unwrap();
    assert!(matches!(end, Break(Err(error)) if error.is_deadlock()));
    drop(attached);
    // The backend owns its region, and a slot with its own mapper.
    slot.lock().unwrap().take();
    assert_eq!((vm.nr_panics(), vm.nr_parked()), (0, 0));
}

/// Drops what it was given when it is asked to map.
struct Dropper(Arc<Mutex<Option<(Attachment, Dma)>>>, Arc<AtomicU64>);

impl DmaBackend for Dropper {
    fn map(&mut self, _: &DmaMapping<'_>) -> std::result::Result<(), Veto> {
        let own = self.0.lock().unwrap().take();
        drop(own);
        Ok(())
    }

    fn unmap(&mut self, _: u64, _: u64, _: &mut u64) -> std::result::Result<(), Veto> {
        self.1.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }
}

impl Drop for Dropper {
    fn drop(&mut self) {
        self.1.fetch_add(100, Ordering::Relaxed);
    }
}

#[test]
fn a_backend_may_drop_its_own_handles() {
    let vm = vm();
    let (_, ram, blocks) = memory(&vm);
    let (slot, nr) = (Arc::new(Mutex::new(None)), Arc::new(AtomicU64::new(0)));
    let backend = Dropper(slot.clone(), nr.clone());
    let config = DmaConfig::new("dma");
    let dma = Dma::custom(&vm, &config, &DmaProperties::default(), backend).unwrap();
    let attached = dma.attach(&ram, &at(4096)).unwrap();
    *slot.lock().unwrap() = Some((attached, dma));
    blocks.populate(range(0, 1)).unwrap();
    assert_eq!((vm.nr_parked(), nr.load(Ordering::Relaxed)), (1, 0));
    assert_eq!((vm.retry_parked(), nr.load(Ordering::Relaxed)), (0, 101));
    assert_eq!(ram.info().unwrap().nr_listeners, 0);
}

/// Notices a call within another one.
struct Alone {
    inside: Arc<AtomicBool>,
    nr: Arc<AtomicU64>,
}

impl Alone {
    fn call(&self) {
        assert!(!self.inside.swap(true, Ordering::SeqCst), "two at a time");
        std::thread::yield_now();
        self.nr.fetch_add(1, Ordering::Relaxed);
        self.inside.store(false, Ordering::SeqCst);
    }
}

impl DmaBackend for Alone {
    fn map(&mut self, _: &DmaMapping<'_>) -> std::result::Result<(), Veto> {
        self.call();
        Ok(())
    }

    fn unmap(&mut self, _: u64, _: u64, _: &mut u64) -> std::result::Result<(), Veto> {
        self.call();
        Ok(())
    }
}

#[test]
fn threads_share_a_mapper_and_take_turns() {
    let (vm, nr) = (vm(), Arc::new(AtomicU64::new(0)));
    let backend = Alone { inside: Arc::default(), nr: nr.clone() };
    let config = DmaConfig::new("dma");
    let dma = Dma::custom(&vm, &config, &DmaProperties::default(), backend).unwrap();
    let threads: Vec<_> = (0..4)
        .map(|at| {
            let (vm, dma) = (vm.clone(), dma.clone());
            std::thread::spawn(move || {
                let name = format!("ram{at}");
                let request = BackingConfig::new(&name, BackingKind::Anon, 16 * MIB);
                let backing = Backing::allocate(&vm, &request).unwrap();
                let ram = Region::new(&vm, &name, &backing).unwrap();
                let blocks = source(&ram);
                let window =
                    AttachConfig { name, iova: 4096 * MIB * (at + 1), ..Default::default() };
                for _ in 0..25 {
                    let attached = dma.attach(&ram, &window).unwrap();
                    blocks.populate(range(3, 2)).unwrap();
                    let walked = dma.for_each_mapped(Some(&attached), Break).unwrap();
                    assert!(matches!(walked, Break(run) if run.is_of(&attached)));
                    blocks.discard(range(3, 1)).unwrap();
                    drop(attached);
                    blocks.discard(range(4, 1)).unwrap();
                }
            })
        })
        .collect();
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    assert_eq!((vm.nr_panics(), vm.nr_parked()), (0, 0));
    assert_eq!(nr.load(Ordering::Relaxed), 4 * 25 * 4);
    assert_eq!(dma.stats().unwrap().nr_mappings, 0);
}
