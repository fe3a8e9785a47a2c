# SPDX-License-Identifier: MIT OR Apache-2.0
"""Maps as dictionaries, of bytes or of the ctypes types given to keys_as() and values_as()."""

from __future__ import annotations

import copy
import ctypes
import errno
import mmap
import sys
from collections.abc import ItemsView, Iterable, Iterator, Mapping, MutableMapping, ValuesView
from ctypes import Array, Structure, Union, c_char, c_uint32, create_string_buffer, sizeof
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Generic, overload

from . import bpf
from ._library import ENOTSUPP, argument, error, is_integer, name_of, number
from ._object import Handle, Object, bad_name, encoded, id_by_name, ids, info_of, known, one_of, text

if TYPE_CHECKING:
    import os
    from collections.abc import Callable
    from ctypes import _SimpleCData

    from _typeshed import SupportsKeysAndGetItem
    from typing_extensions import TypeVar

    # The keys and values of a Map without type parameters are bytes.
    K = TypeVar("K", default=bytes)
    V = TypeVar("V", default=bytes)
else:
    from typing import TypeVar

    K = TypeVar("K")
    V = TypeVar("V")
T = TypeVar("T")
C = TypeVar("C", bound="Structure | Union | Array[Any]")
M = TypeVar("M", bound="Map[bytes, bytes]")

PER_CPU = {
    bpf.BPF_MAP_TYPE_PERCPU_HASH,
    bpf.BPF_MAP_TYPE_PERCPU_ARRAY,
    bpf.BPF_MAP_TYPE_LRU_PERCPU_HASH,
    bpf.BPF_MAP_TYPE_PERCPU_CGROUP_STORAGE,
}
# The types of maps whose key is an index of 4 bytes.
INDEXED = {
    bpf.BPF_MAP_TYPE_ARRAY,
    bpf.BPF_MAP_TYPE_PROG_ARRAY,
    bpf.BPF_MAP_TYPE_PERF_EVENT_ARRAY,
    bpf.BPF_MAP_TYPE_PERCPU_ARRAY,
    bpf.BPF_MAP_TYPE_CGROUP_ARRAY,
    bpf.BPF_MAP_TYPE_ARRAY_OF_MAPS,
    bpf.BPF_MAP_TYPE_DEVMAP,
    bpf.BPF_MAP_TYPE_SOCKMAP,
    bpf.BPF_MAP_TYPE_CPUMAP,
    bpf.BPF_MAP_TYPE_XSKMAP,
    bpf.BPF_MAP_TYPE_REUSEPORT_SOCKARRAY,
}
ARRAYS = {bpf.BPF_MAP_TYPE_ARRAY, bpf.BPF_MAP_TYPE_PERCPU_ARRAY}
HASHES = {
    bpf.BPF_MAP_TYPE_HASH,
    bpf.BPF_MAP_TYPE_PERCPU_HASH,
    bpf.BPF_MAP_TYPE_LRU_HASH,
    bpf.BPF_MAP_TYPE_LRU_PERCPU_HASH,
}
# The errors of a call that the kernel does not have, or does not have for this type of map.
UNSUPPORTED = (errno.EINVAL, errno.EOPNOTSUPP, ENOTSUPP)
# The types of maps where the position of a batch is a key: if that key is deleted, the kernel starts over.
NO_BATCH = {bpf.BPF_MAP_TYPE_LPM_TRIE, bpf.BPF_MAP_TYPE_SOCKHASH}
BATCH_BYTES = 1 << 20
# Stands for a default that is not given, because None can be one.
_MISSING: Any = object()


@dataclass(frozen=True)
class MapInfo:
    """A map as maps() lists it."""

    id: int
    name: str
    type: bpf.bpf_map_type | int
    key_size: int
    value_size: int
    max_entries: int
    flags: int
    raw: bpf.bpf_map_info = field(repr=False)
    """Everything that the kernel reports."""


def _describe(fd: int) -> MapInfo:
    raw = info_of(fd, bpf.bpf_map_info())
    kind = known(bpf.bpf_map_type, raw.type)
    return MapInfo(raw.id, text(raw.name), kind, raw.key_size, raw.value_size, raw.max_entries, raw.map_flags, raw)


