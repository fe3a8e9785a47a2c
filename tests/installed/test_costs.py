# SPDX-License-Identifier: MIT OR Apache-2.0
"""What does not depend on time: sizes, relocations, allocations, writes to shared memory, system calls, instructions.

How long calls take is measured by `make bench`.
"""

import functools
import os
import re
from collections import Counter
from pathlib import Path

import pytest

from harness import CARGO, CC, ROOT, SO, STAGE, need, run, succeeds, version

ARCHIVE = STAGE / "lib/libsysbpf.a"
COSTS_C = ROOT / "tests/installed/costs.c"
RUNPATH = f"-Wl,-rpath,{STAGE}/lib"


# ---- Size and relocations


def relocations() -> int:
    """The number of the shared object's dynamic relocations."""
    return len(re.findall("^[0-9a-f]{16} ", succeeds("readelf", "-rW", SO, env={"LC_ALL": "C"}), re.MULTILINE))


def test_stripped_shared_object_is_less_than_40_kib(work):
    succeeds("strip", "-o", work / "stripped.so", SO)
    assert 0 < (work / "stripped.so").stat().st_size < 40 * 1024


def test_shared_object_has_less_than_20_dynamic_relocations():
    # 14 with Rust 1.95, 19 with 1.85.
    assert relocations() < 20


def test_dynamic_relocations_are_found():
    """The shared object has some, as any that calls libc: the count above works."""
    assert relocations() > 0


@pytest.fixture(scope="module")
def build(work):
    """Builds the program whose calls are counted."""

    def build(name: str, *options: str | Path) -> Path:
        program = work / name
        include = STAGE / "include/sysbpf"
        succeeds(CC, "-O2", "-Wl,-z,now", "-I", include, "-o", program, ROOT / "bench/calls.c", *options)
        return program

    return build


def test_static_program_grows_by_less_than_16_kib(build):
    bare = build("bare-static", "-DBARE", "-static", "-s").stat().st_size
    assert 0 < build("static", ARCHIVE, "-static", "-s").stat().st_size - bare < 16 * 1024


def test_one_member_of_the_archive_has_writable_data(tmp_path):
    """What the library remembers must exist once, so that all functions of a static program share it."""
    succeeds("ar", "x", ARCHIVE, cwd=tmp_path)
    rows = [row.split() for row in succeeds("size", *os.listdir(tmp_path), cwd=tmp_path).splitlines()[1:]]
    assert [file for _, data, bss, _, _, file in rows if int(data) + int(bss)] == ["bpf_map_create.o"]


# ---- Allocations, writes to shared memory


def test_no_function_allocates_or_writes_to_shared_memory(work):
    """But for the copies of records that bpf_prog_load() makes."""
    flags = ["-O1", "-Wall", "-Wextra", "-Werror", "-fno-builtin", "-I", STAGE / "include/sysbpf"]
    succeeds(CC, *flags, "-o", work / "costs", COSTS_C, SO, RUNPATH)
    succeeds(work / "costs")


def test_costs_c_calls_every_function():
    """Every function, that is, of libbpf up to the version that this library has: a newer one may come later."""
    called = re.findall(r"^\tCALL\((?:\(int\))?(\w+)\(|^\t\t(libbpf_\w+)\(", COSTS_C.read_text(), re.MULTILINE)
    symbols = (line.split("@@") for line in (ROOT / "abi/libsysbpf.symbols").read_text().splitlines())
    expected = {name for name, node in symbols if numbers(node.removeprefix("LIBBPF_")) <= numbers(version())}
    assert expected == {name for names in called for name in names if name}


def numbers(release: str) -> list[int]:
    return [int(number) for number in release.split(".")]


# ---- System calls and instructions


@pytest.fixture(scope="module")
def programs(build) -> dict[str, Path]:
    """The programs that make system calls themselves, and through the library; both can make a map."""
    bare = build("bare", "-DBARE")
    done = run(bare, "make", "create", "1", "1")
    if done.returncode:
        pytest.skip(f"no map can be made here: {(done.stdout + done.stderr).strip()}")
    return {"bare": bare, "sysbpf": build("sysbpf", SO, RUNPATH)}


@pytest.fixture(scope="module")
def system_calls(programs, work):
    """Counts the system calls that so many maps take more than none, by name."""
    need("strace")

    def traced(maps: int) -> Counter:
        trace = work / f"strace.{maps}"
        succeeds("strace", "-f", "-o", trace, programs["sysbpf"], "make", "create", str(maps), "1")
        return Counter(re.findall(r"^\d+ +(\w+)\(", trace.read_text(), re.MULTILINE))

    return lambda maps: {name: n for name, n in (traced(maps) - traced(0)).items() if name != "close"}


def test_first_map_takes_one_call_and_one_for_the_kernel_version(system_calls):
    assert system_calls(1) == {"bpf": 1, "uname": 1}


def test_second_map_takes_one_call(system_calls):
    assert system_calls(2) == {"bpf": 2, "uname": 1}


@pytest.fixture(scope="module")
def instructions(programs):
    """Counts the instructions of one call, with those of the caller's loop."""
    need("valgrind")

    def total(program: str, operation: str, calls: int, size: int) -> int:
        command = ["valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null", programs[program]]
        done = run(*command, "make", operation, str(calls), str(size))
        collected = re.search("Collected : ([0-9]+)", done.stderr)
        assert collected, done.stderr
        return int(collected[1])

    @functools.cache
    def instructions(program: str, operation: str, size: int = 1) -> int:
        return total(program, operation, 3, size) - total(program, operation, 2, size)

    return instructions


@pytest.fixture(scope="module")
def libbpf(programs, build) -> str:
    """The same program with libbpf 1.7.0."""
    done = run(CARGO, "run", "-q", "--locked", "--profile", "tool", "-p", "conformance", "--", "reference", cwd=ROOT)
    reference = Path(done.stdout.strip())
    if not reference.is_absolute():
        pytest.skip(f"no libbpf 1.7.0: {(done.stderr.strip().splitlines() or ['no reason given'])[-1]}")
    programs["libbpf"] = build("libbpf", reference, f"-Wl,-rpath,{reference.parent}")
    return "libbpf"


each_operation = pytest.mark.parametrize("operation", ["lookup", "update", "delete", "next"])


@each_operation
def test_call_takes_less_than_30_instructions_more_than_the_system_call(instructions, operation):
    assert instructions("sysbpf", operation) - instructions("bare", operation) < 30


@each_operation
def test_call_takes_less_instructions_than_with_libbpf(instructions, libbpf, operation):
    assert instructions("sysbpf", operation) < instructions(libbpf, operation)


def test_batch_takes_as_many_instructions_for_1_element_as_for_10000(instructions):
    assert instructions("sysbpf", "batch", 1) == instructions("sysbpf", "batch", 10000)


def test_load_takes_as_many_instructions_for_2_insns_as_for_4096(instructions):
    assert instructions("sysbpf", "load", 2) == instructions("sysbpf", "load", 4096)
