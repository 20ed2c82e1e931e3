"""The enrichments that an event still owes its subscribers once its ending is out, as the ledger has them.

wanted ──read, or given up──▸ recorded ──published, confirmed──▸ owed no more
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import orjson

from bridge.core.answer.ending import COMPLETE
from bridge.core.answer.sent_ending import SentEnding
from bridge.core.event.enrichment import ENRICHMENT_FAILED, EnrichmentKind, WantedEnrichment, any_holds_lane

JsonObject = Mapping[str, object]
"""A decoded JSON object of the API."""
NOT_NAMED = "the answer names no interaction"


@dataclass(frozen=True, slots=True)
class RecordedMessage:
    """A message that is about to be published: its id, its bytes, and the way that it takes."""

    message_id: str
    body: bytes
    sent: SentEnding


@dataclass(frozen=True, slots=True)
class OwedEnrichments:
    """The enrichments that are still due, and the interaction that they are about.

    `by_s` is the Unix time until which they may be read. `recorded` are messages of one enrichment that was read, or
    given up, and may not have been published yet.
    """

    by_s: float
    user_id: str
    conversation_id: str | None
    interaction_id: str | None
    wanted: tuple[WantedEnrichment, ...]
    recorded: tuple[RecordedMessage, ...] = ()

    @property
    def any(self) -> bool:
        """True while there is something left."""
        return bool(self.wanted or self.recorded)

    @property
    def holds_lane(self) -> bool:
        """True while one is left that has to be read before the lane is free."""
        return any_holds_lane(self.wanted)

    def having(self, wanted: WantedEnrichment, messages: Sequence[RecordedMessage]) -> "OwedEnrichments":
        """The same once this one has been read, or given up, and made into messages."""
        left = tuple([one for one in self.wanted if one is not wanted])
        return replace(self, wanted=left, recorded=tuple(messages))

    def published(self) -> "OwedEnrichments":
        """The same once the recorded messages are out."""
        return replace(self, recorded=())


def owed_of(
    answer: bytes, user_id: str, conversation_id: str | None, wanted: Sequence[WantedEnrichment], by_s: float
) -> OwedEnrichments | None:
    """The enrichments of an event with this ending; None where the ending is not an agent's answer."""
    try:
        ending = orjson.loads(answer)
    except orjson.JSONDecodeError:
        ending = None
    if not isinstance(ending, dict) or ending.get("type") != COMPLETE:
        return None
    interaction_id = ending.get("interaction_id")
    if not isinstance(interaction_id, str) or not interaction_id or conversation_id is None:
        interaction_id, wanted = None, [replace(one, error=one.error or NOT_NAMED) for one in wanted]
    return OwedEnrichments(by_s, user_id, conversation_id, interaction_id, tuple(wanted))


def enrichment_id(event_id: str, wanted: WantedEnrichment, message_id: str | None = None) -> str:
    """The message id of an enrichment; `message_id` where there are several of its type."""
    return f"{event_id}:{wanted.type}" + (f":{message_id}" if message_id is not None else "")


def failed_enrichment_id(event_id: str, kind: EnrichmentKind) -> str:
    """The message id of `bridge-enrichment-failed`."""
    return f"{event_id}:{ENRICHMENT_FAILED}:{kind}"
