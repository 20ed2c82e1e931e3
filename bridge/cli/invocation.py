"""Options, configuration, the event loop and the ways to end, the same for every command."""

import asyncio
import gc
import os
import sys
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import NoReturn, TypeVar

import click

from bridge.cli.screen import Screen
from bridge.core.errors import BridgeError
from bridge.edges.rabbitmq.generation import BrokerTrouble
from bridge.edges.telemetry.logs import keep_quiet
from bridge.settings.model import DEFAULT_FILE, Settings, SettingsError, load

S = TypeVar("S")
T = TypeVar("T")
FAILED, UNUSABLE = 1, 78

config_option = click.option(
    "--config",
    "config",
    type=click.Path(path_type=Path, dir_okay=False),
    help="The configuration file; by default config/bridge.yaml where it exists.",
)
json_option = click.option("--json", "as_json", is_flag=True, help="One JSON object a line instead of words.")


def loaded(loader: Callable[[Path | None], S], config: Path | None, screen: Screen) -> S:
    """The configuration; where it cannot be used, every error is shown and the command ends with 78."""
    path = config or (DEFAULT_FILE if DEFAULT_FILE.exists() else None)
    if sys.stderr.isatty():
        screen.note(f"configuration: {path or 'the environment alone'}")
    try:
        return loader(path)
    except SettingsError as error:
        for line in error.errors:
            screen.problem(line)
        if screen.as_json:
            screen.say("", ok=False, errors=error.errors)
        sys.exit(UNUSABLE)


def begun(config: Path | None, as_json: bool) -> tuple[Screen, Settings]:
    """The screen of a command, and the configuration."""
    screen = Screen(as_json=as_json)
    return screen, loaded(load, config, screen)


def attempt(screen: Screen, work: Coroutine[None, None, None]) -> None:
    """Run the work; what API or broker have against it is shown, and the status is 1."""
    try:
        run_async(work)
    except (BridgeError, BrokerTrouble) as error:
        screen.problem(str(error))
        sys.exit(FAILED)
    except KeyboardInterrupt:
        screen.problem("interrupted")
        sys.exit(FAILED)
    except BrokenPipeError:
        hung_up()


def hung_up() -> NoReturn:
    """End well where whoever read the output has gone; what Python still holds of it is not written at the exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    sys.exit(0)


def run_async(work: Coroutine[None, None, T]) -> T:
    """On uvloop where there is one: the same program, less CPU.

    What has been loaded by now stays to the end: the collector need not walk through it, least of all at the exit.
    """
    keep_quiet()
    gc.freeze()
    try:
        import uvloop
    except ImportError:
        return asyncio.run(work)
    return uvloop.run(work)
