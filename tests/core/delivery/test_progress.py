"""What is known of requests: round trips through a header, and rubbish in it."""

from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.core.delivery.progress import Progress, RequestKind, load
from tests.support.making import HEX, thrown

IDS = st.one_of(st.none(), st.text(st.characters(exclude_categories=["Cs"]), max_size=30))
RECORDS = st.builds(
    Progress,
    request=st.sampled_from(RequestKind),
    conversation_id=IDS,
    stream=IDS,
    published=st.integers(0, 2**53),
    watermark=IDS,
    announced=IDS,
    lost_stream=st.booleans(),
)
FULL = Progress(RequestKind.INTERACT, HEX, "0123456789ab", 7, "m-1", "m-2", True)


@given(RECORDS)
@thrown(300)
def test_a_record_survives_its_header(progress: Progress) -> None:
    assert load(progress.dump()) == progress


def test_an_empty_record_needs_no_header() -> None:
    assert Progress().dump() is None
    assert load(None) == Progress()
    assert (Progress().request, Progress().published) == (RequestKind.NONE, 0)


RUBBISH: list[Any] = ["", "{", "null", "5", "[]", "{}", '"x"', b"{}", 5, True, 1.5, {}, [], "\ud800", "[" * 5000]


@pytest.mark.parametrize("header", RUBBISH, ids=lambda value: repr(value)[:20])
def test_rubbish_is_taken_as_an_unknown_request(header: Any) -> None:
    assert load(header) == Progress(request=RequestKind.UNKNOWN)


def fields(**changed: Any) -> str:
    return orjson.dumps({**orjson.loads(FULL.dump() or ""), **changed}).decode()


@pytest.mark.parametrize("missing", orjson.loads(FULL.dump() or ""))
def test_a_record_that_lacks_a_field_is_an_unknown_request(missing: str) -> None:
    text = orjson.dumps({name: value for name, value in orjson.loads(fields()).items() if name != missing}).decode()
    assert load(text) == Progress(request=RequestKind.UNKNOWN)


@pytest.mark.parametrize("value", [5, True, ["x"], {"a": 1}], ids=repr)
def test_an_id_of_another_type_is_an_unknown_request(value: Any) -> None:
    for name in ("conversation_id", "stream", "watermark", "announced"):
        assert load(fields(**{name: value})) == Progress(request=RequestKind.UNKNOWN)


@pytest.mark.parametrize(
    "changed", [{"request": "other"}, {"request": None}, {"published": "x"}, {"published": None}, {"published": []}]
)
def test_a_value_that_means_nothing_is_an_unknown_request(changed: dict[str, Any]) -> None:
    assert load(fields(**changed)) == Progress(request=RequestKind.UNKNOWN)


@given(st.one_of(st.text(max_size=40), st.binary(max_size=20), st.integers(), st.floats(), st.lists(st.text())))
@thrown(300)
def test_nothing_in_the_header_raises(header: object) -> None:
    assert isinstance(load(header), Progress)


@pytest.mark.parametrize("request_", RequestKind)
def test_whatever_was_asked_needs_proof(request_: RequestKind) -> None:
    assert Progress(request_).needs_proof is (request_ is not RequestKind.NONE)


def test_a_new_request_forgets_what_the_last_ones_message_was() -> None:
    again = FULL.requested(RequestKind.CREATE)
    assert again == Progress(RequestKind.CREATE, None, "0123456789ab", 7, None, None, True)
    assert FULL.requested(RequestKind.INTERACT, HEX, "m-9").watermark == "m-9"


def test_cleared_means_that_no_request_is_open_but_the_stream_is_still_to_be_voided() -> None:
    assert FULL.cleared() == Progress(RequestKind.NONE, None, "0123456789ab", 7, None, None, True)
    assert not FULL.cleared().needs_proof


@pytest.mark.parametrize(
    ("record", "loses"),
    [
        (Progress(), False),
        (Progress(RequestKind.CREATE), False),
        (Progress(RequestKind.UNKNOWN), True),
        (Progress(RequestKind.UNKNOWN, stream="0123456789ab"), False),
        (Progress(lost_stream=True), True),
    ],
)
def test_a_stream_is_lost_where_an_unknown_request_left_no_id_of_one(progress: Progress, loses: bool) -> None:
    assert progress.loses_stream is loses
