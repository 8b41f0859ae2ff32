// SPDX-License-Identifier: BSD-3-Clause
//! The library's numbers have names, and an enum here.
use std::ffi::CStr;
use std::os::raw::c_char;
use vmem::vmem_sys as sys;
use vmem::*;

/// Every number of the library that has a word is known here, under the same one.
fn compare<T: PartialEq + Copy>(
    word: unsafe extern "C" fn(u32) -> *const c_char,
    from_raw: fn(u32) -> T,
    unknown: fn(u32) -> T,
    raw: fn(T) -> u32,
    name: fn(T) -> &'static str,
    nr_known: usize,
) {
    let mut nr = 0;
    for number in (0..1000).chain([u32::MAX]) {
        let value = from_raw(number);
        // SAFETY: any number is allowed, and the word is static.
        let word = unsafe { CStr::from_ptr(word(number)) }.to_str().unwrap();
        assert_eq!((raw(value), name(value)), (number, word));
        assert_eq!(value == unknown(number), word == "unknown" || word == "none", "{word}");
        nr += usize::from(value != unknown(number));
    }
    assert_eq!(nr, nr_known);
}

macro_rules! compare {
    ($name:ident, $word:ident, $nr:expr) => {
        compare(sys::$word, $name::from_raw, $name::Unknown, $name::raw, $name::name, $nr)
    };
}

#[test]
fn every_number_that_has_a_word_is_known() {
    compare!(RequestType, vmem_request_type_name, 4);
    compare!(Response, vmem_response_type_name, 4);
    compare!(BlockState, vmem_block_state_name, 3);
    compare!(Reset, vmem_reset_kind_name, 3);
    compare!(ResizeState, vmem_resize_state_name, 4);
    compare!(Stall, vmem_resize_stall_name, 4);
    compare!(UsageMethod, vmem_usage_method_name, 5);
}

#[test]
fn every_reason_is_known() {
    for raw in 0..1000 {
        // SAFETY: as above.
        let word = unsafe { CStr::from_ptr(sys::vmem_reason_name(raw)) }.to_str().unwrap();
        let reason = Reason::from_raw(raw);
        assert_eq!(reason == Reason::Unknown(raw), word == "unknown", "{raw} is {word}");
        assert_eq!((reason.raw(), reason.name()), (raw, word));
    }
    assert_eq!(Reason::from_raw(4711), Reason::Unknown(4711));
}

#[test]
fn what_only_the_host_says_has_words() {
    let blames = [Blame::Guest, Blame::Host, Blame::Os, Blame::Vmem];
    assert_eq!(blames.map(Blame::name), ["guest", "host", "os", "vmem"]);
    let levels = [Level::Debug, Level::Info, Level::Warning, Level::Error];
    assert_eq!(levels.map(Level::name), ["debug", "info", "warning", "error"]);
    let kinds = [
        BackingKind::Anon,
        BackingKind::AnonShared,
        BackingKind::Memfd,
        BackingKind::File,
        BackingKind::HugetlbAnon,
        BackingKind::HugetlbMemfd,
    ];
    let words = kinds.map(BackingKind::name);
    assert_eq!(words[..4], ["anon", "anon-shared", "memfd", "file"]);
    assert_eq!(words[4..], ["hugetlb-anon", "hugetlb"]);
}
