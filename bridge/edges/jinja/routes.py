"""Routes with their templates: compiled once, an undefined name is an error, and so is what goes beyond the budget.

In `when` an error means that the route does not take the event; in `message`, `user_id` and the tags it makes the
event invalid. `user_id`, `user` and tags are made of text and numbers alone. An enrichment whose `when` fails is not
wanted, and one whose `context` fails is told of as one that cannot be had.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from jinja2 import TemplateError
from jinja2.environment import Template, TemplateExpression

from bridge.core.errors import InvalidEvent, NoRoute
from bridge.core.event.enrichment import Enrichment, WantedEnrichment
from bridge.core.event.event import Event
from bridge.core.event.inbound_message import NO_HEADERS, InboundMessage
from bridge.core.event.route import Rendered, Route
from bridge.core.template.budget import MIB
from bridge.edges.jinja.environment import Environment

MAX_ERROR_CHARS = 300


@dataclass(frozen=True, slots=True)
class CompiledEnrichment:
    """An enrichment of a route and its templates."""

    enrichment: Enrichment
    when: TemplateExpression | None
    context: Template | None


@dataclass(frozen=True, slots=True)
class Compiled:
    """A route and its templates."""

    route: Route
    when: TemplateExpression | None
    message: Template | None
    user_id: Template | None
    user: Mapping[str, Template]
    tags: Mapping[str, Template]
    enrich: Sequence[CompiledEnrichment]


def check_expression(text: str) -> str:
    """The text itself, if it is a Jinja expression. Raises ValueError."""
    try:
        Environment().expression(text)
    except TemplateError as error:
        raise ValueError(f"not a Jinja expression: {error}") from None
    return text


def check_template(text: str) -> str:
    """The text itself, if it is a Jinja template. Raises ValueError."""
    try:
        Environment().template(text)
    except TemplateError as error:
        raise ValueError(f"not a Jinja template: {error}") from None
    return text


def _compiled(route: Route, jinja: Environment) -> Compiled:
    return Compiled(
        route,
        jinja.expression(route.when) if route.when is not None else None,
        jinja.template(route.message) if route.message is not None else None,
        jinja.template(route.user_id) if route.user_id is not None else None,
        {name: jinja.template(text) for name, text in route.user.items()},
        {name: jinja.template(text) for name, text in route.tags.items()},
        [
            CompiledEnrichment(
                enrichment,
                jinja.expression(enrichment.when) if enrichment.when is not None else None,
                jinja.template(enrichment.context) if enrichment.context is not None else None,
            )
            for enrichment in route.enrich
        ],
    )


class JinjaRoutes:
    """The routes port. Templates see `data`, `headers`, `routing_key` and `source` (the webhook's name, if any).

    `max_bytes` of an inbound's queue bounds what a template makes of its events; 1 MiB where it is not named.
    """

    def __init__(self, routes: Sequence[Route], max_bytes: Mapping[str, int] = NO_HEADERS) -> None:
        self._jinja = Environment()
        self._max_bytes = max_bytes
        self._routes = [_compiled(route, self._jinja) for route in routes]
        self._compiled = {compiled.route.name: compiled for compiled in self._routes}

    def match(self, event: Event, incoming: InboundMessage) -> Route | None:
        """The first route whose `when` holds. Raises NoRoute where none does and the event names no service itself."""
        seen, longest = _seen(event, incoming), self._longest(incoming)
        errors = []
        for compiled in self._routes:
            self._jinja.budget.begin(longest)
            try:
                if compiled.when is None or compiled.when(**seen):
                    return compiled.route
            except Exception as error:  # whatever an expression can raise over foreign data
                errors.append(f"{compiled.route.name}: {error}")
        if event.service_id is None and event.must_name_service:
            tried = f" ({'; '.join(errors)[:MAX_ERROR_CHARS]})" if errors else ""
            raise NoRoute(f"no route took the event and it names no service_id{tried}", event.id, event.channel)
        return None

    def render(self, route: Route, event: Event, incoming: InboundMessage) -> Rendered:
        """Fill in a route's templates. Raises InvalidEvent that names the template."""
        compiled, seen, longest = self._compiled[route.name], _seen(event, incoming), self._longest(incoming)
        channel = event.channel or route.channel

        def fill(name: str, template: Template | None, *, strict: bool = True) -> str | None:
            if template is None:
                return None
            try:
                return self._filled(template, seen, longest, strict=strict)
            except Exception as error:  # as above
                reason = str(error)[:MAX_ERROR_CHARS] or type(error).__name__
                raise InvalidEvent(f"route {route.name}: template {name}: {reason}", event.id, channel) from None

        by_email = compiled.user if event.needs_service and event.user_id is None and event.user is None else {}
        by_id = compiled.user_id if event.needs_service and event.user_id is None and event.user is None else None
        return Rendered(
            message=fill("message", compiled.message if event.speaks and event.message is None else None, strict=False),
            user_id=fill("user_id", by_id),
            user={name: fill(f"user.{name}", template) or "" for name, template in by_email.items()},
            tags={name: fill(f"tags.{name}", template) or "" for name, template in compiled.tags.items()},
            enrich=self._enrich(compiled, seen, longest) if compiled.enrich and event.asks_agent else (),
        )

    def _enrich(self, compiled: Compiled, seen: dict[str, Any], longest: int) -> tuple[WantedEnrichment, ...]:
        """The enrichments that the event wants. Nothing that is wrong with one is wrong with the event."""
        return tuple(
            [
                self._wanted(one, seen, longest)
                for one in compiled.enrich
                if one.when is None or self._holds(one.when, seen, longest)
            ]
        )

    def _holds(self, when: TemplateExpression, seen: dict[str, Any], longest: int) -> bool:
        self._jinja.budget.begin(longest)
        try:
            return bool(when(**seen))
        except Exception:  # as in a route's own `when`
            return False

    def _wanted(self, one: CompiledEnrichment, seen: dict[str, Any], longest: int) -> WantedEnrichment:
        kind = one.enrichment.kind
        if one.context is None:
            return WantedEnrichment(kind)
        try:
            return WantedEnrichment(kind, self._filled(one.context, seen, longest, strict=False))
        except Exception as error:  # as above
            reason = str(error)[:MAX_ERROR_CHARS] or type(error).__name__
            return WantedEnrichment(kind, error=f"template context: {reason}")

    def _filled(self, template: Template, seen: dict[str, Any], longest: int, *, strict: bool) -> str:
        budget = self._jinja.budget
        budget.begin(longest, strict=strict)
        text = template.render(seen)
        budget.within(len(text) if 4 * len(text) <= longest else len(text.encode()))
        return text

    def _longest(self, incoming: InboundMessage) -> int:
        return self._max_bytes.get(incoming.queue, MIB)


def _seen(event: Event, incoming: InboundMessage) -> dict[str, Any]:
    return {
        "data": event.data,
        "headers": dict(incoming.headers),
        "routing_key": incoming.origin[1],
        "source": incoming.headers.get("x-bridge-source", ""),
    }
