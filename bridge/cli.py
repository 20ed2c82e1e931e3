"""The commands. Each reads its configuration, calls one room, and turns what comes of it into words and a status.

Exit statuses: 0 done, 1 failed or problems found, 2 usage, 78 the configuration cannot be used.
"""

import sys
from collections.abc import AsyncGenerator, Coroutine, Mapping, Sequence
from contextlib import aclosing, suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal

import click
from yarl import URL

from bridge import __version__, sandbox
from bridge.app import conversations_of, serve
from bridge.cli_backfill import backfill, sign
from bridge.cli_publish import publish
from bridge.cli_webhooks import webhooks
from bridge.core.delivery.trace import facts, shown, told
from bridge.core.errors import ApiError
from bridge.edges.ledger.looking import look
from bridge.edges.rabbitmq import desk
from bridge.edges.rabbitmq.generation import BrokerTrouble
from bridge.edges.telemetry.logs import configure
from bridge.edges.telemetry.screen import Screen
from bridge.flow.ports.ledger import LedgerUnavailable
from bridge.invocation import FAILED, config_option, hung_up, json_option
from bridge.invocation import loaded as _loaded
from bridge.invocation import run as _run
from bridge.sandbox.options import SandboxOptions
from bridge.sandbox.server import run as run_sandbox
from bridge.settings import DEFAULT_FILE, AmqpSettings, Settings, load, load_amqp


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="amigo-bridge")
def main() -> None:
    """amigo-bridge: events from RabbitMQ to Amigo agents, and their streamed answers back."""


main.add_command(publish)
main.add_command(webhooks)
webhooks.add_command(backfill)
webhooks.add_command(sign)


@main.command()
@config_option
def run(config: Path | None) -> None:
    """Run the service until SIGTERM."""
    settings = _loaded(load, config, Screen(as_json=False))
    log = configure(settings.log.level, settings.log.format, _secrets(settings))
    for key in _not_yet(settings):
        log.warning("setting.unused", key=key, error="this version reads it and does nothing with it")
    if config is None:
        _make_folder(settings)
    sys.exit(_run(serve(settings, log)))


@main.command()
@config_option
@json_option
def check(config: Path | None, as_json: bool) -> None:
    """Check the configuration, offline: status 0 where it can be used, 78 with every error where not."""
    screen = Screen(as_json=as_json)
    settings = _loaded(load, config, screen)
    notes = [f"{key}: this version reads it and does nothing with it" for key in _not_yet(settings)]
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


def _as_written(page: str) -> str:
    """Paragraphs that click does not wrap anew."""
    return "\n\n".join(f"\b\n{paragraph}" for paragraph in page.split("\n\n"))


@main.command("sandbox", help=f"Run a local Amigo API.\n\n{_as_written(sandbox.FAULTS_HELP)}")
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
@click.option("--webhook-host", "webhook_hosts", multiple=True, metavar="HOST", help="Send webhooks there (http too).")
def sandbox_command(
    host: str,
    port: int,
    pace: float,
    strict: Path | None,
    state: Path | None,
    limits: Literal["off", "user", "org"],
    webhook_hosts: tuple[str, ...],
) -> None:
    """Run a local Amigo API."""
    chosen = SandboxOptions(
        pace=pace, strict_file=strict, state_file=state, limits=limits, webhook_hosts=frozenset(webhook_hosts)
    )
    sys.exit(run_sandbox(host, port, chosen))


@main.command()
@config_option
@json_option
@click.option(
    "--key", "keys", multiple=True, default=("#",), show_default=True, help="Routing-key pattern; repeatable."
)
@click.option("--exchange", "exchanges", multiple=True, help="By default every configured outbound.")
@click.option("--count", type=click.IntRange(1), help="Stop after so many messages.")
def tail(config: Path | None, as_json: bool, keys: Sequence[str], exchanges: Sequence[str], count: int | None) -> None:
    """Show outbound events as they come, until Ctrl-C."""
    screen = Screen(as_json=as_json)
    amqp = _loaded(load_amqp, config, screen)
    names = list(dict.fromkeys(exchanges or [outbound.exchange for outbound in amqp.outbound]))
    _attempt(screen, _show(screen, desk.tail(_url(amqp), names, keys), names, count))


@main.command()
@config_option
@json_option
@click.argument("event_id")
@click.option("--ask", is_flag=True, help="Look at the API too, as the configured user or as --user-id.")
@click.option("--user-id", help="In whose name the event was; for --ask.")
def trace(config: Path | None, as_json: bool, event_id: str, ask: bool, user_id: str | None) -> None:
    """What happened to an event, out of the ledger; status 1 where nothing is known of it."""
    screen = Screen(as_json=as_json)
    settings = _loaded(load, config, screen)
    try:
        entry = _run(look(settings.ledger.url.get_secret_value(), event_id))
        rows = _run(conversations_of(settings, event_id, user_id)) if ask else None
    except (LedgerUnavailable, ApiError, ValueError) as error:
        screen.problem(str(error))
        sys.exit(FAILED)
    lines = [*(told(entry) if entry else [f"{event_id}: the ledger does not know it"])]
    lines += shown(rows) if rows is not None else []
    known: dict[str, object] = facts(entry) if entry else {"event_id": event_id, "state": None}
    if rows is not None:
        known["conversations"] = [asdict(row) for row in rows]
    screen.say(*lines, **known)
    sys.exit(0 if entry or rows else FAILED)


async def _show(
    screen: Screen, messages: AsyncGenerator[Mapping[str, Any], None], names: Sequence[str], count: int | None
) -> None:
    shown = 0
    async with aclosing(messages):
        async for seen in messages:
            if "listening" in seen:
                screen.note(f"listening to {', '.join(names)}; Ctrl-C ends it")
                continue
            screen.message(seen)
            shown += 1
            if count is not None and shown >= count:
                return


def _attempt(screen: Screen, work: Coroutine[Any, Any, None]) -> None:
    try:
        _run(work)
    except BrokerTrouble as trouble:
        screen.problem(str(trouble))
        sys.exit(FAILED)
    except KeyboardInterrupt:
        sys.exit(0)
    except BrokenPipeError:
        hung_up()


def _make_folder(settings: Settings) -> None:
    """The environment alone is enough: the ledger's folder is made where no file is, but would be by default."""
    folder = DEFAULT_FILE.absolute().parent
    if settings.ledger.url.get_secret_value() == f"sqlite:///{folder / 'bridge.db'}":
        with suppress(OSError):  # the ledger says what is wrong
            folder.mkdir(exist_ok=True)


def _secrets(settings: Settings) -> list[str]:
    secret = [settings.amigo.api_key, settings.admin.token, *(s for hook in settings.webhooks for s in hook.secrets)]
    urls = [URL(url.get_secret_value()) for url in (*settings.amqp.url, settings.ledger.url)]
    passwords = {form for url in urls for form in (url.password, url.raw_password) if form and form != "guest"}
    return [*(value.get_secret_value() for value in secret if value is not None), *passwords]


def _not_yet(settings: Settings) -> list[str]:
    """Sections that later versions act on."""
    return [name for name in ("admin",) if name in settings.model_fields_set]


def _url(amqp: AmqpSettings) -> str:
    return amqp.url[0].get_secret_value()
