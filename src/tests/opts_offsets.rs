// SPDX-License-Identifier: MIT OR Apache-2.0
//! The offset and size of each member of each `*_opts` struct, on LP64 and on ILP32 (i386). They
//! are taken from libbpf's headers, not from this library.

/// Name, offset and size on LP64, offset and size on ILP32.
pub type Row = (&'static str, usize, usize, usize, usize);

/// Each row's name, offset and size on this machine.
///
/// On 32-bit machines that align 64-bit integers to 8 bytes, such as ARM, the offsets are
/// computed from the sizes and the order of the members.
pub fn places(rows: &[Row]) -> Vec<(&'static str, usize, usize)> {
    const ALIGN: usize = align_of::<u64>();
    let member = |row: &Row| row.0.split_once('.').map(|(member, _)| member);
    let (mut end, mut union) = (0usize, 0usize);
    let mut places: Vec<(&str, usize, usize)> = Vec::new();
    for (i, row) in rows.iter().enumerate() {
        let before = i.checked_sub(1).map(|i| &rows[i]);
        let (offset, size) = match (size_of::<usize>(), ALIGN) {
            (8, _) => (row.1, row.2),
            (_, 4) => (row.3, row.4),
            _ => {
                let same_place = before.is_some_and(|before| before.3 == row.3);
                if member(row).is_some() && before.is_none_or(|before| member(before).is_none()) {
                    union = end.next_multiple_of(ALIGN);
                }
                let start = match before {
                    Some(before) if member(before) != member(row) => union,
                    _ if same_place => end - row.4,
                    _ => end.next_multiple_of(row.4),
                };
                (start, row.4)
            }
        };
        end = offset + size;
        places.push((row.0, offset, size));
    }
    places
}

/// The same, and each member that libbpf 1.7.0 does not have, called "": by C's rule they follow the ones it has, with
/// no more between them than their alignment takes. `ends` are those of the struct's members.
pub fn all_places(rows: &[Row], ends: &[usize]) -> Vec<(&'static str, usize, usize)> {
    let mut all = places(rows);
    let mut end = all.iter().map(|(_, offset, size)| offset + size).max().unwrap_or(0);
    for &next in ends.iter().filter(|&&next| next > end).collect::<Vec<_>>() {
        let by_rule = [1, 2, 4, 8].map(|size: usize| (end.next_multiple_of(size.min(align_of::<u64>())), size));
        let place = by_rule.into_iter().find(|(offset, size)| offset + size == next);
        let (offset, size) =
            place.unwrap_or_else(|| panic!("a member that ends at {next}, after one that ends at {end}"));
        all.push(("", offset, size));
        end = next;
    }
    all
}

/// Of a struct that libbpf 1.7.0 does not have.
pub const NEW: &[Row] = &[("sz", 0, 8, 0, 4)];

pub const BPF_LOG_OPTS: &[Row] = &[
    ("sz", 0, 8, 0, 4),
    ("buf", 8, 8, 4, 4),
    ("size", 16, 4, 8, 4),
    ("level", 20, 4, 12, 4),
    ("true_size", 24, 4, 16, 4),
];

pub const BPF_MAP_CREATE_OPTS: &[Row] = &[
    ("sz", 0, 8, 0, 4),
    ("btf_fd", 8, 4, 4, 4),
    ("btf_key_type_id", 12, 4, 8, 4),
    ("btf_value_type_id", 16, 4, 12, 4),
    ("btf_vmlinux_value_type_id", 20, 4, 16, 4),
    ("inner_map_fd", 24, 4, 20, 4),
    ("map_flags", 28, 4, 24, 4),
    ("map_extra", 32, 8, 28, 8),
    ("numa_node", 40, 4, 36, 4),
    ("map_ifindex", 44, 4, 40, 4),
    ("value_type_btf_obj_fd", 48, 4, 44, 4),
    ("token_fd", 52, 4, 48, 4),
    ("excl_prog_hash", 56, 8, 52, 4),
    ("excl_prog_hash_size", 64, 4, 56, 4),
    ("log_opts", 72, 8, 60, 4),
];

pub const BPF_PROG_LOAD_OPTS: &[Row] = &[
    ("sz", 0, 8, 0, 4),
    ("attempts", 8, 4, 4, 4),
    ("expected_attach_type", 12, 4, 8, 4),
    ("prog_btf_fd", 16, 4, 12, 4),
    ("prog_flags", 20, 4, 16, 4),
    ("prog_ifindex", 24, 4, 20, 4),
    ("kern_version", 28, 4, 24, 4),
    ("attach_btf_id", 32, 4, 28, 4),
    ("attach_prog_fd", 36, 4, 32, 4),
    ("attach_btf_obj_fd", 40, 4, 36, 4),
    ("fd_array", 48, 8, 40, 4),
    ("func_info", 56, 8, 44, 4),
    ("func_info_cnt", 64, 4, 48, 4),
    ("func_info_rec_size", 68, 4, 52, 4),
    ("line_info", 72, 8, 56, 4),
    ("line_info_cnt", 80, 4, 60, 4),
    ("line_info_rec_size", 84, 4, 64, 4),
    ("log_level", 88, 4, 68, 4),
    ("log_size", 92, 4, 72, 4),
    ("log_buf", 96, 8, 76, 4),
    ("log_true_size", 104, 4, 80, 4),
    ("token_fd", 108, 4, 84, 4),
    ("fd_array_cnt", 112, 4, 88, 4),
];

pub const BPF_BTF_LOAD_OPTS: &[Row] = &[
    ("sz", 0, 8, 0, 4),
    ("log_buf", 8, 8, 4, 4),
    ("log_level", 16, 4, 8, 4),
    ("log_size", 20, 4, 12, 4),
    ("log_true_size", 24, 4, 16, 4),
    ("btf_flags", 28, 4, 20, 4),
    ("token_fd", 32, 4, 24, 4),
];

pub const BPF_MAP_BATCH_OPTS: &[Row] = &[("sz", 0, 8, 0, 4), ("elem_flags", 8, 8, 4, 8), ("flags", 16, 8, 12, 8)];

pub const BPF_OBJ_PIN_OPTS: &[Row] = &[("sz", 0, 8, 0, 4), ("file_flags", 8, 4, 4, 4), ("path_fd", 12, 4, 8, 4)];

pub const BPF_OBJ_GET_OPTS: &[Row] = &[("sz", 0, 8, 0, 4), ("file_flags", 8, 4, 4, 4), ("path_fd", 12, 4, 8, 4)];

pub const BPF_PROG_ATTACH_OPTS: &[Row] = &[
    ("sz", 0, 8, 0, 4),
    ("flags", 8, 4, 4, 4),
    ("replace_prog_fd", 12, 4, 8, 4),
    ("replace_fd", 12, 4, 8, 4),
    ("relative_fd", 16, 4, 12, 4),
    ("relative_id", 20, 4, 16, 4),
    ("expected_revision", 24, 8, 20, 8),
];

pub const BPF_PROG_DETACH_OPTS: &[Row] = &[
    ("sz", 0, 8, 0, 4),
    ("flags", 8, 4, 4, 4),
    ("relative_fd", 12, 4, 8, 4),
    ("relative_id", 16, 4, 12, 4),
    ("expected_revision", 24, 8, 16, 8),
];

pub const BPF_LINK_CREATE_OPTS: &[Row] = &[
    ("sz", 0, 8, 0, 4),
    ("flags", 8, 4, 4, 4),
    ("iter_info", 16, 8, 8, 4),
    ("iter_info_len", 24, 4, 12, 4),
    ("target_btf_id", 28, 4, 16, 4),
    ("perf_event.bpf_cookie", 32, 8, 20, 8),
    ("kprobe_multi.flags", 32, 4, 20, 4),
    ("kprobe_multi.cnt", 36, 4, 24, 4),
    ("kprobe_multi.syms", 40, 8, 28, 4),
    ("kprobe_multi.addrs", 48, 8, 32, 4),
    ("kprobe_multi.cookies", 56, 8, 36, 4),
    ("uprobe_multi.flags", 32, 4, 20, 4),
    ("uprobe_multi.cnt", 36, 4, 24, 4),
    ("uprobe_multi.path", 40, 8, 28, 4),
    ("uprobe_multi.offsets", 48, 8, 32, 4),
    ("uprobe_multi.ref_ctr_offsets", 56, 8, 36, 4),
    ("uprobe_multi.cookies", 64, 8, 40, 4),
    ("uprobe_multi.pid", 72, 4, 44, 4),
    ("uprobe_multi.path_fd", 76, 4, 48, 4),
    ("tracing.cookie", 32, 8, 20, 8),
    ("netfilter.pf", 32, 4, 20, 4),
    ("netfilter.hooknum", 36, 4, 24, 4),
    ("netfilter.priority", 40, 4, 28, 4),
    ("netfilter.flags", 44, 4, 32, 4),
    ("tcx.relative_fd", 32, 4, 20, 4),
    ("tcx.relative_id", 36, 4, 24, 4),
    ("tcx.expected_revision", 40, 8, 28, 8),
    ("netkit.relative_fd", 32, 4, 20, 4),
    ("netkit.relative_id", 36, 4, 24, 4),
    ("netkit.expected_revision", 40, 8, 28, 8),
    ("cgroup.relative_fd", 32, 4, 20, 4),
    ("cgroup.relative_id", 36, 4, 24, 4),
    ("cgroup.expected_revision", 40, 8, 28, 8),
    ("tracing_multi.ids", 32, 8, 20, 4),
    ("tracing_multi.cookies", 40, 8, 24, 4),
    ("tracing_multi.cnt", 48, 4, 28, 4),
];

pub const BPF_LINK_UPDATE_OPTS: &[Row] =
    &[("sz", 0, 8, 0, 4), ("flags", 8, 4, 4, 4), ("old_prog_fd", 12, 4, 8, 4), ("old_map_fd", 16, 4, 12, 4)];

pub const BPF_GET_FD_BY_ID_OPTS: &[Row] = &[("sz", 0, 8, 0, 4), ("open_flags", 8, 4, 4, 4), ("token_fd", 12, 4, 8, 4)];

pub const BPF_PROG_QUERY_OPTS: &[Row] = &[
    ("sz", 0, 8, 0, 4),
    ("query_flags", 8, 4, 4, 4),
    ("attach_flags", 12, 4, 8, 4),
    ("prog_ids", 16, 8, 12, 4),
    ("prog_cnt", 24, 4, 16, 4),
    ("count", 24, 4, 16, 4),
    ("prog_attach_flags", 32, 8, 20, 4),
    ("link_ids", 40, 8, 24, 4),
    ("link_attach_flags", 48, 8, 28, 4),
    ("revision", 56, 8, 32, 8),
];

pub const BPF_RAW_TP_OPTS: &[Row] = &[("sz", 0, 8, 0, 4), ("tp_name", 8, 8, 4, 4), ("cookie", 16, 8, 8, 8)];

pub const BPF_PROG_BIND_OPTS: &[Row] = &[("sz", 0, 8, 0, 4), ("flags", 8, 4, 4, 4)];

pub const BPF_TEST_RUN_OPTS: &[Row] = &[
    ("sz", 0, 8, 0, 4),
    ("data_in", 8, 8, 4, 4),
    ("data_out", 16, 8, 8, 4),
    ("data_size_in", 24, 4, 12, 4),
    ("data_size_out", 28, 4, 16, 4),
    ("ctx_in", 32, 8, 20, 4),
    ("ctx_out", 40, 8, 24, 4),
    ("ctx_size_in", 48, 4, 28, 4),
    ("ctx_size_out", 52, 4, 32, 4),
    ("retval", 56, 4, 36, 4),
    ("repeat", 60, 4, 40, 4),
    ("duration", 64, 4, 44, 4),
    ("flags", 68, 4, 48, 4),
    ("cpu", 72, 4, 52, 4),
    ("batch_size", 76, 4, 56, 4),
];

pub const BPF_TOKEN_CREATE_OPTS: &[Row] = &[("sz", 0, 8, 0, 4), ("flags", 8, 4, 4, 4)];

pub const BPF_PROG_STREAM_READ_OPTS: &[Row] = &[("sz", 0, 8, 0, 4)];

pub const BPF_PROG_ASSOC_STRUCT_OPS_OPTS: &[Row] = &[("sz", 0, 8, 0, 4), ("flags", 8, 4, 4, 4)];
