# SPDX-License-Identifier: MIT OR Apache-2.0
"""The C library called from Python, on the running kernel.

These tests show what a binding in another language depends on: every function is found by name, an opts
struct is laid out as its C declaration says and is accepted at any size, and a failure returns a negative
error code and sets errno to it. The structs, constants and prototypes are those of the Python package. Its
functions raise exceptions, so the tests call the functions of the library that it has loaded.
"""

from __future__ import annotations

import ctypes
import errno
import mmap
import os
import re
import socket
import struct
import sys
import tempfile
from ctypes import POINTER, byref, c_uint32, c_uint64, cast

import pytest

from harness import CC, ROOT, SO, STAGE, succeeds

os.environ["SYSBPF_LIBRARY"] = str(SO)
sys.path.insert(0, str(ROOT / "python/src"))

from sysbpf import bpf  # noqa: E402
from sysbpf._library import _lib as lib  # noqa: E402

libc = ctypes.CDLL(None, use_errno=True)
BPF_HEADER = (STAGE / "include/sysbpf/bpf/bpf.h").read_text()


def missing_privilege() -> str:
    """Why this process may not use bpf(2); empty if it may. The kernel is asked, not a call that may fail."""
    with open("/proc/self/status") as file:
        status = dict(line.split(":\t", 1) for line in file)
    effective = int(status["CapEff"], 16)
    capabilities = {39: "CAP_BPF", 12: "CAP_NET_ADMIN", 38: "CAP_PERFMON", 21: "CAP_SYS_ADMIN"}
    missing = [name for bit, name in capabilities.items() if not effective >> bit & 1]
    if missing:
        with open("/proc/sys/kernel/unprivileged_bpf_disabled") as file:
            return f"{', '.join(missing)} missing (sysctl kernel.unprivileged_bpf_disabled is {file.read().strip()})"
    with open("/proc/self/uid_map") as file:
        if file.read().split() != ["0", "0", "4294967295"]:
            return "not in the initial user namespace, where capabilities count for bpf(2)"
    if int(status["Seccomp"]) == 2:
        fd = lib.bpf_map_create(bpf.BPF_MAP_TYPE_ARRAY, b"probe", 4, 4, 1, None)
        if fd < 0:
            return "a seccomp filter is in force, and bpf(2) is rejected"
        os.close(fd)
    return ""


MISSING_PRIVILEGE = missing_privilege()
privileged = pytest.mark.skipif(bool(MISSING_PRIVILEGE), reason=MISSING_PRIVILEGE)

RETURN_R0 = bpf.bpf_insn(code=0x95)


def set_r0(value: int) -> bpf.bpf_insn:
    return bpf.bpf_insn(code=0xB7, imm=value)


def program(*insns: bpf.bpf_insn):
    """Instructions as a C array."""
    return (bpf.bpf_insn * len(insns))(*insns)


def ok(returned: int) -> None:
    assert returned == 0, os.strerror(ctypes.get_errno())


def fails(err: int, function, *arguments) -> None:
    """The call returns -err and sets errno to err."""
    ctypes.set_errno(0)
    returned = function(*arguments)
    expected = f"{function.__name__}: expected {errno.errorcode[err]}"
    assert (returned, ctypes.get_errno()) == (-err, err), expected


def stderr_of(function, *arguments) -> tuple[str, int]:
    """What a call writes to descriptor 2, and what it returns."""
    with tempfile.TemporaryFile() as file:
        saved = os.dup(2)
        os.dup2(file.fileno(), 2)
        try:
            returned = function(*arguments)
        finally:
            os.dup2(saved, 2)
            os.close(saved)
        file.seek(0)
        return file.read().decode(), returned


def find_id(get_next_id, id: int) -> None:
    """Walks the ids of all objects of one kind up to this id."""
    found, position = c_uint32(), 0
    while found.value != id:
        ok(get_next_id(position, byref(found)))
        assert found.value > position, "an id follows that is not higher"
        position = found.value


