# SPDX-License-Identifier: MIT OR Apache-2.0
"""The source archive and the Debian packages of the last commit.

The archive is built without a network. The packages are installed, used and purged in a copy of this machine's file
system, which no other process sees.
"""

import lzma
import os
import re
import shutil
import subprocess
import tarfile
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest

from harness import MAKE, ROOT, TARGET, fails, have, lacking_crates, need, run, succeeds, version

VERSION = version()


@pytest.fixture(scope="module", autouse=True)
def default_target():
    """Each tree is built in its own target directory."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ("CARGO_TARGET_DIR", "STAGE"):
            patch.delenv(name, raising=False)
        yield


# ---- The source archive


def test_archive_is_named_for_the_version(archive):
    assert archive.name == f"sysbpf-{VERSION}.tar.xz"


def test_two_archives_of_one_commit_are_identical(archive, tmp_path):
    succeeds(ROOT / "packaging/dist", tmp_path)
    assert (tmp_path / archive.name).read_bytes() == archive.read_bytes()


@pytest.fixture(scope="module")
def source(archive, work) -> Path:
    """The unpacked archive. The tests do not change it, except what is below target."""
    with lzma.open(archive) as file, tarfile.open(fileobj=file) as tar:
        tar.extractall(work)
    return work / f"sysbpf-{VERSION}"


@pytest.fixture(scope="module")
def make_offline(work):
    """Runs make without a network, and without anything that cargo has fetched before."""
    alone = ["unshare", "-n"] if run("unshare", "-n", "true").returncode == 0 else []
    home = work / "home"
    home.mkdir()
    env = {
        "RUSTUP_HOME": os.environ.get("RUSTUP_HOME") or str(Path.home() / ".rustup"),
        "HOME": str(home),
        "CARGO_HOME": str(home / "cargo"),
        "CARGO_NET_OFFLINE": "true",
    }

    def make_offline(directory: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
        return run(*alone, MAKE, "-s", "-C", directory, *arguments, env=env)

    make_offline.in_a_namespace = bool(alone)
    return make_offline


@pytest.fixture(scope="module")
def stage(source, make_offline) -> Path:
    """The library that is built from the archive, installed."""
    done = make_offline(source, "stage")
    assert done.returncode == 0, done.stderr
    return source / "target/stage"


def test_archive_builds_offline(stage, make_offline):
    assert (stage / "lib/libsysbpf.so.1").exists()
    if not make_offline.in_a_namespace:
        pytest.skip("a network namespace needs CAP_SYS_ADMIN; cargo was told to stay offline instead")


def test_library_built_from_the_archive_exports_what_it_should(source, stage):
    succeeds(source / "tests/installed/symbols", env={"STAGE": str(stage)})


def test_copyright_file_has_a_paragraph_for_each_crate(source):
    copyright = (source / "packaging/debian/copyright").read_text()
    paragraphs = [word for line in re.findall("^Files: (.*)$", copyright, re.MULTILINE) for word in line.split()]
    crates = sorted(f"vendor/{crate.name}/*" for crate in (source / "vendor").iterdir())
    assert sorted(word for word in paragraphs if word.startswith("vendor/")) == crates


def test_archive_has_no_crate_of_another_system(source):
    assert sorted(crate.name for crate in (source / "vendor").iterdir()) == ["errno", "libc"]


def test_changed_crate_is_rejected(source, make_offline, tmp_path):
    tree = tmp_path / "tree"
    shutil.copytree(source, tree, symlinks=True, ignore=shutil.ignore_patterns("target"))
    with (tree / "vendor/errno/src/lib.rs").open("a") as crate:
        crate.write("// changed\n")
    done = make_offline(tree, "all")
    assert done.returncode != 0
    assert "checksum" in done.stderr


# ---- What the archive contains and what it refers to


def listed(directory: Path) -> set[str]:
    """The targets that `make help` lists."""
    return set(re.findall(r"^  make (\S+) ", succeeds(MAKE, "-s", "-C", directory, "help"), re.MULTILINE))


@pytest.fixture(scope="module")
def committed(archive) -> set[str]:
    """The files and directories of the commit."""
    return set(succeeds("git", "ls-tree", "-r", "-t", "--name-only", "HEAD", cwd=ROOT).splitlines())


@pytest.fixture(scope="module")
def missing(committed, source) -> set[str]:
    """The files and directories of the commit that the archive does not have."""
    return {path for path in committed if not os.path.lexists(source / path)}


def paths(text: str, committed: set[str]) -> set[str]:
    """What a text names of the tree: words with a slash whose first part is at the top level of the commit."""
    words = re.findall(r"(?<![\w./-])[\w.+-]+(?:/[\w.+*-]+)+", text)
    return {word.rstrip(".") for word in words if word.split("/")[0] in committed}


def code(script: Path) -> str:
    """A script without its comments."""
    return re.sub("^ *#.*$", "", script.read_text(), flags=re.MULTILINE)


def is_script(path: Path) -> bool:
    return path.is_file() and path.read_bytes()[:2] == b"#!"


def test_help_lists_targets(source):
    assert {"all", "check", "install"} & listed(source) == {"check", "install", "all"}
    assert listed(source) <= listed(ROOT)


@pytest.mark.parametrize("target", sorted(listed(ROOT)))
def test_target_has_all_files_that_it_uses(target, source, committed, missing):
    """Of its own recipes, and of the scripts that these run, unless a script tests whether such a file exists.

    A target that the archive does not list does not exist in it.
    """
    done = run(MAKE, "-n", "-C", source, target, env={"INSTALL_DEPS": "no"})
    if target not in listed(source):
        assert "No rule to make target" in done.stderr
        return
    assert done.returncode == 0, done.stderr
    recipes = done.stdout.replace(f"{source}/", "")
    written = set(re.findall(r">(\S+)", recipes))
    used = paths(recipes, committed) - written
    assert {path for path in used if not (source / path).exists()} == set()
    for script in {path for path in used if is_script(source / path)}:
        text = code(source / script)
        lacking = paths(text.replace("$root/", ""), committed) & missing
        looked_for = [path for path in lacking if re.search(rf"\[ (! )?-[de] \S*{path}\b", text)]
        assert lacking == set() or looked_for, f"{script} uses {lacking}"


def test_archive_has_no_test_that_no_target_runs(source):
    makefiles = "".join(path.read_text() for path in source.glob("**/targets.mk"))
    tests = [path for kind in ("installed", "source") for path in (source / "tests" / kind).iterdir()]
    tests = [path for path in tests if is_script(path) or path.match("test_*.py")]
    assert tests
    assert [path.name for path in tests if f"{path.parent.name}/{path.name}" not in makefiles] == []


def test_readme_names_the_directories_that_the_archive_leaves_out(source, missing):
    sentence = re.search(r"The source archive leaves out (.*?):", (source / "README.md").read_text(), re.DOTALL)
    named = {path.rstrip("/") for path in re.findall("`([^`]*/)`", sentence[1])}
    directories = {path for path in missing if (ROOT / path).is_dir()}
    top = {path for path in directories if not {str(parent) for parent in Path(path).parents} & directories}
    # This one is in .cargo.
    assert named == top - {"packaging/windows-sys"}


@pytest.mark.parametrize("document", ["README.md", "CONTRIBUTING.md", "Makefile"])
def test_document_that_names_what_the_archive_lacks_says_so(document, source, committed, missing):
    """By referring to the one list, in packaging/dist. What it names exists in the commit."""
    text = (source / document).read_text()
    named = paths(text, committed)
    assert {path for path in named if not list(ROOT.glob(path))} == set()
    assert named & missing == set() or re.search("source archive leaves out[^#]*?packaging/dist", text)


# ---- The code generators, whose crates the archive does not have


@pytest.fixture(scope="module")
def generate(source, work):
    """Runs a target of the archive that makes a file or a directory, whose path is given as a variable."""
    # What was compiled for the clone is used, where make accepts the name of that directory.
    target = work / "target" if " " in str(TARGET) else TARGET

    def generate(name: str, variable: str) -> Path:
        if name != "noted" and (reason := lacking_crates("tools/generate")):
            pytest.skip(reason)
        made = work / name
        env = {"CARGO_TARGET_DIR": str(target)}
        succeeds(MAKE, "-s", "-C", source, name, f"{variable}={made}", env=env)
        return made

    return generate


def contents(path: Path) -> dict[str, bytes]:
    files = path.iterdir() if path.is_dir() else [path]
    return {file.name if path.is_dir() else "": file.read_bytes() for file in files}


@pytest.fixture(
    scope="module",
    params=[
        ("noted", "NOTED", "tests-c/noted.h"),
        ("headers", "HEADER", "include/bpf/bpf.h"),
        ("manpages", "MAN3", "docs/man/man3"),
        ("python", "PYTHON_BPF", "python/src/sysbpf/bpf.py"),
    ],
    ids=lambda parameters: parameters[0],
)
def generated(request, generate) -> tuple[Path, str]:
    """What a target of the archive makes, and its path in the archive."""
    name, variable, path = request.param
    return generate(name, variable), path


def test_target_generates(generated):
    assert all(contents(generated[0]).values())


def test_generated_is_as_committed(generated, source):
    made, path = generated
    assert contents(made) == contents(source / path)


# ---- The Debian packages

PACKAGES = ["libsysbpf1", "libsysbpf-dev", "libsysbpf-dropin-dev", "sysbpf"]
each_deb = pytest.mark.parametrize("package", [*PACKAGES, "libsysbpf1-dbgsym", "sysbpf-dbgsym"])


@pytest.fixture(scope="module")
def debs(archive, work) -> Path:
    """The directory with the packages that `make deb` builds."""
    need("dpkg-buildpackage", "dh", "pkg-config")
    if run("pkg-config", "--exists", "cmocka").returncode:
        pytest.skip("libcmocka-dev is not installed")
    succeeds(ROOT / "packaging/deb", work / "deb", archive)
    return work / "deb"


def deb(directory: Path, package: str) -> Path:
    architecture = succeeds("dpkg", "--print-architecture").strip()
    return directory / f"{package}_{VERSION}-1_{architecture}.deb"


def build_twice(debs: Path, work: Path) -> Path:
    """Builds the packages from the source package, twice in one tree."""
    tree = work / "twice/tree"
    tree.parent.mkdir()
    succeeds("dpkg-source", "-x", next(debs.glob("*.dsc")), tree)
    env = {
        "RUSTUP_HOME": os.environ.get("RUSTUP_HOME") or str(Path.home() / ".rustup"),
        "DEB_BUILD_OPTIONS": "nocheck",
    }
    for _ in range(2):
        succeeds("dpkg-buildpackage", "-d", "-us", "-uc", cwd=tree, env=env)
    return tree.parent


@pytest.fixture(scope="module")
def built_twice(debs, work):
    """A second build, which goes on while other tests run: a Future of its directory."""
    with ThreadPoolExecutor() as pool:
        yield pool.submit(build_twice, debs, work)


def test_make_deb_builds_the_packages(debs, built_twice):
    built = {path.name.split("_")[0] for path in debs.glob("*.deb")}
    assert built == {*PACKAGES, "libsysbpf1-dbgsym", "sysbpf-dbgsym"}


def test_lintian_finds_no_fault(debs):
    need("lintian")
    succeeds("lintian", "--allow-root", "--fail-on", "error,warning", *debs.glob("*.changes"))


@pytest.fixture(scope="module")
def unpacked(debs, work) -> Path:
    """A directory with the content of each package."""
    directory = work / "unpacked"
    directory.mkdir()
    for package in PACKAGES:
        succeeds("dpkg-deb", "-x", deb(debs, package), directory / package)
    return directory


def test_links_of_pages_lead_to_files_of_the_same_package(unpacked):
    dead = []
    for page in unpacked.rglob("*.md"):
        links = re.findall(r"\]\(([^)#]*)[^)]*\)", page.read_text())
        dead += [f"{page}: {link}" for link in links if link and ":" not in link and not (page.parent / link).exists()]
    assert dead == []


def test_readme_is_in_the_development_package(unpacked):
    assert (unpacked / "libsysbpf-dev/usr/share/doc/libsysbpf-dev/README.md").exists()


def test_sysbpf_7_is_in_the_package_whose_pages_refer_to_it(unpacked):
    pages = unpacked.glob("*/usr/share/man/man7/sysbpf.7.gz")
    assert [page.relative_to(unpacked).parts[0] for page in pages] == ["libsysbpf-dev"]


# ---- The installed packages


class Machine:
    """A copy of this machine's file system, in a mount namespace of its own. Its changes are in memory."""

    MOUNT = """
        mount -t tmpfs overlay "$1" && mkdir "$1/upper" "$1/work" "$1/root" &&
            mount -t overlay overlay -o "lowerdir=/,upperdir=$1/upper,workdir=$1/work" "$1/root" || exit
        echo mounted
        for directory in proc sys dev; do mount --rbind /$directory "$1/root/$directory" || exit; done
        mount -t tmpfs tmp "$1/root/tmp" || exit
        echo ready
        exec cat
    """

    def __init__(self, mountpoint: Path) -> None:
        mountpoint.mkdir()
        # It lasts until its stdin is closed.
        pipe = subprocess.PIPE
        command = ["unshare", "-m", "sh", "-c", self.MOUNT, "sh", mountpoint]
        self.process = subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, text=True)
        if self.process.stdout.readline() != "mounted\n":
            error = self.process.communicate()[1].strip().splitlines()
            pytest.skip(f"an overlay file system needs CAP_SYS_ADMIN: {(error or ['no reason given'])[-1]}")
        assert self.process.stdout.readline() == "ready\n", self.process.communicate()[1]
        self.root = mountpoint / "root"
        # The same directories, as this process sees them.
        seen = Path(f"/proc/{self.process.pid}/root{mountpoint}")
        self.tmp, self.upper = seen / "root/tmp", seen / "upper"

    def close(self) -> None:
        self.process.communicate()

    def command(self, *command: str | Path) -> list[str | Path]:
        """What runs a command in its /tmp. PATH is Debian's: this machine's may name other directories."""
        enter = ["nsenter", "-t", str(self.process.pid), "-m", "chroot", self.root, "/usr/bin/env", "-C", "/tmp"]
        path = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
        return [*enter, path, "LC_ALL=C.UTF-8", "DEBIAN_FRONTEND=noninteractive", *command]

    def run(self, *command: str | Path) -> subprocess.CompletedProcess[str]:
        return run(*self.command(*command))

    def succeeds(self, *command: str | Path) -> str:
        return succeeds(*self.command(*command))

    def dpkg(self, *arguments: str) -> str:
        # Images of a distribution often leave out manual pages.
        return self.succeeds("dpkg", "--force-unsafe-io", "--path-include=/usr/share/man/*", *arguments)

    def install(self) -> None:
        self.dpkg("-i", *(path.name for path in self.tmp.glob("*.deb")))

    def has(self, *packages: str) -> bool:
        return self.run("dpkg", "-s", *packages).returncode == 0

    def loader_cache(self) -> str:
        return self.succeeds("ldconfig", "-p")

    def written(self) -> set[str]:
        """The files that were written. dpkg and the loader write others, which remain."""
        own = re.compile("/var/lib/dpkg|/var/log/|/var/cache/|/etc/ld.so.cache")
        found = {f"/{path.relative_to(self.upper)}" for path in self.upper.rglob("*")}
        directories = {path for path in found if (self.upper / path[1:]).is_dir() and Path(path).is_dir()}
        return {path for path in found - directories if not own.match(path)}


