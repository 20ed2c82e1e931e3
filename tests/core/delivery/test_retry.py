"""How long to wait: the table in the docstring, its borders, and the delay queues."""

import pytest

from bridge.core.delivery.retry import DELAY_LEVELS_S, RetryPolicy, backoff, busy_wait_s, delay_level, pause, republish

POLICY = RetryPolicy()


def row(name: str) -> list[float | None]:
    line = next(line for line in (backoff.__doc__ or "").splitlines() if line.strip().startswith(name))
    return [None if cell == "-" else float(cell) for cell in line.split()[1:]]


@pytest.mark.parametrize("dice", [0, 1])
def test_the_docstrings_table_is_true(dice: int) -> None:
    attempts, waits = row("attempt"), row(f"dice={dice}")
    assert len(attempts) == len(waits) == 6
    assert [backoff(int(attempt or 0), POLICY, dice) for attempt in attempts] == waits


def test_the_defaults_are_those_of_the_design() -> None:
    assert RetryPolicy(attempts=6, first_s=1.0, longest_s=600.0) == POLICY


def test_the_wait_is_never_longer_than_the_longest() -> None:
    policy = RetryPolicy(attempts=10_000, first_s=1.0, longest_s=10.0)
    for attempt in (1, 5, 100, 9_999):
        assert 0 < (backoff(attempt, policy, 1.0) or 0) <= 10.0


def test_attempts_beyond_the_last_stay_used_up() -> None:
    assert [backoff(attempt, POLICY, 0.5) for attempt in (5, 6, 7, 1000)] == [24.0 / 1.5 * 1.25, None, None, None]


def test_one_attempt_means_no_retry() -> None:
    assert backoff(1, RetryPolicy(attempts=1), 0.0) is None


@pytest.mark.parametrize("dice", [0.0, 0.3, 1.0])
def test_the_dice_add_half_of_the_wait_at_most(dice: float) -> None:
    for attempt in range(1, 6):
        least = backoff(attempt, POLICY, 0.0)
        assert backoff(attempt, POLICY, dice) == pytest.approx((least or 0) * (1 + dice / 2))


def test_a_pause_doubles_up_to_a_minute_and_is_never_used_up() -> None:
    assert [pause(times, POLICY, 0.0) for times in (1, 2, 3, 6, 7, 8, 100, 10_000)] == [1, 2, 4, 32, 60, 60, 60, 60]


def test_a_pause_heeds_the_configured_longest_and_a_shorter_one_of_its_own() -> None:
    assert pause(20, RetryPolicy(longest_s=5.0), 1.0) == 5.0
    assert pause(20, POLICY, 1.0, longest_s=7.0) == 7.0


def test_the_delay_queues_are_those_of_the_design() -> None:
    assert DELAY_LEVELS_S == (1, 2, 5, 10, 30, 60, 120, 300, 600, 1200, 1800, 3600)


@pytest.mark.parametrize(
    ("wait_s", "level_s"),
    [
        (0, 1),
        (0.2, 1),
        (1, 1),
        (1.01, 2),
        (2, 2),
        (3, 5),
        (5.5, 10),
        (10, 10),
        (11, 30),
        (31, 60),
        (61, 120),
        (120.5, 300),
        (300.1, 600),
        (600, 600),
        (601, 1200),
        (1801, 3600),
        (1e9, 3600),
    ],
)
def test_a_wait_is_parked_where_it_is_not_too_early(wait_s: float, level_s: int) -> None:
    assert delay_level(wait_s) == level_s


def test_what_is_refused_is_published_again_for_the_time_that_is_given() -> None:
    policy = RetryPolicy(publish_for_s=10.0)
    assert [republish(times, since_s, policy, 0.0) for times, since_s in ((1, 0.0), (2, 1.0), (3, 3.0))] == [1, 2, 4]
    assert republish(4, 7.0, policy, 0.0) is None
    assert republish(1, 0.0, RetryPolicy(publish_for_s=0.0), 0.0) is None


@pytest.mark.parametrize(
    ("waited_s", "wait_s"), [(0, 30), (29, 30), (30, 60), (90, 120), (210, 300), (509, 300), (510, 600), (1e6, 600)]
)
def test_a_busy_conversation_is_looked_at_less_and_less_often(waited_s: float, wait_s: float) -> None:
    assert busy_wait_s(waited_s) == wait_s
