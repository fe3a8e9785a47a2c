# SPDX-License-Identifier: MIT OR Apache-2.0
"""The base of maps, programs and links: descriptors, ids, pins, lists."""

from __future__ import annotations

import errno
import os
from ctypes import c_int, c_uint32, sizeof
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar, NoReturn, TypeVar

from . import bpf
from ._library import argument, error

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from enum import IntEnum
    from types import TracebackType

    Self = TypeVar("Self", bound="Object")
    Info = TypeVar("Info", bpf.bpf_map_info, bpf.bpf_prog_info, bpf.bpf_link_info)
    E = TypeVar("E", bound=IntEnum)


class Descriptor(int):
    """The number of an open descriptor, which is closed when nothing refers to this object any more.

    Code that needs the number uses int(descriptor), so that it adds no reference to this object.
    """

    # Calls os.close(self), by a property and two partial()s, all of which are C code: if __del__ were Python code,
    # an exception from a signal handler in it would leave the descriptor open.
    __del__ = property(partial(partial, os.close))

    def __reduce_ex__(self, _protocol: object) -> NoReturn:
        raise TypeError("a descriptor cannot be copied or pickled: both copies would close it")


class Handle:
    """A descriptor that is closed by close() or when nothing refers to it any more, but never while a call uses it.

    Once a descriptor is closed, the next file that any thread opens may get its number. Therefore each call
    keeps its own reference to `open` in a local variable, and close() only drops the reference of the Handle:
    the descriptor is closed with the last reference. There is no count or lock that an exception from a signal
    handler could leave in a wrong state. A traceback keeps local variables alive, so each call clears its
    variable in `finally`.
    """

    def __init__(self, fd: int) -> None:
        self.open: Descriptor | None = Descriptor(fd)

    @property
    def closed(self) -> bool:
        return self.open is None

    @property
    def fd(self) -> int:
        """The number of the descriptor; -1 if it is closed."""
        held = self.open
        return -1 if held is None else int(held)

    def close(self) -> None:
        self.open = None

    def __reduce_ex__(self, _protocol: object) -> NoReturn:
        raise TypeError("a descriptor cannot be copied or pickled: both copies would close it")


def text(name: bytes) -> str:
    """A kernel object's name as a string."""
    return name.decode(errors="replace")


def known(enum: type[E], number: int) -> E | int:
    """The member of the enum with this number, or the number if the kernel is newer than the enum."""
    try:
        return enum(number)
    except ValueError:
        return number


def kind_of(fd: int) -> str:
    """The kind of object that a descriptor refers to: bpf-map, bpf-prog, bpf-link or something else."""
    try:
        return os.readlink(f"/proc/self/fd/{fd}").rpartition(":")[2].replace("_", "-")
    except FileNotFoundError:
        pass
    try:
        os.fstat(fd)
    except OSError as failed:
        raise error(failed.errno or 0, f"descriptor {fd}") from None
    why = "its kind is not known, because /proc is not mounted"
    raise error(errno.ENOENT, f"descriptor {fd}", why=why)


def info_of(fd: int, info: Info) -> Info:
    """What the kernel reports about an object. An older kernel fills in fewer members."""
    bpf.bpf_obj_get_info_by_fd(fd, info, c_uint32(sizeof(info)))
    return info


def ids(get_next_id: Callable[[int, c_uint32], int]) -> Iterator[int]:
    """The ids of all objects of a kind, in ascending order."""
    found = c_uint32(0)
    while True:
        try:
            get_next_id(found.value, found)
        except FileNotFoundError:
            return
        yield found.value


def encoded(parameter: str, value: str) -> bytes:
    if not isinstance(value, str):
        raise TypeError(f"{parameter}: must be str, not {type(value).__name__}")
    return value.encode()


def bad_name(name: str) -> str:
    """Why the kernel rejects a name, of which it keeps 15 bytes; empty if it accepts the name."""
    kept = text(os.fsencode(name)[: bpf.BPF_OBJ_NAME_LEN - 1])
    bad = [letter for letter in kept if not (letter.isascii() and (letter.isalnum() or letter in "_."))]
    if not bad:
        return ""
    return f"the name has {bad[0]!r}, but the kernel accepts only letters and digits of ASCII, '_' and '.'"


