//! Each function of `bpf.h` described once: its arguments, its opts struct, what the kernel writes
//! back for it. Cases, calls, comparisons and reports all follow from this table.

/// What an argument or a member is, which says what values it is tried with.
#[derive(Clone, Copy, Debug)]
pub enum Kind {
    /// A number of 4 or 8 bytes without a further meaning.
    U32,
    U64,
    /// A count of instructions or bytes of type `size_t`.
    Size,
    Fd,
    AttachType,
    ProgType,
    MapType,
    StatsType,
    /// `attempts`: how often a load may be tried.
    Attempts,
    Pid,
    Id,
    Flags,
    /// How long the buffer is that goes with it, or how many elements it has.
    Len,
    RecordSize,
    /// A string that the library reads itself.
    Name,
    /// A path or other string that only the kernel reads.
    Str,
    /// The license string of a program.
    License,
    /// Memory that only the kernel touches.
    Buffer,
    Insns,
    Btf,
    /// func_info or line_info: the kernel reads it, and the library too where it repairs it.
    Records,
    /// A number that the library reads or writes through the pointer. `true`: may be NULL.
    At32(bool),
    At64(bool),
    /// An address whose value alone matters.
    Address,
    Opts(&'static Opts),
    /// The nested `struct bpf_log_opts *`.
    LogOpts,
}
use Kind::*;

pub struct Param {
    pub name: &'static str,
    pub ctype: &'static str,
    pub kind: Kind,
}

pub struct Member {
    pub name: &'static str,
    pub kind: Kind,
    pub at: usize,
    /// The alternative of a union that it belongs to; 0 for a member of the struct itself.
    pub of: u8,
}

impl Member {
    pub const fn size(&self) -> usize {
        self.kind.size()
    }
    pub const fn end(&self) -> usize {
        self.at + self.size()
    }
}

impl Kind {
    pub const fn size(self) -> usize {
        match self {
            U32 | Fd | AttachType | ProgType | MapType | StatsType | Attempts | Pid | Id | Flags | Len | RecordSize => {
                4
            }
            _ => 8,
        }
    }
    pub fn is_pointer(self) -> bool {
        matches!(
            self,
            Name | Str | License | Buffer | Insns | Btf | Records | At32(_) | At64(_) | Address | Opts(_) | LogOpts
        )
    }
}

/// An opts struct, as the newest headers have it.
pub struct Opts {
    pub name: &'static str,
    pub size: usize,
    /// What libbpf 1.7.0 knows of it.
    pub known_reference: usize,
    pub members: &'static [Member],
    /// Members of which the library refuses both together.
    pub exclusive: &'static [(&'static str, &'static str)],
    /// Members that go together: both zero or neither.
    pub together: &'static [(&'static str, &'static str)],
    /// Which alternative of the union an attach type goes with.
    pub alternative: Option<fn(u32) -> u8>,
}

impl std::fmt::Debug for Opts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name)
    }
}

impl Opts {
    /// The end of the last member.
    pub fn known(&self) -> usize {
        self.members.iter().map(Member::end).max().unwrap_or(8)
    }
}

/// What a successful command gives.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Gives {
    Zero,
    Descriptor,
    Count,
    /// Makes no system call of its own.
    Nothing,
}

pub struct Function {
    pub name: &'static str,
    pub gives: Gives,
    pub returns_long: bool,
    pub params: &'static [Param],
    /// Offsets in the command's record that the kernel writes to.
    pub writes: &'static [usize],
}

