//! Every record's layout against `<linux/bpf.h>`, at compile time.
//!
//! Each member of ours must lie where bindgen sees the kernel's member of that name. A member
//! that the kernel keeps in an anonymous union has bindgen's path to it on the right.

use core::mem::offset_of;

use super::attr::*;
use super::uapi::bpf_attr;

// On i386 bindgen's `u64` is aligned to 4 where C's `__aligned_u64` is to 8, so there its
// view is not the kernel's. Our records are packed and the same everywhere.
macro_rules! same_layout {
    ($($ours:ty = $at:tt { $($($member:ident).+ $(= $($theirs:ident).+)?),* $(,)? })*) => {
        const _: () = {
            $($(assert!(align_of::<u64>() != 8 || offset_of!($ours, $($member).+)
                == same_layout!(@ $at ($($member).+) $($($theirs).+)?));)*)*
        };
    };
    (@ [$($at:ident).+] ($member:ident)) => { offset_of!(bpf_attr, $($at.)+ $member) };
    (@ [$($at:ident).+] ($($member:ident).+) $($theirs:ident).+) => { offset_of!(bpf_attr, $($at.)+ $($theirs).+) };
}

same_layout! {
    MapCreate = [__bindgen_anon_1] {
        map_type, key_size, value_size, max_entries, map_flags, inner_map_fd, numa_node, map_name,
        map_ifindex, btf_fd, btf_key_type_id, btf_value_type_id, btf_vmlinux_value_type_id, map_extra,
        value_type_btf_obj_fd, map_token_fd, excl_prog_hash, excl_prog_hash_size,
    }
    MapElem<0> = [__bindgen_anon_2] { map_fd, key, value = __bindgen_anon_1.value, flags }
    MapGetNextKey = [__bindgen_anon_2] { map_fd, key, next_key = __bindgen_anon_1.next_key }
    MapFreeze = [__bindgen_anon_2] { map_fd }
    MapBatch<0> = [batch] { in_batch, out_batch, keys, values, count, map_fd, elem_flags, flags }
    ProgLoad = [__bindgen_anon_3] {
        prog_type, insn_cnt, insns, license, log_level, log_size, log_buf, kern_version, prog_flags,
        prog_name, prog_ifindex, expected_attach_type, prog_btf_fd, func_info_rec_size, func_info,
        func_info_cnt, line_info_rec_size, line_info, line_info_cnt, attach_btf_id,
        attach_prog_fd = __bindgen_anon_1.attach_prog_fd, core_relo_cnt, fd_array, core_relos,
        core_relo_rec_size, log_true_size, prog_token_fd, fd_array_cnt, signature, signature_size,
        keyring_id,
    }
    ObjPath<0> = [__bindgen_anon_4] { pathname, bpf_fd, file_flags, path_fd }
    ProgAttachDetach<0> = [__bindgen_anon_5] {
        target_fd = __bindgen_anon_1.target_fd, attach_bpf_fd, attach_type, attach_flags,
        replace_bpf_fd, relative_fd = __bindgen_anon_2.relative_fd, expected_revision,
    }
    ProgTestRun = [test] {
        prog_fd, retval, data_size_in, data_size_out, data_in, data_out, repeat, duration,
        ctx_size_in, ctx_size_out, ctx_in, ctx_out, flags, cpu, batch_size,
    }
    GetNextId<0> = [__bindgen_anon_6] { start_id = __bindgen_anon_1.start_id, next_id, open_flags }
    GetFdById<0> = [__bindgen_anon_6] { start_id = __bindgen_anon_1.start_id, next_id, open_flags }
    BtfGetFdById = [__bindgen_anon_6] {
        btf_id = __bindgen_anon_1.btf_id, next_id, open_flags, fd_by_id_token_fd,
    }
    ObjGetInfoByFd = [info] { bpf_fd, info_len, info }
    ProgQuery = [query] {
        target_fd = __bindgen_anon_1.target_fd, attach_type, query_flags, attach_flags, prog_ids,
        count = __bindgen_anon_2.count, prog_attach_flags, link_ids, link_attach_flags, revision,
    }
    RawTracepointOpen = [raw_tracepoint] { name, prog_fd, cookie }
    BtfLoad = [__bindgen_anon_7] {
        btf, btf_log_buf, btf_size, btf_log_size, btf_log_level, btf_log_true_size, btf_flags,
        btf_token_fd,
    }
    TaskFdQuery = [task_fd_query] {
        pid, fd, flags, buf_len, buf, prog_id, fd_type, probe_offset, probe_addr,
    }
    LinkCreate<TargetBtfId> = [link_create] {
        prog_fd = __bindgen_anon_1.prog_fd, target_fd = __bindgen_anon_2.target_fd, attach_type,
        flags, member = __bindgen_anon_3,
    }
    LinkUpdate = [link_update] {
        link_fd, new_prog_fd = __bindgen_anon_1.new_prog_fd, flags,
        old_prog_fd = __bindgen_anon_2.old_prog_fd,
    }
    LinkDetach = [link_detach] { link_fd }
    EnableStats = [enable_stats] { type_ }
    IterCreate = [iter_create] { link_fd, flags }
    ProgBindMap = [prog_bind_map] { prog_fd, map_fd, flags }
    TokenCreate = [token_create] { flags, bpffs_fd }
    ProgStreamRead = [prog_stream_read] { stream_buf, stream_buf_len, stream_id, prog_fd }
    ProgAssocStructOps = [prog_assoc_struct_ops] { map_fd, prog_fd, flags }
    LinkCreate<TargetBtfId> = [link_create.__bindgen_anon_3] {
        member.target_btf_id = target_btf_id,
    }
    LinkCreate<Iter> = [link_create.__bindgen_anon_3.__bindgen_anon_1] {
        member.iter_info = iter_info, member.iter_info_len = iter_info_len,
    }
    LinkCreate<PerfEvent> = [link_create.__bindgen_anon_3.perf_event] {
        member.bpf_cookie = bpf_cookie,
    }
    LinkCreate<KprobeMulti> = [link_create.__bindgen_anon_3.kprobe_multi] {
        member.flags = flags, member.cnt = cnt, member.syms = syms, member.addrs = addrs, member.cookies = cookies,
    }
    LinkCreate<Tracing> = [link_create.__bindgen_anon_3.tracing] {
        member.target_btf_id = target_btf_id, member.cookie = cookie,
    }
    LinkCreate<Netfilter> = [link_create.__bindgen_anon_3.netfilter] {
        member.pf = pf, member.hooknum = hooknum, member.priority = priority, member.flags = flags,
    }
    LinkCreate<Relative> = [link_create.__bindgen_anon_3.tcx] {
        member.relative_fd = __bindgen_anon_1.relative_fd, member.expected_revision = expected_revision,
    }
    LinkCreate<Relative> = [link_create.__bindgen_anon_3.netkit] {
        member.relative_fd = __bindgen_anon_1.relative_fd, member.expected_revision = expected_revision,
    }
    LinkCreate<Relative> = [link_create.__bindgen_anon_3.cgroup] {
        member.relative_fd = __bindgen_anon_1.relative_fd, member.expected_revision = expected_revision,
    }
    LinkCreate<UprobeMulti> = [link_create.__bindgen_anon_3.uprobe_multi] {
        member.path = path, member.offsets = offsets, member.ref_ctr_offsets = ref_ctr_offsets, member.cookies = cookies, member.cnt = cnt, member.flags = flags, member.pid = pid, member.path_fd = path_fd,
    }
    LinkCreate<TracingMulti> = [link_create.__bindgen_anon_3.tracing_multi] {
        member.ids = ids, member.cookies = cookies, member.cnt = cnt,
    }
}
