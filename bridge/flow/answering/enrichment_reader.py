"""Reading an enrichment of the API, again and again as long as there is time: docs/semantics.md, Enrichments."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import count

from bridge.core.delivery.retry import Backoff
from bridge.core.errors import Actor, ApiError, BridgeError, Refused, SignInRefused, TooEarly
from bridge.core.event.enrichment import EnrichmentKind, WantedEnrichment
from bridge.core.ledger.owed_enrichments import NOT_NAMED, JsonObject, OwedEnrichments
from bridge.flow.ports.api import EnrichmentSource

MAX_ABSENT = 3
"""How often something that has to be there is looked for: the API's lists may lag behind its streams."""
VOICE = "voice"


class NotToBeHad(BridgeError):
    """An enrichment is given up; the text says why."""


class Absent(ApiError):
    """The API shows nothing where something has to be."""


@dataclass(frozen=True, slots=True)
class Piece:
    """One message of an enrichment: the facts in its body, and the API's id of it where there are several."""

    facts: JsonObject
    message_id: str | None = None


@dataclass(slots=True)
class Patience:
    """Until when (event loop time) one enrichment is tried, and the last error on the way."""

    until_s: float
    error: str = ""

    @property
    def left_s(self) -> float:
        return self.until_s - asyncio.get_running_loop().time()


class EnrichmentReader:
    """Reads enrichments, at most for `for_s` seconds after the ending. `clock` gives Unix seconds."""

    def __init__(self, source: EnrichmentSource, backoff: Backoff, for_s: float, clock: Callable[[], float]) -> None:
        self._source = source
        self._backoff = backoff
        self._for_s = for_s
        self._clock = clock

    def by_s(self) -> float:
        """The Unix time until which the enrichments of an ending that is out now may be read."""
        return self._clock() + self._for_s

    def left_s(self, owed: OwedEnrichments) -> float:
        """Seconds that are left for them. A clock that was set back does not make that longer."""
        return min(max(0.0, owed.by_s - self._clock()), self._for_s)

    async def pieces(self, owed: OwedEnrichments, wanted: WantedEnrichment) -> Sequence[Piece]:
        """The messages of an enrichment; none where there is nothing of the kind. Raises NotToBeHad."""
        if wanted.error is not None:
            raise NotToBeHad(wanted.error)
        patience = Patience(asyncio.get_running_loop().time() + self.left_s(owed))
        if patience.left_s <= 0:
            raise self._too_late(patience)
        try:
            async with asyncio.timeout_at(patience.until_s):
                return await self._persistently(owed, wanted, patience)
        except TimeoutError:
            raise self._too_late(patience) from None

    async def _persistently(
        self, owed: OwedEnrichments, wanted: WantedEnrichment, patience: Patience
    ) -> Sequence[Piece]:
        for tries in count(1):
            try:
                return await self._read(owed, wanted)
            except ApiError as error:
                patience.error = str(error)
                wait_s = self._wait_s(error, tries)
                if wait_s is None:
                    raise NotToBeHad(patience.error) from None
            if wait_s > patience.left_s:
                break
            await asyncio.sleep(wait_s)
        raise self._too_late(patience)

    def _too_late(self, patience: Patience) -> NotToBeHad:
        last = f": {patience.error}" if patience.error else ""
        return NotToBeHad(f"not to be had within {self._for_s:g} s of the ending{last}")

    def _wait_s(self, error: ApiError, tries: int) -> float | None:
        """Seconds until it is tried again; None where that would change nothing."""
        pause_s = self._backoff.pause(tries)
        if isinstance(error, TooEarly):
            return max(error.wait_s, pause_s)
        if isinstance(error, Absent) or (isinstance(error, Refused) and error.status == 404):
            return pause_s if tries < MAX_ABSENT else None
        mends = error.actor is Actor.TIME or isinstance(error, SignInRefused)
        return pause_s if mends else None

    async def _read(self, owed: OwedEnrichments, wanted: WantedEnrichment) -> Sequence[Piece]:
        if owed.conversation_id is None or owed.interaction_id is None:
            raise NotToBeHad(NOT_NAMED)
        where = (owed.user_id, owed.conversation_id, owed.interaction_id)
        about = {"interaction_id": owed.interaction_id}
        match wanted.kind:
            case EnrichmentKind.INSIGHTS:
                return [Piece({**about, "result": await self._source.insights(*where)})]
            case EnrichmentKind.RECOMMENDED_RESPONSES:
                result = await self._source.recommended_responses(*where, wanted.context)
                return [Piece({**about, "result": result})]
            case EnrichmentKind.MESSAGES:
                return [Piece({**about, "result": {"messages": await self._messages(*where)}})]
            case EnrichmentKind.MESSAGE_SOURCE:
                spoken = [row for row in await self._messages(*where) if row.get("format") == VOICE]
                return [await self._sound(owed.user_id, owed.conversation_id, row, about) for row in spoken]

    async def _messages(self, user_id: str, conversation_id: str, interaction_id: str) -> Sequence[JsonObject]:
        rows = await self._source.interaction_messages(user_id, conversation_id, interaction_id)
        if not rows:
            raise Absent("no message of the interaction is listed")
        return rows

    async def _sound(self, user_id: str, conversation_id: str, row: JsonObject, about: JsonObject) -> Piece:
        message_id = str(row["id"])
        result = await self._source.message_source(user_id, conversation_id, message_id)
        return Piece({**about, "message_id": message_id, "result": result}, message_id)
