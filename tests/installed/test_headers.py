# SPDX-License-Identifier: MIT OR Apache-2.0
"""The installed headers as programs include them: with every C and C++ standard and both compilers, alone and before or
after libbpf's own headers, without a warning.

Compilers do not warn about code in headers with `#pragma GCC system_header`, which the installed ones have. A copy
without it is compiled too, and must not cause warnings either.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from harness import CC, STAGE, have, need, run, succeeds, version

INCLUDE = STAGE / "include/sysbpf"
HEADERS = ["bpf.h", "libbpf_common.h", "libbpf_legacy.h", "libbpf_version.h"]

C_STANDARDS = ["c99", "gnu99", "c11", "gnu11", "c17", "gnu17", "c2x", "gnu2x"]
CPP_STANDARDS = ["c++11", "gnu++11", "c++14", "c++17", "gnu++17", "c++20"]
each_standard = pytest.mark.parametrize(
    "compiler, standard",
    [(compiler, standard) for standard in C_STANDARDS for compiler in ("gcc", "clang")]
    + [(compiler, standard) for standard in CPP_STANDARDS for compiler in ("g++", "clang++")],
)
# Where libbpf's own headers are included: not at all, before bpf.h, after it.
each_place = pytest.mark.parametrize("place", ["alone", "LIBBPF_FIRST", "LIBBPF_LAST"])

# ---- Programs

USER_C = """\
#ifdef LIBBPF_FIRST
#include <bpf/libbpf.h>
#include <bpf/btf.h>
#endif
#include <bpf/bpf.h>
#ifdef LIBBPF_LAST
#include <bpf/libbpf.h>
#include <bpf/btf.h>
#endif
#if defined(__linux__) && LIBBPF_MAJOR_VERSION < 1
#error "the version macros are missing"
#endif

LIBBPF_DEPRECATED_SINCE(1, 0, "deprecated, but not called")
int user_function(void);

int user_function(void)
{
	/* What bpf.h includes. */
	bool yes = strlen("four") == 4;
	uint32_t size = BPF_LOG_BUF_SIZE;
	enum bpf_map_type type = BPF_MAP_TYPE_ARRAY;
	struct bpf_prog_test_run_attr *older = NULL;

	LIBBPF_OPTS(bpf_map_create_opts, map_opts, .map_flags = 1, .numa_node = 2);
	DECLARE_LIBBPF_OPTS(bpf_prog_load_opts, load_opts);
	LIBBPF_OPTS(bpf_test_run_opts, run_opts, .repeat = 1);
	LIBBPF_OPTS(bpf_link_create_opts, link_opts);

	link_opts.tcx.relative_id = 3;
	link_opts.kprobe_multi.cnt = 0;
#if !defined(LIBBPF_FIRST) || !defined(__STRICT_ANSI__) /* a newer libbpf's own macro says typeof */
	LIBBPF_OPTS_RESET(run_opts, .repeat = run_opts.repeat + 1);
#endif
	return yes + (int)size + (int)type + (older != NULL) + (int)map_opts.sz + (int)load_opts.sz + run_opts.repeat +
	       MAPS_RELAX_COMPAT + (int)offsetof(struct bpf_prog_load_opts, bpf_prog_load_opts__last_field) +
	       (libbpf_get_error(NULL) != 0) + libbpf_set_strict_mode(LIBBPF_STRICT_ALL);
}

extern int (*const user_create)(enum bpf_map_type, const char *, __u32, __u32, __u32,
				const struct bpf_map_create_opts *);
int (*const user_create)(enum bpf_map_type, const char *, __u32, __u32, __u32,
			 const struct bpf_map_create_opts *) = bpf_map_create;
"""

# Needs nothing beyond the standard: no extension and no empty variadic macro.
PLAIN_C = """\
#ifdef LIBBPF_FIRST
#include <bpf/libbpf.h>
#endif
#include <bpf/bpf.h>
#ifdef LIBBPF_LAST
#include <bpf/libbpf.h>
#endif

int plain_function(int fd);