OBJECTS_C = """\
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
int main(void)
{
	return !(bpf_object__open("/nonexistent") == NULL && bpf_map_freeze(-1) < 0);
}
"""


@pytest.fixture(scope="module")
def machine(debs, work):
    """A machine on which the packages can be installed."""
    machine = Machine(work / "machine")
    try:
        for path in debs.glob("*.deb"):
            shutil.copy(path, machine.tmp)
        project = ROOT / "examples/build-systems"
        shutil.copy(project / "count.c", machine.tmp / "one.c")
        shutil.copytree(project, machine.tmp / "project")
        (machine.tmp / "objects.c").write_text(OBJECTS_C)
        # dpkg-shlibdeps reads it.
        (machine.tmp / "debian").mkdir()
        (machine.tmp / "debian/control").write_text("Source: x\n\nPackage: x\nArchitecture: any\n")
        # A library of another origin that the loader's cache does not list yet.
        library = "/usr/local/lib/libforeign.so.1"
        machine.succeeds(*f"cc -shared -nostdlib -Wl,-soname,libforeign.so.1 -o {library} -x c /dev/null".split())
        yield machine
    finally:
        machine.close()


@pytest.fixture(scope="module")
def installed(machine) -> Machine:
    """The machine with the packages installed."""
    machine.cached_before = [line for line in machine.loader_cache().splitlines() if "sysbpf" in line]
    machine.install()
    return machine


