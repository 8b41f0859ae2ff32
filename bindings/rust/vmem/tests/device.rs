// SPDX-License-Identifier: BSD-3-Clause
//! A device's registers, resizes and notifications.
mod common;
use common::*;
use std::sync::{Arc, Mutex};
use vmem::*;

/// Writes down what it is told.
struct Scribe(Told);

impl Notify for Scribe {
    fn config_changed(&self) {
        self.0.lock().unwrap().push("config".into());
    }

    fn size_changed(&self, plugged_size: u64) {
        self.0.lock().unwrap().push(format!("size {}", plugged_size / MIB));
    }

    fn resize_changed(&self, status: &ResizeStatus) {
        let stall = status.stall.map_or("", Stall::name);
        self.0.lock().unwrap().push(format!("resize {} {stall}", status.state.name()));
    }
}

fn request(kind: u8, nr_blocks: u8) -> [u8; 24] {
    let mut bytes = [0; 24];
    bytes[0] = kind;
    bytes[8..16].copy_from_slice(&(4096 * MIB).to_le_bytes());
    bytes[16] = nr_blocks;
    bytes
}

#[test]
fn a_device_is_read_written_and_asked() {
    let (vm, told) = (vm(), Told::default());
    let ram = region(&vm);
    let dev = device(&ram, "vmem0", Scribe(told.clone()));
    let generation = dev.config_generation();
    dev.resize(2 * MIB).unwrap();
    assert_ne!(dev.config_generation(), generation);
    assert_eq!(take(&told)[0], "config");
    let mut requested = [0; 8];
    dev.read_config(48, &mut requested).unwrap();
    assert_eq!(u64::from_le_bytes(requested), 2 * MIB);
    dev.read_config(usize::MAX, &mut requested).unwrap();
    assert_eq!(requested, [0; 8]);
    dev.write_config(0, &[1]).unwrap();
    assert_eq!(dev.stats().unwrap().nr_config_writes, 1);
    assert!(dev.set_driver_features(1 << 63).is_err());
    dev.set_driver_features(dev.features()).unwrap();
    dev.handle_request(&request(0, 2), &mut [0; 10]).unwrap();
    let status = dev.resize_status().unwrap();
    assert_eq!((status.state, status.plugged_size), (ResizeState::Idle, 2 * MIB));
    assert!(take(&told).contains(&"size 2".into()));
    assert_eq!(dev.page_bitmap(None, MIB).unwrap(), [0b11]);
    assert_eq!(dev.page_bitmap(Some(range(1, 4)), MIB / 2).unwrap(), [0b11]);
    assert!(dev.check_removable().unwrap_err().is_busy());
    dev.notify_config().unwrap();
    assert_eq!(take(&told), ["config"]);
    dev.reset(Reset::Driver).unwrap();
    assert_eq!(dev.info().unwrap().plugged_size, 2 * MIB);
    dev.reset(Reset::Wakeup).unwrap();
    dev.reset(Reset::System).unwrap();
    assert_eq!(dev.info().unwrap().plugged_size, 0);
    dev.resize(0).unwrap();
    dev.check_removable().unwrap();
}

#[test]
fn a_resize_that_nobody_answers_stalls_when_it_is_looked_at() {
    let (now, told) = (Arc::new(Mutex::new(1)), Told::default());
    let clock = now.clone();
    let vm = VmConfig::new("guest")
        .log(|_| ())
        .clock_ns(move || *clock.lock().unwrap())
        .build()
        .unwrap();
    let ram = region(&vm);
    let dev = device(&ram, "vmem0", Scribe(told.clone()));
    dev.set_driver_features(dev.features()).unwrap();
    dev.resize(MIB).unwrap();
    take(&told);
    *now.lock().unwrap() += Device::STALL_AFTER_NS;
    dev.poll_resize().unwrap();
    assert_eq!(take(&told), ["resize stalled guest-silent"]);
    let status = dev.resize_status().unwrap();
    assert_eq!((status.state, status.stall), (ResizeState::Stalled, Some(Stall::GuestSilent)));
    assert_eq!((status.requested_ns, status.busy), (1, None));
}

