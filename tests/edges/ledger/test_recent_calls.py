"""The calls of the last window as a ledger in a file has them, for a process that begins."""

import time
from pathlib import Path

import pytest

from bridge.core.delivery.progress import NOTHING, Progress, RequestKind
from bridge.core.ledger.ledger_entry import Entry, State
from bridge.edges.ledger.recent_calls import RecentCall, recent_calls
from tests.promises.ledgers import sqlite_world
from tests.support.fakes import FakeLog
from tests.support.planned import PLANNED

DIGEST = bytes(32)


async def written(path: Path, *progress: Progress) -> str:
    async with sqlite_world(path, FakeLog()) as world:
        ledger = await world.process()
        for number, each in enumerate(progress):
            await ledger.claim(f"e{number}", DIGEST)
            await ledger.write(Entry(f"e{number}", State.OPEN, DIGEST, each))
    return f"sqlite:///{path}"


async def test_the_last_request_of_each_event_counts_as_answered_at_its_last_change(tmp_path: Path) -> None:
    asked = [Progress(request=kind, planned=PLANNED) for kind in (RequestKind.CREATE, RequestKind.INTERACT)]
    url = await written(tmp_path / "ledger.db", *asked, NOTHING, Progress(request=RequestKind.CREATE))
    now_s = time.time() + 1.0
    calls = await recent_calls(url, 60.0, now_s)
    assert [(call.user_id, call.operation) for call in calls] == [
        (PLANNED.user_id, "create-conversation"),
        (PLANNED.user_id, "interact"),
    ]
    assert all(0 < call.ago_s < 60 for call in calls)
    assert await recent_calls(url, 60.0, now_s + 3600) == []


@pytest.mark.parametrize("url", ["sqlite:///{}/nothing.db", "sqlite:///{}", "postgresql://127.0.0.1:9/x"])
async def test_what_cannot_be_read_says_nothing(tmp_path: Path, url: str) -> None:
    none: list[RecentCall] = []
    assert await recent_calls(url.format(tmp_path), 60.0, time.time()) == none
