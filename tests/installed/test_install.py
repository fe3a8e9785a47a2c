# SPDX-License-Identifier: MIT OR Apache-2.0
"""What `make install` writes and `make uninstall` removes, programs that are built from the installed tree with
pkg-config, and the drop-in directory beside every libbpf that a machine may have."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import pytest

from harness import CARGO, CC, MAKE, ROOT, SO, STAGE, have, need, news, run, succeeds, tail, version

VERSION = version()
LINKERS = ["bfd", "gold", "lld", "mold"]

# ---- Helpers


def make(action: str, *variables: str, **options) -> subprocess.CompletedProcess[str]:
    """Runs `make install` or `make uninstall` with these variables."""
    return run(MAKE, "-s", "-C", ROOT, action, *variables, **options)


def install(*variables: str, **options) -> str:
    """Runs `make install`, which must succeed; returns what it printed."""
    return succeeds(MAKE, "-s", "-C", ROOT, "install", *variables, **options)


def uninstall(*variables: str) -> None:
    succeeds(MAKE, "-s", "-C", ROOT, "uninstall", *variables)


def files(top: Path) -> set[str]:
    """The paths of all that is below a directory except directories, and except the manual pages of functions."""
    found = {f"/{path.relative_to(top)}" for path in top.rglob("*") if path.is_symlink() or not path.is_dir()}
    return {path for path in found if "/man3/" not in path}


def directories(top: Path) -> set[str]:
    return {f"/{path.relative_to(top)}" for path in top.rglob("*") if path.is_dir() and not path.is_symlink()}


def tree(prefix: str = "/usr", libdir: str = "/usr/lib", includedir: str = "/usr/include") -> set[str]:
    """What `make install` with these paths is expected to write."""
    return (
        {f"{prefix}/{path}" for path in ("bin/sysbpf-run", "lib/sysbpf-run/check", "lib/sysbpf-run/layout")}
        | {f"{prefix}/share/man/{page}" for page in ("man1/sysbpf-run.1", "man7/sysbpf.7")}
        | {f"{libdir}/libsysbpf{end}" for end in (".a", ".so", ".so.1", f".so.{VERSION}")}
        | {f"{libdir}/pkgconfig/sysbpf.pc"}
        | {f"{libdir}/sysbpf/{name}" for name in ("libbpf.a", "libbpf.so", "libsysbpf-stub.so", "pkgconfig/libbpf.pc")}
        | {f"{includedir}/sysbpf/bpf/{name}.h" for name in ("bpf", "libbpf_common", "libbpf_legacy", "libbpf_version")}
    )


def pkg_config(directory: Path | None, *arguments: str) -> str:
    """What pkg-config prints, with that directory searched before the system's."""
    need("pkg-config")
    return succeeds("pkg-config", *arguments, env={"PKG_CONFIG_PATH": str(directory)} if directory else None).strip()


def has_package(*arguments: str, directory: Path | None = None) -> bool:
    """Whether pkg-config finds such a package."""
    env = {"PKG_CONFIG_PATH": str(directory)} if directory else None
    return have("pkg-config") and run("pkg-config", *arguments, env=env).returncode == 0


def link(
    directory: Path, source: str, output: Path, package: str, *flags: str | Path
) -> subprocess.CompletedProcess[str]:
    """Compiles a program as a makefile does: with the flags of pkg-config, which a shell splits."""
    source_file = output.parent / f"{output.name}.c"
    source_file.write_text(source)
    package_flags = shlex.split(pkg_config(directory, "--cflags", "--libs", package))
    # Some compilers tell the linker --as-needed, and others do not.
    return run(CC, "-Wl,--no-as-needed", "-o", output, source_file, *package_flags, *flags)


def linked(*arguments, **options) -> Path:
    """As link(), which must succeed; returns the program."""
    done = link(*arguments, **options)
    assert done.returncode == 0, tail(done)
    return arguments[2]


