# SPDX-License-Identifier: MIT OR Apache-2.0
"""Programs: loading them from bytes, with the verifier log, and test runs."""

from __future__ import annotations

import copy
import errno
import os
from ctypes import c_int, c_uint32, create_string_buffer, sizeof, string_at
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from . import bpf
from ._library import argument, bytes_of, error
from ._object import Handle, Object, bad_name, encoded, id_by_name, ids, info_of, known, one_of, text

if TYPE_CHECKING:
    from collections.abc import Iterator

    from typing_extensions import Buffer

    P = TypeVar("P", bound="Program")

FIRST_LOG_SIZE = 1 << 16


class VerifierError(OSError):
    """The verifier rejected a program. The message ends with the last lines of the verifier log; log has all lines."""

    log: str

    def __init__(self, number: int, message: str, log: str) -> None:
        self._message = message
        lines = log.rstrip("\n").splitlines()
        left_out = f"[{len(lines) - 20} lines before]\n" if len(lines) > 20 else ""
        super().__init__(number, f"{message}\n{left_out}" + "\n".join(lines[-20:]))
        self.log = log

    def __reduce__(self) -> tuple[Any, ...]:
        # The method of OSError does not fit the parameters of this class.
        return type(self), (self.errno, self._message, self.log), self.__dict__


class TestRun(NamedTuple):
    """The results of a test run: return value, packet and context afterwards, nanoseconds per run."""

    retval: int
    data: bytes | None
    ctx: bytes | None
    duration: int


@dataclass(frozen=True)
class ProgramInfo:
    """A program as programs() lists it."""

    id: int
    name: str
    type: bpf.bpf_prog_type | int
    tag: str
    gpl_compatible: bool
    run_time_ns: int
    run_cnt: int
    raw: bpf.bpf_prog_info = field(repr=False)
    """Everything that the kernel reports."""


def _describe(fd: int) -> ProgramInfo:
    raw = info_of(fd, bpf.bpf_prog_info())
    return ProgramInfo(
        raw.id,
        text(raw.name),
        known(bpf.bpf_prog_type, raw.type),
        bytes(raw.tag).hex(),
        bool(raw.gpl_compatible),
        raw.run_time_ns,
        raw.run_cnt,
        raw,
    )


def programs() -> Iterator[ProgramInfo]:
    """All programs of the kernel; needs CAP_SYS_ADMIN. A program that disappears during listing is skipped."""
    for id in ids(bpf.bpf_prog_get_next_id):
        try:
            handle = Handle(bpf.bpf_prog_get_fd_by_id(id))
        except FileNotFoundError:
            continue
        info = _describe(handle.fd)
        handle.close()
        yield info


