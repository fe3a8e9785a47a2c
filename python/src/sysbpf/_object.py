# SPDX-License-Identifier: MIT OR Apache-2.0
"""What maps, programs and links have in common: a descriptor, an id, a pin, a place in a list."""

from __future__ import annotations

import os
from ctypes import c_uint32, sizeof
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

from . import bpf
from ._library import error

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from enum import IntEnum
    from types import TracebackType

    Self = TypeVar("Self", bound="Object")
    Info = TypeVar("Info", bpf.bpf_map_info, bpf.bpf_prog_info, bpf.bpf_link_info)
    E = TypeVar("E", bound=IntEnum)


class Handle:
    """A descriptor, closed when its last user is gone or when one closes it."""

    def __init__(self, fd: int) -> None:
        self.fd = fd

    def close(self) -> None:
        fd, self.fd = self.fd, -1
        if fd >= 0:
            os.close(fd)

    def __del__(self) -> None:
        self.close()


def text(name: bytes) -> str:
    """A kernel object's name as a string."""
    return name.decode(errors="replace")


def known(enum: type[E], number: int) -> E | int:
    """The number as the enum has it, or as it is if the kernel is newer than the enum."""
    try:
        return enum(number)
    except ValueError:
        return number


def kind_of(fd: int) -> str:
    """What kind of object a descriptor is of: bpf-map, bpf-prog, bpf-link or something else."""
    return os.readlink(f"/proc/self/fd/{fd}").rpartition(":")[2].replace("_", "-")


def info_of(fd: int, info: Info) -> Info:
    """What the kernel says of an object; the kernel fills as much of the struct as it knows."""
    bpf.bpf_obj_get_info_by_fd(fd, info, c_uint32(sizeof(info)))
    return info


def ids(get_next_id: Callable[[int, c_uint32], int]) -> Iterator[int]:
    """The ids of all objects of a kind; new ones get higher ids, so the walk ends."""
    found = c_uint32(0)
    while True:
        try:
            get_next_id(found.value, found)
        except FileNotFoundError:
            return
        yield found.value


class Object:
    """A map, a program or a link of the kernel, held by a descriptor.

    Use it in a `with` statement, or close() it; else it is closed with the last reference to it.
    """

    _kind: ClassVar[str]
    """What an error message calls it."""
    _inode: ClassVar[str]
    """What /proc calls its descriptors."""
    _get_fd_by_id: ClassVar[Callable[[int], int]]

    def __init__(self, fd: int | Handle) -> None:
        """Take over a descriptor, which is closed if it is not of this kind."""
        self._handle = fd if isinstance(fd, Handle) else Handle(fd)
        kind = kind_of(self._handle.fd)
        if kind != self._inode:
            self._handle.close()
            raise ValueError(f"not a {self._kind}: the descriptor is {kind!r}")
        self._read_info()

    def _read_info(self) -> None:
        raise NotImplementedError

    @classmethod
    def _by_id(cls, id: int) -> int:
        try:
            return cls._get_fd_by_id(id)
        except OSError as failed:
            raise error(failed.errno or 0, f"{cls._kind} id {id}") from None

    @classmethod
    def _by_pin(cls, pin: str | os.PathLike[str]) -> int:
        try:
            fd = bpf.bpf_obj_get(os.fsencode(pin))
        except OSError as failed:
            raise error(failed.errno or 0, f"{cls._kind} pinned at {os.fspath(pin)!r}") from None
        handle = Handle(fd)
        kind = kind_of(fd)
        if kind != cls._inode:
            raise ValueError(f"{os.fspath(pin)!r} is not a {cls._kind}, but {kind!r}")
        handle.fd = -1
        return fd

    def fileno(self) -> int:
        """The descriptor, for the functions of sysbpf.bpf."""
        if self._handle.fd < 0:
            raise ValueError(f"{self} is closed")
        return self._handle.fd

    def close(self) -> None:
        """Give back the descriptor. The kernel keeps the object while anything else refers to it."""
        self._handle.close()

    def _call(self, function: Callable[..., int], *arguments: Any) -> int:
        """Calls with the descriptor; an error says which object it is about."""
        fd = self.fileno()
        try:
            return function(fd, *arguments)
        except OSError as failed:
            raise error(failed.errno or 0, function.__name__, str(self)) from None

    def pin(self, path: str | os.PathLike[str]) -> None:
        """Pin it at a path of a bpf file system, where it outlives this process; os.unlink() unpins it."""
        fd = self.fileno()
        try:
            bpf.bpf_obj_pin(fd, os.fsencode(path))
        except OSError as failed:
            raise error(failed.errno or 0, "bpf_obj_pin", f"{self} at {os.fspath(path)!r}") from None

    def __enter__(self: Self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<{self}{', closed' if self._handle.fd < 0 else ''}>"


def one_of(kind: str, **given: object) -> None:
    """Insists on exactly one way to name an object."""
    if sum(value is not None for value in given.values()) != 1:
        raise TypeError(f"a {kind} is opened by one of {', '.join(given)}")


def id_by_name(kind: str, name: str, named: Iterator[tuple[int, str]]) -> int:
    """The id of the one object of this name; the kernel keeps 15 bytes of a name."""
    short = text(os.fsencode(name)[: bpf.BPF_OBJ_NAME_LEN - 1])
    found = [id for id, other in named if other == short]
    if not found:
        raise error(2, f"{kind} named {name!r}")
    if len(found) > 1:
        raise ValueError(f"{len(found)} {kind}s are named {name!r}: open one by its id ({', '.join(map(str, found))})")
    return found[0]
