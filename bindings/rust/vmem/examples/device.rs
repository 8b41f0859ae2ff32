// SPDX-License-Identifier: BSD-3-Clause
//! A device whose guest is asked to grow, and says how far it is.
use vmem::{Backing, BackingConfig, BackingKind, Device, DeviceConfig, Notify, Region, Reset};
use vmem::{Range, Vm};

const MIB: u64 = 1024 * 1024;
const GPA: u64 = 4096 * MIB;
const BLOCK: u64 = 2 * MIB;

/// What a transport and a monitor would be told.
struct Board;

impl Notify for Board {
    fn config_changed(&self) {
        println!("config interrupt");
    }

    fn size_changed(&self, plugged_size: u64) {
        println!("plugged: {} MiB", plugged_size / MIB);
    }
}

/// A plug request, as the driver of a guest writes it.
fn plug(offset: u64, nr_blocks: u16) -> [u8; 24] {
    let mut bytes = [0; 24];
    bytes[8..16].copy_from_slice(&(GPA + offset).to_le_bytes());
    bytes[16..18].copy_from_slice(&nr_blocks.to_le_bytes());
    bytes
}

fn main() -> vmem::Result<()> {
    let vm = Vm::new("guest")?;
    let memory = BackingConfig::new("ram", BackingKind::Memfd, 32 * MIB);
    let backing = Backing::allocate(&vm, &memory)?;
    let ram = Region::new(&vm, "ram", &backing)?;
    let virtio =
        DeviceConfig { name: "vmem0".into(), gpa: GPA, block_size: BLOCK, ..Default::default() };
    let device = Device::new(&ram, &virtio, Board)?;
    device.set_driver_features(device.features())?;
    device.resize(8 * MIB)?;

    let mut response = [0; 10];
    device.handle_request(&plug(0, 3), &mut response)?;
    println!("response {}", response[0]);
    device.handle_request(&plug(6 * MIB, 3), &mut response)?;
    println!("response {}: that is more than requested", response[0]);

    // The guest writes its memory; a system reset gives it back.
    let written = Range { offset: 0, size: 4 * MIB };
    ram.with_populated(written, || {
        // SAFETY: mapped as long as the backing, and populated during this call.
        unsafe { std::ptr::write_bytes(backing.hva() as *mut u8, 1, 4 << 20) };
    })?;
    println!("resident: {} MiB", backing.usage(written)?.resident / MIB);
    device.reset(Reset::System)?;
    println!("resident: {} MiB", backing.usage(written)?.resident / MIB);
    Ok(())
}
