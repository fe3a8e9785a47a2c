#!/usr/bin/env python3
# SPDX-License-Identifier: MIT OR Apache-2.0
"""The steps of demo.c, from Python, with nothing but ctypes.

    python3 demo.py [LIBRARY]        (default: libsysbpf.so.1, as the dynamic linker finds it)

It needs no headers, no compiler and no package: an opts struct is a
ctypes.Structure whose first member is its size, and a program is an array of
struct bpf_insn. It prints the same lines as demo.c.

Exit status: 0 if every step went as expected, 1 if one did not, 77 if privileges are missing.
"""

import atexit
import ctypes
import errno
import os
import sys
import tempfile
from ctypes import POINTER, byref, c_char, c_char_p, c_int, c_int16, c_int32, c_size_t, c_uint8, c_uint32, c_uint64, c_void_p

NOT_ALLOWED = 77
PACKETS, BYTES, COUNTERS = range(3)
PACKET_SIZE, REPEAT = 64, 3

# The parts of linux/bpf.h that are needed here.
BPF_MAP_TYPE_ARRAY = 2
BPF_PROG_TYPE_SCHED_CLS = 3
BPF_ANY = 0
BPF_F_RDONLY = 1 << 3
BPF_PSEUDO_MAP_FD = 1
BPF_FUNC_map_lookup_elem = 1
SKB_LEN = 0  # offset of len in struct __sk_buff

# An opcode consists of a class, a size or an operation, and a mode or a source.
LOAD_IMM64 = 0x18  # BPF_LD | BPF_IMM | BPF_DW
LOAD_WORD = 0x61  # BPF_LDX | BPF_MEM | BPF_W
STORE_IMM_WORD = 0x62  # BPF_ST | BPF_MEM | BPF_W
ATOMIC_ADD64 = 0xDB  # BPF_STX | BPF_ATOMIC | BPF_DW, with imm BPF_ADD (0)
MOVE_REG = 0xBF  # BPF_ALU64 | BPF_MOV | BPF_X
MOVE_IMM = 0xB7  # BPF_ALU64 | BPF_MOV | BPF_K
ADD_IMM = 0x07  # BPF_ALU64 | BPF_ADD | BPF_K
JUMP_IF_EQUAL = 0x15  # BPF_JMP | BPF_JEQ | BPF_K
CALL = 0x85  # BPF_JMP | BPF_CALL
EXIT = 0x95  # BPF_JMP | BPF_EXIT


class Insn(ctypes.Structure):
    """struct bpf_insn. ctypes lays out bit-fields as the C compiler does."""

    _fields_ = [("code", c_uint8), ("dst", c_uint8, 4), ("src", c_uint8, 4), ("off", c_int16), ("imm", c_int32)]


def insn(code, dst=0, src=0, off=0, imm=0):
    return Insn(code, dst, src, off, imm)


class Opts(ctypes.Structure):
    """An opts struct: sz is its size, and members that are not given are zero."""

    def __init__(self, **members):
        super().__init__(sz=ctypes.sizeof(self), **members)


class ProgLoadOpts(Opts):
    _fields_ = [
        ("sz", c_size_t), ("attempts", c_int), ("expected_attach_type", c_int), ("prog_btf_fd", c_uint32),
        ("prog_flags", c_uint32), ("prog_ifindex", c_uint32), ("kern_version", c_uint32), ("attach_btf_id", c_uint32),
        ("attach_prog_fd", c_uint32), ("attach_btf_obj_fd", c_uint32), ("fd_array", POINTER(c_int)),
        ("func_info", c_void_p), ("func_info_cnt", c_uint32), ("func_info_rec_size", c_uint32),
        ("line_info", c_void_p), ("line_info_cnt", c_uint32), ("line_info_rec_size", c_uint32),
        ("log_level", c_uint32), ("log_size", c_uint32), ("log_buf", c_void_p),
    ]  # fmt: skip


