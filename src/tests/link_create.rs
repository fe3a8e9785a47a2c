// SPDX-License-Identifier: MIT OR Apache-2.0
//! `bpf_link_create`: what is sent for each attach type, what is rejected, and the fallback.

use std::ptr::null;

use libc::{EBADF, EINVAL};

use super::opts_offsets;
use crate::api::links::*;
use crate::kernel::scripted::{Answer, Call, fails, returns, with_answers};
use crate::kernel::uapi::*;
use crate::types::bpf_attach_type;

/// The member of the union that belongs to an attach type.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Member {
    None,
    Iter,
    PerfEvent,
    KprobeMulti,
    UprobeMulti,
    TracingMulti,
    Tracing,
    Netfilter,
    Relative,
}

/// The rule, by the name of the attach type in the kernel's header.
fn member_of(attach_type: u32) -> Member {
    let name = ATTACH_TYPES.iter().find(|(_, value)| *value == attach_type).map_or("unknown", |(name, _)| name);
    match name {
        "BPF_TRACE_ITER" => Member::Iter,
        "BPF_PERF_EVENT" => Member::PerfEvent,
        _ if name.contains("KPROBE_") => Member::KprobeMulti,
        _ if name.contains("UPROBE_") => Member::UprobeMulti,
        _ if name.starts_with("BPF_TRACE_F") && name.ends_with("_MULTI") => Member::TracingMulti,
        "BPF_TRACE_RAW_TP" | "BPF_TRACE_FENTRY" | "BPF_TRACE_FEXIT" | "BPF_MODIFY_RETURN" | "BPF_TRACE_FSESSION"
        | "BPF_LSM_MAC" => Member::Tracing,
        "BPF_NETFILTER" => Member::Netfilter,
        _ if name.contains("TCX_") || name.contains("NETKIT_") || name.contains("CGROUP") => Member::Relative,
        _ => Member::None,
    }
}

macro_rules! attach_types {
    ($($name:ident)*) => { const ATTACH_TYPES: &[(&str, u32)] = &[$((stringify!($name), $name)),*]; };
}
attach_types! {
    BPF_CGROUP_INET_INGRESS BPF_CGROUP_INET_EGRESS BPF_CGROUP_INET_SOCK_CREATE BPF_CGROUP_SOCK_OPS
    BPF_SK_SKB_STREAM_PARSER BPF_SK_SKB_STREAM_VERDICT BPF_CGROUP_DEVICE BPF_SK_MSG_VERDICT
    BPF_CGROUP_INET4_BIND BPF_CGROUP_INET6_BIND BPF_CGROUP_INET4_CONNECT BPF_CGROUP_INET6_CONNECT
    BPF_CGROUP_INET4_POST_BIND BPF_CGROUP_INET6_POST_BIND BPF_CGROUP_UDP4_SENDMSG BPF_CGROUP_UDP6_SENDMSG
    BPF_LIRC_MODE2 BPF_FLOW_DISSECTOR BPF_CGROUP_SYSCTL BPF_CGROUP_UDP4_RECVMSG BPF_CGROUP_UDP6_RECVMSG
    BPF_CGROUP_GETSOCKOPT BPF_CGROUP_SETSOCKOPT BPF_TRACE_RAW_TP BPF_TRACE_FENTRY BPF_TRACE_FEXIT
    BPF_MODIFY_RETURN BPF_LSM_MAC BPF_TRACE_ITER BPF_CGROUP_INET4_GETPEERNAME BPF_CGROUP_INET6_GETPEERNAME
    BPF_CGROUP_INET4_GETSOCKNAME BPF_CGROUP_INET6_GETSOCKNAME BPF_XDP_DEVMAP BPF_CGROUP_INET_SOCK_RELEASE
    BPF_XDP_CPUMAP BPF_SK_LOOKUP BPF_XDP BPF_SK_SKB_VERDICT BPF_SK_REUSEPORT_SELECT
    BPF_SK_REUSEPORT_SELECT_OR_MIGRATE BPF_PERF_EVENT BPF_TRACE_KPROBE_MULTI BPF_LSM_CGROUP BPF_STRUCT_OPS
    BPF_NETFILTER BPF_TCX_INGRESS BPF_TCX_EGRESS BPF_TRACE_UPROBE_MULTI BPF_CGROUP_UNIX_CONNECT
    BPF_CGROUP_UNIX_SENDMSG BPF_CGROUP_UNIX_RECVMSG BPF_CGROUP_UNIX_GETPEERNAME BPF_CGROUP_UNIX_GETSOCKNAME
    BPF_NETKIT_PRIMARY BPF_NETKIT_PEER BPF_TRACE_KPROBE_SESSION BPF_TRACE_UPROBE_SESSION BPF_TRACE_FSESSION
    BPF_TRACE_FENTRY_MULTI BPF_TRACE_FEXIT_MULTI BPF_TRACE_FSESSION_MULTI
}

