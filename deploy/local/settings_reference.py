"""docs/configuration.md, made of the settings model: every key with its form, its default and what it is for.

`python -m deploy.local.settings_reference` writes the page. A house test compares it, so that no key lacks its words.
"""

import json
from collections.abc import Iterator
from enum import Enum
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

from annotated_types import Ge, Gt, Interval, Le, MaxLen, MinLen
from pydantic import BaseModel, SecretStr
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from bridge.settings import admin, model, routes, types, webhooks
from bridge.settings.sources import AMIGO_VARIABLES

PAGE = Path(__file__).resolve().parents[2] / "docs" / "configuration.md"
UNITS = (("d", 86400.0), ("h", 3600.0), ("m", 60.0), ("s", 1.0), ("ms", 0.001))
DURATION = get_args(types.Duration)[1]

FORMS: tuple[tuple[Any, str], ...] = (
    (types.Duration, "duration"),
    (types.FinishWish, "duration, `after` or `never`"),
    (types.Name, "name"),
    (types.Hex24, "24 hex digits"),
    (types.VersionSet, "`[A-Za-z0-9_-]{1,40}`"),
    (types.ChannelName, "channel"),
    (types.Regex, "regular expression"),
    (types.RoutingKeyTemplate, "template of a routing key"),
    (types.BrokerUrl, "`amqp://` or `amqps://` URL, secret"),
    (types.ApiUrl, "`https://` URL"),
    (types.LedgerUrl, "`sqlite:///` or `postgresql://` URL, secret"),
    (types.PublicUrl, "`https://` URL"),
    (types.WebhookSecret, "secret"),
    (types.ApiKey, "secret"),
    (admin.AdminToken, "secret of at least 32 characters"),
    (types.Listen, "`host:port`"),
    (types.ApiKeyId, "text"),
    (types.ApiName, "name"),
    (types.Host, "name or address"),
    (types.Payload, "template"),
    (types.Network, "address or network"),
    (types.HeaderName, "name of an HTTP header"),
    (types.UserId, "1 to 200 printable ASCII characters"),
    (types.VersionSets, "version set, or weights of version sets"),
    (routes.Expression, "Jinja expression"),
    (routes.Template, "Jinja template"),
)
"""How a value of one of the settings' own types is written."""

SINGLE = (webhooks.HmacSettings, routes.UserTemplates, routes.NewUserTemplates)
"""Sections below a list that are no lists themselves."""