class TestRunOpts(Opts):
    _fields_ = [
        ("sz", c_size_t), ("data_in", c_void_p), ("data_out", c_void_p), ("data_size_in", c_uint32),
        ("data_size_out", c_uint32), ("ctx_in", c_void_p), ("ctx_out", c_void_p), ("ctx_size_in", c_uint32),
        ("ctx_size_out", c_uint32), ("retval", c_uint32), ("repeat", c_int), ("duration", c_uint32),
        ("flags", c_uint32), ("cpu", c_uint32), ("batch_size", c_uint32),
    ]  # fmt: skip


class MapBatchOpts(Opts):
    _fields_ = [("sz", c_size_t), ("elem_flags", c_uint64), ("flags", c_uint64)]


class ObjGetOpts(Opts):
    _fields_ = [("sz", c_size_t), ("file_flags", c_uint32), ("path_fd", c_int)]


class ProgInfo(ctypes.Structure):
    """The beginning of struct bpf_prog_info: the kernel fills in only as many bytes as there is room for."""

    _fields_ = [
        ("type", c_uint32), ("id", c_uint32), ("tag", c_uint8 * 8), ("jited_prog_len", c_uint32),
        ("xlated_prog_len", c_uint32), ("jited_prog_insns", c_uint64), ("xlated_prog_insns", c_uint64),
        ("load_time", c_uint64), ("created_by_uid", c_uint32), ("nr_map_ids", c_uint32), ("map_ids", c_uint64),
        ("name", c_char * 16),
    ]  # fmt: skip


bpf = ctypes.CDLL(sys.argv[1] if len(sys.argv) > 1 else "libsysbpf.so.1", use_errno=True)
bpf.bpf_map_create.argtypes = [c_int, c_char_p, c_uint32, c_uint32, c_uint32, c_void_p]
bpf.bpf_map_update_elem.argtypes = [c_int, c_void_p, c_void_p, c_uint64]
bpf.bpf_map_lookup_batch.argtypes = [c_int, c_void_p, c_void_p, c_void_p, c_void_p, POINTER(c_uint32), POINTER(MapBatchOpts)]
bpf.bpf_prog_load.argtypes = [c_int, c_char_p, c_char_p, POINTER(Insn), c_size_t, POINTER(ProgLoadOpts)]
bpf.bpf_prog_test_run_opts.argtypes = [c_int, POINTER(TestRunOpts)]
bpf.bpf_obj_get_info_by_fd.argtypes = [c_int, c_void_p, POINTER(c_uint32)]
bpf.bpf_obj_pin.argtypes = [c_int, c_char_p]
bpf.bpf_obj_get.argtypes = [c_char_p]
bpf.bpf_obj_get_opts.argtypes = [c_char_p, POINTER(ObjGetOpts)]

NEEDED = [
    (39, "CAP_BPF", "to create maps and load programs"),
    (12, "CAP_NET_ADMIN", "to load a program that sees network packets"),
    (21, "CAP_SYS_ADMIN", "to mount the bpf file system for pinning"),
]


def first_line(path):
    try:
        with open(path) as file:
            return file.readline().strip()
    except OSError:
        return "?"


def status_field(name, base=10):
    """A number from /proc/self/status."""
    with open("/proc/self/status") as status:
        return next((int(line.split()[1], base) for line in status if line.startswith(name)), 0)


def has_capability(bit):
    effective = status_field("CapEff:", 16)
    return bool(effective >> bit & 1 or (bit == 39 and effective >> 21 & 1))


