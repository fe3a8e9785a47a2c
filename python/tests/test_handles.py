# SPDX-License-Identifier: MIT OR Apache-2.0
"""Descriptors: each is closed once, by the object that holds it, and never while another thread uses it in a call."""

from __future__ import annotations

import contextlib
import copy
import ctypes
import dataclasses
import dis
import errno
import gc
import multiprocessing
import os
import pickle
import subprocess
import sys
import threading
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

import sysbpf
from sysbpf import bpf
from sysbpf._object import Descriptor, Handle

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import FrameType

pytestmark = pytest.mark.usefixtures("kernel")

ANSWER_42 = bytes.fromhex("b70000002a0000009500000000000000")


def is_open(fd: int) -> bool:
    try:
        os.fstat(fd)
    except OSError:
        return False
    return True


def a_map() -> sysbpf.Map[bytes, bytes]:
    return sysbpf.Map.create(bpf.BPF_MAP_TYPE_HASH, 4, 8, 10, name="held")


def a_program() -> sysbpf.Program:
    return sysbpf.Program.load(bpf.BPF_PROG_TYPE_RAW_TRACEPOINT, ANSWER_42, license="GPL", name="held")


@pytest.fixture(params=["map", "typed map", "program", "link", "items"])
def holder(request: pytest.FixtureRequest) -> Iterator[tuple[Any, Any]]:
    """Something that holds a descriptor, and the object that owns it."""
    if request.param == "map":
        held: Any = a_map()
        yield held, held
    elif request.param == "typed map":
        held = a_map().keys_as(ctypes.c_uint32)
        yield held, held
    elif request.param == "items":
        held = a_map()
        yield {"items": held.items(), "values": held.values()}, held
    elif request.param == "program":
        held = a_program()
        yield held, held
    else:
        with a_program() as program:
            try:
                fd = bpf.bpf_raw_tracepoint_open(b"sys_enter", program.fileno())
            except OSError as error:
                pytest.skip(f"no raw tracepoint can be attached here: {error}")
            held = sysbpf.Link(fd)
            yield held, held
    held.close()


@pytest.mark.parametrize(
    ("how", "said"),
    [
        (copy.deepcopy, "deep-copied"),
        (pickle.dumps, "pickled"),
        (lambda held: pickle.dumps(held, protocol=2), "pickled"),
    ],
    ids=["deepcopy", "pickle", "pickle 2"],
)
def test_what_holds_a_descriptor_is_not_copied(
    holder: tuple[Any, Any], how: Callable[[object], object], said: str
) -> None:
    held, owner = holder

    @dataclasses.dataclass
    class Settings:
        inside: Any

    for value in (held, [held], {"a": (held,)}):
        with pytest.raises(TypeError) as refused:
            how(value)
        name = type(owner).__name__
        assert str(refused.value) == (
            f"{owner} cannot be {said}, because it holds a descriptor of this process: "
            f"pass its id and use {name}.open(id={owner.id}), or pin it and use {name}.open(pin=...)"
        )
    with pytest.raises(TypeError, match="cannot be deep-copied"):
        dataclasses.asdict(Settings(held))
    with pytest.raises(TypeError, match="both copies would close it"):
        how(owner._handle)
    gc.collect()
    assert is_open(owner.fileno())


def test_a_shallow_copy_is_the_same_object_once_more() -> None:
    first = a_map()
    fd = first.fileno()
    second = copy.copy(first)
    assert (type(second), second.fileno(), second.info) == (sysbpf.Map, fd, first.info)
    del first
    gc.collect()
    second[bytes(4)] = bytes(8)
    second.close()
    assert not is_open(fd)


def test_a_copy_does_not_close_the_file_of_another() -> None:
    program = a_program()
    ways: list[Callable[[Any], Any]] = [copy.deepcopy, lambda value: pickle.loads(pickle.dumps(value))]
    for way in ways:
        with pytest.raises(TypeError):
            way(program)
        gc.collect()
    with open("/dev/null") as other:
        assert program.test_run(ctx=bytes(8)).retval == 42
        del program
        gc.collect()
        assert is_open(other.fileno())


def test_infos_are_copied() -> None:
    with a_map() as created, a_program() as program:
        for info in (created.info, program.info):
            assert copy.deepcopy(info) == info
            assert pickle.loads(pickle.dumps(info)) == info


# ---- Descriptors that the caller passes ----


