# SPDX-License-Identifier: MIT OR Apache-2.0
"""What it takes to add a member and a function: in a copy of the tree both are added by hand, `make generate` is run,
and everything builds and passes. CONTRIBUTING.md walks through the same example.

An edit is made at an anchor: a pattern of the code that it belongs to. An anchor that no longer matches exactly once is a
failure, so that the example stays true.
"""

from __future__ import annotations

import difflib
import re
import shutil
from pathlib import Path

import pytest
from harness import CARGO, MAKE, ROOT, TARGET, fails, lacking_crates, need, run, succeeds

# The copy is always made at the same place, so that cargo builds little anew.
TREE = TARGET / "anchors/tree"
BUILD = TARGET / "anchors/build"
STAGE = BUILD / "stage"
ENV = {"CARGO_TARGET_DIR": str(BUILD), "STAGE": str(STAGE)}

# More places to edit than these are too many.
MEMBER_PLACES = 3
FUNCTION_PLACES = 4

# Each edit: a file, the anchor, and what is added where its second group starts. A file without an anchor is new.
Edit = tuple[str, str, str]

# bpf_map_create() gets an option, which is sent with the map.
MEMBER: list[Edit] = [
    (
        "src/api/maps.rs",
        r"(\npub struct bpf_map_create_opts \{\n(?:    .*\n)+)(\})",
        "    /// Id of something made up (Linux 99.1).\n    pub made_up_id: __u32,\n",
    ),
    (
        "src/api/maps.rs",
        r"(= MapCreate \{\n(?:            .*\n)+)(        \};)",
        "            made_up_id: opts.made_up_id,\n",
    ),
    (
        "src/kernel/attr.rs",
        r"(\n    MapCreate: BPF_MAP_CREATE \{\n(?:        .*\n)+)(    \})",
        "        made_up_id: u32,\n",
    ),
]

# A function, with options of its own and a command of its own, in the first release of libbpf that has it.
FUNCTION: list[Edit] = [
    (
        "src/api/maps.rs",
        r"(\n)(\Z)",
        '''
/// Options of bpf_map_made_up().
#[repr(C)]
#[derive(Clone, Copy)]
pub struct bpf_map_made_up_opts {
    /// Size of this struct, for forward and backward compatibility.
    pub sz: usize,
    /// Flags; none so far.
    pub flags: __u32,
    /// A number.
    pub number: __u64,
}

/// Do something made up to a map.
///
/// @param fd    the map
/// @param opts  options, or NULL
/// @return 0, or a negative error code (also in errno):
///   - EINVAL: bad opts, or the kernel does not know the command
///
/// Since Linux 99.1. See bpf(2), BPF_MAP_MADE_UP.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bpf_map_made_up(fd: c_int, opts: *const bpf_map_made_up_opts) -> c_int {
    to_c(|| {
        // SAFETY: the caller's opts.
        let opts = unsafe { opts::read(opts) }?;
        call(&mut MapMadeUp { map_fd: fd as u32, flags: opts.flags, number: opts.number })
    })
}
''',
    ),
    (
        "src/kernel/attr.rs",
        r"(\nattrs! \{\n(?:    .*\n)+)(\})",
        "    MapMadeUp: BPF_MAP_MADE_UP {\n        map_fd: u32,\n        flags: u32,\n        number: u64,\n    }\n",
    ),
    (
        "abi/libsysbpf.map",
        r"(\nLIBBPF_1\.7\.0 \{\n(?:\t.*\n)+\} LIBBPF_1\.6\.0;\n)(\Z)",
        "\nLIBBPF_1.8.0 {\n\tglobal:\n\t\tbpf_map_made_up;\n} LIBBPF_1.7.0;\n",
    ),
    (
        "tests-c/made_up.c",
        "",
        """/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* A command that no kernel knows. */
#include "support.h"

TEST(the_command_is_rejected)
{
	COVERS(bpf_map_made_up);
	LIBBPF_OPTS(bpf_map_made_up_opts, opts, .flags = 1, .number = 2);
	int map = make_map(BPF_MAP_TYPE_ARRAY, 4, 4, 1);

	assert_fails(EINVAL, bpf_map_made_up(map, &opts));
	assert_fails(EINVAL, bpf_map_made_up(map, NULL));
	opts.sz = 1;
	capture_stderr();
	assert_fails(EINVAL, bpf_map_made_up(map, &opts));
	assert_one_warning(captured_stderr());
	close(map);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(the_command_is_rejected),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
""",
    ),
]

