# SPDX-License-Identifier: MIT OR Apache-2.0
"""What maps, programs and links have in common: a descriptor, an id, a pin, a place in a list."""

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

    Work with the number is done with int(descriptor), so that this object is where it is meant to be and
    nowhere else.
    """

    # os.close(self), as a property makes it of the two partial()s: all of it is C code, because a signal handler
    # that raised an exception in a __del__ in Python would leave the descriptor open.
    __del__ = property(partial(partial, os.close))

    def __reduce_ex__(self, _protocol: object) -> NoReturn:
        raise TypeError("a descriptor cannot be copied or pickled: both copies would close it")


class Handle:
    """A descriptor, closed by close() or when nothing refers to it any more, and never while a call uses it.

    Once a descriptor is closed, the next file that any thread opens may get its number. So a call keeps a
    reference of its own to `open`, in a local variable, and close() drops that of the Handle: the last
    reference that goes closes the descriptor. There is no count or lock that an exception from a signal
    handler could leave behind. A traceback keeps local variables alive, so the call clears its own in `finally`.
    """

    def __init__(self, fd: int) -> None:
        self.open: Descriptor | None = Descriptor(fd)

    @property
    def closed(self) -> bool:
        return self.open is None

    @property
    def fd(self) -> int:
        """The number; -1 if it is closed."""
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
    """The number as the enum has it, or as it is if the kernel is newer than the enum."""
    try:
        return enum(number)
    except ValueError:
        return number


def kind_of(fd: int) -> str:
    """What kind of object a descriptor is of: bpf-map, bpf-prog, bpf-link or something else."""
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
    """What the kernel reports about an object; it fills as much of the struct as it knows."""
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


def encoded(parameter: str, value: str) -> bytes:
    if not isinstance(value, str):
        raise TypeError(f"{parameter}: must be str, not {type(value).__name__}")
    return value.encode()


def bad_name(name: str) -> str:
    """What the kernel does not accept in a name, of which it keeps 15 bytes; empty if there is nothing."""
    kept = text(os.fsencode(name)[: bpf.BPF_OBJ_NAME_LEN - 1])
    bad = [letter for letter in kept if not (letter.isascii() and (letter.isalnum() or letter in "_."))]
    if not bad:
        return ""
    return f"the name has {bad[0]!r}, but the kernel accepts only letters and digits of ASCII, '_' and '.'"


class Object:
    """A map, a program or a link of the kernel, held by a descriptor.

    Use it in a `with` statement, or close() it; otherwise it is closed when nothing refers to it any more.
    """

    _kind: ClassVar[str]
    """What an error message calls it."""
    _inode: ClassVar[str]
    """What /proc calls its descriptors."""
    _get_fd_by_id: ClassVar[Callable[[int], int]]

    def __init__(self, fd: int | Handle) -> None:
        """Take over a descriptor. If it is not of this kind, that is a ValueError, and it stays the caller's."""
        if isinstance(fd, Handle):
            # What returned it returns no other kind.
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

        Keep the object and do not close it while they use the number. The methods of the object need
        no such care: close() waits for those that run in other threads.
        """
        fd = self._handle.fd
        if fd < 0:
            raise self._is_closed()
        return fd

    def _is_closed(self) -> ValueError:
        return ValueError(f"{self} is closed")

    def close(self) -> None:
        """Give back the descriptor. The kernel keeps the object while anything else refers to it.

        Every later use is a ValueError. A call that another thread is in ends as it would have; the
        descriptor is closed after it.
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
        """What an error number means in this call of this object; empty for what it means in general."""
        return ""

    def pin(self, path: str | os.PathLike[str]) -> None:
        """Pin it at a path of a bpf file system, where it outlives this process; os.unlink() unpins it."""

        def bpf_obj_pin(fd: int) -> int:
            try:
                return bpf.bpf_obj_pin(fd, os.fsencode(path))
            except OSError as failed:
                raise error(failed.errno or 0, "bpf_obj_pin", f"{self} at {os.fspath(path)!r}") from None

        self._using(bpf_obj_pin)

    def _using(self, function: Callable[[int], Any]) -> Any:
        """Call a function with the descriptor; errors are as it raises them."""
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
        """The same object once more, with the same descriptor: both are closed together."""
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
    """Insists on exactly one way to name an object."""
    if sum(value is not None for value in given.values()) != 1:
        raise TypeError(f"a {kind} is opened by one of {', '.join(given)}")


def id_by_name(kind: str, name: str, named: Iterator[tuple[int, str]]) -> int:
    """The id of the one object of this name; the kernel keeps 15 bytes of a name."""
    short = text(os.fsencode(name)[: bpf.BPF_OBJ_NAME_LEN - 1])
    found = [id for id, other in named if other == short]
    if not found:
        raise error(errno.ENOENT, f"{kind} named {name!r}")
    if len(found) > 1:
        raise ValueError(f"{len(found)} {kind}s are named {name!r}: open one by its id ({', '.join(map(str, found))})")
    return found[0]
