"""The body of an interact call (docs/api-contract.md, 1.3): control parts first, the message last.

The server begins while it still reads, so the order matters; its pattern for the content type allows exactly one space.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

import orjson


@dataclass(frozen=True, slots=True)
class Recording:
    """Spoken words: MP3, or PCM of one channel at `frame_rate` (4,000 to 44,100 Hz), `sample_width` 2 or 4 bytes."""

    audio: bytes
    frame_rate: int | None = None
    sample_width: int = 2

    @property
    def config(self) -> str:
        """`request_audio_config`: JSON inside the query."""
        if self.frame_rate is None:
            return '{"type":"mp3"}'
        pcm = {"type": "pcm", "frame_rate": self.frame_rate, "n_channels": 1, "sample_width": self.sample_width}
        return orjson.dumps(pcm).decode()


@dataclass(frozen=True, slots=True)
class Earlier:
    """An external event that happened before the message: its time must be past and after the last message."""

    content: str
    at: datetime


def interact_body(
    kind: str, message: str | Recording, boundary: str, earlier: Sequence[Earlier] = ()
) -> tuple[bytes, str]:
    """Body and content type. `boundary` must not occur in the message: give a random one of 128 bits."""
    body = b"".join(_parts(kind, message, boundary, earlier)) + f"--{boundary}--\r\n".encode()
    return body, f"multipart/form-data; boundary={boundary}"


def _parts(kind: str, message: str | Recording, boundary: str, earlier: Sequence[Earlier]) -> Iterator[bytes]:
    yield _part(boundary, 'name="initial_message_type"', None, kind.encode())
    for event in earlier:
        yield _part(boundary, 'name="external_event_message_content"', None, _utf8(event.content))
    for event in earlier:
        yield _part(boundary, 'name="external_event_message_timestamp"', None, event.at.isoformat().encode())
    named = 'name="recorded_message"; filename='
    if isinstance(message, str):
        yield _part(boundary, f'{named}"message.txt"', "text/plain; charset=utf-8", _utf8(message))
    elif message.frame_rate is None:
        yield _part(boundary, f'{named}"audio.mp3"', "audio/mpeg", message.audio)
    else:
        yield _part(boundary, f'{named}"audio.wav"', "audio/wav", message.audio)


def _part(boundary: str, disposition: str, content_type: str | None, value: bytes) -> bytes:
    head = f"--{boundary}\r\nContent-Disposition: form-data; {disposition}\r\n"
    if content_type is not None:
        head += f"Content-Type: {content_type}\r\n"
    return head.encode() + b"\r\n" + value + b"\r\n"


def _utf8(text: str) -> bytes:
    return text.encode("utf-8", "replace")