@pytest.fixture(scope="module")
def lib(installed) -> str:
    return f"/usr/lib/{installed.succeeds('dpkg-architecture', '-qDEB_HOST_MULTIARCH').strip()}"


def test_packages_install(installed):
    assert installed.has(*PACKAGES)


@pytest.mark.parametrize(
    ("file", "function", "source_file"),
    [("libsysbpf.so.1", "bpf_map_freeze", "src/api/maps.rs"), ("/usr/bin/sysbpf-run", "main", "run/src/lib.rs")],
    ids=["library", "sysbpf-run"],
)
def test_debugger_finds_lines(installed, lib, file, function, source_file):
    """In the packages of debug symbols, since what is installed is stripped."""
    need("gdb")
    said = installed.succeeds("gdb", "-batch", "-nx", "-ex", f"info line {function}", os.path.join(lib, file))
    assert re.search(f'^Line [0-9]* of ".*{source_file}"', said, re.MULTILINE), said


def test_library_is_stripped(installed, lib):
    sections = installed.succeeds("readelf", "-SW", f"{lib}/libsysbpf.so.1")
    assert ".dynsym" in sections and "debug_line" not in sections


def test_libbpf_is_untouched(installed):
    if not installed.has("libbpf1", "libbpf-dev"):
        pytest.skip("libbpf-dev is not installed")
    assert installed.succeeds("dpkg", "-V", "libbpf1", "libbpf-dev") == ""