# What `make bindings` would bring from the headers of a kernel that has both. Not an edit by hand.
BINDINGS: list[Edit] = [
    (
        "src/kernel/uapi.rs",
        r"(\npub struct bpf_attr__bindgen_ty_1 \{\n(?:    .*\n)+)(\})",
        "    pub made_up_id: __u32,\n",
    ),
    (
        "src/kernel/uapi.rs",
        r"(\npub union bpf_attr \{\n(?:    .*\n)+)(\})",
        "    pub map_made_up: bpf_attr__made_up,\n",
    ),
    (
        "src/kernel/uapi.rs",
        r"(\n)(#\[repr\(C\)\]\n#\[derive\(Copy, Clone\)\]\npub union bpf_attr \{)",
        "#[repr(C)]\n#[derive(Debug, Copy, Clone)]\npub struct bpf_attr__made_up {\n    pub map_fd: __u32,\n"
        "    pub flags: __u32,\n    pub number: __u64,\n}\n",
    ),
    (
        "src/kernel/uapi.rs",
        r"(\n)(pub const __MAX_BPF_CMD: bpf_cmd = )",
        "pub const BPF_MAP_MADE_UP: bpf_cmd = 99;\n",
    ),
]


def apply(edits: list[Edit]) -> None:
    for name, anchor, text in edits:
        file = TREE / name
        if not anchor:
            assert not file.exists(), f"{name} exists"
            file.write_text(text)
            continue
        old = file.read_text()
        matches = list(re.finditer(anchor, old))
        assert len(matches) == 1, f"{name}: the anchor matches {len(matches)} times, not once: {anchor}"
        at = matches[0].start(2)
        file.write_text(old[:at] + text + old[at:])


def hunks(edits: list[Edit]) -> int:
    """The places at which the copy differs from the tree, in the files of these edits."""
    places = 0
    for name in dict.fromkeys(name for name, _, _ in edits):
        before = (ROOT / name).read_text().splitlines() if (ROOT / name).exists() else []
        after = (TREE / name).read_text().splitlines()
        places += sum(line.startswith("@@") for line in difflib.unified_diff(before, after, n=0, lineterm=""))
    return places


def copy() -> None:
    shutil.rmtree(TREE, ignore_errors=True)
    TREE.mkdir(parents=True)
    files = succeeds("git", "-C", ROOT, "ls-files", "-z", "--cached", "--others", "--exclude-standard").split("\0")
    for name in filter(None, files):
        # A file that is deleted, and not committed as such.
        if (ROOT / name).exists():
            (TREE / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, TREE / name, follow_symlinks=False)


def script(name: str, *arguments: str) -> str:
    """Runs a check of the copy, which is a shell script or a pytest file, on what the copy has built."""
    directory, _, test = name.rpartition("/")
    file = TREE / "tests" / name
    command = [file] if file.exists() else [TREE / "tests/pytest", TREE / "tests" / directory / f"test_{test}.py"]
    printed = succeeds(*command, *arguments, env=ENV, cwd=TREE, timeout=1800)
    assert re.search(r"^.*: [1-9]\d* passed, 0 failed, \d+ skipped$", printed, re.M), printed
    return printed


def make(*arguments: str | Path) -> str:
    return succeeds(MAKE, "-s", "-C", TREE, *arguments, env=ENV, timeout=1800)


