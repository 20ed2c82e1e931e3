"""The other two records: what the sandbox committed, and what a subscriber received."""

import asyncio
import re
import time
from typing import Any, Self

import aiohttp

from tests.chaos.comparing import Heard, Told
from tests.chaos.conversations import Talk
from tests.support.rabbit import ReceivedMessage

EVENT_ID = re.compile(r"event (\S+):(?=\s|$)")
TIMEOUT = aiohttp.ClientTimeout(total=30)
START_S = 60


class Api:
    """The sandbox's own endpoints."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(timeout=TIMEOUT)
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._session is not None
        await self._session.close()

    async def ready(self) -> None:
        deadline = time.monotonic() + START_S
        while not await self._answers():
            if time.monotonic() > deadline:
                raise TimeoutError(f"the sandbox does not answer at {self.url}")
            await asyncio.sleep(0.05)

    async def _answers(self) -> bool:
        try:
            await self._get("/_sandbox/interactions")
        except aiohttp.ClientError:
            return False
        return True

    async def heard(self) -> list[Heard]:
        """Every interaction that was committed since the start; an external event counts wherever it was carried."""
        rows = (await self._get("/_sandbox/interactions"))["interactions"]
        return [
            Heard(event_id, row["agent_message_id"])
            for row in rows
            for event_id in EVENT_ID.findall(" ".join([row["message"] or "", *row["external_events"]]))
        ]

    async def talks(self) -> list[Talk]:
        """Every conversation in which something was said."""
        rows = (await self._get("/_sandbox/interactions"))["interactions"]
        completed = {row["conversation_id"] for row in rows if row["conversation_completed"]}
        last = {row["conversation_id"]: row for row in rows}
        return [
            Talk(id_, row["tags"], row["conversation_finished"], "bridge_event" in row["tags"], id_ in completed)
            for id_, row in last.items()
        ]

    async def asked(self, after: int) -> list[dict[str, Any]]:
        """The journal's entries of create and interact above that number."""
        entries = (await self._get(f"/_sandbox/journal?after={after}"))["entries"]
        return [entry for entry in entries if entry["text"]]

    async def refused(self, after: int) -> list[dict[str, Any]]:
        """The journal's entries above that number that were answered 429."""
        entries = (await self._get(f"/_sandbox/journal?after={after}"))["entries"]
        return [entry for entry in entries if entry["status"] == 429]

    async def _get(self, path: str) -> Any:
        assert self._session is not None
        async with self._session.get(self.url + path) as answer:
            return await answer.json()


def told_of(record: ReceivedMessage) -> Told:
    """A message as it was received."""
    headers = record.headers
    return Told(
        event_id=str(record.properties.correlation_id),
        message_id=record.message_id,
        type=record.type,
        body=record.body,
        stream=headers.get("stream"),
        sequence=headers.get("sequence"),
        recovered=headers.get("recovered") is True,
    )
