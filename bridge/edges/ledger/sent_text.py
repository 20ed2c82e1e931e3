"""The way that messages take, and what an event owes, as JSON in a column of text."""

import json
from collections.abc import Sequence

import orjson

from bridge.core.answer.sent_ending import SentEnding, SentTo
from bridge.core.event.enrichment import EnrichmentKind, WantedEnrichment
from bridge.core.event.inbound_message import Headers
from bridge.core.ledger.owed_enrichments import OwedEnrichments, RecordedMessage


def sent_text(sent: SentEnding) -> str:
    """The way of an ending, and all of it but its bytes."""
    return _dumped(_sent_values(sent))


def sent_of(text: str) -> SentEnding:
    """The reverse. Raises ValueError and TypeError."""
    try:
        return _sent(*orjson.loads(text))
    except orjson.JSONDecodeError:
        return _sent(*json.loads(text))


def owed_text(owed: OwedEnrichments) -> str:
    """The enrichments that an event owes."""
    wanted = [(one.kind, one.context, one.error) for one in owed.wanted]
    recorded = [(one.message_id, one.body.decode(), _sent_values(one.sent)) for one in owed.recorded]
    return _dumped([owed.by_s, owed.user_id, owed.conversation_id, owed.interaction_id, wanted, recorded])


def owed_of_text(text: str) -> OwedEnrichments:
    """The reverse. Raises ValueError and TypeError."""
    by_s, user_id, conversation_id, interaction_id, wanted, recorded = json.loads(text)
    return OwedEnrichments(
        by_s=float(by_s),
        user_id=user_id,
        conversation_id=conversation_id,
        interaction_id=interaction_id,
        wanted=tuple([WantedEnrichment(EnrichmentKind(kind), context, error) for kind, context, error in wanted]),
        recorded=tuple([RecordedMessage(id_, body.encode(), _sent(*sent)) for id_, body, sent in recorded]),
    )


def _sent_values(sent: SentEnding) -> list[object]:
    places = [(place.exchange, place.routing_key) for place in sent.places]
    return [sent.type, sent.timestamp_s, dict(sent.headers), places]


def _sent(type_: str, timestamp_s: int, headers: Headers, places: Sequence[Sequence[str]]) -> SentEnding:
    return SentEnding(str(type_), int(timestamp_s), dict(headers), tuple([SentTo(*place) for place in places]))


def _dumped(values: object) -> str:
    try:
        return orjson.dumps(values).decode()
    except TypeError:  # half a surrogate pair in an id
        return json.dumps(values, separators=(",", ":"))
