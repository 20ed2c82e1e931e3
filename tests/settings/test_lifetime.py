"""`max_wait` of a route: a duration above 0, which counts for every event of the route but a `cancel`."""

from pathlib import Path

import pytest

from bridge.core.event.event import Event
from bridge.core.event.event_fields import EventKind
from bridge.core.event.lifetime import Lifetime
from bridge.core.event.route import Rendered, RoutedEvent, resolve
from bridge.settings.model import SettingsError
from bridge.settings.values import defaults_of
from tests.settings.test_finish import SERVICE, settings


def routed(folder: Path, max_wait: str | None, event: Event) -> RoutedEvent:
    wait = "" if max_wait is None else f", max_wait: {max_wait}"
    loaded = settings(folder, f"routes: [{{name: r, service_id: '{SERVICE}'{wait}}}]")
    return resolve(event, loaded.routes[0].route(), Rendered(), defaults_of(loaded))


@pytest.mark.parametrize(("max_wait", "expected_s"), [("10m", 600.0), ("250ms", 0.25), ("7d", 604_800.0)])
def test_a_route_bounds_the_wait_of_its_events(tmp_path: Path, max_wait: str, expected_s: float) -> None:
    event = routed(tmp_path, max_wait, Event("e1", message="x"))
    assert event.lifetime == Lifetime(max_wait_s=expected_s)


def test_without_it_nothing_is_bounded(tmp_path: Path) -> None:
    assert routed(tmp_path, None, Event("e1", message="x")).lifetime is None
    assert routed(tmp_path, "1s", Event("e1", kind=EventKind.CANCEL, cancels="e0")).lifetime is None


@pytest.mark.parametrize("value", ["0s", "'0'", "-1s", "10", "never", "1w", "[1s]"])
def test_anything_else_is_an_error_that_names_the_key(tmp_path: Path, value: str) -> None:
    with pytest.raises(SettingsError, match="max_wait"):
        routed(tmp_path, value, Event("e1", message="x"))