@pytest.fixture
def opened(request):
    """A function that takes the descriptor that a call returned, and closes it after the test."""

    def take(returned: int) -> int:
        assert returned >= 3, os.strerror(ctypes.get_errno()) if returned < 0 else "a standard descriptor"
        request.addfinalizer(lambda: os.close(returned) if os.path.exists(f"/proc/self/fd/{returned}") else None)
        return returned

    return take


@pytest.fixture
def hash_map(opened):
    """A function that creates a hash map of 4-byte keys and 8-byte values."""

    def create(entries: int = 8, **opts) -> int:
        create_opts = bpf.bpf_map_create_opts(**opts)
        return opened(lib.bpf_map_create(bpf.BPF_MAP_TYPE_HASH, b"py_hash", 4, 8, entries, byref(create_opts)))

    return create


@pytest.fixture
def load(opened):
    """A function that loads a program of these instructions."""

    def load(prog_type: int, *insns: bpf.bpf_insn, name: bytes = b"py_prog") -> int:
        return opened(lib.bpf_prog_load(prog_type, name, b"GPL", program(*insns), len(insns), None))

    return load


class TestWithoutPrivileges:
    """Needs no permission to use bpf(2): what is tested is decided before the system call."""

    def test_every_exported_function_is_found_by_name(self):
        exported = {line.split("@@")[0] for line in (ROOT / "abi/libsysbpf.symbols").read_text().split()}
        declared = re.findall(r"^LIBBPF_API[^;(]*?\b(\w+)\(", BPF_HEADER, re.MULTILINE)
        # These two are in libbpf_legacy.h.
        assert {*declared, "libbpf_set_strict_mode", "libbpf_get_error"} == exported
        assert [name for name in exported if not hasattr(lib, name)] == []

    def test_struct_sizes_are_those_of_the_c_declarations(self, tmp_path):
        names = re.findall(r"^struct (\w+_opts) \{", BPF_HEADER, re.MULTILINE)
        assert "bpf_map_create_opts" in names
        lines = "\n".join(f'printf("{name} %zu\\n", sizeof(struct {name}));' for name in names)
        source = tmp_path / "sizes.c"
        source.write_text(f"#include <stdio.h>\n#include <bpf/bpf.h>\nint main(void)\n{{\n{lines}\n}}\n")
        succeeds(CC, f"-I{STAGE / 'include/sysbpf'}", source, "-o", tmp_path / "sizes")
        in_c = dict(line.split() for line in succeeds(tmp_path / "sizes").splitlines())
        # A struct that has the name of a function is called struct_NAME in Python.
        in_python = {name: getattr(bpf, f"struct_{name}", None) or getattr(bpf, name) for name in names}
        assert in_c == {name: str(ctypes.sizeof(struct)) for name, struct in in_python.items()}

    def test_sz_smaller_than_sz_itself_is_rejected_with_a_warning(self):
        for sz in range(ctypes.sizeof(ctypes.c_size_t)):
            opts = bpf.bpf_map_create_opts(sz=sz)
            warning, returned = stderr_of(lib.bpf_map_create, bpf.BPF_MAP_TYPE_ARRAY, b"m", 4, 4, 1, byref(opts))
            assert (returned, ctypes.get_errno()) == (-errno.EINVAL, errno.EINVAL)
            assert re.fullmatch(r"libbpf: .*bpf_map_create_opts.*\n", warning)

    def test_unknown_bytes_that_are_set_are_rejected_with_a_warning(self):
        class Newer(ctypes.Structure):
            _fields_ = (("known", bpf.bpf_map_batch_opts), ("unknown", c_uint64))

        def newer(unknown: int):
            opts = Newer(unknown=unknown)
            opts.known.sz = ctypes.sizeof(opts)
            return cast(ctypes.pointer(opts), POINTER(bpf.bpf_map_batch_opts))

        count = c_uint32(1)
        warning, returned = stderr_of(lib.bpf_map_delete_batch, -1, None, byref(count), newer(1))
        assert returned == -errno.EINVAL
        assert re.fullmatch(r"libbpf: .*bpf_map_batch_opts.*\n", warning)
        # If the unknown bytes are 0, the call gets as far as the descriptor.
        if not MISSING_PRIVILEGE:
            fails(errno.EBADF, lib.bpf_map_delete_batch, -1, None, byref(count), newer(0))

    def test_contradicting_options_are_rejected(self):
        insns = program(set_r0(0), RETURN_R0)
        for opts in (
            bpf.bpf_prog_load_opts(attempts=-1),
            bpf.bpf_prog_load_opts(log_size=16),
            bpf.bpf_prog_load_opts(attach_prog_fd=3, attach_btf_obj_fd=4),
        ):
            fails(errno.EINVAL, lib.bpf_prog_load, 1, b"p", b"GPL", insns, len(insns), byref(opts))
        both = bpf.struct_bpf_prog_attach_opts(relative_fd=3, relative_id=4)
        fails(errno.EINVAL, lib.bpf_prog_attach_opts, 3, 3, bpf.BPF_CGROUP_INET_EGRESS, byref(both))
        unrelated = bpf.bpf_link_create_opts(target_btf_id=1, iter_info_len=1)
        fails(errno.EINVAL, lib.bpf_link_create, 3, 3, bpf.BPF_TRACE_ITER, byref(unrelated))
        fails(errno.EINVAL, lib.bpf_link_update, 3, 3, byref(bpf.bpf_link_update_opts(old_prog_fd=3, old_map_fd=4)))

    def test_error_pointers(self):
        assert lib.libbpf_get_error(ctypes.addressof(c_uint32())) == 0
        ctypes.set_errno(0)
        pointer = ctypes.c_void_p(-errno.ENOMEM)
        assert (lib.libbpf_get_error(pointer), ctypes.get_errno()) == (-errno.ENOMEM, errno.ENOMEM)
        assert lib.libbpf_set_strict_mode(bpf.LIBBPF_STRICT_ALL) == 0


