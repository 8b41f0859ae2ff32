// SPDX-License-Identifier: BSD-3-Clause
//! One virtual machine: `<vmem/vm.h>`.

use crate::*;
use std::os::raw::{c_char, c_int, c_void};

pub type vmem_clock_fn = Option<unsafe extern "C" fn(opaque: *mut c_void) -> u64>;

#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct vmem_vm_config {
    pub struct_size: usize,
    pub name: *const c_char,
    pub log: vmem_log_fn,
    pub clock_ns: vmem_clock_fn,
    pub opaque: *mut c_void,
}

sized! {
    vmem_vm_config
}

extern "C" {
    pub fn vmem_vm_new(
        config: *const vmem_vm_config,
        out: *mut *mut vmem_vm,
        err: *mut vmem_error,
    ) -> c_int;
    pub fn vmem_vm_free(vm: *mut vmem_vm, err: *mut vmem_error) -> c_int;
    pub fn vmem_vm_get_name(vm: *const vmem_vm) -> *const c_char;
    pub fn vmem_vm_for_each_region(
        vm: *mut vmem_vm,
        call: Option<unsafe extern "C" fn(region: *mut vmem_region, opaque: *mut c_void) -> c_int>,
        opaque: *mut c_void,
    ) -> c_int;
    pub fn vmem_vm_for_each_device(
        vm: *mut vmem_vm,
        call: Option<unsafe extern "C" fn(device: *mut vmem_device, opaque: *mut c_void) -> c_int>,
        opaque: *mut c_void,
    ) -> c_int;
}
