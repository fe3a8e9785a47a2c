# SPDX-License-Identifier: MIT OR Apache-2.0
"""Builds of the library: in two directories, with each linker, with other settings, from a read-only source tree.

Also what the built files contain: debug information that debuggers find, and no path of this machine.
"""

import os
import re
import shutil
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from harness import CC, MAKE, ROOT, fails, have, need, run, succeeds, version

VERSION = version()
# Where make puts the shared object, and all that it builds.
LIBRARY = f"target/sysbpf/libsysbpf.so.{VERSION}"
BUILT = [LIBRARY, *(f"target/sysbpf/{name}" for name in ("libsysbpf.a", "libsysbpf-stub.so", "sysbpf-run"))]
# Where debug information says that the sources are.
SOURCES = f"/usr/src/sysbpf-{VERSION}"


@pytest.fixture(scope="module", autouse=True)
def default_target():
    """Each tree is built in its own target directory."""
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("CARGO_TARGET_DIR", raising=False)
        yield


def copy_sources(directory: Path) -> None:
    """Copies what the library is built from."""
    members = re.search(r"^members = \[(.*)\]$", (ROOT / "Cargo.toml").read_text(), re.MULTILINE)[1]
    names = {"Cargo.toml", "Cargo.lock", "Makefile", "abi", "src", "tools", "include", "packaging", "pkgconfig", "docs"}
    names |= {name.strip('" ') for name in members.split(",")}
    if (ROOT / "vendor").is_dir():
        names |= {"vendor", ".cargo"}
    for name in names:
        source, copy = ROOT / name, directory / name
        copy.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, copy, symlinks=True, dirs_exist_ok=True)
        else:
            shutil.copy2(source, copy)


class Tree:
    """A copy of the sources."""

    def __init__(self, directory: Path) -> None:
        copy_sources(directory)
        self.directory = directory
        self.library = directory / LIBRARY

    def make(self, *arguments: str, **options) -> str:
        return succeeds(MAKE, "-s", "-C", self.directory, *arguments, **options)

    def rebuilds(self, *settings: str) -> bool:
        """Whether make builds the shared object anew with these settings."""
        before = self.library.stat()
        self.make(LIBRARY, *settings)
        after = self.library.stat()
        return (before.st_mtime_ns, before.st_ino) != (after.st_mtime_ns, after.st_ino)

    def make_stale(self) -> None:
        """Makes a source newer than what was built."""
        (self.directory / "src/lib.rs").touch()


@pytest.fixture(scope="module")
def trees(work) -> tuple[Tree, Tree]:
    """Two copies, in directories whose names differ in length, both built."""
    trees = Tree(work / "one"), Tree(work / "another one, with spaces")
    with ThreadPoolExecutor() as pool:
        list(pool.map(Tree.make, trees))
    return trees


@pytest.fixture(scope="module")
def tree(trees) -> Tree:
    """A copy that tests build again. Each test makes the build that it starts from."""
    return trees[0]