@pytest.fixture(scope="module")
def edited() -> None:
    """The copy with all edits by hand."""
    need("git", "make")
    if lacking := lacking_crates():
        pytest.skip(lacking)
    copy()


@pytest.fixture(scope="module")
def generated(edited) -> str:
    """What the generator says to members of which uapi.rs knows nothing; then the copy with all that is generated."""
    apply(MEMBER)
    print(f"\nplaces edited by hand for a new member: {hunks(MEMBER)}")
    assert hunks(MEMBER) <= MEMBER_PLACES
    complaint = fails(MAKE, "-s", "-C", TREE, "generate", env=ENV)
    apply(FUNCTION)
    places = hunks(MEMBER + FUNCTION) - len(MEMBER)
    print(f"places edited by hand for a new function: {places}")
    assert places <= FUNCTION_PLACES
    apply(BINDINGS)
    make("generate")
    return complaint


@pytest.fixture(scope="module")
def built(generated) -> None:
    make("stage")


def test_nothing_is_stale_before(edited) -> None:
    before = {file: file.read_bytes() for file in TREE.rglob("*") if file.is_file()}
    make("generate")
    assert {file: file.read_bytes() for file in TREE.rglob("*") if file.is_file()} == before


def test_a_member_that_the_kernel_headers_lack_is_reported(generated) -> None:
    assert "MapCreate.made_up_id" in generated
    assert "make bindings" in generated


def test_everything_generated_has_both(generated) -> None:
    names = {
        "abi/libsysbpf.symbols": ["bpf_map_made_up@@LIBBPF_1.8.0"],
        "packaging/debian/libsysbpf1.symbols": ["bpf_map_made_up@LIBBPF_1.8.0 ", "LIBBPF_1.8.0@LIBBPF_1.8.0 "],
        "tests-c/noted.h": ["bpf_map_made_up("],
        "src/api/fields.rs": ["made_up_id,", "opts!(bpf_map_made_up_opts {"],
        "src/kernel/uapi_check.rs": ["MapCreate: made_up_id", "MapMadeUp: number"],
        "tests/kernels/records/src/table.rs": ['made_up_id = "made_up_id"', '"MapMadeUp" = MapMadeUp: "bpf_attr"."map_made_up"'],
        "include/bpf/bpf.h": [
            "__u32 made_up_id;",
            "#define bpf_map_create_opts__last_field made_up_id",
            "LIBBPF_API int bpf_map_made_up(int fd, const struct bpf_map_made_up_opts *opts);",
            "#define bpf_map_made_up_opts__last_field number",
        ],
        "docs/man/man3/bpf_map_create.3sysbpf": ["made_up_id"],
        "docs/man/man3/bpf_map_made_up.3sysbpf": ["BPF_MAP_MADE_UP", "1.8.0"],
        "python/src/sysbpf/bpf.py": ["made_up_id: int", "def bpf_map_made_up(fd: int", "class bpf_map_made_up_opts("],
        "tests/conformance/src/table.rs": ["made_up_id", "bpf_map_made_up"],
    }
    missing = {(file, name) for file, wanted in names.items() for name in wanted if name not in (TREE / file).read_text()}
    assert not missing
    assert sorted(set(make("generated-files").split()) - set(names)) == ["docs/man/man3"]


def test_what_is_generated_is_formatted(generated) -> None:
    succeeds(CARGO, "fmt", "--all", "--check", cwd=TREE, env=ENV)


def test_unit_tests(generated) -> None:
    assert "0 failed" in succeeds(CARGO, "test", "-q", "--locked", cwd=TREE, env=ENV, timeout=1800)


def test_unit_tests_of_the_conformance_runner(generated) -> None:
    tested = succeeds(
        CARGO, "test", "-q", "--locked", "--profile", "tool", "-p", "conformance", cwd=TREE, env=ENV, timeout=1800
    )
    assert "0 failed" in tested


@pytest.mark.parametrize("check", ["addresses", "opts-lists"])
def test_checks_of_the_source(built, check: str) -> None:
    script(f"source/{check}")


