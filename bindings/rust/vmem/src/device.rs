// SPDX-License-Identifier: BSD-3-Clause
//! A virtio-mem device without its transport.
use std::os::raw::c_void;
use std::sync::Arc;

use vmem_sys as sys;

use crate::error::{check, name, plain, room, Refused, Result};
use crate::notify::{self, Calls, Notify};
use crate::numbers::set;
use crate::park::Raw;
use crate::region::Region;
use crate::request::Verdict;
use crate::resize::{Reset, ResizeStatus};
use crate::{DeviceSaved, DeviceStats, Range};

/// Feature bits of the virtio device, for [`DeviceConfig::features`] and what a driver
/// accepts.
pub mod feature {
    use vmem_sys as sys;

    /// The node in the config space is valid.
    pub const ACPI_PXM: u64 = sys::VMEM_DEVICE_F_ACPI_PXM;
    /// The driver must not access unplugged memory.
    pub const UNPLUGGED_INACCESSIBLE: u64 = sys::VMEM_DEVICE_F_UNPLUGGED_INACCESSIBLE;
    /// Plugged memory survives suspend.
    pub const PERSISTENT_SUSPEND: u64 = sys::VMEM_DEVICE_F_PERSISTENT_SUSPEND;
}

/// How far above the requested size the usable region reaches; its n is
/// [`DeviceConfig::usable_headroom`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum UsablePolicy {
    /// [`UsablePolicy::Unit`] of 2 GiB.
    #[default]
    Default,
    /// The whole region, always.
    All,
    /// The requested size rounded up to n, and n: room for one memory block of the
    /// guest.
    Unit,
    /// The requested size, and n rounded up to a block; nothing when nothing is
    /// requested.
    Extent,
}

impl UsablePolicy {
    fn raw(self) -> u64 {
        u64::from(match self {
            Self::Default => sys::VMEM_USABLE_DEFAULT,
            Self::All => sys::VMEM_USABLE_ALL,
            Self::Unit => sys::VMEM_USABLE_UNIT,
            Self::Extent => sys::VMEM_USABLE_EXTENT,
        })
    }
}

/// What a device is.
#[derive(Clone, Debug, Default)]
pub struct DeviceConfig {
    /// Unique in the region.
    pub name: String,
    /// Where the region is in the guest; a multiple of the block size.
    pub gpa: u64,
    /// Bytes, a power of two; 0: the backing's default.
    pub block_size: u64,
    /// Bytes at the start; a multiple of the block size.
    pub requested_size: u64,
    /// Bytes at the start; 0: what the policy says.
    pub usable_region_size: u64,
    /// How far the guest may plug.
    pub usable_policy: UsablePolicy,
    /// Its n in bytes; 0: 2 GiB for [`UsablePolicy::Unit`].
    pub usable_headroom: u64,
    /// Set of [`feature`] bits to offer beside `UNPLUGGED_INACCESSIBLE`, which always
    /// is, but with `no_unplugged_inaccessible`.
    pub features: u64,
    /// NUMA node; 0 unless [`feature::ACPI_PXM`] is offered.
    pub node_id: u64,
    /// Silence that counts as stalled; 0: [`Device::STALL_AFTER_NS`].
    pub stall_after_ns: u64,
    /// Insist that the driver accepts [`feature::UNPLUGGED_INACCESSIBLE`].
    pub require_inaccessible: bool,
    /// Do not offer it: for machine types that have to look as before they had it.
    pub no_unplugged_inaccessible: bool,
    /// Leave the memory as it is when the device is made, for [`Device::load`].
    pub keep_memory: bool,
    /// Measure latencies; costs two clock readings a request.
    pub measure_latency: bool,
}

impl DeviceConfig {
    fn flags(&self) -> u64 {
        set(&[
            (self.require_inaccessible, sys::VMEM_DEVICE_REQUIRE_INACCESSIBLE),
            (self.no_unplugged_inaccessible, sys::VMEM_DEVICE_NO_UNPLUGGED_INACCESSIBLE),
            (self.keep_memory, sys::VMEM_DEVICE_KEEP_MEMORY),
            (self.measure_latency, sys::VMEM_DEVICE_MEASURE_LATENCY),
        ])
    }
}

/// What a device is now, as in `struct vmem_device_info`.
#[derive(Clone, Copy, Debug)]
#[allow(missing_docs)]
pub struct DeviceInfo {
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
    pub has_driver: bool,
}

impl DeviceInfo {
    pub(crate) fn new(info: &sys::vmem_device_info) -> Self {
        Self {
            gpa: info.gpa,
            region_size: info.region_size,
            block_size: info.block_size,
            requested_size: info.requested_size,
            plugged_size: info.plugged_size,
            usable_region_size: info.usable_region_size,
            retained_size: info.retained_size,
            features: info.features,
            driver_features: info.driver_features,
            node_id: info.node_id,
            config_generation: info.config_generation,
            has_driver: info.has_driver != 0,
        }
    }
}

