# SPDX-License-Identifier: MIT OR Apache-2.0
"""libsysbpf.so.1 called from Python with ctypes alone, on the running kernel.

What a binding in another language depends on: every function is there by name, an
options struct is laid out as its C declaration says and honoured at any size, and a
failure is a negative errno with errno set to it. Run by tests/installed/python.
"""

import ctypes
import errno
import mmap
import os
import re
import socket
import struct
import tempfile
import unittest
from ctypes import byref, c_uint32, c_uint64

import bpf
from bpf import lib

libc = ctypes.CDLL(None, use_errno=True)


def missing_privilege():
    """Why bpf(2) cannot be used here, or None; from what the kernel says of this process, not from a failed call."""
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
            return "a seccomp filter is in force, and bpf(2) is refused"
        os.close(fd)
    return None


MISSING_PRIVILEGE = missing_privilege()


class BpfTest(unittest.TestCase):
    def fd(self, answer):
        """A descriptor that a call answered; closed when the test is over."""
        self.assertGreaterEqual(answer, 3, os.strerror(ctypes.get_errno()) if answer < 0 else "a standard descriptor")
        self.addCleanup(lambda: os.close(answer) if os.path.exists(f"/proc/self/fd/{answer}") else None)
        return answer

    def ok(self, answer):
        self.assertEqual(answer, 0, os.strerror(ctypes.get_errno()))

    def fails(self, err, call, *arguments):
        """The call answers -err and sets errno to err, whatever errno was."""
        ctypes.set_errno(0)
        answer = call(*arguments)
        self.assertEqual((answer, ctypes.get_errno()), (-err, err), f"{call.__name__}: expected {errno.errorcode[err]}")

    def hash_map(self, entries=8, **opts):
        create = bpf.MapCreateOpts(**opts)
        return self.fd(lib.bpf_map_create(bpf.BPF_MAP_TYPE_HASH, b"py_hash", 4, 8, entries, byref(create)))

    def socket_filter(self, *insns):
        insns = bpf.program(*insns)
        answer = lib.bpf_prog_load(bpf.BPF_PROG_TYPE_SOCKET_FILTER, b"py_filter", b"GPL", insns, len(insns), None)
        return self.fd(answer)

    def stderr_of(self, call):
        """What a call writes to descriptor 2, and what it answers."""
        with tempfile.TemporaryFile() as file:
            saved = os.dup(2)
            os.dup2(file.fileno(), 2)
            try:
                answer = call()
            finally:
                os.dup2(saved, 2)
                os.close(saved)
            file.seek(0)
            return file.read().decode(), answer


