// SPDX-License-Identifier: BSD-3-Clause
//! A listener that follows a region, and vetoes what it has no room for.
use vmem::{Listener, ListenerConfig, Range, Region, SourceConfig, Veto, Vm};

const MIB: u64 = 1024 * 1024;

/// Maps two chunks and no more.
struct Mapper {
    mapped: Vec<u64>,
}

impl Listener for Mapper {
    fn populate(&mut self, range: Range) -> Result<(), Veto> {
        if self.mapped.len() == 2 {
            println!("veto {} MiB", range.offset / MIB);
            return Err(Veto::NO_MEMORY);
        }
        println!("map {} MiB", range.offset / MIB);
        self.mapped.push(range.offset);
        Ok(())
    }

    fn discard(&mut self, range: Range) {
        let end = range.offset + range.size;
        self.mapped.retain(|offset| !(range.offset..end).contains(offset));
        println!("unmap {} to {} MiB", range.offset / MIB, end / MIB);
    }
}

fn main() -> vmem::Result<()> {
    let vm = Vm::new("guest")?;
    let region = Region::without_memory(&vm, "ram", 16 * MIB)?;
    let blocks = SourceConfig { name: "blocks".into(), block_size: 2 * MIB, ..Default::default() };
    let source = region.add_source(&blocks)?;
    let follows =
        ListenerConfig { name: "mapper".into(), granularity: 2 * MIB, ..Default::default() };
    let mapper = region.add_listener(&follows, Mapper { mapped: Vec::new() })?;

    source.populate(Range { offset: 0, size: 2 * MIB })?;
    if let Err(error) = source.populate(Range { offset: 4 * MIB, size: 4 * MIB }) {
        println!("{:?}, errno {}", error.reason(), -error.code());
    }
    println!("populated: {} MiB", region.info()?.populated_size / MIB);
    drop(mapper);
    Ok(())
}
