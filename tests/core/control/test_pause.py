"""What a pause holds."""

import pytest

from bridge.core.control.pause import NO_PAUSES, Pause, PauseScope, PauseSet

QUEUES = ("bridge.events", "bulk.events")
NOW_S = 1_800_000_000.0


def paused(scope: PauseScope, name: str = "", until_s: float | None = None) -> Pause:
    return Pause(scope, name, "because", "ops", NOW_S - 60, until_s)


ALL = paused(PauseScope.ALL)
BULK = paused(PauseScope.INBOUND, "bulk.events")
PAYMENTS = paused(PauseScope.ROUTE, "payments")
ANN = paused(PauseScope.USER, "ann")


@pytest.mark.parametrize(
    ("pause", "queue", "route", "user_id", "holds"),
    [
        (ALL, "bridge.events", None, "", True),
        (ALL, "bulk.events", "payments", "ann", True),
        (BULK, "bulk.events", None, "bob", True),
        (BULK, "bridge.events", "payments", "ann", False),
        (PAYMENTS, "bridge.events", "payments", "bob", True),
        (PAYMENTS, "bridge.events", "payments", "", True),
        (PAYMENTS, "bridge.events", "other", "ann", False),
        (PAYMENTS, "bridge.events", None, "payments", False),
        (ANN, "bridge.events", None, "ann", True),
        (ANN, "bulk.events", "payments", "ann", True),
        (ANN, "bridge.events", "ann", "bob", False),
        (ANN, "bridge.events", None, "", False),
    ],
)
def test_an_event_is_held_by_what_it_belongs_to(
    pause: Pause, queue: str, route: str | None, user_id: str, holds: bool
) -> None:
    known = PauseSet.of([pause])
    assert known.holding(queue, route, user_id, NOW_S) == (pause if holds else None)
    assert NO_PAUSES.holding(queue, route, user_id, NOW_S) is None


def test_of_several_the_widest_is_named() -> None:
    known = PauseSet.of([ANN, PAYMENTS, BULK, ALL])
    assert known.holding("bulk.events", "payments", "ann", NOW_S) == ALL
    assert PauseSet.of([ANN, PAYMENTS, BULK]).holding("bulk.events", "payments", "ann", NOW_S) == BULK
    assert PauseSet.of([ANN, PAYMENTS]).holding("bulk.events", "payments", "ann", NOW_S) == PAYMENTS


@pytest.mark.parametrize(
    ("pauses", "queues"),
    [([], set()), ([ALL], set(QUEUES)), ([BULK], {"bulk.events"}), ([PAYMENTS, ANN], set())],
)
def test_only_pauses_of_everything_and_of_inbounds_stop_consuming(pauses: list[Pause], queues: set[str]) -> None:
    assert PauseSet.of(pauses).paused_queues(QUEUES, NOW_S) == queues


def test_a_pause_ends_by_itself() -> None:
    known = PauseSet.of([paused(PauseScope.ALL, until_s=NOW_S), PAYMENTS])
    assert known.holding("bridge.events", None, "", NOW_S - 0.1) is not None
    assert known.holding("bridge.events", None, "", NOW_S) is None
    assert known.paused_queues(QUEUES, NOW_S) == frozenset()
    assert known.ended(NOW_S - 0.1) == []
    assert [pause.key for pause in known.ended(NOW_S)] == ["all"]


def test_there_is_one_pause_of_each() -> None:
    again = Pause(PauseScope.ROUTE, "payments", "another reason", "token ops", NOW_S)
    assert dict(PauseSet.of([PAYMENTS, again, ANN]).pauses) == {"route:payments": again, "user:ann": ANN}


def test_a_pause_in_words() -> None:
    assert ALL.words == "all since 2027-01-15T07:59:00Z by ops: because"
    assert paused(PauseScope.ROUTE, "payments", NOW_S).words == (
        "route payments since 2027-01-15T07:59:00Z by ops until 2027-01-15T08:00:00Z: because"
    )
    assert ALL.facts["name"] is None
    assert PAYMENTS.facts == {
        "scope": "route",
        "name": "payments",
        "reason": "because",
        "by": "ops",
        "since": "2027-01-15T07:59:00Z",
        "until": None,
    }
