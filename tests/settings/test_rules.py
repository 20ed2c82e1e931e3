"""What the configuration refuses: times that do not fit, addresses that are not safe, names that are not good."""

from pathlib import Path
from typing import Any

import pytest

from bridge.settings.model import Settings, SettingsError, load

AMIGO = {"AMIGO_API_KEY": "k", "AMIGO_API_KEY_ID": "i", "AMIGO_ORGANIZATION_ID": "o"}


def made(**variables: str) -> Settings:
    return load(None, {**AMIGO, **variables})


def refused(**variables: str) -> str:
    with pytest.raises(SettingsError) as caught:
        made(**variables)
    return str(caught.value)


# --- the broker's consumer time-out


def test_a_delivery_may_be_held_for_lane_stream_enrichments_retries_and_two_minutes() -> None:
    variables = {
        "BRIDGE_LANES__PARK_AFTER": "1m",
        "BRIDGE_AMIGO__LONGEST": "15m",
        "BRIDGE_CONVERSATIONS__ENRICH_FOR": "3m",
        "BRIDGE_RETRY__ATTEMPTS": "6",
    }
    hold_s = made(**variables).longest_hold_s
    assert 2 * 60 + 900 + 180 + 120 <= hold_s <= 2 * 60 + 900 + 180 + 120 + 60, "what is refused is held as long again"
    assert made(**variables, BRIDGE_AMQP__CONSUMER_TIMEOUT=f"{hold_s:g}s")
    said = refused(**variables, BRIDGE_AMQP__CONSUMER_TIMEOUT=f"{hold_s - 1:g}s")
    assert "amqp.consumer_timeout" in said
    assert f"{hold_s:g} s" in said


@pytest.mark.parametrize(
    "variables",
    [
        {"BRIDGE_AMIGO__LONGEST": "28m"},
        {"BRIDGE_LANES__PARK_AFTER": "14m"},
        {"BRIDGE_CONVERSATIONS__ENRICH_FOR": "13m"},
        {"BRIDGE_AMQP__CONSUMER_TIMEOUT": "10m"},
    ],
)
def test_what_does_not_fit_into_the_time_out_is_refused(variables: dict[str, str]) -> None:
    assert "amqp.consumer_timeout" in refused(**variables)


# --- the broker's address


@pytest.mark.parametrize(
    "url",
    [
        "amqp://127.0.0.1",
        "amqp://guest:guest@localhost:5672/",
        "amqp://[::1]/vhost",
        "amqp://LOCALHOST/",
        "amqps://bridge:pw@rabbit.example:5671/prod",
        "amqps://bridge:pw@rabbit.example/?heartbeat=5&cafile=ca.pem&name=n",
        "amqp://127.0.0.1/?heartbeat=60",
        "amqp://127.0.0.1/?frame_max=4096",
        "amqp://127.0.0.1/?frame_max=131072",
    ],
)
def test_a_good_address_is_taken(url: str) -> None:
    assert made(BRIDGE_AMQP__URL=url)


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("", "not of the form"),
        ("rabbit:5672", "not of the form"),
        ("http://127.0.0.1/", "not of the form"),
        ("amqp:///vhost", "not of the form"),
        ("amqp://127.0.0.1:port/", "port"),
        ("amqp://127.0.0.1/%FF", "UTF-8"),
        ("amqp://127.0.0.1/?ca_certs=x", "unknown query keys: ca_certs"),
        ("amqps://u:p@far/?no_verify_ssl=1", "unknown query keys: no_verify_ssl"),
        ("amqp://127.0.0.1/?heartbeat=ten", "heartbeat"),
        ("amqp://127.0.0.1/?heartbeat=4", "heartbeat"),
        ("amqp://127.0.0.1/?heartbeat=61", "heartbeat"),
        ("amqp://127.0.0.1/?heartbeat=-5", "heartbeat"),
        ("amqp://127.0.0.1/?heartbeat=5.5", "heartbeat"),
        ("amqp://127.0.0.1/?frame_max=4095", "frame_max"),
        ("amqp://127.0.0.1/?frame_max=131073", "frame_max"),
        ("amqp://127.0.0.1/?frame_max=big", "frame_max"),
        ("amqp://127.0.0.1/?channel_max=9&connection_timeout=3", "unknown query keys: channel_max, connection_timeout"),
    ],
)
def test_a_bad_address_is_refused_and_says_why(url: str, said: str) -> None:
    assert said in refused(BRIDGE_AMQP__URL=url)
    assert refused(BRIDGE_AMQP__URL=url).startswith("amqp.url")


