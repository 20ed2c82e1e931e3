"""Log lines of what the broker refuses: as many as one can read, however many messages it refuses."""

import asyncio
from dataclasses import dataclass, field

from bridge.flow.ports.runtime import Log

EVERY_S = 5.0
"""One line so often for each (event, exchange, routing key, kind)."""
MAX_KEYS = 20
"""Routing keys with lines of their own at once; what goes elsewhere then shares one, which names the last of them."""
OTHERS = "…"

Key = tuple[str, str, str, str]


@dataclass(slots=True)
class HeldBack:
    """The last of the lines that were left out since one of the kind was written, and how many they are."""

    lines: int = 0
    at_error: bool = False
    fields: dict[str, object] = field(default_factory=dict)


class RefusalLog:
    """Writes the first line of a kind at once, then one every five seconds with how many more there were (`more`).

    What stands in no line, as an exchange where it is all the same which, is left empty.
    """

    def __init__(self, log: Log) -> None:
        self._log = log
        self._held: dict[Key, HeldBack] = {}

    def warning(self, event: str, exchange: str = "", routing_key: str = "", kind: str = "", **fields: object) -> None:
        """A message was refused, and that may be all right."""
        self._refused((event, exchange, routing_key, kind), fields, at_error=False)

    def error(self, event: str, exchange: str = "", routing_key: str = "", kind: str = "", **fields: object) -> None:
        """A message was refused, and somebody must act."""
        self._refused((event, exchange, routing_key, kind), fields, at_error=True)

    def _refused(self, key: Key, fields: dict[str, object], *, at_error: bool) -> None:
        event, exchange, routing_key, kind = key
        fields = {**({"routing_key": routing_key} if routing_key else {}), **fields}
        if key not in self._held and len(self._held) >= MAX_KEYS:
            key = (event, exchange, OTHERS, kind)
        held = self._held.get(key)
        if held is not None:
            held.lines, held.at_error, held.fields = held.lines + 1, at_error, fields
            return
        self._write(key, at_error, fields)
        self._held[key] = HeldBack()
        asyncio.get_running_loop().call_later(EVERY_S, self._over, key)

    def _over(self, key: Key) -> None:
        held = self._held.pop(key)
        if held.lines:
            self._write(key, held.at_error, {**held.fields, "more": held.lines - 1} if held.lines > 1 else held.fields)
            self._held[key] = HeldBack()
            asyncio.get_running_loop().call_later(EVERY_S, self._over, key)

    def _write(self, key: Key, at_error: bool, fields: dict[str, object]) -> None:
        event, exchange, _, kind = key
        say = self._log.error if at_error else self._log.warning
        known = {name: part for name, part in (("exchange", exchange), ("kind", kind)) if part}
        say(event, **known, **fields)