def test_no_file_belongs_to_another_package(installed, unpacked):
    files = {f"/{path.relative_to(unpacked / package)}" for package in PACKAGES
             for path in (unpacked / package).rglob("*") if path.is_symlink() or not path.is_dir()}
    # dpkg -S names every owner of a path.
    owners = [line.split(": ")[0] for line in installed.succeeds("dpkg", "-S", *files).splitlines()]
    assert {owner.split(":")[0] for line in owners for owner in line.split(", ")} <= set(PACKAGES)
    assert len(owners) == len(files)


def test_installing_again_changes_nothing(installed):
    listing = "find /usr/include/sysbpf /usr/lib/*/libsysbpf* /usr/lib/*/sysbpf /usr/lib/sysbpf-run | sort"
    before = installed.succeeds("sh", "-c", listing)
    installed.install()
    assert installed.succeeds("sh", "-c", listing) == before


# ---- Programs for the installed packages

COUNTED = ["one 2", "two 1"]


@pytest.fixture(scope="module")
def by_name(installed) -> str:
    """A program that links the library by its own name."""
    installed.succeeds("sh", "-c", "cc -o by-name one.c $(pkg-config --cflags --libs sysbpf)")
    return "./by-name"


def test_program_builds_by_name(by_name, installed):
    assert "libsysbpf.so.1" in installed.succeeds("readelf", "-d", by_name)