/// A caller's struct as bytes. Members are set by name, at the offsets of [`opts_offsets`].
#[derive(Clone)]
struct Opts(Vec<u8>);

/// The offset of a member on this machine, and its size.
fn place(field: &str) -> (usize, usize) {
    let places = opts_offsets::places(opts_offsets::BPF_LINK_CREATE_OPTS);
    let (_, offset, size) = places.into_iter().find(|(name, ..)| *name == field).expect(field);
    (offset, size)
}

impl Opts {
    fn new() -> Self {
        let size = size_of::<bpf_link_create_opts>();
        let mut bytes = vec![0; size];
        bytes[..size_of::<usize>()].copy_from_slice(&size.to_ne_bytes());
        Self(bytes)
    }

    /// Sets a member.
    fn with(mut self, field: &str, value: u64) -> Self {
        let (offset, size) = place(field);
        match size {
            4 => self.0[offset..offset + 4].copy_from_slice(&(value as u32).to_ne_bytes()),
            _ => self.0[offset..offset + 8].copy_from_slice(&value.to_ne_bytes()),
        }
        self
    }
}

fn create(target_fd: i32, attach_type: u32, opts: Option<&Opts>, answers: Vec<Answer>) -> (i32, Vec<Call>) {
    let opts = opts.map_or(null(), |opts| opts.0.as_ptr().cast());
    // SAFETY: `opts` is NULL, or has `sz` bytes.
    with_answers(answers, || unsafe { bpf_link_create(4, target_fd, bpf_attach_type(attach_type), opts) })
}

/// The record of the one call that is made.
fn sent(attach_type: u32, opts: &Opts) -> Vec<u8> {
    let (result, calls) = create(5, attach_type, Some(opts), vec![returns(9)]);
    assert_eq!((result, calls.len()), (9, 1), "attach type {attach_type}");
    assert_eq!((calls[0].cmd, calls[0].attr.len()), (BPF_LINK_CREATE, 64));
    calls[0].attr.clone()
}

/// A record as the kernel's header defines it: the head, then the words of the union.
fn record(attach_type: u32, flags: u32, words: &[u64], widths: &[usize]) -> Vec<u8> {
    let mut bytes: Vec<u8> = [4, 5, attach_type, flags].iter().flat_map(|word: &u32| word.to_ne_bytes()).collect();
    for (word, width) in words.iter().zip(widths) {
        match width {
            4 => bytes.extend((*word as u32).to_ne_bytes()),
            _ => bytes.extend(word.to_ne_bytes()),
        }
    }
    bytes.resize(64, 0);
    bytes
}

fn rejected(attach_type: u32, opts: &Opts) {
    let (result, calls) = create(5, attach_type, Some(opts), vec![]);
    assert_eq!((result, calls.len()), (-EINVAL, 0), "attach type {attach_type}");
}

#[test]
fn without_options_every_type_sends_the_head_alone() {
    for attach_type in (0..70).chain([u32::MAX]) {
        let (result, calls) = create(5, attach_type, None, vec![returns(9)]);
        assert_eq!(result, 9);
        assert_eq!(calls[0].attr, record(attach_type, 0, &[], &[]), "attach type {attach_type}");
    }
}

#[test]
fn every_type_sends_its_own_member_and_rejects_the_others() {
    let members = [
        (Member::PerfEvent, Opts::new().with("perf_event.bpf_cookie", 1 << 40), record_of(&[1 << 40], &[8])),
        (
            Member::KprobeMulti,
            Opts::new()
                .with("kprobe_multi.flags", 1)
                .with("kprobe_multi.cnt", 2)
                .with("kprobe_multi.syms", 3)
                .with("kprobe_multi.addrs", 4)
                .with("kprobe_multi.cookies", 5),
            record_of(&[1, 2, 3, 4, 5], &[4, 4, 8, 8, 8]),
        ),
        (
            Member::UprobeMulti,
            Opts::new()
                .with("uprobe_multi.flags", 1)
                .with("uprobe_multi.cnt", 2)
                .with("uprobe_multi.path", 3)
                .with("uprobe_multi.offsets", 4)
                .with("uprobe_multi.ref_ctr_offsets", 5)
                .with("uprobe_multi.cookies", 6)
                .with("uprobe_multi.pid", 7)
                .with("uprobe_multi.path_fd", 8),
            record_of(&[3, 4, 5, 6, 2, 1, 7, 8], &[8, 8, 8, 8, 4, 4, 4, 4]),
        ),
        (Member::Tracing, Opts::new().with("tracing.cookie", 1 << 40), record_of(&[0, 0, 1 << 40], &[4, 4, 8])),
        (
            Member::Netfilter,
            Opts::new()
                .with("netfilter.pf", 1)
                .with("netfilter.hooknum", 2)
                .with("netfilter.priority", 3)
                .with("netfilter.flags", 4),
            record_of(&[1, 2, 3, 4], &[4, 4, 4, 4]),
        ),
        (
            Member::Relative,
            Opts::new().with("tcx.relative_fd", 6).with("tcx.expected_revision", 7),
            record_of(&[6, 0, 7], &[4, 4, 8]),
        ),
        (
            Member::TracingMulti,
            Opts::new().with("tracing_multi.ids", 1).with("tracing_multi.cookies", 2).with("tracing_multi.cnt", 3),
            record_of(&[1, 2, 3], &[8, 8, 4]),
        ),
    ];
    for attach_type in 0..70 {
        for (member, opts, (words, widths)) in &members {
            if member_of(attach_type) == *member {
                assert_eq!(
                    sent(attach_type, &opts.clone().with("flags", 16)),
                    record(attach_type, 16, words, widths),
                    "attach type {attach_type}"
                );
            }
        }
        // A byte after the end of the type's member.
        if !matches!(member_of(attach_type), Member::UprobeMulti | Member::Iter) {
            rejected(attach_type, &Opts::new().with("uprobe_multi.path_fd", 1));
        }
        if member_of(attach_type) == Member::None {
            rejected(attach_type, &Opts::new().with("iter_info", 1));
            rejected(attach_type, &Opts::new().with("perf_event.bpf_cookie", 1));
        }
    }
}