const fn p(name: &'static str, ctype: &'static str, kind: Kind) -> Param {
    Param { name, ctype, kind }
}
const fn m(name: &'static str, at: usize, kind: Kind) -> Member {
    Member { name, at, kind, of: 0 }
}
const fn u(of: u8, name: &'static str, at: usize, kind: Kind) -> Member {
    Member { name, at, kind, of }
}
const fn opts(name: &'static str, size: usize, members: &'static [Member]) -> Opts {
    let mut known = 8;
    let mut i = 0;
    while i < members.len() {
        let end = members[i].end();
        if end > known {
            known = end;
        }
        i += 1;
    }
    Opts { name, size, known_reference: known, members, exclusive: &[], together: &[], alternative: None }
}
pub static LOG_OPTS: Opts =
    opts("bpf_log_opts", 32, &[m("buf", 8, Buffer), m("size", 16, Len), m("level", 20, U32), m("true_size", 24, U32)]);
static MAP_CREATE: Opts = Opts {
    known_reference: 68,
    ..opts(
        "bpf_map_create_opts",
        80,
        &[
            m("btf_fd", 8, Fd),
            m("btf_key_type_id", 12, U32),
            m("btf_value_type_id", 16, U32),
            m("btf_vmlinux_value_type_id", 20, U32),
            m("inner_map_fd", 24, Fd),
            m("map_flags", 28, Flags),
            m("map_extra", 32, U64),
            m("numa_node", 40, U32),
            m("map_ifindex", 44, U32),
            m("value_type_btf_obj_fd", 48, Fd),
            m("token_fd", 52, Fd),
            m("excl_prog_hash", 56, Buffer),
            m("excl_prog_hash_size", 64, Len),
            m("log_opts", 72, LogOpts),
        ],
    )
};
static PROG_LOAD: Opts = Opts {
    exclusive: &[("attach_prog_fd", "attach_btf_obj_fd")],
    together: &[("log_buf", "log_size")],
    ..opts(
        "bpf_prog_load_opts",
        120,
        &[
            m("attempts", 8, Attempts),
            m("expected_attach_type", 12, AttachType),
            m("prog_btf_fd", 16, Fd),
            m("prog_flags", 20, Flags),
            m("prog_ifindex", 24, U32),
            m("kern_version", 28, U32),
            m("attach_btf_id", 32, U32),
            m("attach_prog_fd", 36, Fd),
            m("attach_btf_obj_fd", 40, Fd),
            m("fd_array", 48, Buffer),
            m("func_info", 56, Records),
            m("func_info_cnt", 64, Len),
            m("func_info_rec_size", 68, RecordSize),
            m("line_info", 72, Records),
            m("line_info_cnt", 80, Len),
            m("line_info_rec_size", 84, RecordSize),
            m("log_level", 88, U32),
            m("log_size", 92, Len),
            m("log_buf", 96, Buffer),
            m("log_true_size", 104, U32),
            m("token_fd", 108, Fd),
            m("fd_array_cnt", 112, U32),
        ],
    )
};
static BTF_LOAD: Opts = Opts {
    together: &[("log_buf", "log_size")],
    ..opts(
        "bpf_btf_load_opts",
        40,
        &[
            m("log_buf", 8, Buffer),
            m("log_level", 16, U32),
            m("log_size", 20, Len),
            m("log_true_size", 24, U32),
            m("btf_flags", 28, Flags),
            m("token_fd", 32, Fd),
        ],
    )
};
static MAP_BATCH: Opts = opts("bpf_map_batch_opts", 24, &[m("elem_flags", 8, U64), m("flags", 16, U64)]);
static OBJ_PIN: Opts = opts("bpf_obj_pin_opts", 16, &[m("file_flags", 8, Flags), m("path_fd", 12, Fd)]);
static OBJ_GET: Opts = opts("bpf_obj_get_opts", 16, &[m("file_flags", 8, Flags), m("path_fd", 12, Fd)]);
static PROG_ATTACH: Opts = Opts {
    exclusive: &[("relative_fd", "relative_id")],
    ..opts(
        "bpf_prog_attach_opts",
        32,
        &[
            m("flags", 8, Flags),
            m("replace_fd", 12, Fd),
            m("relative_fd", 16, Fd),
            m("relative_id", 20, Id),
            m("expected_revision", 24, U64),
        ],
    )
};
static PROG_DETACH: Opts = Opts {
    exclusive: &[("relative_fd", "relative_id")],
    ..opts(
        "bpf_prog_detach_opts",
        32,
        &[m("flags", 8, Flags), m("relative_fd", 12, Fd), m("relative_id", 16, Id), m("expected_revision", 24, U64)],
    )
};
static LINK_CREATE: Opts = Opts {
    known_reference: 76,
    exclusive: &[("iter_info_len", "target_btf_id"), ("tcx.relative_fd", "tcx.relative_id")],
    alternative: Some(alternative_of),
    ..opts(
        "bpf_link_create_opts",
        80,
        &[
            m("flags", 8, Flags),
            m("iter_info", 16, Buffer),
            m("iter_info_len", 24, Len),
            m("target_btf_id", 28, U32),
            u(1, "perf_event.bpf_cookie", 32, U64),
            u(2, "kprobe_multi.flags", 32, Flags),
            u(2, "kprobe_multi.cnt", 36, Len),
            u(2, "kprobe_multi.syms", 40, Buffer),
            u(2, "kprobe_multi.addrs", 48, Buffer),
            u(2, "kprobe_multi.cookies", 56, Buffer),
            u(3, "uprobe_multi.flags", 32, Flags),
            u(3, "uprobe_multi.cnt", 36, Len),
            u(3, "uprobe_multi.path", 40, Str),
            u(3, "uprobe_multi.offsets", 48, Buffer),
            u(3, "uprobe_multi.ref_ctr_offsets", 56, Buffer),
            u(3, "uprobe_multi.cookies", 64, Buffer),
            u(3, "uprobe_multi.pid", 72, Pid),
            u(3, "uprobe_multi.path_fd", 76, Fd),
            u(4, "netfilter.pf", 32, U32),
            u(4, "netfilter.hooknum", 36, U32),
            u(4, "netfilter.priority", 40, U32),
            u(4, "netfilter.flags", 44, Flags),
            u(5, "tcx.relative_fd", 32, Fd),
            u(5, "tcx.relative_id", 36, Id),
            u(5, "tcx.expected_revision", 40, U64),
            u(6, "tracing_multi.ids", 32, Buffer),
            u(6, "tracing_multi.cookies", 40, Buffer),
            u(6, "tracing_multi.cnt", 48, Len),
        ],
    )
};
static LINK_UPDATE: Opts = Opts {
    exclusive: &[("old_prog_fd", "old_map_fd")],
    ..opts("bpf_link_update_opts", 24, &[m("flags", 8, Flags), m("old_prog_fd", 12, Fd), m("old_map_fd", 16, Fd)])
};
static GET_FD_BY_ID: Opts = opts("bpf_get_fd_by_id_opts", 16, &[m("open_flags", 8, Flags), m("token_fd", 12, Fd)]);
static PROG_QUERY: Opts = opts(
    "bpf_prog_query_opts",
    64,
    &[
        m("query_flags", 8, Flags),
        m("attach_flags", 12, Flags),
        m("prog_ids", 16, Buffer),
        m("count", 24, Len),
        m("prog_attach_flags", 32, Buffer),
        m("link_ids", 40, Buffer),
        m("link_attach_flags", 48, Buffer),
        m("revision", 56, U64),
    ],
);
static RAW_TP: Opts = opts("bpf_raw_tp_opts", 24, &[m("tp_name", 8, Str), m("cookie", 16, U64)]);
static PROG_BIND: Opts = opts("bpf_prog_bind_opts", 16, &[m("flags", 8, Flags)]);
static TEST_RUN: Opts = opts(
    "bpf_test_run_opts",
    80,
    &[
        m("data_in", 8, Buffer),
        m("data_out", 16, Buffer),
        m("data_size_in", 24, Len),
        m("data_size_out", 28, Len),
        m("ctx_in", 32, Buffer),
        m("ctx_out", 40, Buffer),
        m("ctx_size_in", 48, Len),
        m("ctx_size_out", 52, Len),
        m("retval", 56, U32),
        m("repeat", 60, Len),
        m("duration", 64, U32),
        m("flags", 68, Flags),
        m("cpu", 72, U32),
        m("batch_size", 76, U32),
    ],
);
static TOKEN_CREATE: Opts = opts("bpf_token_create_opts", 16, &[m("flags", 8, Flags)]);
static STREAM_READ: Opts = opts("bpf_prog_stream_read_opts", 8, &[]);
static ASSOC_STRUCT_OPS: Opts = opts("bpf_prog_assoc_struct_ops_opts", 16, &[m("flags", 8, Flags)]);

