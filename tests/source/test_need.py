# SPDX-License-Identifier: MIT OR Apache-2.0
"""tools/need on machines that lack something, and tools/check on one without an interpreter.

Each machine is this one with some commands hidden from PATH, and with scripts in place of apt-get, id and sudo.
Nothing is installed.
"""

import os
import re
from pathlib import Path
from subprocess import PIPE, STDOUT

import pytest

from harness import ROOT, run

NEED = ROOT / "tools/need"


class Machine:
    """A PATH with the commands of this machine, some of them hidden or replaced by scripts."""

    def __init__(self, directory: Path) -> None:
        self.bin = directory / "bin"
        self.bin.mkdir()
        # What apt-get was called with, one call per line.
        self.calls = directory / "apt-get.calls"
        self.calls.touch()
        self.known = directory / "packages"
        for searched in os.environ["PATH"].split(":"):
            for command in os.scandir(searched) if os.path.isdir(searched) else ():
                if not command.is_dir() and not os.path.lexists(self.bin / command.name):
                    (self.bin / command.name).symlink_to(command.path)
        # Packages are looked up with commands of the distribution: never with this machine's.
        self.hide("apt-get", "apt-cache", "dpkg", "sudo", "id")

    def hide(self, *commands: str) -> None:
        for command in commands:
            (self.bin / command).unlink(missing_ok=True)

    def script(self, command: str, text: str) -> None:
        """Replaces a command by a shell script."""
        self.hide(command)
        (self.bin / command).write_text(f"#!/bin/sh\n{text}\n")
        (self.bin / command).chmod(0o755)

    def rust(self, version: str) -> None:
        self.script("rustc", f"echo 'rustc {version} (0123 2026-01-01)'")
        self.script("cargo", "echo cargo")

    def user(self, uid: int) -> None:
        self.script("id", f"echo {uid}")

    def debian(self, apt_get: str, packages: str = "rustc 1.85.0") -> None:
        """Gives it an apt-get, which runs a script, and packages: "NAME VERSION" lines."""
        self.script("apt-get", f"echo \"$*\" >>'{self.calls}'\n{apt_get}")
        self.script(
            "dpkg",
            '[ "$1" = --compare-versions ] || exit 1\n'
            '[ "$(printf \'%s\\n\' "$4" "$2" | sort -V | head -n 1)" = "$4" ]',
        )
        self.known.write_text(packages + "\n")
        self.script(
            "apt-cache",
            "for package; do :; done\n"
            f"version=$(sed -n \"s/^$package //p\" '{self.known}')\n"
            '[ -n "$version" ] && echo "Version: $version"',
        )

    def need(self, *groups: str, install_deps: str | None = None) -> tuple[int, str]:
        """The exit status of tools/need, and what it prints."""
        env = {"INSTALL_DEPS": install_deps} if install_deps else {}
        return self.sh(env, NEED, *groups)

    def check(self, script: Path, ci: str) -> tuple[int, str]:
        """The exit status of tools/check for one check, and what it prints."""
        # It takes a shell command: the path may have spaces in it.
        return self.sh({"CI": ci}, ROOT / "tools/check", "one", f"./{script.name}", cwd=script.parent)

    def sh(self, env: dict[str, str], *command: str | Path, **options) -> tuple[int, str]:
        # stdout and stderr together, in the order in which a terminal shows them.
        done = run("sh", *command, env=env | {"PATH": str(self.bin)}, stdout=PIPE, stderr=STDOUT, **options)
        return done.returncode, done.stdout


@pytest.fixture
def machine(tmp_path, monkeypatch) -> Machine:
    """A machine that has all that the groups build and dist need; its user is root."""
    monkeypatch.delenv("INSTALL_DEPS", raising=False)
    machine = Machine(tmp_path)
    for command in ("git", "xz", "cc", "objcopy", "pkg-config", "python3"):
        machine.script(command, "exit")
    machine.rust("1.90.0")
    machine.user(0)
    return machine


def installs(package: str) -> str:
    """A script for apt-get: it installs one package, whose command has the same name."""
    return f"""case " $* " in *" install "*" {package} "*)
    echo exit >"$(dirname "$0")/{package}"; chmod +x "$(dirname "$0")/{package}" ;;
esac"""


