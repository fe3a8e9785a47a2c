# SPDX-License-Identifier: MIT OR Apache-2.0
"""Makes pytest report what tools/check counts.

A skip is printed as "SKIP TEST: REASON" and is a failure where CI=true, except for news() (see harness.py).
Cases of one test that are skipped for the same reason share a line. The last line is
"NAME: N passed, N failed, N skipped".
"""

import os
import signal
import tempfile
from pathlib import Path
from xml.etree import ElementTree

import pytest

from harness import News

CI = os.environ.get("CI") == "true"

# The result of each test: "passed", "failed" or "skipped".
outcomes: dict[str, str] = {}
# The skipped cases of a test, by the test and the reason.
skips: dict[tuple[str, str], list[str]] = {}
unread: list[str] = []


def pytest_configure() -> None:
    # Ends as by Ctrl-C, so that directories are removed.
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.default_int_handler)


@pytest.fixture(scope="module")
def work():
    """A directory for the tests of a file, which is removed after them."""
    with tempfile.TemporaryDirectory() as directory:
        yield Path(directory).resolve()


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    report = (yield).get_result()
    if report.skipped and CI and not (call.excinfo and call.excinfo.errisinstance(News)):
        report.outcome = "failed"
        report.longrepr = f"{reason(report)}, which is an error in CI"


def reason(report) -> str:
    longrepr = report.longrepr
    text = longrepr[2] if isinstance(longrepr, tuple) else str(longrepr)
    return text.removeprefix("Skipped: ").removeprefix("harness.News: ")


def pytest_runtest_logreport(report) -> None:
    # A test reports its setup, its call and its teardown; a failure of any of them is the test's.
    if report.failed or outcomes.get(report.nodeid) == "failed":
        outcomes[report.nodeid] = "failed"
    elif report.skipped:
        outcomes[report.nodeid] = "skipped"
        case = report.nodeid.split("::", 1)[1]
        skips.setdefault((case.partition("[")[0], reason(report)), []).append(case)
    elif report.when == "call":
        outcomes[report.nodeid] = "passed"


def pytest_collectreport(report) -> None:
    """A file that cannot be read is a failure; a file that skips itself is a skip."""
    if report.skipped:
        outcomes[report.nodeid] = "failed" if CI else "skipped"
        unread.append(f"FAIL all: {reason(report)}, which is an error in CI" if CI else f"SKIP all: {reason(report)}")
    elif report.failed:
        outcomes[report.nodeid] = "failed"


# The skips of other pytest runs, one line each.
inner_skips: list[str] = []


@pytest.fixture
def count_cases(request):
    """A function that counts the cases of another pytest run, from its JUnit file, like tests of this run.

    It returns the cases that failed. A skip is one in CI, unless its reason has the text `news`, if one is given.
    """

    def add(junit: Path, news: str = "") -> list[str]:
        failures = []
        cases = list(ElementTree.parse(junit).iter("testcase"))
        assert cases, "no test ran"
        for case in cases:
            name = f"{request.node.name}: {case.get('classname')}::{case.get('name')}"
            skip = case.find("skipped")
            outcome = "passed"
            if case.find("failure") is not None or case.find("error") is not None:
                outcome = "failed"
            elif skip is not None:
                text = skip.get("message", "")
                if CI and not (news and news in text):
                    outcome, line = "failed", f"FAIL {name}: {text}, which is an error in CI"
                else:
                    outcome, line = "skipped", f"SKIP {name}: {text}"
                inner_skips.append(line)
            outcomes[f"{request.node.nodeid}: {name}"] = outcome
            if outcome == "failed":
                failures.append(name)
        return failures

    return add


def count(outcome: str) -> int:
    return list(outcomes.values()).count(outcome)


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session, exitstatus) -> None:
    # Skipping a file is allowed. Running no test is an error.
    if exitstatus == pytest.ExitCode.NO_TESTS_COLLECTED and outcomes:
        session.exitstatus = 1 if count("failed") else 0


def pytest_unconfigure(config) -> None:
    if config.option.collectonly:
        return
    for line in [*unread, *inner_skips]:
        print(line)
    for (test, why), cases in skips.items():
        print(f"SKIP {cases[0] if len(cases) == 1 else f'{test} ({len(cases)} cases)'}: {why}")
    name = " ".join(Path(arg.split("::")[0]).stem.removeprefix("test_") for arg in config.args)
    print(f"{name}: {count('passed')} passed, {count('failed')} failed, {count('skipped')} skipped")
