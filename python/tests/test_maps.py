# SPDX-License-Identifier: MIT OR Apache-2.0
"""Maps as dictionaries, on the running kernel."""

from __future__ import annotations

import ctypes
import errno
import mmap
import os
import threading
from typing import TYPE_CHECKING, Any

import pytest

import sysbpf
from sysbpf import bpf

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.usefixtures("kernel")


class Flow(sysbpf.Members):
    _fields_ = (("port", ctypes.c_uint16), ("address", ctypes.c_uint32))


class Plain(ctypes.Structure):
    _fields_ = (("low", ctypes.c_uint32), ("high", ctypes.c_uint32))


def little(number: int, size: int) -> bytes:
    return number.to_bytes(size, "little" if ctypes.c_uint16(1).value == bytes(ctypes.c_uint16(1))[0] else "big")


def test_keys_and_values_are_bytes_by_default() -> None:
    with sysbpf.Map.create(bpf.BPF_MAP_TYPE_HASH, 4, 8, 10, name="bytes") as counts:
        counts[b"abcd"] = b"12345678"
        assert counts[b"abcd"] == b"12345678"
        assert dict(counts) == {b"abcd": b"12345678"}
        assert b"abcd" in counts
        assert b"wxyz" not in counts
        del counts[b"abcd"]
        assert len(counts) == 0
        assert not counts
        with pytest.raises(KeyError):
            counts[b"abcd"]
        with pytest.raises(KeyError):
            del counts[b"abcd"]


def test_numbers_and_structs() -> None:
    with sysbpf.Map.create(bpf.BPF_MAP_TYPE_HASH, ctypes.sizeof(Flow), 8, 10, name="flows") as created:
        flows = created.keys_as(Flow).values_as(ctypes.c_int64)
        flows[Flow(80, 1)] = -5
        assert flows[Flow(80, 1)] == -5
        assert dict(flows)[Flow(80, 1)] == -5, "found again in a dict"
        plain = created.keys_as(Flow).values_as(Plain)
        assert plain[Flow(80, 1)].high == 0xFFFFFFFF
        plain[Flow(80, 2)] = Plain(low=7)
        assert created[bytes(Flow(80, 2))] == little(7, 8)
        cells = created.keys_as(Flow).values_as(ctypes.c_uint16 * 4)
        assert list(cells[Flow(80, 2)]) == list((ctypes.c_uint16 * 4).from_buffer_copy(little(7, 8)))


