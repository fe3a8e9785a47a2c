//! The layout of every attribute record, as a table that a C program can read.
//!
//! `tests/kernels/tests/records_in_btf.c` compares it with `union bpf_attr` in the running kernel's own BTF.
//! The table comes from the very source of the library, compiled for the target, so what is
//! compared is what is sent. It is complete: a record whose listed members do not add up to
//! its size does not compile.

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

type MapLookupElem = MapElem<{ uapi::BPF_MAP_LOOKUP_ELEM }>;
type MapLookupBatch = MapBatch<{ uapi::BPF_MAP_LOOKUP_BATCH }>;
type ObjPin = ObjPath<{ uapi::BPF_OBJ_PIN }>;
type ProgAttach = ProgAttachDetach<{ uapi::BPF_PROG_ATTACH }>;
type ProgGetNextId = GetNextId<{ uapi::BPF_PROG_GET_NEXT_ID }>;
type ProgGetFdById = GetFdById<{ uapi::BPF_PROG_GET_FD_BY_ID }>;

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

/// `Record, "of"."at" { our member = "the kernel's", ... }`; a pad is `_`.
macro_rules! table {
    ($($record:ty, $of:literal . $at:literal { $($member:ident $(. $inner:ident)* = $name:tt),* $(,)? })*) => {
        $(const _: () = assert!(
            size_of::<$record>() == 0 $(+ size_of_val(&{ zero::<$record>().$member $(.$inner)* }))*
        );)*
        #[unsafe(no_mangle)]
        pub static sysbpf_layout_count: u32 = 0 $(+ { let _ = stringify!($record); 1 })*;
        #[unsafe(no_mangle)]
        pub static sysbpf_layout: [Record; sysbpf_layout_count as usize] = [$(Record {
            name: c(literal!(stringify!($record))),
            of: c(literal!($of)),
            at: c(literal!($at)),
            members: const { &[$(Member {
                name: c(literal!($name)),
                offset: offset_of!($record, $member $(.$inner)*) as u32,
                size: size_of_val(&{ zero::<$record>().$member $(.$inner)* }) as u32,
            }),*] }.as_ptr(),
            count: 0 $(+ { let _ = stringify!($member); 1 })*,
            size: size_of::<$record>() as u32,
        }),*];
    };
}