class WithoutPrivileges(BpfTest):
    """What needs no permission to use bpf(2), because it is decided before."""

    def test_every_declared_function_is_found_by_name(self):
        with open(os.path.join(os.environ["SYSBPF_INCLUDE"], "bpf/bpf.h")) as header:
            names = re.findall(r"^LIBBPF_API[^;(]*?\b(\w+)\(", header.read(), re.MULTILINE)
        self.assertEqual(len(set(names)), 58, names)
        for name in {*names, "libbpf_set_strict_mode", "libbpf_get_error"}:
            self.assertTrue(hasattr(lib, name), name)

    def test_struct_sizes_are_those_of_the_c_declarations(self):
        sizes = {
            bpf.LogOpts: 32, bpf.MapCreateOpts: 80, bpf.ProgLoadOpts: 120, bpf.BtfLoadOpts: 40, bpf.MapBatchOpts: 24,
            bpf.ObjPinOpts: 16, bpf.ObjGetOpts: 16, bpf.ProgAttachOpts: 32, bpf.ProgDetachOpts: 32,
            bpf.ProgQueryOpts: 64, bpf.LinkCreateOpts: 80, bpf.LinkUpdateOpts: 24, bpf.GetFdByIdOpts: 16,
            bpf.RawTpOpts: 24, bpf.TestRunOpts: 80,
        }  # fmt: skip
        if ctypes.sizeof(ctypes.c_void_p) != 8:
            self.skipTest("the sizes are those of a 64-bit machine")
        for declaration, size in sizes.items():
            self.assertEqual(ctypes.sizeof(declaration), size, declaration.__name__)

    def test_sz_too_small_for_itself_is_refused_with_a_warning(self):
        for sz in range(ctypes.sizeof(ctypes.c_size_t)):
            opts = bpf.MapCreateOpts(sz=sz)
            warning, answer = self.stderr_of(
                lambda: lib.bpf_map_create(bpf.BPF_MAP_TYPE_ARRAY, b"m", 4, 4, 1, byref(opts))  # noqa: B023
            )
            self.assertEqual((answer, ctypes.get_errno()), (-errno.EINVAL, errno.EINVAL))
            self.assertRegex(warning, r"\Alibbpf: .*bpf_map_create_opts.*\n\Z")

    def test_unknown_bytes_that_are_set_are_refused_with_a_warning(self):
        class Newer(bpf.Opts):
            _fields_ = [("known", bpf.MapBatchOpts), ("unknown", c_uint64)]

            def __init__(self, unknown):
                ctypes.Structure.__init__(self, unknown=unknown)
                self.known.sz = ctypes.sizeof(self)

        count = c_uint32(1)
        warning, answer = self.stderr_of(lambda: lib.bpf_map_delete_batch(-1, None, byref(count), byref(Newer(1))))
        self.assertEqual(answer, -errno.EINVAL)
        self.assertRegex(warning, r"\Alibbpf: .*bpf_map_batch_opts.*\n\Z")
        # The same with the unknown bytes zero gets as far as the descriptor.
        if not MISSING_PRIVILEGE:
            self.fails(errno.EBADF, lib.bpf_map_delete_batch, -1, None, byref(count), byref(Newer(0)))

    def test_contradicting_options_are_refused(self):
        insns = bpf.program(bpf.set_r0(0), bpf.RETURN_R0)
        for opts in (
            bpf.ProgLoadOpts(attempts=-1),
            bpf.ProgLoadOpts(log_size=16),
            bpf.ProgLoadOpts(attach_prog_fd=3, attach_btf_obj_fd=4),
        ):
            self.fails(errno.EINVAL, lib.bpf_prog_load, 1, b"p", b"GPL", insns, len(insns), byref(opts))
        both = bpf.ProgAttachOpts(relative_fd=3, relative_id=4)
        self.fails(errno.EINVAL, lib.bpf_prog_attach_opts, 3, 3, bpf.BPF_CGROUP_INET_EGRESS, byref(both))
        unrelated = bpf.LinkCreateOpts(target_btf_id=1, iter_info_len=1)
        self.fails(errno.EINVAL, lib.bpf_link_create, 3, 3, 28, byref(unrelated))
        self.fails(errno.EINVAL, lib.bpf_link_update, 3, 3, byref(bpf.LinkUpdateOpts(old_prog_fd=3, old_map_fd=4)))

    def test_error_pointers(self):
        self.assertEqual(lib.libbpf_get_error(ctypes.addressof(c_uint32())), 0)
        ctypes.set_errno(0)
        pointer = ctypes.c_void_p(-errno.ENOMEM)
        self.assertEqual((lib.libbpf_get_error(pointer), ctypes.get_errno()), (-errno.ENOMEM, errno.ENOMEM))
        self.assertEqual(lib.libbpf_set_strict_mode(-1), 0)


