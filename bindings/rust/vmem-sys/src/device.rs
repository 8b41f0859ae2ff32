// SPDX-License-Identifier: BSD-3-Clause
//! A virtio-mem device without its transport: `<vmem/device.h>`.

use crate::*;
use std::os::raw::{c_char, c_int, c_void};

pub const VMEM_DEVICE_VIRTIO_ID: u32 = 24;
pub const VMEM_DEVICE_CONFIG_SIZE: usize = 56;
pub const VMEM_DEVICE_REQUEST_SIZE: usize = 24;
pub const VMEM_DEVICE_RESPONSE_SIZE: usize = 10;
pub const VMEM_TRACE_TEXT_SIZE: usize = 512;
pub const VMEM_DEVICE_F_ACPI_PXM: u64 = 1 << 0;
pub const VMEM_DEVICE_F_UNPLUGGED_INACCESSIBLE: u64 = 1 << 1;
pub const VMEM_DEVICE_F_PERSISTENT_SUSPEND: u64 = 1 << 2;

/// A part of a message, as in `<sys/uio.h>`.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct iovec {
    pub iov_base: *mut c_void,
    pub iov_len: usize,
}

// enum vmem_request_type
pub const VMEM_REQUEST_PLUG: u32 = 0;
pub const VMEM_REQUEST_UNPLUG: u32 = 1;
pub const VMEM_REQUEST_UNPLUG_ALL: u32 = 2;
pub const VMEM_REQUEST_STATE: u32 = 3;

// enum vmem_response_type
pub const VMEM_RESPONSE_ACK: u32 = 0;
pub const VMEM_RESPONSE_NACK: u32 = 1;
pub const VMEM_RESPONSE_BUSY: u32 = 2;
pub const VMEM_RESPONSE_ERROR: u32 = 3;

// enum vmem_block_state
pub const VMEM_STATE_PLUGGED: u32 = 0;
pub const VMEM_STATE_UNPLUGGED: u32 = 1;
pub const VMEM_STATE_MIXED: u32 = 2;

// enum vmem_request_verdict
pub const VMEM_REQUEST_RESPOND: u32 = 0;
pub const VMEM_REQUEST_MALFORMED: u32 = 1;
pub const VMEM_REQUEST_PENDING: u32 = 2;

// enum vmem_malformed_reason
pub const VMEM_MALFORMED_NONE: u32 = 0;
pub const VMEM_MALFORMED_SHORT_REQUEST: u32 = 1;
pub const VMEM_MALFORMED_SHORT_RESPONSE: u32 = 2;
pub const VMEM_MALFORMED_TYPE: u32 = 3;
pub const VMEM_MALFORMED_ADDRESS: u32 = 4;

// enum vmem_usable_policy
pub const VMEM_USABLE_DEFAULT: u32 = 0;
pub const VMEM_USABLE_ALL: u32 = 1;
pub const VMEM_USABLE_UNIT: u32 = 2;
pub const VMEM_USABLE_EXTENT: u32 = 3;

// enum vmem_reset_kind
pub const VMEM_RESET_DRIVER: u32 = 1;
pub const VMEM_RESET_SYSTEM: u32 = 2;
pub const VMEM_RESET_WAKEUP: u32 = 3;

// enum vmem_resize_state
pub const VMEM_RESIZE_IDLE: u32 = 0;
pub const VMEM_RESIZE_GROWING: u32 = 1;
pub const VMEM_RESIZE_SHRINKING: u32 = 2;
pub const VMEM_RESIZE_STALLED: u32 = 3;