def test_the_records_for_the_kernels_compile(generated) -> None:
    succeeds(CARGO, "build", "-q", "--locked", "-p", "sysbpf-layout", "--release", cwd=TREE, env=ENV, timeout=1800)


def test_generated_files_are_current(generated) -> None:
    before = {file: file.read_bytes() for file in TREE.rglob("*") if file.is_file()}
    make("generate")
    assert {file: file.read_bytes() for file in TREE.rglob("*") if file.is_file()} == before


def test_symbols(built) -> None:
    script("installed/symbols")


def test_headers(built) -> None:
    script("installed/headers")


@pytest.mark.parametrize("check", ["costs", "ctypes"])
def test_costs_and_ctypes(built, check: str) -> None:
    script(f"installed/{check}")


def need_c_tests() -> None:
    """Skips a test where the C tests could not run on this kernel."""
    taps = [file.read_text() for file in BUILD.glob("tests-c/*/made_up.tap")]
    if not taps or any("# SKIP" in tap for tap in taps):
        pytest.skip("the C test of the new function could not run here: " + "".join(taps)[:200])


@pytest.mark.parametrize("link", ["shared", "static"])
def test_c_tests(built, link: str) -> None:
    need("pkg-config")
    if run("pkg-config", "--exists", "cmocka").returncode:
        pytest.skip("pkg-config does not find cmocka")
    script("source/c", link)
    need_c_tests()
    assert "ok 1 - the_command_is_rejected" in (BUILD / "tests-c" / link / "made_up.tap").read_text()


def test_coverage(built) -> None:
    """After the C tests: each function is called on the running kernel by a test that passed."""
    need_c_tests()
    runs = [BUILD / "tests-c" / link for link in ("shared", "static")]
    done = run(TREE / "tests-c/coverage", TREE / "abi/libsysbpf.symbols", *runs)
    assert "bpf_map_made_up\tmade_up.c:the_command_is_rejected" in done.stdout
    assert "bpf_map_made_up" not in done.stderr


def test_manual_pages(built) -> None:
    script("installed/manpages")


def test_python_calls_it(built) -> None:
    program = """
import errno
from sysbpf import bpf
try:
    bpf.bpf_map_made_up(-1, bpf.bpf_map_made_up_opts(flags=1, number=2))
except OSError as error:
    assert error.errno in (errno.EINVAL, errno.EPERM), error
else:
    raise SystemExit("it succeeded")
assert bpf.bpf_map_create_opts(made_up_id=3).made_up_id == 3
"""
    env = {"PYTHONPATH": str(TREE / "python/src"), "SYSBPF_LIBRARY": str(STAGE / "lib/libsysbpf.so.1")}
    succeeds("python3", "-c", program, env=env)


# libbpf 1.7.0 has neither: the runner reads that from its headers.
@pytest.mark.parametrize("what", ["headers", "symbols"])
def test_headers_and_symbols_against_libbpf(built, what: str) -> None:
    assert "bpf_map_made_up" in script("source/conformance", what)


def test_calls_against_libbpf(built) -> None:
    script("source/conformance", "run", "--cases", "2000", "--function", "bpf_map_create")


def test_the_tables_of_the_documentation(built) -> None:
    """`make compat`, and what `make check` says of its result after the C tests."""
    need_c_tests()
    make("compat")
    assert "| `bpf_map_made_up` | LIBBPF_1.8.0 | BPF_MAP_MADE_UP | 99.1 |" in (TREE / "docs/compat.md").read_text()
    script("source/coverage")


@pytest.mark.parametrize("edits", [MEMBER, FUNCTION, BINDINGS], ids=["member", "function", "bindings"])
def test_an_anchor_that_no_longer_matches_is_reported(edited, edits: list[Edit]) -> None:
    with pytest.raises(AssertionError, match="the anchor matches 0 times"):
        apply([(edits[0][0], r"(\npub struct gone \{\n)(\})", "")])
