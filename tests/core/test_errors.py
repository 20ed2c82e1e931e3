"""One error tree: what each error carries, and that all of them can be caught as one."""

import inspect

import pytest

from bridge.core import errors
from bridge.core.errors import (
    MAX_ERROR_BYTES,
    TRANSIENT_4XX,
    Actor,
    ApiError,
    BridgeError,
    InvalidEvent,
    LineTooLong,
    NoRoute,
    Refused,
    TooEarly,
    bounded,
    is_transient,
)

ERRORS = [kind for _, kind in inspect.getmembers(errors, inspect.isclass) if issubclass(kind, Exception)]


@pytest.mark.parametrize("kind", ERRORS)
def test_every_error_has_the_one_root(kind: type[Exception]) -> None:
    assert issubclass(kind, BridgeError)


def test_the_docstring_says_for_each_leaf_who_must_act() -> None:
    leaves = {kind.__name__ for kind in ERRORS if not kind.__subclasses__()} | {"InvalidEvent"}
    told = set((errors.__doc__ or "").replace(",", " ").split())
    assert leaves - {"LineTooLong"} <= told  # that one never gets further than the stream that it cuts


def test_a_refusal_says_what_was_refused_and_in_which_words() -> None:
    assert str(Refused("interact", 422, "no such thing")) == "interact was answered 422: no such thing"
    assert str(Refused("interact", 500, "")) == "interact was answered 500"
    assert Refused("interact", 429, "", 3.0).retry_after_s == 3.0


def test_an_invalid_event_carries_what_is_known_of_it() -> None:
    error = NoRoute("why", "e-1", "sms")
    assert isinstance(error, InvalidEvent)
    assert (str(error), error.event_id, error.channel) == ("why", "e-1", "sms")
    assert (InvalidEvent("why").event_id, InvalidEvent("why").channel) == (None, None)


def test_a_line_that_is_too_long_brings_the_lines_before_it() -> None:
    error = LineTooLong(1024, [b"one"])
    assert isinstance(error, ApiError)
    assert error.lines == [b"one"]
    assert "1024 bytes" in str(error)


def test_a_rate_limit_brings_its_wait() -> None:
    assert TooEarly("later", 3.5).wait_s == 3.5


def test_time_mends_5xx_and_three_of_4xx() -> None:
    mended = {status for status in range(300, 600) if is_transient(status)}
    assert mended == {408, 409, 429, *range(500, 600)}
    assert mended == {status for status in range(300, 600) if Refused("list", status, "").actor is Actor.TIME}


def test_425_is_mended_by_a_person() -> None:
    """It asks for a request without early data (RFC 8470), and the bridge sends none."""
    assert 425 not in TRANSIENT_4XX
    assert Refused("list", 425, "").actor is Actor.OPERATOR


@pytest.mark.parametrize("letter", ["x", "é", "€", "😀"])
def test_an_errors_text_is_cut_at_a_character_and_says_so(letter: str) -> None:
    width = len(letter.encode())
    for count in range(MAX_ERROR_BYTES // width - 4, MAX_ERROR_BYTES // width + 5):
        whole, text = letter * count, bounded(letter * count)
        if count * width <= MAX_ERROR_BYTES:
            assert text == whole
        else:
            assert text == letter * ((MAX_ERROR_BYTES - 3) // width) + "…"
            assert len(text.encode()) <= MAX_ERROR_BYTES


def test_an_errors_text_is_one_that_json_can_have() -> None:
    assert bounded("a\ud800b") == "a?b"
    assert bounded("abcdef", 5) == "ab…"
