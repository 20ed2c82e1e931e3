"""Version sets by weight: docs/semantics.md, Routes."""

import math
from collections import Counter

import pytest

from bridge.core.event.route import ChannelDefaults, Defaults, Rendered, Route, resolve
from bridge.core.event.user import UserByEmail
from bridge.core.event.version_weights import read_weights, version_set_of
from tests.support.making import event

WEIGHTS = {"release": 90.0, "canary": 10.0}
OWN = Defaults(user_id="bridge-bot")
# Known answers: they may never change, in whatever process, version of Python or order of the table.
CHOICES = [
    ("user-1", "release"),
    ("user-2", "release"),
    ("user-3", "release"),
    ("user-16", "canary"),
]


@pytest.mark.parametrize(
    "value", ["release", {"a": 1}, {"a": 0, "b": 1}, {"a": 0.5, "b": 1e-9}, {"a": 90, "b": 10}, {"v" * 40: 3}]
)
def test_what_may_be_a_version_set(value: object) -> None:
    assert read_weights(value) == value


@pytest.mark.parametrize(
    ("value", "fault"),
    [
        ({}, "neither a version set nor a table"),
        (None, "neither a version set nor a table"),
        (3, "neither a version set nor a table"),
        (["release"], "neither a version set nor a table"),
        ("a b", "not of the form"),
        ("", "not of the form"),
        ({"a b": 1}, "not of the form"),
        ({"v" * 41: 1}, "not of the form"),
        ({1: 1}, "not of the form"),
        ({"a": 0}, "do not add up"),
        ({"a": 0, "b": 0.0}, "do not add up"),
        ({"a": 1e308, "b": 1e308}, "do not add up"),
        ({"a": -1, "b": 2}, "less than 0"),
        ({"a": math.inf}, "not finite"),
        ({"a": math.nan}, "not finite"),
        ({"a": "90"}, "is not a number"),
        ({"a": True}, "is not a number"),
        ({"a": None}, "is not a number"),
        ({"a": {"b": 1}}, "is not a number"),
    ],
)
def test_what_may_not(value: object, fault: str) -> None:
    with pytest.raises(ValueError, match=fault):
        read_weights(value)


@pytest.mark.parametrize(("user_id", "version_set"), CHOICES)
def test_a_user_stays_with_one(user_id: str, version_set: str) -> None:
    assert version_set_of(user_id, WEIGHTS) == version_set
    assert version_set_of(user_id, dict(reversed(WEIGHTS.items()))) == version_set
    assert version_set_of(user_id, {name: weight * 8 for name, weight in WEIGHTS.items()}) == version_set


def test_many_users_are_shared_out_by_weight_and_a_weight_of_nothing_gets_nobody() -> None:
    weights = {**WEIGHTS, "aaa": 0.0, "zzz": 0.0, "mmm": 0.0}
    counts = Counter(version_set_of(f"user-{number}", weights) for number in range(10_000))
    assert set(counts) == set(WEIGHTS)
    assert 900 < counts["canary"] < 1_100


def test_the_users_id_decides_also_where_it_is_found_later() -> None:
    route = Route("r", version_set=WEIGHTS)
    for user_id, version_set in CHOICES:
        assert resolve(event(user_id=user_id), route, Rendered(), OWN).version_set == version_set
        later = resolve(event(user=UserByEmail("a@example.com")), route, Rendered(), OWN)
        assert later.of_user(user_id).version_set == version_set


def test_event_and_channel_win_over_the_weights() -> None:
    route = Route("r", version_set=WEIGHTS)
    found = resolve(event(user_id="user-16", version_set="mine"), route, Rendered(), OWN)
    assert (found.version_set, found.version_weights) == ("mine", None)
    channels = Defaults(user_id="bridge-bot", channels={"api": ChannelDefaults("of_channel")})
    assert resolve(event(user_id="user-16"), route, Rendered(), channels).version_set == "of_channel"
