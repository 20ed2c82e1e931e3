"""The configuration: one YAML file, every key overridable by the environment, all errors at once.

Precedence: `BRIDGE_…` over `AMIGO_…` over the file. `config/bridge.yaml` is the reference that explains each key.
"""

import copy
import os
from collections.abc import Iterable, Mapping, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import (
    BaseModel,
    Field,
    SecretStr,
    ValidationError,
    model_validator,
)
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from bridge.core.broker.republished_copy import delay_queue, held_queue
from bridge.core.delivery.rate_limits import LIMITS, MAX_TOLD_LIMIT, WINDOW_S
from bridge.core.delivery.retry import DELAY_LEVELS_S
from bridge.core.errors import BridgeError
from bridge.core.event.enrichment import DEFAULT_ENRICH_FOR_S, TYPES
from bridge.core.event.route import DEFAULT_FINISH_S
from bridge.core.event.user import DEFAULT_ROLE
from bridge.settings.admin import AdminSettings, ControlSettings
from bridge.settings.routes import RouteSettings
from bridge.settings.sources import PREFIX, SettingFault, of_setting, read
from bridge.settings.types import (
    ApiKey,
    ApiKeyId,
    ApiName,
    ApiUrl,
    BrokerUrl,
    ChannelName,
    Duration,
    FinishWish,
    Host,
    LedgerUrl,
    Name,
    Network,
    OneOrMany,
    Regex,
    RoutingKeyTemplate,
    Section,
    UserId,
    VersionSet,
)
from bridge.settings.webhooks import WebhookSettings

MARGIN_S = 120.0
DEFAULT_FILE = Path("config/bridge.yaml")
SQLITE, LEDGER = "sqlite:///", "sqlite:///bridge.db"
SHORTEST_WAIT_S = 0.01
"""The shortest step of a back-off: a wait of nothing is a loop."""
READING = ("amqp", "amigo", "channels", "routes", "retry", "lanes", "conversations")
CREDENTIALS = ("organization_id", "api_key", "api_key_id")
UNREAD = tuple(f"amigo.{key}" for key in CREDENTIALS)

CallCount = Annotated[int, Field(ge=1, le=MAX_TOLD_LIMIT)]
RoleName = Annotated[str, Field(min_length=1, max_length=200)]

S = TypeVar("S", bound=BaseModel)


class SettingsError(BridgeError):
    """The configuration cannot be used. `errors` are lines of the form `path: what is wrong`, secrets left out."""

    def __init__(self, errors: list[str]) -> None:
        super().__init__("\n".join(errors))
        self.errors = errors


class InboundSettings(Section):
    exchange: Name = "bridge.events"
    queue: Annotated[Name, Field(min_length=1, max_length=100)] = "bridge.events"
    bindings: tuple[str, ...] = ("#",)
    prefetch: Annotated[int, Field(ge=1, le=65_535)] = 500
    max_bytes: Annotated[int, Field(ge=1, le=128 * 1024 * 1024)] = 1024 * 1024
    single_active: bool = False


class OutboundSettings(Section):
    exchange: Annotated[Name, Field(min_length=1)] = "agent.events"
    routing_key: RoutingKeyTemplate = "{channel_type}.{channel}.{type}"
    types: Annotated[tuple[str, ...], Field(min_length=1)] = ("*",)
    required: bool = False
    format: Literal["raw", "cloudevents"] = "raw"


class DeadLetterSettings(Section):
    exchange: Annotated[Name, Field(min_length=1)] = "bridge.dead"
    queue: Annotated[Name, Field(min_length=1)] = "bridge.dead"


class DelaySettings(Section):
    exchange: Annotated[Name, Field(min_length=1)] = "bridge.delay"


