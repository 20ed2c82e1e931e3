"""Log lines of what the broker refuses: as many as one can read, whatever the routing keys are."""

import asyncio

from bridge.flow.settling.refusal_log import EVERY_S, MAX_KEYS, RefusalLog
from tests.support.fakes import FakeLog


async def test_one_key_has_a_line_at_once_and_then_one_with_how_many_more() -> None:
    log = FakeLog()
    refusals = RefusalLog(log)
    for number in range(10):
        refusals.warning("publish.refused", "agent.events", "a.b", "forbidden", message_id=f"m{number}")
    assert [line.fields for line in log.lines] == [
        {"exchange": "agent.events", "routing_key": "a.b", "kind": "forbidden", "message_id": "m0"}
    ]
    await asyncio.sleep(EVERY_S + 0.1)
    assert (log.lines[1].fields["message_id"], log.lines[1].fields["more"]) == ("m9", 8)
    assert len(log.lines) == 2


async def test_keys_that_are_new_each_time_share_a_line() -> None:
    log = FakeLog()
    refusals = RefusalLog(log)
    for number in range(1_000):
        refusals.error("publish.refused", "agent.events", f"key.{number}", "forbidden")
    assert len(log.lines) == MAX_KEYS + 1
    await asyncio.sleep(EVERY_S + 0.1)
    assert len(log.lines) == MAX_KEYS + 2
    assert log.lines[-1].fields["routing_key"] == "key.999"
    assert log.lines[-1].fields["more"] == 1_000 - MAX_KEYS - 2


async def test_a_line_needs_neither_exchange_nor_key() -> None:
    log = FakeLog()
    refusals = RefusalLog(log)
    for number in range(100):
        refusals.warning("finish.unsaid", event_id=f"e{number}")
    assert [line.fields for line in log.lines] == [{"event_id": "e0"}]
    await asyncio.sleep(EVERY_S + 0.1)
    assert [line.fields for line in log.lines[1:]] == [{"event_id": "e99", "more": 98}]
