"""Endings: the last event that subscribers see of an external event. Each has exactly one."""

import orjson

COMPLETE = "interaction-complete"
FAILED = "bridge-failed"
CANCELLED = "bridge-cancelled"
EXPIRED = "bridge-expired"
CANCEL_SETTLED = "cancel-settled"
CONVERSATION_FINISHED = "conversation-finished"
CONVERSATION_TAGGED = "conversation-tagged"
ENDINGS = (COMPLETE, FAILED, CANCELLED, EXPIRED, CANCEL_SETTLED, CONVERSATION_FINISHED, CONVERSATION_TAGGED)


def cancelled(event_id: str, by: str) -> bytes:
    """The ending of an event that another event, of this id, has cancelled."""
    return orjson.dumps({"type": CANCELLED, "event_id": event_id, "by": by})


def conversation_finished(
    event_id: str, conversation_id: str, *, already: bool | None = None, by: str = "bridge"
) -> bytes:
    """Said of a conversation that is finished; `already` where somebody else was first, None: unknown."""
    known = {"type": CONVERSATION_FINISHED, "event_id": event_id, "conversation_id": conversation_id}
    return orjson.dumps({**known, **({} if already is None else {"already": already}), "by": by})


def type_of(ending: bytes) -> str:
    """The type of an ending by its bytes; `interaction-complete` where they are the agent's own, and odd."""
    try:
        body = orjson.loads(ending)
        type_ = body["type"]
    except (orjson.JSONDecodeError, KeyError, TypeError):
        return COMPLETE
    return type_ if type_ in ENDINGS else COMPLETE