@unittest.skipIf(MISSING_PRIVILEGE, MISSING_PRIVILEGE)
class Maps(BpfTest):
    def test_success_leaves_errno_alone_and_failure_sets_it(self):
        fd = self.hash_map()
        key, value = c_uint32(1), c_uint64(41)
        ctypes.set_errno(errno.EXDEV)
        self.ok(lib.bpf_map_update_elem(fd, byref(key), byref(value), bpf.BPF_NOEXIST))
        self.assertEqual(ctypes.get_errno(), errno.EXDEV)
        self.fails(errno.EEXIST, lib.bpf_map_update_elem, fd, byref(key), byref(value), bpf.BPF_NOEXIST)
        self.fails(errno.EBADF, lib.bpf_map_update_elem, -1, byref(key), byref(value), 0)

    def test_elements(self):
        fd = self.hash_map()
        key, value = c_uint32(), c_uint64()
        for number in (3, 4, 5, 6):
            self.ok(lib.bpf_map_update_elem(fd, byref(c_uint32(number)), byref(c_uint64(number * 100)), bpf.BPF_ANY))
        seen, position = [], None
        while lib.bpf_map_get_next_key(fd, position, byref(key)) == 0:
            seen.append(key.value)
            position = byref(c_uint32(key.value))
        self.assertEqual(ctypes.get_errno(), errno.ENOENT)
        self.assertEqual(sorted(seen), [3, 4, 5, 6])

        self.ok(lib.bpf_map_lookup_elem(fd, byref(c_uint32(4)), byref(value)))
        self.assertEqual(value.value, 400)
        self.fails(errno.EINVAL, lib.bpf_map_lookup_elem_flags, fd, byref(c_uint32(4)), byref(value), 4)
        self.ok(lib.bpf_map_lookup_and_delete_elem(fd, byref(c_uint32(5)), byref(value)))
        self.assertEqual(value.value, 500)
        self.fails(errno.ENOENT, lib.bpf_map_lookup_elem, fd, byref(c_uint32(5)), byref(value))
        self.ok(lib.bpf_map_lookup_and_delete_elem_flags(fd, byref(c_uint32(6)), byref(value), 0))
        self.ok(lib.bpf_map_delete_elem(fd, byref(c_uint32(3))))
        self.fails(errno.ENOENT, lib.bpf_map_delete_elem, fd, byref(c_uint32(3)))
        self.ok(lib.bpf_map_delete_elem_flags(fd, byref(c_uint32(4)), 0))
        self.fails(errno.ENOENT, lib.bpf_map_get_next_key, fd, None, byref(key))

    def test_frozen_map_refuses_writes(self):
        fd = self.hash_map()
        self.ok(lib.bpf_map_freeze(fd))
        self.fails(errno.EPERM, lib.bpf_map_update_elem, fd, byref(c_uint32(1)), byref(c_uint64(1)), 0)

    def test_options_reach_the_kernel(self):
        fd = self.hash_map(map_flags=bpf.BPF_F_RDONLY)
        self.fails(errno.EPERM, lib.bpf_map_update_elem, fd, byref(c_uint32(1)), byref(c_uint64(1)), 0)

    def test_options_are_read_only_as_far_as_sz(self):
        opts = bpf.MapCreateOpts(sz=bpf.MapCreateOpts.map_flags.offset, map_flags=bpf.BPF_F_RDONLY)
        fd = self.fd(lib.bpf_map_create(bpf.BPF_MAP_TYPE_HASH, b"old", 4, 8, 1, byref(opts)))
        self.ok(lib.bpf_map_update_elem(fd, byref(c_uint32(1)), byref(c_uint64(1)), 0))

    def test_options_may_end_where_memory_ends(self):
        libc.mmap.restype = ctypes.c_void_p
        libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_long]
        libc.munmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t]
        page = mmap.PAGESIZE
        memory = libc.mmap(None, 2 * page, mmap.PROT_READ | mmap.PROT_WRITE, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS, -1, 0)
        self.addCleanup(libc.munmap, memory, page)
        self.assertEqual(libc.munmap(memory + page, page), 0)
        for sz in range(ctypes.sizeof(ctypes.c_size_t), ctypes.sizeof(bpf.MapCreateOpts) + 1):
            opts = memory + page - sz
            ctypes.memset(opts, 0, sz)
            ctypes.memmove(opts, struct.pack("N", sz), ctypes.sizeof(ctypes.c_size_t))
            self.fd(lib.bpf_map_create(bpf.BPF_MAP_TYPE_HASH, b"edge", 4, 8, 1, opts))

    def test_batches(self):
        fd = self.hash_map(entries=16)
        numbers = range(10)
        keys, values = (c_uint32 * 10)(*numbers), (c_uint64 * 10)(*(n * n for n in numbers))
        count = c_uint32(10)
        self.ok(lib.bpf_map_update_batch(fd, keys, values, byref(count), byref(bpf.MapBatchOpts())))
        self.assertEqual(count.value, 10)

        got_keys, got_values, position = (c_uint32 * 16)(), (c_uint64 * 16)(), c_uint32()
        count = c_uint32(16)
        self.fails(errno.ENOENT, lib.bpf_map_lookup_batch, fd, None, byref(position), got_keys, got_values, byref(count), None)
        self.assertEqual(count.value, 10)
        self.assertEqual(dict(zip(got_keys[:10], got_values[:10])), {n: n * n for n in numbers})

        count = c_uint32(4)
        self.ok(lib.bpf_map_delete_batch(fd, keys, byref(count), None))
        count = c_uint32(16)
        call = lib.bpf_map_lookup_and_delete_batch
        self.fails(errno.ENOENT, call, fd, None, byref(position), got_keys, got_values, byref(count), None)
        self.assertEqual(sorted(got_keys[: count.value]), list(range(4, 10)))

    def test_batch_refused_midway_says_how_far_it_came(self):
        fd = self.hash_map(entries=2)
        keys, values, count = (c_uint32 * 4)(0, 1, 2, 3), (c_uint64 * 4)(), c_uint32(4)
        self.fails(errno.E2BIG, lib.bpf_map_update_batch, fd, keys, values, byref(count), None)
        self.assertEqual(count.value, 2)
        unknown = bpf.MapBatchOpts(elem_flags=1 << 40)
        self.fails(errno.EINVAL, lib.bpf_map_update_batch, fd, keys, values, byref(count), byref(unknown))

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
        with open(readable) as answer:
            self.assertEqual(answer.read(), "(True, [], False)")
        os.waitpid(child, 0)


