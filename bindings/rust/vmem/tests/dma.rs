// SPDX-License-Identifier: BSD-3-Clause
//! Mappers: what is mapped, judged, stuck, and asked of a backend.
mod common;
use common::*;
use std::ops::ControlFlow::{self, Break, Continue};
use std::os::unix::fs::MetadataExt;
use std::os::unix::io::AsFd;
use std::sync::atomic::Ordering;
use vmem::*;

#[test]
fn a_mapper_follows_a_region() {
    let (vm, iommu) = (vm(), Iommu::default());
    let (_, ram, blocks) = memory(&vm);
    blocks.populate(range(2, 2)).unwrap();
    let dma = mapper(&vm, &iommu);
    assert_eq!(dma.name(), "dma");
    let attached = dma.attach(&ram, &at(4096)).unwrap();
    let batch = ["begin", "map 4098 1", "map 4099 1", "commit"];
    assert_eq!(take(&iommu.told), batch);
    assert!(attached.region().is_some());
    assert_eq!((attached.verdict().fit, attached.verdict().nr_now), (Fit::Ok, 2));
    assert_eq!(attached.verdict().granularity, MIB);
    assert_eq!(attached.verdict().max_mappings, None);
    let info = dma.info().unwrap();
    assert_eq!((info.kind, info.nr_attachments, info.max_size), (DmaKind::Custom, 1, None));
    let stats = attached.dma().stats().unwrap();
    assert_eq!((stats.nr_mappings, stats.pinned_size), (2, 2 * MIB));
    let mut runs = Vec::new();
    let end = dma.for_each_mapped(Some(&attached), |run| {
        runs.push((run.range, run.iova / MIB, run.nr_mappings));
        assert!(run.is_of(&attached));
        ControlFlow::<()>::Continue(())
    });
    assert_eq!((end.unwrap(), runs), (Continue(()), vec![(range(2, 2), 4098, 2)]));
    assert_eq!(dma.for_each_mapped(None, |run| Break(run.nr_mappings)).unwrap(), Break(2));
    blocks.discard(range(2, 1)).unwrap();
    assert_eq!(take(&iommu.told), ["begin", "unmap 4098 1", "commit"]);
    attached.detach().unwrap();
    drop((dma, ram, blocks));
    assert_eq!(take(&iommu.told), ["begin", "unmap 4099 1", "commit", "destroy"]);
    assert_eq!(vm.nr_parked(), 0);
}

#[test]
fn a_budget_is_judged_before_anything_is_mapped() {
    let (vm, iommu) = (vm(), Iommu::default());
    let (_, ram, _blocks) = memory(&vm);
    let properties = DmaProperties { exact_unmap: true, mapping_limit: 9, ..Default::default() };
    let dma = custom(&vm, &properties, &iommu);
    let info = dma.info().unwrap();
    assert_eq!((info.exact_unmap, info.needs_fd, info.no_parts), (true, false, false));
    let mut window = at(4096);
    window.requested_size = 16 * MIB;
    let refused = dma.attach(&ram, &window).err().unwrap();
    assert_eq!((refused.error.code(), refused.error.reason()), (-28, Reason::Budget));
    assert_eq!(refused.to_string(), refused.error.to_string());
    let verdict = refused.verdict.unwrap();
    assert_eq!((verdict.fit, verdict.bound), (Fit::Impossible, Bound::Mappings));
    assert_eq!((verdict.max_mappings, verdict.nr_requested), (Some(9), 16));
    assert_eq!(verdict.recommended_block_size, Some(2 * MIB));
    window.requested_size = 9 * MIB;
    window.strict = true;
    let refused = dma.attach(&ram, &window).err().unwrap();
    assert_eq!(refused.verdict.unwrap().fit, Fit::Tight);
    window.strict = false;
    assert_eq!(dma.attach(&ram, &window).unwrap().verdict().fit, Fit::Tight);
    window.name = "with\0NUL".into();
    assert_eq!(dma.attach(&ram, &window).err().unwrap().verdict, None);
    let plan = DmaPlan {
        region_size: 1 << 40,
        block_size: 2 * MIB,
        requested_size: 1 << 40,
        max_mappings: Some(65_535),
        ..Default::default()
    };
    let verdict = plan.verdict().unwrap();
    assert_eq!((verdict.fit, verdict.nr_worst_case), (Fit::Impossible, 524_288));
    assert_eq!(verdict.recommended_block_size, Some(32 * MIB));
    let error = DmaPlan { block_size: 3, ..plan }.verdict().unwrap_err();
    assert_eq!(error.code(), -22);
    assert!(take(&iommu.told).is_empty());
}