def missing_privileges():
    """The reasons why this process may not use bpf, as far as they are known: one line each."""
    missing = [f"missing: {name}, {what_for}" for bit, name, what_for in NEEDED if not has_capability(bit)]
    if not has_capability(NEEDED[0][0]):
        value = first_line("/proc/sys/kernel/unprivileged_bpf_disabled")
        meaning = "only a few map and program types are allowed" if value == "0" else "every bpf call is rejected"
        missing.append(f"sysctl kernel.unprivileged_bpf_disabled is {value}: without CAP_BPF {meaning}")
    if first_line("/proc/self/uid_map").split() != ["0", "0", "4294967295"]:
        missing.append("missing: the initial user namespace; capabilities in another one do not count for bpf")
    if status_field("Seccomp:") == 2:
        missing.append("missing: permission from the seccomp filter that this process runs under")
    return missing


def step(what, answer):
    """Print the result of a step, which is -errno if it failed. If the step failed, exit."""
    if answer >= 0:
        print(f"{what:<46} ok, returned {answer}")
        return answer
    print(f"{what:<46} failed: {os.strerror(-answer)} ({answer})")
    missing = missing_privileges() if answer == -errno.EPERM else []
    for line in missing:
        print(f"    {line}")
    sys.exit(NOT_ALLOWED if missing else 1)


def wrong(why):
    print(f"{why}: WRONG")
    sys.exit(1)


def expect(what, got, want):
    print(f"    {what}: {got}")
    if got != want:
        wrong(f"    expected {want}")


def rejected(what, answer, err):
    """Check a step that the kernel must reject: the error code is returned, and in errno."""
    if answer != -err or ctypes.get_errno() != err:
        wrong(f"{what}: returned {answer}, errno {ctypes.get_errno()}, expected {-err}")
    print(f"{what:<46} rejected, as expected: {os.strerror(err)} ({answer})")


libc = ctypes.CDLL(None, use_errno=True)
CLONE_NEWNS, MS_REC, MS_PRIVATE, MNT_DETACH = 0x20000, 0x4000, 0x40000, 2


def negative_errno(answer):
    """The result of a libc function in the convention of libbpf: -errno instead of -1."""
    return -ctypes.get_errno() if answer < 0 else answer


def remove_directory(directory):
    libc.umount2(os.fsencode(directory), MNT_DETACH)
    os.rmdir(directory)


def mount_bpffs():
    """The map is pinned in a bpf file system that only this process sees."""
    directory = tempfile.mkdtemp(prefix="bpf-demo-", dir="/tmp")
    atexit.register(remove_directory, directory)
    mount = libc.mount
    mount.argtypes = [c_char_p, c_char_p, c_char_p, ctypes.c_ulong, c_void_p]
    step("private mount namespace", negative_errno(libc.unshare(CLONE_NEWNS)))
    answer = negative_errno(mount(b"none", b"/", None, MS_REC | MS_PRIVATE, None))
    # In a chroot, / may not be a mount point. The mount may then be visible outside, until remove_directory().
    if answer == -errno.EINVAL:
        print(f"{'mounts kept inside that namespace':<46} not sure: / is not a mount point")
    else:
        step("mounts kept inside that namespace", answer)
    step("bpf file system mounted", negative_errno(mount(b"bpf", os.fsencode(directory), b"bpf", 0, None)))
    return directory


def load(name, program):
    """Load a program. Returns the descriptor or error code, and the verifier log."""
    log = ctypes.create_string_buffer(4096)
    opts = ProgLoadOpts(log_buf=ctypes.addressof(log), log_size=len(log))
    insns = (Insn * len(program))(*program)
    fd = bpf.bpf_prog_load(BPF_PROG_TYPE_SCHED_CLS, name, b"GPL", insns, len(program), byref(opts))
    return fd, log.value.decode(errors="replace")