def test_program_runs(by_name, installed):
    assert sorted(installed.succeeds(by_name, "one", "two", "one").splitlines()) == COUNTED


@pytest.fixture(scope="module")
def make_project(installed, lib):
    """Builds a project for libbpf, with the drop-in directory or without."""

    def make_project(*arguments: str, dropin: bool) -> None:
        path = [f"PKG_CONFIG_PATH={lib}/sysbpf/pkgconfig"] if dropin else []
        installed.succeeds("env", *path, MAKE, "-s", "-C", "project", "clean", "all", *arguments)

    return make_project


@pytest.fixture(scope="module")
def project(make_project) -> str:
    make_project(dropin=True)
    return "project/count"


def test_project_for_libbpf_builds(project, installed):
    assert (installed.tmp / project).exists()


def test_project_for_libbpf_needs_sysbpf_only(project, installed):
    libraries = re.findall(r"\(NEEDED\).*\[(.*bpf.*)\]", installed.succeeds("readelf", "-d", project))
    assert libraries == ["libsysbpf.so.1"]


def test_project_for_libbpf_runs(project, installed):
    assert installed.succeeds(project, "one") == "one 1\n"


@pytest.fixture(scope="module")
def static_project(make_project) -> str:
    make_project("STATIC=1", dropin=True)
    return "project/count"


def test_project_for_libbpf_builds_statically(static_project, installed):
    assert "INTERP" not in installed.succeeds("readelf", "-lW", static_project)


def test_static_project_for_libbpf_runs(static_project, installed):
    assert installed.succeeds(static_project, "one") == "one 1\n"


@pytest.fixture(scope="module")
def libbpf_project(installed, make_project) -> str:
    if not installed.has("libbpf-dev"):
        pytest.skip("libbpf-dev is not installed")
    make_project(dropin=False)
    return "project/count"