#[test]
fn what_cannot_be_mapped_is_refused_and_what_cannot_be_unmapped_is_parked() {
    let (vm, iommu) = (vm(), Iommu::default());
    let (_, ram, blocks) = memory(&vm);
    let dma = mapper(&vm, &iommu);
    let attached = dma.attach(&ram, &at(4096)).unwrap();
    iommu.map_errno.store(12, Ordering::Relaxed);
    let error = blocks.populate(range(0, 1)).unwrap_err();
    assert_eq!((error.code(), error.reason()), (-12, Reason::ListenerVeto), "{error}");
    iommu.map_errno.store(0, Ordering::Relaxed);
    blocks.populate(range(0, 1)).unwrap();
    iommu.unmap_errno.store(5, Ordering::Relaxed);
    let refused = attached.detach().err().unwrap();
    assert_eq!((refused.error.code(), refused.error.reason()), (-5, Reason::UnmapFailed));
    assert_eq!(refused.error.range(), Some(range(0, 1)));
    drop(refused.handle);
    assert_eq!(dma.retry_unmaps().unwrap_err().code(), -5);
    assert_eq!((vm.retry_parked(), dma.stats().unwrap().nr_stuck), (1, 1));
    // The region, too, waits for what stands on it.
    drop((ram, blocks, dma));
    iommu.unmap_errno.store(0, Ordering::Relaxed);
    take(&iommu.told);
    assert_eq!(vm.retry_parked(), 0);
    assert_eq!(take(&iommu.told), ["begin", "unmap 4096 1", "commit", "destroy"]);
}

#[test]
fn what_a_failed_attach_left_behind_goes_when_it_can_be_unmapped() {
    for is_retried in [true, false] {
        let (vm, iommu) = (vm(), Iommu::default());
        let (backing, ram, blocks) = memory(&vm);
        blocks.populate(range(0, 2)).unwrap();
        let dma = mapper(&vm, &iommu);
        iommu.nr_maps.store(1, Ordering::Relaxed);
        iommu.unmap_errno.store(5, Ordering::Relaxed);
        let refused = dma.attach(&ram, &at(4096)).err().unwrap();
        assert_eq!((refused.error.code(), refused.error.reason()), (-28, Reason::MapFailed));
        assert_eq!(dma.stats().unwrap().nr_stuck, 1);
        drop((blocks, ram, backing));
        assert!(vm.nr_parked() > 0);
        iommu.unmap_errno.store(0, Ordering::Relaxed);
        if is_retried {
            dma.retry_unmaps().unwrap();
        } else {
            drop(dma);
        }
        assert_eq!(vm.nr_parked(), 0);
    }
}

#[test]
fn memory_that_is_never_discarded_is_attached_once_and_for_all() {
    let (vm, iommu) = (vm(), Iommu::default());
    let (backing, _ram, _blocks) = memory(&vm);
    let dma = mapper(&vm, &iommu);
    let config =
        StaticConfig { name: "bios".into(), iova: MIB, size: 3 * MIB, ..Default::default() };
    // SAFETY: the backing outlives the attachment, and nobody accesses it.
    let attached = unsafe { dma.attach_static(&config, backing.hva()) }.unwrap();
    assert_eq!(take(&iommu.told), ["begin", "map 1 3", "commit"]);
    assert!(attached.region().is_none());
    assert_eq!(dma.stats().unwrap().nr_static_mappings, 1);
    // SAFETY: as above; there is no room at these IOVAs.
    let refused = unsafe { dma.attach_static(&config, backing.hva()) }.err().unwrap();
    assert_eq!((refused.error.code(), refused.verdict), (-17, None));
    let error = unsafe { dma.attach_static(&StaticConfig::default(), std::ptr::null_mut()) };
    assert_eq!(Error::from(error.err().unwrap()).code(), -22);
}

#[test]
fn an_attachment_keeps_its_own_descriptor_of_a_file() {
    let (vm, iommu) = (vm(), Iommu::default());
    let ram = region(&vm);
    let blocks = source(&ram);
    let properties = DmaProperties { needs_fd: true, ..Default::default() };
    let dma = custom(&vm, &properties, &iommu);
    let file = std::fs::File::open("/proc/self/exe").unwrap();
    let inode = file.metadata().unwrap().ino();
    let mut window = at(4096);
    window.file = Some((file.as_fd(), 32 * MIB));
    let attached = dma.attach(&ram, &window).unwrap();
    drop(file);
    blocks.populate(range(1, 1)).unwrap();
    let mapped = format!("file {inode} {}", 33);
    assert_eq!(take(&iommu.told), ["begin", &mapped, "map 4097 1", "commit"]);
    drop((ram, dma, attached));
    assert_eq!(vm.nr_parked(), 0);
}

