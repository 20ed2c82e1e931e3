"""When conversations are finished: as event, route, channel and defaults say, as values of the core."""

from pathlib import Path

import pytest

from bridge.core.event.event import Event
from bridge.core.event.route import Rendered, resolve
from bridge.settings.model import Settings, SettingsError, load
from bridge.settings.values import defaults_of

SERVICE = "5f0000000000000000000001"
AMIGO = {
    "AMIGO_API_KEY": "secret",
    "AMIGO_API_KEY_ID": "key-id",
    "AMIGO_ORGANIZATION_ID": "acme",
    "AMIGO_USER_ID": "user-0",
}


def settings(tmp_path: Path, text: str) -> Settings:
    path = tmp_path / "bridge.yaml"
    path.write_text(text, encoding="utf-8")
    return load(path, AMIGO)


@pytest.mark.parametrize(
    ("event", "route", "channel", "default", "expected"),
    [
        (None, None, None, None, 3600.0),
        (None, None, None, "2h", 7200.0),
        (None, None, "never", "2h", float("inf")),
        (None, "after", "never", "2h", 0.0),
        (5.0, "after", "never", "2h", 5.0),
        (None, "250ms", None, None, 0.25),
    ],
)
def test_the_event_wins_over_the_route_the_route_over_the_channel_that_over_the_default(
    tmp_path: Path, event: float | None, route: str | None, channel: str | None, default: str | None, expected: float
) -> None:
    lines = [f"routes: [{{name: r, service_id: '{SERVICE}'{f', finish: {route}' if route else ''}}}]"]
    lines += [f"channels: {{sms: {{finish: {channel}}}}}"] if channel else []
    lines += [f"conversations: {{finish: {default}}}"] if default else []
    loaded = settings(tmp_path, "\n".join(lines))
    made = loaded.routes[0].route()
    routed = resolve(Event("e1", message="x", channel="sms", finish_s=event), made, Rendered(), defaults_of(loaded))
    assert routed.finish_s == expected


@pytest.mark.parametrize("value", ["later", "1w", "10", "0", "[after]", "''", "40000d", "9" * 900_000 + "h"])
@pytest.mark.parametrize("place", ["conversations: {{finish: {}}}", "channels: {{sms: {{finish: {}}}}}"])
def test_what_is_no_wish_is_an_error_that_names_the_key(tmp_path: Path, place: str, value: str) -> None:
    with pytest.raises(SettingsError, match=r"finish: .*neither after nor never nor a duration such as 1h") as caught:
        settings(tmp_path, place.format(value))
    assert len(str(caught.value)) < 1_000