/// # Safety
/// The device is alive.
pub(crate) unsafe fn raw_info(device: *mut sys::vmem_device) -> Result<sys::vmem_device_info> {
    let mut info = sys::vmem_device_info::default();
    plain(sys::vmem_device_get_info(device, &mut info), "state of a device").map(|_| info)
}

/// A virtio-mem device. Freed only when its region has no listeners and is not
/// frozen; dropped before, it is parked.
pub struct Device {
    raw: Raw<sys::vmem_device>,
    region: Region,
    // None once what frees the device owns it.
    calls: Option<Arc<Calls>>,
    freed: bool,
}

impl Device {
    /// The virtio device ID.
    pub const VIRTIO_ID: u32 = sys::VMEM_DEVICE_VIRTIO_ID;
    /// Bytes of the config space.
    pub const CONFIG_SIZE: usize = sys::VMEM_DEVICE_CONFIG_SIZE;
    /// Bytes of a request.
    pub const REQUEST_SIZE: usize = sys::VMEM_DEVICE_REQUEST_SIZE;
    /// Bytes of a response.
    pub const RESPONSE_SIZE: usize = sys::VMEM_DEVICE_RESPONSE_SIZE;
    /// Silence that counts as stalled if the config does not say.
    pub const STALL_AFTER_NS: u64 = sys::VMEM_DEVICE_STALL_AFTER_NS;

    /// Make a device on a region, with everything unplugged. `()` for no
    /// notifications.
    pub fn new(
        region: &Region,
        config: &DeviceConfig,
        notify: impl Notify + 'static,
    ) -> Result<Self> {
        let named = name(&config.name)?;
        let raw = sys::vmem_device_config {
            name: named.as_ptr(),
            gpa: config.gpa,
            block_size: config.block_size,
            requested_size: config.requested_size,
            usable_region_size: config.usable_region_size,
            usable_policy: config.usable_policy.raw(),
            usable_headroom: config.usable_headroom,
            features: config.features,
            flags: config.flags(),
            node_id: config.node_id,
            stall_after_ns: config.stall_after_ns,
            ..Default::default()
        };
        let (ops, calls) = notify::calls(Box::new(notify), &region.0.vm.panics);
        let opaque = Arc::as_ptr(&calls) as *mut c_void;
        let mut out = std::ptr::null_mut();
        // SAFETY: the calls live until the device is freed.
        check(|err| unsafe {
            sys::vmem_device_new(region.as_raw(), &raw, &ops, opaque, &mut out, err)
        })?;
        Ok(Self { raw: Raw::new(out), region: region.clone(), calls: Some(calls), freed: false })
    }

    /// Its region.
    pub fn region(&self) -> &Region {
        &self.region
    }

    /// Handle one request; both slices may have any length.
    pub fn handle_request(&self, request: &[u8], response: &mut [u8]) -> Result<Verdict> {
        let mut result = sys::vmem_request_result::default();
        // SAFETY: the handle keeps the device alive; so below.
        let ret = unsafe {
            sys::vmem_device_handle_request(
                self.as_raw(),
                request.as_ptr() as *const c_void,
                request.len(),
                response.as_mut_ptr() as *mut c_void,
                response.len(),
                &mut result,
            )
        };
        Verdict::of(ret, &result)
    }

    /// The same for what lies in pieces, as a descriptor chain has them.
    ///
    /// # Safety
    /// Each piece is valid for reads, or for writes, during the call, or has no
    /// address. Its bytes may change meanwhile, as a guest's memory does.
    pub unsafe fn handle_request_iov(
        &self,
        readable: &[sys::iovec],
        writable: &[sys::iovec],
    ) -> Result<Verdict> {
        let mut result = sys::vmem_request_result::default();
        let ret = sys::vmem_device_handle_request_iov(
            self.as_raw(),
            readable.as_ptr(),
            readable.len(),
            writable.as_ptr(),
            writable.len(),
            &mut result,
        );
        Verdict::of(ret, &result)
    }

    /// Read config space; bytes beyond it are zero.
    pub fn read_config(&self, offset: usize, to: &mut [u8]) -> Result<()> {
        let (dst, size) = (to.as_mut_ptr() as *mut c_void, to.len());
        let ret = unsafe { sys::vmem_device_read_config(self.as_raw(), offset, dst, size) };
        plain(ret, "config space").map(drop)
    }

    /// The driver wrote config space: ignored and counted.
    pub fn write_config(&self, offset: usize, from: &[u8]) -> Result<()> {
        let (src, size) = (from.as_ptr() as *const c_void, from.len());
        let ret = unsafe { sys::vmem_device_write_config(self.as_raw(), offset, src, size) };
        plain(ret, "config space").map(drop)
    }

    /// Generation of the config space.
    pub fn config_generation(&self) -> u32 {
        unsafe { sys::vmem_device_get_config_generation(self.as_raw()) }
    }