def maps() -> Iterator[MapInfo]:
    """All maps of the kernel; needs CAP_SYS_ADMIN. A map that disappears during listing is skipped."""
    for id in ids(bpf.bpf_map_get_next_id):
        try:
            handle = Handle(bpf.bpf_map_get_fd_by_id(id))
        except FileNotFoundError:
            continue
        info = _describe(handle.fd)
        handle.close()
        yield info


def possible_cpus() -> int:
    """The number of CPUs for which a per-CPU map has values, whether they are present or not."""
    with open("/sys/devices/system/cpu/possible") as file:
        ranges = [part.partition("-") for part in file.read().strip().split(",")]
    return sum(int(last or first) - int(first) + 1 for first, _, last in ranges)


@dataclass(frozen=True)
class Codec(Generic[T]):
    """How keys or values are converted to bytes and back, and their size in bytes."""

    size: int
    encode: Callable[[T], bytes]
    decode: Callable[[bytes], T]


def _raw(size: int, what: str) -> Codec[bytes]:
    def encode(value: bytes) -> bytes:
        if not isinstance(value, (bytes, bytearray, memoryview)):
            raise TypeError(
                f"must be bytes, not {type(value).__name__}; {what}s_as() gives the map with {what}s of another type"
            )
        return bytes(value)

    return Codec(size, encode, bytes)


def _characters(ctype: Any) -> Codec[bytes]:
    """An array of c_char as bytes: padded with zeros when it is written, and without them when it is read."""
    size = sizeof(ctype)

    def encode(value: Any) -> bytes:
        if isinstance(value, ctype):
            return bytes(value)
        if not isinstance(value, (bytes, bytearray, memoryview)):
            raise TypeError(f"must be bytes, not {type(value).__name__}")
        if len(bytes(value)) > size:
            raise ValueError(f"{len(bytes(value))} bytes do not fit into {name_of(ctype)}")
        return bytes(value).ljust(size, b"\0")

    return Codec(size, encode, lambda data: data.rstrip(b"\0"))


def _typed(ctype: Any) -> Codec[Any]:
    possible = "give an integer or float of ctypes (c_uint32), a struct, a union or an array of them (c_char * 16)"
    if not isinstance(ctype, type) or not issubclass(ctype, (Structure, Union, Array, ctypes._SimpleCData)):
        name = ctype.__name__ if isinstance(ctype, type) else repr(ctype)
        raise TypeError(f"{name} is not a ctypes type: {possible}")
    name = name_of(ctype)
    if issubclass(ctype, ctypes._SimpleCData) and getattr(ctype, "_type_", "O") in "OPZz":
        raise TypeError(f"{name} is not a type that a map can hold: {possible}")
    size = sizeof(ctype)
    if issubclass(ctype, Array) and getattr(ctype, "_type_", None) is c_char:
        return _characters(ctype)
    if issubclass(ctype, (Structure, Union, Array)):

        def encode(value: Any) -> bytes:
            if not isinstance(value, ctype):
                raise TypeError(f"must be {name}, not {type(value).__name__}")
            return bytes(value)

        return Codec(size, encode, ctype.from_buffer_copy)

    check = number(ctype) if is_integer(ctype) else ctype

    def encode_number(value: Any) -> bytes:
        value = check(value)
        return bytes(value if isinstance(value, ctype) else ctype(value))

    def decode_number(data: bytes) -> Any:
        return ctype.from_buffer_copy(data).value

    return Codec(size, encode_number, decode_number)


def _per_cpu(one: Codec[T], cpus: int) -> Codec[list[T]]:
    stride = (one.size + 7) // 8 * 8

    def encode(values: list[T]) -> bytes:
        if len(values) != cpus:
            raise ValueError(f"{len(values)} values, but there are {cpus} possible CPUs")
        return b"".join(one.encode(value).ljust(stride, b"\0") for value in values)

    def decode(data: bytes) -> list[T]:
        return [one.decode(data[at : at + one.size]) for at in range(0, stride * cpus, stride)]

    return Codec(stride * cpus, encode, decode)


class _Items(ItemsView[K, V]):
    _mapping: Map[K, V]

    def __iter__(self) -> Iterator[tuple[K, V]]:
        return self._mapping._pairs()


class _Values(ValuesView[V]):
    _mapping: Map[Any, V]

    def __iter__(self) -> Iterator[V]:
        return (value for _, value in self._mapping._pairs())