// enum vmem_resize_stall
pub const VMEM_STALL_NONE: u32 = 0;
pub const VMEM_STALL_NO_DRIVER: u32 = 1;
pub const VMEM_STALL_HOST_BUSY: u32 = 2;
pub const VMEM_STALL_GUEST_SILENT: u32 = 3;
pub const VMEM_STALL_GUEST_REFUSED: u32 = 4;
pub const VMEM_DEVICE_REQUIRE_INACCESSIBLE: u64 = 1 << 24;
pub const VMEM_DEVICE_MEASURE_LATENCY: u64 = 1 << 25;
pub const VMEM_DEVICE_NO_UNPLUGGED_INACCESSIBLE: u64 = 1 << 26;
pub const VMEM_DEVICE_KEEP_MEMORY: u64 = 1 << 27;
pub const VMEM_DEVICE_STALL_AFTER_NS: u64 = 10_000_000_000;

#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct vmem_device_config {
    pub struct_size: usize,
    pub name: *const c_char,
    pub gpa: u64,
    pub block_size: u64,
    pub requested_size: u64,
    pub usable_region_size: u64,
    pub usable_policy: u64,
    pub usable_headroom: u64,
    pub features: u64,
    pub flags: u64,
    pub node_id: u64,
    pub stall_after_ns: u64,
}

#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct vmem_resize_status {
    pub struct_size: usize,
    pub requested_size: u64,
    pub plugged_size: u64,
    pub requested_ns: u64,
    pub last_progress_ns: u64,
    pub state: u32,
    pub reason: u32,
    pub busy_reason: u32,
    pub busy_errno: i32,
    pub busy_by: [c_char; VMEM_NAME_MAX + 1],
}

// enum vmem_trace_kind
pub const VMEM_TRACE_REQUEST: u32 = 1;
pub const VMEM_TRACE_RESIZE: u32 = 2;
pub const VMEM_TRACE_RESET: u32 = 3;
pub const VMEM_TRACE_FREEZE: u32 = 4;
pub const VMEM_TRACE_LOAD: u32 = 5;

#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct vmem_trace_event {
    pub struct_size: usize,
    pub sequence: u64,
    pub time_ns: u64,
    pub gpa: u64,
    pub size: u64,
    pub kind: u32,
    pub r#type: u32,
    pub nr_blocks: u32,
    pub response: u32,
    pub state: u32,
    pub reason: u32,
    pub frozen: u32,
    pub code: i32,
}

#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct vmem_device_ops {
    pub struct_size: usize,
    pub config_changed: Option<unsafe extern "C" fn(opaque: *mut c_void)>,
    pub size_changed: Option<unsafe extern "C" fn(plugged_size: u64, opaque: *mut c_void)>,
    pub resize_changed:
        Option<unsafe extern "C" fn(status: *const vmem_resize_status, opaque: *mut c_void)>,
    pub trace: Option<unsafe extern "C" fn(event: *const vmem_trace_event, opaque: *mut c_void)>,
}

#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct vmem_device_info {
    pub struct_size: usize,
    pub name: *const c_char,
    pub region: *mut vmem_region,
    pub gpa: u64,
    pub region_size: u64,
    pub block_size: u64,
    pub requested_size: u64,
    pub plugged_size: u64,
    pub usable_region_size: u64,
    pub retained_size: u64,
    pub features: u64,
    pub driver_features: u64,
    pub node_id: u64,
    pub config_generation: u64,
    pub has_driver: u64,
    pub source: *const vmem_source,
}

#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct vmem_device_stats {
    pub struct_size: usize,
    pub nr_requests: [[u64; 4]; 4],
    pub nr_malformed: [u64; 8],
    pub plugged_bytes: u64,
    pub unplugged_bytes: u64,
    pub nr_config_writes: u64,
    pub nr_features_refused: u64,
    pub nr_resizes: u64,
    pub nr_resets: [u64; 4],
    pub latency_total_ns: [u64; 4],
    pub latency_max_ns: [u64; 4],
    pub nr_loads: u64,
}

#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct vmem_device_saved {
    pub struct_size: usize,
    pub gpa: u64,
    pub region_size: u64,
    pub block_size: u64,
    pub node_id: u64,
    pub requested_size: u64,
    pub usable_region_size: u64,
    pub plugged_size: u64,
    pub driver_features: u64,
    pub has_driver: u64,
}

