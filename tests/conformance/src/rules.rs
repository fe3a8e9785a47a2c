// SPDX-License-Identifier: MIT OR Apache-2.0
//! The deliberate differences from the reference: each is a rule with its reason.
//!
//! A rule removes from two outcomes exactly what it explains. Any remaining difference is a failure. Where this library
//! supports what the reference lacks, a rule states the expected outcome; for a new member without a rule of its own, the
//! rule `newer-member` accepts any outcome if the reference rejects the struct.

use crate::{
    case::{Case, Placed, Start},
    compare::Outcome,
    functions::{Function, Kind, Member, Opts, Param},
    interpose::{COMMON, Event, PERSONAS, cmd},
    library,
    memory::MARGIN,
    values::{OptsValue, Value},
};

pub struct Rule {
    pub name: &'static str,
    pub functions: &'static str,
    pub reference: &'static str,
    pub ours: &'static str,
    pub reason: &'static str,
    /// Members newer than the reference for which this rule states the outcome: names, or prefixes of names.
    members: &'static [&'static str],
    take_out: fn(&mut Seen) -> bool,
}

pub static RULES: [Rule; 8] = [
    Rule {
        name: "newer-map-log",
        functions: "`bpf_map_create`",
        reference: "does not have `log_opts`, and rejects a struct in which it is set",
        ours: "supports `log_opts` as later releases do: a common attribute where the kernel has it, `true_size` 0 elsewhere",
        reason: "newer than 1.7.0; a caller that does not set it sees no difference",
        members: &["bpf_map_create_opts.log_opts"],
        take_out: newer_map_log,
    },
    Rule {
        name: "newer-links",
        functions: "`bpf_link_create`",
        reference: "has neither `uprobe_multi.path_fd` nor `tracing_multi` with its three attach types",
        ours: "sends them as later releases do",
        reason: "newer than 1.7.0; a caller that does not set them sees no difference",
        members: &["bpf_link_create_opts.uprobe_multi.path_fd", "bpf_link_create_opts.tracing_multi."],
        take_out: newer_links,
    },
    Rule {
        name: "newer-member",
        functions: "every function with options",
        reference: "rejects a struct in which any other member newer than 1.7.0 is set",
        ours: "uses the member as documented; if it is not set, zeros may follow the attribute that the reference sends",
        reason: "newer than 1.7.0; a caller that does not set the member sees no difference",
        members: &[],
        take_out: newer_member,
    },
    Rule {
        name: "no-probes",
        functions: "`bpf_map_create`, `bpf_prog_load`, `bpf_btf_load`",
        reference: "loads throw-away programs before the first map, program or BTF of a process, to find out whether the \
                    kernel charges RLIMIT_MEMLOCK and whether it supports names; a failed probe leaves its errno behind",
        ours: "calls `uname`; only a release before 5.11 is probed",
        reason: "two program loads take many times as long as creating the map, and need permissions that the caller may lack",
        members: &[],
        take_out: no_probes,
    },
    Rule {
        name: "no-permission-needed",
        functions: "`bpf_map_create`, `bpf_prog_load`, `bpf_btf_load`, `libbpf_set_memlock_rlim`",
        reference: "where the process may not load programs, the probes fail: object names are dropped, and \
                    RLIMIT_MEMLOCK is raised on kernels that do not charge it",
        ours: "keeps the name and leaves the limit unchanged on 5.11 and later",
        reason: "the features of the kernel do not depend on the privileges of the process, and a token may grant privileges",
        members: &[],
        take_out: no_permission_needed,
    },
    Rule {
        name: "null-output",
        functions: "every function that reads or writes a number through a pointer (`count`, `next_id`, `info_len`, \
                    `prog_cnt`, the outputs of `bpf_task_fd_query`)",
        reference: "crashes when that pointer is NULL (`bpf_*_get_next_id`: when the call succeeds)",
        ours: "`-EINVAL`, errno set, no system call",
        reason: "a program can handle an error, but not a crash",
        members: &[],
        take_out: null_output,
    },
    Rule {
        name: "null-records",
        functions: "`bpf_prog_load`",
        reference: "if the kernel only supports shorter func_info or line_info records than the caller's, copies them from \
                    the caller's pointer even if that is NULL, and crashes",
        ours: "`-E2BIG`, as returned by the kernel",
        reason: "a program can handle an error, but not a crash",
        members: &[],
        take_out: null_records,
    },
    Rule {
        name: "btf-size",
        functions: "`bpf_btf_load`",
        reference: "sends the low 32 bits of a `btf_size` over `UINT_MAX`",
        ours: "`-E2BIG`, no system call",
        reason: "the kernel would read a length that the caller did not specify",
        members: &[],
        take_out: btf_size,
    },
];

