// SPDX-License-Identifier: MIT OR Apache-2.0
//! What every function sends: its command, the bytes of its record, and nothing that the caller
//! did not pass; and the return protocol.

use std::ffi::c_int;
use std::ptr::{null, null_mut};

use errno::{Errno, errno, set_errno};
use libc::{EINVAL, EPERM};

use crate::api::{attach::*, btf::*, links::*, maps::*, objects::*, programs::*, settings::*, tokens::*, tracing::*};
use crate::kernel::attr::{CommonAttr, NAME_LEN, name};
use crate::kernel::scripted::{Answer, fails, returns, with_answers};
use crate::kernel::uapi::*;
use crate::opts::Opts;
use crate::types::{bpf_attach_type, bpf_map_type, bpf_prog_type, bpf_stats_type, libbpf_strict_mode};

/// A function called with zeros and valid output pointers, the command that it sends, and the size of its record.
type Case = (&'static str, fn() -> c_int, bpf_cmd, usize);

macro_rules! cases {
    ($($function:ident($($arg:expr),*), $cmd:ident, $size:literal;)*) => {
        // SAFETY: each pointer is NULL where that is valid, else points to its type.
        &[$((stringify!($function), || unsafe { $function($($arg),*) }, $cmd, $size)),*]
    };
}

const ATTACH: bpf_attach_type = bpf_attach_type(0);

/// An output whose value is not checked.
fn scrap<T>() -> *mut T {
    Box::leak(Box::new([0u64; 2])).as_mut_ptr().cast()
}

const CASES: &[Case] = cases! {
    bpf_map_create(bpf_map_type(0), null(), 0, 0, 0, null()), BPF_MAP_CREATE, 92;
    bpf_map_update_elem(0, null(), null(), 0), BPF_MAP_UPDATE_ELEM, 32;
    bpf_map_lookup_elem(0, null(), null_mut()), BPF_MAP_LOOKUP_ELEM, 32;
    bpf_map_lookup_elem_flags(0, null(), null_mut(), 0), BPF_MAP_LOOKUP_ELEM, 32;
    bpf_map_lookup_and_delete_elem(0, null(), null_mut()), BPF_MAP_LOOKUP_AND_DELETE_ELEM, 32;
    bpf_map_lookup_and_delete_elem_flags(0, null(), null_mut(), 0), BPF_MAP_LOOKUP_AND_DELETE_ELEM, 32;
    bpf_map_delete_elem(0, null()), BPF_MAP_DELETE_ELEM, 32;
    bpf_map_delete_elem_flags(0, null(), 0), BPF_MAP_DELETE_ELEM, 32;
    bpf_map_get_next_key(0, null(), null_mut()), BPF_MAP_GET_NEXT_KEY, 24;
    bpf_map_freeze(0), BPF_MAP_FREEZE, 4;
    bpf_map_delete_batch(0, null(), scrap(), null()), BPF_MAP_DELETE_BATCH, 56;
    bpf_map_lookup_batch(0, null_mut(), null_mut(), null_mut(), null_mut(), scrap(), null()), BPF_MAP_LOOKUP_BATCH, 56;
    bpf_map_lookup_and_delete_batch(0, null_mut(), null_mut(), null_mut(), null_mut(), scrap(), null()), BPF_MAP_LOOKUP_AND_DELETE_BATCH, 56;
    bpf_map_update_batch(0, null(), null(), scrap(), null()), BPF_MAP_UPDATE_BATCH, 56;
    bpf_prog_load(bpf_prog_type(0), null(), null(), null(), 0, null_mut()), BPF_PROG_LOAD, 168;
    bpf_prog_bind_map(0, 0, null()), BPF_PROG_BIND_MAP, 12;
    bpf_prog_test_run_opts(0, null_mut()), BPF_PROG_TEST_RUN, 80;
    bpf_prog_stream_read(0, 0, null_mut(), 0, null_mut()), BPF_PROG_STREAM_READ_BY_FD, 24;
    bpf_prog_assoc_struct_ops(0, 0, null_mut()), BPF_PROG_ASSOC_STRUCT_OPS, 12;
    bpf_btf_load(null(), 0, null_mut()), BPF_BTF_LOAD, 40;
    bpf_link_create(0, 0, ATTACH, null()), BPF_LINK_CREATE, 64;
    bpf_link_update(0, 0, null()), BPF_LINK_UPDATE, 16;
    bpf_link_detach(0), BPF_LINK_DETACH, 4;
    bpf_iter_create(0), BPF_ITER_CREATE, 8;
    bpf_prog_attach(0, 0, ATTACH, 0), BPF_PROG_ATTACH, 32;
    bpf_prog_attach_opts(0, 0, ATTACH, null()), BPF_PROG_ATTACH, 32;
    bpf_prog_detach(0, ATTACH), BPF_PROG_DETACH, 32;
    bpf_prog_detach2(0, 0, ATTACH), BPF_PROG_DETACH, 32;
    bpf_prog_detach_opts(0, 0, ATTACH, null()), BPF_PROG_DETACH, 32;
    bpf_prog_query(0, ATTACH, 0, null_mut(), null_mut(), scrap()), BPF_PROG_QUERY, 64;
    bpf_prog_query_opts(0, ATTACH, null_mut()), BPF_PROG_QUERY, 64;
    bpf_obj_pin(0, null()), BPF_OBJ_PIN, 20;
    bpf_obj_pin_opts(0, null(), null()), BPF_OBJ_PIN, 20;
    bpf_obj_get(null()), BPF_OBJ_GET, 20;
    bpf_obj_get_opts(null(), null()), BPF_OBJ_GET, 20;
    bpf_prog_get_next_id(0, scrap()), BPF_PROG_GET_NEXT_ID, 12;
    bpf_map_get_next_id(0, scrap()), BPF_MAP_GET_NEXT_ID, 12;
    bpf_btf_get_next_id(0, scrap()), BPF_BTF_GET_NEXT_ID, 12;
    bpf_link_get_next_id(0, scrap()), BPF_LINK_GET_NEXT_ID, 12;
    bpf_prog_get_fd_by_id(0), BPF_PROG_GET_FD_BY_ID, 12;
    bpf_prog_get_fd_by_id_opts(0, null()), BPF_PROG_GET_FD_BY_ID, 12;
    bpf_map_get_fd_by_id(0), BPF_MAP_GET_FD_BY_ID, 12;
    bpf_map_get_fd_by_id_opts(0, null()), BPF_MAP_GET_FD_BY_ID, 12;
    bpf_btf_get_fd_by_id(0), BPF_BTF_GET_FD_BY_ID, 16;
    bpf_btf_get_fd_by_id_opts(0, null()), BPF_BTF_GET_FD_BY_ID, 16;
    bpf_link_get_fd_by_id(0), BPF_LINK_GET_FD_BY_ID, 12;
    bpf_link_get_fd_by_id_opts(0, null()), BPF_LINK_GET_FD_BY_ID, 12;
    bpf_obj_get_info_by_fd(0, null_mut(), scrap()), BPF_OBJ_GET_INFO_BY_FD, 16;
    bpf_prog_get_info_by_fd(0, null_mut(), scrap()), BPF_OBJ_GET_INFO_BY_FD, 16;
    bpf_map_get_info_by_fd(0, null_mut(), scrap()), BPF_OBJ_GET_INFO_BY_FD, 16;
    bpf_btf_get_info_by_fd(0, null_mut(), scrap()), BPF_OBJ_GET_INFO_BY_FD, 16;
    bpf_link_get_info_by_fd(0, null_mut(), scrap()), BPF_OBJ_GET_INFO_BY_FD, 16;
    bpf_raw_tracepoint_open(null(), 0), BPF_RAW_TRACEPOINT_OPEN, 24;
    bpf_raw_tracepoint_open_opts(0, null_mut()), BPF_RAW_TRACEPOINT_OPEN, 24;
    bpf_task_fd_query(0, 0, 0, null_mut(), scrap(), scrap(), scrap(), scrap(), scrap()), BPF_TASK_FD_QUERY, 48;
    bpf_enable_stats(bpf_stats_type(0)), BPF_ENABLE_STATS, 4;
    bpf_token_create(0, null_mut()), BPF_TOKEN_CREATE, 8;
};

#[test]
fn every_function_sends_its_command_and_nothing_but_zeros_for_zeros() {
    // The 58 functions of bpf.h, except for the one that makes no system call.
    assert_eq!(CASES.len(), 57);
    for (function, call, cmd, size) in CASES {
        let (result, calls) = with_answers([returns(3)], call);
        assert_eq!((result, calls.len()), (3, 1), "{function}");
        assert_eq!(calls[0].cmd, *cmd, "{function}");
        // Members that libbpf 1.7.0 does not have come after those that it has.
        assert!(calls[0].attr.len() >= *size && calls[0].attr.iter().all(|&byte| byte == 0), "{function}");
    }
}

#[test]
fn every_function_returns_the_negative_errno_and_sets_it() {
    for (function, call, ..) in CASES {
        set_errno(Errno(0));
        let (result, _) = with_answers([fails(EPERM)], call);
        assert_eq!((result, errno().0), (-EPERM, EPERM), "{function}");
    }
}

#[test]
fn errno_is_unchanged_on_success() {
    for (function, call, ..) in CASES {
        set_errno(Errno(777));
        with_answers([returns(3)], call);
        assert_eq!(errno().0, 777, "{function}");
    }
}

#[test]
fn null_outputs_are_rejected_before_any_call() {
    let (o32, o64) = (scrap::<u32>(), scrap::<u64>());
    let n = null_mut();
    // SAFETY: the pointers are NULL or valid.
    let rejected: &[&dyn Fn() -> c_int] = unsafe {
        &[
            &|| bpf_map_delete_batch(0, null(), n, null()),
            &|| bpf_map_lookup_batch(0, null_mut(), null_mut(), null_mut(), null_mut(), n, null()),
            &|| bpf_map_lookup_and_delete_batch(0, null_mut(), null_mut(), null_mut(), null_mut(), n, null()),
            &|| bpf_map_update_batch(0, null(), null(), n, null()),
            &|| bpf_prog_query(0, ATTACH, 0, o32, o32, n),
            &|| bpf_prog_get_next_id(0, n),
            &|| bpf_map_get_next_id(0, n),
            &|| bpf_btf_get_next_id(0, n),
            &|| bpf_link_get_next_id(0, n),
            &|| bpf_obj_get_info_by_fd(0, o32.cast(), n),
            &|| bpf_prog_get_info_by_fd(0, o32.cast(), n),
            &|| bpf_map_get_info_by_fd(0, o32.cast(), n),
            &|| bpf_btf_get_info_by_fd(0, o32.cast(), n),
            &|| bpf_link_get_info_by_fd(0, o32.cast(), n),
            &|| bpf_task_fd_query(0, 0, 0, null_mut(), n, o32, o32, o64, o64),
            &|| bpf_task_fd_query(0, 0, 0, null_mut(), o32, n, o32, o64, o64),
            &|| bpf_task_fd_query(0, 0, 0, null_mut(), o32, o32, n, o64, o64),
            &|| bpf_task_fd_query(0, 0, 0, null_mut(), o32, o32, o32, null_mut(), o64),
            &|| bpf_task_fd_query(0, 0, 0, null_mut(), o32, o32, o32, o64, null_mut()),
        ]
    };
    for (i, call) in rejected.iter().enumerate() {
        set_errno(Errno(0));
        assert_eq!((with_answers([], call).0, errno().0), (-EINVAL, EINVAL), "case {i}");
    }
}

#[test]
fn an_unexpected_positive_value_is_returned_and_outputs_are_unchanged() {
    let (next_id, info_len) = (&mut 5, &mut 6);
    // SAFETY: the outputs are valid.
    unsafe {
        assert_eq!(with_answers([returns(1)], || bpf_map_get_next_id(0, next_id)).0, 1);
        assert_eq!(with_answers([returns(1)], || bpf_obj_get_info_by_fd(0, null_mut(), info_len)).0, 1);
    }
    assert_eq!((*next_id, *info_len), (5, 6));
}

#[test]
fn names_are_truncated_to_fifteen_bytes_and_terminated() {
    for len in [0, 1, 14, 15, 16, 100] {
        let text = std::ffi::CString::new("x".repeat(len)).expect("no NUL");
        // SAFETY: terminated.
        let bytes = unsafe { name(text.as_ptr()) };
        let kept = len.min(NAME_LEN - 1);
        assert!(bytes[..kept].iter().all(|&b| b == b'x') && bytes[kept..].iter().all(|&b| b == 0), "{len}");
    }
}

/// Creates a map with `log_opts` on a kernel that supports common attributes. The library
/// remembers that for the process, so one test has all cases.
#[test]
fn a_map_log_is_sent_in_the_common_attributes() {
    let mut buf = [0; 8];
    let sz = bpf_log_opts::KNOWN;
    let mut log = bpf_log_opts { sz, buf: buf.as_mut_ptr(), size: 8, level: 2, true_size: 55 };
    // SAFETY: integers and pointers may be zero.
    let zeroed = unsafe { std::mem::zeroed() };
    let opts = bpf_map_create_opts { sz: bpf_map_create_opts::KNOWN, log_opts: &mut log, ..zeroed };
    // SAFETY: the pointers are NULL or valid.
    let create = || unsafe { bpf_map_create(bpf_map_type(2), null(), 4, 4, 1, &opts) };

    set_errno(Errno(777));
    let answers: [Answer; 2] = [fails(libc::EFAULT), returns(6)];
    let (fd, calls) = with_answers(answers, create);
    assert_eq!((fd, errno().0), (6, 777), "the probe leaves errno alone");
    assert_eq!((calls[0].cmd, &calls[0].common), (BPF_PROG_LOAD | BPF_COMMON_ATTRS, &Some(vec![])));
    assert_eq!(calls[1].cmd, BPF_MAP_CREATE | BPF_COMMON_ATTRS);
    assert!(calls[1].attr.len() >= 92);
    let common = calls[1].common.as_ref().expect("with common attributes");
    assert_eq!(common.len(), 24);
    // SAFETY: it consists of integers, and has the size of its type.
    let common = unsafe { common.as_ptr().cast::<CommonAttr>().read_unaligned() };
    let (log_buf, log_size, log_level, pad) = (common.log_buf.number(), common.log_size, common.log_level, common.pad);
    assert_eq!((log_buf, log_size, log_level, pad), (buf.as_ptr() as u64, 8, 2, 0));
    assert_eq!(log.true_size, 0, "this kernel wrote nothing");

    // The kernel is not probed again.
    let (fd, calls) = with_answers([returns(6)], create);
    assert_eq!((fd, calls.len()), (6, 1));

    // Without log_opts there are no common attributes.
    // SAFETY: the pointers are NULL or valid.
    let (_, calls) = with_answers([returns(6)], || unsafe { bpf_map_create(bpf_map_type(2), null(), 4, 4, 1, null()) });
    assert_eq!((calls[0].cmd, &calls[0].common), (BPF_MAP_CREATE, &None));

    // Invalid log_opts are rejected.
    // SAFETY: valid for writes; `opts` points to it, hence volatile.
    unsafe { (&raw mut log.sz).write_volatile(1) };
    assert_eq!(with_answers([], create).0, -EINVAL);
}

#[test]
fn old_prog_fd_with_old_map_fd_is_rejected() {
    let opts = bpf_link_update_opts { sz: bpf_link_update_opts::KNOWN, flags: 0, old_prog_fd: 3, old_map_fd: 4 };
    // SAFETY: the pointers are NULL or valid.
    assert_eq!(with_answers([], || unsafe { bpf_link_update(3, 4, &opts) }).0, -EINVAL);
}

#[test]
fn error_pointers_are_recognised() {
    // SAFETY: the pointers are not dereferenced.
    unsafe {
        let local = 0u8;
        set_errno(Errno(42));
        assert_eq!(libbpf_get_error((&raw const local).cast()), 0);
        assert_eq!((libbpf_get_error(null()), errno().0), (-42, 42));
        for error in [1, EINVAL, 4095] {
            let pointer = (error as usize).wrapping_neg() as *const _;
            assert_eq!((libbpf_get_error(pointer), errno().0), (-i64::from(error) as _, error));
        }
        assert_eq!(libbpf_get_error(4096usize.wrapping_neg() as *const _), 0);
        assert_eq!(libbpf_set_strict_mode(libbpf_strict_mode(u32::MAX)), 0);
    }
}
