"""Fields of an event, read from its body whatever that is."""

import orjson


def event_id_of(body: bytes) -> str:
    return str(_field(body, "id"))


def text_of(body: bytes) -> str | None:
    text = _field(body, "message")
    return text if isinstance(text, str) else None


def _field(body: bytes, name: str) -> object:
    try:
        said = orjson.loads(body)
    except orjson.JSONDecodeError:
        return None
    return said.get(name) if isinstance(said, dict) else None
