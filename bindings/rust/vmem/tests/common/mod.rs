// SPDX-License-Identifier: BSD-3-Clause
//! What the tests share: a region with a source, and a listener that writes down
//! what it is told.
#![allow(dead_code)]
use std::sync::{Arc, Mutex};

use vmem::{Device, DeviceConfig, Listener, ListenerConfig, Notify, Range, Region};
use vmem::{Source, SourceConfig, Veto, Vm, VmConfig};

pub const MIB: u64 = 1024 * 1024;

pub fn range(offset_mib: u64, size_mib: u64) -> Range {
    Range { offset: offset_mib * MIB, size: size_mib * MIB }
}

pub fn vm() -> Vm {
    VmConfig::new("guest").log(|_| ()).build().unwrap()
}

pub fn region(vm: &Vm) -> Region {
    Region::without_memory(vm, "ram", 16 * MIB).unwrap()
}

pub fn source(region: &Region) -> Source {
    let config = SourceConfig { name: "blocks".into(), block_size: MIB, ..Default::default() };
    region.add_source(&config).unwrap()
}

/// The last digit of its name says where the guest finds it.
pub fn device(region: &Region, name: &str, notify: impl Notify + 'static) -> Device {
    let nr = u64::from(name.bytes().last().unwrap() - b'0');
    let config = DeviceConfig {
        name: name.into(),
        gpa: (4096 + 1024 * nr) * MIB,
        block_size: MIB,
        features: vmem::vmem_sys::VMEM_DEVICE_F_UNPLUGGED_INACCESSIBLE,
        ..Default::default()
    };
    Device::new(region, &config, notify).unwrap()
}

pub fn named(name: &str) -> ListenerConfig {
    ListenerConfig { name: name.into(), ..Default::default() }
}

pub type Told = Arc<Mutex<Vec<String>>>;

#[derive(Default)]
pub struct Recorder {
    pub told: Told,
    pub vetoes: bool,
}

impl Recorder {
    pub fn note(&self, words: String) {
        self.told.lock().unwrap().push(words);
    }
}

impl Listener for Recorder {
    fn populate(&mut self, range: Range) -> Result<(), Veto> {
        self.note(format!("populate {} {}", range.offset / MIB, range.size / MIB));
        if self.vetoes {
            return Err(Veto::BUSY);
        }
        Ok(())
    }

    fn discard(&mut self, range: Range) {
        self.note(format!("discard {} {}", range.offset / MIB, range.size / MIB));
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        self.note("destroy".into());
    }
}

pub fn take(told: &Told) -> Vec<String> {
    std::mem::take(&mut *told.lock().unwrap())
}
