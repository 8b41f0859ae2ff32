// SPDX-License-Identifier: BSD-3-Clause
//! Does it fit?
use std::fmt;

use vmem_sys as sys;

use crate::error::{check, Error, Result};

/// Does an attachment fit the budget?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fit {
    /// What is requested fits, and no limit is near.
    Ok,
    /// It fits, and a limit is near.
    Tight,
    /// What is requested does not fit.
    Impossible,
}

/// Which limit decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bound {
    /// None: it is ok.
    None,
    /// The number of mappings.
    Mappings,
    /// The number of pinned bytes.
    Pinned,
}

/// How an attachment fits, as in `struct vmem_dma_verdict`. A limit that does not
/// exist is None.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct DmaVerdict {
    pub fit: Fit,
    pub bound: Bound,
    pub max_mappings: Option<u64>,
    pub nr_taken: u64,
    pub nr_available: Option<u64>,
    pub nr_now: u64,
    pub nr_requested: u64,
    pub nr_worst_case: u64,
    pub granularity: u64,
    /// None: with no block size everything fits.
    pub recommended_block_size: Option<u64>,
    pub max_pinned_size: Option<u64>,
    pub pinned_size: u64,
    pub requested_pinned_size: u64,
    pub worst_case_pinned_size: u64,
}

pub(crate) fn limit(raw: u64) -> Option<u64> {
    Some(raw).filter(|&raw| raw != sys::VMEM_DMA_UNLIMITED)
}

impl DmaVerdict {
    /// None for one that the library has not filled.
    pub(crate) fn from_raw(raw: &sys::vmem_dma_verdict) -> Option<Self> {
        let fit = match raw.fit {
            sys::VMEM_DMA_FIT_OK => Fit::Ok,
            sys::VMEM_DMA_FIT_TIGHT => Fit::Tight,
            sys::VMEM_DMA_FIT_IMPOSSIBLE => Fit::Impossible,
            _ => return None,
        };
        let bound = match raw.bound {
            sys::VMEM_DMA_BOUND_MAPPINGS => Bound::Mappings,
            sys::VMEM_DMA_BOUND_PINNED => Bound::Pinned,
            _ => Bound::None,
        };
        Some(Self {
            fit,
            bound,
            max_mappings: limit(raw.max_mappings),
            nr_taken: raw.nr_taken,
            nr_available: limit(raw.nr_available),
            nr_now: raw.nr_now,
            nr_requested: raw.nr_requested,
            nr_worst_case: raw.nr_worst_case,
            granularity: raw.granularity,
            recommended_block_size: Some(raw.recommended_block_size).filter(|&size| size != 0),
            max_pinned_size: limit(raw.max_pinned_size),
            pinned_size: raw.pinned_size,
            requested_pinned_size: raw.requested_pinned_size,
            worst_case_pinned_size: raw.worst_case_pinned_size,
        })
    }
}

/// What a verdict can be calculated from without a machine.
#[derive(Clone, Copy, Debug, Default)]
pub struct DmaPlan {
    /// Bytes.
    pub region_size: u64,
    /// Bytes of a mapping, a power of two.
    pub block_size: u64,
    /// Bytes; not more than the region's.
    pub requested_size: u64,
    /// Limit of one container; None: there is none.
    pub max_mappings: Option<u64>,
    /// Mappings of one container that something else needs.
    pub nr_taken: u64,
    /// Limit of bytes pinned by all containers; 0: none.
    pub max_pinned_size: u64,
    /// Bytes that something else pins.
    pub pinned_size: u64,
    /// Address spaces that map it; 0: 1.
    pub nr_containers: u64,
}

impl DmaPlan {
    /// How would it fit?
    pub fn verdict(&self) -> Result<DmaVerdict> {
        let raw = sys::vmem_dma_plan_config {
            region_size: self.region_size,
            block_size: self.block_size,
            requested_size: self.requested_size,
            max_mappings: self.max_mappings.unwrap_or(sys::VMEM_DMA_UNLIMITED),
            nr_taken: self.nr_taken,
            max_pinned_size: self.max_pinned_size,
            pinned_size: self.pinned_size,
            nr_containers: self.nr_containers,
            ..Default::default()
        };
        let mut verdict = sys::vmem_dma_verdict::default();
        // SAFETY: the library copies one and fills the other.
        check(|err| unsafe { sys::vmem_dma_plan(&raw, &mut verdict, err) })?;
        Ok(DmaVerdict::from_raw(&verdict).expect("libvmem succeeded without a verdict"))
    }
}

/// An attach that failed, and how it would have fitted, if that became known.
#[derive(Clone, Debug)]
pub struct NotAttached {
    /// How it would have fitted.
    pub verdict: Option<DmaVerdict>,
    /// Why it failed.
    pub error: Error,
}

impl fmt::Display for NotAttached {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.error.fmt(to)
    }
}

impl std::error::Error for NotAttached {}

impl From<NotAttached> for Error {
    fn from(refused: NotAttached) -> Self {
        refused.error
    }
}

impl From<Error> for NotAttached {
    fn from(error: Error) -> Self {
        Self { verdict: None, error }
    }
}
