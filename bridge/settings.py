"""The configuration: one YAML file, every key overridable by the environment, all errors at once.

Precedence: `BRIDGE_…` over `AMIGO_…` over the file. `config/bridge.yaml` is the reference that explains each key.
"""

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SecretStr,
    ValidationError,
    model_validator,
)
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict
from yarl import URL

from bridge.core.backoff import DELAY_LEVELS_S
from bridge.core.event import HEX24, VERSION_SET
from bridge.core.outbound import RoutingKey
from bridge.core.route import OnBusy, Route
from bridge.core.tags import faults
from bridge.edges.sources import PREFIX, read
from bridge.edges.templates import compile_route

UNITS_S = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
AMQP_NAME = re.compile(r"[A-Za-z0-9_.:@#,/+ -]{0,127}")
AMQP_QUERY = frozenset({"heartbeat", "name", "cafile", "capath", "cadata", "certfile", "keyfile"})
LOOPBACK = ("127.0.0.1", "localhost", "::1")
MARGIN_S = 120.0

S = TypeVar("S", bound=BaseModel)


class SettingsError(Exception):
    """The configuration cannot be used. `errors` are lines of the form `path: what is wrong`, secrets left out."""

    def __init__(self, errors: list[str]) -> None:
        super().__init__("\n".join(errors))
        self.errors = errors


def seconds(value: object) -> object:
    """A duration such as `250ms`, `1.5s`, `10m`, `24h` or `7d`, in seconds."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)", value.strip()) if isinstance(value, str) else None
    if match is None:
        raise ValueError("not a duration: write 250ms, 1.5s, 10m, 24h or 7d")
    return float(match[1]) * UNITS_S[match[2]]


def _of_form(form: re.Pattern[str], said: str) -> AfterValidator:
    def check(value: str) -> str:
        if form.fullmatch(value) is None:
            raise ValueError(f"not {said}")
        return value

    return AfterValidator(check)


def _routing_key(value: str) -> str:
    RoutingKey(value)
    return value


def _broker_url(value: SecretStr) -> SecretStr:
    url = URL(value.get_secret_value())
    if url.scheme not in ("amqp", "amqps") or not url.host:
        raise ValueError("not of the form amqp://user:password@host:port/vhost")
    unknown = sorted(set(url.query) - AMQP_QUERY)
    if unknown:
        raise ValueError(f"unknown query keys: {', '.join(unknown)}; known are {', '.join(sorted(AMQP_QUERY))}")
    heartbeat = url.query.get("heartbeat", "10")
    if not heartbeat.isdecimal() or not 5 <= int(heartbeat) <= 60:
        raise ValueError("heartbeat is not a whole number from 5 to 60")
    return value


def _one_or_many(value: object) -> object:
    return value if isinstance(value, list | tuple) else (value,)


Duration = Annotated[float, BeforeValidator(seconds)]
Name = Annotated[
    str, _of_form(AMQP_NAME, "a name of at most 127 of the characters A-Z a-z 0-9 _ . : @ # , / + - and space")
]
Hex24 = Annotated[str, _of_form(HEX24, "24 digits of lower-case hex")]
VersionSet = Annotated[str, _of_form(VERSION_SET, "of the form [A-Za-z0-9_-]{1,40}")]
ChannelName = Literal[
    "phone", "web_voice", "mobile_voice", "sms", "whatsapp", "web_chat", "mobile_chat", "email", "api"
]
BrokerUrl = Annotated[SecretStr, AfterValidator(_broker_url)]


class Section(BaseModel):
    """A part of the configuration: frozen, and unknown keys are errors."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class InboundSettings(Section):
    exchange: Name = "bridge.events"
    queue: Annotated[Name, Field(min_length=1, max_length=100)] = "bridge.events"
    bindings: tuple[str, ...] = ("#",)
    prefetch: Annotated[int, Field(ge=1, le=65_535)] = 500
    max_bytes: Annotated[int, Field(ge=1, le=128 * 1024 * 1024)] = 1024 * 1024


