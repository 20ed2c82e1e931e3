"""`amigo-bridge webhooks …`: where the platform sends its webhooks, and what it has sent.

Exit statuses as in `main.py`. A secret is shown once by the platform: with `secrets_file` it goes into that file, from
which the running bridge takes it; otherwise it is printed.
"""

import random
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import ClassVar

import click

from bridge.cli.invocation import attempt, begun, config_option, json_option
from bridge.cli.lazy_group import LazyGroup
from bridge.cli.screen import Screen
from bridge.core.delivery.retry import RetryPolicy
from bridge.core.duration import seconds
from bridge.edges.amigo.authorized import SignedClient
from bridge.edges.amigo.client import HttpClient
from bridge.edges.amigo.destinations import DestinationsApi
from bridge.edges.amigo.own_limits import OwnLimits
from bridge.edges.webhook_secrets import Secret, read_secrets, write_secrets
from bridge.settings.model import Settings
from bridge.settings.values import credentials_of, limits_of
from bridge.settings.webhooks import WebhookSettings

TYPES = ("conversation-post-processing-complete", "api-key-expiration-soon", "agent-framework-resource-updated")
RETRIES = RetryPolicy(attempts=4)
OVERLAP_S = 120.0
"""How much longer than the platform says the old secret is kept (docs/api-contract.md, 5)."""
DUAL_SIGNING = timedelta(minutes=30)
KEPT = "30d"
MAX_AGO_S = 365 * 86400.0
"""Further back than the platform keeps anything."""

types_option = click.option("--type", "types", multiple=True, metavar="TYPE", help="Repeatable; by default all known.")
retries_option = click.option("--retries", type=click.IntRange(1, 5), help="How often the platform tries again.")
name_option = click.option("--webhook", "name", help="The configured webhook; by default the one of scheme amigo.")


class WebhookCommands(LazyGroup):
    """Those that are not here."""

    places: ClassVar = {"backfill": "bridge.cli.backfill:backfill", "sign": "bridge.cli.backfill:sign"}


@click.group(cls=WebhookCommands)
def webhooks() -> None:
    """Webhooks: the platform's destinations and deliveries, and requests for a test."""


@webhooks.command()
@config_option
@json_option
@name_option
@types_option
@retries_option
@click.argument("url")
def register(
    config: Path | None, as_json: bool, name: str | None, types: Sequence[str], retries: int | None, url: str
) -> None:
    """Have the platform send its webhooks to URL (https)."""
    screen, settings = begun(config, as_json)
    hook = hook_of(settings, name)
    kept = _kept(hook)

    async def work() -> None:
        async with api_of(settings) as (api, user_id):
            made = await api.create(user_id, url, types or TYPES, retry_attempts=retries or 3)
        _keep(screen, hook, made.secret, kept, id=made.webhook_destination_id)
        screen.note(f"destination {made.webhook_destination_id}")

    attempt(screen, work())


@webhooks.command("list")
@config_option
@json_option
def list_(config: Path | None, as_json: bool) -> None:
    """Show the platform's destinations."""
    screen, settings = begun(config, as_json)

    async def work() -> None:
        async with api_of(settings) as (api, user_id):
            for row in await api.list(user_id):
                screen.say(f"{row.id}  {row.url}  {', '.join(row.accepted_types)}", **row.model_dump(mode="json"))

    attempt(screen, work())


@webhooks.command()
@config_option
@json_option
@types_option
@retries_option
@click.argument("destination")
def update(config: Path | None, as_json: bool, types: Sequence[str], retries: int | None, destination: str) -> None:
    """Change what DESTINATION accepts, or how often it is tried again."""
    screen, settings = begun(config, as_json)
    if not types and retries is None:
        raise click.UsageError("give --type or --retries")

    async def work() -> None:
        async with api_of(settings) as (api, user_id):
            await api.update(user_id, destination, accepted_types=types or None, retry_attempts=retries)
        screen.say(f"{destination} is changed; it takes effect within seconds", updated=destination)

    attempt(screen, work())


