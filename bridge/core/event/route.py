"""Routes: what the configuration says about an event that does not say it itself.

What the event says wins over the route, the route over the channel's settings, those over the defaults.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from types import MappingProxyType

from bridge.core.errors import InvalidEvent, NoRoute
from bridge.core.event import tags
from bridge.core.event.channel import DEFAULT_CHANNEL
from bridge.core.event.enrichment import Enrichment, WantedEnrichment
from bridge.core.event.event import Event
from bridge.core.event.event_fields import USER_ID, Audio, EventKind, OnBusy
from bridge.core.event.inbound_message import InboundMessage
from bridge.core.event.lifetime import MAX_AHEAD_S, Lifetime, time_s
from bridge.core.event.user import CREATE, OPTIONAL, UserByEmail, check_user, user_of
from bridge.core.event.version_weights import Weights, version_set_of
from bridge.core.value import value

DEFAULT_VERSION_SET = "release"
DEFAULT_FINISH_S = 3600.0
NO_TAGS: Mapping[str, str] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Route:
    """One configured route. `when`, `message`, `user_id` and the values of `user` and tags are templates.

    They are compiled elsewhere. `user` has `email`, and `create.…` for each field of a user that may be created.
    """

    name: str
    when: str | None = None
    message: str | None = None
    user_id: str | None = None
    user: Mapping[str, str] = field(default_factory=lambda: NO_TAGS)
    tags: Mapping[str, str] = field(default_factory=lambda: NO_TAGS)
    service_id: str | None = None
    version_set: str | Weights | None = None
    channel: str | None = None
    on_busy: OnBusy = OnBusy.INTERACT
    finish_s: float | None = None
    agent_actions: str | None = None
    enrich: tuple[Enrichment, ...] = ()
    max_wait_s: float | None = None


@value(frozen=True, slots=True)
class Rendered:
    """A route's templates filled in for one event; None where the route has no such template."""

    message: str | None = None
    user_id: str | None = None
    user: Mapping[str, str] = field(default_factory=lambda: NO_TAGS)
    tags: Mapping[str, str] = field(default_factory=lambda: NO_TAGS)
    enrich: tuple[WantedEnrichment, ...] = ()


@dataclass(frozen=True, slots=True)
class ChannelDefaults:
    """A channel's own choices: its version set, the format of the agent's answer (`text` or `voice`), the finish."""

    version_set: str | None = None
    response_format: str = "text"
    finish_s: float | None = None


@dataclass(frozen=True, slots=True)
class Defaults:
    """Values that hold where neither event nor route nor channel says otherwise."""

    user_id: str | None = None
    agent_actions: str = "^action-too-long$"
    channels: Mapping[str, ChannelDefaults] = field(default_factory=dict)
    finish_s: float = DEFAULT_FINISH_S


