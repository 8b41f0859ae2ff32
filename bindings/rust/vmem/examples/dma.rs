// SPDX-License-Identifier: BSD-3-Clause
//! A mapper whose backend is the host's own: what a device may reach follows what is
//! populated.
use vmem::{AttachConfig, Backing, BackingConfig, BackingKind, Dma, DmaBackend, DmaConfig};
use vmem::{DmaMapping, DmaProperties, Range, Region, SourceConfig, Veto, Vm};

const MIB: u64 = 1024 * 1024;

/// What would send messages to another process.
struct Messages;

impl DmaBackend for Messages {
    fn map(&mut self, mapping: &DmaMapping<'_>) -> Result<(), Veto> {
        let (at, size) = (mapping.iova / MIB, mapping.size / MIB);
        let (_, offset) = mapping.file.ok_or(Veto::from_errno(22))?;
        println!("map {at} MiB: {size} MiB of the file from {} MiB", offset / MIB);
        Ok(())
    }

    fn unmap(&mut self, iova: u64, size: u64, _: &mut u64) -> Result<(), Veto> {
        println!("unmap {} MiB: {} MiB", iova / MIB, size / MIB);
        Ok(())
    }
}

fn main() -> vmem::Result<()> {
    let vm = Vm::new("guest")?;
    let memory = BackingConfig::new("ram", BackingKind::Memfd, 16 * MIB);
    let ram = Region::new(&vm, "ram", &Backing::allocate(&vm, &memory)?)?;
    let blocks = SourceConfig { name: "blocks".into(), block_size: 2 * MIB, ..Default::default() };
    let source = ram.add_source(&blocks)?;
    source.populate(Range { offset: 4 * MIB, size: 4 * MIB })?;

    let mut config = DmaConfig::new("nic");
    config.max_mappings = 6;
    let mapper = Dma::custom(&vm, &config, &DmaProperties::default(), Messages)?;
    let mut window = AttachConfig {
        name: "ram".into(),
        iova: 4096 * MIB,
        requested_size: 16 * MIB,
        ..Default::default()
    };
    // Eight blocks, each its own mapping, are too many; and so it would fit:
    if let Err(refused) = mapper.attach(&ram, &window) {
        let verdict = refused.verdict.expect("it got as far as the budget");
        println!(
            "{:?}: {} mappings of {:?}",
            verdict.fit, verdict.nr_requested, verdict.nr_available
        );
    }
    window.requested_size = 8 * MIB;
    let attached = mapper.attach(&ram, &window)?;
    println!("{:?}", attached.verdict().fit);
    source.discard(Range { offset: 4 * MIB, size: 2 * MIB })?;
    println!("pinned: {} MiB", mapper.stats()?.pinned_size / MIB);
    drop(attached);
    Ok(())
}