    /// [`feature`] bits to offer.
    pub fn features(&self) -> u64 {
        unsafe { sys::vmem_device_get_features(self.as_raw()) }
    }

    /// The driver accepted features; an error means FEATURES_OK must not stick.
    pub fn set_driver_features(&self, features: u64) -> Result<()> {
        let ret = unsafe { sys::vmem_device_set_driver_features(self.as_raw(), features) };
        plain(ret, "features of a driver").map(drop)
    }

    /// Ask the guest for another size. Never waits for it.
    pub fn resize(&self, requested_size: u64) -> Result<()> {
        check(|err| unsafe { sys::vmem_device_resize(self.as_raw(), requested_size, err) })
            .map(drop)
    }

    /// Send the guest a config notification.
    pub fn notify_config(&self) -> Result<()> {
        plain(unsafe { sys::vmem_device_notify_config(self.as_raw()) }, "notify_config").map(drop)
    }

    /// Reset it.
    pub fn reset(&self, kind: Reset) -> Result<()> {
        check(|err| unsafe { sys::vmem_device_reset(self.as_raw(), kind.raw(), err) }).map(drop)
    }

    /// What it is now, from one moment.
    pub fn info(&self) -> Result<DeviceInfo> {
        // SAFETY: the handle keeps the device alive; so below.
        unsafe { raw_info(self.as_raw()) }.map(|info| DeviceInfo::new(&info))
    }

    /// One bit for each page of a window (None: all): is all of it plugged?
    pub fn page_bitmap(&self, window: Option<Range>, page_size: u64) -> Result<Vec<u64>> {
        let source = unsafe { raw_info(self.as_raw()) }?.source;
        self.region.expand("page bitmap of a device", window, page_size, |window, words| {
            // SAFETY: the source lives as long as the device, and there is room for
            // every page that the region can have in the window.
            unsafe { sys::vmem_source_get_page_bitmap(source, window, page_size, words) }
        })
    }

    /// All that another device needs to become the same: numbers, and a bit for each
    /// block.
    pub fn save(&self) -> Result<(DeviceSaved, Vec<u64>)> {
        let info = self.info()?;
        let mut blocks = room(info.region_size / info.block_size)?;
        let mut saved = DeviceSaved::default();
        let ret = unsafe {
            sys::vmem_device_save(self.as_raw(), &mut saved, blocks.as_mut_ptr(), blocks.len())
        };
        plain(ret, "saving a device").map(|_| (saved, blocks))
    }

    /// Become the same as what was saved, which need not be trusted.
    pub fn load(&self, saved: &DeviceSaved, blocks: &[u64]) -> Result<()> {
        // A struct that lies about its size is not believed.
        let saved = DeviceSaved { struct_size: DeviceSaved::default().struct_size, ..*saved };
        check(|err| unsafe {
            sys::vmem_device_load(self.as_raw(), &saved, blocks.as_ptr(), blocks.len(), err)
        })
        .map(drop)
    }

    /// Counters.
    pub fn stats(&self) -> Result<DeviceStats> {
        let mut stats = DeviceStats::default();
        let ret = unsafe { sys::vmem_device_get_stats(self.as_raw(), &mut stats) };
        plain(ret, "counters of a device").map(|_| stats)
    }

    /// How a resize goes.
    pub fn resize_status(&self) -> Result<ResizeStatus> {
        let mut status = sys::vmem_resize_status::default();
        let ret = unsafe { sys::vmem_device_get_resize_status(self.as_raw(), &mut status) };
        plain(ret, "status of a resize").map(|_| ResizeStatus::new(&status))
    }

    /// Look whether a resize has stalled, and notify. For a timer.
    pub fn poll_resize(&self) -> Result<()> {
        plain(unsafe { sys::vmem_device_poll_resize(self.as_raw()) }, "resize").map(drop)
    }

    /// May it be taken away from a running guest?
    pub fn check_removable(&self) -> Result<()> {
        check(|err| unsafe { sys::vmem_device_check_removable(self.as_raw(), err) }).map(drop)
    }

    /// Free it, or get it back with the reason.
    pub fn free(mut self) -> std::result::Result<(), Refused<Self>> {
        match check(|err| unsafe { sys::vmem_device_free(self.as_raw(), err) }) {
            Ok(_) => {
                self.freed = true;
                Ok(())
            }
            Err(error) => Err(Refused { handle: self, error }),
        }
    }

    /// For calls of `vmem_sys`; valid as long as this handle.
    pub fn as_raw(&self) -> *mut sys::vmem_device {
        self.raw.get()
    }
}

impl Drop for Device {
    fn drop(&mut self) {
        let (raw, freed) = (self.raw, self.freed);
        let keep = (self.region.clone(), self.calls.take());
        self.region.0.vm.release(Box::new(move || {
            let _ = &keep;
            if freed {
                return 0;
            }
            // SAFETY: the handle was the only one.
            unsafe { sys::vmem_device_free(raw.get(), std::ptr::null_mut()) }
        }));
    }
}
