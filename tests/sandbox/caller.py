"""A plain client of the sandbox: signs in, asks, and reads streams to their end."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import orjson

from bridge.sandbox.state.state import State

SERVICE = "5f0000000000000000000001"
Event = dict[str, Any]


@dataclass
class Answer:
    """A stream as it was read: its status, whole lines, and whether it ended in a reset."""

    status: int
    lines: list[bytes] = field(default_factory=list)
    was_cut: bool = False

    @property
    def events(self) -> list[Event]:
        return [orjson.loads(line) for line in self.lines]

    @property
    def types(self) -> list[str]:
        return [event["type"] for event in self.events]

    def of(self, kind: str) -> list[Event]:
        return [event for event in self.events if event["type"] == kind]

    @property
    def conversation_id(self) -> str:
        return str(self.of("conversation-created")[0]["conversation_id"])

    @property
    def ending(self) -> Event:
        (ending,) = self.of("interaction-complete")
        return ending


async def until(question: Callable[[], Awaitable[bool]]) -> None:
    """Asks until the answer is yes, for five seconds at most."""
    async with asyncio.timeout(60):
        while True:
            if await question():
                return
            await asyncio.sleep(0.005)


class Caller:
    """One user of one organization."""

    def __init__(self, session: aiohttp.ClientSession, base_url: str, user_id: str = "user-1") -> None:
        self.session = session
        self.base_url = base_url
        self.user_id = user_id
        self.org = "acme"
        self.headers: dict[str, str] = {}
        self.state: State | None = None

    def url(self, path: str) -> str:
        return self.base_url + (path if path.startswith("/_sandbox") else f"/v1/{self.org}{path}")

    async def sign_in(self) -> "Caller":
        credentials = {"x-api-key": "secret", "x-api-key-id": "key-1", "x-user-id": self.user_id}
        async with self.session.post(self.url("/user/signin_with_api_key"), headers=credentials) as response:
            assert response.status == 200, await response.text()
            self.headers["Authorization"] = f"Bearer {(await response.json())['id_token']}"
        return self

    async def ask(self, method: str, path: str, body: object = None, **options: Any) -> tuple[int, Any]:
        """Status and JSON content (None for none)."""
        options.setdefault("headers", {})
        options["headers"] = {**self.headers, **options["headers"]}
        options |= {"json": body, "allow_redirects": False}
        async with self.session.request(method, self.url(path), **options) as response:
            raw = await response.read()
            return response.status, orjson.loads(raw) if raw and response.content_type == "application/json" else None

    async def get(self, path: str, **params: Any) -> Any:
        status, content = await self.ask("GET", path, params=params)
        assert status == 200, content
        return content

    async def create(self, message: str | None = None, kind: str = "external-event", **more: Any) -> Answer:
        body: dict[str, Any] = {"service_id": SERVICE, **more.pop("body", {})}
        if message is not None:
            body |= {"initial_message": message, "initial_message_type": kind}
        params = {"response_format": "text", **more.pop("params", {})}
        return await self._stream("/conversation/", json=body, params=params, **more)

    async def interact(
        self, conversation_id: str, message: str = "Hi", kind: str = "user-message", **more: Any
    ) -> Answer:
        form = aiohttp.FormData(default_to_multipart=True)
        form.add_field("initial_message_type", kind)
        for content, timestamp in more.pop("external", []):
            form.add_field("external_event_message_content", content)
            form.add_field("external_event_message_timestamp", timestamp)
        form.add_field("recorded_message", message)
        params = {"request_format": "text", "response_format": "text", **more.pop("params", {})}
        return await self._stream(f"/conversation/{conversation_id}/interact", data=form, params=params, **more)

    async def finish(self, conversation_id: str) -> int:
        return (await self.ask("POST", f"/conversation/{conversation_id}/finish/"))[0]

    async def conversations(self, **params: Any) -> list[Event]:
        rows: list[Event] = (await self.get("/conversation/", **params))["conversations"]
        return rows

    async def messages(self, conversation_id: str, **params: Any) -> list[Event]:
        rows: list[Event] = (await self.get(f"/conversation/{conversation_id}/messages/", **params))["messages"]
        return rows

    async def fault(self, kind: str, **settings: Any) -> None:
        status, content = await self.ask("POST", "/_sandbox/faults", {"kind": kind, **settings})
        assert status == 201, content

    async def committed(self) -> list[Event]:
        rows: list[Event] = (await self.get("/_sandbox/interactions"))["interactions"]
        return rows

    async def _stream(self, path: str, **options: Any) -> Answer:
        headers = {**self.headers, **options.pop("headers", {})}
        started: asyncio.Event = options.pop("started", asyncio.Event())
        answer = Answer(0)
        try:
            async with self.session.post(self.url(path), headers=headers, **options) as response:
                answer.status = response.status
                raw = b""
                async for chunk in response.content.iter_any():
                    raw += chunk
                    started.set()
                    answer.lines = [line for line in raw.split(b"\n") if line.strip()]
        except (aiohttp.ClientConnectionError, aiohttp.ClientPayloadError):
            answer.was_cut = True
        return answer
