"""The comparison of enrichments is shown true records, and records that were doctored."""

import json

import pytest

from tests.chaos.comparing import VIOLATIONS, Told
from tests.chaos.enrichments import ALL, TYPES, compare_enrichments, lacking, wanted


def told(type_: str, more: str = "", event_id: str = "e1", **body: object) -> Told:
    return Told(event_id, f"{event_id}:{type_}{more}", type_, json.dumps(body).encode())


END = told("interaction-complete")
INSIGHTS, RECOMMENDED = told("interaction-insights"), told("recommended-responses")
FAILED = told("bridge-enrichment-failed", ":insights", enrichment="insights")
TWO = ("insights", "recommended-responses")


@pytest.mark.parametrize(
    ("records", "seen"),
    [
        pytest.param([END, INSIGHTS, RECOMMENDED], {}, id="each once"),
        pytest.param([END, END, INSIGHTS, INSIGHTS, RECOMMENDED], {}, id="repeats"),
        pytest.param([END, FAILED, RECOMMENDED], {}, id="one cannot be had"),
        pytest.param([told("bridge-failed")], {}, id="not answered"),
        pytest.param([END, INSIGHTS], {"missing": 1}, id="one is lost"),
        pytest.param([END, INSIGHTS, FAILED, RECOMMENDED], {"double": 1}, id="had and not to be had"),
        pytest.param([END, INSIGHTS, told("interaction-insights", ":2"), RECOMMENDED], {"double": 1}, id="twice"),
        pytest.param([INSIGHTS, END, RECOMMENDED], {"order": 1}, id="before the ending"),
        pytest.param([END, INSIGHTS, RECOMMENDED, told("message-source", ":m1")], {"double": 1}, id="not wanted"),
    ],
)
def test_each_answered_event_has_each_of_them_once(records: list[Told], seen: dict[str, int]) -> None:
    verdict = compare_enrichments(records, TWO)
    assert {name: count for name in VIOLATIONS if (count := getattr(verdict, name))} == seen
    assert lacking(records, TWO) == ({"e1"} if "missing" in seen else set())


def test_what_is_wanted_stands_in_the_configuration() -> None:
    assert wanted(ALL) == tuple(TYPES)
    assert wanted({}) == ()