@pytest.fixture(scope="module")
def first(trees, work) -> Path:
    """A directory with what the first copy's first build made."""
    for name in BUILT:
        (work / "first" / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(trees[0].directory / name, work / "first" / name)
    return work / "first"


# ---- Two directories


@pytest.fixture(params=BUILT, ids=os.path.basename)
def built(request) -> str:
    return request.param


def test_make_builds(first, built):
    assert (first / built).stat().st_size > 0


def test_make_builds_in_a_directory_with_spaces(trees, built):
    assert (trees[1].directory / built).stat().st_size > 0


def test_builds_in_two_directories_are_identical(first, trees, built):
    assert (first / built).read_bytes() == (trees[1].directory / built).read_bytes()


def test_build_contains_no_path_of_this_machine(first, work, built):
    content = (first / built).read_bytes()
    for path in (work, ROOT, os.environ.get("CARGO_HOME") or Path.home() / ".cargo"):
        assert os.fsencode(path) not in content


# ---- Debug information


def source_line(file: Path, function: str) -> str:
    """The source file and line where a function starts."""
    rows = [row.split() for row in succeeds("nm", file).splitlines()]
    address = next(row[0] for row in rows if len(row) == 3 and row[2].split("@@")[0] == function)
    return succeeds("addr2line", "-e", file, "0x" + address).strip().split(" (discriminator")[0]


@pytest.fixture(scope="module")
def user_c(work) -> Path:
    user = work / "user.c"
    user.write_text("#include <bpf/bpf.h>\nint main(void) { return bpf_map_freeze(-1) >= 0; }\n")
    return user


@pytest.fixture(scope="module")
def static_program(first, user_c, work) -> Path:
    archive = first / "target/sysbpf/libsysbpf.a"
    succeeds(CC, "-static", "-g", "-I", ROOT / "include", "-o", work / "static", user_c, archive)
    return work / "static"


def test_debug_information_names_the_source_file_of_a_function(first):
    file, _ = source_line(first / LIBRARY, "bpf_map_freeze").split(":")
    assert file == f"{SOURCES}/src/api/maps.rs"


def test_debug_information_names_the_source_line_of_a_function(first):
    _, line = source_line(first / LIBRARY, "bpf_map_freeze").split(":")
    lines = (ROOT / "src/api/maps.rs").read_text().splitlines()
    declared = next(n for n, text in enumerate(lines, 1) if 'extern "C" fn bpf_map_freeze(' in text)
    assert declared <= int(line) <= declared + 5


def test_static_program_runs(static_program):
    succeeds(static_program)


def test_static_program_has_the_same_debug_information(first, static_program):
    assert source_line(static_program, "bpf_map_freeze") == source_line(first / LIBRARY, "bpf_map_freeze")


def sysbpf_run_debug(first: Path, section: str) -> str:
    # Not by addr2line: Debian 13's does not find main() in what Rust 1.85 and gcc 14 make; gdb does.
    program = first / "target/sysbpf/sysbpf-run"
    return succeeds("readelf", f"--debug-dump={section}", program, env={"LC_ALL": "C"})


def test_debug_information_of_sysbpf_run_names_its_source_directory(first):
    assert re.search(f"DW_AT_comp_dir.*: {SOURCES}$", sysbpf_run_debug(first, "info"), re.MULTILINE)


def test_debug_information_of_sysbpf_run_has_lines(first):
    assert re.search(r"run/src/lib\.rs:|^lib\.rs +[0-9]", sysbpf_run_debug(first, "decodedline"), re.MULTILINE)


def test_gdb_shows_lines_of_the_library(first, user_c, work):
    need("gdb")
    program = work / "user"
    succeeds(CC, "-g", "-I", ROOT / "include", "-o", program, user_c, first / LIBRARY)
    libraries = work / "libraries"
    libraries.mkdir()
    (libraries / "libsysbpf.so.1").symlink_to(first / LIBRARY)
    # Stops below the library: in libc's syscall(), which the library calls.
    commands = ["set breakpoint pending on", "break syscall", "run", "bt"]
    done = run(
        *("env", "-u", "DEBUGINFOD_URLS", "gdb", "-batch", "-nx"),
        *(word for command in commands for word in ("-ex", command)),
        program,
        env={"LD_LIBRARY_PATH": str(libraries)},
    )
    output = done.stdout + done.stderr
    if "ptrace: Operation not permitted" in output:
        pytest.skip("this process may not trace another")
    assert re.search(r"#[0-9].* bpf_map_freeze .* at .*src/api/maps\.rs:[0-9]+$", output, re.MULTILINE), output


# ---- Linkers


@pytest.fixture(scope="module", params=["bfd", "gold", "lld", "mold"])
def linked(request, tree, work) -> Path:
    """The shared object as one linker makes it, in a directory of its own."""
    if not have(f"ld.{request.param}"):
        pytest.skip(f"ld.{request.param} is not installed")
    tree.make(LIBRARY, f"LDFLAGS=-fuse-ld={request.param}")
    library = work / request.param / "libsysbpf.so.1"
    library.parent.mkdir()
    shutil.copy2(tree.library, library)
    return library


def test_linker_makes_the_shared_object(linked):
    dynamic = succeeds("readelf", "-dW", linked, env={"LC_ALL": "C"})
    assert re.search(r"\(SONAME\) .*\[libsysbpf\.so\.1\]", dynamic), dynamic


def test_linker_exports_each_symbol_at_its_node(linked):
    symbols = succeeds("nm", "-D", "--defined-only", "--with-symbol-versions", linked)
    exported = sorted(name for _, kind, name in map(str.split, symbols.splitlines()) if kind != "A")
    assert exported == sorted((ROOT / "abi/libsysbpf.symbols").read_text().splitlines())


def test_linker_makes_no_segment_that_is_writable_and_executable(linked):
    headers = succeeds("readelf", "-lW", linked, env={"LC_ALL": "C"})
    assert re.search("^ +LOAD .* R E ", headers, re.MULTILINE)
    assert not re.search("^ +LOAD .* RWE ", headers, re.MULTILINE)


def test_program_runs_with_what_a_linker_makes(linked, user_c):
    program = linked.parent / "user"
    succeeds(CC, "-I", ROOT / "include", "-o", program, user_c, linked)
    succeeds(program, env={"LD_LIBRARY_PATH": str(linked.parent)})


@pytest.fixture(scope="module")
def glibc_2_31(work) -> Path:
    """Debian 11's C library, which has dlopen() in a library of its own."""
    if os.uname().machine != "x86_64":
        pytest.skip("it is fetched for x86_64 only")
    root = work / "glibc"
    for package in ("libc6-dev", "libc6"):
        done = run(ROOT / "tools/debian-get", "bullseye", "amd64", package)
        if done.returncode:
            pytest.skip((done.stderr.splitlines() or ["debian-get fails"])[-1])
        shutil.copytree(done.stdout.strip(), root, symlinks=True, dirs_exist_ok=True)
    for path in root.rglob("*"):
        if path.is_symlink() and os.readlink(path).startswith("/"):
            target = os.readlink(path)
            path.unlink()
            path.symlink_to(f"{root}{target}")
    return root


@pytest.fixture(scope="module")
def linked_with_glibc_2_31(glibc_2_31, tree) -> Path:
    tree.make(LIBRARY, f"LDFLAGS=--sysroot={glibc_2_31} -L{glibc_2_31}/usr/lib/x86_64-linux-gnu")
    return tree.library


def test_links_with_glibc_2_31(linked_with_glibc_2_31):
    assert linked_with_glibc_2_31.stat().st_size > 0


def test_linked_with_glibc_2_31_needs_libdl(linked_with_glibc_2_31):
    dynamic = succeeds("readelf", "-dW", linked_with_glibc_2_31, env={"LC_ALL": "C"})
    assert sorted(re.findall(r"\(NEEDED\).*\[(.*)\]", dynamic)) == ["libc.so.6", "libdl.so.2"]


# ---- Settings

NATIVE = "RUSTFLAGS=-C target-cpu=native"
NODELETE = "LDFLAGS=-Wl,-z,nodelete"


def has_nodelete(library: Path) -> bool:
    """Whether the linker was called with the LDFLAGS of NODELETE."""
    return "NODELETE" in succeeds("readelf", "-dW", library, env={"LC_ALL": "C"})


def test_make_builds_nothing_the_second_time(tree):
    tree.make(LIBRARY)
    assert not tree.rebuilds()


def test_make_rebuilds_with_other_rustflags(tree):
    tree.make(LIBRARY)
    assert tree.rebuilds(NATIVE)


def test_make_rebuilds_with_other_ldflags(tree):
    tree.make(LIBRARY, NATIVE)
    assert tree.rebuilds(NATIVE, NODELETE)


def test_ldflags_are_passed_to_the_linker(tree):
    tree.make(LIBRARY)
    assert not has_nodelete(tree.library)
    tree.make(LIBRARY, NODELETE)
    assert has_nodelete(tree.library)


def test_install_takes_what_was_built_whatever_the_settings(tree, tmp_path):
    tree.make(NATIVE, NODELETE)
    tree.make("install", f"DESTDIR={tmp_path}", "PREFIX=/usr")
    assert has_nodelete(tmp_path / "usr/lib/libsysbpf.so.1")


@pytest.fixture(scope="module")
def installed_from_stale_sources(tree, work) -> Path:
    """Where `make install` installed after a source was changed; it was built with other settings before."""
    tree.make(NATIVE, NODELETE)
    tree.make_stale()
    tree.make("install", f"DESTDIR={work}/destination", "PREFIX=/usr")
    return work / "destination/usr"


def test_install_builds_what_is_stale(installed_from_stale_sources):
    assert not has_nodelete(installed_from_stale_sources / "lib/libsysbpf.so.1")


def test_install_records_the_settings_that_it_built_with(installed_from_stale_sources, tree):
    assert tree.rebuilds(NATIVE, NODELETE)
    assert has_nodelete(tree.library)


def test_objcopy_is_found_by_its_path(tree, tmp_path):
    """It need not be in PATH."""
    cargo = Path(shutil.which("cargo"))
    for directory in (Path("/usr/bin"), cargo.parent):
        for tool in directory.iterdir():
            if tool.name != "objcopy" and not os.path.lexists(tmp_path / tool.name):
                (tmp_path / tool.name).symlink_to(shutil.which(tool.name) or tool)
    settings = f"OBJCOPY={shutil.which('objcopy')}", f"CC={shutil.which(CC)}"
    assert not (tmp_path / "objcopy").exists()
    tree.make(LIBRARY, *settings, env={"PATH": str(tmp_path)})


def test_cargo_build_target_of_the_environment_has_no_effect(tree):
    tree.make(LIBRARY)
    assert tree.rebuilds(NATIVE)
    tree.make(LIBRARY, env={"CARGO_BUILD_TARGET": "nonexistent"})


@pytest.fixture(scope="module")
def wrapped(tree, work) -> str:
    """How a RUSTC_WRAPPER of the environment was called, one call per line."""
    wrapper = work / "wrapper"
    wrapper.write_text(f'#!/bin/sh\necho "$@" >>"{work}/wrapped"\nexec "$@"\n')
    wrapper.chmod(0o755)
    tree.make_stale()
    tree.make(LIBRARY, "RUSTFLAGS=-C debuginfo=1", env={"RUSTC_WRAPPER": str(wrapper)})
    return (work / "wrapped").read_text()


def test_rustc_wrapper_of_the_environment_is_used(wrapped):
    assert "remap-path-prefix" in wrapped


def test_rustflags_reach_the_rustc_wrapper(wrapped):
    assert "debuginfo=1" in wrapped


def test_target_directory_with_a_space_is_rejected(tree, tmp_path):
    said = fails(MAKE, "-s", "-C", tree.directory, "all", env={"CARGO_TARGET_DIR": f"{tmp_path}/x y"})
    assert "CARGO_TARGET_DIR must not have spaces" in said


# ---- A source tree that cannot be written


def make_writable(directory: Path, writable: bool) -> None:
    for path in (directory, *directory.rglob("*")):
        mode = path.lstat().st_mode
        if not stat.S_ISLNK(mode):
            path.chmod(mode | stat.S_IWUSR if writable else mode & 0o555)


@pytest.fixture(scope="module")
def built_elsewhere(trees, work):
    """Where make stage built a read-only source tree."""
    target, source = work / "out", trees[1].directory
    shutil.rmtree(source / "target")
    environment = {"CARGO_TARGET_DIR": str(target)}
    if run("unshare", "-m", "true").returncode == 0:
        # Root can write where permissions forbid it.
        read_only = 'mount --bind "$1" "$1" && mount -o remount,ro,bind "$1" && ! touch "$1/x" 2>/dev/null'
        build = f'{read_only} && exec "$2" -s -C "$1" stage'
        succeeds("unshare", "-m", "sh", "-c", build, "sh", source, MAKE, env=environment)
    else:
        make_writable(source, False)
        try:
            trees[1].make("stage", env=environment)
        finally:
            make_writable(source, True)
    return target


def test_read_only_source_tree_is_built_elsewhere(built_elsewhere):
    assert (built_elsewhere / "stage/lib/libsysbpf.so.1").exists()


def test_build_of_a_read_only_source_tree_is_identical(built_elsewhere, first):
    archive = "sysbpf/libsysbpf.a"
    assert (built_elsewhere / archive).read_bytes() == (first / "target" / archive).read_bytes()