class AmqpSettings(Section):
    insecure: bool = False
    url: Annotated[tuple[BrokerUrl, ...], OneOrMany, Field(min_length=1)] = (
        SecretStr("amqp://guest:guest@127.0.0.1:5672/"),
    )
    declare: bool = True
    inbound: Annotated[tuple[InboundSettings, ...], OneOrMany, Field(min_length=1)] = (InboundSettings(),)
    outbound: Annotated[tuple[OutboundSettings, ...], OneOrMany, Field(min_length=1)] = (OutboundSettings(),)
    dead_letter: DeadLetterSettings = DeadLetterSettings()
    delay: DelaySettings = DelaySettings()
    consumer_timeout: Duration = 1800.0

    @model_validator(mode="after")
    def _consistent(self) -> "AmqpSettings":
        queues = [inbound.queue for inbound in self.inbound]
        if len(set(queues)) != len(queues):
            raise ValueError("two inbounds have the same queue")
        targets = {self.dead_letter.exchange, *(outbound.exchange for outbound in self.outbound)}
        looped = targets & {inbound.exchange for inbound in self.inbound}
        if looped:
            raise ValueError(f"what goes out would come in again: {', '.join(sorted(looped))} is on both sides")
        if self.delay.exchange in targets | {inbound.exchange for inbound in self.inbound}:
            raise ValueError(f"delay.exchange: {self.delay.exchange} is used for something else already")
        own = {self.dead_letter.queue, *map(held_queue, queues)}
        own |= {delay_queue(queue, level) for queue in queues for level in DELAY_LEVELS_S}
        if own & set(queues):
            raise ValueError(
                f"an inbound cannot be a queue of the bridge's own: {', '.join(sorted(own & set(queues)))}"
            )
        return self


class AmigoSettings(Section):
    insecure: bool = False
    base_url: ApiUrl = "https://api.amigo.ai"
    organization_id: ApiName
    api_key: ApiKey
    api_key_id: ApiKeyId
    user_id: UserId | None = None
    token_organization_id: ApiName | None = None
    mongo_cluster: ApiName | None = None
    idle: Duration = 300.0
    longest: Duration = 900.0
    max_line: Annotated[int, Field(ge=1024, le=64 * 1024 * 1024)] = 4 * 1024 * 1024
    settle: Duration = 2.0
    agent_actions: Regex = "^action-too-long$"


class ChannelSettings(Section):
    version_set: VersionSet | None = None
    response_format: Literal["text", "voice"] = "text"
    finish: FinishWish | None = None


class ConversationSettings(Section):
    finish: FinishWish = DEFAULT_FINISH_S
    busy_for: Duration = 7200.0
    enrich_for: Annotated[Duration, Field(ge=1.0)] = DEFAULT_ENRICH_FOR_S


class UserSettings(Section):
    keep: Duration = 86_400.0
    missing_keep: Duration = 60.0
    roles: tuple[RoleName, ...] = (DEFAULT_ROLE,)


class RetrySettings(Section):
    attempts: Annotated[int, Field(ge=1, le=1000)] = 6
    first: Annotated[Duration, Field(ge=SHORTEST_WAIT_S)] = 1.0
    longest: Annotated[Duration, Field(ge=SHORTEST_WAIT_S)] = 600.0
    publish_for: Duration = 300.0
    refusals: Annotated[int, Field(ge=0, le=100_000)] = 20


class LaneSettings(Section):
    park_after: Duration = 20.0
    lost_after: Annotated[Duration, Field(ge=1.0)] = 600.0


class LimitSettings(Section):
    create: CallCount = LIMITS["create-conversation"]
    interact: CallCount = LIMITS["interact"]
    finish: CallCount = LIMITS["finish"]
    list: CallCount = LIMITS["list"]
    messages: CallCount = LIMITS["messages"]
    tags: CallCount = LIMITS["tags"]
    sign_in: CallCount = LIMITS["sign-in"]
    users: CallCount = LIMITS["users"]
    create_user: CallCount = LIMITS["create-user"]
    insights: CallCount = LIMITS["insights"]
    recommend: CallCount = LIMITS["recommend-responses"]
    source: CallCount = LIMITS["message-source"]
    window: Annotated[Duration, Field(ge=0.1, le=86_400.0)] = WINDOW_S
    scope: Literal["auto", "user", "organization"] = "auto"


