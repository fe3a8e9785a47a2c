# SPDX-License-Identifier: MIT OR Apache-2.0
"""What parameters and members take and reject: numbers that do not fit, constants where the kernel writes; and what
lives how long.

Functions and structs are found in the module, so that new ones are tested too.
"""

from __future__ import annotations

import array
import copy
import ctypes
import gc
import os
import re
import subprocess
import sys
import weakref
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import test_layout

import sysbpf
from sysbpf import bpf, linux_bpf
from sysbpf._library import Members, MembersUnion, Opts, name_of

if TYPE_CHECKING:
    from collections.abc import Callable

FUNCTIONS = sorted(
    name for name, item in vars(bpf).items() if re.match(r"(lib)?bpf_", name) and hasattr(item, "__code__")
)
STRUCTS = [
    item
    for module in (bpf, linux_bpf)
    for item in vars(module).values()
    if isinstance(item, type)
    and issubclass(item, (ctypes.Structure, ctypes.Union))
    and item.__module__ == module.__name__
]
# The integer types in the prototypes of bpf.h.
RANGES = {
    "unsigned": (0, 2**32 - 1),
    "int": (-(2**31), 2**31 - 1),
    "pid_t": (-(2**31), 2**31 - 1),
    "__u32": (0, 2**32 - 1),
    "__u64": (0, 2**64 - 1),
    "size_t": (0, 2 ** (8 * ctypes.sizeof(ctypes.c_size_t)) - 1),
    # GCC represents an enum without negative constants as unsigned int, and C callers may pass any value of it.
    "enum": (0, 2**32 - 1),
}


def prototypes() -> dict[str, dict[str, str]]:
    """The C type of each parameter of each function."""
    if not test_layout.INCLUDE:
        pytest.skip("SYSBPF_INCLUDE does not name the headers")
    header = re.sub(r"/\*.*?\*/", "", (Path(test_layout.INCLUDE) / "bpf/bpf.h").read_text(), flags=re.DOTALL)
    found = {}
    for name, parameters in re.findall(r"LIBBPF_API\s+int (\w+)\(([^)]*)\);", header):
        split = (re.fullmatch(r"\s*(.*?)(\w+)", part, re.DOTALL) for part in parameters.split(",") if part != "void")
        found[name] = {part[2]: " ".join(part[1].split()) for part in split if part}
    return found


def call(name: str, **arguments: Any) -> int:
    """Call a function with these arguments, and 0 or None for the others."""
    function = getattr(bpf, name)
    given = {key: 0 if hint == "int" else None for key, hint in function.__annotations__.items() if key != "return"}
    return function(**{**given, **arguments})  # type: ignore[no-any-return]


# ---- Numbers ----


def test_every_number_that_does_not_fit_into_a_parameter_is_rejected_by_name() -> None:
    checked = 0
    for name, parameters in prototypes().items():
        numbers = {key: RANGES.get(kind.split(" ")[0]) for key, kind in parameters.items() if "*" not in kind}
        for parameter, limits in numbers.items():
            assert limits is not None, f"{name}: {parameter}: {parameters[parameter]}"
            others: dict[str, Any] = {key: 0 for key in numbers if key != parameter}
            for number in (limits[0] - 1, limits[1] + 1):
                with pytest.raises(
                    OverflowError, match=rf"{name}: {parameter}: {number} does not fit into c_u?int\d\d, "
                ):
                    call(name, **others, **{parameter: number})
            for wrong in ("1", 1.0, b"1", None):
                with pytest.raises(TypeError, match=f"{name}: {parameter}: must be an int, not {type(wrong).__name__}"):
                    call(name, **others, **{parameter: wrong})
            checked += 1
    assert checked > 80


