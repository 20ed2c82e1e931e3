"""JSON bodies, checked as exactly as the API checks them (422 with every problem at once)."""

import re
from collections.abc import Collection, Sequence
from typing import Any

import orjson

from bridge.sandbox.http.query import HEX_ID
from bridge.sandbox.http.refusal import Problems

_TAG_NAME = re.compile(r"[\w\s]+")
_LONGEST_CREATE_TAG = 100
_MOST_TAGS = 20


class Body:
    """Reads the fields of a JSON object one by one; unknown fields are ignored, as the API does."""

    def __init__(self, raw: bytes, problems: Problems, *, optional: bool = False) -> None:
        self.problems = problems
        self._fields: dict[str, Any] = {}
        if optional and not raw.strip():
            return
        try:
            content = orjson.loads(raw)
        except orjson.JSONDecodeError as error:
            problems.add("json_invalid", ("body", error.pos), "JSON decode error")
            problems.settle()
            raise
        if isinstance(content, dict):
            self._fields = content
        else:
            problems.add("model_attributes_type", ("body",), "Input should be a valid dictionary", content)

    def get(self, name: str, default: Any = None) -> Any:
        return self._fields.get(name, default)

    def text(self, name: str, default: str | None = None, *, required: bool = False) -> str | None:
        """A string, stripped, not empty."""
        value = self._present(name, required)
        if value is None:
            return default
        if not isinstance(value, str):
            self._wrong("string_type", name, "Input should be a valid string", value)
            return default
        if not value.strip():
            self._wrong("string_too_short", name, "String should have at least 1 character", value)
        return value.strip()

    def identifier(self, name: str) -> str:
        """A required 24-hex id."""
        value = self._present(name, required=True)
        if value is not None and not (isinstance(value, str) and HEX_ID.fullmatch(value)):
            self._wrong("string_pattern_mismatch", name, "String should match pattern '^[a-f0-9]{24}$'", value)
        return str(value)

    def choice(self, name: str, allowed: Sequence[str]) -> str | None:
        value = self._fields.get(name)
        if value is not None and value not in allowed:
            self._wrong("literal_error", name, f"Input should be {' or '.join(allowed)}", value)
        return value if isinstance(value, str) else None

    def flag(self, name: str) -> bool:
        value = self._fields.get(name, False)
        if not isinstance(value, bool):
            self._wrong("bool_type", name, "Input should be a valid boolean", value)
        return bool(value)

    def number(self, name: str, low: int, high: int, default: int | None) -> int | None:
        """An integer, both bounds included; required when there is no default."""
        value = self._fields.get(name, default)
        if isinstance(value, bool) or not isinstance(value, int):
            kind = "int_type" if name in self._fields else "missing"
            self._wrong(kind, name, "Input should be a valid integer", value)
            return default
        if not low <= value <= high:
            self._wrong("range", name, f"Input should be between {low} and {high}", value)
        return value

    def texts(self, name: str, *, least: int = 0, required: bool = False) -> list[str]:
        """A list of non-empty strings."""
        value = self._present(name, required)
        if value is None:
            return []
        if not isinstance(value, list) or not all(isinstance(item, str) and item.strip() for item in value):
            self._wrong("list_type", name, "Input should be a list of non-empty strings", value)
            return []
        if len(value) < least:
            self._wrong("too_short", name, f"List should have at least {least} item after validation", value)
        return [item.strip() for item in value]

    def mapping(self, name: str, known: Collection[str]) -> dict[str, Any]:
        """The fields of an object; null is an empty one."""
        value = self._fields.get(name) or {}
        if not isinstance(value, dict):
            self._wrong("dict_type", name, "Input should be a valid dictionary", value)
            return {}
        return {key: item for key, item in value.items() if key in known}

    def create_tags(self, name: str) -> dict[str, str | None]:
        """Tags as create takes them: any characters in the value, 1 to 100 of them."""
        return self._tags(name, lambda value: 1 <= len(value) <= _LONGEST_CREATE_TAG)

    def modify_tags(self, name: str) -> dict[str, str | None]:
        """Tags as modify takes them: only word characters and spaces in the value, of any length."""
        return self._tags(name, lambda value: _TAG_NAME.fullmatch(value) is not None)

    def _tags(self, name: str, allows: Any) -> dict[str, str | None]:
        given = self._fields.get(name, {})
        if not isinstance(given, dict):
            self._wrong("dict_type", name, "Input should be a valid dictionary", given)
            return {}
        if len(given) > _MOST_TAGS:
            self._wrong("too_long", name, f"Dictionary should have at most {_MOST_TAGS} items", len(given))
        tags: dict[str, str | None] = {}
        for key, value in given.items():
            stripped = value.strip() if isinstance(value, str) else value
            if not _TAG_NAME.fullmatch(key.strip()):
                self._wrong("string_pattern_mismatch", name, "Key should match pattern '^[\\w\\s]+$'", key)
            elif stripped is not None and not (isinstance(stripped, str) and allows(stripped)):
                self._wrong("value_error", name, "Value is not allowed here", value)
            else:
                tags[key.strip()] = stripped
        return tags

    def _present(self, name: str, required: bool) -> Any:
        value = self._fields.get(name)
        if value is None and required:
            self._wrong("missing", name, "Field required", None)
        return value

    def _wrong(self, kind: str, name: str, message: str, given: object) -> None:
        self.problems.add(kind, ("body", name), message, given)
