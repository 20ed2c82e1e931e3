"""An event as it was planned when something was asked for it, so that whoever goes on does not plan it anew.

Configuration changes, and replicas differ. While a request may be outstanding, every look and every repeat uses what
that request used (docs/semantics.md, Planned once); what has not started is planned anew.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import field, replace
from math import inf

from bridge.core.event.route import NO_TAGS, RoutedEvent
from bridge.core.value import value

NEVER = -1
"""Infinite silence, as JSON can have it."""
TEXT_DIGITS = 16
FIELDS = 10


@value(frozen=True, slots=True)
class PlannedEvent:
    """The choices of event, route and configuration that a request was made with.

    `by_email`: the user was found so. `text` is the `digest_of` the message, for an interact. Where an earlier version
    kept the user alone, `service_id` is None, and so is all that follows it.
    """

    user_id: str
    by_email: bool = False
    service_id: str | None = None
    channel: str = ""
    version_set: str = ""
    route: str | None = None
    finish_s: float = 0.0
    response_format: str = "text"
    tags: Mapping[str, str] = field(default_factory=lambda: NO_TAGS)
    text: str | None = None

    @classmethod
    def of(cls, event: RoutedEvent, *, with_text: bool) -> "PlannedEvent":
        """The plan of an event whose user is known."""
        return cls(
            user_id=event.user_id,
            by_email=event.user is not None,
            service_id=event.service_id,
            channel=event.channel,
            version_set=event.version_set,
            route=event.route,
            finish_s=event.finish_s,
            response_format=event.response_format,
            tags=event.tags,
            text=digest_of(event.message) if with_text and event.message is not None else None,
        )

    def applied_to(self, event: RoutedEvent) -> RoutedEvent:
        """The event as it was planned, whatever it resolves to now."""
        if self.service_id is None:
            return event.of_user(self.user_id)
        return replace(
            event,
            user_id=self.user_id,
            service_id=self.service_id,
            channel=self.channel,
            version_set=self.version_set,
            version_weights=None if event.user_id != self.user_id else event.version_weights,
            user=event.user if self.by_email else None,
            route=self.route,
            finish_s=self.finish_s,
            response_format=self.response_format,
            tags=self.tags,
            seeks_owner=False,
        )

    @property
    def once_complete(self) -> "PlannedEvent | None":
        """The part that is worth keeping once the event is complete: the user, where only a look-up has told who."""
        return PlannedEvent(self.user_id, by_email=True) if self.by_email else None

    def dump(self) -> list[object] | str:
        """As a value for JSON; what says nothing at the end is left out."""
        if self.service_id is None:
            return self.user_id
        values: list[object] = [
            self.user_id,
            self.service_id,
            self.channel,
            self.version_set,
            NEVER if self.finish_s == inf else self.finish_s,
            self.route,
            dict(self.tags) if self.tags else None,
            self.text,
            self.by_email,
            self.response_format if self.response_format != "text" else None,
        ]
        while not values[-1]:
            values.pop()
        return values


def load_planned(value: object) -> PlannedEvent | None:
    """The plan that was dumped; a lone text is the user whom an earlier version kept. Raises TypeError, ValueError."""
    if value is None:
        return None
    if isinstance(value, str):
        return PlannedEvent(value, by_email=True)
    if not isinstance(value, list):
        raise TypeError("a plan is a list")
    values: list[object] = [*value, *[None] * (FIELDS - len(value))]
    user_id, service_id, channel, version_set, finish_s, route, tags, text, by_email, response_format = values
    finish = float(str(finish_s or 0))
    return PlannedEvent(
        user_id=_text(user_id),
        by_email=bool(by_email),
        service_id=_text(service_id),
        channel=_text(channel),
        version_set=_text(version_set),
        route=None if route is None else _text(route),
        finish_s=inf if finish == NEVER else finish,
        response_format=_text(response_format or "text"),
        tags={str(key): str(tag) for key, tag in tags.items()} if isinstance(tags, dict) else NO_TAGS,
        text=None if text is None else _text(text),
    )


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError("that is no text")
    return value


def digest_of(text: str) -> str:
    """Some hex digits that tell a message from others; blanks at its ends are no difference."""
    return hashlib.sha256(text.strip().encode("utf-8", "surrogatepass")).hexdigest()[:TEXT_DIGITS]