class LedgerSettings(Section):
    url: LedgerUrl = SecretStr(LEDGER)
    keep: Duration = 7 * 86400.0
    keep_endings: Annotated[Duration, Field(ge=60.0)] = 3600.0
    when_lost: Literal["hold", "ask"] = "hold"
    patience: Duration = 10.0


class HttpSettings(Section):
    host: Host = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65_535)] = 8080
    trusted_proxies: tuple[Network, ...] = ()


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
    limits: LimitSettings = LimitSettings()
    conversations: ConversationSettings = ConversationSettings()
    users: UserSettings = UserSettings()
    ledger: LedgerSettings = LedgerSettings()
    http: HttpSettings = HttpSettings()
    webhooks: tuple[WebhookSettings, ...] = ()
    admin: AdminSettings = AdminSettings()
    control: ControlSettings = ControlSettings()
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
        """The longest that a delivery may be held unacked.

        Waiting, one stream, enrichments, retries in memory (of attempts, and of what the broker refuses), and a margin.
        """
        in_memory_s = min(self.retry.attempts * DELAY_LEVELS_S[0], self.retry.longest) + self.lanes.park_after
        waits_s = self.lanes.park_after + self.amigo.longest + self.conversations.enrich_for
        return waits_s + in_memory_s + MARGIN_S

    @model_validator(mode="after")
    def _consistent(self) -> "Settings":
        wrong = []
        names = [route.name for route in self.routes]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            wrong.append(f"routes: two routes have the same name: {', '.join(twice)}")
        by_email = [route.name for route in self.routes if route.user is not None]
        if by_email and self.amigo.user_id is None:
            names_ = ", ".join(by_email)
            wrong.append(f"routes: user needs amigo.user_id, in whose name a user is looked for: {names_}")
        hooks = [hook.name for hook in self.webhooks]
        twice = sorted({name for name in hooks if hooks.count(name) > 1})
        if twice:
            wrong.append(f"webhooks: two webhooks have the same name: {', '.join(twice)}")
        most = self.amqp.inbound[0].max_bytes
        wrong += [
            f"webhooks.{number}.max_bytes: {hook.max_bytes} is more than the inbound takes: {most}"
            for number, hook in enumerate(self.webhooks)
            if hook.max_bytes > most and "max_bytes" in hook.model_fields_set
        ]
        wrong += self._unheard()
        if self.admin.tokens and self.http.port and self.admin.listen.rpartition(":")[2] == str(self.http.port):
            wrong.append(f"admin.listen: {self.admin.listen} has the port of http: it is never the public one")
        if self.longest_hold_s > self.amqp.consumer_timeout:
            wrong.append(
                f"amqp.consumer_timeout: {self.amqp.consumer_timeout:g} s is shorter than a delivery may be held: "
                f"lanes.park_after + amigo.longest + conversations.enrich_for + retries in memory + 2 min = "
                f"{self.longest_hold_s:g} s"
            )
        if wrong:
            raise ValueError("; ".join(wrong))
        return self

    def _unheard(self) -> list[str]:
        """Enrichments that no outbound takes: each would cost calls for nothing."""
        patterns = [pattern for outbound in self.amqp.outbound for pattern in outbound.types]
        return [
            f"routes.{number}.enrich: {one.kind} is published as {TYPES[one.kind]}, which no outbound takes"
            for number, route in enumerate(self.routes)
            for one in route.enrich
            if not any(fnmatchcase(TYPES[one.kind], pattern) for pattern in patterns)
        ]


