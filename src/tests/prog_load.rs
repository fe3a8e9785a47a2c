// SPDX-License-Identifier: MIT OR Apache-2.0
//! `bpf_prog_load`: checks, retries after EAGAIN, repair of records, retry with a log.

use std::mem::offset_of;
use std::ptr::null;

use errno::errno;
use libc::{E2BIG, EACCES, EAGAIN, EINVAL};

use crate::api::programs::*;
use crate::kernel::attr::ProgLoad;
use crate::kernel::scripted::{Answer, Call, fails, returns, with_answers};
use crate::kernel::uapi::BPF_PROG_LOAD;
use crate::opts::Opts;
use crate::types::{bpf_attach_type, bpf_prog_type};

/// `sz` excludes the padding after the last member, which Rust does not initialise.
fn opts() -> bpf_prog_load_opts {
    // SAFETY: integers and pointers may be zero.
    let zeroed = unsafe { std::mem::zeroed() };
    bpf_prog_load_opts { sz: bpf_prog_load_opts::KNOWN, ..zeroed }
}

/// Makes a load that the scripted kernel answers. Returns the result and the records sent.
fn load(opts: Option<&mut bpf_prog_load_opts>, answers: Vec<Answer>) -> (i32, Vec<ProgLoad>) {
    let opts = opts.map_or(std::ptr::null_mut(), |opts| opts);
    // SAFETY: the pointers are NULL or valid.
    let body = || unsafe { bpf_prog_load(bpf_prog_type(1), null(), c"GPL".as_ptr(), null(), 2, opts) };
    let (result, calls) = with_answers(answers, body);
    let sent = |call: &Call| {
        assert_eq!((call.cmd, call.attr.len(), &call.common), (BPF_PROG_LOAD, 168, &None));
        // SAFETY: the record consists of integers, and has the size of its type.
        unsafe { call.attr.as_ptr().cast::<ProgLoad>().read_unaligned() }
    };
    (result, calls.iter().map(sent).collect())
}

/// The kernel's answer to records longer than those it knows: E2BIG, and the size that it knows.
fn knows_shorter(member: usize, size: u32) -> Answer {
    Box::new(move |attr| {
        attr[member..member + 4].copy_from_slice(&size.to_ne_bytes());
        Err(E2BIG)
    })
}
const FUNC_INFO_REC_SIZE: usize = offset_of!(ProgLoad, func_info_rec_size);
const LINE_INFO_REC_SIZE: usize = offset_of!(ProgLoad, line_info_rec_size);

#[test]
fn null_opts_send_a_bare_record() {
    let (fd, sent) = load(None, vec![returns(7)]);
    assert_eq!(fd, 7);
    let (prog_type, insn_cnt, log_buf) = (sent[0].prog_type, sent[0].insn_cnt, sent[0].log_buf.number());
    assert_eq!((prog_type, insn_cnt, log_buf), (1, 2, 0));
}

#[test]
fn eagain_is_retried_up_to_five_attempts_by_default() {
    let (result, sent) = load(None, (0..5).map(|_| fails(EAGAIN)).collect());
    assert_eq!((result, sent.len(), errno().0), (-EAGAIN, 5, EAGAIN));
}

#[test]
fn eagain_is_retried_up_to_the_number_of_attempts() {
    for attempts in [1, 2, 7] {
        let mut opts = bpf_prog_load_opts { attempts, ..opts() };
        let (result, sent) = load(Some(&mut opts), (0..attempts).map(|_| fails(EAGAIN)).collect());
        assert_eq!((result, sent.len()), (-EAGAIN, attempts as usize));
    }
}

#[test]
fn retries_end_at_another_result() {
    let (result, _) = load(None, vec![fails(EAGAIN), fails(EAGAIN), returns(9)]);
    assert_eq!(result, 9);
    let (result, _) = load(None, vec![fails(EAGAIN), fails(EACCES)]);
    assert_eq!(result, -EACCES);
}

#[test]
fn invalid_arguments_are_rejected_before_any_call() {
    let buf = &mut [0; 8];
    let rejected = [
        bpf_prog_load_opts { attempts: -1, ..opts() },
        bpf_prog_load_opts { attempts: i32::MIN, ..opts() },
        bpf_prog_load_opts { attach_prog_fd: 3, attach_btf_obj_fd: 4, ..opts() },
        bpf_prog_load_opts { log_size: 8, ..opts() },
        bpf_prog_load_opts { log_buf: buf.as_mut_ptr(), ..opts() },
        bpf_prog_load_opts { sz: 3, ..opts() },
    ];
    for mut opts in rejected {
        assert_eq!(load(Some(&mut opts), vec![]).0, -EINVAL);
        assert_eq!(errno().0, EINVAL);
    }
}