/// Every opts struct of `bpf.h`.
pub static OPTS: &[&Opts] = &[
    &LOG_OPTS,
    &MAP_CREATE,
    &PROG_LOAD,
    &BTF_LOAD,
    &MAP_BATCH,
    &OBJ_PIN,
    &OBJ_GET,
    &PROG_ATTACH,
    &PROG_DETACH,
    &LINK_CREATE,
    &LINK_UPDATE,
    &GET_FD_BY_ID,
    &PROG_QUERY,
    &RAW_TP,
    &PROG_BIND,
    &TEST_RUN,
    &TOKEN_CREATE,
    &STREAM_READ,
    &ASSOC_STRUCT_OPS,
];

/// Attach types whose link takes the alternative of `bpf_link_create_opts`'s union by that number.
fn alternative_of(attach_type: u32) -> u8 {
    match attach_type {
        // BPF_PERF_EVENT; the one-cookie types share the cookie's place with it.
        41 | 23..=27 | 58 => 1,
        42 | 56 => 2,
        48 | 57 => 3,
        45 => 4,
        59..=61 => 6,
        _ => 5,
    }
}

const GET_FD_BY_ID_OPTS: &[Param] =
    &[p("id", "__u32", Id), p("opts", "const struct bpf_get_fd_by_id_opts *", Opts(&GET_FD_BY_ID))];
