// SPDX-License-Identifier: BSD-3-Clause
//! The smallest host: one machine, one device, one request of its guest.
use vmem::{Backing, BackingConfig, BackingKind, Device, DeviceConfig, Region, Verdict, Vm};

const MIB: u64 = 1024 * 1024;

fn main() -> vmem::Result<()> {
    let vm = Vm::new("guest")?;
    let memory = BackingConfig::new("ram", BackingKind::Memfd, 64 * MIB);
    let ram = Region::new(&vm, "ram", &Backing::allocate(&vm, &memory)?)?;
    let virtio = DeviceConfig {
        name: "vmem0".into(),
        gpa: 4096 * MIB,
        block_size: 2 * MIB,
        ..Default::default()
    };
    let device = Device::new(&ram, &virtio, ())?;
    device.resize(32 * MIB)?;

    // What a Linux guest sends: plug 16 blocks from 4 GiB on.
    let (mut request, mut response) = ([0; 24], [0; 10]);
    (request[12], request[16]) = (1, 16);
    match device.handle_request(&request, &mut response)? {
        Verdict::Respond { response, .. } => println!("answer: {}", response.name()),
        other => println!("no answer: {other:?}"),
    }
    Ok(())
}