@unittest.skipIf(MISSING_PRIVILEGE, MISSING_PRIVILEGE)
class Programs(BpfTest):
    def test_program_runs_and_outputs_come_back(self):
        fd = self.socket_filter(bpf.set_r0(42), bpf.RETURN_R0)
        packet = ctypes.create_string_buffer(b"\xaa" * 64, 64)
        out = ctypes.create_string_buffer(128)
        opts = bpf.TestRunOpts(
            data_in=ctypes.addressof(packet), data_size_in=64, data_out=ctypes.addressof(out), data_size_out=128, repeat=7
        )
        self.ok(lib.bpf_prog_test_run_opts(fd, byref(opts)))
        self.assertEqual(opts.retval, 42)
        self.assertEqual(opts.data_size_out, 64)
        # A socket filter does not see the Ethernet header, and the kernel hands back zeros in its place.
        self.assertEqual(out.raw, b"\0" * 14 + b"\xaa" * 50 + b"\0" * 64)

    def test_outputs_past_sz_are_left_alone(self):
        fd = self.socket_filter(bpf.set_r0(42), bpf.RETURN_R0)
        packet = ctypes.create_string_buffer(64)
        opts = bpf.TestRunOpts(
            sz=bpf.TestRunOpts.retval.offset, data_in=ctypes.addressof(packet), data_size_in=64, retval=7, duration=8
        )
        self.ok(lib.bpf_prog_test_run_opts(fd, byref(opts)))
        self.assertEqual((opts.retval, opts.duration), (7, 8))

    def test_verifier_log_of_a_refused_program(self):
        log = ctypes.create_string_buffer(4096)
        insns = bpf.program(bpf.RETURN_R0)
        for level in (0, 1, 2):
            log.value = b""
            opts = bpf.ProgLoadOpts(log_level=level, log_buf=ctypes.addressof(log), log_size=len(log))
            self.fails(errno.EACCES, lib.bpf_prog_load, 1, b"bad", b"GPL", insns, len(insns), byref(opts))
            self.assertIn(b"R0 !read_ok", log.value)
            self.assertEqual(opts.log_true_size, len(log.value) + 1)
        short = bpf.ProgLoadOpts(log_level=1, log_buf=ctypes.addressof(log), log_size=16)
        self.fails(errno.ENOSPC, lib.bpf_prog_load, 1, b"bad", b"GPL", insns, len(insns), byref(short))
        self.assertEqual(len(log.value), 15)
        self.assertGreater(short.log_true_size, 16)

    def test_an_accepted_program_leaves_no_log_at_level_0(self):
        log = ctypes.create_string_buffer(b"untouched", 4096)
        insns = bpf.program(bpf.set_r0(0), bpf.RETURN_R0)
        opts = bpf.ProgLoadOpts(log_buf=ctypes.addressof(log), log_size=len(log))
        self.fd(lib.bpf_prog_load(1, b"good", b"GPL", insns, len(insns), byref(opts)))
        self.assertEqual(log.value, b"untouched")

    def test_names_are_cut_at_15_bytes(self):
        insns = bpf.program(bpf.set_r0(0), bpf.RETURN_R0)
        fd = self.fd(lib.bpf_prog_load(1, b"abcdefghijklmnopqrstuvwxyz", b"GPL", insns, len(insns), None))
        info, size = ctypes.create_string_buffer(80), c_uint32(80)
        self.ok(lib.bpf_prog_get_info_by_fd(fd, info, byref(size)))
        self.assertEqual(size.value, 80)
        self.assertEqual(info.raw[64:80], b"abcdefghijklmno\0")

    def test_ids_lead_to_the_same_objects(self):
        for fd, next_id, by_id, get_info in (
            (self.hash_map(), lib.bpf_map_get_next_id, lib.bpf_map_get_fd_by_id, lib.bpf_map_get_info_by_fd),
            (
                self.socket_filter(bpf.set_r0(0), bpf.RETURN_R0),
                lib.bpf_prog_get_next_id,
                lib.bpf_prog_get_fd_by_id,
                lib.bpf_prog_get_info_by_fd,
            ),
        ):
            info, size = (c_uint32 * 2)(), c_uint32(8)  # type and id, of which there is always both
            self.ok(get_info(fd, info, byref(size)))
            found, position = c_uint32(), 0
            while found.value != info[1]:
                self.ok(next_id(position, byref(found)))
                position = found.value
            again, size = (c_uint32 * 2)(), c_uint32(8)
            self.ok(lib.bpf_obj_get_info_by_fd(self.fd(by_id(found.value)), again, byref(size)))
            self.assertEqual(list(again), list(info))
            untouched = c_uint32(77)
            self.fails(errno.ENOENT, next_id, 0x7FFFFFFE, byref(untouched))
            self.assertEqual(untouched.value, 77)

    def test_map_by_id_read_only(self):
        info, size = (c_uint32 * 2)(), c_uint32(8)
        self.ok(lib.bpf_map_get_info_by_fd(self.hash_map(), info, byref(size)))
        read_only = bpf.GetFdByIdOpts(open_flags=bpf.BPF_F_RDONLY)
        fd = self.fd(lib.bpf_map_get_fd_by_id_opts(info[1], byref(read_only)))
        self.fails(errno.EPERM, lib.bpf_map_update_elem, fd, byref(c_uint32(1)), byref(c_uint64(1)), 0)

    def test_btf(self):
        # A header, one type (int, 4 bytes, 32 bits), and the strings "" and "int".
        types = struct.pack("=IIII", 1, 1 << 24, 4, 32)
        data = struct.pack("=HBBIIIII", 0xEB9F, 1, 0, 24, 0, len(types), len(types), 5) + types + b"\0int\0"
        fd = self.fd(lib.bpf_btf_load(data, len(data), None))
        info, size = (c_uint64 * 4)(), c_uint32(32)  # btf, then btf_size and id
        self.ok(lib.bpf_btf_get_info_by_fd(fd, info, byref(size)))
        self.assertEqual(info[1] & 0xFFFFFFFF if struct.pack("=I", 1)[0] else info[1] >> 32, len(data))

        log = ctypes.create_string_buffer(1024)
        opts = bpf.BtfLoadOpts(log_buf=ctypes.addressof(log), log_size=len(log))
        self.fails(errno.EINVAL, lib.bpf_btf_load, data[:-1], len(data) - 1, byref(opts))
        self.assertNotEqual(log.value, b"")
        self.assertGreater(opts.log_true_size, len(log.value))
        self.fails(errno.EINVAL, lib.bpf_btf_load, data, len(data), byref(bpf.BtfLoadOpts(log_size=8)))

    def test_statistics_are_on_while_their_descriptor_is_open(self):
        statistics = self.fd(lib.bpf_enable_stats(bpf.BPF_STATS_RUN_TIME))
        fd = self.socket_filter(bpf.set_r0(0), bpf.RETURN_R0)
        receive, send = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
        with receive, send:
            receive.setsockopt(socket.SOL_SOCKET, 50, struct.pack("i", fd))  # SO_ATTACH_BPF
            send.send(b"x")
        info, size = ctypes.create_string_buffer(208), c_uint32(208)
        self.ok(lib.bpf_prog_get_info_by_fd(fd, info, byref(size)))
        run_count = struct.unpack_from("=Q", info.raw, 200)[0]
        self.assertEqual(run_count, 1)
        os.close(statistics)
        self.fails(errno.EINVAL, lib.bpf_enable_stats, 1000)