@pytest.mark.parametrize(
    "url",
    [
        "amqp://bridge:pw@rabbit.example/",
        "amqp://bridge:pw@10.0.0.1/",
        "amqp://bridge:pw@localhost.example/",
        "amqp://bridge:pw@127.0.0.1.example/",
        "amqps://guest:guest@rabbit.example/",
        "amqps://rabbit.example/",
    ],
)
def test_plain_text_or_guest_beyond_this_machine_needs_to_be_asked_for(url: str) -> None:
    assert "amqp.insecure: true" in refused(BRIDGE_AMQP__URL=url)
    assert made(BRIDGE_AMQP__URL=url, BRIDGE_AMQP__INSECURE="true")


def test_one_bad_address_among_several_is_enough() -> None:
    assert "insecure" in refused(BRIDGE_AMQP__URL='["amqp://127.0.0.1/", "amqp://u:p@far/"]')


# --- the API's address


@pytest.mark.parametrize("url", ["https://api.amigo.ai", "http://127.0.0.1:8090", "http://localhost", "http://[::1]:1"])
def test_a_good_api_address_is_taken(url: str) -> None:
    assert made(AMIGO_BASE_URL=url).amigo.base_url == url


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("api.amigo.ai", "base_url"),
        ("ftp://api.amigo.ai", "base_url"),
        ("https://", "base_url"),
        ("http://api.amigo.ai", "amigo.insecure: true"),
        ("http://host:port", "base_url"),
    ],
)
def test_a_bad_api_address_is_refused_at_its_path(url: str, said: str) -> None:
    assert said in refused(AMIGO_BASE_URL=url)


def test_plain_http_beyond_this_machine_can_be_asked_for() -> None:
    assert made(AMIGO_BASE_URL="http://api.internal", BRIDGE_AMIGO__INSECURE="true")


@pytest.mark.parametrize("name", ["API_KEY", "API_KEY_ID", "ORGANIZATION_ID"])
def test_credentials_may_not_be_empty(name: str) -> None:
    assert name.lower() in refused(**{f"BRIDGE_AMIGO__{name}": ""})


# --- names and values