class Object:
    """A map, a program or a link, and the descriptor that refers to it.

    Use it in a `with` statement, or close() it; otherwise it is closed when nothing refers to it any more.
    """

    _kind: ClassVar[str]
    """The name of the kind in error messages."""
    _inode: ClassVar[str]
    """The name of the kind in /proc/PID/fd."""
    _get_fd_by_id: ClassVar[Callable[[int], int]]

    def __init__(self, fd: int | Handle) -> None:
        """Take over a descriptor. If it refers to another kind of object, raise ValueError and do not close it."""
        if isinstance(fd, Handle):
            # It comes from a function that returns this kind only.
            self._handle = fd
            self._read_info(fd.fd)
            return
        number = argument("fd", c_int, fd)
        kind = kind_of(number)
        if kind != self._inode:
            raise ValueError(f"not a {self._kind}: the descriptor is {kind!r}")
        self._read_info(number)
        self._handle = Handle(number)

    def _read_info(self, fd: int) -> None:
        raise NotImplementedError

    @property
    def id(self) -> int:
        raise NotImplementedError

    @classmethod
    def _by_id(cls, id: int) -> Handle:
        try:
            return Handle(cls._get_fd_by_id(id))
        except OSError as failed:
            raise error(failed.errno or 0, f"{cls._kind} id {id}") from None

    @classmethod
    def _by_pin(cls, pin: str | os.PathLike[str]) -> Handle:
        try:
            handle = Handle(bpf.bpf_obj_get(os.fsencode(pin)))
        except OSError as failed:
            raise error(failed.errno or 0, f"{cls._kind} pinned at {os.fspath(pin)!r}") from None
        kind = kind_of(handle.fd)
        if kind != cls._inode:
            handle.close()
            raise ValueError(f"{os.fspath(pin)!r} is not a {cls._kind}, but {kind!r}")
        return handle

    def fileno(self) -> int:
        """The descriptor, for the functions of sysbpf.bpf.

        The caller must keep the object open while they use the number. The methods of the object keep it
        open by themselves, also if another thread calls close() while they run.
        """
        fd = self._handle.fd
        if fd < 0:
            raise self._is_closed()
        return fd

    def _is_closed(self) -> ValueError:
        return ValueError(f"{self} is closed")

    def close(self) -> None:
        """Close the descriptor. The kernel keeps the object while anything else refers to it.

        Later calls raise ValueError. Calls that other threads are making complete as usual, and the
        descriptor is closed after the last of them.
        """
        self._handle.close()

    def _call(self, function: Callable[..., int], *arguments: Any) -> int:
        """Call a function with the descriptor; an error names the object."""
        held = None
        try:
            held = self._handle.open
            if held is None:
                raise self._is_closed()
            return function(int(held), *arguments)
        except OSError as failed:
            number = failed.errno or 0
            raise error(number, function.__name__, str(self), self._why(number, function.__name__, arguments)) from None
        finally:
            held = None

    def _why(self, _number: int, _function: str, _arguments: tuple[Any, ...]) -> str:
        """What an errno means in this call for this object; empty for its general meaning."""
        return ""

    def pin(self, path: str | os.PathLike[str]) -> None:
        """Pin the object at a path in a bpf file system, where it outlives this process; os.unlink() unpins it."""

        def bpf_obj_pin(fd: int) -> int:
            try:
                return bpf.bpf_obj_pin(fd, os.fsencode(path))
            except OSError as failed:
                raise error(failed.errno or 0, "bpf_obj_pin", f"{self} at {os.fspath(path)!r}") from None

        self._using(bpf_obj_pin)

    def _using(self, function: Callable[[int], Any]) -> Any:
        """Call a function with the descriptor; its exceptions are not changed."""
        held = None
        try:
            held = self._handle.open
            if held is None:
                raise self._is_closed()
            return function(int(held))
        finally:
            held = None

    def __enter__(self: Self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<{self}{', closed' if self._handle.closed else ''}>"

    # ---- Copies ----

    def __copy__(self: Self) -> Self:
        """Another reference to the same descriptor: closing either object closes both."""
        other = object.__new__(type(self))
        other.__dict__.update(self.__dict__)
        return other

    def __deepcopy__(self, _memo: object) -> NoReturn:
        raise self._not_copied("deep-copied")

    def __reduce_ex__(self, _protocol: object) -> NoReturn:
        raise self._not_copied("pickled")

    def _not_copied(self, how: str) -> TypeError:
        name = type(self).__name__
        return TypeError(
            f"{self} cannot be {how}, because it holds a descriptor of this process: "
            f"pass its id and use {name}.open(id={self.id}), or pin it and use {name}.open(pin=...)"
        )


def one_of(kind: str, **given: object) -> None:
    """Checks that an object is named in exactly one way."""
    if sum(value is not None for value in given.values()) != 1:
        raise TypeError(f"a {kind} is opened by one of {', '.join(given)}")


def id_by_name(kind: str, name: str, named: Iterator[tuple[int, str]]) -> int:
    """The id of the only object with this name, of which the kernel keeps 15 bytes."""
    short = text(os.fsencode(name)[: bpf.BPF_OBJ_NAME_LEN - 1])
    found = [id for id, other in named if other == short]
    if not found:
        raise error(errno.ENOENT, f"{kind} named {name!r}")
    if len(found) > 1:
        raise ValueError(f"{len(found)} {kind}s are named {name!r}: open one by its id ({', '.join(map(str, found))})")
    return found[0]
