// SPDX-License-Identifier: BSD-3-Clause
//! Memory that the host has mapped, or reaches itself.
mod common;
use common::*;
use std::os::raw::c_void;
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;
use vmem::*;

/// A multiple of every kernel's page.
const PAGE: usize = 65_536;

/// Memory of this test, as a host has mapped it.
fn mapping(page: &mut [u8]) -> vmem_sys::vmem_backing_mapping {
    let skip = page.as_ptr().align_offset(PAGE);
    vmem_sys::vmem_backing_mapping {
        name: b"own\0".as_ptr().cast(),
        hva: page[skip..].as_mut_ptr().cast::<c_void>(),
        size: 4 * PAGE as u64,
        ..Default::default()
    }
}

#[test]
fn memory_of_the_host_is_described_and_attached_where_it_says() {
    let (vm, iommu) = (vm(), Iommu::default());
    let mut bytes = vec![7; 5 * PAGE];
    let described = mapping(&mut bytes);
    // SAFETY: it stays, and is only looked at again below.
    let backing = unsafe { Backing::describe(&vm, &described) }.unwrap();
    assert_eq!((backing.hva(), backing.size()), (described.hva, described.size));
    assert_eq!(PAGE as u64 % backing.page_size(), 0);
    assert!(backing.default_block_size().is_power_of_two());
    backing.discard(Range { offset: PAGE as u64, size: PAGE as u64 }).unwrap();
    let ram = Region::new(&vm, "ram", &backing).unwrap();
    let dma = mapper(&vm, &iommu);
    // SAFETY: as above, and nothing is a device.
    let attached = unsafe { dma.attach_mapped(&ram, &at(4096), described.hva) }.unwrap();
    assert_eq!(take(&iommu.told), ["begin", "map 4096 0", "commit"]);
    drop((attached, dma, ram, backing));
    assert_eq!(vm.nr_parked(), 0);
    let skip = bytes.as_ptr().align_offset(PAGE);
    assert_eq!((bytes[skip], bytes[skip + PAGE], bytes[skip + 2 * PAGE]), (7, 0, 7));
}

#[test]
fn memory_of_the_host_is_used_as_long_as_something_stands_on_its_region() {
    let vm = vm();
    let mut bytes = vec![7; 5 * PAGE];
    let skip = bytes.as_ptr().align_offset(PAGE);
    // SAFETY: it stays until the machine is gone.
    let backing = unsafe { Backing::describe(&vm, &mapping(&mut bytes)) }.unwrap();
    let ram = Region::new(&vm, "ram", &backing).unwrap();
    let blocks = SourceConfig {
        name: "blocks".into(),
        block_size: PAGE as u64,
        discards: true,
        populated: true,
    };
    let source = ram.add_source(&blocks).unwrap();
    let listener = ram.add_listener(&named("a"), Recorder::default()).unwrap();
    drop((backing, ram));
    source.discard(Range { offset: 0, size: PAGE as u64 }).unwrap();
    assert_eq!((bytes[skip], bytes[skip + PAGE]), (0, 7));
    // Parked things use it, too.
    let freeze = source.region().freeze("test").unwrap();
    drop(source);
    assert_eq!(vm.nr_parked(), 1);
    drop((listener, freeze));
    assert_eq!(vm.nr_parked(), 0);
}

/// Waits in a discard until there are two of them.
#[derive(Default)]
struct Meets {
    inside: Mutex<u32>,
    came: Condvar,
}

impl Meets {
    /// Did another one come before it was given up?
    fn meet(&self) -> bool {
        let mut inside = self.inside.lock().unwrap();
        *inside += 1;
        self.came.notify_all();
        let limit = Duration::from_secs(30);
        let waited = self.came.wait_timeout_while(inside, limit, |inside| *inside < 2);
        !waited.unwrap().1.timed_out()
    }
}

struct Overlaps(Arc<Meets>);

impl Memory for Overlaps {
    fn discard(&self, _: Range) -> std::result::Result<(), Veto> {
        self.0.meet().then_some(()).ok_or(Veto::BUSY)
    }

    fn zero(&self, _: Range) -> std::result::Result<(), Veto> {
        Ok(())
    }

    fn usage(&self, _: Range) -> std::result::Result<u64, Veto> {
        Ok(0)
    }
}

#[test]
fn calls_about_the_same_range_overlap_while_no_region_uses_the_memory() {
    let vm = vm();
    let config = CustomConfig { name: "own".into(), size: MIB, ..Default::default() };
    let backing = Backing::custom(&vm, &config, Overlaps(Arc::default())).unwrap();
    let other = backing.clone();
    let all = Range { offset: 0, size: MIB };
    let thread = std::thread::spawn(move || other.discard(all));
    backing.discard(all).unwrap();
    thread.join().unwrap().unwrap();
}

#[test]
fn memory_is_made_as_its_config_says() {
    let codes = Arc::new(Mutex::new(Vec::new()));
    let writes = codes.clone();
    let log = move |record: &LogRecord<'_>| writes.lock().unwrap().push(record.code);
    let vm = VmConfig::new("guest").log(log).build().unwrap();
    for (populate, nr) in [(None, 0), (Some(true), 1), (Some(false), 0)] {
        let config = BackingConfig {
            populate,
            prefer_remove: true,
            ..BackingConfig::new("ram", BackingKind::Memfd, 16 * MIB)
        };
        let backing = Backing::allocate(&vm, &config).unwrap();
        let ram = Region::new(&vm, "ram", &backing).unwrap();
        let dev = device(&ram, "vmem0", ());
        dev.resize(MIB).unwrap();
        let mut request = [0; Device::REQUEST_SIZE];
        request[8..16].copy_from_slice(&(4096 * MIB).to_le_bytes());
        request[16] = 1;
        dev.handle_request(&request, &mut [0; Device::RESPONSE_SIZE]).unwrap();
        assert_eq!(backing.stats().unwrap().nr_populates, nr, "{populate:?}");
    }
    codes.lock().unwrap().clear();
    let path = std::env::temp_dir().join(format!("vmem-rust-{}", std::process::id()));
    for shared in [true, false] {
        let config = BackingConfig {
            path: Some(path.to_str().unwrap().into()),
            shared,
            ..BackingConfig::new("ram", BackingKind::File, MIB)
        };
        let made = Backing::allocate(&vm, &config);
        std::fs::remove_file(&path).unwrap();
        made.unwrap();
        // A private mapping of a file warns of what its discards do to the file.
        let warned = codes.lock().unwrap().contains(&LogCode::FileModified);
        assert_eq!(warned, !shared);
    }
}
