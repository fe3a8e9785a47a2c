# SPDX-License-Identifier: MIT OR Apache-2.0
"""Programs: loading them from bytes, with what the verifier says; running them for a test."""

from __future__ import annotations

import errno
import os
from ctypes import create_string_buffer, sizeof
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from . import bpf
from ._library import error
from ._object import Handle, Object, id_by_name, ids, info_of, known, one_of, text

if TYPE_CHECKING:
    from collections.abc import Iterator
    from ctypes import Structure

FIRST_LOG_SIZE = 1 << 16


class VerifierError(OSError):
    """The verifier refused a program; log says why, in full. The message has its last lines."""

    log: str

    def __init__(self, number: int, message: str, log: str) -> None:
        lines = log.rstrip("\n").splitlines()
        left_out = f"[{len(lines) - 20} lines before]\n" if len(lines) > 20 else ""
        super().__init__(number, f"{message}\n{left_out}" + "\n".join(lines[-20:]))
        self.log = log


class TestRun(NamedTuple):
    """What a test run gave: the program's answer, the packet and the context after it, nanoseconds."""

    retval: int
    data: bytes | None
    ctx: bytes | None
    duration: int


@dataclass(frozen=True)
class ProgramInfo:
    """A program in the list that programs() gives."""

    id: int
    name: str
    type: bpf.bpf_prog_type | int
    tag: str
    gpl_compatible: bool
    run_time_ns: int
    run_cnt: int
    raw: bpf.bpf_prog_info = field(repr=False)
    """All that the kernel says."""


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
    """All programs of the kernel; needs CAP_SYS_ADMIN. One that goes away meanwhile is left out."""
    for id in ids(bpf.bpf_prog_get_next_id):
        try:
            handle = Handle(bpf.bpf_prog_get_fd_by_id(id))
        except FileNotFoundError:
            continue
        yield _describe(handle.fd)
        handle.close()


class Program(Object):
    """A program of the kernel."""

    _kind = "program"
    _inode = "bpf-prog"
    _get_fd_by_id = bpf.bpf_prog_get_fd_by_id
    log = ""
    """What the verifier wrote when it was loaded with a log_level."""

    @classmethod
    def load(
        cls,
        prog_type: int,
        insns: bytes,
        *,
        name: str = "",
        license: str = "GPL",
        expected_attach_type: int = 0,
        flags: int = 0,
        log_level: int = 0,
        opts: bpf.bpf_prog_load_opts | None = None,
    ) -> Program:
        """Load a program: `BPF_PROG_TYPE_*`, its instructions of 8 bytes each; opts for what is rarer.

        If the verifier refuses it, a VerifierError has its log.
        """
        if not insns or len(insns) % sizeof(bpf.bpf_insn):
            raise ValueError(f"program {name!r}: {len(insns)} bytes are no whole number of instructions of 8 bytes")
        count = len(insns) // sizeof(bpf.bpf_insn)
        code = (bpf.bpf_insn * count).from_buffer_copy(insns)
        opts = bpf.bpf_prog_load_opts.from_buffer_copy(opts or bpf.bpf_prog_load_opts())
        opts.expected_attach_type = opts.expected_attach_type or expected_attach_type
        opts.prog_flags |= flags
        opts.log_level |= log_level
        size = FIRST_LOG_SIZE
        while True:
            log = create_string_buffer(size)
            opts.log_buf, opts.log_size = log, size
            try:
                fd = bpf.bpf_prog_load(prog_type, name.encode() or None, license.encode(), code, count, opts)
                break
            except OSError as failed:
                # ENOSPC: the log did not fit.
                if failed.errno == errno.ENOSPC and size < bpf.BPF_LOG_BUF_SIZE:
                    size = min(size * 16, bpf.BPF_LOG_BUF_SIZE)
                    continue
                why = error(failed.errno or 0, "bpf_prog_load", f"program {name!r}")
                if log.value:
                    raise VerifierError(failed.errno or 0, why.strerror or "", text(log.value)) from None
                raise why from None
        program = cls(fd)
        program.log = text(log.value)
        return program

    @classmethod
    def open(
        cls, *, id: int | None = None, name: str | None = None, pin: str | os.PathLike[str] | None = None
    ) -> Program:
        """Open a program that exists: by its id, its name, or where it is pinned."""
        one_of("program", id=id, name=name, pin=pin)
        if pin is not None:
            return cls(cls._by_pin(pin))
        if name is not None:
            id = id_by_name("program", name, ((info.id, info.name) for info in programs()))
        assert id is not None
        return cls(cls._by_id(id))

    def _read_info(self) -> None:
        self._about = _describe(self._handle.fd)

    @property
    def info(self) -> ProgramInfo:
        """What the kernel says of it now: the counts grow while statistics are on."""
        return _describe(self.fileno())

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
        data: bytes | None = None,
        *,
        ctx: bytes | Structure | None = None,
        repeat: int = 0,
        flags: int = 0,
        cpu: int = 0,
        data_size_out: int | None = None,
    ) -> TestRun:
        """Run the program now, on a packet (data), a context (ctx), or both.

        data_size_out is the room for the packet that comes back: by default 256 bytes more than went
        in, which is as much as XDP can add in front.
        """
        opts = bpf.bpf_test_run_opts(repeat=repeat, flags=flags, cpu=cpu)
        if data is not None:
            data_out = create_string_buffer(len(data) + 256 if data_size_out is None else data_size_out)
            opts.data_in, opts.data_size_in = data, len(data)
            opts.data_out, opts.data_size_out = data_out, len(data_out)
        if ctx is not None:
            ctx_in = bytes(ctx)
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