pub struct Seen<'a> {
    pub function: &'static Function,
    pub case: &'a Case,
    pub placed: &'a Placed,
    /// The content of every buffer before the call.
    pub before: &'a [Vec<u8>],
    pub reference: Outcome,
    pub ours: Outcome,
    /// Repeats the call of the reference with every byte of the opts struct from an offset on set to 0.
    pub again: &'a dyn Fn(usize) -> Outcome,
    pub running_kernel: bool,
}

pub enum Verdict {
    Identical,
    Rules(Vec<&'static str>),
    Different,
}

pub fn judge(mut seen: Seen) -> Verdict {
    let mut used = Vec::new();
    for rule in &RULES {
        if seen.reference == seen.ours {
            break;
        }
        if (rule.take_out)(&mut seen) {
            used.push(rule.name);
        }
    }
    match (seen.reference == seen.ours, used.is_empty()) {
        (true, true) => Verdict::Identical,
        (true, false) => Verdict::Rules(used),
        (false, _) => Verdict::Different,
    }
}

/// The rules as a table of Markdown.
pub fn markdown() -> String {
    let mut s = String::from("| difference | functions | libbpf 1.7.0 | this library | why |\n|---|---|---|---|---|\n");
    for r in &RULES {
        s += &format!("| {} | {} | {} | {} | {} |\n", r.name, r.functions, r.reference, r.ours, r.reason);
    }
    s
}

fn calls(outcome: &Outcome) -> usize {
    outcome.events.iter().filter(|e| !e.is_prelude()).count()
}

fn rejected(outcome: &Outcome, error: i32, before: &[Vec<u8>]) -> bool {
    outcome.how == library::RETURNED
        && outcome.value == -i64::from(error)
        && outcome.errno == error
        && calls(outcome) == 0
        && outcome.memory == before
}

fn no_probes(seen: &mut Seen) -> bool {
    let charges = !PERSONAS[seen.case.script.persona].memcg && !seen.running_kernel;
    let loads = |e: &Event| matches!(e, Event::Bpf { cmd, probe: true, .. } if *cmd == cmd::PROG_LOAD);
    if !charges && seen.ours.events.iter().any(loads) {
        // The rule says that this library does not probe such kernels.
        return false;
    }
    let failed: Vec<i64> = seen
        .reference
        .events
        .iter()
        .filter_map(|e| match e {
            Event::Bpf { probe: true, answer, .. } if *answer < 0 => Some(-answer),
            _ => None,
        })
        .collect();
    let mut changed = false;
    for outcome in [&mut seen.reference, &mut seen.ours] {
        let all = outcome.events.len();
        outcome.events.retain(|e| !e.is_probe());
        changed |= outcome.events.len() != all;
    }
    let succeeded = seen.reference.value >= 0 && seen.reference.how == library::RETURNED;
    if succeeded && seen.ours.errno == seen.case.errno_before && failed.contains(&seen.reference.errno.into()) {
        seen.reference.errno = seen.ours.errno;
    }
    changed
}

/// The caller's object name as the attribute has it.
fn name_given(seen: &Seen) -> Option<[u8; 16]> {
    let (_, value) =
        seen.function.params.iter().zip(&seen.case.arguments).find(|(p, _)| matches!(p.kind, Kind::Name))?;
    let Value::Bytes(bytes) = value else { return None };
    let mut name = [0; 16];
    for (to, from) in name[..15].iter_mut().zip(bytes.iter().take_while(|&&b| b != 0)) {
        *to = *from;
    }
    Some(name)
}

fn no_permission_needed(seen: &mut Seen) -> bool {
    if seen.running_kernel || PERSONAS[seen.case.script.persona].privileged {
        return false;
    }
    if seen.function.name == "libbpf_set_memlock_rlim" {
        let busy = seen.reference.value == -i64::from(libc::EBUSY) && seen.case.start == Start::Warm;
        if busy && seen.ours.value == 0 && seen.ours.errno == seen.case.errno_before {
            seen.reference.value = 0;
            seen.reference.errno = seen.ours.errno;
            return true;
        }
        return false;
    }
    let mut changed = false;
    seen.reference.events.retain(|e| {
        let raised = matches!(e, Event::Setrlimit { .. });
        changed |= raised;
        !raised
    });
    let name = name_given(seen);
    for (r, o) in seen.reference.events.iter_mut().zip(&seen.ours.events) {
        let (Event::Bpf { cmd, attr: r, .. }, Event::Bpf { attr: o, .. }) = (r, o) else { continue };
        let at = match *cmd & !COMMON {
            cmd::MAP_CREATE => 28..44,
            cmd::PROG_LOAD => 48..64,
            _ => continue,
        };
        let (Some(r), Some(o), Some(name)) = (r.get_mut(at.clone()), o.get(at), name) else { continue };
        if r.iter().all(|&b| b == 0) && o == name {
            r.copy_from_slice(o);
            changed = true;
        }
    }
    changed
}

fn null_output(seen: &mut Seen) -> bool {
    let null =
        |(p, v): (&Param, &Value)| matches!(p.kind, Kind::At32(false) | Kind::At64(false)) && *v == Value::Number(0);
    let crashed = seen.reference.how == library::DIED
        && seen.reference.signal == libc::SIGSEGV
        && seen.reference.died_at.is_some_and(|a| a.0 < 4096);
    // These functions write their output only on success, and so crash only then.
    let failed = seen.reference.value != 0 && seen.function.name.ends_with("_get_next_id");
    let any = seen.function.params.iter().zip(&seen.case.arguments).any(null);
    if (crashed || failed) && any && rejected(&seen.ours, libc::EINVAL, seen.before) && !seen.ours.warned {
        seen.reference = seen.ours.clone();
        return true;
    }
    false
}

fn null_records(seen: &mut Seen) -> bool {
    let Some((value, _)) = opts(seen).filter(|_| seen.function.name == "bpf_prog_load") else { return false };
    let Some((o, _)) = seen.case.opts(seen.function) else { return false };
    let filled = value.filled(o, 0);
    let number = |name: &str| filled.iter().find(|(m, _)| m.name == name).map(|(_, v)| *v);
    let null = |pointer: &str, count: &str| {
        number(pointer) == Some(&Value::Number(0)) && number(count) != Some(&Value::Number(0))
    };
    let any = null("func_info", "func_info_cnt") || null("line_info", "line_info_cnt");
    let stopped = seen.ours.value == -i64::from(libc::E2BIG)
        && seen.ours.errno == libc::E2BIG
        && seen.reference.events.starts_with(&seen.ours.events);
    // Copying records of 0 bytes does not crash.
    let went_on = seen.reference.how == library::DIED || seen.reference.events.len() > seen.ours.events.len();
    if any && stopped && went_on {
        seen.reference = seen.ours.clone();
        return true;
    }
    false
}

fn btf_size(seen: &mut Seen) -> bool {
    let over = seen.function.name == "bpf_btf_load" && seen.placed.arguments[1] > u64::from(u32::MAX);
    if over && rejected(&seen.ours, libc::E2BIG, seen.before) {
        let mut events = std::mem::take(&mut seen.reference.events);
        events.retain(Event::is_prelude);
        seen.reference = Outcome { events, ..seen.ours.clone() };
        return true;
    }
    false
}

fn opts<'a>(seen: &Seen<'a>) -> Option<(&'a OptsValue, usize)> {
    Some((seen.case.opts(seen.function)?.1, seen.placed.opts_slot?))
}

