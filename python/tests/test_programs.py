# SPDX-License-Identifier: MIT OR Apache-2.0
"""Programs and links, on the running kernel."""

from __future__ import annotations

import ctypes
import errno
import os
import sys
from typing import TYPE_CHECKING, Any

import pytest

import sysbpf
from sysbpf import bpf

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.usefixtures("kernel")

EXIT = bytes.fromhex("9500000000000000")
ANSWER_42 = bytes.fromhex("b70000002a000000") + EXIT
# r0 = context[0], a packet's length or a raw tracepoint's first argument
FIRST_WORD = bytes.fromhex("6110000000000000") + EXIT


def instruction(code: int, dst: int = 0, src: int = 0, off: int = 0, imm: int = 0) -> bytes:
    return bytes(bpf.bpf_insn(code=code, dst_reg=dst, src_reg=src, off=off, imm=imm))


def load(insns: bytes = ANSWER_42, **more: Any) -> sysbpf.Program:
    return sysbpf.Program.load(bpf.BPF_PROG_TYPE_SOCKET_FILTER, insns, **{"license": "GPL", **more})


def test_loaded_and_run() -> None:
    with load(name="answer") as program:
        assert program.log == ""
        run = program.test_run(bytes(range(64)), repeat=3)
        assert (run.retval, run.ctx) == (42, None)
        assert run.data is not None
        assert run.data[14:] == bytes(range(14, 64)), "behind the link-layer header"
        assert str(program) == f"program 'answer' (id {program.id})"
        info = program.info
        assert (info.type, info.name, info.gpl_compatible) == (bpf.BPF_PROG_TYPE_SOCKET_FILTER, "answer", True)
        assert len(info.tag) == 16


def test_a_context_goes_in_and_comes_back() -> None:
    with sysbpf.Program.load(bpf.BPF_PROG_TYPE_SCHED_CLS, FIRST_WORD, license="GPL") as program:
        run = program.test_run(bytes(60), ctx=bpf.sk_buff(mark=7, priority=5))
        assert run.retval == 60
        assert run.ctx is not None
        back = bpf.sk_buff.from_buffer_copy(run.ctx)
        assert (back.mark, back.priority) == (7, 5)
    with sysbpf.Program.load(bpf.BPF_PROG_TYPE_RAW_TRACEPOINT, FIRST_WORD, license="GPL") as tracing:
        first = (123456789).to_bytes(8, sys.byteorder)
        run = tracing.test_run(ctx=first)
        assert (run.data, run.ctx) == (None, None)


def test_a_packet_that_grows() -> None:
    # bpf_xdp_adjust_head(ctx, -100); return XDP_PASS
    grow = (
        instruction(0xB7, dst=2, imm=-100)
        + instruction(0x85, imm=bpf.BPF_FUNC_xdp_adjust_head)
        + instruction(0xB7, imm=bpf.XDP_PASS)
        + instruction(0x95)
    )
    with sysbpf.Program.load(bpf.BPF_PROG_TYPE_XDP, grow, license="GPL", name="grow") as program:
        run = program.test_run(bytes(64))
        assert run.retval == bpf.XDP_PASS
        assert run.data is not None
        assert len(run.data) == 164
        with pytest.raises(
            OSError, match=r"program 'grow' .*: the packet has 164 bytes now: give data_size_out"
        ) as small:
            program.test_run(bytes(64), data_size_out=80)
        assert small.value.errno == errno.ENOSPC


def test_the_verifier_log_is_in_the_exception() -> None:
    with pytest.raises(
        sysbpf.VerifierError, match=r"bpf_prog_load: program 'wrong': Permission denied(?s:.*)R0 !read_ok"
    ) as refused:
        load(EXIT, name="wrong")
    assert isinstance(refused.value, OSError)
    assert refused.value.errno == errno.EACCES
    assert "R0 !read_ok" in refused.value.log
    assert "processed 1 insns" in refused.value.log


def test_a_long_log_is_whole_and_its_end_is_in_the_message() -> None:
    # Many instructions, at a log level that writes at least a line for each, and then one that is rejected.
    steps = 4000
    insns = instruction(0xB7) + instruction(0x07, imm=1) * steps + instruction(0x61, dst=0, src=0) + EXIT
    with pytest.raises(sysbpf.VerifierError) as refused:
        load(insns, log_level=2)
    log = refused.value.log
    assert len(log) > 1 << 16, "longer than the first buffer"
    assert log.count("r0 += 1") >= steps
    assert "R0 invalid mem access" in log
    assert "R0 invalid mem access" in str(refused.value)
    assert len(str(refused.value).splitlines()) < 30
    assert "lines before]" in str(refused.value)


