# SPDX-License-Identifier: MIT OR Apache-2.0
"""The RPM packages of the last commit: what is in them, what they need, and a program that is built from them.

They are built from the source archive, and installed into a directory.
"""

import os
import re
import sys
from pathlib import Path

import pytest

from harness import CC, MAKE, ROOT, need, run, succeeds, tail, version

VERSION = version()
RELEASE = "1"
PACKAGES = ["libsysbpf1", "libsysbpf-devel", "libsysbpf-dropin-devel", "sysbpf"]
each_package = pytest.mark.parametrize("package", PACKAGES)


@pytest.fixture(scope="module")
def rpms(archive, work) -> dict[str, Path]:
    """The binary packages that `make rpm` builds, by name."""
    need("rpmbuild", "find-debuginfo", "eu-strip", "pkg-config")
    succeeds(ROOT / "packaging/rpm/build", work / "built", archive)
    return {path.name.rsplit("-", 2)[0]: path for path in (work / "built").glob("*.rpm") if ".src." not in path.name}


def macro(expression: str) -> str:
    return succeeds("rpm", "--eval", expression).strip()


def query(package: Path, *what: str) -> list[str]:
    return succeeds("rpm", "-qp", *what, package).splitlines()


def test_make_rpm_builds_the_packages(rpms):
    assert set(rpms) == {*PACKAGES, "sysbpf-debuginfo"}


def test_make_rpm_builds_the_source_package(rpms, work):
    source = work / f"built/sysbpf-{VERSION}-{RELEASE}.src.rpm"
    assert set(query(source, "-l")) == {"sysbpf.spec", f"sysbpf-{VERSION}.tar.xz"}


# ---- Tags


@each_package
def test_package_has_the_version_of_the_library(rpms, package):
    assert query(rpms[package], "--queryformat", "%{version}") == [VERSION]


@each_package
def test_package_has_the_licence_of_the_library(rpms, package):
    assert query(rpms[package], "--queryformat", "%{license}") == ["MIT OR Apache-2.0"]


@each_package
def test_package_names_the_home_page_of_its_owner(rpms, package):
    homepage = re.search("^HOMEPAGE='(.*)'$", (ROOT / "packaging/owner").read_text(), re.MULTILINE)[1]
    assert query(rpms[package], "--queryformat", "%{url}") == [homepage or "(none)"]


# ---- Files


@pytest.fixture(scope="module")
def installed(work, rpms) -> set[str]:
    """The files that `make install` writes with the same directories."""
    directories = "PREFIX=%_prefix LIBDIR=%_libdir INCLUDEDIR=%_includedir BINDIR=%_bindir MANDIR=%_mandir"
    succeeds(MAKE, "-s", "-C", ROOT, "install", f"DESTDIR={work}/installed", *macro(directories).split())
    paths = (work / "installed").rglob("*")
    return {f"/{path.relative_to(work / 'installed')}" for path in paths if path.is_symlink() or not path.is_dir()}


def files(package: Path) -> set[str]:
    """The files of a package, except licences. rpmbuild may compress manual pages and record build IDs."""
    modes = query(package, "--queryformat", r"[%{filemodes:perms} %{filenames}\n]")
    paths = {line.split(" ", 1)[1] for line in modes if not line.startswith("d")}
    # An uncompressed page ends in its section.
    pages = {path: re.sub(r"\.(gz|bz2|xz|zst)$", "", path) if "/man/man" in path else path for path in paths}
    return {path for path in pages.values() if not re.match("/usr/share/licenses/|/usr/lib/.build-id/", path)}


def test_each_installed_file_is_in_exactly_one_package(rpms, installed):
    contents = {name: files(rpms[name]) for name in PACKAGES}
    owners = {file: [name for name in PACKAGES if file in contents[name]] for file in installed}
    assert {file: names for file, names in owners.items() if len(names) != 1} == {}


@each_package
def test_package_has_exactly_its_files(rpms, installed, package):
    lib = macro("%_libdir")
    libraries = {f"{lib}/libsysbpf.so.1", f"{lib}/libsysbpf.so.{VERSION}"}
    dropin = {f"{lib}/sysbpf/{name}" for name in ("libbpf.a", "libbpf.so", "libsysbpf-stub.so", "pkgconfig/libbpf.pc")}
    command = {"/usr/bin/sysbpf-run", "/usr/lib/sysbpf-run/check", "/usr/lib/sysbpf-run/layout",
               "/usr/share/man/man1/sysbpf-run.1"}
    expected = {
        "libsysbpf1": libraries,
        "libsysbpf-dropin-devel": dropin,
        "sysbpf": command,
        "libsysbpf-devel": installed - libraries - dropin - command,
    }[package]
    assert {path for path in files(rpms[package]) if not path.startswith("/usr/share/doc/")} == expected


@each_package
def test_package_has_both_licences(rpms, package):
    licences = {Path(path).name for path in query(rpms[package], "-l") if path.startswith("/usr/share/licenses/")}
    assert licences >= {"LICENSE-APACHE", "LICENSE-MIT"}


@pytest.fixture(scope="module")
def unpacked(rpms, work) -> Path:
    """A directory with the content of all packages."""
    directory = work / "unpacked"
    directory.mkdir()
    for package in rpms.values():
        succeeds("sh", "-c", 'rpm2cpio "$1" | cpio -id --quiet', "sh", package, cwd=directory)
    return directory