def assert_line(output: str, pattern: str) -> None:
    """Asserts that the output is one line, which matches."""
    assert re.fullmatch(pattern, output.removesuffix("\n")), output


# ---- Nothing is missing, or nothing may be installed


def test_prints_nothing_where_nothing_is_missing(machine):
    machine.debian("exit 1")
    assert machine.need("build", "dist") == (0, "")


@pytest.fixture
def without_git(machine) -> Machine:
    machine.debian("exit 0")
    machine.hide("git")
    return machine


def test_install_deps_no_names_what_is_useful(without_git):
    status, output = without_git.need("build", "--", "dist", install_deps="no")
    assert status == 0
    assert_line(
        output,
        r"missing on this machine: git; INSTALL_DEPS=no; .*apt-get install git \(what needs them is skipped\)",
    )


def test_install_deps_no_stops_for_what_is_compulsory(without_git):
    status, output = without_git.need("build", "dist", install_deps="no")
    assert status == 1
    assert_line(
        output,
        "missing on this machine: git; INSTALL_DEPS=no; to install: apt-get update && apt-get install git",
    )


def test_install_deps_no_does_not_call_apt_get(without_git):
    without_git.need("build", "--", "dist", install_deps="no")
    without_git.need("build", "dist", install_deps="no")
    assert without_git.calls.read_text() == ""


# ---- A machine without apt-get


def test_without_apt_get_names_what_is_useful(machine):
    machine.hide("git")
    status, output = machine.need("build", "--", "dist")
    assert status == 0
    assert_line(
        output, r"missing on this machine: git; there is no apt-get here .*\(what needs them is skipped\)"
    )


def test_without_apt_get_does_not_ask_for_what_only_debian_has(machine):
    machine.hide("dpkg-source")
    _, output = machine.need("build", "--", "check", "kernels")
    assert not re.search("keyring|dpkg", output), output


def test_without_apt_get_stops_for_what_is_compulsory(machine):
    machine.hide("git", "cc")
    status, output = machine.need("build", "--", "dist")
    assert status == 1
    assert_line(output, "missing on this machine: gcc libc6-dev; there is no apt-get here .*")


def test_without_apt_get_names_rust_by_version(machine):
    machine.hide("cargo")
    status, output = machine.need("build")
    assert status == 1
    assert_line(output, r"missing on this machine: Rust 1\.[0-9]* or newer; there is no apt-get here .*")


# ---- An ordinary user

ONLY_ROOT = "only root may install them; to install: sudo apt-get update && sudo apt-get install"


@pytest.fixture
def as_user(machine) -> Machine:
    """A machine whose user is an ordinary one, and may not use sudo."""
    machine.user(1000)
    machine.debian("exit 0")
    machine.script("sudo", "exit 1")
    return machine


def test_tells_a_user_what_is_useful(as_user):
    as_user.hide("git")
    status, output = as_user.need("build", "--", "dist")
    assert status == 0
    assert_line(output, rf"missing on this machine: git; {ONLY_ROOT} git \(what needs them is skipped\)")


DEBIAN_13 = "rustc 1.85.0+dfsg3-1\nrustfmt 1.85.0\nrust-clippy 1.85.0"
DEBIAN_12 = "rustc 1.63.0+dfsg1-2\nrustc-web 1.85.0+dfsg3-1~deb12u3"


@pytest.mark.parametrize(
    ("installed", "distribution", "packages"),
    [
        pytest.param(None, DEBIAN_13, "cargo rust-clippy rustc rustfmt", id="Debian 13"),
        pytest.param(None, DEBIAN_12, "cargo-web rustc-web", id="Debian 12"),
        pytest.param("1.63.0", DEBIAN_12, "cargo-web rustc-web", id="Debian 12, Rust is too old"),
    ],
)
def test_tells_a_user_the_packages_of_rust(as_user, installed, distribution, packages):
    as_user.debian("exit 0", distribution)
    as_user.hide("rustc")
    if installed:
        as_user.rust(installed)
    status, output = as_user.need("build")
    assert status == 1
    assert_line(output, f"missing on this machine: {packages}; {ONLY_ROOT} {packages}")


