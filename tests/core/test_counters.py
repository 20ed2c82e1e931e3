"""Counts of one process."""

from dataclasses import fields

from bridge.core.counters import Counters


def test_everything_begins_at_nought() -> None:
    counters = Counters()
    assert not any(getattr(counters, field.name) for field in fields(counters))


def test_two_tallies_share_nothing() -> None:
    one, other = Counters(), Counters()
    one.settled["ack"] += 1
    one.outcomes["complete"] += 1
    assert (dict(other.settled), dict(other.outcomes)) == ({}, {})
