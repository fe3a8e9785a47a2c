# SPDX-License-Identifier: MIT OR Apache-2.0
"""The examples in README.md run exactly as printed."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

README = (Path(__file__).parent.parent / "README.md").read_text()
EXAMPLES = re.findall(r"^```python\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)
(OUTPUT,) = re.findall(r"^```text\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)

pytestmark = pytest.mark.usefixtures("kernel")


def run(code: str, tmp_path: Path) -> subprocess.CompletedProcess[str]:
    example = tmp_path / "example.py"
    example.write_text(code)
    return subprocess.run([sys.executable, str(example)], capture_output=True, text=True, check=False)


def test_the_example_prints_what_the_readme_says(tmp_path: Path) -> None:
    ran = run(EXAMPLES[0], tmp_path)
    assert (ran.stderr, ran.stdout, ran.returncode) == ("", OUTPUT, 0)


def test_the_other_examples_run(tmp_path: Path) -> None:
    assert len(EXAMPLES) == 2
    for code in EXAMPLES[1:]:
        ran = run(code, tmp_path)
        assert (ran.stderr, ran.returncode) == ("", 0)