fn record_of(words: &[u64], widths: &[usize]) -> (Vec<u64>, Vec<usize>) {
    (words.to_vec(), widths.to_vec())
}

#[test]
fn an_id_is_sent_with_its_flag_and_excludes_a_descriptor() {
    for (_, attach_type) in ATTACH_TYPES.iter().filter(|(_, value)| member_of(*value) == Member::Relative) {
        let with_id = Opts::new().with("flags", 8).with("tcx.relative_id", 6);
        assert_eq!(sent(*attach_type, &with_id), record(*attach_type, 8 | BPF_F_ID, &[6], &[4]));
        rejected(*attach_type, &with_id.with("tcx.relative_fd", 3));
    }
}

#[test]
fn an_iterator_sends_iter_info() {
    let opts = Opts::new().with("iter_info", 77).with("iter_info_len", 8);
    assert_eq!(sent(BPF_TRACE_ITER, &opts), record(BPF_TRACE_ITER, 0, &[77, 8], &[8, 4]));
    rejected(BPF_TRACE_ITER, &opts.clone().with("target_btf_id", 1));
    rejected(BPF_TRACE_ITER, &opts.with("perf_event.bpf_cookie", 1));
}

#[test]
fn target_btf_id_excludes_other_members_for_every_attach_type() {
    for attach_type in 0..70 {
        let opts = Opts::new().with("target_btf_id", 88);
        assert_eq!(sent(attach_type, &opts), record(attach_type, 0, &[88], &[4]));
        rejected(attach_type, &opts.with("tracing.cookie", 1));
    }
}

#[test]
fn a_member_only_partly_within_sz_is_not_sent() {
    let mut opts = Opts::new().with("tcx.relative_fd", 6).with("tcx.expected_revision", u64::MAX);
    let sz = place("tcx.expected_revision").0 + 4;
    opts.0.truncate(sz);
    opts.0[..size_of::<usize>()].copy_from_slice(&sz.to_ne_bytes());
    assert_eq!(sent(BPF_TCX_INGRESS, &opts), record(BPF_TCX_INGRESS, 0, &[6], &[4]));
}

#[test]
fn plain_tracing_links_fall_back_to_raw_tracepoints() {
    for attach_type in 0..70 {
        let falls_back = member_of(attach_type) == Member::Tracing && attach_type != BPF_TRACE_FSESSION;
        for opts in [None, Some(&Opts::new())] {
            let mut answers = vec![fails(EINVAL)];
            answers.extend(falls_back.then(|| returns(8)));
            let (result, calls) = create(0, attach_type, opts, answers);
            assert_eq!(result, if falls_back { 8 } else { -EINVAL }, "attach type {attach_type}");
            if falls_back {
                let mut expected = vec![0; 24];
                expected[8..12].copy_from_slice(&4u32.to_ne_bytes());
                assert_eq!((calls[1].cmd, &calls[1].attr), (BPF_RAW_TRACEPOINT_OPEN, &expected));
            }
        }
    }
}

#[test]
fn nothing_falls_back_with_a_target_or_options_or_another_error() {
    let fentry = BPF_TRACE_FENTRY;
    assert_eq!(create(5, fentry, None, vec![fails(EINVAL)]).0, -EINVAL);
    assert_eq!(create(0, fentry, None, vec![fails(EBADF)]).0, -EBADF);
    for field in ["flags", "iter_info", "target_btf_id", "tracing.cookie"] {
        let opts = Opts::new().with(field, 1);
        assert_eq!(create(0, fentry, Some(&opts), vec![fails(EINVAL)]).0, -EINVAL, "{field}");
    }
}
