"""What is known of requests: round trips through a header, and rubbish in it."""

from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.core.delivery.progress import NOTHING, UNKNOWN, Progress, RequestKind, load
from tests.support.making import HEX, thrown, unproved

IDS = st.one_of(st.none(), st.text(st.characters(exclude_categories=["Cs"]), max_size=30))
ASKED = [kind for kind in RequestKind if kind is not RequestKind.NONE]
PROGRESSES = st.builds(
    unproved,
    request=st.sampled_from(ASKED),
    conversation_id=IDS,
    stream=IDS,
    published=st.integers(0, 2**53),
    watermark=IDS,
    announced=IDS,
    lost_stream=st.booleans(),
    asked_s=st.none() | st.floats(0, 2e9),
)
FULL = unproved(RequestKind.INTERACT, HEX, "0123456789ab", 7, "m-1", "m-2", lost_stream=True)


@given(PROGRESSES)
@thrown(300)
def test_a_progress_survives_its_header(progress: Progress) -> None:
    assert load(progress.dump()) == progress


def test_an_empty_progress_needs_no_header() -> None:
    assert NOTHING.dump() is None
    assert load(None) == NOTHING == Progress()
    assert (NOTHING.request, NOTHING.published) == (RequestKind.NONE, 0)


def test_a_lost_stream_is_remembered_though_nothing_is_open() -> None:
    lost = Progress(lost_stream=True)
    assert load(lost.dump()) == lost


RUBBISH: list[Any] = ["", "{", "null", "5", "[]", "{}", '"x"', b"{}", 5, True, 1.5, {}, [], "\ud800", "[" * 5000]


@pytest.mark.parametrize("header", RUBBISH, ids=lambda value: repr(value)[:20])
def test_rubbish_is_taken_as_an_unknown_request(header: Any) -> None:
    assert load(header) == UNKNOWN


def fields(**changed: Any) -> str:
    return orjson.dumps({**orjson.loads(FULL.dump() or ""), **changed}).decode()


@pytest.mark.parametrize("missing", sorted(orjson.loads(FULL.dump() or "").keys() - {"busy_since", "asked"}))
def test_a_progress_that_lacks_a_field_is_an_unknown_request(missing: str) -> None:
    text = orjson.dumps({name: value for name, value in orjson.loads(fields()).items() if name != missing}).decode()
    assert load(text) == UNKNOWN


@pytest.mark.parametrize("value", [5, True, ["x"], {"a": 1}], ids=repr)
def test_an_id_of_another_type_is_an_unknown_request(value: Any) -> None:
    for name in ("conversation_id", "stream", "watermark", "announced"):
        assert load(fields(**{name: value})) == UNKNOWN


@pytest.mark.parametrize(
    "changed", [{"request": "other"}, {"request": None}, {"published": "x"}, {"published": None}, {"published": []}]
)
def test_a_value_that_means_nothing_is_an_unknown_request(changed: dict[str, Any]) -> None:
    assert load(fields(**changed)) == UNKNOWN


@given(st.one_of(st.text(max_size=40), st.binary(max_size=20), st.integers(), st.floats(), st.lists(st.text())))
@thrown(300)
def test_nothing_in_the_header_raises(header: object) -> None:
    assert isinstance(load(header), Progress)