@webhooks.command()
@config_option
@json_option
@name_option
@click.argument("destination")
def rotate(config: Path | None, as_json: bool, name: str | None, destination: str) -> None:
    """Exchange DESTINATION's secret. With `secrets_file` the running bridge takes it over without a gap."""
    screen, settings = begun(config, as_json)
    hook = hook_of(settings, name)
    kept = _kept(hook)

    async def work() -> None:
        async with api_of(settings) as (api, user_id):
            there = await api.now(user_id)
            new = await api.rotate_secret(user_id, destination)
        stops = new.dual_signing_stops_at or there + DUAL_SIGNING
        until_s = time.time() + (stops - there).total_seconds() + OVERLAP_S  # the file is read by this machine's clock
        old = [secret if secret.until_s is not None else Secret(secret.text, until_s) for secret in kept]
        _keep(screen, hook, new.secret, old, id=destination)
        if hook.secrets_file is None:
            screen.note(f"Put it before the old one in `secrets` and restart before {stops.isoformat()}.")

    attempt(screen, work())


@webhooks.command()
@config_option
@json_option
@click.argument("destination")
def delete(config: Path | None, as_json: bool, destination: str) -> None:
    """Remove DESTINATION; it may be sent to for some seconds more."""
    screen, settings = begun(config, as_json)

    async def work() -> None:
        async with api_of(settings) as (api, user_id):
            await api.delete(user_id, destination)
        screen.say(f"{destination} is removed", deleted=destination)

    attempt(screen, work())


@webhooks.command()
@config_option
@json_option
@click.option("--status", type=click.Choice(["success", "failed"]))
@click.option("--type", "kind")
@click.option("--since", default=KEPT, show_default=True, help="How far back, such as 12h or 7d.")
@click.argument("destination")
def deliveries(
    config: Path | None, as_json: bool, status: str | None, kind: str | None, since: str, destination: str
) -> None:
    """Show what the platform has sent to DESTINATION, newest first."""
    screen, settings = begun(config, as_json)
    ago = ago_of(since)

    async def work() -> None:
        async with api_of(settings) as (api, user_id):
            after = await api.now(user_id) - ago
            async for row in api.deliveries(user_id, destination, status=status, kind=kind, after=after):
                tries = ",".join(str(attempt.status_code) for attempt in row.delivery_attempts)
                line = f"{row.id}  {row.created_at}  {row.status:<8} {tries:<16} {row.type}"
                screen.say(line, **row.model_dump(mode="json"))

    attempt(screen, work())


def hook_of(settings: Settings, name: str | None) -> WebhookSettings:
    """The webhook of this name; without one, the only one of the platform's scheme."""
    hooks = [hook for hook in settings.webhooks if (hook.name == name if name else hook.scheme == "amigo")]
    if len(hooks) != 1:
        known = ", ".join(hook.name for hook in settings.webhooks) or "none"
        raise click.UsageError(f"say which webhook: configured are {known}")
    return hooks[0]


def _kept(hook: WebhookSettings) -> list[Secret]:
    """The secrets file's content; written once as it is, so that a new secret cannot be lost for want of a right."""
    if hook.secrets_file is None:
        return []
    try:
        secrets = read_secrets(hook.secrets_file)
        write_secrets(hook.secrets_file, secrets)
    except (OSError, ValueError) as error:
        raise click.UsageError(f"secrets_file: {error}") from None
    return secrets


def _keep(screen: Screen, hook: WebhookSettings, secret: str, others: Sequence[Secret], **facts: str) -> None:
    if hook.secrets_file is None:
        screen.say(secret, secret=secret, **facts)
        return
    write_secrets(hook.secrets_file, [Secret(secret), *others])
    screen.say(f"the secret is in {hook.secrets_file}", secrets_file=str(hook.secrets_file), **facts)


def ago_of(since: str) -> timedelta:
    """How long ago that is."""
    try:
        length = seconds(since)
    except ValueError as error:
        raise click.UsageError(f"--since: {error}") from None
    return timedelta(seconds=min(float(str(length)), MAX_AGO_S))


@asynccontextmanager
async def api_of(settings: Settings) -> AsyncIterator[tuple[DestinationsApi, str]]:
    """The operations, and in whose name they are called."""
    if settings.amigo.user_id is None:
        raise click.UsageError("amigo.user_id is needed: in whose name is the API called?")
    credentials = credentials_of(settings)
    async with HttpClient(credentials, settings.amigo.idle, limiter=OwnLimits(limits_of(settings))) as client:
        yield DestinationsApi(SignedClient(client, credentials, RETRIES, random.random)), settings.amigo.user_id