table! {
    MapCreate, "bpf_attr"."map_type" {
        map_type = "map_type", key_size = "key_size", value_size = "value_size", max_entries = "max_entries",
        map_flags = "map_flags", inner_map_fd = "inner_map_fd", numa_node = "numa_node", map_name = "map_name",
        map_ifindex = "map_ifindex", btf_fd = "btf_fd", btf_key_type_id = "btf_key_type_id",
        btf_value_type_id = "btf_value_type_id", btf_vmlinux_value_type_id = "btf_vmlinux_value_type_id",
        map_extra = "map_extra", value_type_btf_obj_fd = "value_type_btf_obj_fd", map_token_fd = "map_token_fd",
        excl_prog_hash = "excl_prog_hash", excl_prog_hash_size = "excl_prog_hash_size",
    }
    MapLookupElem, "bpf_attr"."key" {
        map_fd = "map_fd", pad = _, key = "key", value = "value", flags = "flags",
    }
    MapGetNextKey, "bpf_attr"."key" {
        map_fd = "map_fd", pad = _, key = "key", next_key = "next_key",
    }
    MapFreeze, "bpf_attr"."key" { map_fd = "map_fd" }
    MapLookupBatch, "bpf_attr"."batch" {
        in_batch = "in_batch", out_batch = "out_batch", keys = "keys", values = "values", count = "count",
        map_fd = "map_fd", elem_flags = "elem_flags", flags = "flags",
    }
    ProgLoad, "bpf_attr"."prog_type" {
        prog_type = "prog_type", insn_cnt = "insn_cnt", insns = "insns", license = "license", log_level = "log_level",
        log_size = "log_size", log_buf = "log_buf", kern_version = "kern_version", prog_flags = "prog_flags",
        prog_name = "prog_name", prog_ifindex = "prog_ifindex", expected_attach_type = "expected_attach_type",
        prog_btf_fd = "prog_btf_fd", func_info_rec_size = "func_info_rec_size", func_info = "func_info",
        func_info_cnt = "func_info_cnt", line_info_rec_size = "line_info_rec_size", line_info = "line_info",
        line_info_cnt = "line_info_cnt", attach_btf_id = "attach_btf_id", attach_prog_fd = "attach_prog_fd",
        core_relo_cnt = "core_relo_cnt", fd_array = "fd_array", core_relos = "core_relos",
        core_relo_rec_size = "core_relo_rec_size", log_true_size = "log_true_size", prog_token_fd = "prog_token_fd",
        fd_array_cnt = "fd_array_cnt", signature = "signature", signature_size = "signature_size",
        keyring_id = "keyring_id",
    }
    ObjPin, "bpf_attr"."pathname" {
        pathname = "pathname", bpf_fd = "bpf_fd", file_flags = "file_flags", path_fd = "path_fd",
    }
    ProgAttach, "bpf_attr"."attach_bpf_fd" {
        target_fd = "target_fd", attach_bpf_fd = "attach_bpf_fd", attach_type = "attach_type",
        attach_flags = "attach_flags", replace_bpf_fd = "replace_bpf_fd", relative_fd = "relative_fd",
        expected_revision = "expected_revision",
    }
    ProgTestRun, "bpf_attr"."test" {
        prog_fd = "prog_fd", retval = "retval", data_size_in = "data_size_in", data_size_out = "data_size_out",
        data_in = "data_in", data_out = "data_out", repeat = "repeat", duration = "duration",
        ctx_size_in = "ctx_size_in", ctx_size_out = "ctx_size_out", ctx_in = "ctx_in", ctx_out = "ctx_out",
        flags = "flags", cpu = "cpu", batch_size = "batch_size", pad = _,
    }
    ProgGetNextId, "bpf_attr"."start_id" {
        start_id = "start_id", next_id = "next_id", open_flags = "open_flags",
    }
    ProgGetFdById, "bpf_attr"."start_id" { start_id = "prog_id", next_id = "next_id", open_flags = "open_flags" }
    BtfGetFdById, "bpf_attr"."start_id" {
        btf_id = "btf_id", next_id = "next_id", open_flags = "open_flags", fd_by_id_token_fd = "fd_by_id_token_fd",
    }
    ObjGetInfoByFd, "bpf_attr"."info" { bpf_fd = "bpf_fd", info_len = "info_len", info = "info" }
    ProgQuery, "bpf_attr"."query" {
        target_fd = "target_fd", attach_type = "attach_type", query_flags = "query_flags",
        attach_flags = "attach_flags", prog_ids = "prog_ids", count = "prog_cnt", pad = _,
        prog_attach_flags = "prog_attach_flags", link_ids = "link_ids", link_attach_flags = "link_attach_flags",
        revision = "revision",
    }
    RawTracepointOpen, "bpf_attr"."raw_tracepoint" { name = "name", prog_fd = "prog_fd", pad = _, cookie = "cookie" }
    BtfLoad, "bpf_attr"."btf" {
        btf = "btf", btf_log_buf = "btf_log_buf", btf_size = "btf_size", btf_log_size = "btf_log_size",
        btf_log_level = "btf_log_level", btf_log_true_size = "btf_log_true_size", btf_flags = "btf_flags",
        btf_token_fd = "btf_token_fd",
    }
    TaskFdQuery, "bpf_attr"."task_fd_query" {
        pid = "pid", fd = "fd", flags = "flags", buf_len = "buf_len", buf = "buf", prog_id = "prog_id",
        fd_type = "fd_type", probe_offset = "probe_offset", probe_addr = "probe_addr",
    }
    LinkUpdate, "bpf_attr"."link_update" {
        link_fd = "link_fd", new_prog_fd = "new_prog_fd", flags = "flags", old_prog_fd = "old_prog_fd",
    }
    LinkDetach, "bpf_attr"."link_detach" { link_fd = "link_fd" }
    EnableStats, "bpf_attr"."enable_stats" { type_ = "type" }
    IterCreate, "bpf_attr"."iter_create" { link_fd = "link_fd", flags = "flags" }
    ProgBindMap, "bpf_attr"."prog_bind_map" { prog_fd = "prog_fd", map_fd = "map_fd", flags = "flags" }
    TokenCreate, "bpf_attr"."token_create" { flags = "flags", bpffs_fd = "bpffs_fd" }
    ProgStreamRead, "bpf_attr"."prog_stream_read" {
        stream_buf = "stream_buf", stream_buf_len = "stream_buf_len", stream_id = "stream_id", prog_fd = "prog_fd",
        pad = _,
    }
    ProgAssocStructOps, "bpf_attr"."prog_assoc_struct_ops" {
        map_fd = "map_fd", prog_fd = "prog_fd", flags = "flags",
    }
    LinkCreate<TargetBtfId>, "bpf_attr"."link_create" {
        prog_fd = "prog_fd", target_fd = "target_fd", attach_type = "attach_type", flags = "flags",
        member.target_btf_id = "target_btf_id", member.pad = _,
    }
    LinkCreate<Iter>, "bpf_attr"."link_create" {
        prog_fd = "prog_fd", target_fd = "target_fd", attach_type = "attach_type", flags = "flags",
        member.iter_info = "iter_info", member.iter_info_len = "iter_info_len", member.pad = _,
    }
    LinkCreate<PerfEvent>, "bpf_attr"."link_create" {
        prog_fd = "prog_fd", target_fd = "target_fd", attach_type = "attach_type", flags = "flags",
        member.bpf_cookie = "perf_event.bpf_cookie", member.pad = _,
    }
    LinkCreate<KprobeMulti>, "bpf_attr"."link_create" {
        prog_fd = "prog_fd", target_fd = "target_fd", attach_type = "attach_type", flags = "flags",
        member.flags = "kprobe_multi.flags", member.cnt = "kprobe_multi.cnt", member.syms = "kprobe_multi.syms",
        member.addrs = "kprobe_multi.addrs", member.cookies = "kprobe_multi.cookies", member.pad = _,
    }
    LinkCreate<Tracing>, "bpf_attr"."link_create" {
        prog_fd = "prog_fd", target_fd = "target_fd", attach_type = "attach_type", flags = "flags",
        member.target_btf_id = "tracing.target_btf_id", member.pad0 = _, member.cookie = "tracing.cookie",
        member.pad = _,
    }
    LinkCreate<Netfilter>, "bpf_attr"."link_create" {
        prog_fd = "prog_fd", target_fd = "target_fd", attach_type = "attach_type", flags = "flags",
        member.pf = "netfilter.pf", member.hooknum = "netfilter.hooknum", member.priority = "netfilter.priority",
        member.flags = "netfilter.flags", member.pad = _,
    }
    LinkCreate<Relative>, "bpf_attr"."link_create" {
        prog_fd = "prog_fd", target_fd = "target_fd", attach_type = "attach_type", flags = "flags",
        member.relative_fd = "tcx.relative_fd", member.pad0 = _,
        member.expected_revision = "tcx.expected_revision", member.pad = _,
    }
    LinkCreate<Relative>, "bpf_attr"."link_create" {
        prog_fd = "prog_fd", target_fd = "target_fd", attach_type = "attach_type", flags = "flags",
        member.relative_fd = "netkit.relative_fd", member.pad0 = _,
        member.expected_revision = "netkit.expected_revision", member.pad = _,
    }
    LinkCreate<Relative>, "bpf_attr"."link_create" {
        prog_fd = "prog_fd", target_fd = "target_fd", attach_type = "attach_type", flags = "flags",
        member.relative_fd = "cgroup.relative_fd", member.pad0 = _,
        member.expected_revision = "cgroup.expected_revision", member.pad = _,
    }
    LinkCreate<UprobeMulti>, "bpf_attr"."link_create" {
        prog_fd = "prog_fd", target_fd = "target_fd", attach_type = "attach_type", flags = "flags",
        member.path = "uprobe_multi.path", member.offsets = "uprobe_multi.offsets",
        member.ref_ctr_offsets = "uprobe_multi.ref_ctr_offsets", member.cookies = "uprobe_multi.cookies",
        member.cnt = "uprobe_multi.cnt", member.flags = "uprobe_multi.flags", member.pid = "uprobe_multi.pid",
        member.path_fd = "uprobe_multi.path_fd",
    }
    LinkCreate<TracingMulti>, "bpf_attr"."link_create" {
        prog_fd = "prog_fd", target_fd = "target_fd", attach_type = "attach_type", flags = "flags",
        member.ids = "tracing_multi.ids", member.cookies = "tracing_multi.cookies", member.cnt = "tracing_multi.cnt",
        member.pad = _,
    }
    CommonAttr, "bpf_common_attr"."" {
        log_buf = "log_buf", log_size = "log_size", log_level = "log_level", log_true_size = "log_true_size", pad = _,
    }
}

#[cfg(not(test))]
#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}
