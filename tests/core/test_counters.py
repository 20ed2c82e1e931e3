"""Counts of one process."""

from dataclasses import fields

from bridge.core.counters import Tally


def test_everything_begins_at_nought() -> None:
    tally = Tally()
    assert not any(getattr(tally, field.name) for field in fields(tally))


def test_two_tallies_share_nothing() -> None:
    one, other = Tally(), Tally()
    one.settled["ack"] += 1
    one.ended["complete"] += 1
    assert (dict(other.settled), dict(other.ended)) == ({}, {})