@unittest.skipIf(MISSING_PRIVILEGE, MISSING_PRIVILEGE)
class Pins(BpfTest):
    @classmethod
    def setUpClass(cls):
        # A bpf file system of our own, in a mount namespace that ends with this process.
        cls.folder = tempfile.mkdtemp(prefix="bpf-python-")
        cls.addClassCleanup(os.rmdir, cls.folder)
        for answer in (
            libc.unshare(0x20000),
            libc.mount(b"none", b"/", None, ctypes.c_ulong(0x4000 | 0x40000), None),
            libc.mount(b"bpf", os.fsencode(cls.folder), b"bpf", ctypes.c_ulong(0), None),
        ):
            if answer:
                raise OSError(ctypes.get_errno(), "private bpf file system")
        cls.addClassCleanup(libc.umount2, os.fsencode(cls.folder), 2)

    def test_pinned_object_is_the_same_object(self):
        fd = self.hash_map()
        path = os.fsencode(self.folder) + b"/map"
        self.fails(errno.ENOENT, lib.bpf_obj_get, path)
        self.ok(lib.bpf_obj_pin(fd, path))
        self.addCleanup(os.unlink, path)
        self.fails(errno.EEXIST, lib.bpf_obj_pin, fd, path)
        self.ok(lib.bpf_map_update_elem(fd, byref(c_uint32(1)), byref(c_uint64(99)), 0))
        again, value = self.fd(lib.bpf_obj_get(path)), c_uint64()
        self.ok(lib.bpf_map_lookup_elem(again, byref(c_uint32(1)), byref(value)))
        self.assertEqual(value.value, 99)

    def test_options_of_pin_and_get(self):
        fd, path = self.hash_map(), os.fsencode(self.folder) + b"/ro"
        self.ok(lib.bpf_obj_pin_opts(fd, path, byref(bpf.ObjPinOpts())))
        self.addCleanup(os.unlink, path)
        read_only = self.fd(lib.bpf_obj_get_opts(path, byref(bpf.ObjGetOpts(file_flags=bpf.BPF_F_RDONLY))))
        self.fails(errno.EPERM, lib.bpf_map_update_elem, read_only, byref(c_uint32(1)), byref(c_uint64(1)), 0)
        self.fails(errno.EINVAL, lib.bpf_obj_get_opts, path, byref(bpf.ObjGetOpts(file_flags=1 << 30)))

    def test_pinning_elsewhere_is_refused(self):
        with tempfile.TemporaryDirectory() as folder:
            self.fails(errno.EPERM, lib.bpf_obj_pin, self.hash_map(), os.fsencode(folder) + b"/map")