def needed(program: Path) -> list[str]:
    """The BPF libraries that a program needs when it runs."""
    dynamic = succeeds("readelf", "-dW", program, env={"LC_ALL": "C"})
    names = [line.split("[")[1].rstrip("]") for line in dynamic.splitlines() if "(NEEDED)" in line]
    return sorted(name for name in names if "bpf" in name)


def runs(program: Path, *arguments: str, libraries: Iterable[Path] = (STAGE / "lib",)) -> None:
    """Runs a program, which must succeed, with these directories searched for libraries."""
    succeeds(program, *arguments, env={"LD_LIBRARY_PATH": ":".join(str(path) for path in libraries)})


def has_debug_information(file: Path) -> bool:
    return ".debug_line" in succeeds("readelf", "-SW", file, env={"LC_ALL": "C"})


USER_C = """\
#include <bpf/bpf.h>
int main(void) { return bpf_map_freeze(-1) >= 0; }
"""

# ---- Installing below DESTDIR, and uninstalling

DESTDIR_PATHS = ["PREFIX=/usr", "LIBDIR=/usr/lib/multi", "INCLUDEDIR=/usr/include"]
# A file that is there before the installation.
OTHERS_FILE = "/usr/lib/libbpf.so.1"


@pytest.fixture(scope="module")
def installed(work):
    """A DESTDIR that has a file of another package, and then sysbpf."""
    destdir = work / "destdir"
    for directory in ("usr/lib/pkgconfig", "usr/bin"):
        (destdir / directory).mkdir(parents=True)
    (destdir / OTHERS_FILE[1:]).write_text("kept\n")
    install(f"DESTDIR={destdir}", *DESTDIR_PATHS)
    return destdir


@pytest.fixture(scope="module")
def uninstalled(work, installed):
    """A copy of that DESTDIR after `make uninstall`."""
    destdir = work / "uninstalled"
    shutil.copytree(installed, destdir, symlinks=True)
    uninstall(f"DESTDIR={destdir}", *DESTDIR_PATHS)
    return destdir


def test_install_writes_exactly_these_files(installed):
    assert files(installed) == tree(libdir="/usr/lib/multi") | {OTHERS_FILE}


def test_install_writes_a_manual_page_for_each_function(installed):
    symbols = (ROOT / "abi/libsysbpf.symbols").read_text().splitlines()
    functions = [line.split("@")[0] for line in symbols if "@" in line]
    pages = {page.name for page in (installed / "usr/share/man/man3").iterdir()}
    assert {f"{name}.3sysbpf" for name in functions} <= pages


def test_sysbpf_run_is_told_the_prefix_and_the_library_directory(installed):
    assert (installed / "usr/lib/sysbpf-run/layout").read_text() == "/usr\n/usr/lib/multi\n"


def test_no_installed_file_contains_destdir(installed):
    contents = {path: path.read_bytes() for path in installed.rglob("*") if path.is_file()}
    assert [path for path, content in contents.items() if bytes(installed.parent) in content] == []


@pytest.mark.parametrize("file", ["lib/multi/libsysbpf.so.1", "lib/multi/libsysbpf.a", "bin/sysbpf-run"])
def test_installed_binaries_are_stripped(installed, file):
    assert not has_debug_information(installed / "usr" / file)


def test_uninstall_removes_every_file_that_install_wrote(uninstalled):
    assert files(uninstalled) == {OTHERS_FILE}


def test_uninstall_removes_the_manual_pages_of_functions(uninstalled):
    assert list((uninstalled / "usr/share/man/man3").glob("*")) == []


def test_uninstall_removes_the_directories_that_are_its_own(uninstalled):
    left = directories(uninstalled)
    assert {path for path in left if "sysbpf" in path} == set()
    assert {"/usr/lib/pkgconfig", "/usr/bin"} <= left


@pytest.fixture(scope="module")
def unstripped(work):
    install(f"DESTDIR={work / 'unstripped'}", *DESTDIR_PATHS, "STRIP=true")
    return work / "unstripped"


