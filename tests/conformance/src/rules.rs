//! The differences from the reference that are meant: each a named rule with its reason.
//!
//! A rule takes out of two outcomes exactly what it explains; whatever is left differing is a
//! failure. So a rule never excuses a call as a whole, and where the newer interface does
//! more than the reference can, the rule says what must be seen instead.

use crate::{
    case::{Case, OptsValue, Placed, Start, Value},
    compare::Outcome,
    functions::{Function, Kind, LOG_OPTS},
    kernel::{COMMON, Event, PERSONAS, cmd},
    library,
    memory::MARGIN,
};

pub struct Rule {
    pub name: &'static str,
    pub functions: &'static str,
    pub reference: &'static str,
    pub ours: &'static str,
    pub reason: &'static str,
    take_out: fn(&mut Seen) -> bool,
}

pub static RULES: [Rule; 7] = [
    Rule {
        name: "newer-map-log",
        functions: "`bpf_map_create`",
        reference: "1.7.0 does not know `log_opts` and rejects a struct in which it is set",
        ours: "supports `log_opts` as later releases do: a common attribute where the kernel has it, `true_size` 0 elsewhere",
        reason: "newer than 1.7.0; a caller that does not set it sees no difference",
        take_out: newer_map_log,
    },
    Rule {
        name: "newer-links",
        functions: "`bpf_link_create`",
        reference: "1.7.0 does not know `uprobe_multi.path_fd`, nor `tracing_multi` and its three attach types",
        ours: "sends them as later releases do",
        reason: "newer than 1.7.0; a caller that does not set them sees no difference",
        take_out: newer_links,
    },
    Rule {
        name: "no-probes",
        functions: "`bpf_map_create`, `bpf_prog_load`, `bpf_btf_load`",
        reference: "loads throw-away programs before the first map, program or BTF of a process, to find out whether the \
                    kernel charges RLIMIT_MEMLOCK and whether it supports names; a failed probe leaves its errno behind",
        ours: "calls `uname`; only a release before 5.11 is probed",
        reason: "two program loads cost fifty times the map they precede, and need permissions that the caller may lack",
        take_out: no_probes,
    },
    Rule {
        name: "no-permission-needed",
        functions: "`bpf_map_create`, `bpf_prog_load`, `bpf_btf_load`, `libbpf_set_memlock_rlim`",
        reference: "where the process may not load programs, the probes fail: object names are dropped, and \
                    RLIMIT_MEMLOCK is raised on kernels that do not charge it",
        ours: "keeps the name and leaves the limit unchanged on 5.11 and later",
        reason: "what the kernel can do does not depend on what this process may do (a token may grant it)",
        take_out: no_permission_needed,
    },
    Rule {
        name: "null-output",
        functions: "every function that reads or writes a number through a pointer (`count`, `next_id`, `info_len`, \
                    `prog_cnt`, the outputs of `bpf_task_fd_query`)",
        reference: "crashes when that pointer is NULL (`bpf_*_get_next_id`: when the call succeeds)",
        ours: "`-EINVAL`, errno set, no system call",
        reason: "an error can be handled, a crash cannot",
        take_out: null_output,
    },
    Rule {
        name: "null-records",
        functions: "`bpf_prog_load`",
        reference: "where the kernel knows only shorter func_info or line_info records than the caller's, copies them from \
                    the caller's pointer even if that is NULL, and crashes",
        ours: "`-E2BIG`, as returned by the kernel",
        reason: "an error can be handled, a crash cannot",
        take_out: null_records,
    },
    Rule {
        name: "btf-size",
        functions: "`bpf_btf_load`",
        reference: "sends the low 32 bits of a `btf_size` over `UINT_MAX`",
        ours: "`-E2BIG`, no system call",
        reason: "the kernel would be given a length that the caller did not mean",
        take_out: btf_size,
    },
];

pub struct Seen<'a> {
    pub function: &'static Function,
    pub case: &'a Case,
    pub placed: &'a Placed,
    /// What every buffer held before the call.
    pub before: &'a [Vec<u8>],
    pub reference: Outcome,
    pub ours: Outcome,
    /// Plays the case to the reference again, every byte of the opts struct from an offset on zero.
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