#[test]
fn whoever_keeps_a_guest_waiting_has_a_name() {
    let vm = vm();
    let ram = region(&vm);
    let dev = device(&ram, "vmem0", ());
    dev.set_driver_features(dev.features()).unwrap();
    dev.resize(2 * MIB).unwrap();
    let freeze = ram.freeze("migration").unwrap();
    let busy = |reason| Verdict::Respond {
        used_size: Device::RESPONSE_SIZE,
        request: RequestType::Plug,
        response: Response::Busy,
        reason: Some(reason),
    };
    assert_eq!(dev.handle_request(&request(0, 2), &mut [0; 10]).unwrap(), busy(Reason::Frozen));
    let status = dev.resize_status().unwrap();
    assert_eq!((status.state, status.stall), (ResizeState::Stalled, Some(Stall::HostBusy)));
    let by = Busy { reason: Reason::Frozen, code: -16, by: "migration".into() };
    assert_eq!(status.busy, Some(by));
    drop(freeze);
    let vetoes = Recorder { told: Told::default(), vetoes: true };
    let _listener = ram.add_listener(&named("vfio"), vetoes).unwrap();
    let verdict = dev.handle_request(&request(0, 2), &mut [0; 10]).unwrap();
    assert_eq!(verdict, busy(Reason::ListenerVeto));
    let by = Busy { reason: Reason::ListenerVeto, code: -16, by: "vfio".into() };
    assert_eq!(dev.resize_status().unwrap().busy, Some(by));
}

#[test]
fn a_device_is_made_as_its_config_says() {
    let vm = vm();
    let made = |config: DeviceConfig| {
        let ram = Region::without_memory(&vm, "ram", 8192 * MIB).unwrap();
        let config =
            DeviceConfig { name: "vmem0".into(), gpa: 4096 * MIB, block_size: MIB, ..config };
        Device::new(&ram, &config, ())
    };
    let of = |config: DeviceConfig| {
        let info = made(config).unwrap().info().unwrap();
        (info.features, info.usable_region_size / MIB)
    };
    let config = DeviceConfig::default;
    assert_eq!(of(config()), (feature::UNPLUGGED_INACCESSIBLE, 2048));
    let features = feature::ACPI_PXM | feature::PERSISTENT_SUSPEND;
    let old = DeviceConfig { features, no_unplugged_inaccessible: true, ..config() };
    assert_eq!(of(old), (features, 2048));
    for (usable_policy, size) in
        [(UsablePolicy::All, 8192), (UsablePolicy::Unit, 128), (UsablePolicy::Extent, 0)]
    {
        let config = DeviceConfig { usable_policy, usable_headroom: 128 * MIB, ..config() };
        assert_eq!(of(config).1, size);
    }
    let insists = made(DeviceConfig { require_inaccessible: true, ..config() }).unwrap();
    assert_eq!(insists.set_driver_features(0).unwrap_err().code(), -95);
    drop(insists);
    let measures = made(DeviceConfig { measure_latency: true, ..config() }).unwrap();
    measures.handle_request(&request(2, 0), &mut [0; 10]).unwrap();
    let stats = measures.stats().unwrap();
    let (asked, told) = (RequestType::UnplugAll.raw() as usize, Response::Ack.raw() as usize);
    assert_eq!(stats.nr_requests[asked][told], 1);
    assert_ne!(stats.latency_total_ns[asked], 0);
    drop(measures);
    let both =
        DeviceConfig { require_inaccessible: true, no_unplugged_inaccessible: true, ..config() };
    assert_eq!(made(both).err().unwrap().code(), -22);
}

#[test]
fn a_device_becomes_the_same_as_another() {
    let (from, to) = (vm(), vm());
    let (from, to) = (region(&from), region(&to));
    let (from, to) = (device(&from, "vmem0", ()), device(&to, "vmem0", ()));
    from.resize(4 * MIB).unwrap();
    from.handle_request(&request(0, 3), &mut [0; 10]).unwrap();
    let (mut saved, mut blocks) = from.save().unwrap();
    assert_eq!((saved.plugged_size, &blocks[..]), (3 * MIB, &[7][..]));
    saved.struct_size = usize::MAX;
    to.load(&saved, &blocks).unwrap();
    assert_eq!(to.info().unwrap().plugged_size, 3 * MIB);
    assert_eq!(to.stats().unwrap().nr_loads, 1);
    blocks[0] = 1 << 16;
    let refused = to.load(&saved, &blocks).unwrap_err();
    assert!(refused.message().contains("16 blocks"), "{refused:?}");
    assert!(to.load(&saved, &[]).is_err());
    assert_eq!(to.save().unwrap().1, [7]);
}