const NEXT_ID: &[Param] = &[p("start_id", "__u32", Id), p("next_id", "__u32 *", At32(false))];
const ID: &[Param] = &[p("id", "__u32", Id)];
const READ_BATCH: &[Param] = &[
    p("fd", "int", Fd),
    p("in_batch", "void *", Buffer),
    p("out_batch", "void *", Buffer),
    p("keys", "void *", Buffer),
    p("values", "void *", Buffer),
    p("count", "__u32 *", At32(false)),
    p("opts", "const struct bpf_map_batch_opts *", Opts(&MAP_BATCH)),
];
const LOOKUP: &[Param] = &[p("fd", "int", Fd), p("key", "const void *", Buffer), p("value", "void *", Buffer)];
const LOOKUP_FLAGS: &[Param] =
    &[p("fd", "int", Fd), p("key", "const void *", Buffer), p("value", "void *", Buffer), p("flags", "__u64", U64)];

const fn function(name: &'static str, gives: Gives, writes: &'static [usize], params: &'static [Param]) -> Function {
    Function { name, gives, returns_long: false, params, writes }
}
const fn info(name: &'static str, params: &'static [Param]) -> Function {
    function(name, Gives::Zero, &[4], params)
}
use Gives::{Count, Descriptor, Nothing, Zero};