# A package's own tools split it off.
@pytest.mark.parametrize("file", ["lib/multi/libsysbpf.so.1", "lib/multi/libsysbpf.a", "bin/sysbpf-run"])
def test_strip_true_keeps_debug_information(unstripped, file):
    assert has_debug_information(unstripped / "usr" / file)


# ---- Paths


@dataclass
class Spaces:
    top: Path
    prefix: Path
    includedir: Path
    other: Path

    def variables(self) -> list[str]:
        return [f"PREFIX={self.prefix}", f"INCLUDEDIR={self.includedir}", "DESTDIR="]


@pytest.fixture(scope="module")
def spaces(work):
    """An installation in paths with spaces. Another directory's name is their first word: it must not be touched."""
    top = work / "spaces/in a & b"
    paths = Spaces(top, top / "pre fix", top / "in clude", work / "spaces/in")
    paths.other.mkdir(parents=True)
    (paths.other / "precious").write_text("data\n")
    (top / "lib").mkdir(parents=True)
    install(*paths.variables())
    return paths


@pytest.fixture(scope="module")
def spaces_uninstalled(work, spaces):
    """The same paths elsewhere, after `make uninstall`; the user has added a directory."""
    parent = work / "spaces uninstalled"
    shutil.copytree(spaces.top.parent, parent, symlinks=True)
    top = parent / spaces.top.name
    paths = Spaces(top, top / spaces.prefix.name, top / spaces.includedir.name, parent / spaces.other.name)
    (paths.includedir / "mine").mkdir()
    uninstall(*paths.variables())
    return paths


def test_paths_with_spaces_get_every_file(spaces):
    assert files(spaces.top) == tree(prefix="/pre fix", libdir="/pre fix/lib", includedir="/in clude")


PC_DIRECTORIES = {"sysbpf": "lib/pkgconfig", "libbpf": "lib/sysbpf/pkgconfig"}


@pytest.mark.parametrize("package", PC_DIRECTORIES)
def test_pkg_config_file_in_a_path_with_spaces_builds_a_program(work, spaces, package):
    program = linked(spaces.prefix / PC_DIRECTORIES[package], USER_C, work / f"spaces-{package}", package)
    assert needed(program) == ["libsysbpf.so.1"]


@pytest.mark.parametrize("package", PC_DIRECTORIES)
def test_program_that_is_built_from_a_path_with_spaces_runs(work, spaces, package):
    program = linked(spaces.prefix / PC_DIRECTORIES[package], USER_C, work / f"spaces-{package}-runs", package)
    runs(program, libraries=[spaces.prefix / "lib"])


def test_uninstall_from_paths_with_spaces_removes_every_file(spaces_uninstalled):
    assert files(spaces_uninstalled.top) == set()


def test_uninstall_leaves_the_directory_whose_name_is_the_first_word(spaces_uninstalled):
    assert (spaces_uninstalled.other / "precious").exists()


def test_uninstall_leaves_a_directory_of_the_user(spaces_uninstalled):
    assert (spaces_uninstalled.includedir / "mine").is_dir()


def test_destdir_with_a_space_gets_every_file(work):
    install("PREFIX=/usr", f"DESTDIR={work / 'dest dir'}")
    assert files(work / "dest dir") == tree()


def test_relative_destdir_is_below_the_source_tree(work):
    destdir = work / "relative dest dir"
    install("PREFIX=/usr", f"DESTDIR={os.path.relpath(destdir, ROOT.resolve())}")
    assert files(destdir) == tree()


PATHS = ["PREFIX", "LIBDIR", "INCLUDEDIR", "BINDIR", "MANDIR"]
# As make is given them: it takes $$ for $.
SPECIAL = {
    "quote": "/a'b",
    "double-quote": '/a"b',
    "backslash": "/a\\b",
    "backquote": "/a`b",
    "dollar": "/a$$b",
    "hash": "/a#b",
}


def is_rejected(work: Path, action: str, message: str, *variables: str) -> None:
    """make fails with that message, and writes nothing."""
    destdir = work / "rejected"
    done = make(action, f"DESTDIR={destdir}", *variables)
    assert done.returncode != 0, f"make {action} succeeded with {variables}"
    assert f"make {action}: {message}" in done.stdout + done.stderr
    assert not destdir.exists()


