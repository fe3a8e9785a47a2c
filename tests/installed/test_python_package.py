# SPDX-License-Identifier: MIT OR Apache-2.0
"""The Python package: types and style; the wheel, built from the staged library; installing it; its own tests.

The tests of the package run over the library in the wheel and over the real libbpf, and count like those here.
"""

from __future__ import annotations

import atexit
import filecmp
import os
import platform
import re
import shutil
import subprocess
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from harness import ROOT, SO, STAGE, fails, run, succeeds, tail, version

PACKAGE = ROOT / "python"
PYTHON = os.environ.get("PYTHON", "python3")
WORK = Path(tempfile.mkdtemp(prefix="sysbpf-python-"))
atexit.register(shutil.rmtree, WORK)
# Some tests of the package become another user, who must be able to read what they use.
WORK.chmod(0o755)
TOOLS = WORK / "tools/bin"

os.environ.update(
    PYTHONDONTWRITEBYTECODE="1",
    PIP_DISABLE_PIP_VERSION_CHECK="1",
    MYPY_CACHE_DIR=str(WORK / "mypy"),
    RUFF_CACHE_DIR=str(WORK / "ruff"),
)
for name in ("SYSBPF_LIBRARY", "SYSBPF_SO", "SYSBPF_INCLUDE", "SYSBPF_LINUX_INCLUDE", "PYTHONPATH"):
    os.environ.pop(name, None)


def tool(name: str, *arguments: str | Path, **options) -> subprocess.CompletedProcess[str]:
    return run(TOOLS / name, *arguments, **options)


def build(out: str, package: Path = PACKAGE, **options) -> subprocess.CompletedProcess[str]:
    """Builds a wheel with pip; the library is the one that SYSBPF_SO names."""
    return tool("pip", "wheel", "-q", "--no-deps", "--no-build-isolation", "-w", WORK / out, package, **options)


def rejected(done: subprocess.CompletedProcess[str], message: str) -> None:
    """The command has failed, with this message."""
    assert done.returncode != 0, "succeeded"
    assert message in done.stdout + done.stderr, tail(done)


def succeeded(done: subprocess.CompletedProcess[str]) -> None:
    assert done.returncode == 0, tail(done)


# Making environments takes most of the time, and much of that is waiting: do it at the same time.
background = ThreadPoolExecutor()
atexit.register(background.shutdown)
building = background.submit(run, ROOT / "tools/wheel", WORK / "wheel", SO)
offline_out = WORK / "offline"
building_offline = background.submit(run, ROOT / "tools/wheel", offline_out, SO, env={"PIP_NO_INDEX": "1"})
made = run(PYTHON, "-m", "venv", WORK / "tools")
if made.returncode:
    pytest.skip(f"no virtual environment can be made: {tail(made).splitlines()[-1]}", allow_module_level=True)
got = tool("pip", "install", "-q", "pytest", "mypy", "ruff", "pyelftools", "hatchling")
if got.returncode:
    errors = [line for line in tail(got).splitlines() if "error" in line.lower()]
    pytest.skip(f"pip cannot get its tools: {(errors or ['no reason given'])[-1]}", allow_module_level=True)
making = background.submit(run, PYTHON, "-m", "venv", WORK / "venv")
checking = background.submit(tool, "mypy", cwd=PACKAGE)


@pytest.fixture(scope="module")
def wheel() -> Path:
    succeeded(building.result())
    (found,) = (WORK / "wheel").iterdir()
    return found


def glibc() -> str:
    """The newest glibc that the library needs, as a platform tag has it."""
    versions = re.findall(r"Name: GLIBC_(\d+)\.(\d+)", succeeds("readelf", "-VW", SO, env={"LC_ALL": "C"}))
    return "{}_{}".format(*max((int(major), int(minor)) for major, minor in versions))


# ---- The source ----


def test_ruff_check():
    succeeded(tool("ruff", "check", cwd=PACKAGE))


def test_ruff_format():
    succeeded(tool("ruff", "format", "--check", cwd=PACKAGE))


# ---- The wheel ----


def test_the_wheel_is_built_and_named(wheel):
    assert building.result().stdout == f"{wheel}\n"


def test_it_is_for_this_machine_and_the_glibc_that_the_library_needs(wheel):
    assert wheel.name == f"sysbpf-{version()}-py3-none-manylinux_{glibc()}_{platform.machine()}.whl"


@pytest.fixture(scope="module")
def unpacked(wheel) -> Path:
    succeeds(PYTHON, "-m", "zipfile", "-e", wheel, WORK / "unpacked")
    return WORK / "unpacked"


def test_it_bundles_the_library(unpacked):
    assert filecmp.cmp(unpacked / "sysbpf/libsysbpf.so.1", SO, shallow=False)