def test_numbers_that_fit_are_passed() -> None:
    # The library or the kernel rejects these: a bad descriptor, a type that no kernel knows.
    for fd in (-1, -(2**31), 2**31 - 1):
        with pytest.raises(OSError, match="Bad file descriptor"):
            bpf.bpf_map_freeze(fd)
    with pytest.raises(OSError, match="bpf_map_create"):
        bpf.bpf_map_create(2**32 - 1, None, 4, 4, 1)
    with pytest.raises(OSError, match="Bad file descriptor"):
        bpf.bpf_map_update_elem(-1, bytes(4), bytes(4), 2**64 - 1)

    class Index:
        def __index__(self) -> int:
            return -1

    for number in (Index(), ctypes.c_int(-1), ctypes.c_int64(-1)):
        with pytest.raises(OSError, match="Bad file descriptor"):
            bpf.bpf_map_freeze(number)  # type: ignore[arg-type]
    with pytest.raises(OverflowError, match="bpf_map_freeze: fd: "):
        bpf.bpf_map_freeze(ctypes.c_uint64(2**32))  # type: ignore[arg-type]


def limits_of(kind: Any, bits: int) -> tuple[int, int]:
    signed = kind(-1).value < 0
    return (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if signed else (0, 2**bits - 1)


def test_every_number_that_does_not_fit_into_a_member_is_rejected_by_name() -> None:
    checked = {"member": 0, "bits": 0, "array": 0}
    for ctype in STRUCTS:
        fields: Any = ctype._fields_
        for field in fields:
            name, kind = field[0], field[1]
            array = issubclass(kind, ctypes.Array)
            of = kind._type_ if array else kind
            if not issubclass(of, ctypes._SimpleCData) or of._type_ not in "bBhHiIlLqQ" or name.startswith("_padding"):
                continue
            struct = ctype()
            low, high = limits_of(of, field[2] if len(field) > 2 else 8 * ctypes.sizeof(of))
            for number in (low - 1, high + 1):
                with pytest.raises(OverflowError, match=rf"{ctype.__name__}\.{name}: {number} does not fit into"):
                    setattr(struct, name, (number,) if array else number)
                if array:
                    with pytest.raises(OverflowError, match=f"{number} does not fit into"):
                        getattr(struct, name)[0] = number
                    with pytest.raises(OverflowError, match=f"{number} does not fit into"):
                        getattr(struct, name)[0:1] = [number]
            assert bytes(struct) == bytes(ctype()), "nothing is written"
            for number in (low, high):
                setattr(struct, name, (number,) if array else number)
                assert (getattr(struct, name)[0] if array else getattr(struct, name)) == number
            if not array:
                with pytest.raises(TypeError, match=rf"{ctype.__name__}\.{name}: must be an int, not str"):
                    setattr(struct, name, "1")
            checked["array" if array else "bits" if len(field) > 2 else "member"] += 1
    assert checked["member"] > 250, checked
    assert checked["bits"] >= 3, checked
    assert checked["array"] >= 10, checked


def test_numbers_are_checked_where_structs_are_in_structs() -> None:
    opts = bpf.bpf_link_create_opts()
    with pytest.raises(OverflowError, match=r"bpf_link_create_opts__kprobe_multi\.cnt: 1099511627776 does not fit"):
        opts.kprobe_multi.cnt = 2**40
    with pytest.raises(OverflowError, match="does not fit"):
        opts.kprobe_multi = (0, 2**40)  # type: ignore[assignment]
    with pytest.raises(OverflowError, match=r"struct_bpf_prog_query_opts\.prog_cnt: -1 does not fit into c_uint32"):
        bpf.struct_bpf_prog_query_opts(prog_cnt=-1)
    array = (bpf.bpf_func_info * 2)()
    with pytest.raises(OverflowError, match=r"bpf_func_info\.type_id: "):
        array[1].type_id = 2**32
    with pytest.raises(RuntimeError, match=r"OverflowError: bpf_func_info\.type_id: "):  # by ctypes
        array[1] = (0, 2**32)  # type: ignore[call-overload]
    with pytest.raises(OverflowError, match=r"bpf_insn\.dst_reg: 16 does not fit into 4 bits, which holds 0 to 15"):
        bpf.bpf_insn(0xB7, 16)
    assert bpf.struct_bpf_prog_attach_opts(replace_fd=-1, relative_fd=-1).replace_prog_fd == -1

    class Own(sysbpf.Members):
        _fields_ = (("port", ctypes.c_uint16), ("flag", ctypes.c_bool), ("name", ctypes.c_char * 4))

    with pytest.raises(OverflowError, match=r"Own\.port: 65536 does not fit into c_uint16, which holds 0 to 65535"):
        Own(port=65536)
    assert Own(1, True, b"abc").name == b"abc"


def test_an_array_that_is_a_member_takes_an_array() -> None:
    plain = (ctypes.c_uint32 * 5)(1, 2, 3, 4, 5)
    packet = bpf.sk_buff(cb=plain)
    assert list(packet.cb) == [1, 2, 3, 4, 5]
    assert list(bpf.sk_buff(cb=packet.cb).cb) == [1, 2, 3, 4, 5]
    assert list(bpf.sk_buff(cb=(7,)).cb) == [7, 0, 0, 0, 0]


def test_unknown_members_are_rejected() -> None:
    opts = bpf.bpf_link_create_opts()
    with pytest.raises(AttributeError, match="bpf_link_create_opts__kprobe_multi has no member 'nope'"):
        opts.kprobe_multi.nope = 1
    for ctype in STRUCTS:
        with pytest.raises(AttributeError, match=f"{ctype.__name__} has no member 'nope'"):
            ctype().nope = 1
        assert issubclass(ctype, (Members, MembersUnion, Opts))


# ---- Memory that the kernel writes ----


def constants() -> list[object]:
    """A value that the interpreter shares, and a constant of this function."""
    return [bytes(1), bytes([0x2A]), b"", b"\0" * 8]


BEFORE = [repr(constant) for constant in constants()]
READ_ONLY: list[Any] = [
    b"\0",
    bytes(8),
    ctypes.c_char_p(b"\0"),
    memoryview(b"\0" * 8),
    "text",
    ctypes.c_wchar_p("text"),
]


def test_the_kernel_writes_where_c_has_no_const() -> None:
    for name, parameters in prototypes().items():
        hints = getattr(bpf, name).__annotations__
        for parameter, kind in parameters.items():
            if kind == "const void *" or parameter == "in_batch":
                assert hints[parameter] == "Memory", f"{name}: {parameter}"
            elif kind == "void *":
                assert hints[parameter] == "Writable", f"{name}: {parameter}"
            elif "*" in kind and "const" not in kind:
                assert hints[parameter].startswith("Ref[") or hints[parameter].endswith("_opts | None"), parameter


@pytest.mark.parametrize("wrong", READ_ONLY, ids=lambda wrong: type(wrong).__name__)
def test_output_parameters_reject_constants(wrong: Any) -> None:
    checked = 0
    for name in FUNCTIONS:
        for parameter, hint in getattr(bpf, name).__annotations__.items():
            if hint == "Writable" or hint.startswith("Ref["):
                with pytest.raises(TypeError, match=f"{name}: {parameter}: must be .*, not "):
                    call(name, **{parameter: wrong})
                checked += 1
    assert checked == 40
    assert [repr(constant) for constant in constants()] == BEFORE


@pytest.mark.parametrize("wrong", READ_ONLY, ids=lambda wrong: type(wrong).__name__)
def test_output_members_reject_constants(wrong: Any) -> None:
    checked = []
    structs: list[Any] = STRUCTS
    for ctype in structs:
        for field in ctype._fields_:
            # The kernel only reads the name.
            if field[0] == "syms":
                continue
            if field[0] in ctype._outputs_ or issubclass(field[1], ctypes._Pointer):
                with pytest.raises(TypeError, match=rf"{ctype.__name__}\.{field[0]}: must be .*, not "):
                    setattr(ctype(), field[0], wrong)
                checked.append(field[0])
    # Pointers to a type that the kernel writes.
    outputs = {
        "data_out",
        "ctx_out",
        "log_buf",
        "buf",
        "prog_ids",
        "prog_attach_flags",
        "link_ids",
        "link_attach_flags",
    }
    assert outputs <= set(checked)


@pytest.mark.usefixtures("kernel")
def test_constants_are_not_changed() -> None:
    fd = bpf.bpf_map_create(bpf.BPF_MAP_TYPE_ARRAY, None, 4, 1, 1)
    try:
        bpf.bpf_map_update_elem(fd, bytes(4), b"\x2a", bpf.BPF_ANY)
        for constant in (b"\0", bytes(1), b"a\0b"[1:2]):
            with pytest.raises(
                TypeError, match=r"bpf_map_lookup_elem: value: must be a bytearray, .*bytes are constant"
            ):
                bpf.bpf_map_lookup_elem(fd, bytes(4), constant)  # type: ignore[arg-type]
        assert [bytes([0]), b"a\0b"[1:2], bytes.fromhex("00")] == [bytes(1)] * 3
        assert [repr(constant) for constant in constants()] == BEFORE
        # Memory that may be written is passed.
        array = bytearray(1)
        memories: list[Any] = [array, memoryview(array), ctypes.c_uint8(), ctypes.create_string_buffer(1)]
        for memory in memories:
            bpf.bpf_map_lookup_elem(fd, bytes(4), memory)
            assert bytes(memory) == b"\x2a"
        for key in (bytes(4), bytearray(4), memoryview(bytes(4)), ctypes.c_uint32(), ctypes.c_char_p(bytes(4))):
            bpf.bpf_map_lookup_elem(fd, key, array)
    finally:
        os.close(fd)


def test_memory_of_every_kind() -> None:
    opts = bpf.bpf_test_run_opts()

    def at(address: int | None, length: int = 8) -> bytes:
        return ctypes.string_at(address or 0, length)

    # Empty buffers, items larger than a byte, buffers that are not contiguous, addresses.
    for empty in (b"", bytearray(), memoryview(b""), (ctypes.c_char * 0)()):
        opts.data_in = empty
        assert opts.data_in
    opts.data_out = bytearray()
    words = array.array("H", range(4))
    opts.data_in = words
    assert at(opts.data_in) == words.tobytes()
    opts.data_out = memoryview(words)
    ctypes.memset(opts.data_out or 0, 1, 2)
    assert words[0] == 0x0101
    opts.data_in = memoryview(b"a b c d e f g h ")[::2]
    assert at(opts.data_in) == b"abcdefgh"
    with pytest.raises(TypeError, match="not contiguous"):
        opts.data_out = memoryview(bytearray(16))[::2]
    buffer = ctypes.create_string_buffer(b"address.")
    opts.data_in = ctypes.addressof(buffer)
    assert at(opts.data_in) == b"address."
    with pytest.raises(OverflowError, match=r"bpf_test_run_opts\.data_in: -1 does not fit into c_uint64"):
        opts.data_in = -1
    held = bytearray(8)
    opts.data_in = held
    with pytest.raises(BufferError):
        held.extend(b"more")
    # Strings.
    name = ctypes.create_string_buffer(b"/nowhere")
    with pytest.raises(FileNotFoundError):
        bpf.bpf_obj_get(name)  # type: ignore[arg-type]
    tracepoint = bpf.bpf_raw_tp_opts(tp_name=name)  # type: ignore[arg-type]
    assert tracepoint.tp_name == b"/nowhere"


def test_a_type_checker_rejects_bytes_where_the_kernel_writes() -> None:
    """mypy --strict rejects these lines; if it did not, it would report the comments as unused."""
    with pytest.raises(TypeError):
        bpf.bpf_test_run_opts(data_in=b"", data_out=bytes(64))  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        bpf.bpf_test_run_opts().ctx_out = bytes(64)  # type: ignore[assignment]
    with pytest.raises(TypeError):
        bpf.bpf_prog_load_opts(log_buf=bytes(64))  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        bpf.struct_bpf_prog_query_opts().prog_ids = bytes(64)  # type: ignore[assignment]
    with pytest.raises(TypeError):
        bpf.bpf_obj_get_info_by_fd(0, bytes(64), ctypes.c_uint32(64))  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        bpf.bpf_task_fd_query(0, 0, 0, b"name", None, None, None, None, None)  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        bpf.bpf_prog_stream_read(0, 1, bytes(64), 64)  # type: ignore[arg-type]


def test_strings_are_not_cut_at_a_null_byte() -> None:
    with pytest.raises(ValueError, match=r"bpf_obj_get: pathname: b'/a\\x00b' has a null byte"):
        bpf.bpf_obj_get(b"/a\0b")
    with pytest.raises(ValueError, match=r"bpf_raw_tp_opts\.tp_name: .* has a null byte"):
        bpf.bpf_raw_tp_opts(tp_name=b"a\0b")
    with pytest.raises(FileNotFoundError):
        bpf.bpf_obj_get(b"/nowhere\0")


def test_messages_have_the_names_that_scripts_use() -> None:
    assert name_of(ctypes.c_uint32) == "c_uint32"
    assert name_of(ctypes.c_int64) == "c_int64"
    assert name_of(ctypes.c_uint8) == "c_uint8"
    assert name_of(ctypes.c_char * 16) == "c_char * 16"
    assert name_of(ctypes.POINTER(ctypes.c_uint32)) == "POINTER(c_uint32)"
    assert name_of(ctypes.c_double) == "c_double"

    class Port(ctypes.c_uint16):
        pass

    assert name_of(Port) == "Port"
    with pytest.raises(
        TypeError, match=r"bpf_map_create: opts: must be bpf_map_create_opts, .* not bpf_prog_load_opts"
    ):
        bpf.bpf_map_create(1, None, 4, 4, 1, bpf.bpf_prog_load_opts())  # type: ignore[arg-type]
    with pytest.raises(
        TypeError, match=r"bpf_map_get_next_id: next_id: must be c_uint32, an array of it, .* not c_uint16"
    ):
        bpf.bpf_map_get_next_id(0, ctypes.c_uint16())  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="bpf_map_create: map_name: must be bytes or None, not str"):
        bpf.bpf_map_create(1, "x", 4, 4, 1)  # type: ignore[arg-type]


