# SPDX-License-Identifier: MIT OR Apache-2.0
"""The shared library: which one it is, how its functions are called, and what they take.

It is the one that the environment variable SYSBPF_LIBRARY names, which may be the real
libbpf.so.1; else the one that this package carries; else libsysbpf.so.1 as the loader finds it.
"""

from __future__ import annotations

import ctypes
import errno
import os
from ctypes import CDLL, POINTER, Array, Structure, Union, addressof, c_char_p, c_void_p, cast, pointer
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable
    from ctypes import _CArgObject, _CData, _Pointer

    T = TypeVar("T", bound=_CData)
    # What a pointer parameter takes, of any type and of one.
    Memory: TypeAlias = bytes | _CData | _CArgObject | int | None
    Ref: TypeAlias = T | Array[T] | _Pointer[T] | _CArgObject | None

# The kernel's own, which errno.h of user space does not have.
ENOTSUPP = 524


def _find() -> str:
    carried = os.path.join(os.path.dirname(os.path.abspath(__file__)), "libsysbpf.so.1")
    return os.environ.get("SYSBPF_LIBRARY") or (carried if os.path.exists(carried) else "libsysbpf.so.1")


def _open(name: str) -> CDLL:
    try:
        return CDLL(name, use_errno=True)
    except OSError as error:
        why = " (from SYSBPF_LIBRARY)" if os.environ.get("SYSBPF_LIBRARY") else ""
        raise ImportError(f"sysbpf: cannot load {name}{why}: {error}") from None


library = _find()
"""The shared library that is used."""

_lib = _open(library)


_CAPABILITIES = {12: "CAP_NET_ADMIN", 21: "CAP_SYS_ADMIN", 38: "CAP_PERFMON", 39: "CAP_BPF"}


def _privileges() -> str:
    """What an EPERM may come from, as far as this process can know it."""
    try:
        with open("/proc/self/status") as status:
            effective = next(int(line.split()[1], 16) for line in status if line.startswith("CapEff:"))
        with open("/proc/self/uid_map") as uid_map:
            initial = uid_map.read().split() == ["0", "0", "4294967295"]
        with open("/proc/sys/kernel/unprivileged_bpf_disabled") as sysctl:
            disabled = sysctl.read().strip()
    except OSError:
        return ""
    lacks = [name for bit, name in _CAPABILITIES.items() if not effective >> bit & 1]
    if not initial:
        return " (this process is in a user namespace, whose capabilities do not count for bpf)"
    if "CAP_SYS_ADMIN" in lacks:
        return f" (this process lacks {', '.join(lacks)}; kernel.unprivileged_bpf_disabled is {disabled})"
    return ""


def error(number: int, function: str, about: str = "") -> OSError:
    """The exception for a call that failed: of the subclass of OSError that goes with the number."""
    text = "Not supported" if number == ENOTSUPP else os.strerror(number)
    hint = _privileges() if number == errno.EPERM else ""
    return OSError(number, f"{function}: {about + ': ' if about else ''}{text}{hint}")


def _check(result: int, function: Any, _arguments: tuple[Any, ...]) -> int:
    if result < 0:
        raise error(-result, function.__name__)
    return result


def function(name: str, returns: Any, *arguments: Any) -> Callable[..., int]:
    """A function of the library, or one that says that the library has none of this name."""
    try:
        found = getattr(_lib, name)
    except AttributeError:

        def missing(*_: object) -> int:
            raise OSError(errno.ENOSYS, f"{name}: {library} has no such function")

        return missing
    found.restype = returns
    found.argtypes = arguments
    if returns is ctypes.c_int:
        found.errcheck = _check
    return found  # type: ignore[no-any-return]


class Address(c_void_p):
    """A `void *` parameter: takes bytes, any ctypes object or array, byref(), an address, None."""

    @classmethod
    def from_param(cls, value: Any) -> Any:
        if isinstance(value, (Structure, Union, ctypes._SimpleCData)) and not isinstance(value, (c_void_p, c_char_p)):
            return ctypes.byref(value)
        return c_void_p.from_param(value)


class Members(Structure):
    """A struct that shows its members, and that equals another one with the same bytes."""

    def __repr__(self) -> str:
        shown = (field[0] for field in self._fields_ if not field[0].startswith("_"))
        return f"{type(self).__name__}({', '.join(f'{name}={getattr(self, name)!r}' for name in shown)})"

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and bytes(self) == bytes(other)

    def __hash__(self) -> int:
        return hash((type(self), bytes(self)))


class Opts(Structure):
    """A struct of options: its size, what the caller names, and 0 for the rest.

    A member that is a pointer takes bytes, any ctypes object or array, an address, or None. The
    struct keeps what it is given alive.
    """

    def __init__(self, **members: Any) -> None:
        super().__init__(sz=ctypes.sizeof(self))
        for name, value in members.items():
            setattr(self, name, value)

    def __setattr__(self, name: str, value: Any) -> None:
        if not hasattr(type(self), name):
            raise AttributeError(f"{type(self).__name__} has no member {name!r}")
        kind = next((field[1] for field in self._fields_ if field[0] == name), None)
        target = getattr(kind, "_type_", None)
        if kind is c_void_p and value is not None and not isinstance(value, (int, c_void_p)):
            self.__dict__.setdefault("_kept", {})[name] = value
            value = cast(c_char_p(value), c_void_p) if isinstance(value, bytes) else c_void_p(addressof(value))
        elif target is not None and kind is POINTER(target) and isinstance(value, target):
            value = pointer(value)
        super().__setattr__(name, value)
