# SPDX-License-Identifier: MIT OR Apache-2.0
"""sysbpf-run, which preloads the library: in the staged tree, and in copies of it in unusual places."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
from pathlib import Path

import pytest

from harness import CC, ROOT, STAGE, need, run, succeeds, version

# ---- Helpers

ANYTHING = re.compile(".*")


def has_line(expected: str | re.Pattern[str], text: str) -> bool:
    """Whether a line of the text is this one, or matches; an empty one means that there is no text."""
    if isinstance(expected, re.Pattern):
        return any(expected.fullmatch(line) for line in text.splitlines())
    return expected in text.splitlines() if expected else not text


def expect(
    done: subprocess.CompletedProcess[str],
    status: int,
    out: str | re.Pattern[str] = "",
    err: str | re.Pattern[str] = "",
) -> None:
    """A program ended with this status, and wrote such lines to standard output and standard error."""
    assert done.returncode == status, done
    assert has_line(out, done.stdout), done
    assert has_line(err, done.stderr), done


def executable(path: Path, text: str) -> Path:
    path.write_text(text)
    path.chmod(0o755)
    return path


def compiled(output: Path, source: str, *flags: str | Path) -> Path:
    """A program or a library of that source."""
    need(CC)
    source_file = output.parent / f"{output.name}.c"
    source_file.write_text(source)
    succeeds(CC, "-o", output, source_file, *flags)
    return output


def tree_at(prefix: Path, stage: Path) -> Path:
    """A copy of the installed tree; returns its sysbpf-run."""
    for directory in ("bin", "lib"):
        shutil.copytree(stage / directory, prefix / directory, symlinks=True)
    return prefix / "bin/sysbpf-run"


def interpreter(program: Path) -> str:
    """The dynamic linker that a program names."""
    segments = succeeds("readelf", "-lW", program, env={"LC_ALL": "C"})
    found = re.search(r"program interpreter: (.*)\]", segments)
    assert found, segments
    return found[1]


@pytest.fixture(scope="module")
def stage(work):
    """The staged tree, at a path without spaces: LD_PRELOAD cannot hold others, which have tests of their own."""
    work.chmod(0o755)
    if " " not in str(STAGE):
        return STAGE
    tree_at(work / "stage", STAGE)
    return work / "stage"


@pytest.fixture(scope="module")
def sysbpf_run(stage):
    return stage / "bin/sysbpf-run"


@pytest.fixture(scope="module")
def library(stage):
    return stage / "lib/libsysbpf.so.1"


@pytest.fixture(scope="module")
def plain_file(work):
    """A file that is not executable."""
    (work / "plain").write_text("exit 0\n")
    return work / "plain"


@pytest.fixture(scope="module")
def dashed(work):
    """A program whose name starts with a dash."""
    return executable(work / "-dashed", '#!/bin/sh\necho "dashed $1"\n')


def before_in_path(*directories: Path | str) -> dict[str, str]:
    return {"PATH": ":".join([*map(str, directories), os.environ["PATH"]])}


# ---- Options


def test_help(sysbpf_run):
    expect(run(sysbpf_run, "--help"), 0, re.compile("Usage: sysbpf-run .*"))


def test_version_names_the_library(sysbpf_run, library):
    expect(run(sysbpf_run, "--version"), 0, f"sysbpf-run {version()} ({library})")


def test_help_that_cannot_be_written_is_an_error(sysbpf_run):
    if not os.access("/dev/full", os.W_OK):
        pytest.skip("there is no /dev/full")
    with open("/dev/full", "w") as full:
        done = run(sysbpf_run, "--help", stdout=full, stderr=subprocess.PIPE)
    assert done.returncode == 125
    assert done.stderr == "sysbpf-run: standard output cannot be written\n"


@pytest.mark.parametrize(
    "arguments, error",
    [
        ([], "Usage: sysbpf-run .*"),
        (["--"], "sysbpf-run: no program given.*"),
        (["--what"], "sysbpf-run: unknown option --what; .*"),
    ],
    ids=["nothing", "dashes", "unknown-option"],
)
def test_call_without_a_program_is_an_error(sysbpf_run, arguments, error):
    expect(run(sysbpf_run, *arguments), 125, err=re.compile(error))


# ---- Exit status, arguments, standard descriptors


@pytest.mark.parametrize("status", [0, 42])
def test_exit_status_is_that_of_the_program(sysbpf_run, status):
    expect(run(sysbpf_run, "sh", "-c", f"exit {status}"), status)


def test_signal_that_kills_the_program_is_seen_by_its_parent(sysbpf_run):
    expect(run(sysbpf_run, "sh", "-c", "kill -TERM $$"), -signal.SIGTERM)


def test_standard_descriptors_are_those_of_the_program(sysbpf_run):
    expect(run(sysbpf_run, "sh", "-c", "cat; echo err >&2", input="in\n"), 0, "in", "err")


def test_arguments_arrive_as_given(sysbpf_run):
    done = run(sysbpf_run, "printf", "<%s>", "a b", "", "*", "--check", "$HOME")
    expect(done, 0, "<a b><><*><--check><$HOME>")


def test_program_whose_name_starts_with_a_dash(sysbpf_run, work, dashed):
    expect(run(sysbpf_run, "--", dashed.name, "-c", env=before_in_path(work)), 0, "dashed -c")


# ---- Finding the program, as env(1) and execvp(3) do


@pytest.fixture(scope="module")
def search_path(work, plain_file):
    """Directories for PATH: `denied` has programs that may not be executed and a directory, `allowed` has a program."""
    (work / "denied/prog-dir").mkdir(parents=True)
    (work / "allowed").mkdir()
    for name in ("prog", "prog-both"):
        shutil.copy(plain_file, work / "denied" / name)
    executable(work / "allowed/prog-both", "#!/bin/sh\necho allowed\n")
    return work


@pytest.mark.parametrize("name", ["no-such-program", "/no/such/program", ""])
def test_program_that_does_not_exist_is_not_found(sysbpf_run, search_path, name):
    done = run(sysbpf_run, "--", name, env=before_in_path(search_path / "denied"))
    expect(done, 127, err=f"sysbpf-run: {name}: not found")


def test_file_that_is_not_executable_is_denied(sysbpf_run, plain_file):
    expect(run(sysbpf_run, plain_file), 126, err=f"sysbpf-run: {plain_file}: permission denied")


def test_directory_is_not_executed(sysbpf_run, work):
    expect(run(sysbpf_run, work), 126, err=f"sysbpf-run: {work}: is a directory")


def test_file_in_path_that_is_not_executable_is_denied(sysbpf_run, search_path):
    done = run(sysbpf_run, "prog", env=before_in_path(search_path / "denied"))
    expect(done, 126, err="sysbpf-run: prog: permission denied")


def test_file_in_path_that_is_not_executable_has_the_status_of_env(search_path):
    expect(run("env", "prog", env=before_in_path(search_path / "denied")), 126, err=ANYTHING)


def test_executable_further_down_the_path_is_found(sysbpf_run, search_path):
    done = run(sysbpf_run, "prog-both", env=before_in_path(search_path / "denied", search_path / "allowed"))
    expect(done, 0, "allowed")


def test_directory_in_path_is_not_executed(sysbpf_run, search_path):
    done = run(sysbpf_run, "prog-dir", env=before_in_path(search_path / "denied"))
    expect(done, 126, err="sysbpf-run: prog-dir: is a directory")


def test_empty_path_entry_is_the_current_directory(sysbpf_run, work):
    executable(work / "here", '#!/bin/sh\necho "here $1"\n')
    expect(run(sysbpf_run, "here", "x", env=before_in_path(""), cwd=work), 0, "here x")


def test_script_that_does_not_name_its_interpreter_is_run_by_the_shell(sysbpf_run, work):
    script = executable(work / "unnamed", 'echo "shell $1"\n')
    expect(run(sysbpf_run, script, "x"), 0, "shell x")


def test_script_whose_interpreter_is_missing_is_an_error(sysbpf_run, work):
    script = executable(work / "lost", "#!/no/such/interpreter\n")
    expect(run(sysbpf_run, script), 127, err=f"sysbpf-run: {script}: No such file or directory")


# ---- The library, and the environment


def maps(library: Path) -> re.Pattern[str]:
    return re.compile(f".* {re.escape(str(library))}.*")


def test_library_is_loaded_into_the_program(sysbpf_run, library):
    expect(run(sysbpf_run, "cat", "/proc/self/maps"), 0, maps(library))


def test_library_is_loaded_into_the_children_of_the_program(sysbpf_run, library):
    expect(run(sysbpf_run, "sh", "-c", "cat /proc/self/maps; true"), 0, maps(library))


@pytest.mark.parametrize("preloaded", ["libm.so.6", "libm.so.6 librt.so.1"])
def test_ld_preload_that_is_set_is_kept_in_front(sysbpf_run, library, preloaded):
    expect(run(sysbpf_run, "env", env={"LD_PRELOAD": preloaded}), 0, f"LD_PRELOAD={preloaded}:{library}")


def test_sysbpf_run_within_itself_preloads_once(sysbpf_run, library):
    expect(run(sysbpf_run, sysbpf_run, "env"), 0, f"LD_PRELOAD={library}")


def test_ld_library_path_is_left_alone(sysbpf_run):
    expect(run(sysbpf_run, "env", env={"LD_LIBRARY_PATH": "/x y"}), 0, "LD_LIBRARY_PATH=/x y")


def test_call_through_a_symbolic_link(sysbpf_run, library, work):
    (work / "link").symlink_to(sysbpf_run)
    expect(run(work / "link", "env"), 0, f"LD_PRELOAD={library}")


# Prints what a program is given when it starts. It needs a library, so that sysbpf-run asks for its libraries.
TOLD_C = """\
#include <ctype.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
extern char **environ;
int other(void);
int main(int argc, char **argv)
{
	char line[256];
	FILE *status = fopen("/proc/self/status", "re");

	for (int i = 0; i < argc; i++)
		printf("argument %s\\n", argv[i]);
	for (char **entry = environ; *entry; entry++)
		printf("entry %s\\n", *entry);
	while (status && fgets(line, sizeof(line), status))
		if ((!strncmp(line, "Sig", 3) && line[3] != 'Q') || !strncmp(line, "ShdPnd", 6) || !strncmp(line, "Umask", 5))
			fputs(line, stdout);
	if (status)
		fclose(status);
	for (int fd = 0; fd < 64; fd++)
		if (lseek(fd, 0, SEEK_CUR) != -1 || dup2(fd, fd) == fd)
			printf("descriptor %d\\n", fd);
	printf("session %d, in %s\\n", getsid(0) == getppid(), getcwd(line, sizeof(line)));
	return other();
}
"""

# Starts a program in a way in which no shell does.
START_C = """\
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#define LARGE 100000
#define MANY 2000
int main(int argc, char **argv)
{
	static char large[LARGE], numbers[MANY][16], path[4096], *environment[MANY + 16];
	int n = 0;
	sigset_t blocked;

	snprintf(path, sizeof(path), "PATH=%s", getenv("PATH"));
	environment[n++] = "a.b=1";
	environment[n++] = "twice=1";
	environment[n++] = "BASH_FUNC_f%%=() {  echo hi; }";
	environment[n++] = "no equals sign";
	environment[n++] = "";
	environment[n++] = "=C:=x";
	environment[n++] = path;
	environment[n++] = "twice=2";
	environment[n++] = "latin\\xe4=\\xff";
	environment[n++] = "LD_LIBRARY_PATH=";
	memcpy(memset(large, 'x', LARGE - 1), "large=", 6);
	environment[n++] = large;
	for (int i = 0; i < MANY; i++) {
		snprintf(numbers[i], sizeof(numbers[i]), "v%d=%d", i % 1500, i);
		environment[n++] = numbers[i];
	}
	for (; argc > 1 && strchr(argv[1], '='); argv++, argc--)
		environment[n++] = argv[1];

	umask(027);
	signal(SIGPIPE, SIG_IGN);
	signal(SIGINT, SIG_IGN);
	sigemptyset(&blocked);
	sigaddset(&blocked, SIGCHLD);
	sigaddset(&blocked, SIGUSR1);
	sigprocmask(SIG_BLOCK, &blocked, NULL);
	raise(SIGUSR1);
	if (open("/dev/null", O_RDONLY) < 0 || dup2(0, 17) < 0)
		return 2;
	execve(argv[1], argv + 2, environment);
	perror(argv[1]);
	return 2;
}
"""


@pytest.fixture(scope="module")
def told(work):
    compiled(work / "libother.so", "int other(void) { return 0; }\n", "-shared", "-fPIC")
    compiled(work / "start", START_C)
    return compiled(work / "told", TOLD_C, f"-L{work}", "-lother", f"-Wl,-rpath,{work}")


@pytest.mark.parametrize(
    "preloads, expected",
    [([], ["{}"]), (["libm.so.6", "librt.so.1"], ["libm.so.6:{}", "librt.so.1:{}"])],
    ids=["none", "twice"],
)
def test_everything_but_ld_preload_arrives_as_given(work, told, sysbpf_run, library, preloads, expected):
    """The environment with odd and repeated entries, arguments, signals, descriptors, umask, session, directory."""

    def lines_from(*command: str | Path) -> list[bytes]:
        entries = [f"LD_PRELOAD={value}" for value in preloads]
        start = [work / "start", *entries, *command, "", "a b", "*", "--", "--check"]
        env = {**os.environ, **before_in_path(work)}
        return subprocess.run(start, cwd=work, env=env, stdout=subprocess.PIPE, check=True).stdout.split(b"\n")

    def is_preload(line: bytes) -> bool:
        return line.startswith(b"entry LD_PRELOAD=")

    as_given = lines_from(told, "told")
    with_run = lines_from(sysbpf_run, "sysbpf-run", "told")
    assert [line for line in with_run if not is_preload(line)] == [line for line in as_given if not is_preload(line)]
    assert [line.decode() for line in with_run if is_preload(line)] == [
        f"entry LD_PRELOAD={value.format(library)}" for value in expected
    ]
    assert sum(line.startswith(b"entry ") for line in with_run) >= 2011


# ---- The tree at other places: the library is found beside the executable that was called


@pytest.mark.parametrize("name", ["moved", "a b", "a;b"])
def test_tree_that_was_moved_uses_its_own_library(work, stage, name):
    sysbpf_run = tree_at(work / "places" / name, stage)
    done = run(sysbpf_run, "cat", "/proc/self/maps")
    expect(done, 0, maps(work / "places" / name / "lib/libsysbpf.so"))


@pytest.fixture(scope="module")
def spaces(work, stage):
    """A copy of the tree in a path with a space."""
    tree_at(work / "with space", stage)
    return work / "with space"


def test_ld_library_path_is_kept_behind_a_path_with_spaces(spaces):
    done = run(spaces / "bin/sysbpf-run", "env", env={"LD_LIBRARY_PATH": "/else"})
    expect(done, 0, f"LD_LIBRARY_PATH={spaces}/lib:/else")


def test_check_names_a_library_in_a_path_with_spaces(spaces):
    done = run(spaces / "bin/sysbpf-run", "--check", "true")
    expect(done, 1, re.compile(f"/.*, with {spaces}/lib/libsysbpf.so.1:"))


@pytest.mark.parametrize("name", ["a:b", "a$LIB", "a ;b"], ids=["colon", "dollar", "space-and-semicolon"])
def test_path_that_cannot_be_preloaded_is_rejected(work, stage, name):
    sysbpf_run = tree_at(work / "rejected" / name, stage)
    error = f"sysbpf-run: cannot preload {work}/rejected/{name}/lib/libsysbpf.so.1: "
    expect(run(sysbpf_run, "true"), 125, err=re.compile(re.escape(error) + ".+"))


def test_library_is_in_lib_where_no_file_records_the_layout(work, stage):
    sysbpf_run = tree_at(work / "without-layout", stage)
    (work / "without-layout/lib/sysbpf-run/layout").unlink()
    expect(run(sysbpf_run, "env"), 0, f"LD_PRELOAD={work}/without-layout/lib/libsysbpf.so.1")


def without_library(prefix: Path, stage: Path, installed: Path) -> Path:
    """A tree that was moved away from `installed`, and has no library."""
    sysbpf_run = tree_at(prefix, stage)
    for file in (prefix / "lib").glob("libsysbpf.so*"):
        file.unlink()
    (prefix / "lib/sysbpf-run/layout").write_text(f"{installed}\n{installed}/lib\n")
    return sysbpf_run


def test_library_is_the_installed_one_where_the_moved_tree_has_none(work, stage, library):
    sysbpf_run = without_library(work / "fallback", stage, stage)
    expect(run(sysbpf_run, "env"), 0, f"LD_PRELOAD={library}")


def test_library_that_is_nowhere_is_an_error(work, stage):
    sysbpf_run = without_library(work / "missing", stage, work / "nothing")
    error = f"sysbpf-run: libsysbpf.so.1 is neither in {work}/missing/lib nor in {work}/nothing/lib"
    expect(run(sysbpf_run, "true"), 125, err=error)


# ---- Programs that gain privileges when executed

NOBODY = 65534


def copy_of_env(path: Path) -> Path:
    return Path(shutil.copy(shutil.which("env") or "/usr/bin/env", path))


def need_root() -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can make programs that gain privileges")


@pytest.mark.parametrize("mode, what", [(0o4755, "set-user-ID"), (0o2755, "set-group-ID")], ids=["user", "group"])
def test_program_that_changes_ids_is_warned_of_and_run(sysbpf_run, work, mode, what):
    need_root()
    program = copy_of_env(work / what)
    os.chown(program, NOBODY, NOBODY)
    program.chmod(mode)
    expect(run(sysbpf_run, program), 0, ANYTHING, re.compile(f"sysbpf-run: warning: {program} is {what}, so .*"))


def test_program_with_file_capabilities_is_warned_of_and_run(work, stage):
    need_root()
    need("setpriv", "setcap")
    program = copy_of_env(work / "capable")
    if run("setcap", "cap_net_raw+ep", program).returncode != 0:
        pytest.skip("this file system keeps no file capabilities")
    sysbpf_run = tree_at(work / "readable", stage)
    succeeds("chmod", "-R", "a+rX", work / "readable")
    user = ["setpriv", "--reuid", str(NOBODY), "--regid", str(NOBODY), "--clear-groups"]
    warning = re.compile(f"sysbpf-run: warning: {program} has file capabilities, .*")
    expect(run(*user, sysbpf_run, program), 0, ANYTHING, warning)


def test_set_user_id_program_of_the_same_user_is_not_warned_of(sysbpf_run, library, work):
    program = copy_of_env(work / "own")
    program.chmod(0o4755)
    expect(run(sysbpf_run, program), 0, f"LD_PRELOAD={library}")


# ---- --check

NOTHING = "0 functions replaced"


def test_check_of_a_program_that_does_not_exist(sysbpf_run):
    expect(run(sysbpf_run, "--check", "no-such-program"), 2, err="sysbpf-run: no-such-program: not found")


def test_check_without_a_program(sysbpf_run):
    expect(run(sysbpf_run, "--check"), 2, err=re.compile("sysbpf-run: --check takes one program.*"))


def test_check_of_a_script_names_its_interpreter(sysbpf_run, dashed):
    error = f"sysbpf-run: {dashed} is a script: check its interpreter, /bin/sh"
    expect(run(sysbpf_run, "--check", dashed), 2, err=error)


def test_check_of_a_file_that_is_not_a_program(sysbpf_run, plain_file):
    expect(run(sysbpf_run, "--check", plain_file), 2, err=f"sysbpf-run: {plain_file} is not an ELF file")


def test_check_of_a_directory(sysbpf_run, work):
    expect(run(sysbpf_run, "--check", work), 2, err=f"sysbpf-run: {work}: not a readable file")


@pytest.mark.parametrize("line", [NOTHING, "note: it calls no function of bpf.h through the dynamic linker"])
def test_check_of_a_program_without_bpf(sysbpf_run, line):
    expect(run(sysbpf_run, "--check", "true"), 1, line)


def test_check_without_readelf(sysbpf_run):
    done = run(sysbpf_run, "--check", "x", env={"PATH": "/nonexistent"})
    expect(done, 2, err=re.compile("sysbpf-run: --check needs readelf.*"))


# ---- Statically linked programs


def static_program(path: Path, flag: str) -> Path:
    need(CC)
    source = path.parent / f"{path.name}.c"
    source.write_text("int main(void) { return 3; }\n")
    if run(CC, flag, source, "-o", path).returncode != 0:
        pytest.skip(f"{CC} {flag} does not work here")
    return path


@pytest.fixture(scope="module")
def static(work):
    return static_program(work / "static", "-static")


def test_check_of_a_static_program(sysbpf_run, static):
    line = f"{static}: statically linked: nothing can be replaced"
    expect(run(sysbpf_run, "--check", static), 1, line)


def static_warning(program: Path) -> str:
    return f"sysbpf-run: warning: {program} is statically linked, so nothing can be preloaded into it"


def test_static_program_is_warned_of_and_run(sysbpf_run, static):
    expect(run(sysbpf_run, static), 3, err=static_warning(static))


def test_warning_of_a_static_program_is_one_line(sysbpf_run, static):
    assert len(run(sysbpf_run, static).stderr.splitlines()) == 1


def test_static_position_independent_program_is_warned_of(sysbpf_run, work):
    program = static_program(work / "static-pie", "-static-pie")
    expect(run(sysbpf_run, program), 3, err=static_warning(program))


# ---- Programs that import names without a version, because their libbpf was built without versions


@pytest.fixture(scope="module")
def libfake(work):
    """A libbpf without symbol versions."""
    source = "int bpf_map_freeze(int fd) { return fd; } int bpf_object__nothing(void) { return 0; }\n"
    return compiled(work / "libfake.so", source, "-shared", "-fPIC")


@pytest.fixture(scope="module")
def unversioned(work, libfake):
    source = """\