@privileged
class TestMaps:
    def test_success_leaves_errno_unchanged_and_failure_sets_it(self, hash_map):
        fd = hash_map()
        key, value = c_uint32(1), c_uint64(41)
        ctypes.set_errno(errno.EXDEV)
        ok(lib.bpf_map_update_elem(fd, byref(key), byref(value), bpf.BPF_NOEXIST))
        assert ctypes.get_errno() == errno.EXDEV
        fails(errno.EEXIST, lib.bpf_map_update_elem, fd, byref(key), byref(value), bpf.BPF_NOEXIST)
        fails(errno.EBADF, lib.bpf_map_update_elem, -1, byref(key), byref(value), 0)

    def test_elements(self, hash_map):
        fd = hash_map()
        key, value = c_uint32(), c_uint64()
        for number in (3, 4, 5, 6):
            ok(lib.bpf_map_update_elem(fd, byref(c_uint32(number)), byref(c_uint64(number * 100)), bpf.BPF_ANY))
        seen, position = [], None
        while lib.bpf_map_get_next_key(fd, position, byref(key)) == 0:
            assert key.value not in seen
            seen.append(key.value)
            position = byref(c_uint32(key.value))
        assert ctypes.get_errno() == errno.ENOENT
        assert sorted(seen) == [3, 4, 5, 6]

        ok(lib.bpf_map_lookup_elem(fd, byref(c_uint32(4)), byref(value)))
        assert value.value == 400
        fails(errno.EINVAL, lib.bpf_map_lookup_elem_flags, fd, byref(c_uint32(4)), byref(value), bpf.BPF_F_LOCK)
        ok(lib.bpf_map_lookup_and_delete_elem(fd, byref(c_uint32(5)), byref(value)))
        assert value.value == 500
        fails(errno.ENOENT, lib.bpf_map_lookup_elem, fd, byref(c_uint32(5)), byref(value))
        ok(lib.bpf_map_lookup_and_delete_elem_flags(fd, byref(c_uint32(6)), byref(value), 0))
        ok(lib.bpf_map_delete_elem(fd, byref(c_uint32(3))))
        fails(errno.ENOENT, lib.bpf_map_delete_elem, fd, byref(c_uint32(3)))
        ok(lib.bpf_map_delete_elem_flags(fd, byref(c_uint32(4)), 0))
        fails(errno.ENOENT, lib.bpf_map_get_next_key, fd, None, byref(key))

    def test_frozen_map_rejects_writes(self, hash_map):
        fd = hash_map()
        ok(lib.bpf_map_freeze(fd))
        fails(errno.EPERM, lib.bpf_map_update_elem, fd, byref(c_uint32(1)), byref(c_uint64(1)), 0)

    def test_options_reach_the_kernel(self, hash_map):
        fd = hash_map(map_flags=bpf.BPF_F_RDONLY)
        fails(errno.EPERM, lib.bpf_map_update_elem, fd, byref(c_uint32(1)), byref(c_uint64(1)), 0)

    def test_options_are_read_only_as_far_as_sz(self, opened):
        opts = bpf.bpf_map_create_opts(sz=bpf.bpf_map_create_opts.map_flags.offset, map_flags=bpf.BPF_F_RDONLY)
        fd = opened(lib.bpf_map_create(bpf.BPF_MAP_TYPE_HASH, b"old", 4, 8, 1, byref(opts)))
        ok(lib.bpf_map_update_elem(fd, byref(c_uint32(1)), byref(c_uint64(1)), 0))

    def test_options_may_end_where_memory_ends(self, opened, request):
        libc.mmap.restype = ctypes.c_void_p
        libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_long]
        libc.munmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t]
        page = mmap.PAGESIZE
        access, kind = mmap.PROT_READ | mmap.PROT_WRITE, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS
        memory = libc.mmap(None, 2 * page, access, kind, -1, 0)
        request.addfinalizer(lambda: libc.munmap(memory, page))
        assert libc.munmap(memory + page, page) == 0
        for sz in range(ctypes.sizeof(ctypes.c_size_t), ctypes.sizeof(bpf.bpf_map_create_opts) + 1):
            opts = memory + page - sz
            ctypes.memset(opts, 0, sz)
            ctypes.memmove(opts, struct.pack("N", sz), ctypes.sizeof(ctypes.c_size_t))
            pointer = cast(opts, POINTER(bpf.bpf_map_create_opts))
            opened(lib.bpf_map_create(bpf.BPF_MAP_TYPE_HASH, b"edge", 4, 8, 1, pointer))

    def test_batches(self, hash_map):
        fd = hash_map(entries=16)
        numbers = range(10)
        keys, values = (c_uint32 * 10)(*numbers), (c_uint64 * 10)(*(n * n for n in numbers))
        count = c_uint32(10)
        ok(lib.bpf_map_update_batch(fd, keys, values, byref(count), byref(bpf.bpf_map_batch_opts())))
        assert count.value == 10

        got_keys, got_values, position = (c_uint32 * 16)(), (c_uint64 * 16)(), c_uint32()
        outputs = byref(position), got_keys, got_values
        count = c_uint32(16)
        fails(errno.ENOENT, lib.bpf_map_lookup_batch, fd, None, *outputs, byref(count), None)
        assert count.value == 10
        assert dict(zip(got_keys[:10], got_values[:10])) == {n: n * n for n in numbers}

        count = c_uint32(4)
        ok(lib.bpf_map_delete_batch(fd, keys, byref(count), None))
        count = c_uint32(16)
        fails(errno.ENOENT, lib.bpf_map_lookup_and_delete_batch, fd, None, *outputs, byref(count), None)
        assert sorted(got_keys[: count.value]) == list(range(4, 10))

    def test_batch_that_fails_midway_reports_how_far_it_got(self, hash_map):
        fd = hash_map(entries=2)
        keys, values, count = (c_uint32 * 4)(0, 1, 2, 3), (c_uint64 * 4)(), c_uint32(4)
        fails(errno.E2BIG, lib.bpf_map_update_batch, fd, keys, values, byref(count), None)
        assert count.value == 2
        unknown = bpf.bpf_map_batch_opts(elem_flags=1 << 40)
        fails(errno.EINVAL, lib.bpf_map_update_batch, fd, keys, values, byref(count), byref(unknown))

    def test_a_descriptor_is_never_a_standard_one(self):
        readable, writable = os.pipe()
        child = os.fork()
        if child == 0:
            try:
                for low in (0, 1, 2):
                    os.close(low)
                fd = lib.bpf_map_create(bpf.BPF_MAP_TYPE_ARRAY, b"low", 4, 4, 1, None)
                left = [low for low in (0, 1, 2) if os.path.exists(f"/proc/self/fd/{low}")]
                os.write(writable, repr((fd >= 3, left, os.get_inheritable(fd))).encode())
            finally:
                os._exit(0)
        os.close(writable)
        with open(readable) as pipe:
            assert pipe.read() == "(True, [], False)"
        os.waitpid(child, 0)