pub static FUNCTIONS: &[Function] = &[
    function("libbpf_set_memlock_rlim", Nothing, &[], &[p("memlock_bytes", "size_t", U64)]),
    function("libbpf_set_strict_mode", Nothing, &[], &[p("mode", "enum libbpf_strict_mode", U32)]),
    Function { returns_long: true, ..function("libbpf_get_error", Nothing, &[], &[p("ptr", "const void *", Address)]) },
    function(
        "bpf_map_create",
        Descriptor,
        &[],
        &[
            p("map_type", "enum bpf_map_type", MapType),
            p("map_name", "const char *", Name),
            p("key_size", "__u32", Len),
            p("value_size", "__u32", Len),
            p("max_entries", "__u32", Len),
            p("opts", "const struct bpf_map_create_opts *", Opts(&MAP_CREATE)),
        ],
    ),
    function(
        "bpf_prog_load",
        Descriptor,
        &[76, 92, 140],
        &[
            p("prog_type", "enum bpf_prog_type", ProgType),
            p("prog_name", "const char *", Name),
            p("license", "const char *", License),
            p("insns", "const struct bpf_insn *", Insns),
            p("insn_cnt", "size_t", Size),
            p("opts", "struct bpf_prog_load_opts *", Opts(&PROG_LOAD)),
        ],
    ),
    function(
        "bpf_btf_load",
        Descriptor,
        &[28],
        &[
            p("btf_data", "const void *", Btf),
            p("btf_size", "size_t", Size),
            p("opts", "struct bpf_btf_load_opts *", Opts(&BTF_LOAD)),
        ],
    ),
    function(
        "bpf_map_update_elem",
        Zero,
        &[],
        &[
            p("fd", "int", Fd),
            p("key", "const void *", Buffer),
            p("value", "const void *", Buffer),
            p("flags", "__u64", U64),
        ],
    ),
    function("bpf_map_lookup_elem", Zero, &[], LOOKUP),
    function("bpf_map_lookup_elem_flags", Zero, &[], LOOKUP_FLAGS),
    function("bpf_map_lookup_and_delete_elem", Zero, &[], LOOKUP),
    function("bpf_map_lookup_and_delete_elem_flags", Zero, &[], LOOKUP_FLAGS),
    function("bpf_map_delete_elem", Zero, &[], &[p("fd", "int", Fd), p("key", "const void *", Buffer)]),
    function(
        "bpf_map_delete_elem_flags",
        Zero,
        &[],
        &[p("fd", "int", Fd), p("key", "const void *", Buffer), p("flags", "__u64", U64)],
    ),
    function(
        "bpf_map_get_next_key",
        Zero,
        &[],
        &[p("fd", "int", Fd), p("key", "const void *", Buffer), p("next_key", "void *", Buffer)],
    ),
    function("bpf_map_freeze", Zero, &[], &[p("fd", "int", Fd)]),
    function(
        "bpf_map_delete_batch",
        Zero,
        &[32],
        &[
            p("fd", "int", Fd),
            p("keys", "const void *", Buffer),
            p("count", "__u32 *", At32(false)),
            p("opts", "const struct bpf_map_batch_opts *", Opts(&MAP_BATCH)),
        ],
    ),
    function("bpf_map_lookup_batch", Zero, &[32], READ_BATCH),
    function("bpf_map_lookup_and_delete_batch", Zero, &[32], READ_BATCH),
    function(
        "bpf_map_update_batch",
        Zero,
        &[32],
        &[
            p("fd", "int", Fd),
            p("keys", "const void *", Buffer),
            p("values", "const void *", Buffer),
            p("count", "__u32 *", At32(false)),
            p("opts", "const struct bpf_map_batch_opts *", Opts(&MAP_BATCH)),
        ],
    ),
    function("bpf_obj_pin", Zero, &[], &[p("fd", "int", Fd), p("pathname", "const char *", Str)]),
    function(
        "bpf_obj_pin_opts",
        Zero,
        &[],
        &[
            p("fd", "int", Fd),
            p("pathname", "const char *", Str),
            p("opts", "const struct bpf_obj_pin_opts *", Opts(&OBJ_PIN)),
        ],
    ),
    function("bpf_obj_get", Descriptor, &[], &[p("pathname", "const char *", Str)]),
    function(
        "bpf_obj_get_opts",
        Descriptor,
        &[],
        &[p("pathname", "const char *", Str), p("opts", "const struct bpf_obj_get_opts *", Opts(&OBJ_GET))],
    ),
    function(
        "bpf_prog_attach",
        Zero,
        &[],
        &[
            p("prog_fd", "int", Fd),
            p("attachable_fd", "int", Fd),
            p("type", "enum bpf_attach_type", AttachType),
            p("flags", "unsigned int", Flags),
        ],
    ),
    function(
        "bpf_prog_detach",
        Zero,
        &[],
        &[p("attachable_fd", "int", Fd), p("type", "enum bpf_attach_type", AttachType)],
    ),
    function(
        "bpf_prog_detach2",
        Zero,
        &[],
        &[p("prog_fd", "int", Fd), p("attachable_fd", "int", Fd), p("type", "enum bpf_attach_type", AttachType)],
    ),
    function(
        "bpf_prog_attach_opts",
        Zero,
        &[],
        &[
            p("prog_fd", "int", Fd),
            p("target", "int", Fd),
            p("type", "enum bpf_attach_type", AttachType),
            p("opts", "const struct bpf_prog_attach_opts *", Opts(&PROG_ATTACH)),
        ],
    ),
    function(
        "bpf_prog_detach_opts",
        Zero,
        &[],
        &[
            p("prog_fd", "int", Fd),
            p("target", "int", Fd),
            p("type", "enum bpf_attach_type", AttachType),
            p("opts", "const struct bpf_prog_detach_opts *", Opts(&PROG_DETACH)),
        ],
    ),
    function(
        "bpf_link_create",
        Descriptor,
        &[],
        &[
            p("prog_fd", "int", Fd),
            p("target_fd", "int", Fd),
            p("attach_type", "enum bpf_attach_type", AttachType),
            p("opts", "const struct bpf_link_create_opts *", Opts(&LINK_CREATE)),
        ],
    ),
    function("bpf_link_detach", Zero, &[], &[p("link_fd", "int", Fd)]),
    function(
        "bpf_link_update",
        Zero,
        &[],
        &[
            p("link_fd", "int", Fd),
            p("new_prog_fd", "int", Fd),
            p("opts", "const struct bpf_link_update_opts *", Opts(&LINK_UPDATE)),
        ],
    ),
    function("bpf_iter_create", Descriptor, &[], &[p("link_fd", "int", Fd)]),
    function("bpf_prog_get_next_id", Zero, &[4], NEXT_ID),
    function("bpf_map_get_next_id", Zero, &[4], NEXT_ID),
    function("bpf_btf_get_next_id", Zero, &[4], NEXT_ID),
    function("bpf_link_get_next_id", Zero, &[4], NEXT_ID),
    function("bpf_prog_get_fd_by_id", Descriptor, &[], ID),
    function("bpf_prog_get_fd_by_id_opts", Descriptor, &[], GET_FD_BY_ID_OPTS),
    function("bpf_map_get_fd_by_id", Descriptor, &[], ID),
    function("bpf_map_get_fd_by_id_opts", Descriptor, &[], GET_FD_BY_ID_OPTS),
    function("bpf_btf_get_fd_by_id", Descriptor, &[], ID),
    function("bpf_btf_get_fd_by_id_opts", Descriptor, &[], GET_FD_BY_ID_OPTS),
    function("bpf_link_get_fd_by_id", Descriptor, &[], ID),
    function("bpf_link_get_fd_by_id_opts", Descriptor, &[], GET_FD_BY_ID_OPTS),
    info(
        "bpf_obj_get_info_by_fd",
        &[p("bpf_fd", "int", Fd), p("info", "void *", Buffer), p("info_len", "__u32 *", At32(false))],
    ),
    info(
        "bpf_prog_get_info_by_fd",
        &[p("prog_fd", "int", Fd), p("info", "struct bpf_prog_info *", Buffer), p("info_len", "__u32 *", At32(false))],
    ),
    info(
        "bpf_map_get_info_by_fd",
        &[p("map_fd", "int", Fd), p("info", "struct bpf_map_info *", Buffer), p("info_len", "__u32 *", At32(false))],
    ),
    info(
        "bpf_btf_get_info_by_fd",
        &[p("btf_fd", "int", Fd), p("info", "struct bpf_btf_info *", Buffer), p("info_len", "__u32 *", At32(false))],
    ),
    info(
        "bpf_link_get_info_by_fd",
        &[p("link_fd", "int", Fd), p("info", "struct bpf_link_info *", Buffer), p("info_len", "__u32 *", At32(false))],
    ),
    function(
        "bpf_prog_query_opts",
        Zero,
        &[12, 24, 56, 60],
        &[
            p("target", "int", Fd),
            p("type", "enum bpf_attach_type", AttachType),
            p("opts", "struct bpf_prog_query_opts *", Opts(&PROG_QUERY)),
        ],
    ),
    function(
        "bpf_prog_query",
        Zero,
        &[12, 24, 56, 60],
        &[
            p("target_fd", "int", Fd),
            p("type", "enum bpf_attach_type", AttachType),
            p("query_flags", "__u32", Flags),
            p("attach_flags", "__u32 *", At32(true)),
            p("prog_ids", "__u32 *", Buffer),
            p("prog_cnt", "__u32 *", At32(false)),
        ],
    ),
    function(
        "bpf_raw_tracepoint_open_opts",
        Descriptor,
        &[],
        &[p("prog_fd", "int", Fd), p("opts", "struct bpf_raw_tp_opts *", Opts(&RAW_TP))],
    ),
    function("bpf_raw_tracepoint_open", Descriptor, &[], &[p("name", "const char *", Str), p("prog_fd", "int", Fd)]),
    function(
        "bpf_task_fd_query",
        Zero,
        &[12, 24, 28, 32, 36, 40, 44],
        &[
            p("pid", "int", Pid),
            p("fd", "int", Fd),
            p("flags", "__u32", Flags),
            p("buf", "char *", Buffer),
            p("buf_len", "__u32 *", At32(false)),
            p("prog_id", "__u32 *", At32(false)),
            p("fd_type", "__u32 *", At32(false)),
            p("probe_offset", "__u64 *", At64(false)),
            p("probe_addr", "__u64 *", At64(false)),
        ],
    ),
    function("bpf_enable_stats", Descriptor, &[], &[p("type", "enum bpf_stats_type", StatsType)]),
    function(
        "bpf_prog_bind_map",
        Zero,
        &[],
        &[
            p("prog_fd", "int", Fd),
            p("map_fd", "int", Fd),
            p("opts", "const struct bpf_prog_bind_opts *", Opts(&PROG_BIND)),
        ],
    ),
    function(
        "bpf_prog_test_run_opts",
        Zero,
        &[4, 12, 36, 44],
        &[p("prog_fd", "int", Fd), p("opts", "struct bpf_test_run_opts *", Opts(&TEST_RUN))],
    ),
    function(
        "bpf_token_create",
        Descriptor,
        &[],
        &[p("bpffs_fd", "int", Fd), p("opts", "struct bpf_token_create_opts *", Opts(&TOKEN_CREATE))],
    ),
    function(
        "bpf_prog_stream_read",
        Count,
        &[],
        &[
            p("prog_fd", "int", Fd),
            p("stream_id", "__u32", U32),
            p("buf", "void *", Buffer),
            p("buf_len", "__u32", Len),
            p("opts", "struct bpf_prog_stream_read_opts *", Opts(&STREAM_READ)),
        ],
    ),
    function(
        "bpf_prog_assoc_struct_ops",
        Zero,
        &[],
        &[
            p("prog_fd", "int", Fd),
            p("map_fd", "int", Fd),
            p("opts", "struct bpf_prog_assoc_struct_ops_opts *", Opts(&ASSOC_STRUCT_OPS)),
        ],
    ),
];
