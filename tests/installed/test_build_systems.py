# SPDX-License-Identifier: MIT OR Apache-2.0
"""One project for libbpf, unmodified, built with make, CMake, Meson and cargo, in C, C++ and Rust.

With libbpf itself and with the drop-in directory, statically, and with musl. Each program is run on this kernel.
"""

import os
import re
import shutil
from pathlib import Path

import pytest

from harness import CARGO, MAKE, ROOT, STAGE, TARGET, need, run, succeeds

LIBBPF, SYSBPF = "libbpf.so.1", "libsysbpf.so.1"
DROPIN = STAGE / "lib/sysbpf/pkgconfig"


@pytest.fixture(scope="module", autouse=True)
def compilers():
    need("pkg-config", "c++")


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """Makes copies of the project."""

    def project(name: str) -> Path:
        copy = tmp_path_factory.mktemp(name)
        shutil.copytree(ROOT / "examples/build-systems", copy, dirs_exist_ok=True)
        # A source tree may be read-only.
        for path in (copy, *copy.rglob("*")):
            path.chmod(0o755 if path.is_dir() else 0o644)
        return copy

    return project


def needed(program: Path) -> list[str]:
    """The BPF libraries that a program needs."""
    dynamic = succeeds("readelf", "-dW", program, env={"LC_ALL": "C"})
    return sorted(re.findall(r"\(NEEDED\).*\[(.*bpf.*)\]", dynamic))


def is_static(program: Path) -> bool:
    headers = succeeds("readelf", "-lW", program, env={"LC_ALL": "C"})
    assert "LOAD" in headers
    return "INTERP" not in headers


def assert_counts(program: Path) -> None:
    """Asserts that a program counts its arguments, with a map. Skips the test for a user who may not make one."""
    done = run(program, "one", "two", "one", "three", "one", env={"LD_LIBRARY_PATH": str(STAGE / "lib")})
    if os.getuid() and "Operation not permitted" in done.stderr:
        pytest.skip("making a map needs CAP_BPF")
    assert (sorted(done.stdout.splitlines()), done.stderr) == (["one 3", "three 1", "two 1"], "")


# ---- make, CMake and Meson, each with either library

SYSTEMS = {
    "make": [[MAKE, "-s", "all"]],
    "cmake": [["cmake", "-S", ".", "-B", "build"], ["cmake", "--build", "build"]],
    "meson": [["meson", "setup", "build"], ["meson", "compile", "-C", "build"]],
}


@pytest.fixture(scope="module", params=[LIBBPF, SYSBPF])
def library(request) -> str:
    if request.param == LIBBPF and run("pkg-config", "--exists", "libbpf").returncode:
        pytest.skip("libbpf-dev is not installed")
    return request.param


@pytest.fixture(scope="module", params=SYSTEMS)
def built(request, library, project) -> Path:
    """Where a build system put the programs that it built with a library."""
    need(SYSTEMS[request.param][0][0])
    directory = project(request.param)
    for command in SYSTEMS[request.param]:
        succeeds(*command, cwd=directory, env={"PKG_CONFIG_PATH": str(DROPIN)} if library == SYSBPF else None)
    return directory if request.param == "make" else directory / "build"


in_c_and_c_plus_plus = pytest.mark.parametrize("program", ["count", "count++"])


def test_project_builds(built):
    assert (built / "count").exists() and (built / "count++").exists()


@in_c_and_c_plus_plus
def test_program_needs_one_bpf_library(built, library, program):
    assert needed(built / program) == [library]


@in_c_and_c_plus_plus
def test_program_runs(built, program):
    assert_counts(built / program)


# ---- Statically, as pkg-config --static says


@pytest.fixture(scope="module")
def built_statically(project) -> Path:
    directory = project("static")
    succeeds(MAKE, "-s", "all", "STATIC=1", cwd=directory, env={"PKG_CONFIG_PATH": str(DROPIN)})
    return directory


def test_project_builds_statically(built_statically):
    assert (built_statically / "count").exists() and (built_statically / "count++").exists()


