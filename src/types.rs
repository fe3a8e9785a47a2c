// SPDX-License-Identifier: MIT OR Apache-2.0
//! The C types of the exported functions' parameters, under their C names.
//!
//! They are not written to the header: C gets them from `<linux/types.h>` and `<linux/bpf.h>`.

#![allow(non_camel_case_types)]

use core::ffi::c_uint;

pub type __u32 = u32;
pub type __s32 = i32;
pub type __u64 = u64;

/// C enums. A C caller may pass any value of the underlying type, so these are not Rust enums.
macro_rules! enums {
    ($($name:ident),*) => {$(
        #[repr(transparent)]
        #[derive(Clone, Copy, PartialEq, Eq)]
        pub struct $name(pub c_uint);
    )*};
}
enums!(bpf_map_type, bpf_prog_type, bpf_attach_type, bpf_stats_type, libbpf_strict_mode);

/// Kernel structs that are only passed on by pointer.
macro_rules! opaque {
    ($($name:ident),*) => {$(
        #[repr(C)]
        pub struct $name {
            _opaque: [u8; 0],
        }
    )*};
}
opaque!(bpf_insn, bpf_iter_link_info, bpf_prog_info, bpf_map_info, bpf_btf_info, bpf_link_info);
