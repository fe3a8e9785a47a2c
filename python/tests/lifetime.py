# SPDX-License-Identifier: MIT OR Apache-2.0
"""Tests that a struct and its copies keep the memory alive that their pointers point to.

test_arguments.py runs this with PYTHONMALLOC=debug, which overwrites memory that is freed. It prints each
case in which the memory was freed, and the number of cases.
"""

from __future__ import annotations

import copy
import ctypes
import gc
from typing import TYPE_CHECKING, Any

import sysbpf
from sysbpf import bpf

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

# A size for each of Python's two allocators.
SIZES = (16, 4096)


def mark(size: int) -> bytes:
    return bytes([0x5A]) * size


def pointers(ctype: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Path and type of each pointer in a struct, including nested structs."""
    for field in ctype._fields_:
        name, kind = field[0], field[1]
        if issubclass(kind, (ctypes.Structure, ctypes.Union)):
            yield from pointers(kind, (*path, name))
        elif issubclass(kind, (ctypes.c_void_p, ctypes.c_char_p, ctypes._Pointer)):
            yield (*path, name), kind


def follow(value: Any, path: tuple[str, ...]) -> Any:
    for name in path:
        value = getattr(value, name)
    return value


def values(kind: Any, outputs: bool, size: int) -> Iterator[tuple[str, Callable[[], Any]]]:
    """Values for a member of this type: their names, and functions that make a new one with the mark in it."""
    if kind is ctypes.c_void_p:
        yield "array", lambda: (ctypes.c_char * size).from_buffer_copy(mark(size))
        yield "bytearray", lambda: bytearray(mark(size))
        yield "pointer()", lambda: ctypes.pointer((ctypes.c_uint8 * size).from_buffer_copy(mark(size)))
        yield "cast()", lambda: ctypes.cast((ctypes.c_uint8 * size).from_buffer_copy(mark(size)), ctypes.c_void_p)
        if not outputs:
            yield "bytes", lambda: mark(size)
            yield "memoryview", lambda: memoryview(mark(size))
            yield "c_char_p", lambda: ctypes.c_char_p(mark(size))
    elif kind is ctypes.c_char_p:
        yield "bytes", lambda: mark(size)
    else:
        of = kind._type_
        if of is ctypes.c_char_p:
            yield "strings", lambda: (ctypes.c_char_p * 2)(mark(size), mark(size))
        elif issubclass(of, bpf.bpf_log_opts):
            yield "struct", lambda: bpf.bpf_log_opts(buf=(ctypes.c_char * size).from_buffer_copy(mark(size)))
        else:
            count = max(1, size // ctypes.sizeof(of))
            length = count * ctypes.sizeof(of)
            yield "array", lambda: (of * count).from_buffer_copy(mark(length))
            yield "one", lambda: of.from_buffer_copy(mark(ctypes.sizeof(of)))
            yield "pointer()", lambda: ctypes.cast((of * count).from_buffer_copy(mark(length)), kind)


def intact(struct: Any, path: tuple[str, ...], kind: Any) -> bool:
    """Whether a member still points to the mark."""
    value = follow(struct, path)
    if kind is ctypes.c_void_p or kind is ctypes.c_char_p:
        return (value if isinstance(value, bytes) else ctypes.string_at(value, SIZES[0]))[:16] == mark(16)
    of = kind._type_
    length = min(16, ctypes.sizeof(of))
    if ctypes.string_at(value, length) == b"\xdd" * length:
        return False  # Freed: the pointers in it must not be followed.
    if of is ctypes.c_char_p:
        return all((value[at] or b"")[:16] == mark(16) for at in range(2))
    if issubclass(of, bpf.bpf_log_opts):
        return ctypes.string_at(value.contents.buf, 16) == mark(16)
    return ctypes.string_at(value, length) == mark(length)


def ways(ctype: Any, path: tuple[str, ...]) -> Iterator[tuple[str, Callable[[Callable[[], Any]], Any]]]:
    """Ways to make and copy a struct with a pointer at this path: functions that return the last copy."""

    class Plain(ctypes.Structure):
        _fields_ = (("before", ctypes.c_uint32), ("inner", ctype))

    class Own(sysbpf.Members):
        _fields_ = (("before", ctypes.c_uint32), ("inner", ctype))

    class Either(ctypes.Union):
        _fields_ = (("before", ctypes.c_uint32), ("inner", ctype))

    def made(value: Callable[[], Any]) -> Any:
        struct = ctype()
        setattr(follow(struct, path[:-1]), path[-1], value())
        return struct

    def set_in(outer: Any, value: Callable[[], Any]) -> Any:
        setattr(follow(outer, path[:-1]), path[-1], value())
        return outer

    def assigned(outer: Any, value: Callable[[], Any]) -> Any:
        outer.inner = made(value)
        return outer.inner

    def item(array: Any, value: Callable[[], Any]) -> Any:
        array[1] = made(value)
        return array[1]

    def then_changed(copied: Callable[[Any], Any], value: Callable[[], Any]) -> Any:
        struct = made(value)
        other = copied(struct)
        setattr(follow(struct, path[:-1]), path[-1], value())
        return other

    def through_own(struct: Any) -> Any:
        own = Own()
        own.inner = struct
        return own.inner

    def element(array: Any, struct: Any) -> Any:
        array[1] = struct
        return array[1]

    def set_again(copied: Callable[[Any], Any], value: Callable[[], Any], start: Callable[[Any], Any]) -> Any:
        """A copy of a struct whose member is then set several times, with copies in between."""
        struct = start(made(value))
        setattr(follow(struct, path[:-1]), path[-1], value())
        other = copied(struct)
        for _ in range(3):
            setattr(follow(struct, path[:-1]), path[-1], value())
            copied(struct)
        # Later copies must not drop the references of the first.
        setattr(follow(struct, path[:-1]), path[-1], None)
        gc.collect(0)
        return other

    yield "set", made
    yield "copy.copy()", lambda value: copy.copy(made(value))
    yield "from_buffer_copy()", lambda value: ctype.from_buffer_copy(made(value))
    yield "from_buffer_copy() of a memoryview", lambda value: ctype.from_buffer_copy(memoryview(made(value)))
    yield (
        "from_buffer_copy() of a part",
        lambda value: ctype.from_buffer_copy(Plain(1, made(value)), Plain.inner.offset),
    )
    yield "a copy of a copy", lambda value: copy.copy(ctype.from_buffer_copy(made(value)))
    yield "a copy of an element", lambda value: copy.copy(item((ctype * 2)(), value))
    yield "from_buffer()", lambda value: ctype.from_buffer(made(value))
    yield "an element", lambda value: item((ctype * 2)(), value)
    yield "a slice", lambda value: _slice((ctype * 2)(), made(value))
    yield "a new array", lambda value: (ctype * 2)(ctype(), made(value))[1]
    yield "in a struct", lambda value: assigned(Plain(), value)
    yield "in a new struct", lambda value: Plain(1, made(value)).inner
    yield "in Members", lambda value: assigned(Own(), value)
    yield "in a union", lambda value: assigned(Either(), value)
    yield "a copy in an array", lambda value: (ctype * 1)(copy.copy(made(value)))[0]
    yield "set in a struct", lambda value: set_in(Plain().inner, value)
    yield "set in an element", lambda value: set_in((ctype * 2)()[1], value)
    yield "pointer()", lambda value: ctypes.pointer(made(value)).contents
    yield "copied, then the first one changed", lambda value: then_changed(copy.copy, value)
    yield "in Members, then the first one changed", lambda value: then_changed(through_own, value)
    sources: dict[str, Callable[[Any], Any]] = {
        "a struct": lambda struct: struct,
        "a copy": copy.copy,
        "an element": lambda struct: element((ctype * 2)(), struct),
        "a member": lambda struct: Plain(1, struct).inner,
    }
    copies: dict[str, Callable[[Any], Any]] = {
        "an element": lambda struct: element((ctype * 3)(), struct),
        "a slice": lambda struct: _slice((ctype * 2)(), struct),
        "a new array": lambda struct: (ctype * 2)(ctype(), struct)[1],
        "a member": lambda struct: Plain(1, struct).inner,
        "a member of Members": lambda struct: Own(1, struct).inner,
        "a member of a union": lambda struct: Either(inner=struct).inner,
        "copy.copy()": copy.copy,
        "a copy of an element": lambda struct: copy.copy(element((ctype * 3)(), struct)),
        "an element of an element": lambda struct: element((ctype * 2)(), element((ctype * 2)(), struct)),
    }
    for source, start in sources.items():
        for copied, way in copies.items():
            yield (
                f"{source} copied to {copied}, then set again",
                lambda value, start=start, way=way: set_again(way, value, start),  # type: ignore[misc]
            )


def _slice(array: Any, struct: Any) -> Any:
    array[:] = [struct, struct]
    return array[1]


def check_copies() -> Iterator[tuple[bool, str]]:
    structs = [item for item in vars(bpf).values() if isinstance(item, type) and issubclass(item, ctypes.Structure)]
    for ctype in structs:
        if ctype.__module__ != "sysbpf.bpf":
            continue
        for path, kind in pointers(ctype):
            outputs = path[-1] in getattr(ctype, "_outputs_", ())
            for size in SIZES:
                for what, value in values(kind, outputs, size):
                    for how, way in ways(ctype, path):
                        copied = way(value)
                        gc.collect(0)
                        yield intact(copied, path, kind), f"{ctype.__name__}.{'.'.join(path)}: {what} ({size}): {how}"


def check_calls() -> Iterator[tuple[bool, str]]:
    """Opts that are a temporary of the caller stay alive while the function that gets them runs."""
    for method, function, ctype in (
        (lambda opts: sysbpf.Map.create(1, 4, 4, 1, opts=opts), "bpf_map_create", bpf.bpf_map_create_opts),
        (lambda opts: sysbpf.Program.load(1, bytes(8), license="", opts=opts), "bpf_prog_load", bpf.bpf_prog_load_opts),
    ):
        for path, kind in pointers(ctype):
            for what, value in values(kind, path[-1] in ctype._outputs_, SIZES[1]):
                seen: list[bool] = []

                def call(*arguments: Any, path: Any = path, kind: Any = kind, seen: list[bool] = seen) -> int:
                    gc.collect(0)
                    # Program.load() writes a zero to the beginning of the log.
                    log = arguments[-1].log_buf[0] == b"\0" if path == ("log_buf",) else False
                    seen.append(log or intact(arguments[-1], path, kind))
                    raise OSError(1, "enough")

                real = getattr(bpf, function)
                setattr(bpf, function, call)
                try:
                    more: Any = {"log_size": 16} if path == ("log_buf",) else {}
                    method(ctype(**{path[0]: value()}, **more))
                except OSError:
                    pass
                finally:
                    setattr(bpf, function, real)
                yield seen == [True], f"{function}: {path[0]}: {what}"


cases = 0
for good, case in (*check_copies(), *check_calls()):
    cases += 1
    if not good:
        print("freed:", case)
print(cases, "cases")
