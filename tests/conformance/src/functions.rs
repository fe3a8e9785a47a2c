// SPDX-License-Identifier: MIT OR Apache-2.0
//! Each function of `bpf.h`: what its arguments and options mean, and what the kernel writes back.
//!
//! Names, C types and layouts come from the generated `table.rs`. A meaning follows from the name and the C type; the
//! lists at the top have what these do not tell. An entry of theirs that names nothing in the table is an error.

use std::collections::BTreeSet;

use crate::{
    interface::Interface,
    table::{FUNCTIONS, Gives, STRUCTS},
};

/// The meaning of an argument or a member, which determines the values that are tried.
#[derive(Clone, Copy, Debug)]
pub enum Kind {
    /// A number of at most 4, or of 8 bytes without a further meaning.
    U32,
    U64,
    /// A number of instructions or bytes, of type `size_t`.
    Size,
    Fd,
    AttachType,
    ProgType,
    MapType,
    StatsType,
    /// The maximum number of times a load is tried.
    Attempts,
    Pid,
    /// The id of a kernel object.
    Id,
    Flags,
    /// The size of a buffer, a number of elements, a number of repetitions.
    Len,
    RecordSize,
    /// A string that the library reads.
    Name,
    /// A path or other string that only the kernel reads.
    Str,
    /// The license string of a program.
    License,
    /// Memory that only the kernel accesses.
    Buffer,
    Insns,
    Btf,
    /// func_info or line_info: read by the kernel, and by the library if it converts the records.
    Records,
    /// A number that the library reads or writes through the pointer. `true`: may be NULL.
    At32(bool),
    At64(bool),
    /// A pointer that is never dereferenced.
    Address,
    Opts(&'static Opts),
    /// A member that points to another opts struct.
    Nested(&'static Opts),
}
use Kind::*;

// ---- what names and types do not tell ---------------------------------------------------------

const KINDS: &[(&str, Kind)] = &[
    ("libbpf_set_memlock_rlim.memlock_bytes", U64),
    ("libbpf_get_error.ptr", Address),
    ("bpf_map_create.map_name", Name),
    ("bpf_map_create.max_entries", Len),
    ("bpf_prog_load.prog_name", Name),
    ("bpf_prog_load.license", License),
    ("bpf_prog_load_opts.attempts", Attempts),
    ("bpf_prog_load_opts.func_info", Records),
    ("bpf_prog_load_opts.line_info", Records),
    ("bpf_prog_stream_read.stream_id", U32),
    ("bpf_btf_load.btf_data", Btf),
    ("bpf_prog_query.attach_flags", At32(true)),
    ("bpf_prog_query.prog_ids", Buffer),
    ("bpf_test_run_opts.repeat", Len),
];

/// Members of which only one may be set.
const EXCLUSIVE: &[(&str, &str, &str)] = &[
    ("bpf_prog_load_opts", "attach_prog_fd", "attach_btf_obj_fd"),
    ("bpf_prog_attach_opts", "relative_fd", "relative_id"),
    ("bpf_prog_detach_opts", "relative_fd", "relative_id"),
    ("bpf_link_create_opts", "iter_info_len", "target_btf_id"),
    ("bpf_link_create_opts", "tcx.relative_fd", "tcx.relative_id"),
    ("bpf_link_create_opts", "netkit.relative_fd", "netkit.relative_id"),
    ("bpf_link_create_opts", "cgroup.relative_fd", "cgroup.relative_id"),
    ("bpf_link_update_opts", "old_prog_fd", "old_map_fd"),
];

/// Members that must be set together.
const TOGETHER: &[(&str, &str, &str)] =
    &[("bpf_prog_load_opts", "log_buf", "log_size"), ("bpf_btf_load_opts", "log_buf", "log_size")];

/// Offsets in a command's attribute that the kernel writes to.
const WRITES: &[(&str, &[usize])] = &[
    ("bpf_prog_load", &[76, 92, 140]),
    ("bpf_btf_load", &[28]),
    ("bpf_map_delete_batch", BATCH_COUNT),
    ("bpf_map_lookup_batch", BATCH_COUNT),
    ("bpf_map_lookup_and_delete_batch", BATCH_COUNT),
    ("bpf_map_update_batch", BATCH_COUNT),
    ("bpf_prog_get_next_id", NEXT_ID),
    ("bpf_map_get_next_id", NEXT_ID),
    ("bpf_btf_get_next_id", NEXT_ID),
    ("bpf_link_get_next_id", NEXT_ID),
    ("bpf_obj_get_info_by_fd", INFO_LEN),
    ("bpf_prog_get_info_by_fd", INFO_LEN),
    ("bpf_map_get_info_by_fd", INFO_LEN),
    ("bpf_btf_get_info_by_fd", INFO_LEN),
    ("bpf_link_get_info_by_fd", INFO_LEN),
    ("bpf_prog_query_opts", QUERY),
    ("bpf_prog_query", QUERY),
    ("bpf_task_fd_query", &[12, 24, 28, 32, 36, 40, 44]),
    ("bpf_prog_test_run_opts", &[4, 12, 36, 44]),
];
const BATCH_COUNT: &[usize] = &[32];
const NEXT_ID: &[usize] = &[4];
const INFO_LEN: &[usize] = &[4];
const QUERY: &[usize] = &[12, 24, 56, 60];

/// The alternative of the union in bpf_link_create_opts that goes with an attach type.
const LINK_ALTERNATIVES: &str = "bpf_link_create_opts";
fn link_alternative(attach_type: u32) -> &'static str {
    match attach_type {
        // BPF_PERF_EVENT
        41 => "perf_event",
        // BPF_TRACE_KPROBE_MULTI, BPF_TRACE_KPROBE_SESSION
        42 | 56 => "kprobe_multi",
        // BPF_TRACE_UPROBE_MULTI, BPF_TRACE_UPROBE_SESSION
        48 | 57 => "uprobe_multi",
        // BPF_TRACE_RAW_TP, _FENTRY, _FEXIT, BPF_MODIFY_RETURN, BPF_LSM_MAC, BPF_TRACE_FSESSION
        23..=27 | 58 => "tracing",
        // BPF_NETFILTER
        45 => "netfilter",
        // BPF_TCX_INGRESS, BPF_TCX_EGRESS
        46 | 47 => "tcx",
        // BPF_NETKIT_PRIMARY, BPF_NETKIT_PEER
        54 | 55 => "netkit",
        // BPF_TRACE_FENTRY_MULTI, _FEXIT_MULTI, _FSESSION_MULTI
        59..=61 => "tracing_multi",
        _ => "cgroup",
    }
}

// ---- what names and types tell ----------------------------------------------------------------

/// The kind of a parameter or member. `size` is that of a member; for a parameter it is 0.
fn kind_of(name: &str, ctype: &str, size: usize) -> Kind {
    let name = name.rsplit('.').next().unwrap_or(name);
    let ends = |suffixes: &[&str]| suffixes.iter().any(|suffix| name.ends_with(suffix));
    match ctype {
        "enum bpf_attach_type" => return AttachType,
        "enum bpf_prog_type" => return ProgType,
        "enum bpf_map_type" => return MapType,
        "enum bpf_stats_type" => return StatsType,
        "const struct bpf_insn *" => return Insns,
        "const char *" => return Str,
        // A member points to an array for the kernel, a parameter to a number for the library.
        "__u32 *" if size == 0 => return At32(false),
        "__u64 *" if size == 0 => return At64(false),
        "size_t" => return Size,
        "__u64" | "__s64" | "long" | "unsigned long" => return U64,
        _ if ctype.ends_with('*') => return Buffer,
        _ => {}
    }
    if name == "fd" || name == "target" || ends(&["_fd"]) {
        Fd
    } else if name == "pid" {
        Pid
    } else if ends(&["flags"]) {
        Flags
    } else if ends(&["_rec_size"]) {
        RecordSize
    } else if name == "cnt" || name == "count" || ends(&["_cnt", "_len", "size"]) || name.contains("_size_") {
        Len
    } else if (name == "id" || ends(&["_id"])) && !ends(&["btf_id", "type_id"]) {
        Id
    } else {
        U32
    }
}

impl Kind {
    pub fn is_pointer(self) -> bool {
        matches!(
            self,
            Name | Str | License | Buffer | Insns | Btf | Records | At32(_) | At64(_) | Address | Opts(_) | Nested(_)
        )
    }
}

pub struct Param {
    pub name: &'static str,
    pub ctype: &'static str,
    pub kind: Kind,
}

pub struct Member {
    pub name: &'static str,
    pub kind: Kind,
    pub at: usize,
    pub size: usize,
    /// The alternative of the union that it is part of; empty for a member of the struct itself.
    pub of: &'static str,
    /// Whether the reference lacks it.
    pub newer: bool,
}

impl Member {
    pub const fn end(&self) -> usize {
        self.at + self.size
    }
}

/// An opts struct.
pub struct Opts {
    pub name: &'static str,
    pub size: usize,
    /// The end of the last member that the reference has.
    pub known_reference: usize,
    pub members: Vec<Member>,
    /// The alternatives of its union.
    pub alternatives: Vec<&'static str>,
    /// Members of which only one may be set.
    pub exclusive: Vec<(&'static str, &'static str)>,
    /// Members that must be set together.
    pub together: Vec<(&'static str, &'static str)>,
}

impl std::fmt::Debug for Opts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name)
    }
}

