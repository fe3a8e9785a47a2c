# SPDX-License-Identifier: MIT OR Apache-2.0
"""What the pytest files of tests/ share: where things are, and how programs are run.

count.sh provides the same to the checks that are shell scripts.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from typing import NoReturn

import pytest

ROOT = Path(__file__).resolve().parent.parent
# The build directory; make exports it.
TARGET = Path(os.environ.get("CARGO_TARGET_DIR") or ROOT / "target").resolve()
# The installed tree that is tested.
STAGE = Path(os.environ.get("STAGE") or TARGET / "stage").resolve()
SO = STAGE / "lib/libsysbpf.so.1"
MAKE = os.environ.get("MAKE", "make")
CARGO = os.environ.get("CARGO", "cargo")
CC = os.environ.get("CC", "cc")

if not SO.exists():
    pytest.exit(f"nothing in {STAGE}: run make stage first", returncode=1)

# A test runs programs as if from a plain shell: nothing of the make that runs the test, nothing preloaded.
for name in "LD_LIBRARY_PATH LD_PRELOAD MAKEFLAGS MFLAGS MAKELEVEL PKG_CONFIG_PATH CPPFLAGS LDFLAGS LDLIBS".split():
    os.environ.pop(name, None)


class News(pytest.skip.Exception):
    """Skipped in CI too: something outside this tree has changed, such as a package on the mirror."""


def news(reason: str) -> NoReturn:
    raise News(reason)


def have(*commands: str) -> bool:
    """Whether all of these commands are installed."""
    return all(shutil.which(command) for command in commands)


def need(*commands: str) -> None:
    """Skips the test if one of these commands is not installed."""
    for command in commands:
        if not shutil.which(command):
            pytest.skip(f"{command} is not installed")


def run(*command: str | Path, env: dict[str, str] | None = None, **options) -> subprocess.CompletedProcess[str]:
    """Runs a command, with `env` added to the environment; its output is captured as text."""
    options.setdefault("capture_output", "stdout" not in options)
    options.setdefault("timeout", 600)
    return subprocess.run(
        [str(word) for word in command],
        env={**os.environ, **(env or {})},
        text=True,
        errors="replace",
        check=False,
        **options,
    )


def succeeds(*command: str | Path, **options) -> str:
    """Runs a command that must succeed; returns what it printed on stdout."""
    done = run(*command, **options)
    assert done.returncode == 0, f"{words(command)}: exit status {done.returncode}\n{tail(done)}"
    return done.stdout


def fails(*command: str | Path, status: int | None = None, **options) -> str:
    """Runs a command that must fail, with this exit status if one is given; returns all that it printed."""
    done = run(*command, **options)
    assert done.returncode != 0, f"{words(command)}: succeeded"
    assert status in (None, done.returncode), f"{words(command)}: exit status {done.returncode}\n{tail(done)}"
    return (done.stdout or "") + (done.stderr or "")


def words(command) -> str:
    return " ".join(str(word) for word in command)


def tail(done: subprocess.CompletedProcess[str]) -> str:
    lines = ((done.stdout or "") + (done.stderr or "")).splitlines()
    return "\n".join(lines[-20:])


def version() -> str:
    """The library's version."""
    lines = (ROOT / "Cargo.toml").read_text().splitlines()
    return next(line.split('"')[1] for line in lines if line.startswith("version = "))


def lacking_crates(member: str = "") -> str:
    """Why cargo can neither find nor fetch the crates of the workspace, or of a member's; empty if it can."""
    # The source archive does not contain the generators' crates, and its .cargo/config.toml allows no others.
    directory = Path("/") if member and (ROOT / "vendor").is_dir() else ROOT
    host = next(line[6:] for line in succeeds("rustc", "-vV").splitlines() if line.startswith("host: "))
    manifest = ROOT / member / "Cargo.toml"
    done = run(CARGO, "fetch", "-q", "--locked", "--manifest-path", manifest, "--target", host, cwd=directory)
    if done.returncode == 0:
        return ""
    return f"crates cannot be fetched: {(done.stderr.strip().splitlines() or ['no reason given'])[-1].strip()}"