@pytest.mark.parametrize("path", ["usr", "../lib"])
@pytest.mark.parametrize("variable", PATHS)
@pytest.mark.parametrize("action", ["install", "uninstall"])
def test_relative_path_is_rejected(work, action, variable, path):
    is_rejected(work, action, f"{variable} must be an absolute path, not '{path}'", f"{variable}={path}")


@pytest.mark.parametrize("path", SPECIAL.values(), ids=SPECIAL)
@pytest.mark.parametrize("variable", ["PREFIX", "INCLUDEDIR"])
@pytest.mark.parametrize("action", ["install", "uninstall"])
def test_path_with_a_special_character_is_rejected(work, action, variable, path):
    is_rejected(work, action, f"{variable} must not have quotes", f"{variable}={path}")


# ---- sysbpf.pc


def test_sysbpf_pc_gives_the_version():
    assert pkg_config(STAGE / "lib/pkgconfig", "--modversion", "sysbpf") == VERSION


def test_sysbpf_pc_of_a_tree_that_was_moved_gives_the_new_paths(work):
    moved = work / "moved"
    for directory in ("lib", "include"):
        shutil.copytree(STAGE / directory, moved / directory, symlinks=True)
    flags = pkg_config(moved / "lib/pkgconfig", "--define-prefix", "--cflags", "--libs", "sysbpf")
    assert shlex.split(flags) == [f"-I{moved}/include/sysbpf", f"-L{moved}/lib", "-lsysbpf"]


@pytest.fixture(scope="module")
def by_name(work):
    return linked(STAGE / "lib/pkgconfig", USER_C, work / "by-name", "sysbpf")


def test_program_that_is_built_with_sysbpf_pc_needs_libsysbpf_alone(by_name):
    assert needed(by_name) == ["libsysbpf.so.1"]


def test_program_that_is_built_with_sysbpf_pc_runs(by_name):
    runs(by_name)


# ---- The drop-in directory beside each libbpf that there may be

PROGRAMS = {
    # Calls bpf.h alone.
    "user": USER_C,
    # Calls an object function of the real library, and a function of bpf.h that sysbpf provides.
    "objects": """\
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
int main(void)
{
	struct bpf_object *object = bpf_object__open("/nonexistent");
	return !(object == NULL && bpf_map_freeze(-1) < 0);
}
""",
    # Calls a function that libbpf has since 1.6. The installed header may be older than that.
    "newer": """\
#include <bpf/bpf.h>
#include <errno.h>
struct bpf_object;
int bpf_object__prepare(struct bpf_object *obj);
int main(int argc, char **argv)
{
	return !(argc == 99 ? bpf_object__prepare((struct bpf_object *)argv) : bpf_map_freeze(-1) < 0);
}
""",
}

SYSTEM_LIBBPF = run("pkg-config", "--modversion", "libbpf").stdout.strip() if has_package("--exists", "libbpf") else ""
# What can be linked in the drop-in directory beside each libbpf: the system's, the reference, and none.
LINKS = {
    "system": ["user", "objects", "newer"] if has_package("--atleast-version=1.6", "libbpf") else ["user", "objects"],
    "reference": ["user", "objects", "newer"],
    "alone": ["user"],
}


def numbers(text: str) -> list[int]:
    return [int(part) for part in text.split(".")]


def libbpf_directory() -> Path:
    """Where the system's libbpf is, if it has one."""
    if not SYSTEM_LIBBPF:
        pytest.skip("libbpf-dev is not installed")
    return Path(pkg_config(None, "--variable=libdir", "libbpf"))