/// The caller's bytes of an opts struct, from an offset to `sz`.
fn given(seen: &Seen, slot: usize, from: usize, sz: u64) -> Vec<u8> {
    seen.before[slot].get(MARGIN + from..MARGIN + sz as usize).unwrap_or_default().to_vec()
}

/// Whether the reference has rejected the arguments, without a system call for them.
fn reference_rejects(seen: &Seen) -> bool {
    seen.reference.value == -i64::from(libc::EINVAL) && calls(&seen.reference) == 0
}

/// The attribute of a function with a newer member is longer, and zero where that is sent.
fn longer_attribute(seen: &mut Seen) -> bool {
    let newer = |p: &Param| match p.kind {
        Kind::Opts(o) => o.members.iter().any(|m| m.newer && !has_own_rule(o, m)),
        _ => false,
    };
    if !seen.function.params.iter().any(newer) {
        return false;
    }
    let mut changed = false;
    let reference = seen.reference.events.iter_mut().filter(|e| !e.is_prelude());
    for (r, o) in reference.zip(seen.ours.events.iter().filter(|e| !e.is_prelude())) {
        let (Event::Bpf { size: r_size, attr: r, .. }, Event::Bpf { size: o_size, attr: o, .. }) = (r, o) else {
            continue;
        };
        // What differs before that is left to the other rules.
        if o.get(r.len()..).is_some_and(|more| !more.is_empty() && more.iter().all(|&b| b == 0)) {
            r.resize(o.len(), 0);
            *r_size = *o_size;
            changed = true;
        }
    }
    changed
}

