"""The multipart body of an interact (docs/api-contract.md, 1.3)."""

import re
from dataclasses import dataclass

import orjson
from aiohttp import BodyPartReader, web

from bridge.sandbox.http.query import parse_ms
from bridge.sandbox.http.refusal import EMPTY_MESSAGE, Problems, Refusal

CONTENT_TYPE = re.compile(r"multipart/form-data; boundary=.+")
_TYPES = ("user-message", "external-event", "skip")
_FRAME_RATES = range(4000, 44101)


@dataclass(frozen=True)
class Part:
    """One part as it came, whether sent as a field or as a file."""

    name: str
    content: bytes


@dataclass(frozen=True)
class InteractForm:
    """The content of an interact; ``recorded`` is text (UTF-8) or audio."""

    message_type: str
    recorded: bytes
    external_events: list[str]
    external_times_ms: list[int]


async def read_parts(request: web.Request) -> list[Part]:
    """Reads the whole multipart body; ValueError when it is malformed."""
    reader = await request.multipart()
    parts = []
    async for part in reader:
        if isinstance(part, BodyPartReader):
            parts.append(Part(part.name or "", bytes(await part.read())))
    return parts


def interact_form(parts: list[Part], problems: Problems) -> InteractForm:
    """The form, or its problems: one of the three shapes, chronological events, one timestamp for each."""
    kind = _single(parts, "initial_message_type", problems)
    recorded = _single(parts, "recorded_message", problems)
    message_type = (kind or b"").decode("utf-8", "replace")
    if kind is not None and message_type not in _TYPES:
        _wrong(problems, "initial_message_type", f"Input should be {' or '.join(_TYPES)}", message_type)
    events = [_text(part, problems) for part in parts if part.name == "external_event_message_content"]
    times = [_time_ms(part, problems) for part in parts if part.name == "external_event_message_timestamp"]
    if not all(event.strip() for event in events):
        _wrong(problems, "external_event_message_content", "String should have at least 1 character", "")
    if len(events) != len(times):
        _wrong(problems, "external_event_message_timestamp", "One timestamp is needed for each content", len(times))
    if message_type == "skip" and (recorded or events or times):
        _wrong(problems, "recorded_message", "A skip must be empty", None)
    return InteractForm(message_type, recorded or b"", events, times)


def require_message(form: InteractForm) -> None:
    """400 for an empty message: the API names it a reason for 400, not for 422."""
    if form.message_type != "skip" and not form.recorded.strip():
        raise Refusal(400, EMPTY_MESSAGE)


def check_audio_config(text: str | None, problems: Problems, *, required: bool) -> None:
    """``request_audio_config``: a JSON string, mp3 or PCM at 4 to 44.1 kHz, required with voice."""
    if not required and text in (None, "null"):
        return
    try:
        config = orjson.loads(text or "")
    except orjson.JSONDecodeError:
        config = None
    if isinstance(config, dict) and _is_mp3(config) != _is_pcm(config):
        return
    problems.add("value_error", ("query", "request_audio_config"), "Input should be an audio configuration", text)


def _is_mp3(config: dict[str, object]) -> bool:
    return config.get("type", "mp3") == "mp3"


def _is_pcm(config: dict[str, object]) -> bool:
    rate, channels, width = (config.get(name) for name in ("frame_rate", "n_channels", "sample_width"))
    if any(isinstance(number, bool) for number in (rate, channels, width)):
        return False
    return config.get("type", "pcm") == "pcm" and rate in _FRAME_RATES and channels == 1 and width in (2, 4)


def _single(parts: list[Part], name: str, problems: Problems) -> bytes | None:
    found = [part.content for part in parts if part.name == name]
    if not found:
        problems.add("missing", ("body", name), "Field required")
        return None
    return found[-1]


def _text(part: Part, problems: Problems) -> str:
    try:
        return part.content.decode()
    except UnicodeDecodeError:
        _wrong(problems, part.name, "Input should be valid UTF-8", None)
        return "?"


def _time_ms(part: Part, problems: Problems) -> int:
    moment = parse_ms(_text(part, problems))
    if moment is None:
        _wrong(problems, part.name, "Input should be a valid datetime", part.content.decode("utf-8", "replace"))
    return moment or 0


def _wrong(problems: Problems, name: str, message: str, given: object) -> None:
    problems.add("value_error", ("body", name), message, given)
