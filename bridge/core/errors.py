"""One error tree, grouped by who must act. Edges translate foreign exceptions into it at the door.

time        NotSent, Unavailable, TooEarly, Limited, Lost, Unreadable waiting mends it
operator    SignInRefused, UnknownUser, Unsendable, Refused      a setting, a permission or a credential is wrong
sender      InvalidEvent, NoRoute                                the event can never work
"""

from enum import StrEnum

MAX_ERROR_BYTES = 1_000
"""The size of an error's text in UTF-8, wherever it is published, answered, logged with an event's end, or kept."""
CUT = "…"

TRANSIENT_4XX = frozenset({408, 409, 429})
"""Answers 4xx that the same request need not get a second time: it came too slowly, met another one, or came too soon.

425 is none of them: it asks for the request without TLS early data, which the bridge never sends, so that waiting mends
nothing, and a person has to look at the proxy that says so (docs/semantics.md, Outcomes of an attempt).
"""


def is_transient(status: int) -> bool:
    """True where time mends an answer of this status: a 5xx, or one of TRANSIENT_4XX."""
    return status >= 500 or status in TRANSIENT_4XX


class Actor(StrEnum):
    """Who must act before the same call can succeed."""

    TIME = "time"
    OPERATOR = "operator"


class BridgeError(Exception):
    """The root: whatever the bridge itself raises on purpose."""


class InvalidEvent(BridgeError):
    """The event cannot work as it was published; `event_id` and `channel` where they are known all the same."""

    def __init__(self, error: str, event_id: str | None = None, channel: str | None = None) -> None:
        super().__init__(error)
        self.event_id = event_id
        self.channel = channel


class NoRoute(InvalidEvent):
    """The event does not say which service it is for, and no route says it either."""


class ApiError(BridgeError):
    """A call to the Amigo API that gave no answer to work with."""

    @property
    def actor(self) -> Actor:
        return Actor.TIME


class NotSent(ApiError):
    """No connection: the request cannot have reached the API."""


class Lost(ApiError):
    """Reset, time-out or an answer that cannot be read: the request may or may not have been carried out."""


class Unreadable(Lost):
    """A whole answer came, and it is not what an answer to this call looks like."""


class Refused(ApiError):
    """An answer other than 2xx; `text` is the API's own words, secrets removed, at most 500 characters.

    `unfinished`: the API says that the user has another conversation, which is not finished.
    """

    def __init__(
        self, operation: str, status: int, text: str, retry_after_s: float | None = None, *, unfinished: bool = False
    ) -> None:
        super().__init__(f"{operation} was answered {status}: {text}" if text else f"{operation} was answered {status}")
        self.operation = operation
        self.status = status
        self.text = text
        self.retry_after_s = retry_after_s
        self.unfinished = unfinished

    @property
    def actor(self) -> Actor:
        """Time where the server is at fault or busy; otherwise the request must be another one."""
        return Actor.TIME if is_transient(self.status) else Actor.OPERATOR


class SignInRefused(ApiError):
    """The API does not accept the bridge's credentials."""

    @property
    def actor(self) -> Actor:
        return Actor.OPERATOR


class UnknownUser(ApiError):
    """The API accepts the bridge's credentials, but not for this user."""

    @property
    def actor(self) -> Actor:
        return Actor.OPERATOR


class Unsendable(ApiError):
    """No request was made: a value in it is none that HTTP or JSON can carry. The value is not in the error."""

    @property
    def actor(self) -> Actor:
        return Actor.OPERATOR


class TooEarly(ApiError):
    """A rate limit: `wait_s` seconds until the next call of this kind may be made."""

    def __init__(self, error: str, wait_s: float) -> None:
        super().__init__(error)
        self.wait_s = wait_s


class Limited(TooEarly):
    """A rate limit as the bridge keeps it: no call was made, and in `wait_s` seconds it may be."""


class Unavailable(ApiError):
    """503: the API is in maintenance. It says nothing about whether a request was carried out."""


class LineTooLong(ApiError):
    """A line of the stream is longer than `amigo.max_line`; `lines` are those that were complete before it."""

    def __init__(self, max_line: int, lines: list[bytes]) -> None:
        super().__init__(f"a line of the stream is longer than {max_line} bytes")
        self.lines = lines


def bounded(error: str, most_bytes: int = MAX_ERROR_BYTES) -> str:
    """An error's text as JSON and AMQP can have it, of so many bytes in UTF-8 at most; `…` where it was cut."""
    text = error.encode("utf-8", "replace")
    if len(text) <= most_bytes:
        return text.decode()
    return text[: most_bytes - len(CUT.encode())].decode("utf-8", "ignore") + CUT
