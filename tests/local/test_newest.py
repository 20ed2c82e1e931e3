"""`./dev newest`: what it installs, and what it reports."""

import pytest

from deploy.local.newest import SUITES, NotRun, Result, Version, compared, report, results, unbounded
from tests.house.source import ROOT


@pytest.mark.parametrize(
    ("requirement", "name"),
    [
        ("aiohttp>=3.14.4,<3.15", "aiohttp"),
        ("aio-pika", "aio-pika"),
        ("pydantic-settings[yaml]>=2.7", "pydantic-settings[yaml]"),
        ("uvloop>=0.21; platform_system != 'Windows'", "uvloop; platform_system != 'Windows'"),
    ],
)
def test_a_requirement_loses_its_bounds_and_nothing_else(requirement: str, name: str) -> None:
    assert unbounded(requirement) == name


def test_the_report_has_the_packages_of_the_project_and_those_that_are_newer() -> None:
    requirements = ["b>=1,<2", "a[x]>=1"]
    lock = {"a": "1", "b": "1", "c": "1", "d": "1"}
    newest = {"a": "1", "b": "2", "c": "2", "d": "1", "foreign": "9"}
    assert compared(requirements, lock, newest) == [
        Version("a", "1", "1", ">=1"),
        Version("b", "1", "2", ">=1,<2"),
        Version("c", "1", "2", ""),
    ]


VERSIONS = [Version("aiohttp", "3.14.5", "3.15.0", ">=3.14.4,<3.15"), Version("click", "8.4", "8.4", ">=8.1")]


def test_the_report_marks_what_is_newer_and_names_what_failed() -> None:
    lines = report(VERSIONS, "", Result(3, ["tests.x::test_y"]))
    assert "* aiohttp  3.14.5  3.15.0  >=3.14.4,<3.15" in lines
    assert "  click    8.4     8.4     >=8.1" in lines
    assert lines[-2:] == ["2 of 3 tests passed, 1 failed", "  failed: tests.x::test_y"]


def test_an_import_that_fails_is_reported_with_its_words() -> None:
    assert report(VERSIONS, "LibraryChanged: x has no y", None)[-1].endswith(": LibraryChanged: x has no y")


def test_results_count_failures_and_errors() -> None:
    cases = '<testcase classname="a" name="b"/><testcase classname="a" name="c"><failure/></testcase>'
    cases += '<testcase classname="a" name="d"><error/></testcase>'
    assert results(f"<testsuites><testsuite>{cases}</testsuite></testsuites>") == Result(3, ["a::c", "a::d"])


def test_no_test_at_all_is_no_result() -> None:
    with pytest.raises(NotRun):
        results("<testsuites/>")


def test_every_suite_exists() -> None:
    assert [suite for suite in SUITES if not (ROOT / suite).exists()] == []