@dataclass
class DropIn:
    """An installed tree whose drop-in directory stands beside a libbpf."""

    prefix: Path
    # That its libbpf.pc is expected to give.
    version: str
    # Where the real library is, if the dynamic linker does not know.
    libraries: list[Path]

    @property
    def pkgconfig(self) -> Path:
        return self.prefix / "lib/sysbpf/pkgconfig"

    def link(self, program: str, linker: str) -> subprocess.CompletedProcess[str]:
        """Links one of PROGRAMS here."""
        need(f"ld.{linker}")
        if program == "objects" and not Path("/usr/include/bpf/libbpf.h").exists():
            pytest.skip("there is no libbpf.h")
        return link(self.pkgconfig, PROGRAMS[program], self.output(program, linker), "libbpf", f"-fuse-ld={linker}")

    def output(self, program: str, linker: str) -> Path:
        return self.prefix / f"{program}-{linker}"

    def linked(self, program: str, linker: str) -> Path:
        """The same, which must succeed; done once."""
        output = self.output(program, linker)
        if not output.exists():
            done = self.link(program, linker)
            assert done.returncode == 0, tail(done)
        return output


@pytest.fixture(scope="module")
def beside_system(work):
    libbpf_directory()
    # A drop-in directory that is in the path already is not taken for the real libbpf.
    install("DESTDIR=", f"PREFIX={work / 'system'}", f"PKG_CONFIG_PATH={STAGE / 'lib/sysbpf/pkgconfig'}")
    return DropIn(work / "system", min(SYSTEM_LIBBPF, VERSION, key=numbers), [])


@pytest.fixture(scope="module")
def beside_reference(work):
    """libbpf 1.7.0, as the comparison with it builds it."""
    if not (ROOT / "tests/conformance").is_dir():
        pytest.skip("what builds libbpf 1.7.0 is not part of the source archive")
    done = run(CARGO, "run", "-q", "--locked", "--profile", "tool", "-p", "conformance", "--", "reference", cwd=ROOT)
    said = [line for line in done.stdout.splitlines() if line.startswith("SKIP")] or done.stderr.splitlines() or ["?"]
    if done.returncode != 0 or not done.stdout.startswith("/"):
        pytest.skip(f"libbpf 1.7.0 cannot be built: {said[-1].strip()}")
    library = Path(done.stdout.strip())
    directory = library.parent
    version = library.name.removeprefix("libbpf.so.")
    pc = work / "reference-pc/libbpf.pc"
    pc.parent.mkdir()
    pc.write_text(
        f"Name: libbpf\nDescription: -\nVersion: {version}\nlibdir={directory}\n"
        f'Libs: -L"{directory}" -lbpf\nCflags: -I"{directory.parent}/include"\nRequires.private: libelf zlib\n'
    )
    install("DESTDIR=", f"PREFIX={work / 'reference'}", f"PKG_CONFIG_PATH={pc.parent}")
    return DropIn(work / "reference", version, [directory])


@pytest.fixture(scope="module")
def no_pc(work):
    """A directory in which pkg-config finds no package."""
    (work / "no-pc").mkdir()
    return work / "no-pc"


@pytest.fixture(scope="module")
def beside_alone(work, no_pc):
    install("DESTDIR=", f"PREFIX={work / 'alone'}", f"PKG_CONFIG_LIBDIR={no_pc}")
    return DropIn(work / "alone", VERSION, [])


@pytest.fixture
def drop_in(request, libbpf) -> DropIn:
    """The drop-in directory beside the libbpf that is the test's parameter."""
    return request.getfixturevalue(f"beside_{libbpf}")


@pytest.mark.parametrize("libbpf", LINKS)
def test_libbpf_pc_gives_the_version_that_both_libraries_have(drop_in):
    assert pkg_config(drop_in.pkgconfig, "--modversion", "libbpf") == drop_in.version


@pytest.mark.parametrize("wanted", ["0.8", "1.1", "1.5", "1.7", "1.99"])
@pytest.mark.parametrize("libbpf", LINKS)
def test_libbpf_pc_has_at_least_what_its_version_says(drop_in, wanted):
    need("pkg-config")
    enough = has_package(f"--atleast-version={wanted}", "libbpf", directory=drop_in.pkgconfig)
    assert enough == (numbers(drop_in.version) >= numbers(wanted))