@in_c_and_c_plus_plus
def test_program_is_static(built_statically, program):
    assert is_static(built_statically / program)


@in_c_and_c_plus_plus
def test_static_program_runs(built_statically, program):
    assert_counts(built_statically / program)


# ---- With musl, as docs/building.md says

MUSL = "x86_64-unknown-linux-musl"
# Debian's Rust for the web brings the source of Rust's core library, from which it builds it for any target.
DEBIAN_CARGO, DEBIAN_CORE = Path("/usr/bin/cargo"), Path("/usr/lib/rustlib/src/rust/library/core")


@pytest.fixture(scope="module")
def musl_stage() -> Path:
    """The library for musl, installed as `make stage` does."""
    if os.uname().machine != "x86_64":
        pytest.skip("the library is built with musl on x86_64 only")
    need("musl-gcc")
    if Path(succeeds("rustc", "--print", "target-libdir", "--target", MUSL).strip()).is_dir():
        rust, env = [f"CARGO={CARGO}"], {}
    elif DEBIAN_CARGO.exists() and DEBIAN_CORE.is_dir():
        rust = [f"CARGO={DEBIAN_CARGO}", "CARGOFLAGS=-Zbuild-std=core,compiler_builtins"]
        env = {"RUSTC_BOOTSTRAP": "1", "RUSTC": "/usr/bin/rustc"}
    else:
        pytest.skip(f"no Rust for {MUSL}: apt-get install rustc-web cargo-web rust-web-src")
    done = run(MAKE, "-s", "-C", ROOT, "stage", f"RUST_TARGET={MUSL}", "CC=musl-gcc", *rust, env=env)
    # The build needs crates of Rust's standard library.
    error = re.search("Could not resolve host|failed to download|failed to get .*|no matching package .*", done.stderr)
    if done.returncode and error:
        pytest.skip(f"crates of Rust's standard library cannot be fetched: {error[0]}")
    assert done.returncode == 0, done.stderr
    return TARGET / f"stage-{MUSL}"


@pytest.fixture(scope="module")
def built_with_musl(musl_stage, project) -> Path:
    """The C program."""
    directory = project("musl")
    # The kernel's headers, after those of musl.
    multiarch = succeeds("gcc", "-print-multiarch").strip()
    env = {
        "PKG_CONFIG_PATH": str(musl_stage / "lib/sysbpf/pkgconfig"),
        "CPPFLAGS": f"-idirafter /usr/include -idirafter /usr/include/{multiarch}",
    }
    succeeds(MAKE, "-s", "count", "STATIC=1", "CC=musl-gcc", cwd=directory, env=env)
    return directory / "count"


def test_project_builds_with_musl(built_with_musl):
    assert built_with_musl.exists()


def test_program_with_musl_is_static(built_with_musl):
    assert is_static(built_with_musl)


def test_program_with_musl_has_nothing_of_glibc(built_with_musl):
    assert not re.search(rb"GLIBC_[0-9.]*|GNU C Library", built_with_musl.read_bytes())


def test_program_with_musl_runs(built_with_musl):
    assert_counts(built_with_musl)


# ---- Rust: a crate that links the libbpf which it finds


@pytest.fixture(scope="module")
def built_with_cargo(project) -> Path:
    directory = project("cargo") / "rust"
    done = run(CARGO, "fetch", "-q", "--locked", cwd=directory)
    if done.returncode:
        pytest.skip(f"its crates cannot be fetched: {(done.stderr.strip().splitlines() or ['no reason given'])[-1]}")
    env = {"PKG_CONFIG_PATH": str(DROPIN)}
    succeeds(CARGO, "build", "-q", "--locked", "--target-dir", directory / "target", cwd=directory, env=env)
    return directory / "target/debug/count"


def test_crate_builds(built_with_cargo):
    assert built_with_cargo.exists()


def test_crate_needs_sysbpf_only(built_with_cargo):
    assert needed(built_with_cargo) == [SYSBPF]


def test_crate_runs(built_with_cargo):
    assert_counts(built_with_cargo)