def test_links_of_pages_lead_to_files_of_the_packages(unpacked):
    pages = list(unpacked.rglob("*.md"))
    assert "README.md" in {page.name for page in pages}
    links = [(page, link) for page in pages for link in re.findall(r"\]\(([^)#]*)[^)]*\)", page.read_text())]
    assert [link for page, link in links if link and ":" not in link and not (page.parent / link).exists()] == []


@pytest.mark.parametrize(
    ("file", "function", "source_file"),
    [
        ("%_libdir/libsysbpf.so.1", "bpf_map_freeze", "src/api/maps.rs"),
        ("%_bindir/sysbpf-run", "main", "run/src/lib.rs"),
    ],
    ids=["library", "sysbpf-run"],
)
def test_debugger_finds_lines_in_the_package_of_debug_information(unpacked, file, function, source_file):
    need("gdb")
    directory = f"set debug-file-directory {unpacked}/usr/lib/debug"
    program = f"{unpacked}{macro(file)}"
    said = succeeds("gdb", "-batch", "-nx", "-iex", directory, "-ex", f"info line {function}", program)
    assert re.search(f'^Line [0-9]* of ".*{source_file}"', said, re.MULTILINE), said


# ---- What packages provide and need


def test_library_package_provides_each_version_node(rpms):
    provided = "\n".join(query(rpms["libsysbpf1"], "--provides"))
    nodes = set(re.findall(r"^(LIBBPF_\S+) {", (ROOT / "abi/libsysbpf.map").read_text(), re.MULTILINE))
    assert set(re.findall(r"^libsysbpf\.so\.1\((LIBBPF_.*?)\)", provided, re.MULTILINE)) == nodes
    assert re.search(r"^libsysbpf\.so\.1\(\)", provided, re.MULTILINE)


@pytest.mark.parametrize("package", [name for name in PACKAGES if name != "libsysbpf1"])
def test_other_package_provides_no_library(rpms, package):
    assert [line for line in query(rpms[package], "--provides") if ".so" in line] == []


def test_library_package_needs_the_c_library_only(rpms):
    needed = {line.split("(")[0] for line in query(rpms["libsysbpf1"], "--requires")}
    assert needed - {"rpmlib", "rtld"} == {"libc.so.6"}


@pytest.mark.parametrize(
    ("package", "other"),
    [("libsysbpf-devel", "libsysbpf1"), ("libsysbpf-dropin-devel", "libsysbpf-devel"), ("sysbpf", "libsysbpf1")],
)
def test_package_needs_the_same_version_of_another(rpms, package, other):
    assert f"{other}{macro('%{?_isa}')} = {VERSION}-{RELEASE}" in query(rpms[package], "--requires")


def test_development_package_provides_the_pkg_config_name(rpms):
    assert f"pkgconfig(sysbpf) = {VERSION}" in query(rpms["libsysbpf-devel"], "--provides")


def test_dropin_package_needs_the_libbpf_that_it_was_built_with(rpms):
    libbpf = run("pkg-config", "--modversion", "libbpf").stdout.strip()
    needed = [line for line in query(rpms["libsysbpf-dropin-devel"], "--requires") if "libbpf)" in line]
    assert needed == ([f"pkgconfig(libbpf) = {libbpf}"] if libbpf else [])


def test_rpmlint_finds_no_error(rpms, work):
    need("rpmlint")
    done = run("rpmlint", "-c", ROOT / "packaging/rpm/rpmlint.toml", *(work / "built").glob("*.rpm"))
    assert [line for line in done.stdout.splitlines() if ": E: " in line] == []
    assert done.returncode == 0, tail(done)


# ---- The installed packages


@pytest.fixture(scope="module")
def root(rpms, work) -> Path:
    """A directory that the packages are installed into, as if it were the root of a machine."""
    if os.getuid():
        pytest.skip("rpm --root needs root")
    directory = work / "root"
    directory.mkdir()
    succeeds("rpm", "-i", "--root", directory, "--nodeps", *rpms.values())
    return directory


@pytest.fixture(scope="module")
def program(root, work) -> Path:
    """A program that links the installed library."""
    lib = f"{root}{macro('%_libdir')}"
    env = {"PKG_CONFIG_SYSROOT_DIR": str(root), "PKG_CONFIG_LIBDIR": f"{lib}/pkgconfig"}
    flags = succeeds("pkg-config", "--cflags", "--libs", "sysbpf", env=env).split()
    succeeds(CC, "-o", work / "count", ROOT / "examples/build-systems/count.c", *flags)
    return work / "count"


def test_packages_install(root):
    assert set(succeeds("rpm", "-qa", "--root", root, "--queryformat", r"%{name}\n").split()) > set(PACKAGES)


def test_program_runs_with_the_installed_library(program, root):
    env = {"LD_LIBRARY_PATH": f"{root}{macro('%_libdir')}"}
    done = run(program, "one", "two", "one", env=env)
    assert (sorted(done.stdout.splitlines()), done.stderr) == (["one 2", "two 1"], "")


def test_sysbpf_run_finds_the_installed_library(root):
    said = succeeds(f"{root}/usr/bin/sysbpf-run", sys.executable, "-c", "print(open('/proc/self/maps').read())")
    assert f"{root}{macro('%_libdir')}/libsysbpf.so.{VERSION}" in said


def test_removed_packages_leave_no_file(root, program, rpms):
    succeeds("rpm", "-e", "--root", root, "--nodeps", *rpms)
    left = {path.relative_to(root) for path in root.rglob("*") if not path.is_dir()}
    assert {path for path in left if not path.is_relative_to(macro("%_dbpath").lstrip("/"))} == set()
