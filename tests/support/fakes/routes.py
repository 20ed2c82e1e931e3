"""Routes without templates: a test says which route takes what, and what its templates come to."""

from collections.abc import Callable
from dataclasses import dataclass

from bridge.core.errors import NoRoute
from bridge.core.event.event import Event
from bridge.core.event.inbound_message import InboundMessage
from bridge.core.event.route import Rendered, Route


@dataclass(frozen=True)
class Entry:
    """A route, when it takes an event, and what rendering it gives or raises."""

    route: Route
    rendered: Rendered | Exception
    when: Callable[[Event], bool]


class FakeRoutes:
    """The routes port."""

    def __init__(self, *routes: Route) -> None:
        self.entries: list[Entry] = []
        for route in routes:
            self.add(route)

    def add(
        self,
        route: Route,
        rendered: Rendered | Exception | None = None,
        when: Callable[[Event], bool] = lambda event: True,
    ) -> None:
        """One more route, behind those there are."""
        self.entries.append(Entry(route, rendered or Rendered(), when))

    def match(self, event: Event, incoming: InboundMessage) -> Route | None:
        for entry in self.entries:
            if entry.when(event):
                return entry.route
        if event.service_id is None and event.must_name_service:
            raise NoRoute("no route took the event and it names no service_id", event.id, event.channel)
        return None

    def render(self, route: Route, event: Event, incoming: InboundMessage) -> Rendered:
        entry = next(entry for entry in self.entries if entry.route is route)
        if isinstance(entry.rendered, Exception):
            raise entry.rendered
        return entry.rendered