class OutboundSettings(Section):
    exchange: Annotated[Name, Field(min_length=1)] = "agent.events"
    routing_key: Annotated[str, AfterValidator(_routing_key)] = "{channel_type}.{channel}.{type}"
    types: Annotated[tuple[str, ...], Field(min_length=1)] = ("*",)
    required: bool = False
    format: Literal["raw", "cloudevents"] = "raw"


class DeadLetterSettings(Section):
    exchange: Annotated[Name, Field(min_length=1)] = "bridge.dead"
    queue: Annotated[Name, Field(min_length=1)] = "bridge.dead"


class AmqpSettings(Section):
    url: Annotated[tuple[BrokerUrl, ...], BeforeValidator(_one_or_many), Field(min_length=1)] = (
        SecretStr("amqp://guest:guest@127.0.0.1:5672/"),
    )
    insecure: bool = False
    declare: bool = True
    inbound: Annotated[tuple[InboundSettings, ...], BeforeValidator(_one_or_many), Field(min_length=1)] = (
        InboundSettings(),
    )
    outbound: Annotated[tuple[OutboundSettings, ...], BeforeValidator(_one_or_many), Field(min_length=1)] = (
        OutboundSettings(),
    )
    dead_letter: DeadLetterSettings = DeadLetterSettings()
    consumer_timeout: Duration = 1800.0

    @model_validator(mode="after")
    def _consistent(self) -> "AmqpSettings":
        queues = [inbound.queue for inbound in self.inbound]
        if len(set(queues)) != len(queues):
            raise ValueError("two inbounds have the same queue")
        for url in map(URL, (secret.get_secret_value() for secret in self.url)):
            far = url.host not in LOOPBACK
            if far and not self.insecure and (url.scheme == "amqp" or url.user in (None, "guest")):
                raise ValueError(
                    "url: plain amqp or the user guest beyond this machine: use amqps and a user of its own, "
                    "or set amqp.insecure: true where the network is trusted"
                )
        return self


class AmigoSettings(Section):
    base_url: str = "https://api.amigo.ai"
    organization_id: Annotated[str, Field(pattern=r"^[A-Za-z0-9_.-]+$")]
    api_key: SecretStr
    api_key_id: Annotated[str, Field(min_length=1)]
    user_id: Annotated[str, Field(min_length=1)] | None = None
    insecure: bool = False
    idle: Duration = 300.0
    longest: Duration = 900.0
    max_line: Annotated[int, Field(ge=1024, le=64 * 1024 * 1024)] = 4 * 1024 * 1024
    settle: Duration = 2.0
    agent_actions: str = "^action-too-long$"

    @model_validator(mode="after")
    def _consistent(self) -> "AmigoSettings":
        url = URL(self.base_url)
        if url.scheme not in ("http", "https") or not url.host:
            raise ValueError("base_url: not of the form https://host")
        if url.scheme == "http" and url.host not in LOOPBACK and not self.insecure:
            raise ValueError("base_url: plain http beyond this machine: use https, or set amigo.insecure: true")
        if not self.api_key.get_secret_value():
            raise ValueError("api_key: empty")
        return self


class ChannelSettings(Section):
    version_set: VersionSet | None = None
    response_format: Literal["text", "voice"] = "text"


class RouteSettings(Section):
    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9_. -]{1,100}$")]
    when: str | None = None
    service_id: Hex24 | None = None
    version_set: VersionSet | None = None
    channel: ChannelName | None = None
    user_id: str | None = None
    message: str | None = None
    tags: dict[str, str] = {}
    on_busy: OnBusy = OnBusy.INTERACT
    agent_actions: str | None = None

    def route(self) -> Route:
        """The core's value for this route."""
        return Route(**{**dict(self), "tags": dict(self.tags)})

    @model_validator(mode="after")
    def _compiles(self) -> "RouteSettings":
        wrong = faults(dict.fromkeys(self.tags, "x"))
        if wrong:
            raise ValueError("; ".join(wrong))
        compile_route(self.route())
        return self


class RetrySettings(Section):
    attempts: Annotated[int, Field(ge=1, le=1000)] = 6
    first: Duration = 1.0
    longest: Duration = 600.0


class LaneSettings(Section):
    park_after: Duration = 60.0


class LedgerSettings(Section):
    url: Annotated[str, Field(pattern=r"^(sqlite:///.+|postgresql://.+)$")] = "sqlite:///bridge.db"
    keep: Duration = 7 * 86400.0