#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct vmem_request_result {
    pub struct_size: usize,
    pub used_size: usize,
    pub r#type: u32,
    pub response: u32,
    pub malformed: u32,
    pub reason: u32,
}

sized! {
    vmem_device_config
    vmem_resize_status
    vmem_trace_event
    vmem_device_ops
    vmem_device_info
    vmem_device_stats
    vmem_device_saved
    vmem_request_result
}

extern "C" {
    pub fn vmem_device_new(
        region: *mut vmem_region,
        config: *const vmem_device_config,
        ops: *const vmem_device_ops,
        opaque: *mut c_void,
        out: *mut *mut vmem_device,
        err: *mut vmem_error,
    ) -> c_int;
    pub fn vmem_device_free(device: *mut vmem_device, err: *mut vmem_error) -> c_int;
    pub fn vmem_device_check_removable(device: *const vmem_device, err: *mut vmem_error) -> c_int;
    pub fn vmem_device_read_config(
        device: *const vmem_device,
        offset: usize,
        dst: *mut c_void,
        size: usize,
    ) -> c_int;
    pub fn vmem_device_write_config(
        device: *mut vmem_device,
        offset: usize,
        src: *const c_void,
        size: usize,
    ) -> c_int;
    pub fn vmem_device_get_config_generation(device: *const vmem_device) -> u32;
    pub fn vmem_device_get_features(device: *const vmem_device) -> u64;
    pub fn vmem_device_set_driver_features(device: *mut vmem_device, features: u64) -> c_int;
    pub fn vmem_device_handle_request(
        device: *mut vmem_device,
        request: *const c_void,
        request_size: usize,
        response: *mut c_void,
        response_size: usize,
        result: *mut vmem_request_result,
    ) -> c_int;
    pub fn vmem_device_handle_request_iov(
        device: *mut vmem_device,
        readable: *const iovec,
        nr_readable: usize,
        writable: *const iovec,
        nr_writable: usize,
        result: *mut vmem_request_result,
    ) -> c_int;
    pub fn vmem_device_resize(
        device: *mut vmem_device,
        requested_size: u64,
        err: *mut vmem_error,
    ) -> c_int;
    pub fn vmem_device_notify_config(device: *mut vmem_device) -> c_int;
    pub fn vmem_device_reset(device: *mut vmem_device, kind: u32, err: *mut vmem_error) -> c_int;
    pub fn vmem_device_save(
        device: *const vmem_device,
        saved: *mut vmem_device_saved,
        blocks: *mut u64,
        nr_words: usize,
    ) -> c_int;
    pub fn vmem_device_load(
        device: *mut vmem_device,
        saved: *const vmem_device_saved,
        blocks: *const u64,
        nr_words: usize,
        err: *mut vmem_error,
    ) -> c_int;
    pub fn vmem_device_get_info(device: *const vmem_device, info: *mut vmem_device_info) -> c_int;
    pub fn vmem_device_get_stats(
        device: *const vmem_device,
        stats: *mut vmem_device_stats,
    ) -> c_int;
    pub fn vmem_device_get_resize_status(
        device: *const vmem_device,
        status: *mut vmem_resize_status,
    ) -> c_int;
    pub fn vmem_device_poll_resize(device: *mut vmem_device) -> c_int;
    pub fn vmem_trace_event_format(
        event: *const vmem_trace_event,
        name: *const c_char,
        text: *mut c_char,
        size: usize,
    ) -> c_int;
    pub fn vmem_request_type_name(type_: u32) -> *const c_char;
    pub fn vmem_response_type_name(type_: u32) -> *const c_char;
    pub fn vmem_block_state_name(state: u32) -> *const c_char;
    pub fn vmem_reset_kind_name(kind: u32) -> *const c_char;
    pub fn vmem_resize_state_name(state: u32) -> *const c_char;
    pub fn vmem_resize_stall_name(reason: u32) -> *const c_char;
}