@pytest.mark.parametrize("elements", [0, 1, 3000, 5000])
def test_all_of_a_hash_is_read_in_batches(
    numbers: sysbpf.Map[int, int], elements: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = {key: key * key for key in range(elements)}
    numbers.update(expected)
    # Small batches; some of them are too small for a bucket of the hash.
    monkeypatch.setattr("sysbpf._map.BATCH_BYTES", 12 * 3)
    calls = 0
    batch = bpf.bpf_map_lookup_batch

    def counting(*arguments: Any) -> int:
        nonlocal calls
        calls += 1
        return batch(*arguments)

    counting.__name__ = "bpf_map_lookup_batch"
    monkeypatch.setattr(bpf, "bpf_map_lookup_batch", counting)
    monkeypatch.setattr(bpf, "bpf_map_get_next_key", None)
    assert dict(numbers.items()) == expected
    assert calls >= elements / 1000
    assert sorted(numbers) == sorted(expected)
    assert sorted(numbers.values()) == sorted(expected.values())
    assert len(numbers) == elements


def test_a_batch_is_large(numbers: sysbpf.Map[int, int], monkeypatch: pytest.MonkeyPatch) -> None:
    numbers.update({key: key for key in range(5000)})
    batch = bpf.bpf_map_lookup_batch
    counts = []

    def noting(*arguments: Any) -> int:
        try:
            return batch(*arguments)
        finally:
            counts.append(arguments[5].value)

    monkeypatch.setattr(bpf, "bpf_map_lookup_batch", noting)
    assert sum(numbers.values()) == sum(range(5000))
    assert sum(counts) == 5000
    assert len(counts) <= 3


def test_an_element_deleted_between_its_key_and_its_value_is_left_out(
    numbers: sysbpf.Map[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> int:
        raise OSError(524, "not here")

    next_key = bpf.bpf_map_get_next_key

    def too_late(fd: int, key: Any, following: Any) -> int:
        found = next_key(fd, key, following)
        if following.raw == little(7, 4):
            bpf.bpf_map_delete_elem(fd, following)
        return found

    numbers.update({key: key for key in range(20)})
    monkeypatch.setattr(bpf, "bpf_map_lookup_batch", refuse)
    monkeypatch.setattr(bpf, "bpf_map_get_next_key", too_late)
    # dict() reads once; list() and sorted() would ask for the length first.
    assert dict(numbers.items()) == {key: key for key in range(20) if key != 7}


@pytest.mark.parametrize("number", [errno.EINVAL, 524])
def test_a_map_without_batches_is_read_key_by_key(
    numbers: sysbpf.Map[int, int], number: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> int:
        raise OSError(number, "not here")

    expected = {key: key + 1 for key in range(500)}
    numbers.update(expected)
    monkeypatch.setattr(bpf, "bpf_map_lookup_batch", refuse)
    assert dict(numbers.items()) == expected
    assert sorted(numbers) == sorted(expected)


def test_an_array() -> None:
    with sysbpf.Map.create(bpf.BPF_MAP_TYPE_ARRAY, 4, 4, 1000, name="array") as created:
        array = created.keys_as(ctypes.c_uint32).values_as(ctypes.c_uint32)
        array[999] = 9
        assert list(array) == list(range(1000))
        assert sum(array.values()) == 9
        with pytest.raises(KeyError):
            array[1000]
        with pytest.raises(
            OSError, match=r"map 'array' .*: index 1000 is too high: its 1000 elements are 0 to 999"
        ) as too_high:
            array[1000] = 1
        assert too_high.value.errno == errno.E2BIG
        with pytest.raises(OSError, match=r"map 'array' .*: elements of an array cannot be deleted") as cannot:
            del array[0]
        assert cannot.value.errno == errno.EINVAL


@pytest.mark.parametrize(
    "kind", [bpf.BPF_MAP_TYPE_PERCPU_ARRAY, bpf.BPF_MAP_TYPE_PERCPU_HASH, bpf.BPF_MAP_TYPE_LRU_PERCPU_HASH]
)
def test_a_value_for_each_cpu(kind: int) -> None:
    cpus = sysbpf.possible_cpus()
    with sysbpf.Map.create(kind, 4, 12, 8, name="percpu") as created:
        key = little(5, 4)
        values = [bytes([cpu + 1]) * 12 for cpu in range(cpus)]
        created[key] = b"".join(value + bytes(4) for value in values)
        typed = created.keys_as(ctypes.c_uint32).per_cpu_values_as(ctypes.c_uint8 * 12)
        assert [bytes(value) for value in typed[5]] == values
        assert [bytes(value) for value in dict(typed.items())[5]] == values
        typed[5] = [(ctypes.c_uint8 * 12)(*range(12))] * cpus
        assert created[key] == (bytes(range(12)) + bytes(4)) * cpus
        with pytest.raises(ValueError, match=r"map 'percpu' .*per_cpu_values_as"):
            created.values_as(ctypes.c_uint8 * 12)
        with pytest.raises(ValueError, match=f"{cpus + 1} values, but there are {cpus} possible CPUs"):
            typed[5] = typed[5] + typed[5][:1]


def test_a_queue() -> None:
    with sysbpf.Map.create(bpf.BPF_MAP_TYPE_QUEUE, 0, 4, 2, name="queue") as queue:
        queue[b""] = b"1st."
        queue[b""] = b"2nd."
        assert queue[b""] == b"1st."
        assert [queue.take(b""), queue.take(b"")] == [b"1st.", b"2nd."]
        with pytest.raises(KeyError):
            queue.take(b"")
        with pytest.raises(OSError, match="map 'queue'"):
            list(queue)


def test_a_ring_buffer_has_no_elements_to_read() -> None:
    with (
        sysbpf.Map.create(bpf.BPF_MAP_TYPE_RINGBUF, 0, 0, 4096, name="ring") as ring,
        pytest.raises(OSError, match="'ring'"),
    ):
        list(ring.items())


def test_flags_of_an_update(numbers: sysbpf.Map[int, int]) -> None:
    numbers.put(1, 1, bpf.BPF_NOEXIST)
    with pytest.raises(FileExistsError, match="map 'numbers'"):
        numbers.put(1, 2, bpf.BPF_NOEXIST)
    with pytest.raises(FileNotFoundError, match="map 'numbers'"):
        numbers.put(2, 2, bpf.BPF_EXIST)
    assert dict(numbers) == {1: 1}


def test_options_are_used_and_left_as_they_are() -> None:
    opts = bpf.bpf_map_create_opts(map_flags=bpf.BPF_F_RDONLY_PROG, map_extra=0)
    with sysbpf.Map.create(bpf.BPF_MAP_TYPE_HASH, 4, 4, 1, flags=bpf.BPF_F_NO_PREALLOC, opts=opts) as both:
        assert both.info.flags == bpf.BPF_F_RDONLY_PROG | bpf.BPF_F_NO_PREALLOC
    assert opts.map_flags == bpf.BPF_F_RDONLY_PROG


def test_characters_are_bytes() -> None:
    with sysbpf.Map.create(bpf.BPF_MAP_TYPE_HASH, 16, 8, 10, name="names") as created:
        names = created.keys_as(ctypes.c_char * 16).values_as(ctypes.c_char * 8)
        names[b"hello"] = b"world"
        names[bytearray(b"a\0b")] = memoryview(b"12345678")  # type: ignore[index, assignment]
        assert names[b"hello"] == b"world"
        assert names[b"hello\0\0"] == b"world", "as C would fill it up"
        assert dict(names) == dict(names.items()) == {b"hello": b"world", b"a\0b": b"12345678"}
        assert sorted(names) == [b"a\0b", b"hello"]
        assert created[b"hello".ljust(16, b"\0")] == b"world\0\0\0"
        key = (ctypes.c_char * 16).from_buffer_copy(b"hello".ljust(16, b"\0"))
        assert names[key] == b"world"  # type: ignore[index]
        names.update({b"full": b"full"})
        assert names.pop(b"full") == b"full"
        with pytest.raises(ValueError, match=r"map 'names' .*: key: 17 bytes do not fit into c_char \* 16"):
            names[bytes(17)]
        with pytest.raises(TypeError, match=r"value: must be bytes, not str"):
            names[b"hello"] = "world"  # type: ignore[assignment]
    with sysbpf.Map.create(bpf.BPF_MAP_TYPE_PERCPU_ARRAY, 4, 8, 1) as created:
        words = created.keys_as(ctypes.c_uint32).per_cpu_values_as(ctypes.c_char * 8)
        words[0] = [b"one"] * sysbpf.possible_cpus()
        assert words[0] == [b"one"] * sysbpf.possible_cpus()


class Counters(sysbpf.Map[bytes, bytes]):
    """A subclass with an attribute of its own."""

    unit = "bytes"

    def total(self) -> int:
        return sum(self.values_as(ctypes.c_uint64).values())


def test_a_subclass_stays_one(bpffs: str) -> None:
    path = os.path.join(bpffs, "counters")
    with Counters.create(bpf.BPF_MAP_TYPE_HASH, 4, 8, 10, name="counters") as created:
        assert type(created) is Counters
        created.unit = "packets"
        typed = created.keys_as(ctypes.c_uint32).values_as(ctypes.c_uint64)
        typed.update({1: 2, 3: 4})
        assert isinstance(typed, Counters)
        assert typed.unit == "packets"
        created.pin(path)
        for opened in (Counters.open(id=created.id), Counters.open(pin=path)):
            assert type(opened) is Counters
            assert (opened.total(), opened.unit) == (6, "bytes")
            opened.close()
        os.unlink(path)


def test_taking_and_clearing(numbers: sysbpf.Map[int, int]) -> None:
    numbers.update({key: key for key in range(100)})
    assert numbers.take(7) == 7
    assert numbers.pop(8) == 8
    assert numbers.pop(8, None) is None
    with pytest.raises(KeyError):
        numbers.pop(8)
    numbers.clear()
    assert dict(numbers) == {}


def counted(monkeypatch: pytest.MonkeyPatch, *names: str) -> dict[str, int]:
    """Counts the calls of each function."""
    calls = dict.fromkeys(names, 0)
    for name in names:
        called = getattr(bpf, name)

        def counting(*arguments: Any, name: str = name, real: Any = called) -> int:
            calls[name] += 1
            return real(*arguments)  # type: ignore[no-any-return]

        counting.__name__ = name
        monkeypatch.setattr(bpf, name, counting)
    return calls


@pytest.mark.parametrize("kind", [bpf.BPF_MAP_TYPE_HASH, bpf.BPF_MAP_TYPE_ARRAY, bpf.BPF_MAP_TYPE_PERCPU_HASH])
def test_an_update_is_few_calls(kind: int, monkeypatch: pytest.MonkeyPatch) -> None:
    with sysbpf.Map.create(kind, 4, 8, 1000) as created:
        value = b"12345678" * (len(created._encode(created._values, bytes(created._values.size), "value")) // 8)
        calls = counted(monkeypatch, "bpf_map_update_batch", "bpf_map_update_elem")
        created.update({little(key, 4): value for key in range(1000)})
        assert calls == {"bpf_map_update_batch": 1, "bpf_map_update_elem": 0}
        assert dict(created.items()) == {little(key, 4): value for key in range(1000)}
        monkeypatch.setattr("sysbpf._map.BATCH_BYTES", 100 * (4 + len(value)))
        other = bytes(len(value))
        created.update((little(key, 4), other) for key in range(450))
        assert calls == {"bpf_map_update_batch": 6, "bpf_map_update_elem": 0}
        assert [created[little(key, 4)] for key in (0, 449, 450)] == [other, other, value]


def test_what_an_update_takes(numbers: sysbpf.Map[int, int]) -> None:
    class Keyed:
        def keys(self) -> list[int]:
            return [7, 8]

        def __getitem__(self, key: int) -> int:
            return key * 10

    numbers.update()
    numbers.update({})
    assert len(numbers) == 0
    numbers.update({1: 1})
    numbers.update([(2, 2), (3, 3), (3, 33)])
    numbers.update(Keyed())
    assert dict(numbers) == {1: 1, 2: 2, 3: 33, 7: 70, 8: 80}
    with sysbpf.Map.create(bpf.BPF_MAP_TYPE_HASH, 4, 8, 10) as created:
        other = created.keys_as(ctypes.c_uint32).values_as(ctypes.c_uint64)
        other.update(numbers)
        assert dict(other) == dict(numbers)


def test_an_update_that_fails_reports_where_it_stopped(numbers: sysbpf.Map[int, int]) -> None:
    with pytest.raises(OverflowError, match="value: -1 does not fit"):
        numbers.update({1: 1, 2: -1})
    assert len(numbers) == 0, "nothing is set if a value is wrong"
    with sysbpf.Map.create(bpf.BPF_MAP_TYPE_ARRAY, 4, 8, 10, name="array") as created:
        array = created.keys_as(ctypes.c_uint32).values_as(ctypes.c_uint64)
        with pytest.raises(OSError, match=r"map 'array' .*: index 10 is too high: its 10 elements are 0 to 9") as wrong:
            array.update({1: 1, 2: 2, 10: 3, 4: 4})
        assert wrong.value.errno == errno.E2BIG
        assert list(array.values()) == [0, 1, 2, 0, 0, 0, 0, 0, 0, 0], "those before it are set"
    numbers.freeze()
    with pytest.raises(PermissionError, match="map 'numbers'"):
        numbers.update({1: 1, 2: 2})


@pytest.mark.parametrize("number", [errno.EINVAL, 524])
def test_an_update_without_batches(numbers: sysbpf.Map[int, int], number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> int:
        raise OSError(number, "not here")

    monkeypatch.setattr(bpf, "bpf_map_update_batch", refuse)
    calls = counted(monkeypatch, "bpf_map_update_elem")
    numbers.update({key: key for key in range(50)})
    assert dict(numbers) == {key: key for key in range(50)}
    assert calls == {"bpf_map_update_elem": 50}
    with sysbpf.Map.create(bpf.BPF_MAP_TYPE_QUEUE, 0, 4, 2) as queue:
        queue.update([(b"", b"1st."), (b"", b"2nd.")])
        assert [queue.take(b""), queue.pop(b"")] == [b"1st.", b"2nd."]


def test_pop_is_one_step_where_the_kernel_has_it(
    numbers: sysbpf.Map[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    names = ("bpf_map_lookup_elem", "bpf_map_lookup_and_delete_elem", "bpf_map_delete_elem")
    calls = counted(monkeypatch, *names)
    numbers.update({1: 10, 2: 20})
    assert numbers.pop(1) == 10
    assert list(calls.values()) == [0, 1, 0]

    def refuse(*_: object) -> int:
        raise OSError(524, "not here")

    monkeypatch.setattr(bpf, "bpf_map_lookup_and_delete_elem", refuse)
    assert numbers.pop(2) == 20
    assert list(calls.values()) == [1, 1, 1]
    with pytest.raises(KeyError):
        numbers.pop(2)
    assert numbers.pop(2, 5) == 5


def test_threads_that_pop_get_each_element_once(numbers: sysbpf.Map[int, int]) -> None:
    numbers.update({key: key for key in range(2000)})
    taken: list[list[int]] = [[], []]

    def pop(into: list[int]) -> None:
        for key in range(2000):
            if numbers.pop(key, None) is not None:
                into.append(key)

    threads = [threading.Thread(target=pop, args=(into,)) for into in taken]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(taken[0] + taken[1]) == list(range(2000)), "none twice, none lost"


def test_a_frozen_map_cannot_be_written(numbers: sysbpf.Map[int, int]) -> None:
    numbers[1] = 1
    numbers.freeze()
    with pytest.raises(PermissionError, match="bpf_map_update_elem: map 'numbers'") as refused:
        numbers[1] = 2
    assert "lacks" not in str(refused.value), "privileges are not what it lacks"
    assert numbers[1] == 1


# ---- Opening ----


def test_opened_by_id_name_and_pin(numbers: sysbpf.Map[int, int], bpffs: str) -> None:
    numbers[3] = 4
    with sysbpf.Map.open(id=numbers.id) as by_id:
        assert by_id[little(3, 4)] == little(4, 8)
    unique = f"t{os.getpid()}"
    with (
        sysbpf.Map.create(bpf.BPF_MAP_TYPE_ARRAY, 4, 4, 1, name=unique) as named,
        sysbpf.Map.open(name=unique) as by_name,
    ):
        assert by_name.id == named.id
    path = os.path.join(bpffs, "numbers")
    numbers.pin(path)
    with sysbpf.Map.open(pin=path) as by_pin:
        assert by_pin.id == numbers.id
    with pytest.raises(FileExistsError, match=f"bpf_obj_pin: map 'numbers' .* at '{path}'"):
        numbers.pin(path)
    os.unlink(path)
    with pytest.raises(FileNotFoundError, match=f"map pinned at '{path}'"):
        sysbpf.Map.open(pin=path)


def test_what_cannot_be_opened_is_named(bpffs: str) -> None:
    with pytest.raises(FileNotFoundError, match="map id 2147483647"):
        sysbpf.Map.open(id=0x7FFFFFFF)
    with pytest.raises(FileNotFoundError, match="map named 'no such map'"):
        sysbpf.Map.open(name="no such map")
    with pytest.raises(TypeError, match="one of id, name, pin"):
        sysbpf.Map.open(id=1, name="one")
    with pytest.raises(TypeError, match="one of id, name, pin"):
        sysbpf.Map.open()
    twice = f"two{os.getpid()}"
    with (
        sysbpf.Map.create(bpf.BPF_MAP_TYPE_ARRAY, 4, 4, 1, name=twice) as first,
        sysbpf.Map.create(bpf.BPF_MAP_TYPE_ARRAY, 4, 4, 1, name=twice) as second,
        pytest.raises(ValueError, match=f"2 maps are named '{twice}': .*{first.id}, {second.id}"),
    ):
        sysbpf.Map.open(name=twice)
    path = os.path.join(bpffs, "prog")
    with sysbpf.Program.load(
        bpf.BPF_PROG_TYPE_SOCKET_FILTER, bytes.fromhex("b7000000000000009500000000000000"), license="GPL"
    ) as program:
        program.pin(path)
        before = len(os.listdir("/proc/self/fd"))
        with pytest.raises(ValueError, match=f"'{path}' is not a map, but 'bpf-prog'"):
            sysbpf.Map.open(pin=path)
        assert len(os.listdir("/proc/self/fd")) == before
        with pytest.raises(ValueError, match="not a map: the descriptor is 'bpf-prog'"):
            sysbpf.Map(program.fileno())
        assert program.test_run(bytes(14)).retval == 0, "the descriptor is the program's still"
        assert len(os.listdir("/proc/self/fd")) == before


def test_a_long_name_is_found_by_its_first_15_bytes() -> None:
    long = f"t{os.getpid()}_longer_than_15_bytes"
    with sysbpf.Map.create(bpf.BPF_MAP_TYPE_ARRAY, 4, 4, 1, name=long) as created:
        assert created.name == long[:15]
        with sysbpf.Map.open(name=long) as opened:
            assert opened.id == created.id


def test_listed(numbers: sysbpf.Map[int, int]) -> None:
    (info,) = [info for info in sysbpf.maps() if info.id == numbers.id]
    assert (info.name, info.type, info.key_size, info.value_size, info.max_entries) == ("numbers", 1, 4, 8, 5000)
    assert info.type is bpf.BPF_MAP_TYPE_HASH
    assert info.raw.btf_id == 0


# ---- Errors ----


def test_keys_and_values_of_the_wrong_size_or_type_are_rejected(numbers: sysbpf.Map[int, int]) -> None:
    with sysbpf.Map.open(id=numbers.id) as raw:
        for key in (b"", b"123", b"12345"):
            with pytest.raises(
                ValueError, match=f"map 'numbers' .*the key has {len(key)} bytes, but keys of this map have 4"
            ):
                raw[key]
            with pytest.raises(ValueError, match="map 'numbers'"):
                raw[key] = bytes(8)
            with pytest.raises(ValueError, match="map 'numbers'"):
                del raw[key]
        with pytest.raises(ValueError, match="the value has 4 bytes, but values of this map have 8"):
            raw[b"1234"] = b"1234"
        with pytest.raises(TypeError, match=r"key: must be bytes, not int; keys_as\(\)"):
            raw[4]  # type: ignore[index]
        with pytest.raises(ValueError, match="c_uint16 has 2 bytes, but a key has 4"):
            raw.keys_as(ctypes.c_uint16)
        with pytest.raises(ValueError, match="Flow has 8 bytes, but a key has 4"):
            raw.keys_as(Flow)
        with pytest.raises(TypeError, match="c_char_p is not a type that a map can hold"):
            raw.values_as(ctypes.c_char_p)
        with pytest.raises(ValueError, match="one value for all CPUs"):
            raw.per_cpu_values_as(ctypes.c_uint64)
        with pytest.raises(TypeError, match="value: must be Plain, not int"):
            raw.values_as(Plain)[b"1234"] = 5  # type: ignore[assignment]
    for wrong in (-1, 1 << 32):
        with pytest.raises(OverflowError, match=f"map 'numbers' .*{wrong} does not fit into c_uint32"):
            numbers[wrong]
    with pytest.raises(TypeError, match="map 'numbers'"):
        numbers["one"]  # type: ignore[index]
    assert dict(numbers) == {}


def test_types_that_a_map_cannot_hold_are_named(numbers: sysbpf.Map[int, int]) -> None:
    possible = r"give an integer or float of ctypes \(c_uint32\), a struct, a union or an array of them"
    wrongs: list[tuple[Any, str]] = [(int, "int"), (str, "str"), (4, "4"), ("c_uint32", "'c_uint32'")]
    for wrong, said in wrongs:
        with pytest.raises(TypeError, match=f"^{said} is not a ctypes type: {possible}"):
            numbers.keys_as(wrong)
    with pytest.raises(TypeError, match=rf"^POINTER\(c_uint32\) is not a ctypes type|{possible}"):
        numbers.values_as(ctypes.POINTER(ctypes.c_uint32))  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=r"key: must be c_uint8 \* 4, not int"):
        numbers.keys_as(ctypes.c_uint8 * 4)[1]  # type: ignore[index]


# ---- What the kernel rejects ----


@pytest.mark.parametrize("kind", [bpf.BPF_MAP_TYPE_HASH, bpf.BPF_MAP_TYPE_QUEUE, bpf.BPF_MAP_TYPE_LPM_TRIE])
def test_a_full_map_says_so(kind: int) -> None:
    key_size = {bpf.BPF_MAP_TYPE_QUEUE: 0, bpf.BPF_MAP_TYPE_LPM_TRIE: 8}.get(bpf.bpf_map_type(kind), 4)
    flags = bpf.BPF_F_NO_PREALLOC if kind == bpf.BPF_MAP_TYPE_LPM_TRIE else 0
    with sysbpf.Map.create(kind, key_size, 4, 3, name="small", flags=flags) as small:
        keys = [(little(32, 4) * (key_size // 8) + little(key, 4))[:key_size] for key in range(4)]
        for key in keys[:3]:
            small[key] = b"data"
        fills: list[Callable[[], object]] = [
            lambda: small.put(keys[3], b"data"),
            lambda: small.update({keys[3]: b"data"}),
        ]
        for fill in fills:
            with pytest.raises(
                OSError, match=r"bpf_map_update_elem: map 'small' \(id \d+\): the map is full: max_entries is 3$"
            ) as full:
                fill()
            assert full.value.errno in (errno.E2BIG, errno.ENOSPC)


def test_an_update_that_fills_a_map_says_so(numbers: sysbpf.Map[int, int]) -> None:
    with pytest.raises(OSError, match=r"map 'numbers' .*: the map is full: max_entries is 5000"):
        numbers.update({key: key for key in range(6000)})
    assert dict(numbers) == {key: key for key in range(5000)}


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"name": "a b"}, "the name has ' ', but the kernel accepts only letters and digits of ASCII, '_' and '.'"),
        ({"name": "a-b"}, "the name has '-', but"),
        ({"name": "größe"}, "the name has 'ö', but"),
        (
            {"map_type": bpf.BPF_MAP_TYPE_ARRAY, "key_size": 8},
            "key_size is 8, but the key of BPF_MAP_TYPE_ARRAY is an index of 4 bytes",
        ),
        ({"map_type": bpf.BPF_MAP_TYPE_PROG_ARRAY, "key_size": 2}, "key_size is 2, but the key of BPF_MAP_TYPE_PROG_"),
        ({"map_type": bpf.BPF_MAP_TYPE_ARRAY, "value_size": 0}, "value_size is 0"),
        ({"max_entries": 0}, "max_entries is 0"),
        ({"key_size": 0}, "key_size is 0"),
        ({"map_type": bpf.BPF_MAP_TYPE_QUEUE}, "key_size is 4, but BPF_MAP_TYPE_QUEUE has no keys: key_size is 0"),
        ({"map_type": bpf.BPF_MAP_TYPE_LPM_TRIE, "key_size": 8}, "BPF_MAP_TYPE_LPM_TRIE takes flags=BPF_F_NO_PREALLOC"),
        (
            {"map_type": bpf.BPF_MAP_TYPE_RINGBUF},
            "key_size is 4 and value_size 4, but a ring buffer has neither: both are 0",
        ),
        (
            {"map_type": bpf.BPF_MAP_TYPE_RINGBUF, "key_size": 0, "value_size": 0, "max_entries": 5000},
            "max_entries is 5000, but the size of a ring buffer is a power of 2 "
            f"and a multiple of the page size, {mmap.PAGESIZE}",
        ),
        ({"value_size": 2**31}, "keys of 4 bytes, values of 2147483648 bytes and 8 elements are too large for it"),
    ],
)
def test_a_map_that_the_kernel_rejects_says_why(arguments: dict[str, Any], said: str) -> None:
    given: dict[str, Any] = {"map_type": bpf.BPF_MAP_TYPE_HASH, "key_size": 4, "value_size": 4, "max_entries": 8}
    given.update({"name": "new", **arguments})
    with pytest.raises(OSError, match="bpf_map_create: map ") as refused:
        sysbpf.Map.create(**given)
    assert refused.value.errno in (errno.EINVAL, errno.E2BIG)
    assert f"map {given['name']!r}: {said}" in str(refused.value)


def test_numbers_that_do_not_fit_are_rejected_by_name(numbers: sysbpf.Map[int, int]) -> None:
    def create(**arguments: Any) -> object:
        given = {"map_type": bpf.BPF_MAP_TYPE_HASH, "key_size": 4, "value_size": 8, "max_entries": 10, **arguments}
        return sysbpf.Map.create(**given)

    cases: list[tuple[Any, str]] = [
        (
            lambda: create(max_entries=2**32 + 10),
            "bpf_map_create: max_entries: 4294967306 does not fit into c_uint32, ",
        ),
        (lambda: create(key_size=-4), "bpf_map_create: key_size: -4 does not fit into c_uint32, which holds 0 to 429"),
        (lambda: create(value_size=2**32), "bpf_map_create: value_size: "),
        (lambda: create(map_type=-1), "bpf_map_create: map_type: "),
        (lambda: create(flags=2**40), "flags: 1099511627776 does not fit into c_uint32, "),
        (lambda: create(flags=-1), "flags: -1 does not fit into c_uint32, "),
        (
            lambda: sysbpf.Map.open(id=2**32 + numbers.id),
            f"bpf_map_get_fd_by_id: id: {2**32 + numbers.id} does not fit",
        ),
        (lambda: sysbpf.Map.open(id=-1), "bpf_map_get_fd_by_id: id: -1 does not fit"),
        (lambda: sysbpf.Program.open(id=2**32), "bpf_prog_get_fd_by_id: id: "),
        (lambda: sysbpf.Link.open(id=2**32), "bpf_link_get_fd_by_id: id: "),
        (lambda: numbers.put(1, 1, 2**64), "bpf_map_update_elem: flags: "),
        (lambda: sysbpf.Map(2**31), "fd: 2147483648 does not fit into c_int32, which holds -2147483648 to 2147483647"),
    ]
    for call, said in cases:
        with pytest.raises(OverflowError) as refused:
            call()
        assert str(refused.value).startswith(said)
    with pytest.raises(TypeError, match="bpf_map_create: max_entries: must be an int, not float"):
        create(max_entries=1.5)
    with pytest.raises(TypeError, match="name: must be str, not bytes"):
        create(name=b"bytes")
    assert len(numbers) == 0


def test_a_closed_map_says_so() -> None:
    created = sysbpf.Map.create(bpf.BPF_MAP_TYPE_HASH, 4, 4, 1, name="closed")
    typed = created.keys_as(ctypes.c_uint32)
    with created:
        pass
    for use in (
        lambda: created[bytes(4)],
        lambda: typed[1],
        lambda: list(created),
        lambda: created.pin("/x"),
        created.fileno,
    ):
        with pytest.raises(ValueError, match=r"map 'closed' \(id \d+\) is closed"):
            use()
    created.close()
    with pytest.raises(FileNotFoundError, match=f"map id {created.id}: No such file"):
        sysbpf.Map.open(id=created.id)
    assert repr(created).endswith("closed>")


def test_no_descriptor_is_left_behind() -> None:
    before = sorted(os.listdir("/proc/self/fd"))
    with sysbpf.Map.create(bpf.BPF_MAP_TYPE_HASH, 4, 4, 1) as created:
        sysbpf.Map.open(id=created.id)
        list(sysbpf.maps())
    next(sysbpf.programs(), None)
    assert sorted(os.listdir("/proc/self/fd")) == before


def test_a_map_that_disappears_during_listing_is_skipped(monkeypatch: pytest.MonkeyPatch) -> None:
    first = sysbpf.Map.create(bpf.BPF_MAP_TYPE_ARRAY, 4, 4, 1)
    gone = sysbpf.Map.create(bpf.BPF_MAP_TYPE_ARRAY, 4, 4, 1)
    last = sysbpf.Map.create(bpf.BPF_MAP_TYPE_ARRAY, 4, 4, 1)
    open_by_id = bpf.bpf_map_get_fd_by_id
    asked = []

    def too_late(id: int) -> int:
        asked.append(id)
        if id == gone.id:
            gone.close()
        return open_by_id(id)

    monkeypatch.setattr(bpf, "bpf_map_get_fd_by_id", too_late)
    found = [info.id for info in sysbpf.maps()]
    assert gone.id in asked
    assert gone.id not in found
    assert {first.id, last.id} <= set(found)
    first.close()
    last.close()


@pytest.mark.parametrize("kind", [bpf.BPF_MAP_TYPE_HASH, bpf.BPF_MAP_TYPE_LPM_TRIE])
def test_elements_deleted_while_they_are_read(kind: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Half of the elements are deleted when they are seen, so that the kernel cannot continue after them."""
    monkeypatch.setattr("sysbpf._map.BATCH_BYTES", 16 * 50)
    with sysbpf.Map.create(kind, 8, 8, 1000, name="shrinking", flags=bpf.BPF_F_NO_PREALLOC) as shrinking:
        for number in range(1000):
            shrinking[little(32, 4) + number.to_bytes(4, "big")] = bytes(8)
        seen = []
        for key, _ in shrinking.items():
            seen.append(key)
            if len(seen) % 2 == 0:
                del shrinking[key]
        assert len(seen) == len(set(seen)) == 1000
        assert len(shrinking) == 500


def test_a_map_that_is_changed_all_the_time_is_read_to_its_end(numbers: sysbpf.Map[int, int]) -> None:
    numbers.update({key: key for key in range(1000)})
    stop = threading.Event()

    def churn() -> None:
        while not stop.is_set():
            for key in range(500):
                numbers.pop(key, None)
                numbers[key] = key

    thread = threading.Thread(target=churn)
    thread.start()
    try:
        for _ in range(5):
            read = dict(numbers.items())
            assert all(read[key] == key for key in range(500, 1000))
            assert set(read) <= set(range(1000))
    finally:
        stop.set()
        thread.join()


def test_a_walk_that_the_kernel_starts_over_repeatedly_ends(
    numbers: sysbpf.Map[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    numbers.update({1: 1, 2: 2})
    next_key = bpf.bpf_map_get_next_key

    def refuse(*_: object) -> int:
        raise OSError(524, "not here")

    def from_the_start(fd: int, key: object, following: Any) -> int:
        return next_key(fd, None, following)

    from_the_start.__name__ = "bpf_map_get_next_key"
    monkeypatch.setattr(bpf, "bpf_map_lookup_batch", refuse)
    monkeypatch.setattr(bpf, "bpf_map_get_next_key", from_the_start)
    with pytest.raises(BlockingIOError, match=r"map 'numbers' .* is changed too fast"):
        list(numbers)


def test_a_map_that_the_kernel_rejects_is_named() -> None:
    with pytest.raises(OSError, match="bpf_map_create: map 'nothing': key_size is 0") as refused:
        sysbpf.Map.create(bpf.BPF_MAP_TYPE_HASH, 0, 4, 1, name="nothing")
    assert refused.value.errno == errno.EINVAL


def test_pop_takes_its_default_by_name_too(numbers: sysbpf.Map[int, int]) -> None:
    numbers[1] = 2
    assert numbers.pop(1, default=3) == 2
    assert numbers.pop(1, default=3) == 3
    assert numbers.pop(1, 4) == 4
    assert numbers.pop(1, default=None) is None
    assert numbers.pop(1, None) is None
    with pytest.raises(KeyError):
        numbers.pop(1)
