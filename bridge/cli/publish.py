"""`amigo-bridge publish`: events from flags, a file or standard input, read first as the service would read them.

Exit statuses as in `cli/main.py`. What would be dead-lettered is refused (1), and then nothing is published at all.
"""

import base64
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import click

from bridge.cli.invocation import FAILED, config_option, json_option, loaded, run_async
from bridge.cli.screen import Screen
from bridge.core import numbers
from bridge.core.errors import InvalidEvent
from bridge.core.event.channel import CHANNELS
from bridge.core.event.event import read_event
from bridge.core.event.event_fields import EventKind, OnBusy
from bridge.core.event.inbound_message import InboundMessage
from bridge.core.event.route import Rendered, resolve, timed
from bridge.edges.jinja import JinjaRoutes
from bridge.edges.rabbitmq import cli_client
from bridge.edges.rabbitmq.generation import BrokerTrouble
from bridge.settings.model import AmqpSettings, Settings, load_amqp, load_reading
from bridge.settings.values import defaults_of, inbounds_of

SHORT_STRING = 255
"""Bytes of an AMQP short string: routing keys, exchanges, content types."""
CREATE_FLAGS = {
    "create_first_name": "first_name",
    "create_last_name": "last_name",
    "create_role": "role_name",
    "create_timezone": "timezone",
    "create_language": "preferred_language",
}
USER_FLAGS = frozenset({"user_email", *CREATE_FLAGS})


@dataclass(frozen=True, slots=True)
class PublishTarget:
    """Exchange, routing key and content type that events are published with."""

    exchange: str
    routing_key: str
    content_type: str


@click.command()
@config_option
@json_option
@click.argument("file", required=False, type=click.File("rb"))
@click.option("--id", "id_", help="The event's id: its idempotency key.")
@click.option("--kind", type=click.Choice([kind.value for kind in EventKind]))
@click.option("--message", help="What the agent is told.")
@click.option("--user-id")
@click.option("--user-email", metavar="EMAIL", help="The user by e-mail, where the id is not known.")
@click.option("--create-first-name", help="Creates a user who is missing; needs --create-last-name.")
@click.option("--create-last-name")
@click.option("--create-role", metavar="ROLE", help="One of the configuration's users.roles.")
@click.option("--create-timezone", metavar="ZONE", help="Such as Europe/London.")
@click.option("--create-language", metavar="CODE", help="Such as eng.")
@click.option("--service-id")
@click.option("--channel", type=click.Choice(list(CHANNELS)))
@click.option("--version-set")
@click.option("--conversation-id")
@click.option("--tag", "tags", multiple=True, metavar="KEY=VALUE")
@click.option("--delete-tag", "delete_tags", multiple=True, metavar="KEY", help="For --kind tag.")
@click.option("--on-busy", type=click.Choice([choice.value for choice in OnBusy]))
@click.option("--finish", metavar="WHEN", help="after, never, or a duration of silence such as 1h.")
@click.option("--not-before", metavar="TIME", help="It starts no sooner; such as 2026-03-01T09:00:00Z.")
@click.option("--expires-at", metavar="TIME", help="It starts no later; such as 2026-03-01T12:00:00+01:00.")
@click.option("--cancels", metavar="ID", help="For --kind cancel: the event that shall not start.")
@click.option("--is-test", is_flag=True, help="The conversation is a test.")
@click.option("--audio", type=click.File("rb"), help="For --kind user-message: MP3 or WAV in place of --message.")
@click.option("--data", help="Free JSON for the routes.")
@click.option("--exchange", help="By default the first inbound's.")
@click.option("--routing-key", default="event", show_default=True)
@click.option("--content-type", default="application/json", show_default=True)
@click.option("--force", is_flag=True, help="Publish also what the service would dead-letter.")
def publish(
    config: Path | None,
    as_json: bool,
    file: BinaryIO | None,
    tags: Sequence[str],
    delete_tags: Sequence[str],
    is_test: bool,
    audio: BinaryIO | None,
    data: str | None,
    exchange: str | None,
    routing_key: str,
    content_type: str,
    force: bool,
    **fields: str | None,
) -> None:
    """Publish an event: from flags, or from FILE (`-` for standard input) with one JSON event or one a line."""
    screen = Screen(as_json=as_json)
    _check_short(("--exchange", exchange or ""), ("--routing-key", routing_key), ("--content-type", content_type))
    more: dict[str, object] = {
        "delete_tags": list(delete_tags) or None,
        "is_test": is_test or None,
        "audio": None if audio is None else _audio(audio),
    }
    bodies = _bodies(file, _named({**fields, **more}, tags, data))
    settings = None if force else loaded(load_reading, config, screen)
    amqp = settings.amqp if settings else loaded(load_amqp, config, screen)
    target = PublishTarget(amqp.inbound[0].exchange if exchange is None else exchange, routing_key, content_type)
    ids = [_id(body) for body in bodies] if settings is None else _read(screen, settings, target, bodies)
    _publish(screen, amqp, target, bodies, ids)


