# SPDX-License-Identifier: MIT OR Apache-2.0
"""Fixtures that several files of this directory use."""

from pathlib import Path

import pytest

from harness import ROOT, need, run, succeeds


@pytest.fixture(scope="session")
def archive(tmp_path_factory) -> Path:
    """The source archive of the last commit."""
    need("git", "xz")
    top = run("git", "-C", ROOT, "rev-parse", "--show-toplevel")
    if top.stdout.rstrip("\n") != str(ROOT):
        pytest.skip(f"it is made of a commit, and this is not a git repository: {top.stderr.strip()}")
    return Path(succeeds(ROOT / "packaging/dist", tmp_path_factory.mktemp("dist")).strip())
