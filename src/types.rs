//! The C types that the exported functions take, under their C names.
//!
//! None of this is written to the header: C has these from `<linux/types.h>` and `<linux/bpf.h>`.

#![allow(non_camel_case_types)]

use core::ffi::c_uint;

pub type __u32 = u32;
pub type __s32 = i32;
pub type __u64 = u64;

/// C enums as a C caller passes them: any value of the C type, known to us or not.
macro_rules! enums {
    ($($name:ident),*) => {$(
        #[repr(transparent)]
        #[derive(Clone, Copy, PartialEq, Eq)]
        pub struct $name(pub c_uint);
    )*};
}
enums!(bpf_map_type, bpf_prog_type, bpf_attach_type, bpf_stats_type, libbpf_strict_mode);

/// Structs of the kernel's that are passed by pointer and never looked into.
macro_rules! opaque {
    ($($name:ident),*) => {$(
        #[repr(C)]
        pub struct $name {
            _opaque: [u8; 0],
        }
    )*};
}
opaque!(bpf_insn, bpf_iter_link_info, bpf_prog_info, bpf_map_info, bpf_btf_info, bpf_link_info);
