"""The agent port over HTTP: each call as its user, one sign-in more after a 401 and no further (contract, 6.2)."""

import secrets
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import replace
from typing import Any

import orjson

from bridge.core.event import Kind
from bridge.core.failure import Lost, Refused, SignInRefused, Unreadable
from bridge.core.history import ConversationRow, Message
from bridge.core.reconcile import Finish
from bridge.core.route import RoutedEvent
from bridge.edges.amigo.client import Call, HttpClient
from bridge.edges.amigo.multipart import interact_body
from bridge.edges.amigo.tokens import Tokens

NDJSON = "application/x-ndjson"
ROWS_A_PAGE = 100
MESSAGES_A_PAGE = 500
MOST_PAGES = 100


class AmigoAgent:
    """See the port for what each operation promises."""

    def __init__(self, client: HttpClient, tokens: Tokens) -> None:
        self._client = client
        self._tokens = tokens

    def create(self, event: RoutedEvent) -> AbstractAsyncContextManager[AsyncIterator[bytes]]:
        """POST /conversation/ (contract, section 1.2)."""
        body: dict[str, Any] = {
            "service_id": event.service_id,
            "service_version_set_name": event.version_set,
            "tags": event.conversation_tags,
        }
        if event.message is not None:
            body |= {"initial_message": event.message, "initial_message_type": event.kind.value}
        return self._stream(
            Call(
                "create-conversation",
                "POST",
                "/conversation/",
                event.user_id,
                params=_formats(event),
                headers={"Content-Type": "application/json", "Accept": NDJSON},
                body=orjson.dumps(body),
                stream=True,
            )
        )

    def interact(self, event: RoutedEvent, conversation_id: str) -> AbstractAsyncContextManager[AsyncIterator[bytes]]:
        """POST /conversation/{id}/interact (contract, section 1.3); without a message the agent is asked to go on."""
        kind = "skip" if event.kind is Kind.AGENT_FIRST else event.kind.value
        body, content_type = interact_body(kind, event.message or "", secrets.token_hex(16))
        return self._stream(
            Call(
                "interact",
                "POST",
                f"/conversation/{conversation_id}/interact",
                event.user_id,
                params={"request_format": "text", **_formats(event)},
                headers={"Content-Type": content_type, "Accept": NDJSON},
                body=body,
                stream=True,
            )
        )

    async def finish(self, user_id: str, conversation_id: str) -> Finish:
        """POST /conversation/{id}/finish/ (contract, section 1.4)."""
        try:
            await self._send(Call("finish", "POST", f"/conversation/{conversation_id}/finish/", user_id))
        except Refused as error:
            if error.status == 409:
                return Finish.RUNNING
            if error.status not in (400, 404):
                raise
        return Finish.DONE

    async def conversations(
        self, user_id: str, service_id: str | None = None, *, conversation_id: str | None = None
    ) -> Sequence[ConversationRow]:
        """GET /conversation/, every page; what belongs to somebody else is dropped, whatever the server filtered."""
        params = {"user_id": user_id, "sort_by": "-created_at"}
        if service_id is not None:
            params["service_id"] = service_id
        if conversation_id is not None:
            params["id"] = conversation_id
        found = await self._pages(Call("list", "GET", "/conversation/", user_id, params), "conversations", ROWS_A_PAGE)
        rows = {row.id: row for row in map(_row, found)}
        return [
            row
            for row in rows.values()
            if row.user_id in ("", user_id)
            and (service_id is None or row.service_id in ("", service_id))
            and (conversation_id is None or row.id == conversation_id)
        ]

    async def messages(self, user_id: str, conversation_id: str) -> Sequence[Message]:
        """GET /conversation/{id}/messages/, every page, oldest first."""
        path = f"/conversation/{conversation_id}/messages/"
        call = Call("messages", "GET", path, user_id, {"sort_by": "+created_at"})
        try:
            found = await self._pages(call, "messages", MESSAGES_A_PAGE)
        except Refused as error:
            if error.status == 404:
                return []
            raise
        return list({message.id: message for message in map(_message, found)}.values())

    async def modify_tags(self, user_id: str, conversation_id: str, updates: dict[str, str]) -> None:
        """POST /conversation/{id}/tags/ (contract, section 1.8)."""
        body = orjson.dumps({"updates": updates, "deletes": []})
        headers = {"Content-Type": "application/json"}
        path = f"/conversation/{conversation_id}/tags/"
        await self._send(Call("tags", "POST", path, user_id, headers=headers, body=body))

    async def probe(self, *, credentials: bool) -> None:
        """GET /organization/, which needs no sign-in; with `credentials`, sign in anew as the bridge's own user too."""
        try:
            await self._client.send(Call("probe", "GET", "/organization/", ""))
        except Unreadable:
            pass  # an answer that is no JSON is an answer
        except Refused as error:
            if error.status >= 500:
                raise
        if credentials:
            await self._tokens.verify()

    async def _pages(self, call: Call, name: str, limit: int) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        token = 0
        for _ in range(MOST_PAGES):
            params = {**(call.params or {}), "limit": str(limit), "continuation_token": str(token)}
            page = await self._send(replace(call, params=params))
            if not isinstance(page, dict) or not isinstance(page.get(name), list):
                raise Lost(f"{call.operation}: the answer has no {name}")
            found += [row for row in page[name] if isinstance(row, dict)]
            if not page.get("has_more"):
                return found
            token = _offset(call, page.get("continuation_token"), len(found))
        raise Lost(f"{call.operation}: more than {MOST_PAGES} pages")

    async def _send(self, call: Call) -> Any:
        token = await self._tokens.of(call.user_id)
        try:
            return await self._client.send(_as(call, token))
        except Refused as error:
            if error.status != 401:
                raise
        token = await self._renewed(call, token)
        try:
            return await self._client.send(_as(call, token))
        except Refused as error:
            raise _unless_accepted(error) from None

    @asynccontextmanager
    async def _stream(self, call: Call) -> AsyncIterator[AsyncIterator[bytes]]:
        """A 401 precedes any processing, so the same request may be sent once more with a fresh token."""
        token = await self._tokens.of(call.user_id)
        request = self._client.stream(_as(call, token))
        try:
            stream = await request.__aenter__()
        except Refused as error:
            if error.status != 401:
                raise
            token = await self._renewed(call, token)
            request = self._client.stream(_as(call, token))
            try:
                stream = await request.__aenter__()
            except Refused as again:
                raise _unless_accepted(again) from None
        try:
            yield stream
        finally:
            await request.__aexit__(None, None, None)

    async def _renewed(self, call: Call, token: str) -> str:
        self._tokens.drop(call.user_id, token)
        return await self._tokens.of(call.user_id)