fn newer_member(seen: &mut Seen) -> bool {
    let longer = longer_attribute(seen);
    newer_member_is_set(seen) || longer
}

fn newer_member_is_set(seen: &mut Seen) -> bool {
    let Some((o, value)) = seen.case.opts(seen.function) else { return false };
    let Some(slot) = seen.placed.opts_slot else { return false };
    let all = given(seen, slot, 0, value.sz);
    let is_set = |from: usize, to: usize| all.iter().take(to).skip(from).any(|&b| b != 0);
    let any = o.members.iter().filter(|m| m.newer && !has_own_rule(o, m)).any(|m| is_set(gap_before(o, m), m.end()));
    let returned = seen.ours.how == library::RETURNED;
    if !any || !returned || !reference_rejects(seen) || is_set(o.known(), usize::MAX) {
        return false;
    }
    seen.reference = seen.ours.clone();
    true
}

fn has_own_rule(o: &Opts, member: &Member) -> bool {
    let name = format!("{}.{}", o.name, member.name);
    RULES.iter().flat_map(|rule| rule.members).any(|of_rule| name.starts_with(of_rule))
}

/// Where the hole before a member starts: the reference takes these bytes for unknown members too.
fn gap_before(o: &Opts, member: &Member) -> usize {
    o.members.iter().map(Member::end).filter(|&end| end <= member.at).max().unwrap_or(member.at)
}

fn reject(seen: &Seen, warned: bool) -> Outcome {
    Outcome {
        how: library::RETURNED,
        signal: 0,
        value: -i64::from(libc::EINVAL),
        errno: libc::EINVAL,
        died_at: None,
        events: seen.reference.events.iter().filter(|e| e.is_prelude()).cloned().collect(),
        memory: seen.before.to_vec(),
        warned,
        free_fd: seen.reference.free_fd,
    }
}