#[test]
#[cfg(target_pointer_width = "64")]
fn more_instructions_than_u32_max_are_e2big() {
    // SAFETY: the pointers are NULL or valid.
    let body = || unsafe { bpf_prog_load(bpf_prog_type(1), null(), null(), null(), 1 << 32, std::ptr::null_mut()) };
    assert_eq!(with_answers([], body).0, -E2BIG);
}

#[test]
fn attach_prog_fd_and_attach_btf_obj_fd_share_a_member() {
    for mut opts in
        [bpf_prog_load_opts { attach_prog_fd: 5, ..opts() }, bpf_prog_load_opts { attach_btf_obj_fd: 5, ..opts() }]
    {
        let attach_prog_fd = load(Some(&mut opts), vec![returns(3)]).1[0].attach_prog_fd;
        assert_eq!(attach_prog_fd, 5);
    }
}

#[test]
fn a_failure_with_a_log_at_level_0_is_retried_once_at_level_1() {
    let mut buf = [0; 16];
    let mut opts = bpf_prog_load_opts { log_buf: buf.as_mut_ptr(), log_size: 16, ..opts() };
    let wrote: Answer = Box::new(|attr| {
        let at = offset_of!(ProgLoad, log_true_size);
        attr[at..at + 4].copy_from_slice(&99u32.to_ne_bytes());
        Err(EINVAL)
    });
    let (result, sent) = load(Some(&mut opts), vec![fails(EACCES), wrote]);
    assert_eq!((result, opts.log_true_size), (-EINVAL, 99));
    let log = |attr: &ProgLoad| (attr.log_level, attr.log_size, attr.log_buf.number());
    assert_eq!(log(&sent[0]), (0, 0, 0));
    assert_eq!(log(&sent[1]), (1, 16, buf.as_ptr() as u64));
}

#[test]
fn with_a_level_the_log_is_sent_at_once_and_there_is_no_retry() {
    let mut buf = [0; 16];
    let mut opts = bpf_prog_load_opts { log_buf: buf.as_mut_ptr(), log_size: 16, log_level: 2, ..opts() };
    let (result, sent) = load(Some(&mut opts), vec![fails(EACCES)]);
    let (level, size) = (sent[0].log_level, sent[0].log_size);
    assert_eq!((result, level, size), (-EACCES, 2, 16));
}

#[test]
fn the_size_of_the_log_is_zero_if_the_kernel_wrote_none() {
    let mut opts = bpf_prog_load_opts { log_true_size: 5, ..opts() };
    load(Some(&mut opts), vec![returns(3)]);
    assert_eq!(opts.log_true_size, 0);
}

/// The bytes at an address in a record.
fn bytes_at(address: u64, len: usize) -> Vec<u8> {
    // SAFETY: the address is that of the library's copy, which exists during the call.
    unsafe { std::slice::from_raw_parts(address as *const u8, len) }.to_vec()
}

#[test]
fn records_longer_than_the_kernels_are_sent_again_with_the_excess_zeroed() {
    let func_info: Vec<u8> = (1..=24).collect();
    let line_info: Vec<u8> = (101..=140).collect();
    let mut opts = bpf_prog_load_opts {
        func_info: func_info.as_ptr().cast(),
        func_info_cnt: 2,
        func_info_rec_size: 12,
        line_info: line_info.as_ptr().cast(),
        line_info_cnt: 2,
        line_info_rec_size: 20,
        ..opts()
    };
    let expected_lines = [&line_info[..16], &[0; 4], &line_info[20..36], &[0; 4]].concat();
    let repaired: Answer = Box::new(move |attr| {
        // SAFETY: the record consists of integers, and has the size of its type.
        let attr = unsafe { attr.as_ptr().cast::<ProgLoad>().read_unaligned() };
        let (func_size, line_size) = (attr.func_info_rec_size, attr.line_info_rec_size);
        assert_eq!((func_size, line_size), (12, 20), "the caller's sizes are back");
        let expected = [1, 2, 3, 4, 5, 6, 7, 8, 0, 0, 0, 0, 13, 14, 15, 16, 17, 18, 19, 20, 0, 0, 0, 0];
        assert_eq!(bytes_at(attr.func_info.number(), 24), expected);
        assert_eq!(bytes_at(attr.line_info.number(), 40), expected_lines);
        Ok(8)
    });
    let answers = vec![knows_shorter(FUNC_INFO_REC_SIZE, 8), knows_shorter(LINE_INFO_REC_SIZE, 16), repaired];
    let (result, sent) = load(Some(&mut opts), answers);
    assert_eq!(result, 8);
    let (first, second) = (sent[0].func_info.number(), sent[1].func_info.number());
    assert_eq!(first, func_info.as_ptr() as u64);
    assert_ne!(second, first, "a copy is sent, not the caller's records");
}