def _as(call: Call, token: str) -> Call:
    return replace(call, headers={**(call.headers or {}), "Authorization": f"Bearer {token}"})


def _unless_accepted(error: Refused) -> Exception:
    return SignInRefused(f"a fresh token was refused: {error}") if error.status == 401 else error


def _formats(event: RoutedEvent) -> dict[str, str]:
    return {"response_format": event.response_format, "current_agent_action_type": event.agent_actions}


def _offset(call: Call, token: object, read: int) -> int:
    if token is None:
        return read
    if isinstance(token, int) or (isinstance(token, str) and token.isdecimal()):
        return int(token)
    raise Lost(f"{call.operation}: a continuation token that is no number")


def _row(found: dict[str, Any]) -> ConversationRow:
    tags = found.get("tags")
    return ConversationRow(
        id=str(found.get("id")),
        user_id=str(found.get("user_id") or ""),
        service_id=str(found.get("service_id") or ""),
        is_finished=found.get("is_finished") is True,
        num_messages=found["num_messages"] if isinstance(found.get("num_messages"), int) else 0,
        tags={k: v for k, v in tags.items() if v is None or isinstance(v, str)} if isinstance(tags, dict) else {},
    )


def _message(found: dict[str, Any]) -> Message:
    return Message(
        id=str(found.get("id")),
        interaction_id=str(found.get("interaction_id")),
        message_type=str(found.get("message_type")),
        text=str(found.get("message") or ""),
    )