impl Opts {
    /// The end of the last member.
    pub fn known(&self) -> usize {
        self.members.iter().map(Member::end).max().unwrap_or(size_of::<usize>())
    }

    pub fn member(&self, name: &str) -> Option<&Member> {
        self.members.iter().find(|m| m.name == name)
    }

    /// The alternative of the union that goes with an attach type.
    pub fn alternative(&self, attach_type: u32) -> &'static str {
        if self.name == LINK_ALTERNATIVES { link_alternative(attach_type) } else { "" }
    }
}

pub struct Function {
    pub name: &'static str,
    pub gives: Gives,
    pub returns_long: bool,
    pub params: Vec<Param>,
    /// Offsets in the command's attribute that the kernel writes to.
    pub writes: &'static [usize],
    /// Whether the reference lacks it.
    pub newer: bool,
}

pub struct Table {
    pub functions: Vec<Function>,
    pub opts: Vec<&'static Opts>,
}

impl Table {
    /// Every function and opts struct, compared with what the reference has. It lives as long as the process.
    ///
    /// # Errors
    /// Entries above that name nothing in the generated table.
    pub fn new(reference: &Interface) -> Result<&'static Table, String> {
        let mut entries = Entries::default();
        let mut opts: Vec<&'static Opts> = Vec::new();
        // A struct is complete before another one that points to it, as in C.
        for of in STRUCTS {
            let members = of.members.iter().map(|m| {
                let nested = named_by(m.ctype, &opts).map(Nested);
                let special = entries.kind(of.name, m.name);
                let kind = special.or(nested).unwrap_or_else(|| kind_of(m.name, m.ctype, m.size));
                let newer = !reference.has_member(of.name, m.name);
                Member { name: m.name, kind, at: m.at, size: m.size, of: m.of, newer }
            });
            let members: Vec<Member> = members.collect();
            let alternatives: BTreeSet<&str> = members.iter().map(|m| m.of).filter(|of| !of.is_empty()).collect();
            let mut described = Opts {
                name: of.name,
                size: of.size,
                known_reference: 0,
                alternatives: alternatives.into_iter().collect(),
                exclusive: entries.pairs(of.name, EXCLUSIVE, &members),
                together: entries.pairs(of.name, TOGETHER, &members),
                members,
            };
            // One of the sizes that are tried: for a struct that the reference lacks, any size will do.
            described.known_reference = reference.end_of(of.name).unwrap_or_else(|| described.known());
            opts.push(Box::leak(Box::new(described)));
        }
        let functions = FUNCTIONS.iter().map(|f| {
            let params: Vec<Param> = f
                .params
                .iter()
                .map(|p| {
                    let opts = named_by(p.ctype, &opts).map(Opts);
                    let kind = entries.kind(f.name, p.name).or(opts).unwrap_or_else(|| kind_of(p.name, p.ctype, 0));
                    Param { name: p.name, ctype: p.ctype, kind }
                })
                .collect();
            Function {
                name: f.name,
                gives: f.gives,
                returns_long: f.returns == "long",
                params,
                writes: entries.writes(f.name),
                newer: !reference.has_function(f.name),
            }
        });
        let functions = functions.collect();
        entries.check_all_used()?;
        let links =
            opts.iter().find(|o| o.name == LINK_ALTERNATIVES).ok_or(format!("no struct {LINK_ALTERNATIVES}"))?;
        let unknown = (0..100).map(link_alternative).find(|a| !links.alternatives.contains(a));
        if let Some(alternative) = unknown {
            return Err(format!("struct {LINK_ALTERNATIVES} has no alternative {alternative}"));
        }
        Ok(Box::leak(Box::new(Table { functions, opts })))
    }

    pub fn function(&'static self, name: &str) -> Option<&'static Function> {
        self.functions.iter().find(|f| f.name == name)
    }
}

