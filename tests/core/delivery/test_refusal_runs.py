"""When refusals speak of a route: the same status, different events, no answer between."""

import pytest

from bridge.core.delivery.progress import RequestKind
from bridge.core.delivery.refusal_runs import MAX_RUNS, RefusalRuns, RefusalSubject, speaks_of_route

PAYMENTS = RefusalSubject("payments", "service", "release")
CANARY = RefusalSubject("payments", "service", "canary")


def grown(runs: RefusalRuns, count: int, subject: RefusalSubject = PAYMENTS, status: int = 403) -> list[bool]:
    return [runs.refused(subject, status, f"e{number}") for number in range(count)]


def test_the_last_of_so_many_different_events_is_one_too_many_and_so_is_what_follows() -> None:
    runs = RefusalRuns(3)
    assert grown(runs, 3) == [False, False, True]
    assert runs.refused(PAYMENTS, 403, "in-flight")


def test_one_event_that_is_refused_again_and_again_is_one() -> None:
    runs = RefusalRuns(3)
    assert not any(runs.refused(PAYMENTS, 403, "e1") for _ in range(10))


def test_an_answer_between_begins_anew_with_its_subject_alone() -> None:
    runs = RefusalRuns(3)
    grown(runs, 2)
    grown(runs, 2, CANARY)
    runs.answered(PAYMENTS)
    assert not runs.refused(PAYMENTS, 403, "e9")
    assert runs.refused(CANARY, 403, "e9")


def test_each_status_and_each_subject_has_its_own_run() -> None:
    runs = RefusalRuns(3)
    for subject, status in ((PAYMENTS, 403), (PAYMENTS, 404), (CANARY, 403)):
        assert grown(runs, 2, subject, status) == [False, False]


def test_a_route_that_is_let_go_on_begins_anew_with_all_its_subjects() -> None:
    runs = RefusalRuns(3)
    grown(runs, 3)
    grown(runs, 3, CANARY)
    runs.forget("payments")
    assert grown(runs, 2) == grown(runs, 2, CANARY) == [False, False]


def test_without_a_limit_nothing_is_ever_too_many() -> None:
    assert not any(grown(RefusalRuns(0), 100))


def test_of_too_many_runs_the_one_that_has_not_grown_for_longest_is_forgotten() -> None:
    runs = RefusalRuns(2)
    grown(runs, 1)
    for number in range(MAX_RUNS):
        runs.refused(RefusalSubject("payments", f"service-{number}", "release"), 403, "e0")
    assert not runs.refused(PAYMENTS, 403, "e1")


@pytest.mark.parametrize(
    ("request_kind", "status", "speaks"),
    [
        (RequestKind.CREATE, 403, True),
        (RequestKind.CREATE, 404, True),
        (RequestKind.CREATE, 422, True),
        (RequestKind.CREATE, 400, False),
        (RequestKind.CREATE, None, False),
        (RequestKind.INTERACT, 403, True),
        (RequestKind.INTERACT, 404, False),
        (RequestKind.INTERACT, 422, False),
        (RequestKind.TAG, 403, False),
        (None, 403, False),
    ],
)
def test_which_refusals_may_speak_of_the_route(
    request_kind: RequestKind | None, status: int | None, speaks: bool
) -> None:
    assert speaks_of_route(request_kind, status) is speaks
