"""The agent port over the typed API: what the flow needs of it, in the values of the core."""

import wave
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from io import BytesIO

from bridge.core.answer.history import ConversationRow, Message
from bridge.core.delivery.reconcile import Finish
from bridge.core.errors import Refused, Unreadable, Unsendable
from bridge.core.event.event_fields import Audio, EventKind
from bridge.core.event.route import RoutedEvent
from bridge.core.event.tags import EVENT_TAG
from bridge.edges.amigo import results
from bridge.edges.amigo.authorized import SignedClient
from bridge.edges.amigo.client import Call, Chunks
from bridge.edges.amigo.conversations import ConversationsApi
from bridge.edges.amigo.multipart import Recording
from bridge.edges.amigo.results import UNKNOWN_VERSION_SET
from bridge.flow.ports.api import MESSAGES_A_PAGE

MP3 = ("audio/mpeg", "audio/mp3")
WAV = ("audio/wav", "audio/x-wav", "audio/wave", "audio/vnd.wave")
MIN_FRAME_RATE, MAX_FRAME_RATE = 4_000, 44_100


class AmigoAgent:
    """See the port for what each operation promises."""

    def __init__(self, client: SignedClient) -> None:
        self._client = client
        self._api = ConversationsApi(client)

    def create(self, event: RoutedEvent) -> AbstractAsyncContextManager[Chunks]:
        """A conversation with the event's tags, `bridge_event` among them."""
        return self._api.create(
            event.user_id,
            event.service_id,
            message=event.message,
            kind=event.kind.value,
            version_set=event.version_set,
            tags=event.conversation_tags,
            is_test=event.is_test,
            response_format=event.response_format,
            agent_actions=event.agent_actions,
        )

    def interact(self, event: RoutedEvent, conversation_id: str) -> AbstractAsyncContextManager[Chunks]:
        """Without a message the agent is asked to go on. Sound that the API does not take is Unsendable at entering."""
        if event.audio is not None:
            return self._spoken(event, event.audio, conversation_id)
        return self._interact(event, conversation_id, event.message or "")

    @asynccontextmanager
    async def _spoken(self, event: RoutedEvent, audio: Audio, conversation_id: str) -> AsyncIterator[Chunks]:
        async with self._interact(event, conversation_id, recording_of(audio)) as chunks:
            yield chunks

    def _interact(
        self, event: RoutedEvent, conversation_id: str, message: str | Recording
    ) -> AbstractAsyncContextManager[Chunks]:
        return self._api.interact(
            event.user_id,
            conversation_id,
            message=message,
            kind="skip" if event.kind is EventKind.AGENT_FIRST else event.kind.value,
            response_format=event.response_format,
            agent_actions=event.agent_actions,
        )

    async def finish(self, user_id: str, conversation_id: str) -> Finish:
        """204, 400 and 404 all mean that one may look again (docs/api-contract.md, 7.16)."""
        try:
            await self._api.finish(user_id, conversation_id)
        except Refused as error:
            if error.status == 409:
                return Finish.RUNNING
            if error.status not in (400, 404):
                raise
            return Finish.GONE
        return Finish.DONE

    async def conversations(
        self,
        user_id: str,
        service_id: str | None = None,
        *,
        conversation_id: str | None = None,
        event_tag: str | None = None,
        unfinished: bool = False,
    ) -> AsyncIterator[ConversationRow]:
        """Rows of somebody else are dropped, whatever the server filtered."""
        rows = self._api.list(
            user_id,
            ids=[conversation_id] if conversation_id is not None else (),
            user_ids=[user_id],
            service_ids=[service_id] if service_id is not None else (),
            is_finished=False if unfinished else None,
            tags=None if event_tag is None else {EVENT_TAG: event_tag},
        )
        async for row in rows:
            if (
                row.user_id in ("", user_id)
                and (service_id is None or row.service_id in ("", service_id))
                and (conversation_id is None or row.id == conversation_id)
            ):
                yield _row(row)

    async def messages(
        self, user_id: str, conversation_id: str, *, newest_first: bool = False, page: int = MESSAGES_A_PAGE
    ) -> AsyncIterator[Message]:
        """By the time of their making."""
        sort_by = ("-created_at",) if newest_first else ("+created_at",)
        try:
            async for row in self._api.messages(user_id, conversation_id, sort_by=sort_by, page_size=page):
                yield _message(row)
        except Refused as error:
            if error.status != 404:
                raise

    async def newest(self, user_id: str, conversation_id: str) -> Message | None:
        """A page of one."""
        return await anext(aiter(self.messages(user_id, conversation_id, newest_first=True, page=1)), None)

    async def time_s(self, user_id: str) -> float | None:
        """As the last sign-in told it, which asks for nothing where there was one."""
        return await self._client.told_s(user_id)

    async def silent_s(self, user_id: str, conversation_id: str) -> float | None:
        """By the newest message, whoever wrote it, and the time that the API itself tells."""
        message = await self.newest(user_id, conversation_id)
        if message is None or message.created_s is None:
            return None
        return await self._client.now_s(user_id) - message.created_s

    async def modify_tags(
        self, user_id: str, conversation_id: str, updates: Mapping[str, str], deletes: Sequence[str] = ()
    ) -> None:
        """As the API does it, in one call."""
        await self._api.modify_tags(user_id, conversation_id, updates, deletes)

    async def probe(self, *, credentials: bool) -> None:
        """GET /organization/, which needs no sign-in; with `credentials`, sign in anew as the bridge's own user too."""
        try:
            await self._client.send_unsigned(Call("probe", "GET", "/organization/", "", probe=True))
        except Unreadable:
            pass  # an answer that is no JSON is an answer
        except Refused as error:
            if error.status >= 500:
                raise
        if credentials:
            await self._client.tokens.verify()


def recording_of(audio: Audio) -> Recording:
    """The sound as the API takes it: MP3 as it is, WAV with the form that its header says. Raises Unsendable."""
    media_type = audio.content_type.partition(";")[0].strip().lower()
    if media_type in MP3:
        return Recording(audio.data)
    if media_type not in WAV:
        raise Unsendable(f"audio of the type {media_type!r:.60}: the API takes audio/mpeg and audio/wav")
    try:
        with wave.open(BytesIO(audio.data)) as sound:
            channels, width, rate = sound.getnchannels(), sound.getsampwidth(), sound.getframerate()
    except (wave.Error, EOFError) as error:
        raise Unsendable(f"audio that is no WAV file: {error}") from None
    if channels != 1 or width not in (2, 4) or not MIN_FRAME_RATE <= rate <= MAX_FRAME_RATE:
        form = f"{channels} channels of {width} bytes at {rate} Hz"
        raise Unsendable(f"a WAV file with {form}: the API takes one channel of 2 or 4 bytes at 4,000 to 44,100 Hz")
    return Recording(audio.data, rate, width)


def _row(row: results.ConversationResult) -> ConversationRow:
    info = row.version_set_info
    version_set = None if info is None or info.name == UNKNOWN_VERSION_SET else info.name
    return ConversationRow(
        row.id, row.user_id, row.service_id, row.is_finished, row.num_messages, row.tags, version_set
    )


def _message(message: results.MessageResult) -> Message:
    created_s = None if message.created_at is None else message.created_at.timestamp()
    return Message(message.id, message.interaction_id, message.message_type, message.message, created_s)
