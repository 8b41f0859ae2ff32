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
        self.0.lock().unwrap().push(format!("resize {} {}", status.state, status.reason));
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
    assert_eq!((status.state, status.plugged_size), (vmem_sys::VMEM_RESIZE_IDLE, 2 * MIB));
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
    *now.lock().unwrap() += vmem_sys::VMEM_DEVICE_STALL_AFTER_NS;
    dev.poll_resize().unwrap();
    let stalled = (vmem_sys::VMEM_RESIZE_STALLED, vmem_sys::VMEM_STALL_GUEST_SILENT);
    assert_eq!(take(&told), [format!("resize {} {}", stalled.0, stalled.1)]);
    let status = dev.resize_status().unwrap();
    assert_eq!((status.state, status.reason), stalled);
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
struct Tracer(Told);

impl Notify for Tracer {
    fn trace(&self, event: &TraceEvent) {
        // A struct that lies about its size is not believed.
        let event = TraceEvent { struct_size: usize::MAX, time_ns: 5_000_000_000, ..*event };
        self.0.lock().unwrap().push(names::trace_line(&event, "vmem 0").unwrap());
    }
}

#[test]
fn numbers_have_names_and_events_are_lines() {
    let (vm, told) = (vm(), Told::default());
    let ram = region(&vm);
    let dev = device(&ram, "vmem0", Tracer(told.clone()));
    dev.resize(2 * MIB).unwrap();
    dev.handle_request(&request(0, 2), &mut [0; 10]).unwrap();
    let lines = take(&told);
    assert_eq!(lines.last().unwrap(), "5.000000 vmem_0 plug 0x100000000 2 ack\n");
    let error = names::trace_line(&TraceEvent::default(), "vmem0").unwrap_err();
    assert_eq!(error.code(), -22);
    assert!(names::trace_line(&TraceEvent::default(), "\0").is_err());

    use vmem::vmem_sys as sys;
    for (name, expected) in [
        (names::request_type(sys::VMEM_REQUEST_STATE), "state"),
        (names::response_type(sys::VMEM_RESPONSE_NACK), "nack"),
        (names::block_state(sys::VMEM_STATE_MIXED), "mixed"),
        (names::reset_kind(sys::VMEM_RESET_SYSTEM), "system"),
        (names::resize_state(sys::VMEM_RESIZE_GROWING), "growing"),
        (names::resize_stall(sys::VMEM_STALL_GUEST_SILENT), "guest-silent"),
        (names::usage_method(sys::VMEM_USAGE_ST_BLOCKS), "st-blocks"),
        (names::backing_kind(sys::VMEM_BACKING_MEMFD), "memfd"),
        (names::log_level(sys::VMEM_LOG_WARNING), "warning"),
        (names::log_level(4711), "unknown"),
    ] {
        assert_eq!(name, expected);
    }
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
