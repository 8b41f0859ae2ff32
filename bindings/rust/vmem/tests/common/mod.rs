// SPDX-License-Identifier: BSD-3-Clause
//! What the tests share: a region with a source, and a listener that writes down
//! what it is told.
#![allow(dead_code)]
use std::os::unix::fs::MetadataExt;
use std::sync::atomic::{AtomicI32, Ordering};
use std::sync::{Arc, Mutex};

use vmem::*;

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
        features: feature::UNPLUGGED_INACCESSIBLE,
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
    fn populate(&mut self, range: Range) -> std::result::Result<(), Veto> {
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

/// A backend that writes down what it is told, and fails as it is told.
#[derive(Clone, Default)]
pub struct Iommu {
    pub told: Told,
    pub map_errno: Arc<AtomicI32>,
    pub unmap_errno: Arc<AtomicI32>,
    /// After so many there is no space; 0: never.
    pub nr_maps: Arc<AtomicI32>,
}

impl Iommu {
    fn note(&self, words: String) {
        self.told.lock().unwrap().push(words);
    }

    pub fn backend(&self) -> impl DmaBackend {
        Behind(self.clone())
    }

    fn answer(errno: &AtomicI32) -> std::result::Result<(), Veto> {
        match errno.load(Ordering::Relaxed) {
            0 => Ok(()),
            errno => Err(Veto::from_errno(errno)),
        }
    }
}

/// What is dropped when the mapper goes; clones of an [`Iommu`] are the test's.
struct Behind(Iommu);

impl DmaBackend for Behind {
    fn map(&mut self, mapping: &DmaMapping<'_>) -> std::result::Result<(), Veto> {
        if let Some((file, offset)) = mapping.file.filter(|_| mapping.hva.is_null()) {
            let inode = std::fs::File::from(file.try_clone_to_owned()?).metadata()?.ino();
            self.0.note(format!("file {inode} {}", offset / MIB));
        }
        self.0.note(format!("map {} {}", mapping.iova / MIB, mapping.size / MIB));
        if self.0.nr_maps.fetch_sub(1, Ordering::Relaxed) == 1 {
            self.0.map_errno.store(28, Ordering::Relaxed);
            return Ok(());
        }
        Iommu::answer(&self.0.map_errno)
    }

    fn unmap(&mut self, iova: u64, size: u64, _: &mut u64) -> std::result::Result<(), Veto> {
        self.0.note(format!("unmap {} {}", iova / MIB, size / MIB));
        Iommu::answer(&self.0.unmap_errno)
    }

    fn begin(&mut self) {
        self.0.note("begin".into());
    }

    fn commit(&mut self) -> std::result::Result<(), Veto> {
        self.0.note("commit".into());
        Ok(())
    }
}

impl Drop for Behind {
    fn drop(&mut self) {
        self.0.note("destroy".into());
    }
}

pub fn custom(vm: &Vm, properties: &DmaProperties, iommu: &Iommu) -> Dma {
    Dma::custom(vm, &DmaConfig::new("dma"), properties, iommu.backend()).unwrap()
}

pub fn mapper(vm: &Vm, iommu: &Iommu) -> Dma {
    custom(vm, &DmaProperties::default(), iommu)
}

pub fn at(iova_mib: u64) -> AttachConfig<'static> {
    AttachConfig { name: "ram".into(), iova: iova_mib * MIB, ..Default::default() }
}

pub fn memory(vm: &Vm) -> (Backing, Region, Source) {
    let request = BackingConfig::new("ram", BackingKind::Memfd, 16 * MIB);
    let backing = Backing::allocate(vm, &request).unwrap();
    let region = Region::new(vm, "ram", &backing).unwrap();
    let blocks = source(&region);
    (backing, region, blocks)
}
