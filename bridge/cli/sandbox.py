"""`amigo-bridge sandbox`: a local Amigo API."""

import sys
from pathlib import Path
from typing import Literal

import click

from bridge import sandbox
from bridge.sandbox.http.server import run as run_sandbox
from bridge.sandbox.options import SandboxOptions


def _as_written(page: str) -> str:
    """Paragraphs that click does not wrap anew."""
    return "\n\n".join(f"\b\n{paragraph}" for paragraph in page.split("\n\n"))


@click.command("sandbox", help=f"Run a local Amigo API.\n\n{_as_written(sandbox.FAULTS_HELP)}")
@click.option("--host", default="127.0.0.1", show_default=True)
@click.option("--port", default=8090, show_default=True, type=click.IntRange(0, 65_535), help="0 takes a free one.")
@click.option("--pace", default=1.0, show_default=True, type=click.FloatRange(0), help="0 answers without pauses.")
@click.option("--strict", type=click.Path(path_type=Path, dir_okay=False, exists=True), help="Know only what it lists.")
@click.option("--state", type=click.Path(path_type=Path, dir_okay=False), help="Keep the state in this file.")
@click.option(
    "--limits",
    type=click.Choice(["off", "user", "org"]),
    default="off",
    show_default=True,
    help="Count calls a minute, as the API does.",
)
@click.option(
    "--limit-windows",
    type=click.Choice(["call", "clock", "sliding"]),
    default="call",
    show_default=True,
    help="A window begins with a call, or follows on the last one, or slides.",
)
@click.option(
    "--limit-window", default=60.0, show_default=True, type=click.FloatRange(0.001), help="A window, in seconds."
)
@click.option("--webhook-host", "webhook_hosts", multiple=True, metavar="HOST", help="Send webhooks there (http too).")
def sandbox_command(
    host: str,
    port: int,
    pace: float,
    strict: Path | None,
    state: Path | None,
    limits: Literal["off", "user", "org"],
    limit_windows: Literal["call", "clock", "sliding"],
    limit_window: float,
    webhook_hosts: tuple[str, ...],
) -> None:
    """Run a local Amigo API."""
    chosen = SandboxOptions(
        pace=pace,
        strict_file=strict,
        state_file=state,
        limits=limits,
        limit_windows=limit_windows,
        limit_window_s=limit_window,
        webhook_hosts=frozenset(webhook_hosts),
    )
    sys.exit(run_sandbox(host, port, chosen))