#[test]
fn an_attachment_holds_a_claim_unless_the_host_arbitrates() {
    let (vm, iommu) = (vm(), Iommu::default());
    let (_, ram, blocks) = memory(&vm);
    let dma = mapper(&vm, &iommu);
    let attached = dma.attach(&ram, &at(4096)).unwrap();
    assert!(vm.is_uncoordinated_forbidden());
    assert!(vm.claim(ClaimKind::NeedUncoordinated, "balloon").err().unwrap().is_busy());
    drop(attached);
    let config = DmaConfig { no_claim: true, measure_latency: true, ..DmaConfig::new("own") };
    let own = Dma::custom(&vm, &config, &DmaProperties::default(), iommu.backend()).unwrap();
    let _attached = own.attach(&ram, &at(4096)).unwrap();
    assert_eq!(vm.claims(), 0);
    blocks.populate(range(0, 1)).unwrap();
    assert!(own.stats().unwrap().max_map_ns > 0);
}

#[test]
fn a_guest_maps_and_an_unplug_unmaps() {
    let (vm, iommu, late) = (vm(), Iommu::default(), Iommu::default());
    let (_, ram, blocks) = memory(&vm);
    blocks.populate(range(0, 4)).unwrap();
    let (first, second) = (mapper(&vm, &iommu), mapper(&vm, &late));
    let mut window = at(0);
    window.viommu = true;
    let target = first.attach(&ram, &window).unwrap();
    target.viommu_map(64 * MIB, range(1, 2), Protection::READ_WRITE).unwrap();
    target.viommu_map(80 * MIB, range(3, 1), Protection::READ).unwrap();
    let told = take(&iommu.told);
    assert_eq!(told.iter().filter(|words| words.starts_with("map")).count(), 2);
    let error = target.viommu_map(96 * MIB, range(4, 1), Protection::READ).unwrap_err();
    assert_eq!((error.code(), error.reason()), (-6, Reason::NotPopulated));
    let error = target.viommu_map(96 * MIB, range(3, 1), Protection::default()).unwrap_err();
    assert_eq!(error.code(), -22);
    assert_eq!(second.viommu_replay(&first).unwrap_err().code(), -2);
    let _joined = second.attach(&ram, &window).unwrap();
    second.viommu_replay(&first).unwrap();
    assert_eq!(second.stats().unwrap().nr_guest_mappings, 2);
    assert_eq!(second.viommu_replay(&first).unwrap_err().code(), -17);
    blocks.discard(range(1, 1)).unwrap();
    assert_eq!(first.stats().unwrap().nr_forced_unmaps, 1);
    let (unmapped, ret) = first.viommu_unmap(0, u64::MAX);
    assert_eq!((unmapped, ret.is_ok()), (MIB, true));
    late.unmap_errno.store(5, Ordering::Relaxed);
    let (unmapped, ret) = second.viommu_unmap(80 * MIB, MIB);
    assert_eq!((unmapped, ret.unwrap_err().code()), (0, -5));
    late.unmap_errno.store(0, Ordering::Relaxed);
}

#[test]
fn descriptors_that_are_no_iommu_are_refused() {
    let vm = vm();
    let file = std::fs::File::open("/dev/null").unwrap();
    let config = DmaConfig::new("dma");
    let error = Dma::type1(&vm, &config, file.as_fd()).err().unwrap();
    assert_eq!(error.code(), -25, "{error}");
    let error = Dma::iommufd(&vm, &config, file.as_fd(), 1).err().unwrap();
    assert_eq!(error.code(), -25, "{error}");
    assert_eq!(Dma::type1(&vm, &DmaConfig::default(), file.as_fd()).err().unwrap().code(), -22);
}

#[test]
fn parents_may_be_dropped_first_and_handles_forgotten() {
    fn assert_send_sync<T: Send + Sync>() {}
    assert_send_sync::<(Dma, Attachment, NotAttached)>();
    let (vm, iommu) = (vm(), Iommu::default());
    let (backing, ram, blocks) = memory(&vm);
    let dma = mapper(&vm, &iommu);
    let kept = dma.attach(&ram, &at(4096)).unwrap();
    let forgotten = dma.attach(&ram, &AttachConfig { name: "b".into(), ..at(8192) }).unwrap();
    drop((vm, backing, ram, dma));
    std::mem::forget(forgotten);
    blocks.populate(range(0, 1)).unwrap();
    kept.detach().unwrap();
    blocks.discard(range(0, 1)).unwrap();
    assert_eq!(take(&iommu.told).last().map(String::as_str), Some("commit"));
}
