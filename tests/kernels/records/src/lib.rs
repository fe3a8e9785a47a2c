// SPDX-License-Identifier: MIT OR Apache-2.0
//! Where the members of each attribute record lie, as a table that a C program can read.
//!
//! `tests/kernels/tests/records_in_btf.c` compares the table with `union bpf_attr` in the BTF of the running kernel. The
//! records are those of the library, compiled from its source for the target: what is compared is what is sent. Only
//! the names in `table.rs` are generated. A record whose listed members do not add up to its size does not compile.

#![no_std]

use core::ffi::{CStr, c_char};
use core::mem::{MaybeUninit, offset_of};

#[allow(dead_code)]
#[path = "../../../../src/kernel/attr.rs"]
mod attr;
#[allow(unknown_lints, dead_code, non_camel_case_types, non_upper_case_globals, non_snake_case, clippy::all)]
#[rustfmt::skip]
#[path = "../../../../src/kernel/uapi.rs"]
mod uapi;

use attr::*;

/// A record, and where the kernel has it.
#[repr(C)]
pub struct Record {
    name: *const c_char,
    /// The kernel's type: `bpf_attr` or `bpf_common_attr`.
    of: *const c_char,
    /// The struct inside that type: its name, or for one without a name, a member that only it has.
    at: *const c_char,
    members: *const Member,
    count: u32,
    size: u32,
}

/// One member of a record.
#[repr(C)]
pub struct Member {
    /// What the kernel calls it, with the names of named structs on the way to it; `""` for a pad.
    name: *const c_char,
    offset: u32,
    size: u32,
}

// SAFETY: the pointers are to constants.
unsafe impl Sync for Record {}
// SAFETY: the pointer is to a string literal.
unsafe impl Sync for Member {}

const fn zero<A: Copy>() -> A {
    // SAFETY: every record is made of integers alone.
    unsafe { MaybeUninit::zeroed().assume_init() }
}

const fn c(name: &'static CStr) -> *const c_char {
    name.as_ptr()
}

macro_rules! literal {
    (_) => { c"" };
    ($($text:tt)*) => {
        match CStr::from_bytes_with_nul(concat!($($text)*, "\0").as_bytes()) {
            Ok(text) => text,
            Err(_) => panic!("a NUL in a name"),
        }
    };
}

/// `"name" = Record: "of"."at" { our member = "the kernel's", ... }`; a pad is `_`.
macro_rules! table {
    ($($name:literal = $record:ty: $of:literal . $at:literal {
        $($member:ident $(. $inner:ident)* = $theirs:tt),* $(,)?
    })*) => {
        $(const _: () = assert!(
            size_of::<$record>() == 0 $(+ size_of_val(&{ zero::<$record>().$member $(.$inner)* }))*
        );)*
        #[unsafe(no_mangle)]
        pub static sysbpf_layout_count: u32 = 0 $(+ { let _ = stringify!($record); 1 })*;
        #[unsafe(no_mangle)]
        pub static sysbpf_layout: [Record; sysbpf_layout_count as usize] = [$(Record {
            name: c(literal!($name)),
            of: c(literal!($of)),
            at: c(literal!($at)),
            members: const { &[$(Member {
                name: c(literal!($theirs)),
                offset: offset_of!($record, $member $(.$inner)*) as u32,
                size: size_of_val(&{ zero::<$record>().$member $(.$inner)* }) as u32,
            }),*] }.as_ptr(),
            count: 0 $(+ { let _ = stringify!($member); 1 })*,
            size: size_of::<$record>() as u32,
        }),*];
    };
}

include!("table.rs");

#[cfg(not(test))]
#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}