WORDS = {
    "amqp.insecure": "permits plain amqp, or the user guest, beyond this machine",
    "amqp.url": "one broker, or a list of a cluster's nodes that are tried in turn. Query keys: `heartbeat` (5 to 60), "
    "`frame_max` (4096 to 131072 bytes, of which the broker's own may be less; RabbitMQ takes no less than 8192 since "
    "4.1), `name`, `cafile`, `capath`, `cadata`, `certfile`, `keyfile`",
    "amqp.declare": "declare exchanges and queues once, at the start; false: only verify that all of them exist",
    "amqp.inbound": "one inbound, or a list of them",
    "amqp.inbound.exchange": "where publishers send events",
    "amqp.inbound.queue": "from which they are taken; also the beginning of the delay queues' names",
    "amqp.inbound.bindings": "the binding keys between the two",
    "amqp.inbound.prefetch": "how many events are held at once",
    "amqp.inbound.max_bytes": "the largest body, and the most that a template makes",
    "amqp.inbound.single_active": "of several replicas one gets everything, the others stand by; an argument of the "
    "queue, so only a queue that does not exist yet gets it",
    "amqp.outbound": "one outbound, or a list of them: each whose `types` match gets each message",
    "amqp.outbound.exchange": "where answers go",
    "amqp.outbound.routing_key": "names: `channel_type`, `channel`, `type`, `route`, `service_id`, `user_id`, "
    "`conversation_id`, `version_set`, and the tags of event, route and the conversation that it joins",
    "amqp.outbound.types": "shell patterns over the type of a line",
    "amqp.outbound.required": "somebody must be listening, otherwise the message counts as refused",
    "amqp.outbound.format": "`cloudevents` adds the headers of CloudEvents 1.0",
    "amqp.dead_letter.exchange": "where dead letters go",
    "amqp.dead_letter.queue": "where they wait for a person",
    "amqp.delay.exchange": "leads to the delay queues and back from them",
    "amqp.consumer_timeout": "the broker's own limit for holding a delivery. The bridge refuses to start where "
    "`lanes.park_after` + `amigo.longest` + `conversations.enrich_for` + retries in memory + 2 min do not fit into it",
    "amigo.insecure": "permits plain http beyond this machine",
    "amigo.base_url": "the region decides: [api-contract.md, 4](api-contract.md#4-authentication-and-regions)",
    "amigo.organization_id": "the organization",
    "amigo.api_key": "belongs in the environment",
    "amigo.api_key_id": "the key's id",
    "amigo.user_id": "in whose name an event goes that names no user, and by whom the bridge checks its credentials",
    "amigo.token_organization_id": "the organization that issues the tokens, where it is another one (`X-ORG-ID`)",
    "amigo.mongo_cluster": "the name of a dedicated cluster (`x-mongo-cluster-name`)",
    "amigo.idle": "a stream that is silent for longer is given up",
    "amigo.longest": "so is one that takes longer in all",
    "amigo.max_line": "the longest line of a stream in bytes; a longer one ends the attempt",
    "amigo.settle": 'the time between the two looks after which "not found" is believed',
    "amigo.agent_actions": "which of the agent's actions are streamed, over their types. They show reasoning, and "
    "inputs and outputs of tools, so only the harmless notice is asked for; `.*` asks for all, `^$` for none",
    "channels": "what a channel chooses, by its name",
    "channels.version_set": "the version set, where the event names none",
    "channels.response_format": "the format of the agent's answer",
    "channels.finish": "when the channel's conversations are finished, where neither event nor route says",
    "conversations.finish": "when a conversation is finished: after so much silence, `after` (answered), or `never`",
    "conversations.busy_for": "how long a busy conversation is waited for; then the event is rejected",
    "conversations.enrich_for": "how long after the ending enrichments are tried; then `bridge-enrichment-failed` is "
    "published",
    "routes": "the first route whose `when` holds takes the event; what the event says itself wins",
    "routes.name": "for headers, logs and routing keys",
    "routes.when": "over `data`, `headers`, `source`, `routing_key`; none: every event",
    "routes.service_id": "the service",
    "routes.version_set": "the version set, where neither event nor channel names one; or weights such as "
    "`{release: 90, canary: 10}`: the user's id decides, so that a user stays with one",
    "routes.channel": "the channel",
    "routes.user_id": "the user; text and numbers only",
    "routes.user": "the user by e-mail, in place of `user_id`: "
    "[publishing.md](publishing.md#users-by-e-mail). It needs `amigo.user_id`",
    "routes.user.email": "the e-mail; text and numbers only",
    "routes.user.create": "a user who is missing is created so",
    "routes.user.create.first_name": "the first name; text and numbers only, as all of them",
    "routes.user.create.last_name": "the last name",
    "routes.user.create.role_name": "one of `users.roles`",
    "routes.user.create.timezone": "such as `Europe/London`; left out where it comes out blank",
    "routes.user.create.preferred_language": "such as `eng`; left out where it comes out blank",
    "routes.message": "what the agent is told",
    "routes.tags": "values of tags, by their keys; text and numbers only",
    "routes.on_busy": "while the user has another conversation open with the service: deliver into it, wait, finish it "
    "first, or reject",
    "routes.finish": "when its conversations are finished, as `conversations.finish`; wins over the channel's",
    "routes.max_wait": "an event that could not start within that time ends as `bridge-expired`",
    "routes.agent_actions": "as `amigo.agent_actions`, for this route",
    "routes.enrich": "what is published of an answer after its ending, each kind once: "
    "[subscribing.md](subscribing.md#enrichments). A bare name is short for `{kind: name}`",
    "routes.enrich.kind": "what it is",
    "routes.enrich.when": "over the same as the route's `when`; where it fails, the enrichment is not wanted",
    "routes.enrich.context": "of `recommended-responses`: the persona or situation for which answers are recommended",
    "users.keep": "how long it is remembered whose e-mail it is",
    "users.missing_keep": "how long it is remembered that an e-mail has no user",
    "users.roles": "the roles that a user may be created with; empty: nobody is created",
    "retry.attempts": "attempts of one event that may have failed for good",
    "retry.first": "the first wait, doubled each time; also of pauses",
    "retry.longest": "the longest wait; of pauses, at most a minute",
    "retry.refusals": "how many different events of one route, service and version set the API refuses in a row with "
    "the same 403, 404 or 422 before the route is held; `0`: never",
    "retry.publish_for": "how long a message that the broker refuses is published again; then its event is a dead "
    "letter, `undeliverable`",
    "lanes.park_after": "events that wait longer for their lane or a pause go to the delay queues",
    "lanes.lost_after": "the events of a lane wait so long for one that nobody has in hand and that does not come "
    "back; counted only while the inbounds are consumed with fewer messages ready than their prefetch",
    "limits.create": "conversations started a window",
    "limits.interact": "interactions",
    "limits.finish": "conversations finished",
    "limits.list": "reads of the list of conversations",
    "limits.messages": "reads of messages",
    "limits.tags": "changes of tags",
    "limits.sign_in": "sign-ins, always by user; a 429 holds back all of them",
    "limits.users": "look-ups of users, in the name of `amigo.user_id`",
    "limits.create_user": "users created, in the name of `amigo.user_id`",
    "limits.insights": "reads of insights",
    "limits.recommend": "recommended responses",
    "limits.source": "addresses of voice messages",
    "limits.window": "how long a window of the API's limits is",
    "limits.scope": "whose calls are counted together: each `user`'s, the `organization`'s, or `auto`: begun with the "
    "user's, and found out ([semantics.md](semantics.md#limits-of-the-api))",
    "ledger.url": "the memory of events: a file for one process, a database for several. A relative path counts from "
    "the folder of the configuration file",
    "ledger.keep": "how long a finished event is remembered: a repeat within that time does nothing",
    "ledger.keep_endings": "how long an ending that the API's history has is kept too (at least 1 min); the bridge's "
    "own endings, and those of failed events, are kept as long as the event",
    "ledger.when_lost": "without the ledger: `hold` consumes nothing until it is there; `ask` goes on by asking the "
    "API, and then the same id published twice may be told twice",
    "ledger.patience": "how long it may be away before consuming is held back",
    "http.host": "where health, metrics and webhooks are served",
    "http.port": "0 takes a free one",
    "http.trusted_proxies": "whose `X-Forwarded-For` is believed; it decides only which address is logged",
    "webhooks": "each is `POST /webhooks/<name>`: [webhooks.md](webhooks.md)",
    "webhooks.name": "a part of the address and of event ids",
    "webhooks.scheme": "how requests are verified",
    "webhooks.secrets": "several at a time for a rotation; of `basic` each is `user:password`. They belong in the "
    "environment: `${…}`",
    "webhooks.secrets_file": "more of them, one a line; read again when it changes",
    "webhooks.tolerance": "how far the signed time may be off, in either direction",
    "webhooks.max_bytes": "the largest body",
    "webhooks.rate": "the most that is taken a second",
    "webhooks.url": "of `twilio`: the address that is called, as the outside world spells it, without a query",
    "webhooks.id_header": "where the sender's own id is, if the scheme has none or another one is wanted",
    "webhooks.insecure": "the scheme `none` needs true: anybody who can reach it may start events",
    "webhooks.hmac": "of the scheme `hmac`",
    "webhooks.hmac.header": "where the signature is",
    "webhooks.hmac.algorithm": "the hash",
    "webhooks.hmac.encoding": "how the signature is written",
    "webhooks.hmac.payload": "what is signed, over `{body}`, `{timestamp}` and `{id}`",
    "webhooks.hmac.prefix": "what stands before the signature",
    "webhooks.hmac.timestamp_header": "where the signed time is",
    "webhooks.hmac.timestamp_unit": "its unit",
    "webhooks.hmac.id_header": "where the sender's own id is",
    "admin": "the operators' listener; without tokens there is none",
    "admin.listen": "where `/admin`, `/metrics` and the whole `/readyz` are; never the port of `http`",
    "admin.tokens": "who may use `/admin`, by a name of `[A-Za-z0-9_-]{1,40}` that the log tells",
    "admin.tokens.token": "sent as `Authorization: Bearer …`",
    "admin.tokens.role": "`viewer` may look, `operator` may pause and resume too",
    "control.users": "users of the broker whose commands on `bridge.control` are obeyed, beside the bridge's own",
    "shutdown.grace": "how long a stop waits for what is streaming",
    "log.level": "the least level that is logged",
    "log.format": "`auto`: readable on a terminal, otherwise JSON",
}