int bpf_map_freeze(int), bpf_object__nothing(void);
int main(void) { return bpf_map_freeze(0) == 0 || bpf_object__nothing(); }
"""
    return compiled(work / "unversioned", source, f"-L{work}", "-lfake", f"-Wl,-rpath,{work}")


def test_check_lists_imports_without_a_version(sysbpf_run, unversioned):
    expect(run(sysbpf_run, "--check", unversioned), 0, re.compile(r" *bpf_map_freeze@LIBBPF_0\.0\.3 *unversioned"))


def test_imports_without_a_version_are_bound_to_the_library(sysbpf_run, unversioned):
    expect(run(sysbpf_run, unversioned), 0)


def test_dynamic_linker_is_not_warned_of(sysbpf_run, unversioned):
    """It has no interpreter either, like a static program, but it preloads."""
    expect(run(sysbpf_run, interpreter(unversioned), unversioned), 0)


# ---- A libbpf in the program itself, or one that it opens


def with_messages(count: int) -> str:
    calls = "".join(f'\tputs("libbpf: message {number}\\n");\n' for number in range(count))
    return f"#include <stdio.h>\nint main(void)\n{{\n{calls}\treturn 0;\n}}\n"


@pytest.fixture(scope="module")
def filters(work):
    """A program that has messages of libbpf to look for them; it has none of its code."""
    return compiled(work / "filters", with_messages(2), "-s")


def test_check_notes_functions_that_are_linked_statically(sysbpf_run, work):
    source = """\