def test_a_log_on_demand_and_one_that_did_not_fit_at_first() -> None:
    with load(log_level=1) as program:
        assert "processed 2 insns" in program.log
    insns = instruction(0xB7) + instruction(0x07, imm=1) * 4000 + EXIT
    with load(insns, log_level=2) as long:
        assert long.log.count("r0 += 1") >= 4000


def test_options_are_used_and_left_as_they_are() -> None:
    opts = bpf.bpf_prog_load_opts(expected_attach_type=bpf.BPF_CGROUP_INET6_BIND)
    bind = instruction(0xB7, imm=1) + EXIT
    with sysbpf.Program.load(
        bpf.BPF_PROG_TYPE_CGROUP_SOCK_ADDR, bind, license="GPL", opts=opts, log_level=1
    ) as program:
        assert program.log
    assert (opts.log_level, opts.log_size) == (0, 0)
    with pytest.raises(OSError, match="bpf_prog_load"):
        # It is rejected without the attach type.
        sysbpf.Program.load(bpf.BPF_PROG_TYPE_CGROUP_SOCK_ADDR, bind, license="GPL")


def test_a_licence_is_stated() -> None:
    insns: Any = ANSWER_42
    with pytest.raises(TypeError, match="missing 1 required keyword-only argument: 'license'"):
        sysbpf.Program.load(bpf.BPF_PROG_TYPE_SOCKET_FILTER, insns)  # type: ignore[call-arg]
    for license, compatible in (("GPL", True), ("Dual MIT/GPL", True), ("Proprietary", False), ("", False)):
        with load(license=license) as program:
            assert program.info.gpl_compatible is compatible


def test_the_callers_log_buffer_is_used_and_the_size_of_the_log_returned() -> None:
    room = ctypes.create_string_buffer(b"before", 4096)
    insns = (bpf.bpf_insn * 2).from_buffer_copy(ANSWER_42)
    plain = bpf.bpf_prog_load_opts(log_buf=room, log_size=len(room), log_level=1)
    os.close(bpf.bpf_prog_load(bpf.BPF_PROG_TYPE_SOCKET_FILTER, None, b"GPL", insns, 2, plain))
    has_true_size = plain.log_true_size > 0  # Linux 6.4, libbpf 1.2
    opts = bpf.bpf_prog_load_opts(log_buf=room, log_size=len(room), log_level=1)
    before = bytes(opts)
    with load(opts=opts) as program:
        assert "processed 2 insns" in program.log
        assert room.value.decode() == program.log
    assert opts.log_true_size == (len(room.value) + 1 if has_true_size else 0)
    opts.log_true_size = 0
    assert bytes(opts) == before, "nothing else of it has changed"

    # A rejected program.
    opts = bpf.bpf_prog_load_opts(log_buf=room, log_size=len(room))
    with pytest.raises(sysbpf.VerifierError, match="R0 !read_ok") as refused:
        load(EXIT, opts=opts)
    assert room.value.decode() == refused.value.log
    assert (opts.log_true_size > 0) == has_true_size

    # A buffer that is too small is not replaced; it has the part of the log that fits.
    small = ctypes.create_string_buffer(64)
    opts = bpf.bpf_prog_load_opts(log_buf=small, log_size=len(small), log_level=2)
    with pytest.raises(OSError, match=r"bpf_prog_load: program 'answer': ") as short:
        load(instruction(0xB7) + instruction(0x07, imm=1) * 400 + EXIT, name="answer", opts=opts)
    assert short.value.errno == errno.ENOSPC
    if has_true_size:
        assert f"the verifier log has {opts.log_true_size} bytes, but log_buf has 64" in str(short.value)
        assert opts.log_true_size > 400

    # The text that an earlier load left in the buffer is not taken for the log.
    room.value = b"before"
    opts = bpf.bpf_prog_load_opts(log_buf=room, log_size=len(room))
    with load(opts=opts) as quiet:
        assert quiet.log == ""

    # The size is returned even if the caller passes no buffer.
    opts = bpf.bpf_prog_load_opts(log_level=1)
    with load(opts=opts) as program:
        assert program.log
        assert (opts.log_true_size == len(program.log) + 1) == has_true_size
        assert not opts.log_buf


