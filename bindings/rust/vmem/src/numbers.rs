// SPDX-License-Identifier: BSD-3-Clause
//! The library's numbers that stand for something are enums here. One of a newer
//! library stays a number.

/// Enums of the library's numbers, with the function that has its words for them.
macro_rules! numbers {
    ($(
        $(#[$about:meta])*
        $name:ident $(in the words of $word:path)? {
            $($(#[$what:meta])* $variant:ident = $raw:ident,)*
        }
    )*) => {$(
        $(#[$about])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[non_exhaustive]
        #[allow(missing_docs)]
        pub enum $name {
            $($(#[$what])* $variant,)*
            /// Of a newer library.
            Unknown(u32),
        }

        impl $name {
            /// From the library's number.
            pub fn from_raw(raw: u32) -> Self {
                match raw {
                    $(vmem_sys::$raw => Self::$variant,)*
                    _ => Self::Unknown(raw),
                }
            }

            /// The library's number.
            pub fn raw(self) -> u32 {
                match self {
                    $(Self::$variant => vmem_sys::$raw,)*
                    Self::Unknown(raw) => raw,
                }
            }

            $(
                /// The library's word for it; "unknown" if it has none.
                pub fn name(self) -> &'static str {
                    // SAFETY: any number is allowed, and the text is static.
                    unsafe { crate::error::text($word(self.raw())) }
                }
            )?
        }
    )*};
}

pub(crate) use numbers;

/// The set of those flags that are wanted.
pub(crate) fn set(flags: &[(bool, u64)]) -> u64 {
    flags.iter().filter(|flag| flag.0).fold(0, |all, flag| all | flag.1)
}