def test_project_builds_with_libbpf(libbpf_project, installed):
    assert "[libbpf.so.1]" in installed.succeeds("readelf", "-d", libbpf_project)


def test_sysbpf_run_preloads_the_library(libbpf_project, installed, lib):
    debug = ["env", "LD_DEBUG=libs", "LD_DEBUG_OUTPUT=/tmp/debug"]
    installed.succeeds(*debug, "sysbpf-run", libbpf_project, "one")
    log = "".join(path.read_text() for path in installed.tmp.glob("debug.*"))
    assert f"calling init: {lib}/libsysbpf.so.1" in log


def test_sysbpf_run_lists_the_functions(libbpf_project, installed):
    said = installed.succeeds("sysbpf-run", "--check", libbpf_project)
    assert re.search("^ *bpf_map_create@LIBBPF_0.6.0 *count", said, re.MULTILINE), said


# ---- Packages of such programs


def dependencies(machine: Machine, program: str) -> str:
    """What a Debian package of a program would depend on."""
    return machine.succeeds("dpkg-shlibdeps", "-O", program)


def test_package_of_a_program_needs_the_version_that_has_its_functions(by_name, installed):
    needed = dependencies(installed, by_name)
    assert "libsysbpf1 (>= 1.7.0)" in needed and "libbpf1" not in needed


@pytest.fixture(scope="module")
def objects(installed, lib) -> str:
    """A program with functions of bpf.h and of libbpf.h."""
    if not installed.has("libbpf-dev"):
        pytest.skip("libbpf-dev is not installed")
    flags = f"$(PKG_CONFIG_PATH={lib}/sysbpf/pkgconfig pkg-config --cflags --libs libbpf)"
    installed.succeeds("sh", "-c", f"cc -o objects objects.c {flags}")
    return "./objects"


def test_program_with_objects_builds(objects, installed):
    libraries = re.findall(r"\(NEEDED\).*\[(.*bpf.*)\]", installed.succeeds("readelf", "-d", objects))
    assert sorted(libraries) == ["libbpf.so.1", "libsysbpf.so.1"]


def test_package_of_a_program_with_objects_needs_both_libraries(objects, installed):
    needed = dependencies(installed, objects)
    assert "libbpf1 (>= " in needed and "libsysbpf1 (>= " in needed


def test_program_with_objects_runs(objects, installed):
    installed.succeeds(objects)


# ---- Manual pages


@pytest.mark.parametrize("page", ["man3/bpf_prog_load.3sysbpf", "man7/sysbpf.7", "man1/sysbpf-run.1"])
def test_man_finds_the_page(installed, page):
    name = page.split("/")[1].split(".")[0]
    assert installed.succeeds("man", "-w", name).strip() == f"/usr/share/man/{page}.gz"


def test_man_opens_a_page(installed):
    assert "bpf_prog_load - load a program" in installed.succeeds("sh", "-c", "man bpf_prog_load | col -b")


# ---- Purging


@pytest.fixture(scope="module")
def purged(installed) -> Machine:
    """The machine after the packages were purged: the tests above must come first."""
    installed.dpkg("--purge", *PACKAGES, "libsysbpf1-dbgsym", "sysbpf-dbgsym")
    return installed


def test_purging_leaves_no_package(purged):
    records = [path for path in (purged.upper / "var/lib/dpkg/info").iterdir() if path.is_file()]
    assert "sysbpf" not in purged.succeeds("dpkg", "-l")
    assert [path.name for path in records if "sysbpf" in path.name] == []


def test_purging_leaves_no_library_in_the_loader_cache(purged):
    assert [line for line in purged.loader_cache().splitlines() if "sysbpf" in line] == purged.cached_before


def test_purging_updates_the_loader_cache(purged):
    """It lists a library of another origin by now."""
    assert "libforeign.so.1" in purged.loader_cache()


def test_purging_leaves_no_file(purged):
    assert purged.written() == {"/usr/local/lib/libforeign.so.1"}


# ---- Built again


def test_source_package_builds_twice_in_one_tree(built_twice):
    assert len(list(built_twice.result().glob("*.deb"))) == len(PACKAGES) + 2


@each_deb
def test_package_built_again_is_identical(debs, built_twice, package):
    assert deb(built_twice.result(), package).read_bytes() == deb(debs, package).read_bytes()