# ---- Lifetime ----


def test_memory_lives_as_long_as_the_structs_that_point_to_it() -> None:
    path = os.path.dirname(os.path.dirname(sysbpf.__file__))
    ran = subprocess.run(
        [sys.executable, os.path.join(os.path.dirname(__file__), "lifetime.py")],
        env={**os.environ, "PYTHONMALLOC": "debug", "PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (ran.returncode, ran.stderr) == (0, "")
    *freed, count = ran.stdout.splitlines()
    assert freed == []
    assert int(count.split()[0]) > 1000


def test_a_struct_that_is_used_again_and_again_keeps_what_it_needs_alone() -> None:
    class Outer(ctypes.Structure):
        _fields_ = (("inner", bpf.bpf_test_run_opts),)

    def given_away(opts: bpf.bpf_test_run_opts) -> bpf.bpf_test_run_opts:
        outer = Outer(opts)
        array = (bpf.bpf_test_run_opts * 2)(opts)
        opts.data_in = bytearray(8)
        del outer, array
        return opts

    def to_an_array(array: ctypes.Array[bpf.bpf_test_run_opts]) -> Any:
        def store(opts: bpf.bpf_test_run_opts) -> bpf.bpf_test_run_opts:
            array[0] = copy.copy(opts)
            return opts

        return store

    uses: dict[str, Callable[[Any], Any]] = {
        "set": lambda opts: opts,
        "copy.copy()": copy.copy,
        "from_buffer_copy()": bpf.bpf_test_run_opts.from_buffer_copy,
        "from_buffer_copy() of a memoryview": lambda opts: bpf.bpf_test_run_opts.from_buffer_copy(memoryview(opts)),
        "given to what is gone": given_away,
        "a copy in an array": to_an_array((bpf.bpf_test_run_opts * 2)()),
    }
    for what, use in uses.items():
        opts = bpf.bpf_test_run_opts()
        memory: list[weakref.ref[Any]] = []
        for _ in range(100):
            opts = use(opts)
            for member in ("data_in", "ctx_out"):
                buffer = (ctypes.c_char * 64)()
                memory.append(weakref.ref(buffer))
                setattr(opts, member, buffer)
                del buffer
        gc.collect()
        # Two may be in use: one in the struct, one in a copy that still exists.
        assert sum(buffer() is not None for buffer in memory) <= 4, what


# ---- The module ----


def test_a_star_import_has_everything_of_bpf_h() -> None:
    names: dict[str, Any] = {}
    exec("from sysbpf.bpf import *", names)
    del names["__builtins__"]
    assert {*FUNCTIONS, *linux_bpf.__all__, "bpf_map_create_opts", "BPF_LOG_BUF_SIZE"} <= set(names)
    for name, item in names.items():
        assert item is getattr(bpf, name)
        assert re.match(r"_*(struct_|lib)?bpf|BPF|LIBBPF|_*MAX_BPF|xdp|XDP|sk_|SK_|tcx|TCX|_*sk_buff", name), name
    assert len(bpf.__all__) == len(set(bpf.__all__))