TOP = """\
# Configuration

<!-- Made of the settings by `./dev docs`. Do not edit. -->

`amigo-bridge run --config bridge.yaml` reads one YAML file; without `--config` it is `config/bridge.yaml`, where that
exists. [config/bridge.yaml](../config/bridge.yaml) is the commented reference. `amigo-bridge check` lists everything
that is wrong, with its path, and ends with status 78; so does `run`. Unknown keys, bad values and unset variables are
errors.

* **Environment.** Every key can be set by a variable: `BRIDGE_AMQP__URL`, `BRIDGE_HTTP__PORT`,
  `BRIDGE_CHANNELS__PHONE__VERSION_SET`; lists and maps as JSON.
* **The API's own variables** are {amigo}.
  `BRIDGE_…` wins over `AMIGO_…` wins over the file.
* **Variables in values.** `${{VAR}}` and `${{VAR:-default}}` work inside every value of the file.
* **Durations** are `250ms`, `1.5s`, `10m`, `24h`, `7d`.
* **White space** around secrets, ids and URLs is taken away. Any other character that cannot be seen is an error, and
  so is, in what goes into an HTTP header, one that is not ASCII. In a URL a blank is written `%20`.
"""


def page() -> str:
    """The whole page."""
    parts = [TOP.format(amigo=", ".join(f"`{name}`" for name in AMIGO_VARIABLES))]
    parts += [_section(name, _inner(hint)) for name, hint in _hints(model.Settings).items()]
    return "\n".join(parts)


