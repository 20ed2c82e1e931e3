"""Create and interact: who may speak, what is said, and what is left when the client goes away in the middle."""

import asyncio
import json
from typing import TYPE_CHECKING

from aiohttp import BodyPartReader, web

from tests.support.fake_api import rules
from tests.support.fake_api.script import Answer, Cut, Husk, Refusal, Stream, answer
from tests.support.fake_api.stream import Telling
from tests.support.fake_api.truth import Call, Talk

if TYPE_CHECKING:
    from tests.support.fake_api.api import FakeApi

BUSY = "Attempting to start a conversation when other unfinished conversations exist."
LOCKED = "The specified conversation is already finished, or a related operation is in process."


class Speaking:
    def __init__(self, api: "FakeApi") -> None:
        self._api = api
        self._truth = api.truth
        self._late: list[Talk] = []

    async def create(self, request: web.Request, call: Call) -> web.StreamResponse:
        rules.query(request, rules.CREATE_QUERY, "response_format")
        call.body = body = json.loads(await request.read())
        rules.create(body)
        call.text, call.service = body.get("initial_message"), body["service_id"]
        assert call.user is not None
        if self._truth.unfinished(call.user, call.service) is not None:
            return self._refuse(call, 400, BUSY)
        reply = self._api.next_answer(call.text, call.user)
        if isinstance(reply, Refusal) and not reply.commit:
            return self._api.fail(request, reply)
        conversation = self._truth.open(
            call.user, call.service, body.get("tags", {}), body.get("service_version_set_name", "release")
        )
        conversation.response_format = request.query["response_format"]
        kind = body.get("initial_message_type")
        return await self._speak(
            request, call, reply, Talk(conversation, _stream(reply), call.text, kind, creates=True)
        )

    async def interact(self, request: web.Request, call: Call) -> web.StreamResponse:
        conversation = self._truth.conversations.get(request.path.split("/")[4])
        if conversation is not None:
            call.service = conversation.service
        rules.query(request, rules.INTERACT_QUERY, "request_format", "response_format")
        wanted = rules.MULTIPART.fullmatch(request.headers.get("Content-Type", "")) is not None
        rules.demand(wanted, "content-type must be multipart/form-data; boundary=...")
        call.body = parts = rules.parts(await _read_parts(request))
        call.text = parts["recorded_message"][0]
        if conversation is None or conversation.user != call.user:
            return self._refuse(call, 404, "Specified organization or conversation is not found.")
        if conversation.locked or conversation.finished:
            return self._refuse(call, 409, LOCKED)
        reply = self._api.next_answer(call.text, conversation.user)
        if isinstance(reply, Refusal) and not reply.commit:
            return self._api.fail(request, reply)
        talk = Talk(conversation, _stream(reply), call.text, parts["initial_message_type"][0], creates=False)
        contents, times = (parts.get(f"external_event_message_{what}", []) for what in ("content", "timestamp"))
        talk.earlier = list(zip(contents, times, strict=True))
        return await self._speak(request, call, reply, talk)

    def settle_late(self) -> None:
        """What ran on after its client had gone is saved now, and its lock opens."""
        for talk in self._late:
            self._truth.commit(talk)
            talk.conversation.locked = False
        self._late.clear()

    async def _speak(self, request: web.Request, call: Call, reply: Answer, talk: Talk) -> web.StreamResponse:
        call.conversation_id = talk.conversation.id
        self._truth.talks.append(talk)
        if isinstance(reply, Refusal | Cut):
            self._unseen(talk, reply)
            return self._api.fail(request, reply)
        talk.conversation.locked = True
        call.status = 201 if talk.creates else 200
        try:
            return await Telling(self._truth, request, talk).run()
        except (asyncio.CancelledError, ConnectionError):
            if not talk.ended:
                self._abandon(talk)
            raise

    def _unseen(self, talk: Talk, reply: Refusal | Cut) -> None:
        """The API did its work, or did not, and the client is told neither."""
        talk.ended = True
        if reply.commit:
            self._truth.commit(talk)
        self._truth.void(talk)

    def _abandon(self, talk: Talk) -> None:
        talk.ended = True
        husk = talk.stream.abandoned
        if husk is Husk.LATE:
            self._late.append(talk)
            return
        talk.conversation.locked = False
        if husk is Husk.COMMIT:
            self._truth.commit(talk)
        self._truth.void(talk)

    def _refuse(self, call: Call, status: int, detail: str) -> web.StreamResponse:
        call.status = status
        return web.json_response({"detail": detail}, status=status)


def _stream(reply: Answer) -> Stream:
    """What an unseen answer would have said."""
    return reply if isinstance(reply, Stream) else answer("said ", "unseen")


async def _read_parts(request: web.Request) -> list[tuple[str, bytes]]:
    reader = await request.multipart()
    found = []
    async for part in reader:
        rules.demand(isinstance(part, BodyPartReader) and part.name is not None, "every part has a name")
        assert isinstance(part, BodyPartReader)
        found.append((str(part.name), bytes(await part.read(decode=True))))
    rules.demand(bool(found), "an empty multipart body")
    return found