int plain_function(int fd)
{
	enum libbpf_strict_mode mode = LIBBPF_STRICT_DIRECT_ERRS;
	struct bpf_map_create_opts opts;
	int key = 1, value = 2;

	memset(&opts, 0, sizeof(opts));
	opts.sz = sizeof(opts);
	return bpf_map_create(BPF_MAP_TYPE_HASH, "plain", sizeof(key), sizeof(value), 8, &opts) +
	       bpf_map_update_elem(fd, &key, &value, BPF_ANY) + (int)mode + LIBBPF_MAJOR_VERSION;
}
"""

# Makes mistakes that a compiler is expected to report.
MISTAKES_C = """\
#include <bpf/bpf.h>

LIBBPF_DEPRECATED_SINCE(1, 0, "use another")
int old_function(void);
int mistakes(int number, const char *text);

int mistakes(int number, const char *text)
{
	LIBBPF_OPTS(bpf_map_create_opts, opts, .map_flags = number);
	LIBBPF_OPTS(bpf_prog_load_opts, load_opts, .log_buf = text);
	int unused;

	return old_function() + bpf_map_create(BPF_MAP_TYPE_HASH, text, 4, 4, number, &opts) +
	       bpf_map_freeze(text) + bpf_map_get_next_key(3, text, text) + (load_opts.sz < 0);
}
"""

# Checks that LIBBPF_OPTS and LIBBPF_OPTS_RESET set the padding too.
PADDING_C = """\
#include <bpf/bpf.h>
__attribute__((noinline)) static void dirty(void)
{
	volatile char stack[4096];
	memset((void *)stack, 0xee, sizeof(stack));
}
#define CLEAN(TYPE, ...) \\
	__attribute__((noinline)) static int TYPE##_dirt(void) \\
	{ \\
		int dirt = 0; \\
		LIBBPF_OPTS(TYPE, opts, __VA_ARGS__); \\
		__asm__ volatile("" : : "r"(&opts) : "memory"); \\
		for (size_t i = sizeof(size_t); i < sizeof(opts); i++) \\
			dirt += ((unsigned char *)&opts)[i] == 0xee; \\
		memset(&opts, 0xee, sizeof(opts)); \\
		LIBBPF_OPTS_RESET(opts, __VA_ARGS__); \\
		__asm__ volatile("" : : "r"(&opts) : "memory"); \\
		for (size_t i = sizeof(size_t); i < sizeof(opts); i++) \\
			dirt += ((unsigned char *)&opts)[i] == 0xee; \\
		return dirt; \\
	}