LINKED = [(libbpf, program) for libbpf, programs in LINKS.items() for program in programs]
NOT_LINKED = [(libbpf, program) for libbpf in LINKS for program in PROGRAMS if (libbpf, program) not in LINKED]


@pytest.mark.parametrize("linker", LINKERS)
@pytest.mark.parametrize("libbpf, program", LINKED)
def test_program_links(drop_in, program, linker):
    drop_in.linked(program, linker)


@pytest.mark.parametrize("linker", LINKERS)
@pytest.mark.parametrize("libbpf, program", LINKED)
def test_program_needs_the_libraries_that_it_calls(drop_in, program, linker):
    expected = ["libsysbpf.so.1"] if program == "user" else ["libbpf.so.1", "libsysbpf.so.1"]
    assert needed(drop_in.linked(program, linker)) == expected


@pytest.mark.parametrize("linker", LINKERS)
@pytest.mark.parametrize("libbpf, program", LINKED)
def test_program_runs(drop_in, program, linker):
    runs(drop_in.linked(program, linker), libraries=[drop_in.prefix / "lib", *drop_in.libraries])


@pytest.mark.parametrize("linker", LINKERS)
@pytest.mark.parametrize("libbpf, program", NOT_LINKED)
def test_linker_names_the_function_that_no_library_has(drop_in, program, linker):
    done = drop_in.link(program, linker)
    assert done.returncode != 0, "it was linked"
    function = "bpf_object__open" if program == "objects" else "bpf_object__prepare"
    assert any("undefined" in line and function in line for line in done.stderr.splitlines()), tail(done)


@pytest.mark.parametrize("libbpf", LINKS)
def test_static_program_runs(drop_in, libbpf):
    program = linked(drop_in.pkgconfig, USER_C, drop_in.prefix / "static", "libbpf", "-static")
    assert "Requesting program interpreter" not in succeeds("readelf", "-lW", program, env={"LC_ALL": "C"})
    runs(program, libraries=[])


def test_libbpf_that_is_newer_than_sysbpf_counts_as_its_version(work):
    libbpf = libbpf_directory() / "libbpf.so"
    install(f"DESTDIR={work / 'newer'}", "PREFIX=/usr", "LIBBPF_VERSION=1.99.0", f"LIBBPF={libbpf}")
    assert pkg_config(work / "newer/usr/lib/sysbpf/pkgconfig", "--modversion", "libbpf") == VERSION


# ---- Static programs that use libbpf's objects: with sysbpf's archive and libbpf's


@pytest.fixture(scope="module")
def static_flags(work, beside_system):
    """The flags of pkg-config --static, where a program can be linked statically with what libbpf.a needs."""
    if not (libbpf_directory() / "libbpf.a").exists():
        pytest.skip("there is no libbpf.a")
    source = work / "libelf.c"
    source.write_text("#include <libelf.h>\nint main(void) { return elf_begin(-1, ELF_C_NULL, 0) != 0; }\n")
    done = run(CC, "-static", "-o", work / "libelf", source, *libelf_flags("libelf"))
    if done.returncode != 0:
        # Debian 13's lacks functions that it calls itself.
        undefined = next((line for line in done.stderr.splitlines() if "undefined" in line), done.stderr)
        news(f"no static program can use this libelf.a, with any libbpf: {undefined}")
    return shlex.split(pkg_config(beside_system.pkgconfig, "--static", "--cflags", "--libs", "libbpf"))


def libelf_flags(*packages: str) -> list[str]:
    return shlex.split(pkg_config(None, "--libs", "--static", *packages))


def link_static(output: Path, *flags: str | Path) -> subprocess.CompletedProcess[str]:
    source = output.parent / f"{output.name}.c"
    source.write_text(PROGRAMS["objects"])
    return run(CC, "-static", "-o", output, source, *flags)


@pytest.mark.parametrize("linker", LINKERS)
def test_static_program_with_objects_links(work, static_flags, linker):
    need(f"ld.{linker}")
    done = link_static(work / f"objects-static-{linker}", f"-fuse-ld={linker}", *static_flags)
    assert done.returncode == 0, tail(done)