class HttpSettings(Section):
    host: str = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65_535)] = 8080


class HmacSettings(Section):
    header: str
    algorithm: Literal["sha1", "sha256", "sha512"] = "sha256"
    encoding: Literal["hex", "base64"] = "hex"
    payload: str = "{body}"


class WebhookSettings(Section):
    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,64}$")]
    scheme: str
    secrets: tuple[SecretStr, ...] = ()
    tolerance: Duration = 300.0
    max_bytes: Annotated[int, Field(ge=1)] = 1024 * 1024
    hmac: HmacSettings | None = None
    insecure: bool = False


class AdminSettings(Section):
    token: SecretStr | None = None


class ShutdownSettings(Section):
    grace: Duration = 30.0


class LogSettings(Section):
    level: Literal["debug", "info", "warning", "error"] = "info"
    format: Literal["auto", "json", "console"] = "auto"


class Settings(BaseSettings):
    """Everything that can be configured."""

    model_config = SettingsConfigDict(frozen=True, extra="forbid", env_prefix=PREFIX, env_nested_delimiter="__")

    amqp: AmqpSettings = AmqpSettings()
    amigo: AmigoSettings
    channels: dict[ChannelName, ChannelSettings] = {}
    routes: tuple[RouteSettings, ...] = ()
    retry: RetrySettings = RetrySettings()
    lanes: LaneSettings = LaneSettings()
    ledger: LedgerSettings = LedgerSettings()
    http: HttpSettings = HttpSettings()
    webhooks: tuple[WebhookSettings, ...] = ()
    admin: AdminSettings = AdminSettings()
    shutdown: ShutdownSettings = ShutdownSettings()
    log: LogSettings = LogSettings()

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Only what `load` hands over: it has read file and environment already, so that all errors come together."""
        return (init_settings,)

    @property
    def longest_hold_s(self) -> float:
        """The longest that a delivery may be held unacked: waiting, one stream, retries in memory, and a margin."""
        in_memory_s = min(self.retry.attempts * DELAY_LEVELS_S[0], self.retry.longest)
        return self.lanes.park_after + self.amigo.longest + in_memory_s + MARGIN_S

    @model_validator(mode="after")
    def _consistent(self) -> "Settings":
        names = [route.name for route in self.routes]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"routes: two routes have the same name: {', '.join(twice)}")
        if self.longest_hold_s > self.amqp.consumer_timeout:
            raise ValueError(
                f"amqp.consumer_timeout: {self.amqp.consumer_timeout:g} s is shorter than a delivery may be held: "
                f"lanes.park_after + amigo.longest + retries in memory + 2 min = {self.longest_hold_s:g} s"
            )
        return self


def load(path: Path | None, environment: Mapping[str, str] | None = None) -> Settings:
    """The settings of a file (None: of the environment alone). Raises SettingsError with every error there is."""
    found = read(path, os.environ if environment is None else environment, frozenset(Settings.model_fields))
    return _valid(Settings, found.values, found.errors)


def load_amqp(path: Path | None, environment: Mapping[str, str] | None = None) -> AmqpSettings:
    """The section `amqp` alone, for commands that have no business with the API. Raises as `load` does."""
    found = read(path, os.environ if environment is None else environment, frozenset(Settings.model_fields))
    errors = [error for error in found.errors if error.startswith(("amqp.", f"{PREFIX}AMQP__", str(path)))]
    return _valid(AmqpSettings, found.values.get("amqp") or {}, errors, "amqp")


def _valid(model: type[S], values: Mapping[str, Any], errors: list[str], path: str = "") -> S:
    try:
        settings = model(**values)
    except ValidationError as error:
        said = [_said(found, path) for found in error.errors(include_input=False)]
        raise SettingsError(errors + said) from None
    if errors:
        raise SettingsError(errors)
    return settings


def _said(found: Any, root: str) -> str:
    path = ".".join(part for part in (root, *map(str, found["loc"])) if part)
    text = "unknown key" if found["type"] == "extra_forbidden" else found["msg"].removeprefix("Value error, ")
    return f"{path}: {text}" if path else text