def _publish(
    screen: Screen, amqp: AmqpSettings, target: PublishTarget, bodies: Sequence[bytes], ids: Sequence[str | None]
) -> None:
    url, events = amqp.url[0].get_secret_value(), [(None, body) for body in bodies]

    def taken(index: int) -> None:
        words = f"published {ids[index] or 'an event without an id'} to {target.exchange}"
        screen.say(words, published=ids[index], exchange=target.exchange)

    try:
        run_async(cli_client.publish(url, target.exchange, target.routing_key, events, target.content_type, taken))
    except BrokerTrouble as trouble:
        screen.problem(str(trouble))
        sys.exit(FAILED)
    except KeyboardInterrupt:
        screen.problem("interrupted: what was not said to be published may or may not be")
        sys.exit(FAILED)


def _read(screen: Screen, settings: Settings, target: PublishTarget, bodies: Sequence[bytes]) -> list[str]:
    """The ids of the events, read as the service would; where one would be dead-lettered, the command ends with 1."""
    inbounds = inbounds_of(settings.amqp)
    inbound = next((one for one in inbounds if one.exchange == target.exchange), inbounds[0])
    routes = JinjaRoutes([route.route() for route in settings.routes], {inbound.queue: inbound.max_bytes})
    ids, refused = [], []
    for number, body in enumerate(bodies, 1):
        incoming = InboundMessage(
            body, inbound.queue, target.exchange, target.routing_key, properties={"content_type": target.content_type}
        )
        try:
            event = read_event(incoming, inbound.max_bytes)
            route = routes.match(event, incoming)
            rendered = routes.render(route, event, incoming) if route is not None else Rendered()
            ids.append(timed(resolve(event, route, rendered, defaults_of(settings)), incoming, time.time()).id)
        except InvalidEvent as error:
            refused.append((number, error))
    if refused:
        _refuse(screen, refused)
    return ids


def _refuse(screen: Screen, refused: Sequence[tuple[int, InvalidEvent]]) -> None:
    for number, error in refused:
        screen.problem(f"event {number}{f' ({error.event_id})' if error.event_id else ''} would be refused: {error}")
        if screen.as_json:
            screen.say(refused=error.event_id, number=number, error=str(error))
    screen.problem("nothing was published; --force publishes it all the same")
    sys.exit(FAILED)


def _audio(file: BinaryIO) -> dict[str, str]:
    sound = file.read()
    content_type = "audio/wav" if sound.startswith(b"RIFF") else "audio/mpeg"
    return {"content_type": content_type, "data": base64.b64encode(sound).decode()}


def _user(fields: Mapping[str, object]) -> dict[str, object] | None:
    """The field `user` that the flags make, None without any of them."""
    create = {key: fields[name] for name, key in CREATE_FLAGS.items() if fields.get(name) is not None}
    if fields.get("user_email") is None:
        if create:
            raise click.UsageError("--create-… says who is created where nobody has --user-email, which is missing")
        return None
    return {"email": fields["user_email"], **({"create": create} if create else {})}


def _named(fields: Mapping[str, object], tags: Sequence[str], data: str | None) -> dict[str, object]:
    """The event that the flags make."""
    named: dict[str, object] = {
        ("id" if name == "id_" else name): value
        for name, value in fields.items()
        if value is not None and name not in USER_FLAGS
    }
    user = _user(fields)
    if user is not None:
        named["user"] = user
    if any("=" not in pair for pair in tags):
        raise click.UsageError("--tag is of the form KEY=VALUE")
    if tags:
        named["tags"] = dict(pair.split("=", 1) for pair in tags)
    if data is not None:
        try:
            named["data"] = numbers.loads(data.encode())
        except ValueError as error:
            raise click.UsageError(f"--data is not JSON: {error}") from None
    return named


def _bodies(file: BinaryIO | None, named: dict[str, object]) -> list[bytes]:
    """The events: of the flags or, of a file, the whole of it where that is one JSON value, otherwise its lines."""
    if file is not None and named:
        raise click.UsageError("give a file or flags, not both")
    if file is None and not named:
        raise click.UsageError("give a file, or flags such as --id and --message")
    if file is None:
        try:
            return [numbers.dumps(named)]
        except ValueError as error:
            raise click.UsageError(f"the flags make no JSON: {error}") from None
    content = file.read()
    if not content.strip():
        raise click.UsageError("there is no event in the file")
    try:
        numbers.loads(content)
    except ValueError:
        return [line for line in content.splitlines() if line.strip()]
    return [content.strip()]


def _check_short(*options: tuple[str, str]) -> None:
    for option, text in options:
        try:
            length = len(text.encode())
        except UnicodeEncodeError:
            raise click.UsageError(f"{option} is not UTF-8") from None
        if length > SHORT_STRING:
            raise click.UsageError(f"{option} has {length} bytes, at most {SHORT_STRING} are possible")


def _id(body: bytes) -> str | None:
    try:
        event = numbers.loads(body)
    except ValueError:
        return None
    id_ = event.get("id") if isinstance(event, dict) else None
    return id_ if isinstance(id_, str) else None
