"""The memory of open conversations: bounded, and forgetting is never wrong."""

from bridge.flow.answering.open_conversations import MAX_ENTRIES, Open, OpenConversations

SMS = {"channel": "sms", "channel_type": "text", "old": "1"}


def test_the_latest_is_remembered_for_each_lane() -> None:
    known = OpenConversations()
    known.remember(("u", "s"), Open("c1", SMS))
    known.remember(("u", "t"), Open("c2"))
    known.remember(("u", "s"), Open("c3", newest="m1"))
    assert known.get(("u", "s")) == Open("c3", newest="m1")
    assert known.get(("u", "t")) == Open("c2")
    assert known.get(("v", "s")) is None


def test_forgetting_what_is_not_known_is_nothing() -> None:
    known = OpenConversations()
    known.forget(("u", "s"))
    known.remember(("u", "s"), Open("c1"))
    known.forget(("u", "s"))
    assert known.get(("u", "s")) is None


def test_it_is_bounded_and_forgets_what_was_remembered_longest_ago() -> None:
    known = OpenConversations()
    for number in range(MAX_ENTRIES):
        known.remember((str(number), "s"), Open("c"))
    known.remember(("0", "s"), Open("c"))
    known.remember(("one more", "s"), Open("c"))
    assert known.get(("0", "s")) is not None
    assert known.get(("1", "s")) is None


def test_the_newest_message_is_not_remembered_where_others_may_speak_in_the_conversation() -> None:
    known = OpenConversations(shared=True)
    known.remember(("u", "s"), Open("c1", SMS, newest="m1"))
    assert known.get(("u", "s")) == Open("c1", SMS)


def test_tags_that_change_are_not_remembered_until_they_are_known_again() -> None:
    known = OpenConversations()
    known.remember(("u", "s"), Open("c1", SMS, newest="m1"))
    assert known.forget_tags("another", ("u", "s")) is None
    before = known.forget_tags("c1", ("u", "s"))
    assert known.get(("u", "s")) == Open("c1", None, newest="m1")
    assert before == SMS
    known.retag(("u", "s"), before, {"new": "2"}, ["old"])
    assert known.get(("u", "s")) == Open("c1", {"channel": "sms", "channel_type": "text", "new": "2"}, newest="m1")


def test_a_conversation_is_the_bridges_own_by_its_event_tag() -> None:
    assert Open("c1", {"bridge_event": "f" * 32}).own
    assert not Open("c1", SMS).own
    assert not Open("c1").own
