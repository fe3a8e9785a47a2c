// SPDX-License-Identifier: MIT OR Apache-2.0
//! The `sz` protocol, for every opts struct and every size.

use super::opts_offsets::{self, Row};
use super::warnings;
use crate::api::{attach::*, btf::*, every_opts, links::*, maps::*, objects::*, programs::*, tokens::*, tracing::*};
use crate::error::EINVAL;
use crate::opts::{self, Field, InOut, Opts};

/// A caller's struct of exactly `sz` bytes: `sz` first, then bytes of `fill`.
fn callers(sz: usize, fill: u8) -> Vec<u8> {
    let mut bytes = vec![fill; sz.max(size_of::<usize>())];
    bytes[..size_of::<usize>()].copy_from_slice(&sz.to_ne_bytes());
    bytes
}

/// At every size up to that of the struct, each member of the copy is the caller's or zero, as
/// a whole. `rows` are the members.
fn gives_whole_members<T: Opts>(rows: &[Row]) {
    for sz in size_of::<usize>()..=T::KNOWN {
        let caller = callers(sz, 0xa5);
        // SAFETY: the memory has `sz` bytes.
        let given = unsafe { opts::read(caller.as_ptr().cast::<T>()) }.expect("a valid size");
        // SAFETY: every byte of the copy is initialised, including padding, because it was zeroed.
        let given = unsafe { std::slice::from_raw_parts((&raw const given).cast::<u8>(), size_of::<T>()) };
        for (field, offset, size) in opts_offsets::all_places(rows, T::ENDS).into_iter().skip(1) {
            let expected = if offset + size <= sz { 0xa5 } else { 0 };
            assert!(given[offset..offset + size].iter().all(|&b| b == expected), "{field} at {offset}, sz {sz}");
        }
    }
}

/// What is rejected, with a warning: an `sz` less than a `size_t`, and a nonzero byte after the last member.
fn rejects<T: Opts>(rows: &[Row]) {
    let known =
        opts_offsets::all_places(rows, T::ENDS).iter().map(|(_, offset, size)| offset + size).max().expect("rows");
    assert_eq!(T::KNOWN, known, "{:?}", T::NAME);
    let read = |caller: &[u8]| {
        // SAFETY: the memory has `sz` bytes.
        unsafe { opts::read(caller.as_ptr().cast::<T>()) }.map(|_| ())
    };
    let tail_warning = "a byte after the last known field is not zero";
    let warning = |what: &str| format!("libbpf: {}: {what}\n", T::NAME.to_str().expect("a name"));
    for sz in 0..size_of::<usize>() {
        assert_eq!(read(&callers(sz, 0)), Err(EINVAL), "sz {sz}");
        assert_eq!(warnings::taken(), warning("sz is less than a size_t"), "sz {sz}");
    }
    for sz in known..2 * known + 16 {
        let mut caller = callers(sz, 0);
        assert_eq!(read(&caller), Ok(()), "sz {sz}, zero tail");
        assert_eq!(warnings::taken(), "", "sz {sz}, zero tail");
        for tail in known..sz {
            caller[tail] = 1;
            assert_eq!(read(&caller), Err(EINVAL), "sz {sz}, byte {tail} set");
            assert_eq!(warnings::taken(), warning(tail_warning), "sz {sz}, byte {tail} set");
            caller[tail] = 0;
        }
    }
}

macro_rules! protocol {
    ($($test:ident: $opts:ident, $rows:ident;)*) => {$(
        #[test]
        fn $test() {
            gives_whole_members::<$opts>(opts_offsets::$rows);
            rejects::<$opts>(opts_offsets::$rows);
            assert_eq!($opts::NAME.to_str(), Ok(stringify!($opts)));
        }
    )*
    /// The structs that libbpf 1.7.0 has.
    const WITH_ROWS: &[&str] = &["bpf_link_create_opts", $(stringify!($opts)),*];
    };
}

