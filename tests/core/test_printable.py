"""What a terminal would act upon, shown instead: wherever a person looks."""

import json
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.core.printable import CONTROLS, printable, printable_json
from tests.support.making import thrown

ESCAPED = {
    "\x00": r"\x00",
    "\x07": r"\x07",
    "\n": r"\n",
    "\r": r"\r",
    "\t": r"\t",
    "\x1b[31m": r"\x1b[31m",
    "\x7f": r"\x7f",
    "\x85": r"\x85",
    "\x9b2J": r"\x9b2J",
    "\u2028": r"\u2028",
    "\u2029": r"\u2029",
    "\u200b": r"\u200b",
    "\u202e": r"\u202e",
    "\u2066x\u2069": r"\u2066x\u2069",
    "\u200f": r"\u200f",
    "\u061c": r"\u061c",
    "\ufeff": r"\ufeff",
    "\ud800": r"\ud800",
    "\U000e0041": r"\U000e0041",
}
IGNORABLE = (
    "00ad 034f 061c 115f-1160 17b4-17b5 180b-180f 200b-200f 202a-202e 2060-206f 3164 fe00-fe0f feff ffa0 fff0-fff8 "
    "1bca0-1bca3 1d173-1d17a e0000-e0fff"
)
"""Default_Ignorable_Code_Point, as DerivedCoreProperties.txt of Unicode 15.1 has it."""
NEEDED = {0x180B, 0x180C, 0x180D, 0x180F, 0x200C, 0x200D, *range(0xFE00, 0xFE10)}
"""Joiners and variation selectors, without which scripts and emoji are other ones."""
KEPT = [
    "plain",
    "café",
    "日本語",
    "25\u00a0000 €",
    "👩\u200d👧",
    "نص\u200cعربي",
    "C:\\new",
    "a\u0301",
    "❤\ufe0f",
    "\\x1b",
    "'\"",
]


@pytest.mark.parametrize(("text", "shown"), ESCAPED.items(), ids=ESCAPED.values())
def test_what_a_terminal_obeys_is_escaped(text: str, shown: str) -> None:
    assert printable(f"a{text}b") == f"a{shown}b"
    as_json = printable_json(json.dumps(f"a{text}b", ensure_ascii=False))
    assert json.loads(as_json) == f"a{text}b"
    assert not CONTROLS.search(as_json)


@pytest.mark.parametrize("span", IGNORABLE.split())
def test_what_nobody_sees_is_escaped_unless_a_script_needs_it(span: str) -> None:
    first, last = (int(end, 16) for end in (span.split("-") * 2)[:2])
    for point in range(first, last + 1):
        char = chr(point)
        assert (printable(char) == char) is (point in NEEDED), hex(point)
        as_json = printable_json(json.dumps(char, ensure_ascii=False))
        assert json.loads(as_json) == char
        assert (char in as_json) is (point in NEEDED)


@pytest.mark.parametrize("text", KEPT)
def test_what_is_only_text_stays(text: str) -> None:
    assert printable(text) == text
    assert printable_json(text) == text


@given(st.text())
@thrown(500)
def test_nothing_is_left_that_controls_and_json_keeps_its_value(text: str) -> None:
    shown = printable(text)
    kinds = {unicodedata.category(char) for char in shown}
    assert kinds.isdisjoint({"Cc", "Cs", "Zl", "Zp"})
    assert not any(
        unicodedata.bidirectional(char) in ("RLO", "LRO", "RLE", "LRE", "PDF", "RLI", "LRI") for char in shown
    )
    as_json = printable_json(json.dumps([text], ensure_ascii=False))
    assert json.loads(as_json) == [text]
    assert not CONTROLS.search(as_json)
