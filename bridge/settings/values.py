"""The settings as values of the core and of the edges."""

import hashlib
import time
from functools import partial

from bridge.core.answer.outbound_message import Outbound, RoutingKey, key_at
from bridge.core.broker.topology import Inbound, Topology, topology
from bridge.core.delivery.rate_limits import LIMITS, LimitFigures, LimitScope
from bridge.core.delivery.retry import RetryPolicy
from bridge.core.event.route import ChannelDefaults, Defaults
from bridge.core.event.user import UserRules
from bridge.core.lanes.expected_turn import TurnLimit
from bridge.core.webhook.schemes import key_of
from bridge.edges.amigo.client import Credentials
from bridge.edges.http.admin_server import AdminToken
from bridge.edges.rabbitmq.control import ControlConfig
from bridge.edges.rabbitmq.control_client import user_of
from bridge.edges.rabbitmq.supervisor import BrokerConfig
from bridge.edges.webhook_secrets import Ring, WebhookKeyring
from bridge.flow.ports.runtime import Log
from bridge.settings.model import AmqpSettings, Settings

LIMIT_NAMES = {
    "create": "create-conversation",
    "interact": "interact",
    "finish": "finish",
    "list": "list",
    "messages": "messages",
    "tags": "tags",
    "sign_in": "sign-in",
    "users": "users",
    "create_user": "create-user",
    "insights": "insights",
    "recommend": "recommend-responses",
    "source": "message-source",
}
"""Operations by the names of their settings."""


def credentials_of(settings: Settings) -> Credentials:
    """The API's address, and who the bridge is there."""
    amigo = settings.amigo
    return Credentials(
        base_url=amigo.base_url,
        organization_id=amigo.organization_id,
        api_key_id=amigo.api_key_id,
        api_key=amigo.api_key.get_secret_value(),
        user_id=amigo.user_id,
        token_organization_id=amigo.token_organization_id,
        mongo_cluster=amigo.mongo_cluster,
    )


def keyring_of(settings: Settings, log: Log | None = None) -> WebhookKeyring:
    """The webhooks' secrets, as their schemes take them."""
    return WebhookKeyring(
        {
            hook.name: Ring(
                [secret.get_secret_value() for secret in hook.secrets],
                hook.secrets_file,
                partial(key_of, hook.scheme),
                time.time,
                log,
            )
            for hook in settings.webhooks
        }
    )


def inbounds_of(amqp: AmqpSettings) -> tuple[Inbound, ...]:
    """The inbounds as values."""
    return tuple(Inbound(**dict(inbound)) for inbound in amqp.inbound)


def outbounds_of(amqp: AmqpSettings) -> tuple[Outbound, ...]:
    """The outbounds as values."""
    return tuple(
        Outbound(
            exchange=outbound.exchange,
            key=RoutingKey(outbound.routing_key),
            types=outbound.types,
            required=outbound.required,
            cloudevents=outbound.format == "cloudevents",
        )
        for outbound in amqp.outbound
    )


def defaults_of(settings: Settings) -> Defaults:
    """Values that hold where neither event nor route says otherwise."""
    channels: dict[str, ChannelDefaults] = {
        name: ChannelDefaults(channel.version_set, channel.response_format, channel.finish)
        for name, channel in settings.channels.items()
    }
    return Defaults(settings.amigo.user_id, settings.amigo.agent_actions, channels, settings.conversations.finish)


def user_rules_of(settings: Settings) -> UserRules:
    """How users are found by e-mail, and which may be created."""
    return UserRules(settings.users.keep, settings.users.missing_keep, settings.users.roles)


def retry_of(settings: Settings) -> RetryPolicy:
    """How attempts, pauses and refused publishes are repeated."""
    retry = settings.retry
    return RetryPolicy(retry.attempts, retry.first, retry.longest, retry.publish_for, retry.refusals)


def turn_limit_of(settings: Settings) -> TurnLimit:
    """The turns that the limits give one lane: most of its events join a conversation."""
    figures = limits_of(settings)
    return TurnLimit(figures.calls["interact"], figures.window_s)


def limits_of(settings: Settings) -> LimitFigures:
    """The API's rate limits; operations that no setting names have the documented ones."""
    limits = settings.limits
    calls = {operation: int(getattr(limits, name)) for name, operation in LIMIT_NAMES.items()}
    return LimitFigures({**LIMITS, **calls}, limits.window, LimitScope(limits.scope))


def broker_of(amqp: AmqpSettings) -> BrokerConfig:
    """The broker's addresses and the topology there."""
    return BrokerConfig(tuple(url.get_secret_value() for url in amqp.url), topology_of(amqp), amqp.declare)


def control_of(settings: Settings) -> ControlConfig:
    """Who is obeyed on `bridge.control`."""
    own_user = user_of(settings.amqp.url[0].get_secret_value())
    return ControlConfig(own_user, settings.control.users, settings.amqp.declare)


def admin_tokens_of(settings: Settings) -> list[AdminToken]:
    """Who may use `/admin`."""
    tokens = settings.admin.tokens.items()
    return [AdminToken(name, each.token.get_secret_value(), each.role) for name, each in tokens]


def admin_address_of(settings: Settings) -> tuple[str, int]:
    """Host and port of the operators' listener."""
    host, _, port = settings.admin.listen.rpartition(":")
    return host.strip("[]"), int(port)


def configuration_hash(settings: Settings) -> str:
    """Twelve digits that tell one configuration from another. Secrets count as set or not set."""
    return hashlib.sha256(settings.model_dump_json().encode()).hexdigest()[:12]


def topology_of(amqp: AmqpSettings) -> Topology:
    """Every exchange and queue that the bridge needs."""
    return topology(
        inbounds_of(amqp),
        tuple(outbound.exchange for outbound in amqp.outbound),
        dead_exchange=amqp.dead_letter.exchange,
        dead=amqp.dead_letter.queue,
        delay_exchange=amqp.delay.exchange,
        keys={each.exchange: key for each in reversed(outbounds_of(amqp)) if (key := key_at(each)) is not None},
    )