@value(frozen=True)
class RoutedEvent:
    """An event with nothing left to choose. Of the kind `cancel`, user and service are empty.

    Where `user` names the user, `user_id` is empty until it is known. `version_weights`: the user decides. `lifetime`
    is None where nothing limits it. `alone`: it stands in no lane, as it may not start yet, or not any more.
    `seeks_owner`: the ledger is still to say whose conversation it names; until then, user and service are what event,
    route and defaults say, or empty.
    """

    id: str
    kind: EventKind
    message: str | None
    user_id: str
    service_id: str
    channel: str
    version_set: str
    conversation_id: str | None
    tags: Mapping[str, str]
    route: str | None
    on_busy: OnBusy
    agent_actions: str
    response_format: str
    finish_s: float = DEFAULT_FINISH_S
    delete_tags: tuple[str, ...] = ()
    cancels: str | None = None
    is_test: bool = False
    audio: Audio | None = None
    user: UserByEmail | None = None
    version_weights: Weights | None = None
    enrich: tuple[WantedEnrichment, ...] = ()
    lifetime: Lifetime | None = None
    alone: bool = False
    seeks_owner: bool = False

    @cached_property
    def lane(self) -> tuple[str, str]:
        """The API takes one conversation at a time for this pair: (user, service). `cancel` has a lane of its own.

        So has what cannot be resolved, and an event whose time has not come, or is over: it holds up nobody.
        """
        apart = self.alone or not self.service_id or self.kind is EventKind.CANCEL
        return ("", self.id) if apart or (self.seeks_owner and not self.user_id) else self.line

    @property
    def line(self) -> tuple[str, str]:
        """The lane of the event once its time has come. Until its user is known, that is the line of its e-mail."""
        return (self.user.key, "") if self.user is not None and not self.user_id else (self.user_id, self.service_id)

    def of_user(self, user_id: str) -> "RoutedEvent":
        """The same event, once its user is known."""
        weights = self.version_weights
        version_set = self.version_set if weights is None else version_set_of(user_id, weights)
        return replace(self, user_id=user_id, version_set=version_set)

    def owned_by(self, owner: tuple[str, str] | None) -> "RoutedEvent":
        """The same event, once the owner (user, service) of its conversation is known, or known to be unknown.

        Raises NoRoute or InvalidEvent where nobody says whose it is.
        """
        if owner is not None:
            user_id, service_id = owner
            return replace(self, user_id=user_id, service_id=service_id, user=None, seeks_owner=False)
        if not self.service_id:
            raise NoRoute("the ledger does not know the conversation, and the event names no service_id", self.id)
        if not self.user_id and self.user is None:
            raise InvalidEvent("the ledger does not know the conversation, and the event names no user_id", self.id)
        return replace(self, seeks_owner=False)

    def in_line(self) -> "RoutedEvent":
        """The same event, once it stands in its lane."""
        return replace(self, alone=False)

    @property
    def event_tag(self) -> str:
        return tags.event_tag(self.id)

    @property
    def conversation_tags(self) -> dict[str, str]:
        """All tags of a conversation that this event starts."""
        return {**self.tags, **tags.own_tags(self.id, self.channel)}

    @property
    def joining_tags(self) -> dict[str, str]:
        """The tags that a conversation must have which this event joins."""
        return {**self.tags, **tags.channel_tags(self.channel)}


def unresolved(event_id: str, channel: str | None) -> RoutedEvent:
    """A stand-in for an event that cannot be resolved: nothing is known but its id, and maybe its channel."""
    return RoutedEvent(
        id=event_id,
        kind=EventKind.EXTERNAL_EVENT,
        message=None,
        user_id="",
        service_id="",
        channel=channel or "",
        version_set="",
        conversation_id=None,
        tags=NO_TAGS,
        route=None,
        on_busy=OnBusy.INTERACT,
        agent_actions="",
        response_format="text",
    )


NO_ROUTE, NO_SETTINGS = Route(name=""), ChannelDefaults()


def resolve(event: Event, route: Route | None, rendered: Rendered, defaults: Defaults) -> RoutedEvent:
    """The event with its route's values and the defaults. Raises NoRoute or InvalidEvent, naming what is missing."""
    channel = event.channel or (route.channel if route else None) or DEFAULT_CHANNEL
    try:
        return _resolved(event, route, rendered, defaults, channel)
    except InvalidEvent as error:
        error.channel = channel
        raise


def _resolved(event: Event, route: Route | None, rendered: Rendered, defaults: Defaults, channel: str) -> RoutedEvent:
    chosen, settings = route or NO_ROUTE, defaults.channels.get(channel, NO_SETTINGS)
    wishes = (event.finish_s, chosen.finish_s, settings.finish_s, defaults.finish_s)
    version_set = event.version_set or settings.version_set or chosen.version_set or DEFAULT_VERSION_SET
    weights = None if isinstance(version_set, str) else version_set
    user = _user(event, rendered, defaults) if event.needs_service else None
    user_id = _user_id(event, rendered, defaults) if event.needs_service and user is None else ""
    if not isinstance(version_set, str):
        version_set = version_set_of(user_id, version_set) if user_id else DEFAULT_VERSION_SET
    return RoutedEvent(
        id=event.id,
        kind=event.kind,
        message=_message(event, rendered),
        user_id=user_id,
        service_id=_service_id(event, chosen),
        channel=channel,
        version_set=version_set,
        conversation_id=event.conversation_id,
        tags=_tags(event, rendered),
        route=route.name if route else None,
        on_busy=event.on_busy or chosen.on_busy,
        agent_actions=chosen.agent_actions or defaults.agent_actions,
        response_format=settings.response_format,
        finish_s=next(wish for wish in wishes if wish is not None),
        delete_tags=event.delete_tags,
        cancels=event.cancels,
        is_test=event.is_test,
        audio=event.audio,
        user=user,
        version_weights=weights,
        enrich=rendered.enrich if event.asks_agent else (),
        lifetime=_lifetime(event, chosen),
        seeks_owner=event.seeks_owner,
    )