fn newer_map_log(seen: &mut Seen) -> bool {
    if seen.function.name != "bpf_map_create" {
        return false;
    }
    let Some((o, value)) = seen.case.opts(seen.function) else { return false };
    let (Some(slot), Some(member)) = (seen.placed.opts_slot, o.member("log_opts")) else { return false };
    let newer = given(seen, slot, o.known_reference, value.sz);
    if !reference_rejects(seen) || newer.iter().all(|&b| b == 0) {
        return false;
    }
    if given(seen, slot, member.end(), value.sz).iter().any(|&b| b != 0) {
        return false; // the rule is for log_opts alone
    }
    // The reference determines the outcome but for the members that it lacks.
    let mut expected = (seen.again)(o.known_reference);
    let log = o.members.iter().zip(&value.members).find(|(m, _)| m.name == member.name).map(|(_, log)| log);
    let nested = log.filter(|_| value.sz >= member.end() as u64).zip(seen.placed.nested_slot);
    if let (Some((Value::Opts(log), log_slot)), Kind::Nested(log_opts)) = (nested, member.kind) {
        let known = log_opts.known();
        let tail = given(seen, log_slot, known.min(log.sz as usize), log.sz);
        if log.sz < 8 || tail.iter().any(|&b| b != 0) {
            expected = reject(seen, true);
        } else {
            let bytes = given(seen, log_slot, 0, log.sz);
            let field = |at: usize, len: usize| match bytes.get(at..at + len) {
                Some(b) => b.to_vec(),
                None => vec![0; len],
            };
            const TRUE_SIZE: std::ops::Range<usize> = 24..28;
            // log_buf, log_size, log_level, log_true_size
            let common = [field(8, 8), field(16, 4), field(20, 4), vec![0; 8]].concat();
            let supported = PERSONAS[seen.case.script.persona].common && !seen.running_kernel;
            for event in expected.events.iter_mut().filter(|_| supported) {
                if let Event::Bpf { cmd: cmd @ cmd::MAP_CREATE, common: sent, .. } = event {
                    *cmd |= COMMON;
                    *sent = Some((24, common.clone()));
                }
            }
            if bytes.len() >= TRUE_SIZE.end {
                let size = if supported { seen.case.script.common_true_size } else { 0 };
                let at = MARGIN + TRUE_SIZE.start..MARGIN + TRUE_SIZE.end;
                expected.memory[log_slot][at].copy_from_slice(&size.to_ne_bytes());
            }
            // The library probes for common attributes once.
            seen.ours.events.retain(|e| !matches!(e, Event::Bpf { cmd, probe: true, .. } if cmd & COMMON != 0));
        }
    }
    seen.reference = expected;
    true
}

fn newer_links(seen: &mut Seen) -> bool {
    const TRACING_MULTI: std::ops::RangeInclusive<u32> = 59..=61;
    const UPROBE_MULTI: [u32; 2] = [48, 57];
    const TRACE_ITER: u32 = 28;
    if seen.function.name != "bpf_link_create" {
        return false;
    }
    let Some((value, slot)) = opts(seen) else { return false };
    let Some((o, _)) = seen.case.opts(seen.function).filter(|_| reference_rejects(seen)) else { return false };
    let Some(path_fd) = o.member("uprobe_multi.path_fd") else { return false };
    let known_reference = o.known_reference;
    let attach_type = seen.case.attach_type(seen.function);
    let all = given(seen, slot, 0, value.sz);
    let field = |at: usize, len: usize| match all.get(at..at + len) {
        Some(b) => b.to_vec(),
        None => vec![0; len],
    };
    let clear = |from: usize, to: usize| {
        all.get(from.min(all.len())..to.min(all.len()).max(from.min(all.len())))
            .is_none_or(|b| b.iter().all(|&b| b == 0))
    };
    if !clear(path_fd.end(), usize::MAX) {
        return false; // the rule is for path_fd and tracing_multi alone
    }
    // With iter_info_len or target_btf_id, all members after them must be 0.
    let set = |from: usize, to: usize| value.sz as usize >= to && !clear(from, to);
    let selects_target = set(24, 28) && !clear(32, usize::MAX) || set(28, 32);
    let expected = if TRACING_MULTI.contains(&attach_type) && !selects_target && clear(56, usize::MAX) {
        // The reference accepts nothing after `flags` for these attach types. This library sends tracing_multi.
        let mut expected = (seen.again)(12);
        let sent = [field(32, 8), field(40, 8), field(48, 4)].concat();
        for event in &mut expected.events {
            if let Event::Bpf { attr, .. } = event {
                attr[16..36].copy_from_slice(&sent);
            }
        }
        expected
    } else if clear(known_reference, usize::MAX) {
        return false;
    } else if UPROBE_MULTI.contains(&attach_type) && !selects_target {
        let mut expected = (seen.again)(known_reference);
        for event in &mut expected.events {
            if let Event::Bpf { attr, .. } = event {
                attr[60..64].copy_from_slice(&field(path_fd.at, 4));
            }
        }
        expected
    } else if attach_type == TRACE_ITER && !selects_target {
        // The only type for which both libraries ignore what follows its members.
        (seen.again)(known_reference)
    } else {
        // A byte after the alternative for this type: rejected too, but without a warning about an unknown member.
        reject(seen, false)
    };
    seen.reference = expected;
    true
}
