// SPDX-License-Identifier: BSD-3-Clause
//! The declarations of libvmem's headers, and nothing else.
//!
//! One module for each header. Names, members and their order are those of C;
//! what they mean is in the headers. `tests/rust/declarations.py` compares both:
//! the type of every function and member, every size, offset and constant.
//!
//! A struct that starts with `struct_size` has a [`Default`] that sets it and
//! leaves all else zero, which is what C programs start from.
#![allow(non_camel_case_types, non_snake_case)]

/// What the library makes and nobody looks into.
macro_rules! opaque {
    ($($(#[$doc:meta])* $name:ident)*) => {$(
        $(#[$doc])*
        #[repr(C)]
        pub struct $name {
            inside: [u8; 0],
            // Neither Send, Sync nor Unpin: those who wrap it decide.
            marker: core::marker::PhantomData<(*mut u8, core::marker::PhantomPinned)>,
        }
    )*};
}

/// Structs that say their own size.
macro_rules! sized {
    ($($name:ident)*) => {$(
        impl Default for $name {
            fn default() -> Self {
                // SAFETY: whole numbers, pointers and optional functions, for
                // which zero is a value.
                let mut value: Self = unsafe { core::mem::zeroed() };
                value.struct_size = core::mem::size_of::<Self>();
                value
            }
        }
    )*};
}

mod backing;
mod bitmap;
mod claim;
mod device;
mod dma;
mod error;
mod listener;
mod log;
mod region;
mod source;
mod types;
mod version;
mod vm;

pub use backing::*;
pub use bitmap::*;
pub use claim::*;
pub use device::*;
pub use dma::*;
pub use error::*;
pub use listener::*;
pub use log::*;
pub use region::*;
pub use source::*;
pub use types::*;
pub use version::*;
pub use vm::*;