def load_counter(counters):
    def counter_address(index, otherwise):
        """r0 = &counters[index], or skip that many instructions."""
        return [
            insn(STORE_IMM_WORD, dst=10, off=-4, imm=index),
            insn(MOVE_REG, dst=2, src=10),
            insn(ADD_IMM, dst=2, imm=-4),
            insn(LOAD_IMM64, dst=1, src=BPF_PSEUDO_MAP_FD, imm=counters),
            insn(0),
            insn(CALL, imm=BPF_FUNC_map_lookup_elem),
            insn(JUMP_IF_EQUAL, dst=0, imm=0, off=otherwise),
        ]

    program = [
        insn(MOVE_REG, dst=6, src=1),  # r6 = the context, which describes the packet
        *counter_address(PACKETS, otherwise=12),
        insn(MOVE_IMM, dst=1, imm=1),
        insn(ATOMIC_ADD64, dst=0, src=1),
        *counter_address(BYTES, otherwise=3),
        insn(LOAD_WORD, dst=1, src=6, off=SKB_LEN),
        insn(ATOMIC_ADD64, dst=0, src=1),
        insn(MOVE_REG, dst=0, src=1),  # return the packet's length
        insn(EXIT),
    ]
    fd, log = load(b"demo_counter", program)
    if fd < 0:
        print(log, end="")
    return fd


def read_counters(counters):
    keys, values = (c_uint32 * COUNTERS)(), (c_uint64 * COUNTERS)()
    count, position = c_uint32(COUNTERS), c_uint32()
    # The kernel returns ENOENT when a batch reaches the end of the map.
    answer = bpf.bpf_map_lookup_batch(counters, None, byref(position), keys, values, byref(count), byref(MapBatchOpts()))
    step("counters read back in one batch", 0 if answer == -errno.ENOENT else answer)
    expect("entries", count.value, COUNTERS)
    expect("packets", values[PACKETS], REPEAT)
    expect("bytes", values[BYTES], REPEAT * PACKET_SIZE)


def reject_bad_program():
    fd, log = load(b"demo_bad", [insn(EXIT)])  # returns r0, which it never set
    if fd >= 0:
        wrong("the bad program was accepted")
    rejected("bad program loaded", fd, errno.EACCES)
    if not log:
        wrong("    the verifier said nothing")
    for line in log.splitlines():
        print(f"    verifier: {line}")


def main():
    counters = step(
        "map of two counters created", bpf.bpf_map_create(BPF_MAP_TYPE_ARRAY, b"demo_counters", 4, 8, COUNTERS, None)
    )
    key, value = c_uint32(PACKETS), c_uint64(0)
    step("counter set to zero", bpf.bpf_map_update_elem(counters, byref(key), byref(value), BPF_ANY))

    prog = step("program loaded with that map", load_counter(counters))
    info, info_len = ProgInfo(), c_uint32(ctypes.sizeof(ProgInfo))
    step("program described by the kernel", bpf.bpf_obj_get_info_by_fd(prog, byref(info), byref(info_len)))
    print(f"    name: {info.name.decode()}\n    id {info.id}")
    expect("maps it uses", info.nr_map_ids, 1)

    packet = ctypes.create_string_buffer(PACKET_SIZE)
    run = TestRunOpts(data_in=ctypes.addressof(packet), data_size_in=PACKET_SIZE, repeat=REPEAT)
    step("program run over three packets", bpf.bpf_prog_test_run_opts(prog, byref(run)))
    expect("it returned", run.retval, PACKET_SIZE)
    print(f"    one run took {run.duration} ns")
    read_counters(counters)

    path = os.fsencode(mount_bpffs()) + b"/counters"
    step("map pinned", bpf.bpf_obj_pin(counters, path))
    os.close(counters)
    read_only = ObjGetOpts(file_flags=BPF_F_RDONLY)
    counters = step("map reopened from its pin, read-only", bpf.bpf_obj_get_opts(path, byref(read_only)))
    read_counters(counters)
    answer = bpf.bpf_map_update_elem(counters, byref(key), byref(value), BPF_ANY)
    rejected("counter written through it", answer, errno.EPERM)
    os.unlink(path)
    step("pin removed", 0)
    rejected("pin opened once more", bpf.bpf_obj_get(path), errno.ENOENT)

    reject_bad_program()
    os.close(counters)
    os.close(prog)
    print("every step went as expected")


if __name__ == "__main__":
    main()
