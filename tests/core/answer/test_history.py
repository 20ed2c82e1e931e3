"""What the lists of the API mean, and the ending that is written from them."""

import orjson
import pytest

from bridge.core.answer.history import ConversationRow, after, answer, first_interaction, recovered_ending
from bridge.core.event.tags import event_tag
from tests.support.making import HEX, message

ONE, TWO, THREE = message("m-1", "i-1", "user-message"), message("m-2", "i-1"), message("m-3", "i-2")


def row(**tags: str | None) -> ConversationRow:
    return ConversationRow(HEX, "user-1", HEX, False, 0, tags)


def test_a_conversation_carries_an_event_tag_only_as_exactly_that_tag() -> None:
    mine = event_tag("e-1")
    assert row(bridge_event=mine).carries(mine)
    assert row(bridge_event=f" {mine} ").carries(mine)
    for other in (row(), row(bridge_event=None), row(bridge_event=""), row(bridge_event=mine[:-1]), row(other=mine)):
        assert not other.carries(mine)
    assert not row(bridge_event=event_tag("e-2")).carries(mine)


def test_the_first_interaction_is_that_of_the_oldest_message() -> None:
    assert first_interaction([ONE, TWO, THREE]) == [ONE, TWO]
    assert first_interaction([ONE, THREE, TWO]) == [ONE, TWO]
    assert first_interaction([]) == []


def test_the_answer_is_the_agents_last_word() -> None:
    last = message("m-9", "i-1")
    assert answer([ONE, TWO, last]) == last
    assert answer([TWO, ONE]) == TWO
    assert answer([ONE]) is None
    assert answer(iter([])) is None


@pytest.mark.parametrize(
    ("watermark", "expected"),
    [("m-1", [TWO, THREE]), ("m-3", []), (None, [ONE, TWO, THREE]), ("gone", [ONE, TWO, THREE])],
)
def test_after_the_watermark_is_what_came_later_or_all_where_it_is_not_seen(
    watermark: str | None, expected: list[object]
) -> None:
    assert after([ONE, TWO, THREE], watermark) == expected


@pytest.mark.parametrize("completed", [True, False])
def test_a_recovered_ending_has_the_four_fields_of_the_specification(completed: bool) -> None:
    said = message("m-2", "i-1", text='words “quoted” \u2028 and "plain"')
    assert orjson.loads(recovered_ending(said, conversation_completed=completed)) == {
        "type": "interaction-complete",
        "message_id": "m-2",
        "interaction_id": "i-1",
        "full_message": said.text,
        "conversation_completed": completed,
    }
    assert b"\n" not in recovered_ending(said, conversation_completed=completed)
