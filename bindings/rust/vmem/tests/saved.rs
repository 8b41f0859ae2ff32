// SPDX-License-Identifier: BSD-3-Clause
//! A device that becomes what another one was.
mod common;
use common::*;
use vmem::*;

const GPA: u64 = 4096 * MIB;

fn machine(keep_memory: bool) -> (Vm, Region, Backing, Device) {
    let vm = vm();
    let config = BackingConfig::new("ram", BackingKind::Memfd, 80 * MIB);
    let backing = Backing::allocate(&vm, &config).unwrap();
    let ram = Region::new(&vm, "ram", &backing).unwrap();
    let config = DeviceConfig {
        name: "vmem0".into(),
        gpa: GPA,
        block_size: MIB,
        keep_memory,
        ..Default::default()
    };
    let dev = Device::new(&ram, &config, ()).unwrap();
    (vm, ram, backing, dev)
}

fn plug(dev: &Device, first_block: u64, nr_blocks: u8) {
    let mut request = [0; 24];
    request[8..16].copy_from_slice(&(GPA + first_block * MIB).to_le_bytes());
    request[16] = nr_blocks;
    let verdict = dev.handle_request(&request, &mut [0; 10]).unwrap();
    assert!(matches!(verdict, Verdict::Respond { response: Response::Ack, .. }));
}

/// All that was saved, to compare.
fn words(dev: &Device) -> String {
    format!("{:?}", dev.save().unwrap())
}

#[test]
fn a_device_becomes_what_was_saved() {
    let (_vm, _ram, _backing, old) = machine(false);
    old.set_driver_features(old.features()).unwrap();
    old.resize(70 * MIB).unwrap();
    plug(&old, 1, 2);
    plug(&old, 65, 1);
    let (saved, blocks) = old.save().unwrap();
    assert_eq!(blocks, [0b110, 0b10]);
    assert_eq!((saved.plugged_size, saved.has_driver), (3 * MIB, 1));

    let (vm, ram, _backing, new) = machine(true);
    assert_eq!(ram.info().unwrap().retained_size, 80 * MIB);
    new.load(&saved, &blocks).unwrap();
    assert_eq!(words(&new), words(&old));
    assert!(ram.is_populated(range(1, 2)) && !ram.is_populated(range(0, 1)));
    assert_eq!(ram.info().unwrap().retained_size, 0);

    // Nothing of what is loaded is trusted.
    let wrong = DeviceSaved { gpa: GPA + MIB, ..saved };
    let error = new.load(&wrong, &blocks).unwrap_err();
    assert_eq!((error.code(), error.reason()), (-22, Reason::Mismatch), "{error}");
    for wrong in [&[0b110, 0b10, 0][..], &[0b110], &[0b110, 1 << 40]] {
        assert!(new.load(&saved, wrong).is_err());
    }
    assert!(new.load(&DeviceSaved::default(), &blocks).is_err());
    let freeze = ram.freeze("migration").unwrap();
    assert!(new.load(&saved, &blocks).unwrap_err().is_busy());
    drop(freeze);
    // From a callback of its region a device is saved, but not loaded.
    let inside = ram.with_populated(range(1, 2), || (words(&new), new.load(&saved, &blocks)));
    let (read, written) = inside.unwrap();
    assert!(written.unwrap_err().is_deadlock());
    assert_eq!((read, words(&new)), (words(&old), words(&old)));
    drop((new, ram));
    assert_eq!(vm.nr_parked(), 0);
}
