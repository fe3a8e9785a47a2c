# SPDX-License-Identifier: MIT OR Apache-2.0
"""The tests run on the running kernel. Those that need privileges are skipped without them."""

from __future__ import annotations

import ctypes
import os
import subprocess
from typing import TYPE_CHECKING

import pytest

import sysbpf
from sysbpf import bpf

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


def _refused() -> str:
    """Why this process may not use bpf(2); empty if it may."""
    try:
        sysbpf.Map.create(bpf.BPF_MAP_TYPE_HASH, 4, 4, 1).close()
        list(sysbpf.maps())
    except PermissionError as error:
        return str(error)
    return ""


REFUSED = _refused()


@pytest.fixture
def kernel() -> None:
    """For tests that use bpf(2)."""
    if REFUSED:
        pytest.skip(REFUSED)


@pytest.fixture
def as_nobody() -> Callable[[Callable[[], object]], str]:
    """Calls a function in a process without privileges; returns the class and text of what it raised."""
    if os.getuid() != 0:
        pytest.skip("only root can become another user")

    def run(function: Callable[[], object]) -> str:
        reader, writer = os.pipe()
        child = os.fork()
        if child == 0:
            try:
                os.setgroups([])
                os.setresgid(65534, 65534, 65534)
                os.setresuid(65534, 65534, 65534)
                try:
                    text = f"no exception: {function()!r}"
                except BaseException as error:
                    text = f"{type(error).__name__}: {error}"
                os.write(writer, text.encode())
            finally:
                os._exit(0)
        os.close(writer)
        with open(reader) as pipe:
            text = pipe.read()
        os.waitpid(child, 0)
        return text

    return run


@pytest.fixture
def numbers(kernel: None) -> Iterator[sysbpf.Map[int, int]]:
    """A hash map of numbers."""
    with sysbpf.Map.create(bpf.BPF_MAP_TYPE_HASH, 4, 8, 5000, name="numbers") as created:
        yield created.keys_as(ctypes.c_uint32).values_as(ctypes.c_uint64)


@pytest.fixture
def bpffs(kernel: None, tmp_path: Path) -> Iterator[str]:
    """A bpf file system of its own."""
    path = str(tmp_path / "bpf")
    os.mkdir(path)
    mounted = subprocess.run(["mount", "-t", "bpf", "bpf", path], capture_output=True, text=True)
    if mounted.returncode:
        pytest.skip(f"cannot mount a bpf file system: {mounted.stderr.strip()}")
    yield path
    subprocess.run(["umount", path], check=True)