@pytest.mark.parametrize("linker", LINKERS)
def test_static_program_with_objects_runs(work, static_flags, linker):
    need(f"ld.{linker}")
    done = link_static(work / f"objects-static-{linker}-runs", f"-fuse-ld={linker}", *static_flags)
    assert done.returncode == 0, tail(done)
    runs(work / f"objects-static-{linker}-runs", libraries=[])


def test_static_program_with_objects_gets_bpf_h_from_sysbpf(work, static_flags):
    done = link_static(work / "traced", *static_flags, "-Wl,--trace-symbol=bpf_map_freeze")
    # The linker names each file that defines the function, and takes the first.
    definitions = [line for line in (done.stdout + done.stderr).splitlines() if "definition of" in line]
    assert definitions[0].rpartition("/")[2] == "libsysbpf.a(bpf_map_freeze.o): definition of bpf_map_freeze"


def test_the_two_archives_can_be_named_instead(work, static_flags):
    archives = [STAGE / "lib/libsysbpf.a", libbpf_directory() / "libbpf.a"]
    flags = ["-Wl,--allow-multiple-definition", "-I", STAGE / "include/sysbpf"]
    done = link_static(work / "by-hand", *flags, *archives, *libelf_flags("libelf", "zlib"))
    assert done.returncode == 0, tail(done)
    runs(work / "by-hand", libraries=[])


# ---- Machines without a libbpf, and machines on which it comes and goes

ALONE = "/usr/lib/sysbpf: provides bpf.h alone: "


def test_install_says_that_there_is_no_libbpf(work, no_pc):
    need("pkg-config")
    said = install(f"DESTDIR={work / 'none'}", "PREFIX=/usr", f"PKG_CONFIG_LIBDIR={no_pc}")
    assert said == f"{ALONE}no libbpf is installed here whose other functions programs could call\n"


def test_install_says_that_there_is_no_pkg_config(work):
    said = install(f"DESTDIR={work / 'none'}", "PREFIX=/usr", "PKG_CONFIG=no-pkg-config")
    assert said == f"{ALONE}without no-pkg-config no libbpf is found\n"


def test_libbpf_whose_own_packages_are_missing_is_an_error(work):
    """A libbpf that cannot be used is not the same as none."""
    libbpf_directory()
    half = work / "half-pc"
    half.mkdir()
    shutil.copy(Path(pkg_config(None, "--variable=pcfiledir", "libbpf")) / "libbpf.pc", half)
    is_rejected(work, "install", "pkg-config: Package", f"PKG_CONFIG_LIBDIR={half}")


def test_libbpf_that_does_not_exist_is_an_error(work):
    is_rejected(work, "install", "/nonexistent/libbpf.so does not exist", "LIBBPF=/nonexistent/libbpf.so")


@pytest.mark.parametrize("order", [("none",), ("none", "system"), ("none", "system", "none")], ids="-".join)
def test_install_over_another_installation_keeps_the_archive(work, no_pc, order):
    """libbpf.a is a link to the archive where there is no libbpf, and a linker script where there is one."""
    libbpf_directory()
    destdir = work / f"again-{len(order)}"
    for libbpf in order:
        variables = [f"PKG_CONFIG_LIBDIR={no_pc}"] if libbpf == "none" else []
        install(f"DESTDIR={destdir}", "PREFIX=/usr", *variables)
    assert "bpf_map_freeze.o" in succeeds("ar", "t", destdir / "usr/lib/libsysbpf.a")


def test_libbpf_that_is_named_has_the_usual_private_requirements(work):
    libbpf = libbpf_directory() / "libbpf.so"
    install(f"DESTDIR={work / 'named'}", "PREFIX=/usr", f"LIBBPF_VERSION={SYSTEM_LIBBPF}", f"LIBBPF={libbpf}")
    private = pkg_config(work / "named/usr/lib/sysbpf/pkgconfig", "--print-requires-private", "libbpf")
    assert private.split() == ["libelf", "zlib"]


