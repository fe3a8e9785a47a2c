# SPDX-License-Identifier: MIT OR Apache-2.0
"""libsysbpf.so.1 as Python sees it: the opts structs, the prototypes and the few
kernel constants that the tests need, written down for ctypes.

The library is the one that the environment variable SYSBPF_LIBRARY names.
"""

import ctypes
import os
from ctypes import Structure, Union, c_char_p, c_int, c_int16, c_int32, c_long, c_size_t, c_uint, c_uint8, c_uint32, c_uint64, c_void_p


class Insn(Structure):
    _fields_ = [("code", c_uint8), ("dst", c_uint8, 4), ("src", c_uint8, 4), ("off", c_int16), ("imm", c_int32)]


def program(*insns):
    """Instructions given as (code, dst, src, off, imm), as a C array."""
    return (Insn * len(insns))(*(Insn(*insn) for insn in insns))


class Opts(Structure):
    """A struct of options: all zero, its first word its own size, then what the caller names."""

    def __init__(self, sz=None, **members):
        super().__init__(sz=ctypes.sizeof(self) if sz is None else sz, **members)


def fields(text):
    """'int attempts, u32 flags' as ctypes fields, after the sz that every opts struct starts with."""
    types = {"int": c_int, "u32": c_uint32, "u64": c_uint64, "ptr": c_void_p, "str": c_char_p, "s32": c_int32}
    return [("sz", c_size_t)] + [(name, types[kind]) for kind, name in (entry.split() for entry in text.split(","))]


class LogOpts(Opts):
    _fields_ = fields("ptr buf, u32 size, u32 level, u32 true_size")


class MapCreateOpts(Opts):
    _fields_ = fields(
        "u32 btf_fd, u32 btf_key_type_id, u32 btf_value_type_id, u32 btf_vmlinux_value_type_id, u32 inner_map_fd,"
        "u32 map_flags, u64 map_extra, u32 numa_node, u32 map_ifindex, s32 value_type_btf_obj_fd, u32 token_fd,"
        "ptr excl_prog_hash, u32 excl_prog_hash_size, ptr log_opts"
    )


class ProgLoadOpts(Opts):
    _fields_ = fields(
        "int attempts, u32 expected_attach_type, u32 prog_btf_fd, u32 prog_flags, u32 prog_ifindex, u32 kern_version,"
        "u32 attach_btf_id, u32 attach_prog_fd, u32 attach_btf_obj_fd, ptr fd_array, ptr func_info, u32 func_info_cnt,"
        "u32 func_info_rec_size, ptr line_info, u32 line_info_cnt, u32 line_info_rec_size, u32 log_level, u32 log_size,"
        "ptr log_buf, u32 log_true_size, u32 token_fd, u32 fd_array_cnt"
    )


class BtfLoadOpts(Opts):
    _fields_ = fields("ptr log_buf, u32 log_level, u32 log_size, u32 log_true_size, u32 btf_flags, u32 token_fd")


class MapBatchOpts(Opts):
    _fields_ = fields("u64 elem_flags, u64 flags")


class ObjPinOpts(Opts):
    _fields_ = fields("u32 file_flags, int path_fd")


class ObjGetOpts(Opts):
    _fields_ = fields("u32 file_flags, int path_fd")


class ProgAttachOpts(Opts):
    _fields_ = fields("u32 flags, int replace_fd, int relative_fd, u32 relative_id, u64 expected_revision")


class ProgDetachOpts(Opts):
    _fields_ = fields("u32 flags, int relative_fd, u32 relative_id, u64 expected_revision")


class ProgQueryOpts(Opts):
    _fields_ = fields(
        "u32 query_flags, u32 attach_flags, ptr prog_ids, u32 count, ptr prog_attach_flags, ptr link_ids,"
        "ptr link_attach_flags, u64 revision"
    )


class UprobeMulti(Structure):
    """The longest member of the link options' union."""

    _fields_ = fields("u32 cnt, str path, ptr offsets, ptr ref_ctr_offsets, ptr cookies, u32 pid, u32 path_fd")
    _fields_[0] = ("flags", c_uint32)


class Relative(Structure):
    """The member for cgroups, tcx and netkit: where in the row of attached programs."""

    _fields_ = [("relative_fd", c_uint32), ("relative_id", c_uint32), ("expected_revision", c_uint64)]


class LinkMember(Union):
    _fields_ = [("uprobe_multi", UprobeMulti), ("cgroup", Relative)]


class LinkCreateOpts(Opts):
    _anonymous_ = ["member"]
    _fields_ = fields("u32 flags, ptr iter_info, u32 iter_info_len, u32 target_btf_id") + [("member", LinkMember)]