@privileged
class TestPrograms:
    def test_program_runs_and_outputs_are_written_back(self, load):
        fd = load(bpf.BPF_PROG_TYPE_SOCKET_FILTER, set_r0(42), RETURN_R0)
        packet, out = ctypes.create_string_buffer(b"\xaa" * 64, 64), ctypes.create_string_buffer(128)
        opts = bpf.bpf_test_run_opts(data_in=packet, data_size_in=64, data_out=out, data_size_out=128, repeat=7)
        ok(lib.bpf_prog_test_run_opts(fd, byref(opts)))
        assert opts.retval == 42
        assert opts.data_size_out == 64
        # A socket filter does not see the Ethernet header: the kernel returns zeros in its place.
        assert out.raw == b"\0" * 14 + b"\xaa" * 50 + b"\0" * 64

    def test_outputs_beyond_sz_are_not_written(self, load):
        fd = load(bpf.BPF_PROG_TYPE_SOCKET_FILTER, set_r0(42), RETURN_R0)
        packet = ctypes.create_string_buffer(64)
        opts = bpf.bpf_test_run_opts(data_in=packet, data_size_in=64, retval=7, duration=8)
        opts.sz = bpf.bpf_test_run_opts.retval.offset
        ok(lib.bpf_prog_test_run_opts(fd, byref(opts)))
        assert (opts.retval, opts.duration) == (7, 8)

    def test_verifier_log_of_a_rejected_program(self):
        log = ctypes.create_string_buffer(4096)
        insns = program(RETURN_R0)
        for level in (0, 1, 2):
            log.value = b""
            opts = bpf.bpf_prog_load_opts(log_level=level, log_buf=log, log_size=len(log))
            fails(errno.EACCES, lib.bpf_prog_load, 1, b"bad", b"GPL", insns, len(insns), byref(opts))
            assert b"R0 !read_ok" in log.value
            assert opts.log_true_size == len(log.value) + 1
        short = bpf.bpf_prog_load_opts(log_level=1, log_buf=log, log_size=16)
        fails(errno.ENOSPC, lib.bpf_prog_load, 1, b"bad", b"GPL", insns, len(insns), byref(short))
        assert len(log.value) == 15
        assert short.log_true_size > 16

    def test_an_accepted_program_has_no_log_at_level_0(self, opened):
        log = ctypes.create_string_buffer(b"untouched", 4096)
        insns = program(set_r0(0), RETURN_R0)
        opts = bpf.bpf_prog_load_opts(log_buf=log, log_size=len(log))
        opened(lib.bpf_prog_load(1, b"good", b"GPL", insns, len(insns), byref(opts)))
        assert log.value == b"untouched"

    def test_names_are_cut_at_15_bytes(self, load):
        fd = load(1, set_r0(0), RETURN_R0, name=b"abcdefghijklmnopqrstuvwxyz")
        info, size = bpf.bpf_prog_info(), c_uint32(80)
        ok(lib.bpf_prog_get_info_by_fd(fd, byref(info), byref(size)))
        assert size.value == 80
        assert bytes(info)[64:80] == b"abcdefghijklmno\0"

    def test_ids_lead_to_the_same_objects(self, hash_map, load, opened):
        for fd, info_type, get_next_id, get_fd_by_id, get_info_by_fd in (
            (
                hash_map(),
                bpf.bpf_map_info,
                lib.bpf_map_get_next_id,
                lib.bpf_map_get_fd_by_id,
                lib.bpf_map_get_info_by_fd,
            ),
            (
                load(bpf.BPF_PROG_TYPE_SOCKET_FILTER, set_r0(0), RETURN_R0),
                bpf.bpf_prog_info,
                lib.bpf_prog_get_next_id,
                lib.bpf_prog_get_fd_by_id,
                lib.bpf_prog_get_info_by_fd,
            ),
        ):
            # Only the first two members, type and id, which every kernel has.
            info, again = info_type(), info_type()
            ok(get_info_by_fd(fd, byref(info), byref(c_uint32(8))))
            find_id(get_next_id, info.id)
            ok(lib.bpf_obj_get_info_by_fd(opened(get_fd_by_id(info.id)), byref(again), byref(c_uint32(8))))
            assert again == info
            untouched = c_uint32(77)
            fails(errno.ENOENT, get_next_id, 0x7FFFFFFE, byref(untouched))
            assert untouched.value == 77

    def test_map_by_id_read_only(self, hash_map, opened):
        info = bpf.bpf_map_info()
        ok(lib.bpf_map_get_info_by_fd(hash_map(), byref(info), byref(c_uint32(8))))
        read_only = bpf.bpf_get_fd_by_id_opts(open_flags=bpf.BPF_F_RDONLY)
        fd = opened(lib.bpf_map_get_fd_by_id_opts(info.id, byref(read_only)))
        fails(errno.EPERM, lib.bpf_map_update_elem, fd, byref(c_uint32(1)), byref(c_uint64(1)), 0)

    def test_btf(self, opened):
        # A header, one type (int, 4 bytes, 32 bits), and the strings "" and "int".
        types = struct.pack("=IIII", 1, 1 << 24, 4, 32)
        data = struct.pack("=HBBIIIII", 0xEB9F, 1, 0, 24, 0, len(types), len(types), 5) + types + b"\0int\0"
        fd = opened(lib.bpf_btf_load(data, len(data), None))
        info, size = bpf.bpf_btf_info(), c_uint32(ctypes.sizeof(bpf.bpf_btf_info))
        ok(lib.bpf_btf_get_info_by_fd(fd, byref(info), byref(size)))
        assert info.btf_size == len(data)

        log = ctypes.create_string_buffer(1024)
        opts = bpf.bpf_btf_load_opts(log_buf=log, log_size=len(log))
        fails(errno.EINVAL, lib.bpf_btf_load, data[:-1], len(data) - 1, byref(opts))
        assert log.value != b""
        assert opts.log_true_size > len(log.value)
        fails(errno.EINVAL, lib.bpf_btf_load, data, len(data), byref(bpf.bpf_btf_load_opts(log_size=8)))

    def test_statistics_are_on_while_their_descriptor_is_open(self, load, opened):
        statistics = opened(lib.bpf_enable_stats(bpf.BPF_STATS_RUN_TIME))
        fd = load(bpf.BPF_PROG_TYPE_SOCKET_FILTER, set_r0(0), RETURN_R0)
        receive, send = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
        with receive, send:
            receive.setsockopt(socket.SOL_SOCKET, 50, struct.pack("i", fd))  # SO_ATTACH_BPF
            send.send(b"x")
        info, size = bpf.bpf_prog_info(), c_uint32(ctypes.sizeof(bpf.bpf_prog_info))
        ok(lib.bpf_prog_get_info_by_fd(fd, byref(info), byref(size)))
        assert info.run_cnt == 1
        os.close(statistics)
        fails(errno.EINVAL, lib.bpf_enable_stats, 1000)


