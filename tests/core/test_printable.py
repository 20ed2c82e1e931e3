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
KEPT = ["plain", "café", "日本語", "25\u00a0000 €", "👩\u200d👧", "نص\u200cعربي", "C:\\new", "a\u0301", "\\x1b", "'\""]


@pytest.mark.parametrize(("text", "shown"), ESCAPED.items(), ids=ESCAPED.values())
def test_what_a_terminal_obeys_is_escaped(text: str, shown: str) -> None:
    assert printable(f"a{text}b") == f"a{shown}b"
    as_json = printable_json(json.dumps(f"a{text}b", ensure_ascii=False))
    assert json.loads(as_json) == f"a{text}b"
    assert not CONTROLS.search(as_json)


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