CLEAN(bpf_link_create_opts, .flags = 1)
CLEAN(bpf_prog_load_opts, .attempts = 2, .fd_array_cnt = 3)
CLEAN(bpf_map_create_opts, .map_flags = 1)
CLEAN(bpf_link_update_opts, .old_map_fd = 1)
CLEAN(bpf_log_opts, .level = 1)
int main(void)
{
	int dirt = 0;
	dirty(), dirt += bpf_link_create_opts_dirt();
	dirty(), dirt += bpf_prog_load_opts_dirt();
	dirty(), dirt += bpf_map_create_opts_dirt();
	dirty(), dirt += bpf_link_update_opts_dirt();
	dirty(), dirt += bpf_log_opts_dirt();
	return dirt != 0;
}
"""

SOURCES = {"user": USER_C, "plain": PLAIN_C, "mistakes": MISTAKES_C, "padding": PADDING_C}

# ---- Helpers


@pytest.fixture(scope="module")
def sources(work):
    """A directory that has each program, as C and as C++."""
    for name, text in SOURCES.items():
        for suffix in ("c", "cpp"):
            (work / f"{name}.{suffix}").write_text(text)
    return work


def source_file(sources: Path, name: str, compiler: str) -> Path:
    return sources / f"{name}.{'cpp' if compiler.endswith('++') else 'c'}"


def libbpf_has_headers() -> bool:
    return run(*CC.split(), "-x", "c", "-E", "-", input="#include <bpf/libbpf.h>\n").returncode == 0


# Asked once: each test that includes libbpf's headers depends on it.
LIBBPF_HAS_HEADERS = libbpf_has_headers()


def need_libbpf_headers() -> None:
    if not LIBBPF_HAS_HEADERS:
        pytest.skip("libbpf-dev is not installed")


def flags_of_place(place: str) -> list[str]:
    if place == "alone":
        return []
    need_libbpf_headers()
    return [f"-D{place}"]


@pytest.fixture(scope="module")
def installed(work) -> list[str]:
    """The flags of the drop-in directory, with which a program for libbpf is compiled."""
    # The tree may have been moved, and its path may have spaces, which pkg-config does not quote in a variable.
    (work / "stage").symlink_to(STAGE)
    command = ["pkg-config", f"--define-variable=prefix={work}/stage", "--cflags", "libbpf"]
    env = {"PKG_CONFIG_PATH": f"{work}/stage/lib/sysbpf/pkgconfig"}
    done = run(*command, env=env) if have("pkg-config") else None
    return done.stdout.split() if done and done.returncode == 0 else [f"-I{INCLUDE}"]


def compiles_silently(sources: Path, compiler: str, standard: str, name: str, *flags: str | Path) -> None:
    """The program compiles without a warning."""
    need(compiler)
    options = ["-O2", "-Wall", "-Wextra", "-Werror", *flags, "-c", "-o", "/dev/null"]
    succeeds(compiler, f"-std={standard}", *options, source_file(sources, name, compiler))


def warnings(sources: Path, compiler: str, standard: str, name: str, *flags: str | Path) -> set[str]:
    """The options that enable the warnings which the compiler prints; of an error without an option, the line."""
    need(compiler)
    options = ["-O2", "-Wall", "-Wextra", "-pedantic", "-fno-diagnostics-color", *flags, "-c", "-o", "/dev/null"]
    command = [compiler, f"-std={standard}", *options, source_file(sources, name, compiler)]
    found = set()
    for line in run(*command, env={"LC_ALL": "C"}).stderr.splitlines():
        if option := re.search(r"(warning|error): .*\[(-W[^],]*)[^]]*\]$", line):
            found.add(option[2])
        elif "error: " in line:
            found.add(line)
    return found


# ---- No warnings


def test_each_header_is_marked_as_a_system_header():
    texts = {path.name: path.read_text() for path in (INCLUDE / "bpf").iterdir()}
    marked = [name for name, text in texts.items() if re.search("^#pragma GCC system_header", text, re.MULTILINE)]
    assert sorted(marked) == HEADERS


@each_standard
def test_program_that_uses_the_macros_compiles_silently(sources, installed, compiler, standard):
    compiles_silently(sources, compiler, standard, "user", *installed)


@each_place
@each_standard
def test_strictly_conforming_program_compiles_silently(sources, installed, compiler, standard, place):
    compiles_silently(sources, compiler, standard, "plain", *installed, "-pedantic", *flags_of_place(place))


@pytest.fixture(scope="module")
def unmarked(work):
    """A copy of the headers that are not marked as a system's."""
    (work / "unmarked/bpf").mkdir(parents=True)
    for header in HEADERS:
        lines = (INCLUDE / "bpf" / header).read_text().splitlines(keepends=True)
        kept = [line for line in lines if not line.startswith("#pragma GCC system_header")]
        (work / "unmarked/bpf" / header).write_text("".join(kept))
    return work / "unmarked"


@each_place
@each_standard
def test_headers_without_the_mark_cause_no_warning(sources, unmarked, compiler, standard, place):
    # C++ compilers warn about members left out of LIBBPF_OPTS, for both libraries.
    ignored = ["-Wno-missing-field-initializers"] if compiler.endswith("++") else []
    compiles_silently(sources, compiler, standard, "user", f"-I{unmarked}", *flags_of_place(place), *ignored)


@pytest.mark.parametrize("header", ["libbpf_version.h", "libbpf_common.h", "libbpf_legacy.h"])
@pytest.mark.parametrize(
    "compiler, standard", [("gcc", "c99"), ("gcc", "c17"), ("clang", "c11"), ("g++", "c++17"), ("clang++", "c++17")]
)
def test_each_header_can_be_included_first(sources, installed, compiler, standard, header):
    compiles_silently(sources, compiler, standard, "plain", *installed, "-pedantic", "-include", f"bpf/{header}")


