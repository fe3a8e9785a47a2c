// SPDX-License-Identifier: MIT OR Apache-2.0
//! Draws cases for the scripted kernel, which follows no pointer.

use proptest::{collection::vec, option, prelude::*, sample::select};

use crate::{
    case::{Case, Start},
    functions::{Function, Kind, Member},
    interpose::{Answer, PERSONAS, Script},
    table::Gives,
    values::{Value, bytes, null, numbers, opts},
};

fn number32() -> impl Strategy<Value = u64> {
    prop_oneof![
        5 => Just(0u64),
        4 => 1..17u64,
        2 => any::<u32>().prop_map(u64::from),
        1 => (0..32u32).prop_map(|b| 1u64 << b),
        1 => Just(u64::from(u32::MAX)),
    ]
}

fn number64() -> impl Strategy<Value = u64> {
    prop_oneof![4 => Just(0u64), 3 => 1..17u64, 2 => any::<u64>(), 1 => (0..64u32).prop_map(|b| 1u64 << b), 1 => Just(u64::MAX)]
}

/// Addresses that cannot be mapped.
fn wild() -> impl Strategy<Value = u64> {
    prop_oneof![1..4000u64, (0..u64::MAX >> 17).prop_map(|a| 0xdead_0000_0000_0000 ^ a)]
}

fn string(len: usize) -> impl Strategy<Value = Value> {
    vec(prop_oneof![4 => 0x61..0x7bu8, 1 => 1..255u8], len).prop_map(|mut s| {
        s.push(0);
        Value::Bytes(s)
    })
}

/// Values of one kind. Pointers that the library does not follow can be anything.
fn scripted(kind: Kind) -> BoxedStrategy<Value> {
    match kind {
        Kind::U32 | Kind::Id | Kind::Flags | Kind::Len | Kind::ProgType | Kind::MapType | Kind::StatsType => {
            numbers(number32())
        }
        Kind::RecordSize => numbers(prop_oneof![1 => Just(0u64), 8 => 1..65u64, 1 => Just(u64::from(u32::MAX))]),
        Kind::U64 | Kind::Address => numbers(prop_oneof![number64(), (1..5000u64).prop_map(|n| n.wrapping_neg())]),
        Kind::Size => numbers(prop_oneof![
            6 => 0..64u64,
            1 => any::<u32>().prop_map(u64::from),
            1 => (0..3u64).prop_map(|d| u64::from(u32::MAX) + d),
            1 => any::<u64>(),
        ]),
        Kind::Fd | Kind::Pid => numbers(prop_oneof![
            3 => Just(0u64),
            4 => 1..200u64,
            1 => Just(u64::from(u32::MAX)),
            1 => any::<u32>().prop_map(u64::from),
        ]),
        Kind::AttachType => {
            numbers(prop_oneof![2 => Just(0u64), 12 => 0..65u64, 1 => any::<u32>().prop_map(u64::from)])
        }
        Kind::Attempts => numbers(prop_oneof![
            5 => Just(0u64),
            4 => 1..12u64,
            1 => Just(40u64),
            1 => Just(i32::MAX as u64),
            1 => (-3..0i32).prop_map(|n| u64::from(n as u32)),
        ]),
        Kind::Name => prop_oneof![
            2 => null(),
            6 => prop_oneof![Just(0usize), Just(1), Just(14), Just(15), Just(16), Just(17), Just(100), 2..14usize]
                .prop_flat_map(string),
            // Longer than the 15 bytes that are used, and not terminated.
            1 => vec(1..255u8, 16).prop_map(Value::Bytes),
        ]
        .boxed(),
        Kind::Str | Kind::License | Kind::Buffer | Kind::Insns | Kind::Btf => {
            prop_oneof![3 => null(), 1 => wild().prop_map(Value::Number), 4 => bytes(1..24usize)].boxed()
        }
        // The library may read eight records of 64 bytes.
        Kind::Records => prop_oneof![1 => null(), 4 => bytes(512usize)].boxed(),
        Kind::At32(_) => prop_oneof![1 => null(), 12 => bytes(4usize)].boxed(),
        Kind::At64(_) => prop_oneof![1 => null(), 12 => bytes(8usize)].boxed(),
        Kind::Nested(o) => prop_oneof![6 => null(), 1 => opts(o, scripted_member)].boxed(),
        Kind::Opts(o) => prop_oneof![1 => null(), 12 => opts(o, scripted_member)].boxed(),
    }
}