def test_a_subclass_stays_one(bpffs: str) -> None:
    class Filter(sysbpf.Program):
        def accepts(self, packet: bytes) -> bool:
            return self.test_run(packet).retval > 0

    path = os.path.join(bpffs, "filter")
    with Filter.load(bpf.BPF_PROG_TYPE_SOCKET_FILTER, ANSWER_42, license="GPL") as program:
        assert program.accepts(bytes(14))
        program.pin(path)
        with Filter.open(id=program.id) as by_id, Filter.open(pin=path) as by_pin:
            assert by_id.accepts(bytes(14))
            assert type(by_pin) is Filter
        os.unlink(path)


def test_instructions_and_packets_of_every_kind() -> None:
    code = (bpf.bpf_insn * 2)(bpf.bpf_insn(code=0xB7, imm=42), bpf.bpf_insn(code=0x95))
    for insns in (ANSWER_42, bytearray(ANSWER_42), memoryview(ANSWER_42), code, memoryview(code)):
        with sysbpf.Program.load(bpf.BPF_PROG_TYPE_SOCKET_FILTER, insns, license="GPL") as program:
            assert program.test_run(bytes(14)).retval == 42
    with sysbpf.Program.load(bpf.BPF_PROG_TYPE_SCHED_CLS, FIRST_WORD, license="GPL") as first:
        packet = bytes(range(64))
        array = (ctypes.c_uint8 * 64)(*packet)
        strided = memoryview(bytes(byte for byte in packet for _ in range(2)))[::2]
        for data in (packet, bytearray(packet), memoryview(packet), array, memoryview(array), strided):
            run = first.test_run(data)
            assert (run.retval, run.data) == (64, packet)
        context = bpf.sk_buff(mark=7)
        for ctx in (context, bytes(context), bytearray(bytes(context)), memoryview(context)):
            back = first.test_run(packet, ctx=ctx).ctx
            assert back is not None
            assert bpf.sk_buff.from_buffer_copy(back).mark == 7
        for wrong in ("text", 64, [0] * 64, ctypes.c_char_p(packet), ctypes.pointer(array)):
            said = "must be bytes, a bytearray, a memoryview or a ctypes array or struct, not " + type(wrong).__name__
            with pytest.raises(TypeError, match=f"^data: {said}"):
                first.test_run(wrong)  # type: ignore[arg-type]
            with pytest.raises(TypeError, match=f"^ctx: {said}"):
                first.test_run(packet, ctx=wrong)  # type: ignore[arg-type]
            with pytest.raises(TypeError, match=f"^insns: {said}"):
                sysbpf.Program.load(1, wrong, license="GPL")  # type: ignore[arg-type]


def test_numbers_that_do_not_fit_are_rejected_by_name() -> None:
    with load() as program:
        cases: list[tuple[Any, str]] = [
            (lambda: program.test_run(bytes(14), repeat=2**31), "repeat: 2147483648 does not fit into c_int32, "),
            (lambda: program.test_run(bytes(14), flags=2**40), "flags: 1099511627776 does not fit into c_uint32, "),
            (lambda: program.test_run(bytes(14), cpu=-1), "cpu: -1 does not fit into c_uint32, "),
            (lambda: program.test_run(bytes(14), data_size_out=-1), "data_size_out: -1 does not fit into c_uint32, "),
            (lambda: load(flags=2**40), "flags: "),
            (lambda: load(log_level=-1), "log_level: "),
            (lambda: load(expected_attach_type=2**32), "expected_attach_type: "),
            (lambda: sysbpf.Program.load(2**32, ANSWER_42, license="GPL"), "bpf_prog_load: prog_type: "),
            (lambda: sysbpf.Link.create(program, 2**31, 0), "bpf_link_create: target_fd: "),
            (lambda: sysbpf.Link.create(program, 0, -1), "bpf_link_create: attach_type: "),
        ]
        for call, said in cases:
            with pytest.raises(OverflowError) as refused:
                call()
            assert str(refused.value).startswith(said)


def test_invalid_programs_are_rejected() -> None:
    for insns in (b"", b"1234", ANSWER_42[:-1]):
        with pytest.raises(ValueError, match=f"program 'part': insns: {len(insns)} bytes, but an instruction has 8"):
            load(insns, name="part")
    with pytest.raises(OSError, match="bpf_prog_load: program 'a b': the name has ' ', but the kernel accepts only"):
        load(name="a b")
    with pytest.raises(OSError, match="bpf_prog_load: program 'typeless': Invalid argument") as refused:
        sysbpf.Program.load(9999, ANSWER_42, license="GPL", name="typeless")
    assert refused.value.errno == errno.EINVAL
    assert not isinstance(refused.value, sysbpf.VerifierError)
    with (
        load(name="cgroup") as program,
        pytest.raises(OSError, match="bpf_prog_test_run_opts: program 'cgroup'") as short,
    ):
        program.test_run(b"123")
    assert short.value.errno == errno.EINVAL