protocol! {
    log: bpf_log_opts, BPF_LOG_OPTS;
    map_create: bpf_map_create_opts, BPF_MAP_CREATE_OPTS;
    prog_load: bpf_prog_load_opts, BPF_PROG_LOAD_OPTS;
    btf_load: bpf_btf_load_opts, BPF_BTF_LOAD_OPTS;
    map_batch: bpf_map_batch_opts, BPF_MAP_BATCH_OPTS;
    obj_pin: bpf_obj_pin_opts, BPF_OBJ_PIN_OPTS;
    obj_get: bpf_obj_get_opts, BPF_OBJ_GET_OPTS;
    prog_attach: bpf_prog_attach_opts, BPF_PROG_ATTACH_OPTS;
    prog_detach: bpf_prog_detach_opts, BPF_PROG_DETACH_OPTS;
    link_update: bpf_link_update_opts, BPF_LINK_UPDATE_OPTS;
    get_fd_by_id: bpf_get_fd_by_id_opts, BPF_GET_FD_BY_ID_OPTS;
    prog_query: bpf_prog_query_opts, BPF_PROG_QUERY_OPTS;
    raw_tp: bpf_raw_tp_opts, BPF_RAW_TP_OPTS;
    prog_bind: bpf_prog_bind_opts, BPF_PROG_BIND_OPTS;
    test_run: bpf_test_run_opts, BPF_TEST_RUN_OPTS;
    token_create: bpf_token_create_opts, BPF_TOKEN_CREATE_OPTS;
    stream_read: bpf_prog_stream_read_opts, BPF_PROG_STREAM_READ_OPTS;
    assoc_struct_ops: bpf_prog_assoc_struct_ops_opts, BPF_PROG_ASSOC_STRUCT_OPS_OPTS;
}

macro_rules! without_rows {
    ($($opts:ident,)*) => {
        #[test]
        fn structs_that_libbpf_1_7_0_does_not_have() {
            $(if !WITH_ROWS.contains(&stringify!($opts)) {
                gives_whole_members::<$opts>(opts_offsets::NEW);
                rejects::<$opts>(opts_offsets::NEW);
                assert_eq!($opts::NAME.to_str(), Ok(stringify!($opts)));
            })*
            let all = [$(stringify!($opts)),*];
            assert!(WITH_ROWS.iter().all(|name| all.contains(name)), "a struct of libbpf 1.7.0 is missing: {all:?}");
        }
    };
}

every_opts!(without_rows);

/// In `bpf_link_create_opts` the union is copied by member, the head like any struct.
#[test]
fn link_create() {
    let (head, union) = opts_offsets::BPF_LINK_CREATE_OPTS.split_at(5);
    gives_whole_members::<bpf_link_create_opts>(head);
    rejects::<bpf_link_create_opts>(opts_offsets::BPF_LINK_CREATE_OPTS);
    assert!(union.iter().all(|row| row.0.contains('.')), "the head has five members");
}

#[test]
fn null_gives_defaults_and_discards_outputs() {
    // SAFETY: NULL is valid.
    let mut opts = unsafe { InOut::<bpf_prog_load_opts>::new(std::ptr::null_mut()) }.expect("NULL is valid");
    assert_eq!((opts.attempts, opts.log_level, opts.fd_array_cnt), (0, 0, 0));
    opts.set(opts::field!(bpf_prog_load_opts.log_true_size), 7);
    assert!(opts.is_zero_after(0));
}

#[test]
fn outputs_are_written_only_if_sz_covers_all_of_the_member() {
    let field = || -> Field<bpf_prog_load_opts, u32> { opts::field!(bpf_prog_load_opts.log_true_size) };
    for sz in size_of::<usize>()..=bpf_prog_load_opts::KNOWN {
        let mut caller = callers(sz, 0);
        // SAFETY: the memory has `sz` bytes.
        let mut opts = unsafe { InOut::<bpf_prog_load_opts>::new(caller.as_mut_ptr().cast()) }.expect("a valid size");
        opts.set(field(), u32::MAX);
        let end = field().end();
        let written = caller.iter().enumerate().skip(size_of::<usize>()).filter(|(_, b)| **b != 0).map(|(i, _)| i);
        let expected = if end <= sz { end - 4..end } else { 0..0 };
        assert!(written.eq(expected), "sz {sz}");
    }
}

/// As in libbpf: the tail of such a struct is not checked.
#[test]
fn an_impossible_size_counts_as_all_members() {
    let mut caller = callers(size_of::<bpf_map_batch_opts>(), 1);
    caller[..size_of::<usize>()].copy_from_slice(&usize::MAX.to_ne_bytes());
    // SAFETY: only the members of the struct are read.
    let given = unsafe { opts::read(caller.as_ptr().cast::<bpf_map_batch_opts>()) }.expect("accepted");
    assert_eq!(given.flags, 0x0101_0101_0101_0101);
}