BAD: list[tuple[str, str, str]] = [
    ("BRIDGE_AMQP__INBOUND__QUEUE", "", "amqp.inbound.0.queue"),
    ("BRIDGE_AMQP__INBOUND__QUEUE", "x" * 101, "amqp.inbound.0.queue"),
    ("BRIDGE_AMQP__INBOUND__QUEUE", "ü", "amqp.inbound.0.queue"),
    ("BRIDGE_AMQP__INBOUND__EXCHANGE", "x" * 128, "amqp.inbound.0.exchange"),
    ("BRIDGE_AMQP__INBOUND__PREFETCH", "0", "amqp.inbound.0.prefetch"),
    ("BRIDGE_AMQP__INBOUND__PREFETCH", "65536", "amqp.inbound.0.prefetch"),
    ("BRIDGE_AMQP__INBOUND__PREFETCH", "many", "amqp.inbound.0.prefetch"),
    ("BRIDGE_AMQP__INBOUND__MAX_BYTES", "0", "amqp.inbound.0.max_bytes"),
    ("BRIDGE_AMQP__INBOUND", '[{"queue": "a"}, {"queue": "a"}]', "same queue"),
    ("BRIDGE_AMQP__INBOUND", "[]", "amqp.inbound"),
    ("BRIDGE_AMQP__OUTBOUND", "[]", "amqp.outbound"),
    ("BRIDGE_AMQP__OUTBOUND__EXCHANGE", "", "amqp.outbound.0.exchange"),
    ("BRIDGE_AMQP__OUTBOUND__ROUTING_KEY", "{type", "amqp.outbound.0.routing_key"),
    ("BRIDGE_AMQP__OUTBOUND__TYPES", "[]", "amqp.outbound.0.types"),
    ("BRIDGE_AMQP__DEAD_LETTER__QUEUE", "", "amqp.dead_letter.queue"),
    ("BRIDGE_AMIGO__MAX_LINE", "1023", "amigo.max_line"),
    ("BRIDGE_AMIGO__AGENT_ACTIONS", "[", "amigo.agent_actions"),
    ("BRIDGE_AMIGO__USER_ID", "", "amigo.user_id"),
    ("BRIDGE_AMIGO__USER_ID", "ünicode", "amigo.user_id"),
    ("BRIDGE_RETRY__ATTEMPTS", "0", "retry.attempts"),
    ("BRIDGE_HTTP__PORT", "65536", "http.port"),
    ("BRIDGE_HTTP__PORT", "-1", "http.port"),
    ("BRIDGE_LEDGER__URL", "mysql://x/y", "ledger.url"),
    ("BRIDGE_LEDGER__URL", "sqlite://bridge.db", "ledger.url"),
    ("BRIDGE_LEDGER__WHEN_LOST", "guess", "ledger.when_lost"),
    ("BRIDGE_LEDGER__PATIENCE", "10", "ledger.patience"),
    ("BRIDGE_LOG__FORMAT", "xml", "log.format"),
    ("BRIDGE_CHANNELS__FAX__VERSION_SET", "v", "channels.fax"),
    ("BRIDGE_CHANNELS__SMS__VERSION_SET", "a b", "channels.sms.version_set"),
    ("BRIDGE_CHANNELS__SMS__RESPONSE_FORMAT", "morse", "channels.sms.response_format"),
]


@pytest.mark.parametrize(("name", "value", "path"), BAD)
def test_a_bad_value_is_refused_at_its_path(name: str, value: str, path: str) -> None:
    assert path in refused(**{name: value})


@pytest.mark.parametrize(
    "url", ["sqlite:///bridge.db", "sqlite:////var/lib/bridge.db", "postgresql://bridge@db.example/bridge"]
)
def test_the_ledgers_addresses_are_taken(url: str) -> None:
    assert made(BRIDGE_LEDGER__URL=url)


ROUTES: list[tuple[str, str]] = [
    ("{}", "routes.0.name"),
    ('{"name": ""}', "routes.0.name"),
    ('{"name": "a/b"}', "routes.0.name"),
    ('{"name": "r", "service_id": "5F0000000000000000000001"}', "routes.0.service_id"),
    ('{"name": "r", "channel": "fax"}', "routes.0.channel"),
    ('{"name": "r", "on_busy": "panic"}', "routes.0.on_busy"),
    ('{"name": "r", "agent_actions": "("}', "agent_actions"),
    ('{"name": "r", "when": "data."}', "when"),
    ('{"name": "r", "message": "{{ data"}', "message"),
    ('{"name": "r", "user_id": "{% if %}"}', "user_id"),
    ('{"name": "r", "tags": {"k": "{{"}}', "tags.k"),
    ('{"name": "r", "tags": {"a-b": "v"}}', "a-b"),
    ('{"name": "r", "tags": {"channel": "v"}}', "reserved"),
    ('{"name": "r"}, {"name": "r"}', "same name: r"),
]


@pytest.mark.parametrize(("route", "said"), ROUTES)
def test_a_bad_route_is_refused_when_it_is_read_and_not_when_it_is_used(route: str, said: str) -> None:
    found = refused(BRIDGE_ROUTES=f"[{route}]")
    assert said in found
    assert found.startswith("routes") or "routes: " in found