def test_opened_and_listed(bpffs: str) -> None:
    unique = f"p{os.getpid()}"
    with load(name=unique) as program:
        for other in (sysbpf.Program.open(id=program.id), sysbpf.Program.open(name=unique)):
            assert other.id == program.id
            assert other.test_run(bytes(14)).retval == 42
        path = os.path.join(bpffs, unique)
        program.pin(path)
        with sysbpf.Program.open(pin=path) as by_pin:
            assert by_pin.id == program.id
        (info,) = [info for info in sysbpf.programs() if info.id == program.id]
        assert info.name == unique
        assert info.type is bpf.BPF_PROG_TYPE_SOCKET_FILTER
        os.unlink(path)
    with pytest.raises(FileNotFoundError, match="program id 2147483647"):
        sysbpf.Program.open(id=0x7FFFFFFF)
    with pytest.raises(FileNotFoundError, match="program named"):
        sysbpf.Program.open(name="no such one")
    with pytest.raises(ValueError, match=f"program '{unique}' .* is closed"):
        program.test_run(bytes(14))


def test_a_program_uses_a_map() -> None:
    with sysbpf.Map.create(bpf.BPF_MAP_TYPE_ARRAY, 4, 8, 1, name="hits") as hits:
        fd = hits.fileno()
        # ++*(u64 *)&hits[0]
        insns = (
            instruction(0x18, dst=1, src=bpf.BPF_PSEUDO_MAP_VALUE, imm=fd)
            + instruction(0)
            + instruction(0xB7, dst=2, imm=1)
            + instruction(0xDB, dst=1, src=2)
            + ANSWER_42
        )
        with load(insns) as program:
            program.test_run(bytes(64), repeat=5)
            assert list(hits.values_as(ctypes.c_uint64).values()) == [5]


@pytest.fixture
def cgroup() -> Iterator[int]:
    """The descriptor of a cgroup of its own."""
    with open("/proc/self/mounts") as mounts:
        roots = [fields[1] for fields in map(str.split, mounts) if fields[2] == "cgroup2"]
    if not roots:
        pytest.skip("no cgroup v2 file system is mounted")
    path = os.path.join(roots[0], f"sysbpf-python-{os.getpid()}")
    try:
        os.mkdir(path)
    except OSError as error:
        pytest.skip(f"no cgroup can be made here: {error}")
    fd = os.open(path, os.O_RDONLY)
    yield fd
    os.close(fd)
    os.rmdir(path)


def test_links(cgroup: int, bpffs: str) -> None:
    accept = instruction(0xB7, imm=1) + EXIT
    with sysbpf.Program.load(
        bpf.BPF_PROG_TYPE_CGROUP_SKB,
        accept,
        license="GPL",
        name="accept",
        expected_attach_type=bpf.BPF_CGROUP_INET_EGRESS,
    ) as program:
        with sysbpf.Link.create(program, cgroup, bpf.BPF_CGROUP_INET_EGRESS) as link:
            (info,) = [info for info in sysbpf.links() if info.id == link.id]
            assert (info.type, info.prog_id) == (bpf.BPF_LINK_TYPE_CGROUP, program.id)
            assert info.raw.cgroup.attach_type == bpf.BPF_CGROUP_INET_EGRESS
            assert str(link) == f"link {link.id} of program {program.id}"
            path = os.path.join(bpffs, "link")
            link.pin(path)
            with sysbpf.Link.open(pin=path) as by_pin, sysbpf.Link.open(id=link.id) as by_id:
                assert by_pin.id == by_id.id == link.id
            with pytest.raises(ValueError, match="not a map, but 'bpf-link'"):
                sysbpf.Map.open(pin=path)
            link.detach()
            os.unlink(path)
        assert link.id not in [info.id for info in sysbpf.links()]
        with pytest.raises(OSError, match=r"bpf_link_create: program 'accept' .* to \d+: Bad file descriptor"):
            sysbpf.Link.create(program, 999999, bpf.BPF_CGROUP_INET_EGRESS)