fn refused(outcome: &Outcome, error: i32, before: &[Vec<u8>]) -> bool {
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
        // Exactly what the rule says does not happen.
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

/// The name that the caller gave, as the kernel takes it.
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
    let null = |(p, v): (&crate::functions::Param, &Value)| {
        matches!(p.kind, Kind::At32(false) | Kind::At64(false)) && *v == Value::Number(0)
    };
    let crashed = seen.reference.how == library::DIED
        && seen.reference.signal == libc::SIGSEGV
        && seen.reference.died_at.is_some_and(|a| a.0 < 4096);
    // These write where the call gives 0 alone; anything else does not crash.
    let failed = seen.reference.value != 0 && seen.function.name.ends_with("_get_next_id");
    let any = seen.function.params.iter().zip(&seen.case.arguments).any(null);
    if (crashed || failed) && any && refused(&seen.ours, libc::EINVAL, seen.before) && !seen.ours.warned {
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
    // A record of no bytes is copied from nowhere without a crash.
    let went_on = seen.reference.how == library::DIED || seen.reference.events.len() > seen.ours.events.len();
    if any && stopped && went_on {
        seen.reference = seen.ours.clone();
        return true;
    }
    false
}

fn btf_size(seen: &mut Seen) -> bool {
    let over = seen.function.name == "bpf_btf_load" && seen.placed.arguments[1] > u64::from(u32::MAX);
    if over && refused(&seen.ours, libc::E2BIG, seen.before) {
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

/// Bytes of the opts struct as the caller gave them, from an offset to `sz`.
fn given(seen: &Seen, slot: usize, from: usize, sz: u64) -> Vec<u8> {
    seen.before[slot].get(MARGIN + from..MARGIN + sz as usize).unwrap_or_default().to_vec()
}

fn refuse(seen: &Seen, warned: bool) -> Outcome {
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
    const REFERENCE_KNOWS: usize = 68;
    const LOG_OPTS_END: u64 = 80;
    if seen.function.name != "bpf_map_create" {
        return false;
    }
    let Some((value, slot)) = opts(seen) else { return false };
    let newer = given(seen, slot, REFERENCE_KNOWS, value.sz);
    let reference_refuses = seen.reference.value == -i64::from(libc::EINVAL) && calls(&seen.reference) == 0;
    if !reference_refuses || newer.iter().all(|&b| b == 0) {
        return false;
    }
    if given(seen, slot, LOG_OPTS_END as usize, value.sz).iter().any(|&b| b != 0) {
        return false; // known to neither
    }
    // Without what it does not know, the reference says how the rest must go.
    let mut expected = (seen.again)(REFERENCE_KNOWS);
    let log = value.members.last().filter(|_| value.sz >= LOG_OPTS_END);
    if let Some(Value::Opts(log)) = log {
        // It is the last member placed before the struct itself.
        let log_slot = slot - 1;
        let known = LOG_OPTS.known();
        let tail = given(seen, log_slot, known.min(log.sz as usize), log.sz);
        if log.sz < 8 || tail.iter().any(|&b| b != 0) {
            expected = refuse(seen, true);
        } else {
            let bytes = given(seen, log_slot, 0, log.sz);
            let field = |at: usize, len: usize| match bytes.get(at..at + len) {
                Some(b) => b.to_vec(),
                None => vec![0; len],
            };
            let common = [field(8, 8), field(16, 4), field(20, 4), vec![0; 8]].concat();
            let speaks = PERSONAS[seen.case.script.persona].common && !seen.running_kernel;
            for event in expected.events.iter_mut().filter(|_| speaks) {
                if let Event::Bpf { cmd: cmd @ cmd::MAP_CREATE, common: sent, .. } = event {
                    *cmd |= COMMON;
                    *sent = Some((24, common.clone()));
                }
            }
            if bytes.len() >= known {
                let size = if speaks { seen.case.script.common_true_size } else { 0 };
                expected.memory[log_slot][MARGIN + 24..MARGIN + 28].copy_from_slice(&size.to_ne_bytes());
            }
            // Whether the kernel has common attributes is asked once.
            seen.ours.events.retain(|e| !matches!(e, Event::Bpf { cmd, probe: true, .. } if cmd & COMMON != 0));
        }
    }
    seen.reference = expected;
    true
}

fn newer_links(seen: &mut Seen) -> bool {
    const REFERENCE_KNOWS: usize = 76;
    const END: usize = 80;
    const TRACING_MULTI: std::ops::RangeInclusive<u32> = 59..=61;
    const UPROBE_MULTI: [u32; 2] = [48, 57];
    const TRACE_ITER: u32 = 28;
    if seen.function.name != "bpf_link_create" {
        return false;
    }
    let Some((value, slot)) = opts(seen) else { return false };
    let reference_refuses = seen.reference.value == -i64::from(libc::EINVAL) && calls(&seen.reference) == 0;
    if !reference_refuses {
        return false;
    }
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
    if !clear(END, usize::MAX) {
        return false; // known to neither
    }
    // An iterator's target or a BTF type leaves no room for anything else.
    let set = |from: usize, to: usize| value.sz as usize >= to && !clear(from, to);
    let selects_target = set(24, 28) && !clear(32, usize::MAX) || set(28, 32);
    let expected = if TRACING_MULTI.contains(&attach_type) && !selects_target && clear(56, usize::MAX) {
        // The members of tracing_multi, where the reference knows nothing after `flags`.
        let mut expected = (seen.again)(12);
        let sent = [field(32, 8), field(40, 8), field(48, 4)].concat();
        for event in &mut expected.events {
            if let Event::Bpf { attr, .. } = event {
                attr[16..36].copy_from_slice(&sent);
            }
        }
        expected
    } else if clear(REFERENCE_KNOWS, usize::MAX) {
        return false;
    } else if UPROBE_MULTI.contains(&attach_type) && !selects_target {
        let mut expected = (seen.again)(REFERENCE_KNOWS);
        for event in &mut expected.events {
            if let Event::Bpf { attr, .. } = event {
                attr[60..64].copy_from_slice(&field(REFERENCE_KNOWS, 4));
            }
        }
        expected
    } else if attach_type == TRACE_ITER && !selects_target {
        // The one type for which what follows its members is not looked at, there and here.
        (seen.again)(REFERENCE_KNOWS)
    } else {
        // A byte after the member that belongs to the type: refused here too, if without the warning about an unknown one.
        refuse(seen, false)
    };
    seen.reference = expected;
    true
}
