// SPDX-License-Identifier: BSD-3-Clause
//! What belongs to a machine, whoever has its handles.
use std::ops::ControlFlow;
use std::os::raw::{c_int, c_void};

use vmem_sys as sys;

use crate::device::{self, DeviceInfo};
use crate::error::{plain, text, Result};
use crate::region::{self, RegionInfo};
use crate::vm::Vm;
use crate::walk::Walk;

type EachRegion = unsafe extern "C" fn(*mut sys::vmem_region, *mut c_void) -> c_int;
type EachDevice = unsafe extern "C" fn(*mut sys::vmem_device, *mut c_void) -> c_int;

unsafe extern "C" fn each_region<F, B>(region: *mut sys::vmem_region, opaque: *mut c_void) -> c_int
where
    F: FnMut((&str, RegionInfo)) -> ControlFlow<B>,
{
    match region::raw_info(region) {
        Ok(info) => {
            let walk = &mut *(opaque as *mut Walk<F, B>);
            walk.step((text(info.name), RegionInfo::new(&info)))
        }
        Err(error) => error.code(),
    }
}

unsafe extern "C" fn each_device<F, B>(device: *mut sys::vmem_device, opaque: *mut c_void) -> c_int
where
    F: FnMut((&str, DeviceInfo)) -> ControlFlow<B>,
{
    match device::raw_info(device) {
        Ok(info) => {
            let walk = &mut *(opaque as *mut Walk<F, B>);
            walk.step((text(info.name), DeviceInfo::new(&info)))
        }
        Err(error) => error.code(),
    }
}

// The type of a closure names the function.
fn region_fn<F, B>(_: &Walk<F, B>) -> EachRegion
where
    F: FnMut((&str, RegionInfo)) -> ControlFlow<B>,
{
    each_region::<F, B>
}

fn device_fn<F, B>(_: &Walk<F, B>) -> EachDevice
where
    F: FnMut((&str, DeviceInfo)) -> ControlFlow<B>,
{
    each_device::<F, B>
}

impl Vm {
    /// Visit every region with its name, in the order of creation. Making or freeing
    /// anything of the machine is refused meanwhile (-EDEADLK).
    pub fn for_each_region<B>(
        &self,
        mut step: impl FnMut(&str, RegionInfo) -> ControlFlow<B>,
    ) -> Result<ControlFlow<B>> {
        let mut walk = Walk::new(|(name, info): (&str, RegionInfo)| step(name, info));
        let each = region_fn(&walk);
        // SAFETY: the walk lives until the call returns.
        let ret = unsafe { sys::vmem_vm_for_each_region(self.as_raw(), Some(each), walk.opaque()) };
        let end = walk.finish();
        plain(ret, "walk over regions").map(|_| end)
    }

    /// Visit every device with its name, in the order of creation, as
    /// [`Vm::for_each_region`] does.
    pub fn for_each_device<B>(
        &self,
        mut step: impl FnMut(&str, DeviceInfo) -> ControlFlow<B>,
    ) -> Result<ControlFlow<B>> {
        let mut walk = Walk::new(|(name, info): (&str, DeviceInfo)| step(name, info));
        let each = device_fn(&walk);
        // SAFETY: as above.
        let ret = unsafe { sys::vmem_vm_for_each_device(self.as_raw(), Some(each), walk.opaque()) };
        let end = walk.finish();
        plain(ret, "walk over devices").map(|_| end)
    }
}
