"""The endings that the bridge itself says, and the type of any by its bytes."""

import orjson
import pytest

from bridge.core.answer.ending import CANCELLED, COMPLETE, ENDINGS, cancelled, conversation_finished, type_of


@pytest.mark.parametrize("type_", ENDINGS)
def test_an_ending_is_of_the_type_that_it_says(type_: str) -> None:
    assert type_of(orjson.dumps({"type": type_})) == type_


@pytest.mark.parametrize("ending", [b"", b"{", b"[]", b"null", b"{}", b'{"type": "new-message"}', b'{"type": 1}'])
def test_an_odd_ending_is_the_agents_own(ending: bytes) -> None:
    assert type_of(ending) == COMPLETE


def test_a_cancelled_event_names_the_one_that_cancelled_it() -> None:
    assert orjson.loads(cancelled("e1", "e2")) == {"type": CANCELLED, "event_id": "e1", "by": "e2"}


@pytest.mark.parametrize(("already", "more"), [(None, {}), (True, {"already": True}), (False, {"already": False})])
def test_a_finished_conversation_says_who_was_first_where_that_is_known(
    already: bool | None, more: dict[str, bool]
) -> None:
    said = orjson.loads(conversation_finished("e1", "c1", already=already, by="person"))
    assert said == {
        "type": "conversation-finished",
        "event_id": "e1",
        "conversation_id": "c1",
        **more,
        "by": "person",
    }