# ---- The memory limit is passed on to a real libbpf in the process, whose object loader has a limit of its own

# Takes the place of the real libbpf.
FAKE_LIBBPF_C = """\
#include <stddef.h>
#include <errno.h>
size_t limit = 1;
size_t get_limit(void) { return limit; }
int libbpf_set_memlock_rlim(size_t bytes)
{
	limit = bytes;
	return bytes == 13 ? -EBUSY : 0;
}
"""

LIMIT_C = """\
#include <bpf/bpf.h>
#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>
/* limit HOW: libbpf is in the process already ("linked"), or is opened "global" or "local". */
int main(int argc, char **argv)
{
	int local = argc > 1 && !strcmp(argv[1], "local"), linked = argc > 1 && !strcmp(argv[1], "linked");
	void *handle = dlopen("libbpf.so.1", RTLD_NOW | (linked ? RTLD_NOLOAD : local ? RTLD_LOCAL : RTLD_GLOBAL));
	size_t (*get_limit)(void);

	if (!handle)
		return printf("no libbpf: %s\\n", dlerror()), 1;
	*(void **)&get_limit = dlsym(handle, "get_limit");
	errno = 77;
	if (libbpf_set_memlock_rlim(4096) != 0 || errno != 77)
		return printf("not set: errno %d\\n", errno), 1;
	/* sysbpf itself, under that name. */
	if (!get_limit)
		return dlsym(handle, "libbpf_set_memlock_rlim") == NULL;
	if (get_limit() != 4096)
		return puts("not passed on"), 1;
	/* If libbpf rejects the value, so does sysbpf. */
	return !(libbpf_set_memlock_rlim(13) == -EBUSY && errno == EBUSY);
}
"""


@pytest.fixture(scope="module")
def fake_libbpf(work):
    library = work / "fake/libbpf.so.1"
    library.parent.mkdir()
    source = work / "fake.c"
    source.write_text(FAKE_LIBBPF_C)
    succeeds(CC, "-shared", "-fPIC", "-o", library, source, "-Wl,-soname,libbpf.so.1")
    return library


@pytest.fixture(scope="module")
def limit(work):
    return linked(STAGE / "lib/pkgconfig", LIMIT_C, work / "limit", "sysbpf", "-ldl")


def test_limit_is_passed_on_to_a_libbpf_that_is_linked(work, fake_libbpf):
    program = linked(STAGE / "lib/pkgconfig", LIMIT_C, work / "limit-linked", "sysbpf", fake_libbpf, "-ldl")
    assert needed(program) == ["libbpf.so.1", "libsysbpf.so.1"]
    runs(program, "linked", libraries=[STAGE / "lib", fake_libbpf.parent])


@pytest.mark.parametrize("how", ["global", "local"])
def test_limit_is_passed_on_to_a_libbpf_that_is_opened(limit, fake_libbpf, how):
    assert needed(limit) == ["libsysbpf.so.1"]
    runs(limit, how, libraries=[STAGE / "lib", fake_libbpf.parent])


def test_limit_is_not_passed_on_to_sysbpf_itself_under_the_name_of_libbpf(work, limit):
    (work / "self").mkdir()
    (work / "self/libbpf.so.1").symlink_to(SO.resolve())
    runs(limit, "local", libraries=[STAGE / "lib", work / "self"])


def test_limit_is_not_passed_on_to_a_second_sysbpf_under_the_name_of_libbpf(work, limit):
    (work / "twice").mkdir()
    shutil.copy(SO, work / "twice/libbpf.so.1")
    runs(limit, "local", libraries=[STAGE / "lib", work / "twice"])


def test_limit_is_set_where_there_is_no_libbpf(work):
    source = "#include <bpf/bpf.h>\nint main(void) { return libbpf_set_memlock_rlim(4096) != 0; }\n"
    program = linked(STAGE / "lib/pkgconfig", source, work / "limit-alone", "sysbpf")
    assert needed(program) == ["libsysbpf.so.1"]
    runs(program)
