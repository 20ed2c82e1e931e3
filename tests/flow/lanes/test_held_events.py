"""Held events, and those on their way back."""

from bridge.flow.lanes.held_events import MAX_HELD, PASSED_ON_S, HeldEvents


class Keys:
    """The keys of pauses, and how often somebody has asked of one."""

    def __init__(self, *keys: str) -> None:
        self.keys = set(keys)
        self.asked = 0

    def holding(self, key: str) -> bool:
        self.asked += 1
        return key in self.keys


def test_an_event_is_held_until_its_pause_is_lifted_then_on_its_way_back_for_a_while() -> None:
    keys = Keys("user:1", "route:a")
    held = HeldEvents(keys.holding)
    assert held.hold("e1", "user:1")
    assert held.hold("e2", "route:a")
    assert list(held.lifted(100.0)) == []
    keys.keys.remove("user:1")
    assert list(held.lifted(100.0)) == ["e1"]
    assert list(held.lifted(101.0)) == []
    assert "e1" in held
    assert list(held.overdue(100.0 + PASSED_ON_S - 1)) == []
    assert list(held.overdue(100.0 + PASSED_ON_S)) == ["e1"]
    assert "e1" not in held
    assert "e2" in held


def test_an_event_that_is_in_hand_again_is_waited_for_no_more() -> None:
    keys = Keys()
    held = HeldEvents(keys.holding)
    held.hold("e1", "user:1")
    held.hold("e2", "user:1")
    held.drop("e1")
    assert list(held.lifted(0.0)) == ["e2"]
    held.drop("e2")
    assert list(held.overdue(1e9)) == []
    assert not held


def test_an_event_held_again_by_another_pause_is_held_by_that_one_alone() -> None:
    keys = Keys("route:a")
    held = HeldEvents(keys.holding)
    held.hold("e1", "user:1")
    held.hold("e1", "route:a")
    assert list(held.lifted(0.0)) == []
    held.drop("e1")
    assert not held


def test_a_look_asks_once_for_each_pause_however_many_are_held() -> None:
    keys = Keys("user:1")
    held = HeldEvents(keys.holding)
    for number in range(10_000):
        held.hold(f"e{number}", "user:1")
    for _ in range(1_000):
        assert list(held.lifted(0.0)) == []
    assert keys.asked == 1_000


def test_so_many_are_remembered_and_no_more() -> None:
    held = HeldEvents(Keys("user:1").holding)
    assert all(held.hold(str(number), "user:1") for number in range(MAX_HELD))
    assert not held.hold("one more", "user:1")
    assert "one more" not in held