#[test]
fn records_are_repaired_once_each() {
    let records = [0u8; 16];
    let mut opts =
        bpf_prog_load_opts { func_info: records.as_ptr().cast(), func_info_cnt: 1, func_info_rec_size: 16, ..opts() };
    let answers = vec![knows_shorter(FUNC_INFO_REC_SIZE, 8), knows_shorter(FUNC_INFO_REC_SIZE, 8)];
    assert_eq!(load(Some(&mut opts), answers).0, -E2BIG);
}

#[test]
fn e2big_without_a_smaller_size_is_final() {
    let mut opts = bpf_prog_load_opts { func_info_cnt: 1, func_info_rec_size: 16, ..opts() };
    assert_eq!(load(Some(&mut opts), vec![fails(E2BIG)]).0, -E2BIG);
    let mut none = bpf_prog_load_opts { func_info_cnt: 0, func_info_rec_size: 16, ..opts };
    assert_eq!(load(Some(&mut none), vec![knows_shorter(FUNC_INFO_REC_SIZE, 8)]).0, -E2BIG);
}

#[test]
fn records_that_cannot_be_copied_are_e2big_without_a_log_retry() {
    let mut buf = [0; 16];
    let log = bpf_prog_load_opts { log_buf: buf.as_mut_ptr(), log_size: 16, ..opts() };
    for mut opts in [
        // A count without records, and more records than there is memory for.
        bpf_prog_load_opts { func_info_cnt: 1, func_info_rec_size: 16, ..log },
        bpf_prog_load_opts {
            func_info: (&raw const log).cast(),
            func_info_cnt: u32::MAX,
            func_info_rec_size: u32::MAX,
            ..log
        },
    ] {
        assert_eq!(load(Some(&mut opts), vec![knows_shorter(FUNC_INFO_REC_SIZE, 8)]).0, -E2BIG);
    }
}

#[test]
fn every_option_is_sent_in_its_member() {
    let mut buf = [0; 4];
    let mut opts = bpf_prog_load_opts {
        expected_attach_type: bpf_attach_type(11),
        prog_btf_fd: 12,
        prog_flags: 13,
        prog_ifindex: 14,
        kern_version: 15,
        attach_btf_id: 16,
        attach_prog_fd: 17,
        fd_array: 18 as *const i32,
        func_info: 19 as *const _,
        func_info_cnt: 20,
        func_info_rec_size: 21,
        line_info: 22 as *const _,
        line_info_cnt: 23,
        line_info_rec_size: 24,
        log_level: 25,
        log_size: 4,
        log_buf: buf.as_mut_ptr(),
        token_fd: 26,
        fd_array_cnt: 27,
        ..opts()
    };
    let attr = load(Some(&mut opts), vec![returns(3)]).1[0];
    macro_rules! are {
        ($($member:ident $(.$number:ident())? = $value:expr),*) => {$({
            let member = attr.$member$(.$number())?;
            assert_eq!(member, $value, stringify!($member));
        })*};
    }
    are!(
        expected_attach_type = 11,
        prog_btf_fd = 12,
        prog_flags = 13,
        prog_ifindex = 14,
        kern_version = 15,
        attach_btf_id = 16,
        attach_prog_fd = 17,
        fd_array.number() = 18,
        func_info.number() = 19,
        func_info_cnt = 20,
        func_info_rec_size = 21,
        line_info.number() = 22,
        line_info_cnt = 23,
        line_info_rec_size = 24,
        log_level = 25,
        log_size = 4,
        log_buf.number() = buf.as_ptr() as u64,
        prog_token_fd = 26,
        fd_array_cnt = 27,
        core_relo_cnt = 0,
        core_relos.number() = 0,
        core_relo_rec_size = 0,
        signature.number() = 0,
        signature_size = 0,
        keyring_id = 0
    );
}