def keys() -> list[str]:
    """Every key of the configuration, by its path."""
    return [path for name, hint in _hints(model.Settings).items() for path, *_ in _all_rows(name, _inner(hint))]


def _section(name: str, inner: type[BaseModel] | None) -> str:
    lines = [f"## {name}", ""]
    if name in WORDS:
        lines += [f"{_sentence(WORDS[name])}.", ""]
    lines += ["| key | form | default | meaning |", "| --- | --- | --- | --- |"]
    lines += [f"| `{path}` | {form} | {default} | {WORDS[path]} |" for path, form, default in _rows(name, inner)]
    return "\n".join([*lines, ""])


def _sentence(words: str) -> str:
    return words[0].upper() + words[1:]


def _all_rows(name: str, inner: type[BaseModel] | None) -> Iterator[tuple[str, str, str]]:
    if name in WORDS or inner is None:
        yield name, "", ""
    yield from _rows(name, inner)


def _rows(path: str, section: type[BaseModel] | None) -> Iterator[tuple[str, str, str]]:
    """Path, form and default of each key below a section."""
    if section is None:
        return
    for name, hint in _hints(section).items():
        key, inner, field = f"{path}.{name}", _inner(hint), section.model_fields[name]
        if inner is None or key in WORDS:
            yield key, _form(hint, inner), _default(field, inner)
        yield from _rows(key, inner)


def _hints(section: type[BaseModel]) -> dict[str, Any]:
    found = get_type_hints(section, include_extras=True)
    return {name: found[name] for name in section.model_fields}