def test_settings_cannot_be_changed_once_they_are_read() -> None:
    settings: Any = made()
    for part, name in ((settings, "http"), (settings.http, "port"), (settings.amqp.inbound[0], "queue")):
        with pytest.raises(ValueError, match="frozen"):
            setattr(part, name, getattr(part, name))


# --- webhooks

HOOKS: list[tuple[str, str]] = [
    ("{scheme: github, secrets: [s]}", "webhooks.0.name"),
    ("{name: a b, scheme: github, secrets: [s]}", "webhooks.0.name"),
    (f"{{name: {'a' * 41}, scheme: github, secrets: [s]}}", "webhooks.0.name"),
    ("{name: a, scheme: morse, secrets: [s]}", "webhooks.0.scheme"),
    ("{name: a, scheme: github}", "secrets or secrets_file is needed"),
    ("{name: a, scheme: github, secrets: ['']}", "webhooks.0.secrets.0"),
    ("{name: a, scheme: standard-webhooks, secrets: [ok, '!']}", "secrets.1: not of the form whsec_"),
    ("{name: a, scheme: basic, secrets: [no-colon]}", "user:password"),
    ("{name: a, scheme: none}", "insecure: true"),
    ("{name: a, scheme: twilio, secrets: [s]}", "url is needed"),
    ("{name: a, scheme: twilio, secrets: [s], url: 'https://h/p?q=1'}", "webhooks.0.url"),
    ("{name: a, scheme: hmac, secrets: [s]}", "hmac is needed"),
    ("{name: a, scheme: github, secrets: [s], hmac: {header: X}}", "for no other"),
    ("{name: a, scheme: hmac, secrets: [s], hmac: {header: 'X Y'}}", "webhooks.0.hmac.header"),
    ("{name: a, scheme: hmac, secrets: [s], hmac: {header: X, payload: '{id}'}}", "webhooks.0.hmac.payload"),
    ("{name: a, scheme: hmac, secrets: [s], hmac: {header: X, payload: '{body}{url}'}}", "webhooks.0.hmac.payload"),
    ("{name: a, scheme: hmac, secrets: [s], hmac: {header: X, payload: '{id}{body}'}}", "needs id_header"),
    ("{name: a, scheme: hmac, secrets: [s], hmac: {header: X, timestamp_header: T}}", "a time is signed"),
    ("{name: a, scheme: hmac, secrets: [s], hmac: {header: X, payload: '{timestamp}{body}'}}", "a time is signed"),
    ("{name: a, scheme: github, secrets: [s], tolerance: 0s}", "webhooks.0.tolerance"),
    ("{name: a, scheme: github, secrets: [s], rate: 0}", "webhooks.0.rate"),
    ("{name: a, scheme: github, secrets: [s], max_bytes: 2000000}", "more than the inbound takes"),
    ("{name: a, scheme: github, secrets: [s]}, {name: a, scheme: github, secrets: [s]}", "same name: a"),
]


@pytest.mark.parametrize(("hook", "said"), HOOKS)
def test_a_bad_webhook_is_refused_and_says_why(hook: str, said: str, tmp_path: Path) -> None:
    path = tmp_path / "bridge.yaml"
    path.write_text(f"webhooks: [{hook}]", encoding="utf-8")
    with pytest.raises(SettingsError) as caught:
        load(path, AMIGO)
    assert said in str(caught.value)


@pytest.mark.parametrize(("proxy", "good"), [("10.0.0.0/8", True), ("::1", True), ("10.0.0.1/8", False), ("x", False)])
def test_proxies_are_addresses_or_networks(proxy: str, good: bool) -> None:
    if good:
        assert made(BRIDGE_HTTP__TRUSTED_PROXIES=f'["{proxy}"]').http.trusted_proxies == (proxy,)
    else:
        assert "http.trusted_proxies.0" in refused(BRIDGE_HTTP__TRUSTED_PROXIES=f'["{proxy}"]')