def test_tells_a_user_that_the_distribution_has_no_rust_that_is_new_enough(as_user):
    as_user.debian("exit 0", "rustc 1.48.0")
    as_user.rust("1.63.0")
    status, output = as_user.need("build")
    assert status == 1
    assert_line(
        output,
        r"missing on this machine: Rust 1\.[0-9]* or newer; only root may install them; "
        r"Rust 1\.[0-9]* is not in this distribution, rustup has it",
    )


def test_does_not_call_apt_get_as_a_user(as_user):
    as_user.hide("git", "rustc")
    as_user.need("build", "--", "dist")
    as_user.need("build", "dist")
    assert as_user.calls.read_text() == ""


@pytest.fixture
def with_sudo(as_user) -> Machine:
    """A machine whose user may use sudo without a password."""
    as_user.debian(installs("git"))
    as_user.script("sudo", '[ "$1" != -n ] || shift; exec "$@"')
    as_user.hide("git")
    return as_user


def test_uses_sudo_that_takes_no_password(with_sudo):
    status, output = with_sudo.need("build", "dist")
    assert status == 0, output


def test_installs_once_with_sudo(with_sudo):
    with_sudo.need("build", "dist")
    assert with_sudo.calls.read_text().count(" install ") == 1


# ---- Root


def test_announces_what_root_installs(without_git):
    without_git.debian(installs("git"))
    assert without_git.need("build", "--", "dist") == (
        0,
        "missing on this machine: git\n"
        "reading the package lists: apt-get update\n"
        "installing: apt-get install -y --no-install-recommends git\n",
    )


def test_ignores_an_error_of_apt_get_for_another_package(without_git):
    without_git.debian(
        f"{installs('git')}\necho 'E: Sub-process /usr/bin/dpkg returned an error code (1)' >&2\nexit 100"
    )
    status, output = without_git.need("build", "dist")
    assert status == 0, output


@pytest.fixture
def without_xz_package(without_git) -> Machine:
    """A machine that lacks git and xz, and whose apt has no xz."""
    without_git.hide("xz")
    without_git.debian(
        'case " $* " in *" xz-utils "*) echo "E: Unable to locate package xz-utils" >&2; exit 100 ;; esac\n'
        + installs("git")
    )
    return without_git


def test_names_a_package_that_apt_does_not_have(without_xz_package):
    _, output = without_xz_package.need("build", "--", "dist")
    assert output.splitlines()[-1].startswith("missing on this machine: xz-utils; apt-get could not install them;")


def test_installs_the_others_without_a_package_that_apt_does_not_have(without_xz_package):
    without_xz_package.need("build", "--", "dist")
    assert os.access(without_xz_package.bin / "git", os.X_OK)


def test_stops_with_the_reason_of_apt_get(machine):
    machine.hide("xz")
    machine.debian('echo "E: Unable to locate package xz-utils" >&2; exit 100')
    status, output = machine.need("build", "dist")
    assert status == 1
    lines = output.splitlines()
    assert "E: Unable to locate package xz-utils" in lines
    assert lines[-1].startswith(
        "missing on this machine: xz-utils; apt-get could not install them; to install: apt-get update"
    )


# ---- tools/check


@pytest.fixture
def python_script(tmp_path) -> Path:
    """A check that tools/check runs, in Python."""
    script = tmp_path / "one"
    script.write_text("#!/usr/bin/env python3\nprint('one: 3 passed, 0 failed, 0 skipped')\n")
    script.chmod(0o755)
    return script


def test_check_runs_a_script_whose_interpreter_is_installed(tmp_path, python_script):
    status, output = Machine(tmp_path).check(python_script, ci="true")
    assert (status, output.splitlines()[-1]) == (0, "3 passed, 0 failed, 0 skipped")


def test_check_skips_a_script_whose_interpreter_is_missing(machine, python_script):
    machine.hide("python3")
    assert machine.check(python_script, ci="") == (
        0,
        f"{'one':34}     0 passed    0 failed    1 skipped\n"
        "skipped, and why:\n"
        "    one: all: python3 is not installed\n"
        "0 passed, 0 failed, 1 skipped\n",
    )


def test_check_fails_in_ci_for_a_script_whose_interpreter_is_missing(machine, python_script):
    machine.hide("python3")
    status, output = machine.check(python_script, ci="true")
    assert (status, output.splitlines()[-1]) == (1, "0 passed, 1 failed, 0 skipped")