def test_it_has_these_files_and_no_others(unpacked):
    metadata = f"sysbpf-{version()}.dist-info"
    assert sorted(str(file.relative_to(unpacked)) for file in unpacked.rglob("*") if file.is_file()) == [
        f"{metadata}/METADATA",
        f"{metadata}/RECORD",
        f"{metadata}/WHEEL",
        f"{metadata}/licenses/LICENSE-APACHE",
        f"{metadata}/licenses/LICENSE-MIT",
        "sysbpf/__init__.py",
        "sysbpf/_library.py",
        "sysbpf/_link.py",
        "sysbpf/_map.py",
        "sysbpf/_object.py",
        "sysbpf/_program.py",
        "sysbpf/bpf.py",
        "sysbpf/libsysbpf.so.1",
        "sysbpf/linux_bpf.py",
        "sysbpf/py.typed",
    ]


def test_its_metadata_has_the_version_and_the_licence(unpacked):
    lines = (unpacked / f"sysbpf-{version()}.dist-info/METADATA").read_text().splitlines()
    assert {"Name: sysbpf", f"Version: {version()}", "License-Expression: MIT OR Apache-2.0"} <= set(lines)


def test_building_it_leaves_nothing_in_the_source_tree(wheel):
    names = ("build", "dist", "*.egg-info", "*.so*")
    assert [path for name in names for path in PACKAGE.rglob(name)] == []


def test_no_wheel_without_the_library():
    nowhere = WORK / "nowhere.so"
    message = f"{nowhere}: No such file or directory: run make stage in the project's directory, or set SYSBPF_SO"
    rejected(build("other", env={"SYSBPF_SO": str(nowhere)}), message)


def test_no_wheel_with_a_file_that_is_not_a_library():
    text = WORK / "text.so"
    text.write_text("text\n")
    rejected(build("other", env={"SYSBPF_SO": str(text)}), f"{text}: Magic number does not match")


def test_no_wheel_with_another_library():
    mapped = 'print(next(line.split()[-1] for line in open("/proc/self/maps") if "/libc.so.6" in line))'
    libc = succeeds(PYTHON, "-c", mapped).strip()
    rejected(build("other", env={"SYSBPF_SO": libc}), f"{libc} is not libsysbpf.so.1, but libc.so.6")


# ---- Building where something is missing ----


@pytest.fixture(scope="module")
def offline() -> str:
    """What tools/wheel prints without a network."""
    if run(PYTHON, "-c", "import hatchling, elftools").returncode == 0:
        pytest.skip(f"{PYTHON} has the build tools, so no network is needed")
    done = building_offline.result()
    assert done.returncode != 0, "succeeded"
    return done.stdout + done.stderr


def test_without_a_network_the_build_says_what_it_needs(offline):
    needs = "wheel: building needs hatchling>=1.26 pyelftools>=0.29, which pip could not get; is there a network?"
    assert offline.startswith(needs)


def test_in_one_line(offline):
    assert offline.count("\n") == 1


def test_without_a_network_there_is_no_wheel(offline):
    assert list(offline_out.iterdir()) == []


@pytest.fixture(scope="module")
def alone() -> Path:
    """The package's directory without the project's around it, with files in place of its links."""
    shutil.copytree(PACKAGE, WORK / "alone/python")
    return WORK / "alone/python"


def test_no_wheel_outside_the_tree_without_the_licences():
    copy = WORK / "links/python"
    shutil.copytree(PACKAGE, copy, symlinks=True)
    message = f"no licence for the wheel: {copy}/../LICENSE-APACHE not found: build the package in the project's tree"
    rejected(build("links", copy), f"sysbpf: {message}")


def test_no_wheel_outside_the_tree_without_the_library(alone):
    library = WORK / "alone/target/stage/lib/libsysbpf.so.1"
    message = f"no library for the wheel: {library}: No such file or directory: run make stage"
    rejected(build("alone", alone), f"sysbpf: {message}")


def test_with_both_it_is_the_same_wheel_bit_for_bit(alone, wheel):
    succeeded(build("alone", alone, env={"SYSBPF_SO": str(SO)}))
    assert filecmp.cmp(wheel, WORK / "alone" / wheel.name, shallow=False)


# ---- Wheels for other machines ----


def library_for(e_machine: int) -> Path:
    """The library, marked as another machine's."""
    data = bytearray(SO.read_bytes())
    data[18:20] = e_machine.to_bytes(2, "little")
    library = WORK / f"{e_machine}.so"
    library.write_bytes(data)
    return library


@pytest.fixture(scope="module")
def foreign() -> Path:
    if platform.machine() != "x86_64":
        pytest.skip("this machine is not an x86_64")
    succeeded(build("other", env={"SYSBPF_SO": str(library_for(183))}))
    return WORK / f"other/sysbpf-{version()}-py3-none-manylinux_{glibc()}_aarch64.whl"


def test_a_wheel_for_another_machine_is_marked_as_such(foreign):
    assert foreign.exists()


def test_pip_does_not_install_the_wheel_of_another_machine(foreign, venv, without):
    rejected(venv("install", foreign), "is not a supported wheel on this platform")


def test_no_wheel_for_a_machine_that_has_no_platform_tag():
    if platform.machine() != "x86_64":
        pytest.skip("this machine is not an x86_64")
    # A little-endian s390x, for which there is no Linux.
    done = build("other", env={"SYSBPF_SO": str(library_for(22))})
    rejected(done, "no wheel platform is known for EM_S390, 64 bits")