def test_a_descriptor_that_is_not_open_is_rejected() -> None:
    for fd in (999_999, -1):
        with pytest.raises(OSError, match=f"descriptor {fd}: Bad file descriptor") as bad:
            sysbpf.Map(fd)
        assert bad.value.errno == errno.EBADF
    with pytest.raises(TypeError, match="fd: must be an int, not str"):
        sysbpf.Map("3")  # type: ignore[arg-type]
    ran = subprocess.run(
        [sys.executable, "-c", "import sysbpf\ntry: sysbpf.Map(99)\nexcept OSError as error: print(error)"],
        env={**os.environ, "PYTHONPATH": os.path.dirname(os.path.dirname(sysbpf.__file__))},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (ran.stdout, ran.stderr) == ("[Errno 9] descriptor 99: Bad file descriptor\n", "")


def test_without_proc_a_map_is_created_and_a_descriptor_is_not_called_bad() -> None:
    code = """
import os, sysbpf
from sysbpf import bpf
with sysbpf.Map.create(bpf.BPF_MAP_TYPE_HASH, 4, 8, 10) as created:
    created[bytes(4)] = bytes(8)
    for fd in (created.fileno(), 99):
        try: sysbpf.Map(fd)
        except OSError as error: print(str(error).replace(f"descriptor {created.fileno()}", "its descriptor"))
    os.fstat(created.fileno())
    print(len(created))
"""
    ran = subprocess.run(
        ["unshare", "--mount", "sh", "-c", 'mount -t tmpfs none /proc && exec "$0" -c "$1"', sys.executable, code],
        env={**os.environ, "PYTHONPATH": os.path.dirname(os.path.dirname(sysbpf.__file__))},
        capture_output=True,
        text=True,
        check=False,
    )
    if ran.returncode and ran.stderr.startswith(("unshare:", "mount:")):
        pytest.skip(f"/proc cannot be hidden: {ran.stderr.strip()}")
    assert (ran.stdout, ran.stderr) == (
        "[Errno 2] its descriptor: its kind is not known, because /proc is not mounted\n"
        "[Errno 9] descriptor 99: Bad file descriptor\n1\n",
        "",
    )


def test_a_descriptor_of_something_else_stays_the_callers() -> None:
    for kind in (sysbpf.Map, sysbpf.Program, sysbpf.Link):
        with open("/dev/null") as other:
            with pytest.raises(ValueError, match="the descriptor is '/dev/null'"):
                kind(other.fileno())
            gc.collect()
            assert is_open(other.fileno())


def test_a_construction_that_fails_late_closes_nothing_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    created = a_map()
    closed: Counter[int] = Counter()
    close = os.close

    def counting(fd: int) -> None:
        closed[fd] += 1
        close(fd)

    monkeypatch.setattr(Descriptor, "__del__", property(partial(partial, counting)))

    def refuse(*_: object) -> int:
        raise OSError(errno.ENOMEM, "no memory")

    given = os.dup(created.fileno())
    with monkeypatch.context() as patch:
        patch.setattr(bpf, "bpf_obj_get_info_by_fd", refuse)
        with pytest.raises(OSError, match="no memory"):
            sysbpf.Map(given)
        gc.collect()
        assert not closed, "it is the caller's"
        with pytest.raises(OSError, match="no memory"):
            sysbpf.Map.open(id=created.id)
    gc.collect()
    assert list(closed.values()) == [1], "what it had opened itself"
    close(given)
    created.close()
    created.close()
    del created
    gc.collect()
    assert set(closed.values()) == {1}


# ---- Threads ----


def test_close_does_not_close_under_a_call(monkeypatch: pytest.MonkeyPatch) -> None:
    created = a_map()
    created[bytes(4)] = b"12345678"
    fd = created.fileno()
    inside, go_on = threading.Event(), threading.Event()
    lookup = bpf.bpf_map_lookup_elem

    def slow(number: int, *rest: Any) -> int:
        inside.set()
        assert go_on.wait(60)
        return lookup(number, *rest)

    monkeypatch.setattr(bpf, "bpf_map_lookup_elem", slow)
    read: list[bytes] = []
    thread = threading.Thread(target=lambda: read.append(created[bytes(4)]))
    thread.start()
    assert inside.wait(60)
    created.close()
    assert repr(created).endswith(", closed>")
    with pytest.raises(ValueError, match="is closed"):
        created[bytes(4)]
    # No other file gets the number while the call needs it.
    others = [os.open("/dev/null", os.O_RDONLY) for _ in range(20)]
    assert fd not in others
    go_on.set()
    thread.join()
    assert read == [b"12345678"]
    assert not is_open(fd), "closed when the call was over"
    for other in others:
        os.close(other)


@pytest.mark.parametrize("through", ["program", "link", "pin"])
def test_other_calls_hold_the_descriptor_too(through: str, monkeypatch: pytest.MonkeyPatch) -> None:
    program = a_program()
    fd = program.fileno()
    name = {"program": "bpf_obj_get_info_by_fd", "link": "bpf_link_create", "pin": "bpf_obj_pin"}[through]
    called = []

    def closing(number: int, *_: object) -> int:
        program.close()
        called.append(is_open(number))
        raise OSError(errno.EINVAL, "enough")

    monkeypatch.setattr(bpf, name, closing)
    use: dict[str, Callable[[], object]] = {
        "program": lambda: program.info,
        "link": lambda: sysbpf.Link.create(program, 0, 0),
        "pin": lambda: program.pin("/nowhere"),
    }
    with pytest.raises(OSError, match=r"enough|Invalid argument"):
        use[through]()
    assert called == [True]
    assert not is_open(fd)


@pytest.fixture
def many_switches() -> Iterator[None]:
    """Make threads switch as often as possible."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


@pytest.mark.usefixtures("many_switches")
def test_a_map_that_one_thread_closes_and_others_read() -> None:
    """Each reader gets values, and then "is closed"; never an error of the kernel, nor data of another file."""
    for _ in range(100):
        created = a_map().keys_as(ctypes.c_uint32).values_as(ctypes.c_uint64)
        created[1] = 7
        reads = [0, 0, 0]
        ends: list[str] = []

        def read(
            at: int,
            created: sysbpf.Map[int, int] = created,
            reads: list[int] = reads,
            ends: list[str] = ends,
        ) -> None:
            try:
                while created[1] == 7:
                    reads[at] += 1
                ends.append("another value")
            except BaseException as error:
                ends.append(str(error))

        threads = [threading.Thread(target=read, args=(at,)) for at in range(3)]
        for thread in threads:
            thread.start()
        while not all(reads) and not ends:
            pass
        created.close()
        # As soon as the number is free, a map with another value gets it.
        with a_map() as other:
            other[(1).to_bytes(4, sys.byteorder)] = bytes(8)
            for thread in threads:
                thread.join()
        assert ends == [f"{created} is closed"] * 3


@pytest.mark.usefixtures("many_switches")
def test_a_handle_closes_once_whoever_comes_first() -> None:
    for _ in range(200):
        handle = Handle(os.open("/dev/null", os.O_RDONLY))
        fd = handle.fd
        ready = threading.Barrier(4)
        failed: list[BaseException] = []

        def race(
            handle: Handle = handle, fd: int = fd, ready: Any = ready, failed: list[BaseException] = failed
        ) -> None:
            try:
                ready.wait()
                held = handle.open
                handle.close()
                if held is not None:
                    assert int(held) == fd
                    assert is_open(fd)
            except BaseException as wrong:
                failed.append(wrong)

        threads = [threading.Thread(target=race) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert failed == []
        assert handle.open is None
        assert handle.fd == -1
        assert not is_open(fd)


# ---- Exceptions from signal handlers ----


class Interrupt:
    """Raises KeyboardInterrupt before one instruction of the package, as a signal handler may."""

    def __init__(self, at: int) -> None:
        self.left = at

    def __call__(self, frame: FrameType, event: str, _argument: object) -> Interrupt | None:
        if os.path.dirname(frame.f_code.co_filename) != os.path.dirname(sysbpf.__file__):
            return None
        frame.f_trace_opcodes = True
        # No signal handler runs before PUSH_EXC_INFO, and an exception there would leak the one being handled.
        if event == "opcode" and dis.opname[frame.f_code.co_code[frame.f_lasti]] != "PUSH_EXC_INFO":
            self.left -= 1
            if self.left < 0:
                raise KeyboardInterrupt
        return self


def interrupted(at: int, call: Callable[[], object]) -> str:
    """What a call raises that is interrupted at this instruction; empty if it ends before."""
    sys.settrace(Interrupt(at))
    try:
        call()
    except BaseException as raised:
        return repr(raised)
    finally:
        sys.settrace(None)
    return ""


def pinned_nowhere(held: Any) -> None:
    with contextlib.suppress(FileNotFoundError):
        held.pin("/nowhere/at/all")


@pytest.mark.parametrize("through", ["lookup", "program", "pin", "close"])
def test_an_interrupt_at_any_instruction_leaves_nothing_open(through: str) -> None:
    """The caller gets the KeyboardInterrupt, and close() closes the descriptor."""
    use: dict[str, Callable[[Any], object]] = {
        "lookup": lambda held: held[bytes(4)],
        "program": lambda held: held.info,
        "pin": pinned_nowhere,
        "close": lambda held: held.close(),
    }
    calls = 0
    while True:
        held: Any = a_program() if through == "program" else a_map()
        if through == "lookup":
            held[bytes(4)] = bytes(8)
        fd = held.fileno()
        raised = interrupted(calls, partial(use[through], held))
        held.close()
        assert not is_open(fd), f"{calls} instructions"
        if not raised:
            break
        assert raised == "KeyboardInterrupt()", f"{calls} instructions"
        calls += 1
    assert calls > (1 if through == "close" else 50)


def test_an_interrupt_while_the_last_reference_is_dropped_still_closes() -> None:
    calls = 0
    while True:
        held = [a_map()]
        fd = held[0].fileno()
        raised = interrupted(calls, held.clear)
        assert not is_open(fd)
        if not raised:
            break
        calls += 1


# ---- Exceptions that go to other processes ----


def load_a_wrong_program(name: str) -> None:
    sysbpf.Program.load(bpf.BPF_PROG_TYPE_SOCKET_FILTER, ANSWER_42[8:], license="GPL", name=name)


def open_what_is_not_there(_name: str) -> None:
    sysbpf.Map.open(id=0x7FFFFFFF)


def test_a_verifier_error_is_copied_and_pickled() -> None:
    with pytest.raises(sysbpf.VerifierError) as raised:
        load_a_wrong_program("wrong")
    error = raised.value
    error.more = "an attribute"  # type: ignore[attr-defined]
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        for other in (copy.copy(error), copy.deepcopy(error), pickle.loads(pickle.dumps(error, protocol))):
            assert type(other) is sysbpf.VerifierError
            assert (str(other), other.args, other.errno, other.log) == (str(error), error.args, error.errno, error.log)
            assert other.strerror == error.strerror
            assert vars(other) == vars(error)
    assert "R0 !read_ok" in error.log


def raised_by(call: Callable[[], object]) -> BaseException:
    try:
        call()
    except Exception as error:
        return error
    raise AssertionError("nothing was raised")


def test_every_other_exception_is_copied_and_pickled() -> None:
    with a_map() as created:
        errors = [
            raised_by(lambda: sysbpf.Map.open(id=0x7FFFFFFF)),
            raised_by(lambda: sysbpf.Map.open(id=2**40)),
            raised_by(lambda: created[bytes(4)]),
            raised_by(lambda: created["text"]),  # type: ignore[index]
            raised_by(lambda: created[b"1"]),
            raised_by(lambda: copy.deepcopy(created)),
            raised_by(lambda: sysbpf.Map(-1)),
            raised_by(lambda: sysbpf.Map.create(1, 4, 4, 1, name="a b")),
            raised_by(lambda: bpf.bpf_map_create_opts(map_flag=1)),  # type: ignore[call-arg]
            raised_by(lambda: bpf.bpf_map_lookup_elem(0, b"", b"")),  # type: ignore[arg-type]
            raised_by(lambda: setattr(created.info, "id", 1)),
        ]
    errors.append(raised_by(lambda: created[bytes(4)]))
    for error in errors:
        for other in (copy.copy(error), copy.deepcopy(error), pickle.loads(pickle.dumps(error))):
            assert (type(other), str(other), other.args) == (type(error), str(error), error.args)


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_errors_come_back_from_process_pools(method: str) -> None:
    context = multiprocessing.get_context(method)
    with ProcessPoolExecutor(1, mp_context=context) as executor:
        with pytest.raises(sysbpf.VerifierError, match="program 'pool'") as far:
            executor.submit(load_a_wrong_program, "pool").result(60)
        assert "R0 !read_ok" in far.value.log
        with pytest.raises(FileNotFoundError, match="map id 2147483647"):
            executor.submit(open_what_is_not_there, "").result(60)
    with context.Pool(1) as pool, pytest.raises(sysbpf.VerifierError, match="R0 !read_ok"):
        pool.map_async(load_a_wrong_program, ["pool"]).get(60)


def test_a_map_cannot_be_an_argument_for_a_process_pool() -> None:
    with a_map() as created, ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("fork")) as executor:
        with pytest.raises(TypeError, match="cannot be pickled, because it holds a descriptor of this process"):
            executor.submit(len, created).result(60)
        assert executor.submit(open_and_count, created.id).result(60) == 0


def open_and_count(id: int) -> int:
    with sysbpf.Map.open(id=id) as opened:
        return len(opened)