def _why_not_created(
    number: int, kind: int, key_size: int, value_size: int, max_entries: int, flags: int, name: str
) -> str:
    """Why the kernel rejected a new map, if the reason is known; empty otherwise."""
    if number == errno.E2BIG:
        return f"keys of {key_size} bytes, values of {value_size} bytes and {max_entries} elements are too large for it"
    if number != errno.EINVAL:
        return ""
    if bad := bad_name(name):
        return bad
    if kind in INDEXED and key_size != 4:
        return f"key_size is {key_size}, but the key of {_called(kind)} is an index of 4 bytes"
    if kind in HASHES and key_size == 0:
        return "key_size is 0"
    if kind in HASHES | ARRAYS and value_size == 0:
        return "value_size is 0"
    if kind in HASHES | INDEXED and max_entries == 0:
        return "max_entries is 0"
    if kind in (bpf.BPF_MAP_TYPE_QUEUE, bpf.BPF_MAP_TYPE_STACK) and key_size:
        return f"key_size is {key_size}, but {_called(kind)} has no keys: key_size is 0"
    if kind == bpf.BPF_MAP_TYPE_LPM_TRIE and not flags & bpf.BPF_F_NO_PREALLOC:
        return f"{_called(kind)} takes flags=BPF_F_NO_PREALLOC"
    if kind == bpf.BPF_MAP_TYPE_RINGBUF:
        if key_size or value_size:
            return f"key_size is {key_size} and value_size {value_size}, but a ring buffer has neither: both are 0"
        if max_entries % mmap.PAGESIZE or max_entries & max_entries - 1 or not max_entries:
            return (
                f"max_entries is {max_entries}, but the size of a ring buffer is a power of 2 "
                f"and a multiple of the page size, {mmap.PAGESIZE}"
            )
    return ""


def _called(kind: int) -> str:
    return bpf.bpf_map_type(kind).name


