"""Names the failed tests of test suites' JUnit reports, and prints "N passed, N failed" as the last line.

usage: count_tests.py RESULTS_DIRECTORY SUITE...

A suite is SUITE.xml and SUITE.status (the runner's exit code). A suite that did not run, that ran nothing, or
whose runner failed without naming a test, counts as one failure. Exits with 1 when anything failed.
"""

import pathlib
import sys
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from dataclasses import dataclass

# How much is shown of what a failed test printed, and of how many tests.
SHOWN_LINES = 40
SHOWN_TESTS = 10


@dataclass
class Counts:
    passed: int = 0
    failed: int = 0
    skipped: int = 0

    def add(self, other: "Counts") -> None:
        self.passed += other.passed
        self.failed += other.failed
        self.skipped += other.skipped


def has_failed(case: ElementTree.Element) -> bool:
    return case.find("failure") is not None or case.find("error") is not None or case.get("status") == "fail"


def count_cases(report: pathlib.Path) -> Counts:
    counts = Counts()
    for case in ElementTree.parse(report).iter("testcase"):
        # ctest calls a case that it could not start "skipped"; its exit code then makes the suite fail.
        if has_failed(case):
            counts.failed += 1
        elif case.find("skipped") is not None:
            counts.skipped += 1
        else:
            counts.passed += 1
    return counts


def count_suite(directory: pathlib.Path, suite: str) -> tuple[Counts, str]:
    """The counts of one suite, and why it failed when no test of its says so."""
    try:
        status = int((directory / f"{suite}.status").read_text())
        counts = count_cases(directory / f"{suite}.xml")
    except (OSError, ValueError, ElementTree.ParseError):
        return Counts(failed=1), "did not run to its end"
    if counts.failed:
        return counts, ""
    if counts.passed == 0:
        return Counts(failed=1, skipped=counts.skipped), "no test ran"
    if status != 0:
        return Counts(counts.passed, 1, counts.skipped), f"the runner ended with code {status}"
    return counts, ""


def printed_by(case: ElementTree.Element) -> list[str]:
    """The last lines of what a failed test printed: ctest reports its output, pytest how it failed."""
    texts = [text for tag in ("failure", "error", "system-out") for text in case.findall(tag)]
    return [line for text in texts for line in (text.text or "").splitlines()][-SHOWN_LINES:]


def name_of(case: ElementTree.Element) -> str:
    """ctest gives a test one name in both attributes; pytest its module in one."""
    parts = [case.get("classname", ""), case.get("name", "")]
    return "::".join(dict.fromkeys(part for part in parts if part))


def failures(directory: pathlib.Path, suites: list[str]) -> Iterator[tuple[str, ElementTree.Element]]:
    for suite in suites:
        try:
            report = ElementTree.parse(directory / f"{suite}.xml")
        except (OSError, ElementTree.ParseError):
            continue  # count_suite() says so
        yield from ((suite, case) for case in report.iter("testcase") if has_failed(case))


def show_failures(directory: pathlib.Path, suites: list[str]) -> None:
    failed = list(failures(directory, suites))
    for suite, case in failed[:SHOWN_TESTS]:
        print(f"--- {suite}: {name_of(case)}, after {case.get('time', '?')} s, printed:")
        print("\n".join(printed_by(case)))
    for suite, case in failed[:SHOWN_TESTS]:
        print(f"failed: {suite}: {name_of(case)}")
    if len(failed) > SHOWN_TESTS:
        print(f"and {len(failed) - SHOWN_TESTS} more failed")


def main() -> int:
    directory, suites = pathlib.Path(sys.argv[1]), sys.argv[2:]
    show_failures(directory, suites)
    total = Counts()
    for suite in suites:
        counts, reason = count_suite(directory, suite)
        total.add(counts)
        line = f"{suite}: {counts.passed} passed, {counts.failed} failed, {counts.skipped} skipped"
        print(f"{line} ({reason})" if reason else line)
    print(f"{total.passed} passed, {total.failed} failed")
    return 1 if total.failed or not total.passed else 0


if __name__ == "__main__":
    sys.exit(main())