/// The opts struct that a type is a pointer to.
fn named_by(ctype: &str, opts: &[&'static Opts]) -> Option<&'static Opts> {
    let name = ctype.trim_start_matches("const ").strip_prefix("struct ")?.strip_suffix(" *")?;
    opts.iter().find(|o| o.name == name).copied()
}

/// The entries of the lists that were used.
#[derive(Default)]
struct Entries(BTreeSet<String>);

impl Entries {
    fn kind(&mut self, of: &str, name: &str) -> Option<Kind> {
        let key = format!("{of}.{name}");
        let (_, kind) = KINDS.iter().find(|(entry, _)| *entry == key)?;
        self.0.insert(key);
        Some(*kind)
    }

    fn pairs(
        &mut self,
        of: &str,
        list: &'static [(&str, &str, &str)],
        members: &[Member],
    ) -> Vec<(&'static str, &'static str)> {
        let has = |name: &str| members.iter().any(|m| m.name == name);
        let pairs = list.iter().filter(|(name, a, b)| *name == of && has(a) && has(b));
        let pairs: Vec<_> = pairs.map(|&(_, a, b)| (a, b)).collect();
        self.0.extend(pairs.iter().map(|(a, b)| format!("{of}.{a} and {b}")));
        pairs
    }

    fn writes(&mut self, function: &str) -> &'static [usize] {
        let Some((_, writes)) = WRITES.iter().find(|(entry, _)| *entry == function) else { return &[] };
        self.0.insert(function.to_string());
        writes
    }

    fn check_all_used(&self) -> Result<(), String> {
        let pairs = EXCLUSIVE.iter().chain(TOGETHER).map(|(of, a, b)| format!("{of}.{a} and {b}"));
        let kinds = KINDS.iter().map(|(entry, _)| entry.to_string());
        let writes = WRITES.iter().map(|(entry, _)| entry.to_string());
        let unused: Vec<String> = kinds.chain(writes).chain(pairs).filter(|entry| !self.0.contains(entry)).collect();
        match unused.is_empty() {
            true => Ok(()),
            false => Err(format!("functions.rs has entries for what does not exist: {}", unused.join(", "))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_entry_refers_to_the_generated_table() {
        assert_eq!(Table::new(&Interface::default()).err(), None);
    }

    #[test]
    fn a_call_passes_at_most_nine_arguments() {
        let table = Table::new(&Interface::default()).expect("checked above");
        assert!(table.functions.iter().all(|f| f.params.len() <= 9));
    }

    #[test]
    fn a_new_member_needs_no_entry() {
        for (name, ctype, size, kind) in [
            ("made_up_fd", "__u32", 4, "Fd"),
            ("made_up_flags", "__u32", 4, "Flags"),
            ("made_up_flags", "__u64", 8, "U64"),
            ("made_up_cnt", "__u32", 4, "Len"),
            ("made_up_size", "__u32", 4, "Len"),
            ("made_up", "__u32", 4, "U32"),
            ("made_up", "__u16", 2, "U32"),
            ("made_up", "const char *", 8, "Str"),
            ("made_up", "void *", 8, "Buffer"),
            ("made_up", "__u32 *", 8, "Buffer"),
            ("made_up", "__u32 *", 0, "At32(false)"),
        ] {
            assert_eq!(format!("{:?}", kind_of(name, ctype, size)), kind, "{ctype} {name}");
        }
    }
}