class Map(Object, MutableMapping[K, V]):
    """A BPF map as a dictionary.

    Keys and values are bytes, of exactly the sizes that the map has; keys_as() and values_as() return the
    same map with ctypes types instead. A value of a per-CPU map consists of the values of all possible
    CPUs, each padded to a multiple of 8 bytes; per_cpu_values_as() makes it a list.

    A key that does not exist raises KeyError. Any other failure of a call raises OSError.

    A loop, items(), dict() and update() transfer many elements with one call where the kernel supports it.
    If an element is added or deleted while the map is being read, the result may or may not have it.
    """

    _kind = "map"
    _inode = "bpf-map"
    _get_fd_by_id = bpf.bpf_map_get_fd_by_id
    _keys: Codec[K]
    _values: Codec[V]

    # ---- Creating and opening ----

    @overload
    @classmethod
    def create(
        cls: type[M],
        map_type: int,
        key_size: int,
        value_size: int,
        max_entries: int,
        *,
        name: str = "",
        flags: int = 0,
        opts: bpf.bpf_map_create_opts | None = None,
    ) -> M: ...
    @overload
    @classmethod
    def create(
        cls,
        map_type: int,
        key_size: int,
        value_size: int,
        max_entries: int,
        *,
        name: str = "",
        flags: int = 0,
        opts: bpf.bpf_map_create_opts | None = None,
    ) -> Map[bytes, bytes]: ...
    @classmethod
    def create(
        cls,
        map_type: int,
        key_size: int,
        value_size: int,
        max_entries: int,
        *,
        name: str = "",
        flags: int = 0,
        opts: bpf.bpf_map_create_opts | None = None,
    ) -> Any:
        """Create a map. map_type is a `BPF_MAP_TYPE_*`, sizes are in bytes, flags are `BPF_F_*`; opts has all else.

        The kernel keeps the first 15 bytes of the name.
        """
        # opts, and the memory that only opts keeps alive, exists until this function returns.
        used = bpf.bpf_map_create_opts() if opts is None else copy.copy(opts)
        used.map_flags |= argument("flags", c_uint32, flags)
        try:
            fd = bpf.bpf_map_create(map_type, encoded("name", name) or None, key_size, value_size, max_entries, used)
        except OSError as failed:
            number = failed.errno or 0
            why = _why_not_created(number, map_type, key_size, value_size, max_entries, used.map_flags, name)
            raise error(number, "bpf_map_create", f"map {name!r}", why) from None
        return cls(Handle(fd))

    @overload
    @classmethod
    def open(
        cls: type[M], *, id: int | None = None, name: str | None = None, pin: str | os.PathLike[str] | None = None
    ) -> M: ...
    @overload
    @classmethod
    def open(
        cls, *, id: int | None = None, name: str | None = None, pin: str | os.PathLike[str] | None = None
    ) -> Map[bytes, bytes]: ...
    @classmethod
    def open(cls, *, id: int | None = None, name: str | None = None, pin: str | os.PathLike[str] | None = None) -> Any:
        """Open an existing map, by its id, its name, or the path where it is pinned."""
        one_of("map", id=id, name=name, pin=pin)
        if pin is not None:
            return cls(cls._by_pin(pin))
        if name is not None:
            id = id_by_name("map", name, ((info.id, info.name) for info in maps()))
        assert id is not None
        return cls(cls._by_id(id))

    def _read_info(self, fd: int) -> None:
        self.info = _describe(fd)
        self._keys = _raw(self.info.key_size, "key")  # type: ignore[assignment]
        size = self.info.value_size
        if self.info.type in PER_CPU:
            size = (size + 7) // 8 * 8 * possible_cpus()
        self._values = _raw(size, "value")  # type: ignore[assignment]

    @property
    def id(self) -> int:
        return self.info.id

    @property
    def name(self) -> str:
        return self.info.name

    def __str__(self) -> str:
        return f"map {self.info.name!r} (id {self.info.id})"

    # ---- The same map with other types ----

    def _seen_as(self, keys: Codec[Any], values: Codec[Any]) -> Map[Any, Any]:
        self.fileno()
        other: Map[Any, Any] = copy.copy(self)
        other._keys, other._values = keys, values
        return other

    def _fitting(self, ctype: Any, what: str, size: int) -> Codec[Any]:
        codec = _typed(ctype)
        if codec.size != size:
            raise ValueError(f"{self}: {name_of(ctype)} has {codec.size} bytes, but a {what} has {size}")
        return codec

    @overload
    def keys_as(self, ctype: type[_SimpleCData[T]]) -> Map[T, V]: ...
    @overload
    def keys_as(self, ctype: type[Array[c_char]]) -> Map[bytes, V]: ...
    @overload
    def keys_as(self, ctype: type[C]) -> Map[C, V]: ...
    def keys_as(self, ctype: Any) -> Map[Any, V]:
        """The same map with keys of a ctypes type.

        A key of an integer type (c_uint32) is an int, one of an array of characters (c_char * 16) is bytes
        without the zeros at the end, and one of a struct type is a struct. Structs can be keys of a dict if
        their class is derived from sysbpf.Members. Closing either map closes both.
        """
        return self._seen_as(self._fitting(ctype, "key", self.info.key_size), self._values)

    @overload
    def values_as(self, ctype: type[_SimpleCData[T]]) -> Map[K, T]: ...
    @overload
    def values_as(self, ctype: type[Array[c_char]]) -> Map[K, bytes]: ...
    @overload
    def values_as(self, ctype: type[C]) -> Map[K, C]: ...
    def values_as(self, ctype: Any) -> Map[K, Any]:
        """The same map with values of a ctypes type; see keys_as()."""
        if self.info.type in PER_CPU:
            raise ValueError(f"{self} has a value for each CPU: use per_cpu_values_as()")
        return self._seen_as(self._keys, self._fitting(ctype, "value", self.info.value_size))

    @overload
    def per_cpu_values_as(self, ctype: type[_SimpleCData[T]]) -> Map[K, list[T]]: ...
    @overload
    def per_cpu_values_as(self, ctype: type[Array[c_char]]) -> Map[K, list[bytes]]: ...
    @overload
    def per_cpu_values_as(self, ctype: type[C]) -> Map[K, list[C]]: ...
    def per_cpu_values_as(self, ctype: Any) -> Map[K, list[Any]]:
        """The same per-CPU map, where a value is a list: one value of a ctypes type for each possible CPU."""
        if self.info.type not in PER_CPU:
            raise ValueError(f"{self} has one value for all CPUs: use values_as()")
        one = self._fitting(ctype, "value", self.info.value_size)
        return self._seen_as(self._keys, _per_cpu(one, possible_cpus()))

    # ---- One element ----

    def _encode(self, codec: Codec[Any], value: Any, what: str) -> bytes:
        try:
            data = codec.encode(value)
        except (TypeError, ValueError, OverflowError) as wrong:
            raise type(wrong)(f"{self}: {what}: {wrong}") from None
        if len(data) != codec.size:
            raise ValueError(f"{self}: the {what} has {len(data)} bytes, but {what}s of this map have {codec.size}")
        return data

    def __getitem__(self, key: K) -> V:
        return self._read(bpf.bpf_map_lookup_elem, key)

    def take(self, key: K) -> V:
        """Look up and delete an element in one step (hash maps since Linux 5.14).

        Queues and stacks have keys of 0 bytes: take(b"") takes the next element.
        """
        return self._read(bpf.bpf_map_lookup_and_delete_elem, key)

    def _read(self, function: Callable[..., int], key: K) -> V:
        data = self._encode(self._keys, key, "key")
        value = create_string_buffer(self._values.size)
        try:
            self._call(function, data or None, value)
        except FileNotFoundError:
            raise KeyError(key) from None
        return self._values.decode(value.raw)

    def __setitem__(self, key: K, value: V) -> None:
        self.put(key, value)

    def put(self, key: K, value: V, flags: int = bpf.BPF_ANY) -> None:
        """Set an element; with BPF_NOEXIST only if it does not exist, with BPF_EXIST only if it does."""
        data = self._encode(self._keys, key, "key")
        self._call(bpf.bpf_map_update_elem, data or None, self._encode(self._values, value, "value"), flags)

    def _why(self, number: int, function: str, arguments: tuple[Any, ...]) -> str:
        kind, most = self.info.type, self.info.max_entries
        if function == "bpf_map_update_elem" and number in (errno.E2BIG, errno.ENOSPC):
            if kind in INDEXED:
                index = int.from_bytes(arguments[0], sys.byteorder)
                return f"index {index} is too high: its {most} elements are 0 to {most - 1}" if index >= most else ""
            return f"the map is full: max_entries is {most}"
        if function == "bpf_map_delete_elem" and number == errno.EINVAL and kind in ARRAYS:
            return "elements of an array cannot be deleted"
        return ""

    def __delitem__(self, key: K) -> None:
        data = self._encode(self._keys, key, "key")
        try:
            self._call(bpf.bpf_map_delete_elem, data)
        except FileNotFoundError:
            raise KeyError(key) from None

    # ---- All elements ----

    def _elements(self, values: bool = True) -> Iterator[tuple[bytes, bytes]]:
        """All elements as bytes. values=False leaves out the values where each would need a call."""
        if self.info.type not in NO_BATCH:
            try:
                yield from self._batches()
                return
            except _NoBatch:
                pass
        value = create_string_buffer(self._values.size)
        for key in self._walk():
            try:
                if values:
                    self._call(bpf.bpf_map_lookup_elem, key, value)
            except FileNotFoundError:
                continue  # Deleted in the meantime.
            yield key, value.raw

    def __iter__(self) -> Iterator[K]:
        return (self._keys.decode(key) for key, _ in self._elements(values=False))

    def _pairs(self) -> Iterator[tuple[K, V]]:
        return ((self._keys.decode(key), self._values.decode(value)) for key, value in self._elements())

    def _batches(self) -> Iterator[tuple[bytes, bytes]]:
        """Keys and values, read in batches; raises _NoBatch before the first one if the kernel cannot do that."""
        key_size, value_size = self.info.key_size, self._values.size
        room = max(1, min(self.info.max_entries, BATCH_BYTES // max(1, key_size + value_size)))
        keys = values = create_string_buffer(0)
        position, following = None, create_string_buffer(max(4, key_size))
        interrupted = 0
        while True:
            if len(values) < room * value_size:
                keys, values = create_string_buffer(room * key_size), create_string_buffer(room * value_size)
            count = c_uint32(room)
            failed = 0
            try:
                self._call(bpf.bpf_map_lookup_batch, position, following, keys, values, count)
            except OSError as wrong:
                failed = wrong.errno or 0
                if position is None and failed in UNSUPPORTED:
                    raise _NoBatch from None
                if failed == errno.EINTR and interrupted < 1000:
                    interrupted += 1  # The map changed while the kernel read it.
                    if count.value == 0:
                        continue
                elif failed == errno.ENOSPC:
                    room *= 2  # A bucket of the hash has more elements than there is room for.
                    continue
                elif failed != errno.ENOENT:
                    raise
            read_keys, read_values = keys.raw, values.raw
            for at in range(count.value):
                yield (
                    read_keys[at * key_size : (at + 1) * key_size],
                    read_values[at * value_size : (at + 1) * value_size],
                )
            if failed == errno.ENOENT:
                return
            position = following

    def _walk(self) -> Iterator[bytes]:
        """Keys, one by one. The kernel starts over if the previous key was deleted, but no key is yielded twice."""
        seen: set[bytes] = set()
        again = 0
        key, following = None, create_string_buffer(self.info.key_size)
        while again <= 100 * (len(seen) + 1):
            try:
                self._call(bpf.bpf_map_get_next_key, key, following)
            except FileNotFoundError:
                return
            key = following.raw
            if key in seen:
                again += 1
                continue
            again = 0
            seen.add(key)
            yield key
        raise OSError(errno.EAGAIN, f"{self} is changed too fast to be read")

    def __len__(self) -> int:
        """The number of elements. Counting them reads the map; list() and sorted() do so before they read it again."""
        return sum(1 for _ in self._elements(values=False))

    def __bool__(self) -> bool:
        """Whether there is any element."""
        return next(iter(self), None) is not None

    def items(self) -> ItemsView[K, V]:
        return _Items(self)

    def values(self) -> ValuesView[V]:
        return _Values(self)

    @overload
    def update(self, other: SupportsKeysAndGetItem[K, V], /) -> None: ...
    @overload
    def update(self, other: Iterable[tuple[K, V]] = (), /) -> None: ...
    def update(self, other: Any = (), /) -> None:
        """Set all elements of a mapping, or of an iterable of pairs: many with one call since Linux 5.6.

        If a key or value has the wrong type or size, no element is set. If the kernel rejects an element
        (for example because the map is full), the elements before it are set.
        """
        pairs = other
        if isinstance(other, Mapping):
            pairs = other.items()
        elif hasattr(other, "keys"):
            pairs = ((key, other[key]) for key in other.keys())  # noqa: SIM118
        elements = [
            (self._encode(self._keys, key, "key"), self._encode(self._values, value, "value")) for key, value in pairs
        ]
        room = max(1, BATCH_BYTES // max(1, self._keys.size + self._values.size))
        at = 0
        while len(elements) - at > 1:
            part = elements[at : at + room]
            count = c_uint32(len(part))
            keys, values = (b"".join(data) for data in zip(*part, strict=True))
            try:
                self._call(bpf.bpf_map_update_batch, keys, values, count)
                at += len(part)
            except OSError as failed:
                if failed.errno in UNSUPPORTED:
                    break
                # The kernel counts the elements that it has set, unless it failed before the first. Setting the
                # next one by itself raises the reason.
                at += count.value if count.value < len(part) else 0
                self._call(bpf.bpf_map_update_elem, *elements[at], bpf.BPF_ANY)
                at += 1
        for key, value in elements[at:]:
            self._call(bpf.bpf_map_update_elem, key or None, value, bpf.BPF_ANY)

    def clear(self) -> None:
        """Delete all elements; an element that is added in the meantime may remain."""
        for key in list(self):
            self.pop(key, None)

    @overload
    def pop(self, key: K) -> V: ...
    @overload
    def pop(self, key: K, default: V) -> V: ...
    @overload
    def pop(self, key: K, default: T) -> V | T: ...
    def pop(self, key: K, default: Any = _MISSING) -> Any:
        """Delete an element and return its value.

        This is one step for maps that support take(). For other maps it is two, and a change of the value
        between them is lost.
        """
        try:
            try:
                return self.take(key)
            except OSError as failed:
                if failed.errno not in UNSUPPORTED:
                    raise
            value = self[key]
            del self[key]
        except KeyError:
            if default is _MISSING:
                raise
            return default
        return value

    def freeze(self) -> None:
        """Make the map read-only for user space (Linux 5.2); BPF programs can still change it."""
        self._call(bpf.bpf_map_freeze)


class _NoBatch(Exception):
    """The kernel cannot read this map in batches."""
