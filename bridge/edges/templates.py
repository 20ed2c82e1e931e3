"""Routes with their Jinja templates: compiled once, sandboxed, an undefined name is an error.

In `when` an error means that the route does not take the event; in `message`, `user_id` and the tags it makes the
event invalid.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from jinja2 import StrictUndefined, TemplateError
from jinja2.environment import Template, TemplateExpression
from jinja2.sandbox import ImmutableSandboxedEnvironment

from bridge.core.event import Event
from bridge.core.failure import InvalidEvent, NoRoute
from bridge.core.incoming import Incoming
from bridge.core.route import Rendered, Route

_JINJA = ImmutableSandboxedEnvironment(undefined=StrictUndefined, autoescape=False, keep_trailing_newline=False)


@dataclass(frozen=True, slots=True)
class Compiled:
    """A route and its templates."""

    route: Route
    when: TemplateExpression | None
    message: Template | None
    user_id: Template | None
    tags: Mapping[str, Template]


def check_expression(text: str) -> str:
    """The text itself, if it is a Jinja expression. Raises ValueError."""
    try:
        _expression(text)
    except TemplateError as error:
        raise ValueError(f"not a Jinja expression: {error}") from None
    return text


def check_template(text: str) -> str:
    """The text itself, if it is a Jinja template. Raises ValueError."""
    try:
        _JINJA.from_string(text)
    except TemplateError as error:
        raise ValueError(f"not a Jinja template: {error}") from None
    return text


def _compiled(route: Route) -> Compiled:
    return Compiled(
        route,
        _expression(route.when) if route.when is not None else None,
        _JINJA.from_string(route.message) if route.message is not None else None,
        _JINJA.from_string(route.user_id) if route.user_id is not None else None,
        {name: _JINJA.from_string(text) for name, text in route.tags.items()},
    )


class JinjaRoutes:
    """The routes port. Templates see `data`, `headers`, `routing_key` and `source` (the webhook's name, if any)."""

    def __init__(self, routes: Sequence[Route]) -> None:
        self._routes = [_compiled(route) for route in routes]
        self._compiled = {compiled.route.name: compiled for compiled in self._routes}

    def match(self, event: Event, incoming: Incoming) -> Route | None:
        """The first route whose `when` holds. Raises NoRoute where none does and the event names no service itself."""
        seen = _seen(event, incoming)
        errors = []
        for compiled in self._routes:
            try:
                if compiled.when is None or compiled.when(**seen):
                    return compiled.route
            except Exception as error:  # whatever an expression can raise over foreign data
                errors.append(f"{compiled.route.name}: {error}")
        if event.service_id is None:
            tried = f" ({'; '.join(errors)[:300]})" if errors else ""
            raise NoRoute(f"no route took the event and it names no service_id{tried}", event.id, event.channel)
        return None

    def render(self, route: Route, event: Event, incoming: Incoming) -> Rendered:
        """Fill in a route's templates. Raises InvalidEvent that names the template."""
        compiled, seen = self._compiled[route.name], _seen(event, incoming)
        where = f"route {route.name}"
        channel = event.channel or route.channel

        def fill(name: str, template: Template | None) -> str | None:
            if template is None:
                return None
            try:
                return template.render(seen)
            except Exception as error:  # as above
                raise InvalidEvent(f"{where}: template {name}: {error}", event.id, channel) from None

        return Rendered(
            message=fill("message", compiled.message if event.message is None else None),
            user_id=fill("user_id", compiled.user_id if event.user_id is None else None),
            tags={name: fill(f"tags.{name}", template) or "" for name, template in compiled.tags.items()},
        )


def _seen(event: Event, incoming: Incoming) -> dict[str, Any]:
    return {
        "data": event.data,
        "headers": dict(incoming.headers),
        "routing_key": incoming.origin[1],
        "source": incoming.headers.get("x-bridge-source", ""),
    }


def _expression(text: str) -> TemplateExpression:
    return _JINJA.compile_expression(text, undefined_to_none=False)
