// SPDX-License-Identifier: BSD-3-Clause
// The smallest host, in Rust without crates:
// rustc smallest-host.rs $(pkg-config --libs vmem)
use std::ffi::{c_void, CStr};
use std::mem::{size_of, zeroed};
use std::os::raw::{c_char, c_int};
use std::ptr::{null, null_mut};

const MIB: u64 = 1024 * 1024;

// [ffi]
// As in the headers: whole numbers and pointers, no hidden padding. What the
// library makes is a pointer that nobody looks into; it is freed by its name.
type Handle = *mut c_void;
type Text = *const c_char;

#[repr(C)]
struct Error { struct_size: usize, code: i32, reason: u32, range: [u64; 2], message: [c_char; 256] }

#[repr(C)]
struct VmConfig { struct_size: usize, name: Text, log: Handle, clock_ns: Handle, opaque: Handle }

#[repr(C)]
struct BackingConfig {
    struct_size: usize,
    name: Text,
    path: Text,
    size: u64,
    fd_offset: u64,
    page_size: u64,
    flags: u64,
    kind: u32,
    reserved: u32,
    populate_threads: u64,
}

#[repr(C)]
struct RegionConfig { struct_size: usize, name: Text, size: u64, backing: Handle }

#[repr(C)]
struct DeviceConfig {
    struct_size: usize,
    name: Text,
    gpa: u64,
    block_size: u64,
    requested_size: u64,
    usable_region_size: u64,
    usable_policy: u64,
    usable_headroom: u64,
    features: u64,
    flags: u64,
    node_id: u64,
    stall_after_ns: u64,
}

type Out = *mut Handle;
type Err = *mut Error;

#[link(name = "vmem")]
extern "C" {
    fn vmem_vm_new(config: *const VmConfig, out: Out, err: Err) -> c_int;
    fn vmem_vm_free(vm: Handle, err: Err) -> c_int;
    fn vmem_backing_new_allocated(vm: Handle, config: *const BackingConfig, out: Out, err: Err)
        -> c_int;
    fn vmem_backing_free(backing: Handle, err: Err) -> c_int;
    fn vmem_region_new(vm: Handle, config: *const RegionConfig, out: Out, err: Err) -> c_int;
    fn vmem_region_free(region: Handle, err: Err) -> c_int;
    fn vmem_device_new(region: Handle, config: *const DeviceConfig, ops: *const c_void,
                       opaque: Handle, out: Out, err: Err) -> c_int;
    fn vmem_device_free(device: Handle, err: Err) -> c_int;
    fn vmem_device_resize(device: Handle, requested_size: u64, err: Err) -> c_int;
    fn vmem_device_handle_request(device: Handle, request: *const u8, request_size: usize,
                                  response: *mut u8, response_size: usize,
                                  result: *mut c_void) -> c_int;
}
// [ffi]

// All zero is valid for each of these; then the size says which version it is.
macro_rules! sized { ($t:ty) => {{ let mut v: $t = zeroed(); v.struct_size = size_of::<$t>(); v }} }

unsafe fn run(err: &mut Error) -> Result<(), c_int> {
    let check = |ret: c_int| if ret < 0 { Err(ret) } else { Ok(ret) };
    let text = |bytes: &'static [u8]| bytes.as_ptr() as Text;
    let (mut vm, mut region, mut device) = (null_mut(), null_mut(), null_mut());
    let mut machine = sized!(VmConfig);
    let mut memory = sized!(BackingConfig);
    let mut ram = sized!(RegionConfig);
    let mut virtio = sized!(DeviceConfig);
    (machine.name, memory.name) = (text(b"guest\0"), text(b"ram\0"));
    (ram.name, virtio.name) = (text(b"ram\0"), text(b"vmem0\0"));
    (memory.kind, memory.size) = (3, 64 * MIB); // VMEM_BACKING_MEMFD
    (virtio.gpa, virtio.block_size) = (4096 * MIB, 2 * MIB);
    check(vmem_vm_new(&machine, &mut vm, err))?;
    check(vmem_backing_new_allocated(vm, &memory, &mut ram.backing, err))?;
    check(vmem_region_new(vm, &ram, &mut region, err))?;
    check(vmem_device_new(region, &virtio, null(), null_mut(), &mut device, err))?;
    check(vmem_device_resize(device, 32 * MIB, err))?;

    // What a Linux guest sends: plug 16 blocks from 4 GiB on.
    let (mut request, mut response) = ([0u8; 24], [0u8; 10]);
    (request[12], request[16]) = (1, 16);
    check(vmem_device_handle_request(device, request.as_ptr(), request.len(),
                                     response.as_mut_ptr(), response.len(), null_mut()))?;
    println!("answer: {}", if response[0] == 0 { "ack" } else { "no" });

    check(vmem_device_free(device, err))?;
    check(vmem_region_free(region, err))?;
    check(vmem_backing_free(ram.backing, err))?;
    check(vmem_vm_free(vm, err)).map(|_| ())
}

fn main() {
    let mut err = unsafe { sized!(Error) };
    if let Err(code) = unsafe { run(&mut err) } {
        let message = unsafe { CStr::from_ptr(err.message.as_ptr()) };
        eprintln!("{} (errno {})", message.to_string_lossy(), -code);
        std::process::exit(1);
    }
}
