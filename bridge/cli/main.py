"""The command line. Each command reads its configuration, calls one room, and makes words and a status of the result.

Exit statuses: 0 done, 1 failed or problems found, 2 usage, 78 the configuration cannot be used.
"""

import click

from bridge import version
from bridge.cli.backfill import backfill, sign
from bridge.cli.check import check
from bridge.cli.history import history
from bridge.cli.publish import publish
from bridge.cli.run import run
from bridge.cli.sandbox import sandbox_command
from bridge.cli.services import services
from bridge.cli.steer import pause, resume, status
from bridge.cli.tail import tail
from bridge.cli.trace import trace
from bridge.cli.users import users
from bridge.cli.webhooks import webhooks


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(version(), prog_name="amigo-bridge")
def main() -> None:
    """amigo-bridge: events from RabbitMQ to Amigo agents, and their streamed answers back."""


for command in (
    run,
    check,
    publish,
    tail,
    trace,
    history,
    services,
    users,
    sandbox_command,
    webhooks,
    pause,
    resume,
    status,
):
    main.add_command(command)
for command in (backfill, sign):
    webhooks.add_command(command)