class Program(Object):
    """A program of the kernel."""

    _kind = "program"
    _inode = "bpf-prog"
    _get_fd_by_id = bpf.bpf_prog_get_fd_by_id
    log = ""
    """The verifier log, if the program was loaded with a log_level."""

    @classmethod
    def load(
        cls: type[P],
        prog_type: int,
        insns: Buffer,
        *,
        license: str,
        name: str = "",
        expected_attach_type: int = 0,
        flags: int = 0,
        log_level: int = 0,
        opts: bpf.bpf_prog_load_opts | None = None,
    ) -> P:
        """Load a program. prog_type is a `BPF_PROG_TYPE_*`, insns has instructions of 8 bytes; opts has all else.

        The license determines which helpers the program may call; "GPL" allows all of them.
        If the verifier rejects the program, the exception is a VerifierError with the verifier log.

        opts is not changed, except for log_true_size. If it has a log_buf, the log is written there;
        otherwise this method provides a buffer of sufficient size.
        """
        code = bytes_of("insns", insns)
        about = f"program {name!r}"
        if not code or len(code) % sizeof(bpf.bpf_insn):
            raise ValueError(f"{about}: insns: {len(code)} bytes, but an instruction has 8 bytes and there must be one")
        count = len(code) // sizeof(bpf.bpf_insn)
        insn_array = (bpf.bpf_insn * count).from_buffer_copy(code)
        # opts, and the memory that only opts keeps alive, exists until this function returns.
        used = bpf.bpf_prog_load_opts() if opts is None else copy.copy(opts)
        used.expected_attach_type = used.expected_attach_type or argument(
            "expected_attach_type", c_uint32, expected_attach_type
        )
        used.prog_flags |= argument("flags", c_uint32, flags)
        used.log_level |= argument("log_level", c_uint32, log_level)
        own_log = not used.log_buf
        if used.log_buf and used.log_size:
            used.log_buf[0] = 0  # The kernel does not always write a log.
        size = FIRST_LOG_SIZE
        while True:
            if own_log:
                used.log_buf, used.log_size = create_string_buffer(size), size
            try:
                failed: OSError | None = None
                handle = Handle(
                    bpf.bpf_prog_load(
                        prog_type, encoded("name", name) or None, encoded("license", license), insn_array, count, used
                    )
                )
            except OSError as wrong:
                failed = wrong
            if opts is not None:
                opts.log_true_size = used.log_true_size
            log = text(string_at(used.log_buf, used.log_size).partition(b"\0")[0])
            if failed is None:
                break
            number = failed.errno or 0
            why = bad_name(name) if number == errno.EINVAL else ""
            if number == errno.ENOSPC:
                # The log did not fit.
                if own_log and size < bpf.BPF_LOG_BUF_SIZE:
                    size = min(size * 16, bpf.BPF_LOG_BUF_SIZE)
                    continue
                if used.log_true_size > used.log_size:
                    why = f"the verifier log has {used.log_true_size} bytes, but log_buf has {used.log_size}"
            plain = error(number, "bpf_prog_load", about, why)
            raise VerifierError(number, plain.strerror or "", log) if log else plain
        program = cls(handle)
        program.log = log
        return program

    @classmethod
    def open(
        cls: type[P], *, id: int | None = None, name: str | None = None, pin: str | os.PathLike[str] | None = None
    ) -> P:
        """Open an existing program, by its id, its name, or the path where it is pinned."""
        one_of("program", id=id, name=name, pin=pin)
        if pin is not None:
            return cls(cls._by_pin(pin))
        if name is not None:
            id = id_by_name("program", name, ((info.id, info.name) for info in programs()))
        assert id is not None
        return cls(cls._by_id(id))

    def _read_info(self, fd: int) -> None:
        self._about = _describe(fd)

    @property
    def info(self) -> ProgramInfo:
        """What the kernel reports now: run_cnt and run_time_ns grow while statistics are enabled."""
        info: ProgramInfo = self._using(_describe)
        return info

    @property
    def id(self) -> int:
        return self._about.id

    @property
    def name(self) -> str:
        return self._about.name

    def __str__(self) -> str:
        return f"program {self.name!r} (id {self.id})"

    def test_run(
        self,
        data: Buffer | None = None,
        *,
        ctx: Buffer | None = None,
        repeat: int = 0,
        flags: int = 0,
        cpu: int = 0,
        data_size_out: int | None = None,
    ) -> TestRun:
        """Run the program on a packet (data), a context (ctx), or both: bytes, or a ctypes array or struct.

        data_size_out is the size of the buffer for the packet as the program leaves it. By default it is
        256 bytes more than the packet has, which is as much as an XDP program can add in front.
        """
        opts = bpf.bpf_test_run_opts()
        opts.repeat = argument("repeat", c_int, repeat)
        opts.flags = argument("flags", c_uint32, flags)
        opts.cpu = argument("cpu", c_uint32, cpu)
        if data is not None:
            packet = bytes_of("data", data)
            room = len(packet) + 256 if data_size_out is None else argument("data_size_out", c_uint32, data_size_out)
            data_out = create_string_buffer(room)
            opts.data_in, opts.data_size_in = packet, len(packet)
            opts.data_out, opts.data_size_out = data_out, room
        if ctx is not None:
            ctx_in = bytes_of("ctx", ctx)
            opts.ctx_in, opts.ctx_size_in = ctx_in, len(ctx_in)
            if data is not None:
                ctx_out = create_string_buffer(len(ctx_in))
                opts.ctx_out, opts.ctx_size_out = ctx_out, len(ctx_out)
        try:
            self._call(bpf.bpf_prog_test_run_opts, opts)
        except OSError as failed:
            if data is not None and failed.errno == errno.ENOSPC and opts.data_size_out > len(data_out):
                needs = f"the packet has {opts.data_size_out} bytes now: give data_size_out"
                raise OSError(errno.ENOSPC, f"bpf_prog_test_run_opts: {self}: {needs}") from None
            raise
        return TestRun(
            opts.retval,
            data_out.raw[: opts.data_size_out] if data is not None else None,
            ctx_out.raw[: opts.ctx_size_out] if ctx is not None and data is not None else None,
            opts.duration,
        )
