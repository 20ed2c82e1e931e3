"""Why the broker does not take a message, as a kind: what follows hangs on that, never on the broker's words."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum


class RefusalKind(StrEnum):
    """Why a message was not taken."""

    NACKED = "nacked"
    """`basic.nack`: a full queue, say."""
    UNROUTED = "unrouted"
    """`basic.return`: mandatory, and no queue takes it."""
    FORBIDDEN = "forbidden"
    """403: the broker closes the channel over it until somebody changes a permission."""
    MISSING = "missing"
    """404: there is no such exchange."""
    IMPOSSIBLE = "impossible"
    """A message that is no AMQP, is too large, or closes the channel or the connection whenever it is sent."""
    LOST = "lost"
    """The connection went before the confirm, and whoever waits for it sends it again."""

    @property
    def passes(self) -> bool:
        """True where publishing the same message again for some minutes may succeed."""
        return self not in (RefusalKind.MISSING, RefusalKind.IMPOSSIBLE)

    @property
    def closes(self) -> bool:
        """True where the broker closes the channel over it each time."""
        return self in (RefusalKind.FORBIDDEN, RefusalKind.MISSING, RefusalKind.IMPOSSIBLE)


@dataclass(frozen=True, slots=True)
class PublishRefusal:
    """One message was not taken; `error` has the broker's words."""

    kind: RefusalKind
    error: str


NACKED = PublishRefusal(RefusalKind.NACKED, "the broker refused it (basic.nack)")
UNROUTED = PublishRefusal(RefusalKind.UNROUTED, "no queue takes it")
LOST = PublishRefusal(RefusalKind.LOST, "the connection to the broker was lost")

_OF_CODES: Mapping[int, RefusalKind] = {
    311: RefusalKind.IMPOSSIBLE,
    403: RefusalKind.FORBIDDEN,
    404: RefusalKind.MISSING,
    406: RefusalKind.IMPOSSIBLE,
    501: RefusalKind.IMPOSSIBLE,
    502: RefusalKind.IMPOSSIBLE,
    505: RefusalKind.IMPOSSIBLE,
    540: RefusalKind.IMPOSSIBLE,
    541: RefusalKind.IMPOSSIBLE,
}
"""Reply codes with which a broker closes a channel or a connection over what was published (AMQP 0-9-1, 1.2)."""


def of_reply_code(code: int | None, words: str) -> PublishRefusal | None:
    """The refusal in the close of a channel or connection that had one message on it; None where that is not to blame.

    `code` is the reply code of `channel.close` or `connection.close`: 320 (forced by an operator), say, blames nobody.
    """
    kind = _OF_CODES.get(code or 0)
    return None if kind is None else PublishRefusal(kind, f"the broker refused it ({code}): {words}")
