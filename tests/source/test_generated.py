# SPDX-License-Identifier: MIT OR Apache-2.0
"""The generated files that are committed are what their commands make now. Each of them, changed by one byte, is noticed."""

from __future__ import annotations

import filecmp
import re
import shutil
from pathlib import Path

import pytest
from harness import CARGO, MAKE, ROOT, TARGET, have, lacking_crates, news, run, succeeds

GENERATED = succeeds(MAKE, "-s", "-C", ROOT, "generated-files").split()
# These depend on the kernel headers that a mirror has.
BOUND = ["src/kernel/uapi.rs", "python/src/sysbpf/linux_bpf.py"]
# These take no crates; the source archive has none for the generators.
WITHOUT_CRATES = {"abi/libsysbpf.symbols": "symbols", "tests-c/noted.h": "noted"}


def copy(to: Path) -> Path:
    """The tree without what was built."""
    if have("git") and run("git", "-C", ROOT, "rev-parse", "--show-toplevel").stdout.strip() == str(ROOT):
        files = succeeds("git", "-C", ROOT, "ls-files", "-z", "--cached", "--others", "--exclude-standard")
        for name in filter(None, files.split("\0")):
            # A file that is deleted, and not committed as such.
            if (ROOT / name).exists():
                (to / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(ROOT / name, to / name, follow_symlinks=False)
    else:
        built = [name for name in ("target", "vendor", TARGET.name) if (ROOT / name).is_dir()]
        shutil.copytree(ROOT, to, symlinks=True, ignore=lambda at, _: built if Path(at) == ROOT else [])
    return to


class Trees:
    """The tree, and what `make generate` makes of it."""

    def __init__(self, directory: Path) -> None:
        self.lacking = lacking_crates("tools/generate")
        self.tree = copy(directory / "tree")
        self.made = directory / "made"
        if not self.lacking:
            # In the source archive, cargo finds the crates of the generators only from elsewhere.
            manifest = ROOT / "tools/generate/Cargo.toml"
            at = Path("/") if (ROOT / "vendor").is_dir() else ROOT
            succeeds(CARGO, "build", "-q", "--locked", "--manifest-path", manifest, "--target-dir", TARGET, cwd=at)
            self.generate()

    def generate(self) -> None:
        shutil.rmtree(self.made, ignore_errors=True)
        shutil.copytree(self.tree, self.made, symlinks=True)
        succeeds(MAKE, "-s", "-C", self.made, "generate", f"GENERATE='{TARGET}/debug/generate'")

    def stale(self) -> list[str]:
        """What differs between the two, as paths; the names of directories that are generated as such stand for all in them."""
        names = {file.relative_to(at) for at in (self.tree, self.made) for file in at.rglob("*") if not file.is_dir()}
        differ = {str(name) for name in names if not same(self.tree / name, self.made / name)}
        return sorted({next((of for of in GENERATED if name.startswith(f"{of}/")), name) for name in differ})


def same(one: Path, other: Path) -> bool:
    if one.is_symlink() or other.is_symlink():
        return one.is_symlink() and other.is_symlink() and one.readlink() == other.readlink()
    return one.exists() and other.exists() and filecmp.cmp(one, other, shallow=False)


@pytest.fixture(scope="module")
def trees(tmp_path_factory) -> Trees:
    return Trees(tmp_path_factory.mktemp("generated"))


def change_a_byte(file: Path) -> None:
    content = bytearray(file.read_bytes())
    at = len(content) // 2
    content[at] = ord("Y" if content[at] == ord("X") else "X")
    file.write_bytes(content)


@pytest.mark.parametrize("file", GENERATED + BOUND)
def test_contributing_lists(file: str) -> None:
    section = re.search(r"^## Generated files$(.*?)^## ", (ROOT / "CONTRIBUTING.md").read_text(), re.M | re.S)[1]
    assert re.search(rf"^\|.*`{re.escape(file)}/?`.*\|", section, re.M)


@pytest.mark.parametrize("file", GENERATED)
def test_is_current(trees: Trees, file: str) -> None:
    if trees.lacking and file in WITHOUT_CRATES:
        made = run(ROOT / "tools/exported", WITHOUT_CRATES[file], input=(ROOT / "abi/libsysbpf.map").read_text())
        assert made.stdout == (ROOT / file).read_text()
        return
    if trees.lacking:
        pytest.skip(trees.lacking)
    done = run("diff", "-ru", trees.tree / file, trees.made / file)
    assert done.returncode == 0, done.stdout


def test_make_generate_changes_nothing_else(trees: Trees) -> None:
    if trees.lacking:
        pytest.skip(trees.lacking)
    assert trees.stale() == []


@pytest.mark.parametrize("file", GENERATED)
def test_a_changed_byte_is_noticed(trees: Trees, file: str) -> None:
    if trees.lacking:
        pytest.skip(trees.lacking)
    changed = trees.tree / file
    if changed.is_dir():
        changed = min(changed.iterdir())
    whole = changed.read_bytes()
    change_a_byte(changed)
    try:
        trees.generate()
        assert trees.stale() == [file]
    finally:
        changed.write_bytes(whole)


class Bindings:
    """What `make bindings` makes now."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.lacking = lacking_crates("tools/generate")
        if self.lacking:
            return
        package = run(ROOT / "tools/debian-get", "sid", "amd64", "linux-libc-dev")
        if package.returncode:
            self.lacking = (package.stderr.strip().splitlines() or ["tools/debian-get failed"])[-1]
            return
        to = [f"BINDINGS={directory}/uapi.rs", f"PYTHON_LINUX_BPF={directory}/linux_bpf.py"]
        done = run(MAKE, "-s", "-C", ROOT, "bindings", *to, env={"CARGO_TARGET_DIR": str(TARGET)})
        # bindgen needs both.
        if missing := re.search("Unable to find libclang|Failed to run rustfmt", done.stdout + done.stderr):
            self.lacking = missing[0]
        else:
            assert done.returncode == 0, done.stdout + done.stderr


def made_from(uapi: Path) -> str:
    return re.search(r"^//! Made from linux-libc-dev (.*)\.$", uapi.read_text(), re.M)[1]


@pytest.fixture(scope="module")
def bindings(tmp_path_factory) -> Bindings:
    return Bindings(tmp_path_factory.mktemp("bindings"))


@pytest.mark.parametrize("file", BOUND)
def test_bindings_are_current(bindings: Bindings, file: str, tmp_path: Path) -> None:
    if bindings.lacking:
        pytest.skip(bindings.lacking)
    recorded, now = made_from(ROOT / BOUND[0]), made_from(bindings.directory / "uapi.rs")
    if now != recorded:
        # `make bindings` brings what newer headers add.
        news(f"made from linux-libc-dev {recorded}, and the mirror has {now} (make bindings)")
    new = bindings.directory / Path(file).name
    done = run("diff", "-u", ROOT / file, new)
    assert done.returncode == 0, done.stdout
    broken = tmp_path / "broken"
    shutil.copy(ROOT / file, broken)
    change_a_byte(broken)
    assert run("diff", "-u", broken, new).returncode == 1
