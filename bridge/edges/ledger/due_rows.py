"""A due finish as a row, the same in every database."""

import orjson

from bridge.core.ledger.due_finish import DueFinish
from bridge.edges.ledger.rows import Row, key_of
from bridge.flow.ports.ledger import EntryUnreadable

DUE_COLUMNS = (
    "conversation_id",
    "user_id",
    "service_id",
    "finish_s",
    "last_s",
    "event_id",
    "channel",
    "version_set",
    "route",
    "tags",
    "again_s",
    "requested",
    "ending",
)


def due_row(due: DueFinish) -> Row:
    """The row, in the order of DUE_COLUMNS."""
    return (
        due.conversation_id,
        due.user_id,
        due.service_id,
        due.finish_s,
        due.last_s,
        key_of(due.event_id),
        due.channel,
        due.version_set,
        due.route,
        orjson.dumps(dict(due.tags)).decode(),
        due.again_s,
        due.requested,
        due.ending,
    )


def due_of(row: Row) -> DueFinish:
    """The due finish in a row. Raises EntryUnreadable where somebody else has written it."""
    conversation_id, user_id, service_id, finish_s, last_s, event_id, channel, version_set, *rest = row
    route, tags, again_s, requested, ending = rest
    try:
        return DueFinish(
            conversation_id=conversation_id,
            user_id=user_id,
            service_id=service_id,
            finish_s=float(finish_s),
            last_s=float(last_s),
            event_id=event_id,
            channel=channel,
            version_set=version_set,
            route=route,
            tags={str(key): str(value) for key, value in orjson.loads(tags).items()},
            again_s=float(again_s),
            requested=bool(requested),
            ending=None if ending is None else bytes(ending),
        )
    except (TypeError, ValueError, AttributeError) as error:
        raise EntryUnreadable(f"the due finish of {conversation_id!r} cannot be read: {error}") from None