@pytest.fixture(scope="module")
def bpffs():
    """A bpf file system of its own, in a mount namespace that ends with this process."""
    directory = tempfile.mkdtemp(prefix="bpf-python-")
    path = os.fsencode(directory)
    try:
        for returned in (
            libc.unshare(0x20000),  # CLONE_NEWNS
            libc.mount(b"none", b"/", None, ctypes.c_ulong(0x4000 | 0x40000), None),  # MS_REC | MS_PRIVATE
            libc.mount(b"bpf", path, b"bpf", ctypes.c_ulong(0), None),
        ):
            if returned:
                raise OSError(ctypes.get_errno(), "private bpf file system")
        yield path
        libc.umount2(path, 2)  # MNT_DETACH
    finally:
        os.rmdir(directory)


@privileged
class TestPins:
    def test_pinned_object_is_the_same_object(self, bpffs, hash_map, opened):
        fd, path = hash_map(), bpffs + b"/map"
        fails(errno.ENOENT, lib.bpf_obj_get, path)
        ok(lib.bpf_obj_pin(fd, path))
        fails(errno.EEXIST, lib.bpf_obj_pin, fd, path)
        ok(lib.bpf_map_update_elem(fd, byref(c_uint32(1)), byref(c_uint64(99)), 0))
        again, value = opened(lib.bpf_obj_get(path)), c_uint64()
        ok(lib.bpf_map_lookup_elem(again, byref(c_uint32(1)), byref(value)))
        assert value.value == 99

    def test_options_of_pin_and_get(self, bpffs, hash_map, opened):
        fd, path = hash_map(), bpffs + b"/ro"
        ok(lib.bpf_obj_pin_opts(fd, path, byref(bpf.struct_bpf_obj_pin_opts())))
        read_only = bpf.struct_bpf_obj_get_opts(file_flags=bpf.BPF_F_RDONLY)
        fd = opened(lib.bpf_obj_get_opts(path, byref(read_only)))
        fails(errno.EPERM, lib.bpf_map_update_elem, fd, byref(c_uint32(1)), byref(c_uint64(1)), 0)
        unknown = bpf.struct_bpf_obj_get_opts(file_flags=1 << 30)
        fails(errno.EINVAL, lib.bpf_obj_get_opts, path, byref(unknown))

    def test_pinning_outside_a_bpf_file_system_is_rejected(self, hash_map, tmp_path):
        fails(errno.EPERM, lib.bpf_obj_pin, hash_map(), os.fsencode(tmp_path / "map"))