fn scripted_member(member: &Member) -> (u32, BoxedStrategy<Value>) {
    match (member.kind, member.name) {
        // If one of these is set, all members after it must be 0.
        (kind, "iter_info" | "iter_info_len" | "target_btf_id") => (8, scripted(kind)),
        // A number of records that the memory has, or more than any memory has.
        (_, "func_info_cnt" | "line_info_cnt") => {
            (1, numbers(prop_oneof![1 => Just(0u64), 8 => 1..9u64, 1 => Just(u64::from(u32::MAX))]))
        }
        (kind, _) => (1, scripted(kind)),
    }
}

const ERRORS: [i32; 16] = [
    libc::EPERM,
    libc::ENOENT,
    libc::EINTR,
    libc::EIO,
    libc::E2BIG,
    libc::EBADF,
    libc::EAGAIN,
    libc::ENOMEM,
    libc::EACCES,
    libc::EFAULT,
    libc::EBUSY,
    libc::EEXIST,
    libc::EINVAL,
    libc::EMFILE,
    libc::ENOSPC,
    524, // ENOTSUPP, which some kernel functions return
];

fn answer(function: &Function) -> BoxedStrategy<Answer> {
    let failure = prop_oneof![
        8 => select(&ERRORS[..]),
        // The errors after which a library may retry.
        8 => select(&[libc::EAGAIN, libc::E2BIG, libc::EINVAL][..]),
        1 => 1..4096i32,
    ]
    .prop_map(|e| -i64::from(e));
    let success = match function.gives {
        Gives::Zero | Gives::Nothing => prop_oneof![8 => Just(0i64), 1 => 1..5i64].boxed(),
        Gives::Descriptor => prop_oneof![3 => 3..100i64, 3 => 0..3i64, 1 => Just(i64::from(i32::MAX))].boxed(),
        Gives::Count => prop_oneof![0..5000i64, Just(i64::from(i32::MAX))].boxed(),
    };
    let result = if function.name == "bpf_prog_load" {
        prop_oneof![1 => success, 3 => failure].boxed()
    } else {
        prop_oneof![success, failure].boxed()
    };
    let value = prop_oneof![2 => Just(0u32), 6 => 1..65u32, 1 => any::<u32>()];
    let writes: Vec<_> =
        function.writes.iter().map(|&at| option::of(value.clone()).prop_map(move |v| v.map(|v| (at, v)))).collect();
    (result, writes)
        .prop_map(|(result, writes)| Answer { result, writes: writes.into_iter().flatten().collect() })
        .boxed()
}

pub fn cases(function: &'static Function) -> BoxedStrategy<Case> {
    let arguments: Vec<_> = function.params.iter().map(|p| scripted(p.kind)).collect();
    let answers = vec(answer(function), 0..if function.writes.contains(&140) { 7 } else { 3 });
    (
        arguments,
        answers,
        answer(function),
        prop_oneof![3..50i64, Just(-i64::from(libc::EMFILE)), Just(-i64::from(libc::EBADF))],
        prop_oneof![6 => Just(0i64), 1 => Just(-i64::from(libc::EINTR)), 1 => Just(-i64::from(libc::EBADF))],
        prop_oneof![3 => Just(0i32), 1 => 1..134i32],
        prop_oneof![8 => Just(Start::Warm), 1 => Just(Start::Cold)],
        (prop_oneof![6 => Just(0usize), 5 => 1..PERSONAS.len()], any::<u32>()),
    )
        .prop_map(|(arguments, answers, rest, dup, close, errno_before, start, (persona, common_true_size))| Case {
            arguments,
            errno_before,
            start,
            script: Script { persona, answers, rest, dup, close, common_true_size },
        })
        .boxed()
}
