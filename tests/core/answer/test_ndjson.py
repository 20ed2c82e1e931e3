"""Lines out of chunks: whatever the cuts, exactly the lines that were sent."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.core.answer.ndjson import LineSplitter
from bridge.core.errors import LineTooLong
from tests.support.making import thrown

PLENTY = 1024


def split(chunks: list[bytes], max_line: int = PLENTY) -> list[bytes]:
    splitter = LineSplitter(max_line)
    lines = [line for chunk in chunks for line in splitter.feed(chunk)]
    rest = splitter.close()
    return lines if rest is None else [*lines, rest]


def expected(whole: bytes) -> list[bytes]:
    return [line for line in whole.split(b"\n") if line.strip()]


SAMPLES = {
    "plain": b'{"a":1}\n{"b":2}\n',
    "no final newline": b'{"a":1}\n{"b":2}',
    "blank lines": b'\n\n{"a":1}\n\n \n\t\n{"b":2}\n\n',
    "carriage returns": b'{"a":1}\r\n\r\n{"b"\r:2}\r\n',
    "other newlines of unicode": '{"a":"\u2028\u2029\u0085\x0b\x0c\x1c\x1d\x1e"}\n{"b":2}\n'.encode(),
    "cut in a character": '{"a":"é漢😀"}\n'.encode() * 2,
    "not utf-8": b"\xff\xfe\n\x80\n",
    "nothing": b"",
    "only newlines": b"\n\n\n",
    "one byte": b"x",
}


@pytest.mark.parametrize("whole", SAMPLES.values(), ids=SAMPLES.keys())
def test_every_two_cut_points_give_the_same_lines(whole: bytes) -> None:
    for first in range(len(whole) + 1):
        for second in range(first, len(whole) + 1):
            assert split([whole[:first], whole[first:second], whole[second:]]) == expected(whole)


@pytest.mark.parametrize("whole", SAMPLES.values(), ids=SAMPLES.keys())
def test_one_byte_a_chunk_gives_the_same_lines(whole: bytes) -> None:
    assert split([whole[at : at + 1] for at in range(len(whole))]) == expected(whole)


@given(
    st.lists(st.binary(max_size=12).map(lambda line: line.replace(b"\n", b"\r")), max_size=6).flatmap(
        lambda lines: st.tuples(
            st.just(lines), st.sets(st.integers(1, sum(map(len, lines)) + len(lines) + 1)), st.booleans()
        )
    )
)
@thrown(600)
def test_any_chunking_gives_exactly_the_lines_that_were_sent(case: tuple[list[bytes], set[int], bool]) -> None:
    lines, cuts, ends_with_newline = case
    whole = b"\n".join(lines) + (b"\n" if ends_with_newline else b"")
    places = [0, *sorted(cut for cut in cuts if cut < len(whole)), len(whole)]
    chunks = [whole[start:end] for start, end in pairwise(places)]
    assert b"".join(chunks) == whole
    assert split(chunks) == [line for line in lines if line.strip()]


def test_a_line_comes_out_as_soon_as_its_newline_is_there() -> None:
    splitter = LineSplitter(PLENTY)
    assert splitter.feed(b'{"a"') == []
    assert splitter.feed(b":1}\n{") == [b'{"a":1}']
    assert splitter.feed(b"}\n") == [b"{}"]
    assert splitter.close() is None


def test_closing_gives_the_last_line_once() -> None:
    splitter = LineSplitter(PLENTY)
    splitter.feed(b"last")
    assert splitter.close() == b"last"
    assert splitter.close() is None


def test_a_splitter_that_was_closed_holds_nothing_of_before() -> None:
    splitter = LineSplitter(4)
    splitter.feed(b"abc")
    splitter.close()
    assert splitter.feed(b"defg") == []
    assert splitter.close() == b"defg"


LIMIT = 8


@pytest.mark.parametrize("ending", [b"\n", b""])
def test_a_line_of_exactly_the_limit_is_taken_at_every_cut(ending: bytes) -> None:
    whole = b"before\n" + b"x" * LIMIT + ending
    for cut in range(len(whole) + 1):
        assert split([whole[:cut], whole[cut:]], LIMIT) == [b"before", b"x" * LIMIT]


@pytest.mark.parametrize("ending", [b"\n", b"", b"\nmore\n"])
def test_a_line_one_byte_longer_is_refused_at_every_cut(ending: bytes) -> None:
    whole = b"x" * (LIMIT + 1) + ending
    for cut in range(len(whole) + 1):
        with pytest.raises(LineTooLong, match=f"longer than {LIMIT} bytes"):
            split([whole[:cut], whole[cut:]], LIMIT)


@pytest.mark.parametrize("ending", [b"\n", b"", b"\nlater\n"])
def test_the_lines_before_one_that_is_too_long_are_not_lost(ending: bytes) -> None:
    whole = b"one\n\ntwo\n" + b"x" * (LIMIT + 1) + ending
    for cut in range(len(whole) + 1):
        splitter, seen = LineSplitter(LIMIT), []
        with pytest.raises(LineTooLong) as caught:  # noqa: PT012  # which chunk raises depends on the cut
            for chunk in (whole[:cut], whole[cut:]):
                seen += splitter.feed(chunk)
        assert [*seen, *caught.value.lines] == [b"one", b"two"]


def test_many_lines_in_one_chunk_may_be_longer_than_the_limit_together() -> None:
    assert split([b"1234567\n" * 100], LIMIT) == [b"1234567"] * 100


def test_an_endless_line_is_refused_before_it_is_held() -> None:
    splitter = LineSplitter(LIMIT)
    for _ in range(LIMIT):
        splitter.feed(b"x")
    with pytest.raises(LineTooLong):
        splitter.feed(b"x")