/// Writes down the trace.
#[derive(Default)]
struct Tracer(Arc<Mutex<Vec<(TraceEvent, String)>>>);

impl Notify for Tracer {
    fn trace(&self, event: &TraceEvent) {
        let line = event.line("vmem 0").unwrap_or_default();
        self.0.lock().unwrap().push((*event, line));
    }
}

#[test]
fn what_happens_is_traced_and_is_a_line() {
    let vm = VmConfig::new("guest").log(|_| ()).clock_ns(|| 5_000_000_000).build().unwrap();
    let (tracer, ram) = (Tracer::default(), region(&vm));
    let told = tracer.0.clone();
    let dev = device(&ram, "vmem0", tracer);
    let last = || told.lock().unwrap().last().map(|(event, _)| event.what()).unwrap();
    dev.resize(2 * MIB).unwrap();
    assert_eq!(last(), Traced::Resize { size: 2 * MIB, code: 0 });
    let asked = |kind, nr_blocks| {
        dev.handle_request(&request(kind, nr_blocks), &mut [0; 10]).unwrap();
        last()
    };
    let done = |request, response, state, reason| {
        let (gpa, nr_blocks) = (4096 * MIB, 2);
        Traced::Request { request, gpa, nr_blocks, response, state, reason }
    };
    assert_eq!(asked(0, 2), done(RequestType::Plug, Response::Ack, None, None));
    let (event, line) = told.lock().unwrap().last().cloned().unwrap();
    assert_eq!(line, "5.000000 vmem_0 plug 0x100000000 2 ack\n");
    let (nr, ns) = (event.sequence(), event.time_ns());
    let words = format!("TraceEvent {{ sequence: {nr}, time_ns: {ns}, what: Request {{ ");
    assert!(ns == 5_000_000_000 && format!("{event:?}").starts_with(&words), "{event:?}");
    let state = Some(BlockState::Plugged);
    assert_eq!(asked(3, 2), done(RequestType::State, Response::Ack, state, None));
    assert_eq!(asked(0, 2), done(RequestType::Plug, Response::Error, None, None));
    let freeze = ram.freeze("migration").unwrap();
    assert_eq!(last(), Traced::Freeze { frozen: true });
    let reason = Some(Reason::Frozen);
    assert_eq!(asked(1, 2), done(RequestType::Unplug, Response::Busy, None, reason));
    dev.reset(Reset::System).unwrap_err();
    assert_eq!(last(), Traced::Reset { kind: Reset::System, code: -16, reason });
    drop(freeze);
    assert_eq!(last(), Traced::Freeze { frozen: false });
    let (saved, blocks) = dev.save().unwrap();
    dev.load(&saved, &blocks).unwrap();
    assert_eq!(last(), Traced::Load { size: 2 * MIB });
    let sequence: Vec<u64> =
        told.lock().unwrap().iter().map(|(event, _)| event.sequence()).collect();
    assert!(sequence.windows(2).all(|pair| pair[1] == pair[0] + 1), "{sequence:?}");
}

#[test]
fn handles_come_back_with_the_reason_when_they_cannot_go() {
    let vm = vm();
    let ram = region(&vm);
    let blocks = source(&ram);
    let told = Told::default();
    let recorder = Recorder { told: told.clone(), vetoes: true };
    let listener = ram.add_listener(&named("a"), recorder).unwrap();
    // Without the source everything were populated, which the listener vetoes.
    let refused = blocks.remove().err().unwrap();
    assert_eq!(refused.error.reason(), Reason::ListenerVeto);
    listener.remove().unwrap();
    assert_eq!(take(&told).last().map(String::as_str), Some("destroy"));
    refused.handle.remove().unwrap();
    assert_eq!((ram.info().unwrap().nr_sources, vm.nr_parked()), (0, 0));
}