@each_standard
def test_pedantic_warns_of_no_more_than_with_the_header_of_libbpf(sources, installed, compiler, standard):
    need_libbpf_headers()
    with_libbpf = warnings(sources, compiler, standard, "user")
    assert warnings(sources, compiler, standard, "user", *installed) - with_libbpf == set()


# ---- A user's own mistakes are reported, also inside the macros

STRICT = ["-Wsign-conversion", "-Wconversion"]
MISTAKES = {
    "gcc": [
        "deprecated-declarations",
        "sign-conversion",
        "unused-variable",
        "type-limits",
        "int-conversion",
        "discarded-qualifiers",
    ],
    # Finds no comparison that is always false.
    "clang": [
        "deprecated-declarations",
        "sign-conversion",
        "unused-variable",
        "int-conversion",
        "incompatible-pointer-types-discards-qualifiers",
    ],
}


@pytest.mark.parametrize(
    "compiler, mistake", [(compiler, mistake) for compiler, mistakes in MISTAKES.items() for mistake in mistakes]
)
def test_mistake_is_reported(sources, installed, compiler, mistake):
    assert f"-W{mistake}" in warnings(sources, compiler, "gnu11", "mistakes", *STRICT, *installed)


@pytest.mark.parametrize("compiler", MISTAKES)
def test_mistakes_are_reported_as_with_the_header_of_libbpf(sources, installed, compiler):
    need_libbpf_headers()
    both = [warnings(sources, compiler, "gnu11", "mistakes", *STRICT, *flags) for flags in ([], installed)]
    # libbpf's header uses more extensions of GNU C.
    theirs, ours = [{name for name in names if not name.startswith("-Wgnu-")} for names in both]
    assert ours == theirs


# ---- The version macros


def version_macros(*flags: str | Path) -> str:
    text = "#include <bpf/bpf.h>\nVERSION LIBBPF_MAJOR_VERSION LIBBPF_MINOR_VERSION\n"
    lines = succeeds(*CC.split(), "-x", "c", "-E", "-P", *flags, "-", input=text).splitlines()
    return next(line.removeprefix("VERSION ") for line in lines if line.startswith("VERSION "))


def test_version_of_libbpf_headers_further_down_the_path_counts(work):
    (work / "theirs/bpf").mkdir(parents=True)
    (work / "theirs/bpf/libbpf_version.h").write_text(
        "#ifndef __LIBBPF_VERSION_H\n#define __LIBBPF_VERSION_H\n"
        "#define LIBBPF_MAJOR_VERSION 3\n#define LIBBPF_MINOR_VERSION 14\n#endif\n"
    )
    assert version_macros("-I", INCLUDE, "-I", work / "theirs") == "3 14"


def test_version_without_other_headers_is_that_of_sysbpf(work):
    searched = run(*CC.split(), "-E", "-Wp,-v", "-x", "c", "/dev/null", env={"LC_ALL": "C"}).stderr.splitlines()
    flags: list[str | Path] = ["-nostdinc", "-I", INCLUDE]
    for number, directory in enumerate(Path(line[1:]) for line in searched if line.startswith(" /")):
        if (directory / "bpf").exists():
            # A directory of links to everything in it but libbpf's headers.
            without = work / f"system-{number}"
            without.mkdir()
            for entry in directory.iterdir():
                if entry.name != "bpf":
                    (without / entry.name).symlink_to(entry)
            directory = without
        flags += ["-isystem", directory]
    assert version_macros(*flags) == " ".join(version().split(".")[:2])


# ---- Padding


@pytest.mark.parametrize("level", ["0", "1", "2", "3", "s"])
@pytest.mark.parametrize("compiler", ["gcc", "clang"])
def test_opts_macros_leave_no_padding_unset(sources, compiler, level):
    need(compiler)
    program = sources / f"padding-{compiler}-{level}"
    succeeds(compiler, f"-O{level}", "-I", INCLUDE, sources / "padding.c", "-o", program)
    succeeds(program)
