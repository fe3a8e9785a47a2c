# SPDX-License-Identifier: MIT OR Apache-2.0
"""The ctypes layer, the library that it loads, and its messages if the library or a privilege is missing."""

from __future__ import annotations

import ctypes
import errno
import importlib.metadata
import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

import sysbpf
from sysbpf import bpf

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def python(code: str, *before: str, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [*before, sys.executable, "-c", code]
    path = os.pathsep.join([os.path.dirname(os.path.dirname(sysbpf.__file__))])
    return subprocess.run(
        command, capture_output=True, text=True, env={**os.environ, "PYTHONPATH": path, **environment}, check=False
    )


# Prints the library that the process has loaded.
PRINT_LOADED = """
for line in open("/proc/self/maps"):
    if "bpf.so" in line:
        print(line.split()[-1])
        break
"""


def loaded() -> str:
    """The path of the library that is loaded."""
    said: list[str] = []
    exec(PRINT_LOADED, {"print": said.append})
    return said[0]


# ---- Which library ----


def test_the_library_is_the_one_that_the_environment_names() -> None:
    library = loaded()
    named = python(f"import sysbpf; print(sysbpf.library)\n{PRINT_LOADED}", SYSBPF_LIBRARY=library)
    assert named.stdout.splitlines() == [library, library], named.stderr


def test_a_library_that_is_not_there_is_named() -> None:
    missing = python("import sysbpf", SYSBPF_LIBRARY="/nowhere/libbpf.so.1")
    assert missing.returncode == 1
    last = missing.stderr.splitlines()[-1]
    assert last.startswith("ImportError: sysbpf: cannot load /nowhere/libbpf.so.1 (from SYSBPF_LIBRARY): ")


def test_a_library_for_another_machine_is_named(tmp_path: Path) -> None:
    with open(loaded(), "rb") as file:
        other = bytearray(file.read())
    other[18] ^= 0xFF  # e_machine
    library = tmp_path / "libsysbpf.so.1"
    library.write_bytes(other)
    wrong = python("import sysbpf", SYSBPF_LIBRARY=str(library))
    assert wrong.returncode == 1
    assert wrong.stderr.splitlines()[-1].startswith(
        f"ImportError: sysbpf: cannot load {library} (from SYSBPF_LIBRARY): "
    )


def test_a_function_that_the_library_lacks_fails_when_it_is_called() -> None:
    # The C library has none of the functions. The import succeeds nevertheless.
    lacking = python(
        "from sysbpf import bpf\nimport errno\n"
        "try: bpf.bpf_map_freeze(3)\n"
        "except OSError as error: print(error.errno == errno.ENOSYS, error.strerror)",
        SYSBPF_LIBRARY="libc.so.6",
    )
    assert lacking.stdout.strip() == "True bpf_map_freeze: libc.so.6 has no such function", lacking.stderr


def test_the_version_is_that_of_the_package() -> None:
    try:
        installed = importlib.metadata.version("sysbpf")
    except importlib.metadata.PackageNotFoundError:
        pytest.skip("the package is not installed")
    assert sysbpf.__version__ == installed


# ---- Calls ----


def test_a_failure_is_an_oserror_of_its_errno() -> None:
    with pytest.raises(OSError, match="bpf_map_freeze: Bad file descriptor") as bad:
        bpf.bpf_map_freeze(-1)
    assert bad.value.errno == errno.EBADF
    with pytest.raises(FileNotFoundError, match="bpf_obj_get"):
        bpf.bpf_obj_get(b"/nowhere")
    with pytest.raises(TypeError, match="bpf_obj_get: pathname: must be bytes or None, not str"):
        bpf.bpf_obj_get("/nowhere")  # type: ignore[arg-type]


def test_libbpf_get_error_returns_what_it_is_asked_for() -> None:
    assert bpf.libbpf_get_error(ctypes.c_void_p(-errno.ENOENT)) == -errno.ENOENT
    assert bpf.libbpf_get_error(ctypes.addressof(ctypes.c_int())) == 0
    assert bpf.libbpf_set_strict_mode(bpf.LIBBPF_STRICT_ALL) == 0


def test_options_know_their_size_and_their_members() -> None:
    opts = bpf.bpf_map_create_opts(map_flags=bpf.BPF_F_NO_PREALLOC, numa_node=3)
    assert opts.sz == ctypes.sizeof(bpf.bpf_map_create_opts)
    assert (opts.map_flags, opts.numa_node, opts.btf_fd) == (1, 3, 0)
    assert not opts.log_opts
    with pytest.raises(AttributeError, match="bpf_map_create_opts has no member 'map_flag'"):
        bpf.bpf_map_create_opts(map_flag=1)  # type: ignore[call-arg]
    with pytest.raises(AttributeError, match="bpf_map_create_opts has no member 'map_flag'"):
        opts.map_flag = 1
    union = bpf.bpf_link_create_opts(flags=1)
    union.uprobe_multi.path = b"/bin/true"
    union.uprobe_multi.path_fd = 5
    assert union.sz == ctypes.sizeof(union)
    assert bytes(union)[ctypes.sizeof(union) - 4 :] == bytes(ctypes.c_uint32(5))
    assert bpf.struct_bpf_prog_query_opts(count=7).prog_cnt == 7


def test_options_take_memory_of_any_kind_and_keep_it() -> None:
    opts = bpf.bpf_test_run_opts(data_in=b"a packet", data_out=ctypes.create_string_buffer(8))
    assert ctypes.string_at(opts.data_in or 0, 8) == b"a packet"
    assert ctypes.string_at(opts.data_out or 0, 8) == bytes(8)
    context = bpf.xdp_md(data_end=60)
    opts.ctx_in = context
    assert opts.ctx_in == ctypes.addressof(context)
    opts.ctx_in = None
    assert opts.ctx_in is None
    packet = ctypes.create_string_buffer(100)
    held = sys.getrefcount(packet)
    opts.data_in = packet
    assert sys.getrefcount(packet) == held + 1
    log = bpf.bpf_log_opts(buf=ctypes.create_string_buffer(b"log"), size=3)
    assert bpf.bpf_map_create_opts(log_opts=log).log_opts.contents.buf[0] == b"l"
    with pytest.raises(TypeError, match=r"bpf_test_run_opts\.data_in: must be bytes, a bytearray, .*, not str"):
        opts.data_in = "text"  # type: ignore[assignment]


@pytest.mark.usefixtures("kernel")
def test_pointers_of_every_kind_are_accepted() -> None:
    fd = bpf.bpf_map_create(bpf.BPF_MAP_TYPE_HASH, b"pointers", 4, 8, 3, None)
    try:
        value, key, following = ctypes.c_uint64(7), ctypes.c_uint32(1), ctypes.create_string_buffer(4)
        assert bpf.bpf_map_update_elem(fd, key, value, bpf.BPF_ANY) == 0
        assert bpf.bpf_map_update_elem(fd, b"\2\0\0\0", ctypes.byref(value), bpf.BPF_ANY) == 0
        assert (
            bpf.bpf_map_update_elem(fd, ctypes.pointer(ctypes.c_uint32(3)), ctypes.addressof(value), bpf.BPF_ANY) == 0
        )
        for look in (key, bytes(key), ctypes.byref(key)):
            into = ctypes.c_uint64()
            bpf.bpf_map_lookup_elem(fd, look, into)
            assert into.value == 7
        bpf.bpf_map_get_next_key(fd, None, following)
        with pytest.raises(OSError, match="bpf_map_update_elem: Argument list too long") as full:
            bpf.bpf_map_update_elem(fd, b"\4\0\0\0", value, bpf.BPF_ANY)
        assert full.value.errno == errno.E2BIG
        info, size = bpf.bpf_map_info(), ctypes.c_uint32(ctypes.sizeof(bpf.bpf_map_info))
        bpf.bpf_obj_get_info_by_fd(fd, info, size)
        assert (info.name, info.max_entries) == (b"pointers", 3)
    finally:
        os.close(fd)


def test_structs_show_themselves_and_compare() -> None:
    one = bpf.bpf_func_info(insn_off=1, type_id=2)
    assert repr(one) == "bpf_func_info(insn_off=1, type_id=2)"
    assert one == bpf.bpf_func_info(1, 2)
    assert one != bpf.bpf_func_info(1, 3)
    assert one != bpf.bpf_timer()
    assert len({one, bpf.bpf_func_info(1, 2), bpf.bpf_func_info(2, 2)}) == 2


# ---- Privileges ----


@pytest.mark.parametrize(
    ("what", "call"),
    [
        ("bpf_map_get_next_id", lambda: list(sysbpf.maps())),
        ("bpf_prog_get_next_id", lambda: list(sysbpf.programs())),
        ("bpf_link_get_next_id", lambda: list(sysbpf.links())),
        ("map id 1", lambda: sysbpf.Map.open(id=1)),
        ("program id 1", lambda: sysbpf.Program.open(id=1)),
        ("bpf_map_get_next_id", lambda: sysbpf.Map.open(name="any")),
        (
            "bpf_prog_load: program 'tracing'",
            lambda: sysbpf.Program.load(
                bpf.BPF_PROG_TYPE_KPROBE,
                bytes.fromhex("b7000000000000009500000000000000"),
                license="GPL",
                name="tracing",
            ),
        ),
        ("bpf_map_create: map 'hash'", lambda: sysbpf.Map.create(bpf.BPF_MAP_TYPE_LRU_HASH, 4, 4, 4, name="hash")),
    ],
)
def test_missing_privileges_are_named(
    as_nobody: Callable[[Callable[[], object]], str], what: str, call: Callable[[], object]
) -> None:
    said = as_nobody(call)
    assert said.startswith(
        f"PermissionError: [Errno 1] {what}: Operation not permitted (this process lacks CAP_NET_ADMIN, "
    ), said
    assert "CAP_BPF; kernel.unprivileged_bpf_disabled is " in said


def test_capabilities_of_another_user_namespace_do_not_count() -> None:
    refused = python("import sysbpf; list(sysbpf.maps())", "unshare", "--user", "--map-root-user")
    if refused.returncode and "unshare" in refused.stderr.splitlines()[-1]:
        pytest.skip(refused.stderr.strip())
    assert refused.stderr.splitlines()[-1] == (
        "PermissionError: [Errno 1] bpf_map_get_next_id: Operation not permitted "
        "(this process is in a user namespace, whose capabilities do not count for bpf)"
    )