def timed(event: RoutedEvent, incoming: InboundMessage, now_s: float) -> RoutedEvent:
    """The event as it is at this time (Unix seconds): alone where it may not start. Raises InvalidEvent."""
    lifetime = event.lifetime
    if lifetime is None:
        return event
    early_s = lifetime.early_s(now_s)
    if early_s > MAX_AHEAD_S:
        raise InvalidEvent("not_before is more than 7 days ahead", event.id, event.channel)
    over = not early_s and lifetime.overdue(incoming, incoming.first_seen_s or now_s, now_s) is not None
    return replace(event, alone=True) if early_s or over else event


def _lifetime(event: Event, route: Route) -> Lifetime | None:
    max_wait_s = route.max_wait_s if event.needs_service else None
    if event.not_before is None and event.expires_at is None and max_wait_s is None:
        return None
    not_before_s = None if event.not_before is None else time_s(event.not_before)
    return Lifetime(not_before_s, event.expires_at, max_wait_s)


def _service_id(event: Event, route: Route) -> str:
    if not event.needs_service:
        return ""
    service_id = event.service_id or route.service_id
    if service_id is None and event.must_name_service:
        raise NoRoute("no route took the event and it names no service_id", event.id)
    return service_id or ""


def _message(event: Event, rendered: Rendered) -> str | None:
    if not event.speaks:
        return None
    message = event.message if event.message is not None else rendered.message
    if message is None or not message.strip():
        raise InvalidEvent("no message: neither the event nor its route has one that is not blank", event.id)
    return message


def _user(event: Event, rendered: Rendered, defaults: Defaults) -> UserByEmail | None:
    """The user by e-mail, where event or route name one so; an id of the same or of a higher place wins."""
    if event.user_id is not None:
        return None
    user = event.user
    if user is None and rendered.user_id is None and rendered.user:
        user = _rendered_user(event, rendered.user)
    if user is not None and defaults.user_id is None:
        error = "user: amigo.user_id is not configured, in whose name a user is looked for; name a user_id instead"
        raise InvalidEvent(error, event.id)
    return user


def _rendered_user(event: Event, rendered: Mapping[str, str]) -> UserByEmail | None:
    """Read the user of a route's templates; an optional field that comes out blank is left out."""
    create = {name: rendered[f"create.{name}"] for name in CREATE if f"create.{name}" in rendered}
    given = {name: text for name, text in create.items() if text.strip() or name not in OPTIONAL}
    value: dict[str, object] = {"email": rendered["email"], **({"create": given} if given else {})}
    wrong = check_user(value)
    if wrong:
        raise InvalidEvent(wrong, event.id)
    return user_of(value)


def _user_id(event: Event, rendered: Rendered, defaults: Defaults) -> str:
    if event.user_id is None and rendered.user_id is not None and not rendered.user_id.strip():
        raise InvalidEvent("user_id: the route's template came out blank", event.id)
    user_id = event.user_id or rendered.user_id or defaults.user_id
    if user_id is None and event.seeks_owner:
        return ""
    if user_id is None:
        raise InvalidEvent("no user_id: neither the event nor its route nor amigo.user_id has one", event.id)
    if USER_ID.fullmatch(user_id) is None:
        raise InvalidEvent("user_id is not a string of 1 to 200 printable ASCII characters", event.id)
    return user_id


def _tags(event: Event, rendered: Rendered) -> dict[str, str]:
    both = {**rendered.tags, **event.tags}
    wrong = tags.faults(both)
    if wrong:
        raise InvalidEvent(tags.in_words(wrong), event.id)
    return {key.strip(): value.strip() for key, value in both.items()}
