"""Durations as people write them: what is one, and how long it may be."""

import pytest

from bridge.core.duration import MAX_S, seconds


@pytest.mark.parametrize(
    ("text", "length_s"),
    [("250ms", 0.25), ("1.5s", 1.5), ("10m", 600), ("24h", 86_400), (" 7d ", 604_800), ("0s", 0), ("36525d", MAX_S)],
)
def test_a_duration_is_a_number_and_its_unit(text: str, length_s: float) -> None:
    assert seconds(text) == length_s


@pytest.mark.parametrize("text", ["", "1", "s", "1 s", "-1s", "1,5s", "1e3s", "inf", "\u0661s", None, 5, ["1s"]])
def test_anything_else_is_none(text: object) -> None:
    with pytest.raises(ValueError, match="not a duration"):
        seconds(text)


@pytest.mark.parametrize("text", ["36526d", "876601h", "9" * 30 + "s"])
def test_a_hundred_years_are_the_longest(text: str) -> None:
    with pytest.raises(ValueError, match="longer than 100 years"):
        seconds(text)


@pytest.mark.parametrize("text", ["9" * 900_000 + "h", "0." + "0" * 900_000 + "1s"])
def test_hundreds_of_thousands_of_digits_are_not_even_read(text: str) -> None:
    """Nine hundred thousand nines are infinite as a float, which would mean never."""
    with pytest.raises(ValueError, match="not a duration"):
        seconds(text)