def _inner(hint: Any) -> type[BaseModel] | None:
    """The section that a key holds: one, a list or a map of them."""
    if isinstance(hint, type) and issubclass(hint, BaseModel):
        return hint
    return next((inner for part in get_args(hint) if (inner := _inner(part)) is not None), None)


def _form(hint: Any, inner: type[BaseModel] | None) -> str:
    if inner is not None and get_origin(hint) is dict:
        return "map of sections"
    if inner is not None:
        return "section" if inner in SINGLE else "section or list"
    metadata = [*_metadata(hint)]
    for known, words in FORMS:
        if get_origin(known) is Annotated and all(part in metadata for part in get_args(known)[1:]):
            return words + _bounds(metadata)
    if hint == types.ChannelName:
        return "channel"
    bare = get_args(hint)[0] if get_origin(hint) is Annotated else hint
    form = _plain(bare)
    return (form.replace("list of", "one, or a list of") if types.OneOrMany in metadata else form) + _bounds(metadata)


def _plain(hint: Any) -> str:
    """The form of a type that is none of the settings' own."""
    origin, arguments = get_origin(hint), get_args(hint)
    if origin is Literal:
        return ", ".join(f"`{value}`" for value in arguments)
    if origin in (Union, UnionType):
        return " or ".join(_form(part, None) for part in arguments if part is not NoneType)
    if origin is tuple:
        return f"list of {_form(arguments[0], None)}"
    if origin is dict:
        return f"map of {_form(arguments[1], None)}"
    if issubclass(hint, Enum):
        return ", ".join(f"`{member.value}`" for member in hint)
    return {bool: "true or false", int: "whole number", float: "number", str: "text", Path: "path"}[hint]


def _metadata(hint: Any) -> Iterator[Any]:
    """What is said of a type, bounds in `Field` included."""
    if get_origin(hint) is Annotated:
        for part in get_args(hint)[1:]:
            yield from part.metadata if isinstance(part, FieldInfo) else (part,)


def _bounds(metadata: list[Any]) -> str:
    found: dict[type, Any] = {}
    for part in metadata:
        for each in (part.ge, part.gt, part.le) if isinstance(part, Interval) else (part,):
            found[type(each)] = each
    pattern = next((part.pattern for part in metadata if getattr(part, "pattern", None)), None)
    words = [f"`{pattern}`"] if pattern else []
    if Ge in found and Le in found:
        words.append(f"{found[Ge].ge} to {found[Le].le}")
    elif Ge in found:
        least = found[Ge].ge
        words.append(f"at least {_duration(least) if DURATION in metadata else least}")
    if Gt in found:
        words.append(f"above {found[Gt].gt}")
    if MaxLen in found:
        words.append(f"at most {found[MaxLen].max_length} characters")
    elif MinLen in found:
        words.append("not empty")
    return f", {', '.join(words)}" if words else ""


def _default(field: FieldInfo, inner: type[BaseModel] | None) -> str:
    if inner is not None:
        return ""
    if field.is_required():
        return "required"
    value = field.get_default(call_default_factory=True, validated_data={})
    if value is None or value is PydanticUndefined:
        return "none"
    if DURATION in [*field.metadata]:
        return f"`{_duration(value)}`"
    return f"`{_written(value)}`"


def _duration(seconds: float) -> str:
    unit, size = next((unit, size) for unit, size in UNITS if seconds >= size and (seconds / size).is_integer())
    return f"{round(seconds / size)}{unit}"


def _written(value: Any) -> str:
    """A default as it would stand in the file."""
    match value:
        case SecretStr():
            return value.get_secret_value()
        case tuple() if len(value) == 1 and isinstance(value[0], SecretStr):
            return _written(value[0])
        case tuple():
            return json.dumps([_written(part) for part in value])
        case dict():
            return json.dumps(value)
        case Enum():
            return str(value.value)
        case bool():
            return str(value).lower()
        case str():
            return value or '""'
        case _:
            return f"{value:g}" if isinstance(value, float) else str(value)


def main() -> None:
    """Write the page."""
    PAGE.write_text(page(), encoding="utf-8")


if __name__ == "__main__":
    main()
