"""`amigo-bridge webhooks backfill` and `sign`: webhooks that did not come by themselves."""

import os
import secrets as dice
import shlex
import time
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO

import click

from bridge.cli.invocation import attempt, begun, config_option, json_option
from bridge.cli.webhooks import KEPT, ago_of, api_of, hook_of, name_option
from bridge.core.answer.outbound_message import JSON, MessageFactory
from bridge.core.webhook import urlencoded, webhook
from bridge.core.webhook.problem import Problem
from bridge.core.webhook.schemes import SCHEMES, Signing
from bridge.core.webhook.signature import HttpRequest, Source, Unverified
from bridge.edges.rabbitmq import cli_client
from bridge.settings.model import Settings
from bridge.settings.values import inbounds_of, keyring_of, outbounds_of

EXAMPLE = b'{"message": "Hello from a test"}'
EXAMPLES = {"twilio": b"From=%2B14158675309&Body=Hello", "amigo": b'{"type": "hello", "message": "Hello from a test"}'}


@click.command()
@config_option
@json_option
@name_option
@click.option("--since", default=KEPT, show_default=True, help="How far back, such as 12h or 7d.")
@click.option(
    "--done",
    type=click.Path(path_type=Path, dir_okay=False),
    default=Path("webhooks.done"),
    show_default=True,
    help="Remembers what has been republished, so that it is done once.",
)
@click.option("--dry-run", is_flag=True, help="Only show what would be republished.")
@click.argument("destinations", nargs=-1, metavar="[DESTINATION]...")
def backfill(
    config: Path | None,
    as_json: bool,
    name: str | None,
    since: str,
    done: Path,
    dry_run: bool,
    destinations: Sequence[str],
) -> None:
    """Republish what the platform could not deliver, as its delivery log has it; by default for all destinations."""
    screen, settings = begun(config, as_json)
    hook, ago = hook_of(settings, name), ago_of(since)
    factory = webhook.platform_factory(MessageFactory(outbounds_of(settings.amqp), time.time))
    broker = settings.amqp.url[0].get_secret_value()
    known = set(done.read_text(encoding="utf-8").split()) if done.exists() else set()

    async def work() -> None:
        async with (
            api_of(settings) as (api, user_id),
            cli_client.outbound(broker) as publish,
        ):
            after = await api.now(user_id) - ago
            for destination in destinations or [row.id for row in await api.list(user_id)]:
                rows = api.deliveries(user_id, destination, status="failed", after=after, sort_by=("+created_at",))
                async for row in rows:
                    repeated = webhook.of_delivery(hook.name, row.id, row.webhook_content)
                    if row.id in known:
                        continue
                    try:
                        messages = webhook.platform_messages(repeated, factory, recovered=True)
                    except Problem as refusal:
                        screen.problem(f"{repeated.id}: {refusal}")
                        continue
                    known.add(row.id)
                    if not dry_run:
                        for message in messages:
                            await publish(message)
                        _note_down(done, row.id)
                    word = "would be republished" if dry_run else "republished"
                    screen.say(
                        f"{repeated.id}  {row.type}  {word}", id=repeated.id, type=row.type, republished=not dry_run
                    )

    attempt(screen, work())


@click.command()
@config_option
@click.option("--url", help="Where to; by default /webhooks/NAME at http.host and http.port.")
@click.option("--id", "id_", help="The sender's own id; by default a new one.")
@click.option("--body", "body_file", type=click.File("rb"), help="A file with the body; - for standard input.")
@click.argument("name")
def sign(config: Path | None, url: str | None, id_: str | None, body_file: BinaryIO | None, name: str) -> None:
    """Print a curl command with a request that NAME takes. It is signed now, and soon too old.

    A body that would be refused all the same is signed too, and standard error says why.
    """
    screen, settings = begun(config, as_json=False)
    hook = hook_of(settings, name)
    keys = keyring_of(settings).keys(hook.name)
    if SCHEMES[hook.scheme].keyed and not keys:
        raise click.UsageError(f"{name} has no secret yet: is its secrets_file there?")
    body = body_file.read() if body_file is not None else EXAMPLES.get(hook.scheme, EXAMPLE)
    signing = Signing(keys[0] if keys else b"", body, id_ or dice.token_hex(8), int(time.time()))
    headers = {"Content-Type": urlencoded.CONTENT_TYPE if hook.scheme == "twilio" else JSON}
    try:
        headers |= SCHEMES[hook.scheme].sign(hook.source(), signing)
        text = body.decode()
    except (Unverified, UnicodeDecodeError):
        raise click.UsageError("--body: not text in UTF-8, or nothing that the scheme could sign") from None
    fault = _fault(settings, hook.source(), HttpRequest({name.lower(): (headers[name],) for name in headers}, body))
    if fault is not None:
        screen.note(f"it will be refused: {fault}")
    target = url or f"http://{settings.http.host}:{settings.http.port}/webhooks/{hook.name}"
    words = [part for header, value in headers.items() for part in ("-H", f"{header}: {value}")]
    screen.command(shlex.join(["curl", "-i", target, *words, "--data-binary", text]))


def _fault(settings: Settings, source: Source, request: HttpRequest) -> str | None:
    """Why the bridge will not take a request that verifies; None where it will."""
    factory = webhook.platform_factory(MessageFactory(outbounds_of(settings.amqp), time.time))
    try:
        verified = webhook.read(source, request, None)
        if webhook.is_platform(source):
            webhook.platform_messages(verified, factory)
        else:
            webhook.inbound_message(verified, inbounds_of(settings.amqp)[0], time.time())
    except Problem as refusal:
        return str(refusal)
    return None


def _note_down(path: Path, id_: str) -> None:
    with path.open("a", encoding="utf-8") as file:
        file.write(f"{id_}\n")
        file.flush()
        os.fsync(file.fileno())