@unittest.skipIf(MISSING_PRIVILEGE, MISSING_PRIVILEGE)
class LinksAndAttaching(BpfTest):
    def raw_tracepoint_program(self):
        insns = bpf.program(bpf.set_r0(0), bpf.RETURN_R0)
        return self.fd(lib.bpf_prog_load(bpf.BPF_PROG_TYPE_RAW_TRACEPOINT, b"py_tp", b"GPL", insns, len(insns), None))

    def test_raw_tracepoint_by_name(self):
        prog = self.raw_tracepoint_program()
        link = self.fd(lib.bpf_raw_tracepoint_open(b"sys_enter", prog))
        name, size = ctypes.create_string_buffer(32), c_uint32(32)
        prog_id, kind, offset, address = c_uint32(), c_uint32(99), c_uint64(), c_uint64()
        outputs = [byref(x) for x in (size, prog_id, kind, offset, address)]
        self.ok(lib.bpf_task_fd_query(os.getpid(), link, 0, name, *outputs))
        self.assertEqual((name.value, kind.value), (b"sys_enter", bpf.BPF_FD_TYPE_RAW_TRACEPOINT))
        self.assertEqual(size.value, len("sys_enter"))

        info, length = (c_uint32 * 3)(), c_uint32(12)  # type, id, prog_id
        self.ok(lib.bpf_link_get_info_by_fd(link, info, byref(length)))
        self.assertEqual(info[2], prog_id.value)
        self.fd(lib.bpf_link_get_fd_by_id(info[1]))
        found, position = c_uint32(), 0
        while found.value != info[1]:
            self.ok(lib.bpf_link_get_next_id(position, byref(found)))
            position = found.value
        self.fails(errno.EOPNOTSUPP, lib.bpf_link_detach, link)

    def test_raw_tracepoint_with_options(self):
        prog = self.raw_tracepoint_program()
        self.fd(lib.bpf_raw_tracepoint_open_opts(prog, byref(bpf.RawTpOpts(tp_name=b"sys_exit"))))
        unknown = bpf.RawTpOpts(tp_name=b"no_such_tracepoint")
        self.fails(errno.ENOENT, lib.bpf_raw_tracepoint_open_opts, prog, byref(unknown))

    def cgroup(self):
        with open("/proc/mounts") as mounts:
            root = next((line.split()[1] for line in mounts if line.split()[2] == "cgroup2"), None)
        if root is None:
            self.skipTest("no cgroup v2 hierarchy is mounted")
        try:
            path = tempfile.mkdtemp(prefix="bpf-python-", dir=root)
        except OSError as error:
            self.skipTest(f"no cgroup can be made in {root}: {error.strerror}")
        self.addCleanup(os.rmdir, path)
        return self.fd(os.open(path, os.O_RDONLY | os.O_DIRECTORY))

    def cgroup_program(self):
        insns = bpf.program(bpf.set_r0(1), bpf.RETURN_R0)
        return self.fd(lib.bpf_prog_load(bpf.BPF_PROG_TYPE_CGROUP_SKB, b"py_skb", b"GPL", insns, len(insns), None))

    def test_attach_query_detach(self):
        cgroup, first, second = self.cgroup(), self.cgroup_program(), self.cgroup_program()
        hook = bpf.BPF_CGROUP_INET_EGRESS
        self.ok(lib.bpf_prog_attach(first, cgroup, hook, bpf.BPF_F_ALLOW_MULTI))
        self.ok(lib.bpf_prog_attach_opts(second, cgroup, hook, byref(bpf.ProgAttachOpts(flags=bpf.BPF_F_ALLOW_MULTI))))

        flags, ids, count = c_uint32(), (c_uint32 * 4)(), c_uint32(4)
        self.ok(lib.bpf_prog_query(cgroup, hook, 0, byref(flags), ids, byref(count)))
        self.assertEqual((flags.value, count.value), (bpf.BPF_F_ALLOW_MULTI, 2))
        # One slot for two programs: refused, and how many there are comes back all the same.
        opts = bpf.ProgQueryOpts(prog_ids=ctypes.addressof(ids), count=1)
        self.fails(errno.ENOSPC, lib.bpf_prog_query_opts, cgroup, hook, byref(opts))
        self.assertEqual(opts.count, 2)

        self.ok(lib.bpf_prog_detach2(first, cgroup, hook))
        self.ok(lib.bpf_prog_detach_opts(second, cgroup, hook, byref(bpf.ProgDetachOpts())))
        self.fails(errno.ENOENT, lib.bpf_prog_detach2, second, cgroup, hook)

    def test_link_created_updated_detached(self):
        cgroup, first, second = self.cgroup(), self.cgroup_program(), self.cgroup_program()
        hook = bpf.BPF_CGROUP_INET_EGRESS
        link = self.fd(lib.bpf_link_create(first, cgroup, hook, byref(bpf.LinkCreateOpts())))
        self.ok(lib.bpf_link_update(link, second, None))
        replace = bpf.LinkUpdateOpts(flags=4, old_prog_fd=first)  # BPF_F_REPLACE, but the second is attached by now
        self.fails(errno.EPERM, lib.bpf_link_update, link, first, byref(replace))
        self.ok(lib.bpf_link_detach(link))
        both = bpf.LinkCreateOpts(cgroup=bpf.Relative(relative_fd=link, relative_id=1))
        self.fails(errno.EINVAL, lib.bpf_link_create, first, cgroup, hook, byref(both))
        foreign = bpf.LinkCreateOpts(uprobe_multi=bpf.UprobeMulti(pid=1))
        self.fails(errno.EINVAL, lib.bpf_link_create, first, cgroup, hook, byref(foreign))


if __name__ == "__main__":
    unittest.main()