int bpf_map_freeze(int fd) { return fd; }
int main(int n, char **v) { (void)v; return bpf_map_freeze(n) != n; }
"""
    note = "note: functions of bpf.h that are statically linked into it, and cannot be replaced: 1"
    expect(run(sysbpf_run, "--check", compiled(work / "linked", source)), 1, note)


def test_check_notes_a_static_libbpf_without_symbols_by_its_messages(sysbpf_run, work):
    program = compiled(work / "messages", with_messages(10), "-s")
    expect(run(sysbpf_run, "--check", program), 1, re.compile("note: it contains 10 messages of libbpf, .*"))


def test_check_takes_a_few_messages_for_no_libbpf(sysbpf_run, filters):
    done = run(sysbpf_run, "--check", filters)
    expect(done, 1, NOTHING)
    assert "statically" not in done.stdout


@pytest.fixture(scope="module")
def opens(work, libfake):
    source = """\
#include <dlfcn.h>
int main(void) { return ((int (*)(int))dlsym(dlopen("libfake.so", RTLD_NOW), "bpf_map_freeze"))(7) != 7; }
"""
    return compiled(work / "opens", source, "-ldl")


def test_function_of_a_library_that_the_program_opens_is_not_replaced(sysbpf_run, work, opens):
    expect(run(sysbpf_run, opens, env={"LD_LIBRARY_PATH": str(work)}), 0)


def test_check_notes_a_program_that_opens_libraries(sysbpf_run, opens):
    note = "note: it imports dlopen(): what it looks up in a libbpf that it opens itself is not replaced"
    expect(run(sysbpf_run, "--check", opens), 1, note)


def test_check_does_not_note_a_program_that_opens_none(sysbpf_run, filters):
    done = run(sysbpf_run, "--check", filters)
    expect(done, 1, NOTHING)
    assert "dlopen" not in done.stdout


# ---- A libbpf that is newer than the library, where the dynamic linker finds it


def newest_node() -> str:
    """The newest version node of the library."""
    lines = (ROOT / "abi/libsysbpf.map").read_text().splitlines()
    return [line.split()[0] for line in lines if line.startswith("LIBBPF_")][-1]


OURS = newest_node()
MAJOR, MINOR = (int(number) for number in OURS.removeprefix("LIBBPF_").split(".")[:2])
NEWER = f"LIBBPF_{MAJOR}.{MINOR + 2}.0"
# Newer as a number, although not as text.
MUCH_NEWER = f"LIBBPF_{MAJOR}.{(MINOR // 10 + 1) * 10}.0"
CALLS_LIBBPF = "int bpf_object__nothing(void); int main(void) { return bpf_object__nothing(); }\n"


@pytest.fixture(scope="module")
def libbpfs(work):
    """Directories that each have a libbpf.so.1, with these newest version nodes."""
    for name, node in {"newer": NEWER, "much-newer": MUCH_NEWER, "same": OURS}.items():
        (work / name).mkdir()
        version_script = work / name / "map"
        version_script.write_text(
            f"LIBBPF_0.0.1 {{ global: bpf_object__nothing; }}; {node} {{ global: newest; }} LIBBPF_0.0.1;\n"
        )
        source = "int bpf_object__nothing(void) { return 0; } int newest(void) { return 0; }\n"
        flags = ["-shared", "-fPIC", "-Wl,-soname,libbpf.so.1", f"-Wl,--version-script={version_script}"]
        compiled(work / name / "libbpf.so.1", source, *flags)
    return work


def newer_flags(libbpfs: Path, *more: str) -> list[str | Path]:
    """Links a program with the newer libbpf; LD_LIBRARY_PATH comes before it."""
    return [libbpfs / "newer/libbpf.so.1", f"-Wl,--enable-new-dtags,-rpath,{libbpfs}/newer", *more]


@pytest.fixture(scope="module")
def user(libbpfs):
    return compiled(libbpfs / "user", CALLS_LIBBPF, *newer_flags(libbpfs))


def newer_warning(libbpfs: Path, directory: str = "newer", node: str = NEWER) -> str:
    return (
        f"sysbpf-run: warning: {libbpfs}/{directory}/libbpf.so.1 has {node}, and sysbpf only {OURS}: "
        "options of bpf.h that are newer than that fail with EINVAL"
    )


def test_newer_libbpf_is_warned_of(sysbpf_run, libbpfs, user):
    expect(run(sysbpf_run, user), 0, err=newer_warning(libbpfs))


def test_warning_of_a_newer_libbpf_is_one_line(sysbpf_run, user):
    assert len(run(sysbpf_run, user).stderr.splitlines()) == 1


def test_newer_libbpf_is_warned_of_where_standard_input_and_output_are_closed(sysbpf_run, libbpfs, user):
    expect(run("sh", "-c", '"$@" <&- >&-', "sh", sysbpf_run, user), 0, err=newer_warning(libbpfs))


def test_check_warns_of_a_newer_libbpf(sysbpf_run, libbpfs, user):
    expect(run(sysbpf_run, "--check", user), 1, NOTHING, newer_warning(libbpfs))


def test_check_lists_what_stays_with_the_real_libbpf(sysbpf_run, user):
    done = run(sysbpf_run, "--check", user)
    assert "1 functions stay with the real libbpf:" in done.stdout.splitlines()
    assert re.search(r"^ +bpf_object__nothing@LIBBPF_0\.0\.1 +user$", done.stdout, re.MULTILINE), done


def test_newer_libbpf_that_a_library_needs_is_warned_of(sysbpf_run, libbpfs):
    between = "int bpf_object__nothing(void); int other(void) { return bpf_object__nothing(); }\n"
    compiled(libbpfs / "libbetween.so", between, "-shared", "-fPIC", *newer_flags(libbpfs))
    flags = [f"-L{libbpfs}", "-lbetween", f"-Wl,-rpath,{libbpfs}", f"-Wl,-rpath-link,{libbpfs}/newer"]
    program = compiled(libbpfs / "indirect", "int other(void); int main(void) { return other(); }\n", *flags)
    expect(run(sysbpf_run, program), 0, err=newer_warning(libbpfs))


def test_newer_libbpf_in_ld_library_path_is_warned_of(sysbpf_run, libbpfs, user):
    done = run(sysbpf_run, user, env={"LD_LIBRARY_PATH": f"{libbpfs}/much-newer"})
    expect(done, 0, err=newer_warning(libbpfs, "much-newer", MUCH_NEWER))


def test_newer_libbpf_that_is_preloaded_is_warned_of(sysbpf_run, libbpfs):
    done = run(sysbpf_run, "true", env={"LD_PRELOAD": f"{libbpfs}/newer/libbpf.so.1"})
    expect(done, 0, err=newer_warning(libbpfs))


def test_libbpf_of_the_same_version_is_not_warned_of(sysbpf_run, libbpfs, user):
    expect(run(sysbpf_run, user, env={"LD_LIBRARY_PATH": f"{libbpfs}/same"}), 0)


def test_newer_libbpf_of_a_program_whose_name_starts_with_a_dash_is_warned_of(sysbpf_run, libbpfs, user):
    shutil.copy(user, libbpfs / "-user")
    done = run(sysbpf_run, "--", "-user", env=before_in_path(""), cwd=libbpfs)
    expect(done, 0, err=newer_warning(libbpfs))


def test_ld_debug_traces_the_program_alone(sysbpf_run, libbpfs, user):
    """sysbpf-run asks the dynamic linker for the libraries of the program, which is not to be traced."""
    traces = libbpfs / "traces"
    traces.mkdir()
    succeeds(sysbpf_run, user, env={"LD_DEBUG": "files", "LD_DEBUG_OUTPUT": str(traces / "trace")})
    assert len(list(traces.iterdir())) == 1


def test_installed_libbpf_is_not_warned_of(sysbpf_run, work):
    need("pkg-config")
    installed = run("pkg-config", "--modversion", "libbpf").stdout.strip()
    known = OURS.removeprefix("LIBBPF_")
    if not installed or [int(n) for n in installed.split(".")] > [int(n) for n in known.split(".")]:
        pytest.skip(f"the installed libbpf is newer than {OURS}, or libbpf-dev is not installed")
    source = "void libbpf_set_print(void *); int main(void) { libbpf_set_print(0); return 0; }\n"
    program = compiled(work / "installed", source, *succeeds("pkg-config", "--libs", "libbpf").split())
    expect(run(sysbpf_run, program), 0)


# ---- Nothing that a program names is executed in order to list its libraries


def unknown_warning(program: Path, why: str) -> str:
    return f"sysbpf-run: warning: {program}: whether its libbpf is newer than sysbpf is not known: {why}"


@pytest.fixture(scope="module")
def foreign(libbpfs):
    """A program that names a script as its dynamic linker, which leaves a file behind when it is executed."""
    linker = executable(libbpfs / "ld-named", f'#!/bin/sh\necho "$@" >>"{libbpfs}/linker-ran"\n')
    return compiled(libbpfs / "foreign", CALLS_LIBBPF, *newer_flags(libbpfs, f"-Wl,--dynamic-linker={linker}"))


def test_check_warns_of_a_dynamic_linker_of_somebody_else(sysbpf_run, libbpfs, foreign):
    warning = unknown_warning(foreign, f"{libbpfs}/ld-named is not a dynamic linker of the system")
    expect(run(sysbpf_run, "--check", foreign), 1, NOTHING, warning)


def test_check_does_not_execute_a_dynamic_linker_of_somebody_else(sysbpf_run, libbpfs, foreign):
    run(sysbpf_run, "--check", foreign)
    assert not (libbpfs / "linker-ran").exists()


def test_symbolic_link_to_the_dynamic_linker_of_sysbpf_run_is_asked(sysbpf_run, libbpfs):
    link = libbpfs / "ld-link"
    link.symlink_to(interpreter(sysbpf_run))
    program = compiled(libbpfs / "linked-to", CALLS_LIBBPF, *newer_flags(libbpfs, f"-Wl,--dynamic-linker={link}"))
    expect(run(sysbpf_run, program), 0, err=newer_warning(libbpfs))


# The dynamic linker of glibc runs the audit libraries that a program names, even if it only lists its libraries.
AUDIT_C = """\
#include <stdio.h>
unsigned la_version(unsigned version)
{
	FILE *log = fopen(EXECUTED, "a");

	if (log) {
		fputs("audit library\\n", log);
		fclose(log);
	}
	return version;
}
"""


@pytest.fixture(params=["audit", "depaudit"])
def audited(request, libbpfs):
    """A program that names an audit library, which leaves a file behind when it is loaded."""
    library = libbpfs / "audit.so"
    if not library.exists():
        compiled(library, AUDIT_C, "-shared", "-fPIC", f'-DEXECUTED="{libbpfs}/audit-ran"')
    (libbpfs / "audit-ran").unlink(missing_ok=True)
    program = libbpfs / request.param
    if not program.exists():
        # Not each linker has these options.
        options = newer_flags(libbpfs, f"-Wl,--{request.param}={library}")
        source = libbpfs / f"{request.param}.c"
        source.write_text(CALLS_LIBBPF)
        if run(CC, "-o", program, source, *options).returncode != 0:
            pytest.skip(f"the linker does not know --{request.param}")
    return program


def test_check_of_a_program_that_names_an_audit_library_is_an_error(sysbpf_run, audited):
    error = re.compile(f"sysbpf-run: {audited} names an audit library .*")
    expect(run(sysbpf_run, "--check", audited), 2, err=error)


def test_check_does_not_execute_an_audit_library(sysbpf_run, libbpfs, audited):
    run(sysbpf_run, "--check", audited)
    assert not (libbpfs / "audit-ran").exists()


def test_program_that_names_an_audit_library_is_run_without_listing_its_libraries(sysbpf_run, libbpfs, audited):
    succeeds(audited)
    loaded = (libbpfs / "audit-ran").read_text()
    (libbpfs / "audit-ran").unlink()
    why = re.compile(re.escape(unknown_warning(audited, "it names an audit library ")) + ".*")
    expect(run(sysbpf_run, audited), 0, err=why)
    assert (libbpfs / "audit-ran").read_text() == loaded


# ---- What --check lists is what the dynamic linker binds


def test_check_lists_what_the_dynamic_linker_binds(sysbpf_run, library, work):
    need(CC, "pkg-config")
    if run("pkg-config", "--exists", "libbpf").returncode != 0:
        pytest.skip("libbpf-dev is not installed")
    demo = work / "demo"
    flags = succeeds("pkg-config", "--cflags", "--libs", "libbpf").split()
    succeeds(CC, ROOT / "examples/demo.c", "-o", demo, *flags)
    # It may lack the privileges that it needs: everything is bound when it starts.
    traces = {"LD_BIND_NOW": "1", "LD_DEBUG": "bindings", "LD_DEBUG_OUTPUT": str(work / "bindings")}
    run(sysbpf_run, demo, env=traces)
    # binding file PROGRAM [0] to LIBRARY [0]: normal symbol `NAME' [VERSION]
    binding = re.compile(
        f"binding file (?!{re.escape(str(library))} ).* to {re.escape(str(library))} .*: "
        r"normal symbol .(.*)' \[(LIBBPF_.*)\]"
    )
    text = "".join(trace.read_text() for trace in work.glob("bindings.*"))
    bound = {f"{name}@{node}" for name, node in binding.findall(text)}
    listed = run(sysbpf_run, "--check", demo).stdout.partition("stay with")[0]
    assert bound
    assert set(re.findall(r"^ +((?:bpf|libbpf)\S*@\S*) ", listed, re.MULTILINE)) == bound