class LinkUpdateOpts(Opts):
    _fields_ = fields("u32 flags, u32 old_prog_fd, u32 old_map_fd")


class GetFdByIdOpts(Opts):
    _fields_ = fields("u32 open_flags, u32 token_fd")


class RawTpOpts(Opts):
    _fields_ = fields("str tp_name, u64 cookie")


class TestRunOpts(Opts):
    __test__ = False
    _fields_ = fields(
        "ptr data_in, ptr data_out, u32 data_size_in, u32 data_size_out, ptr ctx_in, ptr ctx_out, u32 ctx_size_in,"
        "u32 ctx_size_out, u32 retval, int repeat, u32 duration, u32 flags, u32 cpu, u32 batch_size"
    )


# linux/bpf.h
BPF_ANY, BPF_NOEXIST, BPF_EXIST = 0, 1, 2
BPF_MAP_TYPE_HASH, BPF_MAP_TYPE_ARRAY = 1, 2
BPF_PROG_TYPE_SOCKET_FILTER, BPF_PROG_TYPE_CGROUP_SKB, BPF_PROG_TYPE_RAW_TRACEPOINT = 1, 8, 17
BPF_CGROUP_INET_EGRESS = 1
BPF_F_ALLOW_MULTI = 2
BPF_F_RDONLY = 1 << 3
BPF_STATS_RUN_TIME = 0
BPF_FD_TYPE_RAW_TRACEPOINT = 0
RETURN_R0 = (0x95, 0, 0, 0, 0)


def set_r0(value):
    return (0xB7, 0, 0, 0, value)


lib = ctypes.CDLL(os.environ["SYSBPF_LIBRARY"], use_errno=True)

# Arguments by letter: i int, u __u32 or unsigned int, q __u64, z size_t, s path or name, p pointer.
_letters = {"i": c_int, "u": c_uint, "q": c_uint64, "z": c_size_t, "s": c_char_p, "p": c_void_p}
for _name, _arguments in {
    "bpf_map_create": "isuuup", "bpf_prog_load": "isspzp", "bpf_btf_load": "pzp", "bpf_map_update_elem": "ippq",
    "bpf_map_lookup_elem": "ipp", "bpf_map_lookup_elem_flags": "ippq", "bpf_map_lookup_and_delete_elem": "ipp",
    "bpf_map_lookup_and_delete_elem_flags": "ippq", "bpf_map_delete_elem": "ip", "bpf_map_delete_elem_flags": "ipq",
    "bpf_map_get_next_key": "ipp", "bpf_map_freeze": "i", "bpf_map_update_batch": "ipppp",
    "bpf_map_lookup_batch": "ipppppp", "bpf_map_lookup_and_delete_batch": "ipppppp", "bpf_map_delete_batch": "ippp",
    "bpf_obj_pin": "is", "bpf_obj_pin_opts": "isp", "bpf_obj_get": "s", "bpf_obj_get_opts": "sp",
    "bpf_prog_attach": "iiiu", "bpf_prog_attach_opts": "iiip", "bpf_prog_detach2": "iii", "bpf_prog_detach_opts": "iiip",
    "bpf_prog_query": "iiuppp", "bpf_prog_query_opts": "iip", "bpf_link_create": "iiip", "bpf_link_detach": "i",
    "bpf_link_update": "iip", "bpf_prog_test_run_opts": "ip", "bpf_map_get_next_id": "up", "bpf_prog_get_next_id": "up",
    "bpf_link_get_next_id": "up", "bpf_btf_get_next_id": "up", "bpf_map_get_fd_by_id": "u",
    "bpf_map_get_fd_by_id_opts": "up", "bpf_prog_get_fd_by_id": "u", "bpf_link_get_fd_by_id": "u",
    "bpf_btf_get_fd_by_id": "u", "bpf_obj_get_info_by_fd": "ipp", "bpf_map_get_info_by_fd": "ipp",
    "bpf_prog_get_info_by_fd": "ipp", "bpf_link_get_info_by_fd": "ipp", "bpf_btf_get_info_by_fd": "ipp",
    "bpf_raw_tracepoint_open": "si", "bpf_raw_tracepoint_open_opts": "ip", "bpf_task_fd_query": "iiupppppp",
    "bpf_enable_stats": "i", "bpf_iter_create": "i", "libbpf_set_memlock_rlim": "z",
}.items():  # fmt: skip
    getattr(lib, _name).argtypes = [_letters[letter] for letter in _arguments]
lib.libbpf_get_error.argtypes, lib.libbpf_get_error.restype = [c_void_p], c_long