def load(path: Path | None, environment: Mapping[str, str] | None = None) -> Settings:
    """The settings of a file (None: of the environment alone). Raises SettingsError with every error there is."""
    sources = read(path, os.environ if environment is None else environment, frozenset(Settings.model_fields))
    private = [key for key in sources.values if key.startswith("_")]  # pydantic-settings would take them as its own
    faults = [*sources.faults, *(of_setting(key, "unknown key") for key in private)]
    values = {key: part for key, part in sources.values.items() if key not in private}
    _place_ledger(values, path)
    return _valid(Settings, values, faults)


def load_amqp(path: Path | None, environment: Mapping[str, str] | None = None) -> AmqpSettings:
    """The section `amqp` alone, for commands that have no business with the API. Raises as `load` does."""
    sources = read(path, os.environ if environment is None else environment, frozenset(Settings.model_fields))
    faults = [fault for fault in sources.faults if fault.section in (None, "amqp")]
    return _valid(AmqpSettings, sources.values.get("amqp") or {}, faults, "amqp")


def _place_ledger(values: dict[str, Any], path: Path | None) -> None:
    """A SQLite file counts from the folder of the configuration file, or of the default one where there is none.

    It never counts from the working directory: a process that is started in another one would have another ledger, and
    know nothing of any event.
    """
    section = values.get("ledger", {})
    url = section.get("url", LEDGER) if isinstance(section, dict) else None
    if isinstance(url, str) and url.startswith(SQLITE):
        folder = (path or DEFAULT_FILE).absolute().parent
        values["ledger"] = {**section, "url": f"{SQLITE}{folder / url.removeprefix(SQLITE)}"}


def load_reading(path: Path | None, environment: Mapping[str, str] | None = None) -> Settings:
    """Load the part that decides how an event is read, for commands without business at the API: without credentials.

    Only the sections in READING are looked at. Raises as `load` does.
    """
    sources = read(path, os.environ if environment is None else environment, frozenset(Settings.model_fields))
    values = {key: part for key, part in sources.values.items() if key in READING}
    amigo = values.get("amigo", {})
    if isinstance(amigo, dict):
        values["amigo"] = {**amigo, **dict.fromkeys(CREDENTIALS, "unknown")}
    faults = [fault for fault in sources.faults if fault.section in (None, *READING) and fault.where not in UNREAD]
    return _valid(Settings, values, faults)


def _valid(model: type[S], values: Any, faults: Iterable[SettingFault], path: str = "") -> S:
    errors = [str(fault) for fault in faults]
    try:
        settings = model.model_validate(values)
    except ValidationError as error:
        invalid = error.errors(include_input=False)
        sentences = [_sentence(one, path) for one in invalid] + _hidden(model, values, invalid, path)
        raise SettingsError(list(dict.fromkeys([*errors, *sentences]))) from None
    if errors:
        raise SettingsError(errors)
    return settings


def _hidden(model: type[S], values: Any, faults: Iterable[Any], path: str) -> list[str]:
    """Further faults, which are only checked where nothing is bad in itself, so mend that and look."""
    mended = copy.deepcopy(values)
    for one in faults:
        _mend(mended, one["loc"])
    try:
        model.model_validate(mended)
    except ValidationError as error:
        return [_sentence(one, path) for one in error.errors(include_input=False) if one["type"] == "value_error"]
    return []


def _mend(values: Any, loc: Sequence[str | int]) -> None:
    """Take a bad key away, so that its default holds; what has no default gets something harmless."""
    section = values.get(loc[0]) if isinstance(values, dict) and len(loc) > 1 else None
    if isinstance(section, dict) and loc[1] in ("organization_id", "api_key", "api_key_id"):
        section[loc[1]] = "unknown"
    elif isinstance(section, dict):
        section.pop(loc[1], None)
    elif isinstance(values, dict) and loc:
        values.pop(loc[0], None)


def _sentence(fault: Any, root: str) -> str:
    path = ".".join(part for part in (root, *map(str, fault["loc"])) if part)
    text = "unknown key" if fault["type"] == "extra_forbidden" else fault["msg"].removeprefix("Value error, ")
    return f"{path}: {text}" if path else text
