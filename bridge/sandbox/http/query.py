"""Query and path parameters, checked as exactly as the API checks them (422 with every problem at once)."""

import re
import warnings
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TypeVar

from aiohttp import web

from bridge.sandbox.http.refusal import Problems

_INTEGER = re.compile(r"[+-]?\d{1,4000}")
HEX_ID = re.compile(r"[a-f0-9]{24}")
_FLAGS = {
    **dict.fromkeys(("true", "1", "yes", "on", "t", "y"), True),
    **dict.fromkeys(("false", "0", "no", "off", "f", "n"), False),
}
Row = TypeVar("Row")


class Query:
    """Reads parameters one by one; ``settle`` refuses the request if any was wrong."""

    def __init__(self, request: web.Request, problems: Problems | None = None) -> None:
        self._query = request.query
        self._path = request.match_info
        self.problems = problems or Problems()
        for name, value in self._path.items():
            if name.endswith("_id") and not HEX_ID.fullmatch(value):
                self._mismatch("path", name, value)

    def settle(self) -> None:
        self.problems.settle()

    def choice(self, name: str, allowed: Sequence[str]) -> str:
        """A required parameter with a closed set of values."""
        value = self._query.get(name)
        if value is None:
            self.problems.add("missing", ("query", name), "Field required")
        elif value not in allowed:
            self.problems.add("literal_error", ("query", name), f"Input should be {' or '.join(allowed)}", value)
        return value or ""

    def choices(self, name: str, allowed: Sequence[str], default: Sequence[str]) -> list[str]:
        values = self.distinct(name)
        for value in values:
            if value not in allowed:
                self.problems.add("enum", ("query", name), f"Input should be {' or '.join(allowed)}", value)
        return values or list(default)

    def number(self, name: str, default: int, low: int | None = None, high: int | None = None) -> int:
        """An integer, both bounds included."""
        text = self._query.get(name)
        if text is None:
            return default
        if not _INTEGER.fullmatch(text.strip()):
            self.problems.add("int_parsing", ("query", name), "Input should be a valid integer", text)
            return default
        value = int(text)
        if low is not None and value < low:
            self.problems.add("greater_than_equal", ("query", name), f"Input should be at least {low}", text)
        if high is not None and value > high:
            self.problems.add("less_than_equal", ("query", name), f"Input should be at most {high}", text)
        return value

    def flag(self, name: str) -> bool | None:
        text = self._query.get(name)
        if text is None:
            return None
        if text.lower() not in _FLAGS:
            self.problems.add("bool_parsing", ("query", name), "Input should be a valid boolean", text)
        return _FLAGS.get(text.lower())

    def text(self, name: str) -> str | None:
        return self._query.get(name)

    def texts(self, name: str) -> list[str]:
        """A repeated parameter (``name=a&name=b``)."""
        return self._query.getall(name, [])

    def distinct(self, name: str) -> list[str]:
        """A repeated parameter that names nothing twice."""
        values = self.texts(name)
        if len(set(values)) < len(values):
            self.problems.add("value_error", ("query", name), "Items should be unique", values)
        return values

    def distinct_ids(self, name: str) -> list[str]:
        """The same, of 24-hex ids."""
        self.distinct(name)
        return self.ids(name)

    def ids(self, name: str) -> list[str]:
        """A repeated parameter of 24-hex ids."""
        values = self.texts(name)
        for value in values:
            if not HEX_ID.fullmatch(value):
                self._mismatch("query", name, value)
        return values

    def moment_ms(self, name: str) -> int | None:
        """A date-time, as milliseconds."""
        text = self._query.get(name)
        moment = None if text is None else parse_ms(text)
        if text is not None and moment is None:
            self.problems.add("datetime_parsing", ("query", name), "Input should be a valid datetime", text)
        return moment

    def sort(self, allowed: Sequence[str]) -> list[tuple[str, bool]]:
        """``sort_by`` as (field, descending); a bare ``+`` arrives as a space and is refused."""
        wanted = []
        for value in self.texts("sort_by"):
            if value[:1] not in ("+", "-") or value[1:] not in allowed:
                message = f"Input should be one of {', '.join(allowed)} with a prefix + or -"
                self.problems.add("value_error", ("query", "sort_by"), message, value)
            else:
                wanted.append((value[1:], value[0] == "-"))
        return wanted

    def tags(self, name: str) -> list[tuple[str, str]]:
        """A tag filter as (key, value); ``*`` is any value and an empty one means null."""
        wanted = []
        for value in self.texts(name):
            key, colon, wanted_value = value.partition(":")
            if not colon:
                self.problems.add("value_error", ("query", name), "Input should be key:value", value)
            wanted.append((key, wanted_value))
        return wanted

    def pattern(self, name: str) -> re.Pattern[str]:
        """A regular expression, by default one that matches everything."""
        text = self._query.get(name, "^.*$")
        try:
            with warnings.catch_warnings(action="ignore"):  # what may mean something else in a later Python
                return re.compile(text)
        except (re.error, OverflowError, RecursionError):
            self.problems.add("value_error", ("query", name), "Input should be a regular expression", text)
            return re.compile("")

    def _mismatch(self, place: str, name: str, value: str) -> None:
        message = "String should match pattern '^[a-f0-9]{24}$'"
        self.problems.add("string_pattern_mismatch", (place, name), message, value)


def parse_ms(text: str) -> int | None:
    """An ISO 8601 date-time as milliseconds, None when it is none; without an offset it is UTC."""
    try:
        moment = datetime.fromisoformat(text.strip())
    except ValueError:
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return int(moment.timestamp() * 1000)


def tags_match(tags: dict[str, str | None], wanted: list[tuple[str, str]]) -> bool:
    """True where all wanted (key, value) pairs are among the tags."""
    return all(key in tags and (value == "*" or (tags[key] or "") == value) for key, value in wanted)


def page(rows: list[Row], start: int, limit: int) -> tuple[list[Row], bool, int | None]:
    """One page: the rows, whether there are more, and the offset to go on from (only when there are)."""
    start = max(0, start)
    end = start + limit
    more = end < len(rows)
    return rows[start:end], more, end if more else None