def test_pip_does_not_install_it_where_glibc_is_older(wheel, venv, without):
    # What an old system sees: the wheel is for a newer glibc than its own.
    newer = WORK / re.sub(r"manylinux_\d+_\d+", "manylinux_2_999", wheel.name)
    shutil.copy(wheel, newer)
    rejected(venv("install", newer), "is not a supported wheel on this platform")


def test_a_rejected_wheel_leaves_nothing_behind(without):
    assert contents() == without


# ---- Installing ----


@pytest.fixture(scope="module")
def venv():
    """pip of a virtual environment that has nothing else."""
    succeeded(making.result())
    return lambda *arguments: run(WORK / "venv/bin/pip", *arguments)


def contents() -> list[Path]:
    """The files of the virtual environment, without Python's caches."""
    return sorted(path for path in (WORK / "venv").rglob("*") if "__pycache__" not in path.parts)


def bundled_library() -> str:
    return succeeds(WORK / "venv/bin/python", "-c", "import sysbpf; print(sysbpf.library)", cwd="/").strip()


@pytest.fixture(scope="module")
def without(venv) -> list[Path]:
    return contents()


@pytest.fixture(scope="module")
def installed(venv, wheel, without) -> list[Path]:
    succeeded(venv("install", wheel))
    return contents()


def test_pip_installs_it(installed, without):
    assert set(without) < set(installed)


def test_the_library_is_the_one_in_the_wheel(installed):
    platlib = succeeds(WORK / "venv/bin/python", "-c", 'import sysconfig; print(sysconfig.get_path("platlib"))').strip()
    assert bundled_library() == f"{platlib}/sysbpf/libsysbpf.so.1"


def test_installing_it_again_changes_nothing(installed, venv, wheel):
    succeeded(venv("install", wheel))
    assert contents() == installed


def test_nor_does_installing_it_again_by_force(installed, venv, wheel):
    succeeded(venv("install", "--force-reinstall", wheel))
    assert contents() == installed


def test_it_is_installed_once(installed, venv):
    assert len(re.findall(r"^sysbpf ", venv("list").stdout, re.MULTILINE)) == 1


def test_and_still_works(installed):
    assert Path(bundled_library()).exists()


def test_uninstalling_it_leaves_nothing(installed, venv, without):
    succeeded(venv("uninstall", "-y", "sysbpf"))
    assert contents() == without


def test_and_there_is_no_module_any_more(without):
    printed = fails(WORK / "venv/bin/python", "-c", "import sysbpf", cwd="/", status=1)
    assert "ModuleNotFoundError: No module named 'sysbpf'" in printed


# ---- The tests of the package, which are installed beside their tools ----

NO_KERNEL_HEADERS = "SYSBPF_LINUX_INCLUDE does not name the kernel headers that linux_bpf.py was made from"


@pytest.fixture(scope="module")
def package_tests(wheel) -> Path:
    succeeded(tool("pip", "install", wheel))
    shutil.copytree(PACKAGE / "tests", WORK / "tests")
    shutil.copy(PACKAGE / "README.md", WORK)
    return WORK / "tests"


@pytest.fixture(scope="module")
def kernel_headers() -> dict[str, str]:
    """The kernel headers that linux_bpf.py was made from, and whether Debian has newer ones by now."""
    found = run(ROOT / "tools/debian-get", "sid", "amd64", "linux-libc-dev").stdout.strip()
    source = (PACKAGE / "src/sysbpf/linux_bpf.py").read_text()
    (recorded,) = re.findall(r"^# Made from linux-libc-dev (.*)\.$", source, re.MULTILINE)
    if found.endswith(f"_{recorded}"):
        return {"include": f"{found}/usr/include", "news": ""}
    return {"include": "", "news": NO_KERNEL_HEADERS if found else ""}


def run_tests(tests: Path, library: str, kernel_headers: dict[str, str], count_cases) -> None:
    results = WORK / "junit.xml"
    results.unlink(missing_ok=True)
    done = tool(
        "python",
        *("-m", "pytest", "-q", "-ra", "-p", "no:cacheprovider", f"--junitxml={results}", tests),
        cwd=WORK,
        env={
            "SYSBPF_LIBRARY": library,
            "SYSBPF_INCLUDE": str(STAGE / "include/sysbpf"),
            "SYSBPF_LINUX_INCLUDE": kernel_headers["include"],
        },
    )
    assert results.exists(), tail(done)
    failures = count_cases(results, news=kernel_headers["news"])
    assert (done.returncode, failures) == (0, []), done.stdout


def test_over_the_library_of_the_wheel(package_tests, kernel_headers, count_cases):
    run_tests(package_tests, "", kernel_headers, count_cases)


def test_over_the_real_libbpf(package_tests, kernel_headers, count_cases):
    real = succeeds(PYTHON, "-c", 'import ctypes.util; print(ctypes.util.find_library("bpf") or "")').strip()
    if not real:
        pytest.skip("there is none on this machine")
    run_tests(package_tests, real, kernel_headers, count_cases)


def test_mypy_strict():
    succeeded(checking.result())
