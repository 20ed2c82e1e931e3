"""`amigo-bridge check`: the configuration, offline."""

from pathlib import Path

import click

from bridge.cli.invocation import config_option, json_option, loaded
from bridge.cli.run import unused_settings
from bridge.cli.screen import Screen
from bridge.settings.model import load


@click.command()
@config_option
@json_option
def check(config: Path | None, as_json: bool) -> None:
    """Check the configuration, offline: status 0 where it can be used, 78 with every error where not."""
    screen = Screen(as_json=as_json)
    settings = loaded(load, config, screen)
    notes = [f"{key}: {why}" for key, why in unused_settings(settings).items()]
    routes = [route.name for route in settings.routes]
    for note in notes:
        screen.note(note)
    screen.say(
        f"The configuration can be used: {len(routes)} routes, {len(settings.amqp.inbound)} inbound, "
        f"{len(settings.amqp.outbound)} outbound.",
        ok=True,
        errors=[],
        notes=notes,
        routes=routes,
    )