@pytest.fixture
def cgroup(opened, request) -> int:
    """The descriptor of a cgroup of its own."""
    with open("/proc/mounts") as mounts:
        root = next((line.split()[1] for line in mounts if line.split()[2] == "cgroup2"), None)
    if root is None:
        pytest.skip("no cgroup v2 hierarchy is mounted")
    try:
        path = tempfile.mkdtemp(prefix="bpf-python-", dir=root)
    except OSError as error:
        pytest.skip(f"no cgroup can be made in {root}: {error.strerror}")
    request.addfinalizer(lambda: os.rmdir(path))
    return opened(os.open(path, os.O_RDONLY | os.O_DIRECTORY))


@pytest.fixture
def two_cgroup_programs(load) -> tuple[int, int]:
    first, second = (load(bpf.BPF_PROG_TYPE_CGROUP_SKB, set_r0(1), RETURN_R0) for _ in range(2))
    return first, second


@pytest.fixture
def raw_tracepoint_program(load) -> int:
    return load(bpf.BPF_PROG_TYPE_RAW_TRACEPOINT, set_r0(0), RETURN_R0)


@privileged
class TestLinksAndAttaching:
    def test_raw_tracepoint_by_name(self, raw_tracepoint_program, opened):
        link = opened(lib.bpf_raw_tracepoint_open(b"sys_enter", raw_tracepoint_program))
        name, size = ctypes.create_string_buffer(32), c_uint32(32)
        prog_id, kind, offset, address = c_uint32(), c_uint32(99), c_uint64(), c_uint64()
        outputs = [byref(x) for x in (size, prog_id, kind, offset, address)]
        ok(lib.bpf_task_fd_query(os.getpid(), link, 0, name, *outputs))
        assert (name.value, kind.value) == (b"sys_enter", bpf.BPF_FD_TYPE_RAW_TRACEPOINT)
        assert size.value == len("sys_enter")

        # Only the first three members: type, id and prog_id.
        info = bpf.bpf_link_info()
        ok(lib.bpf_link_get_info_by_fd(link, byref(info), byref(c_uint32(12))))
        assert info.prog_id == prog_id.value
        opened(lib.bpf_link_get_fd_by_id(info.id))
        find_id(lib.bpf_link_get_next_id, info.id)
        fails(errno.EOPNOTSUPP, lib.bpf_link_detach, link)

    def test_raw_tracepoint_with_options(self, raw_tracepoint_program, opened):
        known, unknown = (bpf.bpf_raw_tp_opts(tp_name=name) for name in (b"sys_exit", b"no_such_tracepoint"))
        opened(lib.bpf_raw_tracepoint_open_opts(raw_tracepoint_program, byref(known)))
        fails(errno.ENOENT, lib.bpf_raw_tracepoint_open_opts, raw_tracepoint_program, byref(unknown))

    def test_attach_query_detach(self, cgroup, two_cgroup_programs):
        first, second = two_cgroup_programs
        hook = bpf.BPF_CGROUP_INET_EGRESS
        multi = bpf.struct_bpf_prog_attach_opts(flags=bpf.BPF_F_ALLOW_MULTI)
        ok(lib.bpf_prog_attach(first, cgroup, hook, bpf.BPF_F_ALLOW_MULTI))
        ok(lib.bpf_prog_attach_opts(second, cgroup, hook, byref(multi)))

        flags, ids, count = c_uint32(), (c_uint32 * 4)(), c_uint32(4)
        ok(lib.bpf_prog_query(cgroup, hook, 0, byref(flags), ids, byref(count)))
        assert (flags.value, count.value) == (bpf.BPF_F_ALLOW_MULTI, 2)
        # Room for one of two programs: the call fails, and still reports how many there are.
        opts = bpf.struct_bpf_prog_query_opts(prog_ids=ids, count=1)
        fails(errno.ENOSPC, lib.bpf_prog_query_opts, cgroup, hook, byref(opts))
        assert opts.count == 2

        ok(lib.bpf_prog_detach2(first, cgroup, hook))
        ok(lib.bpf_prog_detach_opts(second, cgroup, hook, byref(bpf.struct_bpf_prog_detach_opts())))
        fails(errno.ENOENT, lib.bpf_prog_detach2, second, cgroup, hook)

    def test_link_created_updated_detached(self, cgroup, two_cgroup_programs, opened):
        first, second = two_cgroup_programs
        hook = bpf.BPF_CGROUP_INET_EGRESS
        link = opened(lib.bpf_link_create(first, cgroup, hook, byref(bpf.bpf_link_create_opts())))
        ok(lib.bpf_link_update(link, second, None))
        # The second program is attached by now.
        replace = bpf.bpf_link_update_opts(flags=bpf.BPF_F_REPLACE, old_prog_fd=first)
        fails(errno.EPERM, lib.bpf_link_update, link, first, byref(replace))
        ok(lib.bpf_link_detach(link))
        both, foreign = bpf.bpf_link_create_opts(), bpf.bpf_link_create_opts()
        both.cgroup.relative_fd, both.cgroup.relative_id = link, 1
        fails(errno.EINVAL, lib.bpf_link_create, first, cgroup, hook, byref(both))
        foreign.uprobe_multi.pid = 1
        fails(errno.EINVAL, lib.bpf_link_create, first, cgroup, hook, byref(foreign))
