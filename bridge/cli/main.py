"""The command line. Each command reads its configuration, calls one room, and makes words and a status of the result.

Exit statuses: 0 done, 1 failed or problems found, 2 usage, 78 the configuration cannot be used.
"""

from typing import ClassVar

import click

from bridge import version
from bridge.cli.lazy_group import LazyGroup


class Commands(LazyGroup):
    """All commands."""

    places: ClassVar = {
        "run": "bridge.cli.run:run",
        "check": "bridge.cli.check:check",
        "publish": "bridge.cli.publish:publish",
        "tail": "bridge.cli.tail:tail",
        "trace": "bridge.cli.trace:trace",
        "history": "bridge.cli.history:history",
        "services": "bridge.cli.services:services",
        "users": "bridge.cli.users:users",
        "sandbox": "bridge.cli.sandbox:sandbox_command",
        "pause": "bridge.cli.steer:pause",
        "resume": "bridge.cli.steer:resume",
        "status": "bridge.cli.steer:status",
        "webhooks": "bridge.cli.webhooks:webhooks",
    }


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(version(), prog_name="amigo-bridge")
def main() -> None:
    """amigo-bridge: events from RabbitMQ to Amigo agents, and their streamed answers back."""
