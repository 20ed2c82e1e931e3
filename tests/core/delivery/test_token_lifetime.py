"""Another machine's times are spans of its own clock, and this machine's clock decides nothing."""

import inspect

import pytest

from bridge.core.delivery.token_lifetime import TOLERATED_S, clock_fault, span_s, use_for_s

NOW_S = 1_800_000_000.0


def row(name: str) -> list[float | None]:
    doc = inspect.getdoc(use_for_s) or ""
    line = next(line for line in doc.splitlines() if line.strip().startswith(name))
    return [None if cell == "None" else float(cell) for cell in line.split()[1:]]


def test_the_docstrings_table_is_true() -> None:
    lifetimes, uses = row("lifetime"), row("use")
    assert len(lifetimes) == len(uses) == 6
    assert [use_for_s(lifetime) for lifetime in lifetimes] == uses


def test_a_span_needs_both_of_its_ends() -> None:
    assert span_s(NOW_S + 30, NOW_S) == 30
    assert span_s(NOW_S - 30, NOW_S) == -30
    assert span_s(None, NOW_S) is None
    assert span_s(NOW_S, None) is None


@pytest.mark.parametrize("lifetime_s", [1.5, 2, 5, 299, 301, 3600, 86_400])
def test_a_token_is_renewed_before_it_ends_and_not_at_once(lifetime_s: float) -> None:
    use_s = use_for_s(lifetime_s)
    assert use_s is not None
    assert lifetime_s / 2 <= use_s < lifetime_s


@pytest.mark.parametrize("ahead_s", [7200.0, -7200.0, TOLERATED_S + 1, -TOLERATED_S - 1])
def test_a_clock_that_differs_is_told_with_by_how_much(ahead_s: float) -> None:
    fault = clock_fault(NOW_S + ahead_s, NOW_S, NOW_S + 3600)
    assert fault is not None
    assert fault.ahead_s == ahead_s


@pytest.mark.parametrize("ahead_s", [0.0, 1.0, TOLERATED_S, -TOLERATED_S])
def test_clocks_that_differ_by_less_than_a_minute_are_no_fault(ahead_s: float) -> None:
    assert clock_fault(NOW_S + ahead_s, NOW_S, NOW_S + 3600) is None


def test_a_token_that_has_expired_when_it_is_issued_is_told() -> None:
    by_its_own_clock = clock_fault(NOW_S, NOW_S, NOW_S - 7200)
    by_this_one = clock_fault(NOW_S, None, NOW_S - 7200)
    assert by_its_own_clock is not None
    assert by_its_own_clock == by_this_one
    assert "expired" in by_its_own_clock.error


def test_what_is_not_told_is_no_fault() -> None:
    assert clock_fault(NOW_S, None, None) is None
    assert clock_fault(NOW_S, None, NOW_S + 3600) is None
    assert clock_fault(NOW_S, NOW_S, None) is None
