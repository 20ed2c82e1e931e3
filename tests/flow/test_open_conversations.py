"""The memory of open conversations: bounded, and forgetting is never wrong."""

from bridge.flow.open_conversations import MAX_ENTRIES, Open, OpenConversations


def test_the_latest_is_remembered_for_each_lane() -> None:
    known = OpenConversations()
    known.remember(("u", "s"), Open("c1", "sms"))
    known.remember(("u", "t"), Open("c2"))
    known.remember(("u", "s"), Open("c3", "phone"))
    assert known.get(("u", "s")) == Open("c3", "phone")
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
