"""Knowledge of the requests that were made for an event, so that none is made twice."""

from dataclasses import dataclass, replace
from enum import StrEnum

import orjson


class RequestKind(StrEnum):
    """The request that may have reached the API. UNKNOWN: an earlier delivery may have asked for anything."""

    NONE = "none"
    CREATE = "create"
    INTERACT = "interact"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Progress:
    """The requests made for one event so far.

    `stream` and `published` say which stream may have been seen by subscribers, up to which sequence. For an interact,
    `watermark` is the newest message id before it and `announced` the id that the API gave its message. `lost_stream`:
    an earlier process may have published part of a stream whose id is not known here. `waits` counts how often the
    request was found still running.
    """

    request: RequestKind = RequestKind.NONE
    conversation_id: str | None = None
    stream: str | None = None
    published: int = 0
    watermark: str | None = None
    announced: str | None = None
    lost_stream: bool = False
    waits: int = 0

    @property
    def loses_stream(self) -> bool:
        """True where subscribers may have seen a void stream whose id nobody knows any more."""
        return self.lost_stream or (self.request is RequestKind.UNKNOWN and self.stream is None)

    @property
    def needs_proof(self) -> bool:
        return self.request is not RequestKind.NONE

    def requested(
        self, request: RequestKind, conversation_id: str | None = None, watermark: str | None = None
    ) -> "Progress":
        """The progress just before a request is sent."""
        return Progress(request, conversation_id, self.stream, self.published, watermark, None, self.lost_stream)

    def streaming(self, stream: str, *, lost_stream: bool) -> "Progress":
        """The progress as this stream begins."""
        return Progress(
            self.request, self.conversation_id, stream, 0, self.watermark, self.announced, lost_stream, self.waits
        )

    def seen(self, published: int, conversation_id: str | None, announced: str | None) -> "Progress":
        """The progress when the stream has come so far."""
        return Progress(
            self.request,
            conversation_id,
            self.stream,
            published,
            self.watermark,
            announced,
            self.lost_stream,
            self.waits,
        )

    def cleared(self) -> "Progress":
        """Proved: nothing of what was asked has been carried out."""
        return replace(self, request=RequestKind.NONE, conversation_id=None, watermark=None, announced=None, waits=0)

    def dump(self) -> str | None:
        """As JSON, for the ledger and for the header of a delayed copy; None where there is nothing to remember."""
        if self.request is RequestKind.NONE and self == NOTHING:
            return None
        said = {
            "request": self.request,
            "conversation_id": self.conversation_id,
            "stream": self.stream,
            "published": self.published,
            "watermark": self.watermark,
            "announced": self.announced,
            "lost_stream": self.lost_stream,
            "waits": self.waits,
        }
        return orjson.dumps(said).decode()


NOTHING = Progress()


def load(text: object) -> Progress:
    """The progress that was dumped. What cannot be read is taken as an unknown request: it will be asked about."""
    if text is None:
        return Progress()
    try:
        found = orjson.loads(str(text))
        return Progress(
            request=RequestKind(found["request"]),
            conversation_id=_id(found["conversation_id"]),
            stream=_id(found["stream"]),
            published=int(found["published"]),
            watermark=_id(found["watermark"]),
            announced=_id(found["announced"]),
            lost_stream=bool(found["lost_stream"]),
            waits=int(found["waits"]),
        )
    except (orjson.JSONDecodeError, KeyError, TypeError, ValueError):
        return Progress(request=RequestKind.UNKNOWN)


def _id(value: object) -> str | None:
    if value is not None and not isinstance(value, str):
        raise TypeError("an id is text")
    return value
