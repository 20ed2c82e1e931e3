"""The filter of keys: what was taken in is never denied, and few others are taken for known."""

import hashlib
from itertools import count

from bridge.edges.ledger.sqlite.key_filter import GROUPS, MAX_RUNS, MIN_PLACES, PLACES_PER_KEY, KeyFilter

GROUP_KEYS = MIN_PLACES // PLACES_PER_KEY
FEW = 0.01


def keys(run: int, number: int) -> list[bytes]:
    return [hashlib.sha256(b"%d-%d" % (run, one)).digest()[:16] for one in range(number)]


def test_what_was_taken_in_is_in_its_run_and_few_others_are_taken_for_known() -> None:
    known, runs = KeyFilter(), {run: keys(run, GROUP_KEYS // 2) for run in range(1, 2 * GROUPS)}
    for run, ours in runs.items():
        known.begin(run, len(ours))
        known.add(ours[:100])
        known.add(ours[100:])
    for run, ours in runs.items():
        assert all(run in known.runs(key) for key in ours[::500])
    strangers = keys(0, 10_000)
    assert sum(bool(known.runs(key)) for key in strangers) < FEW * len(strangers)


def test_of_many_small_runs_few_are_named() -> None:
    known = KeyFilter()
    for run in range(10 * MAX_RUNS):
        known.begin(run, 3)
        known.add(keys(run, 3))
    for run in range(10 * MAX_RUNS):
        assert all(run in known.runs(key) and len(known.runs(key)) <= 2 * MAX_RUNS for key in keys(run, 3))


def test_a_run_that_is_gone_is_named_no_more_and_all_that_is_left_is() -> None:
    known, runs = KeyFilter(), [*range(2 * GROUPS)]
    for run in runs:
        known.begin(run, GROUP_KEYS)
        known.add(keys(run, 50))
    for gone in runs:
        known.forget(gone)
        assert not any(gone in known.runs(key) for key in keys(gone, 20))
        assert all(left in known.runs(key) for left in runs[gone + 1 :] for key in keys(left, 20))
    known.begin(99, 1)
    known.add(keys(99, 1))
    assert known.runs(keys(99, 1)[0]) == [99]


def test_an_empty_one_knows_nothing() -> None:
    assert all(not KeyFilter().runs(key) for key, _ in zip(keys(1, 10), count(), strict=False))
