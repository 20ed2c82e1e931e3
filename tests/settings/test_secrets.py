"""A secret never prints: not in a repr, not in an error, wherever it stands and however wrong the rest is."""

from pathlib import Path
from typing import Any

import pytest

from bridge.settings.model import SettingsError, load, load_amqp

CANARY = "Canary4711"
AMIGO = {"AMIGO_API_KEY": CANARY, "AMIGO_API_KEY_ID": "i", "AMIGO_ORGANIZATION_ID": "o", "AMIGO_USER_ID": "u"}


def said(text: str | None, tmp_path: Path, **variables: str) -> str:
    """Everything that loading lets out: the settings' text in every form, or the errors'."""
    path = None
    if text is not None:
        path = tmp_path / "bridge.yaml"
        path.write_text(text, encoding="utf-8")
    try:
        settings: Any = load(path, {**AMIGO, **variables})
    except SettingsError as error:
        return f"{error}{error!r}{error.errors}{error.__context__ if error.__suppress_context__ is False else ''}"
    return f"{settings}{settings!r}{settings.model_dump()}{settings.model_dump_json()}"


GOOD = [
    "admin: {tokens: {ops: {token: %s-%s-%s-%s, role: operator}}}",
    "webhooks: [{name: a, scheme: amigo, secrets: [%s, %s]}]",
    "amqp: {url: 'amqp://bridge:%s@127.0.0.1/'}",
    "amqp: {url: ['amqps://bridge:%s@a.example/', 'amqps://bridge:%s@b.example/']}",
    "ledger: {url: 'postgresql://bridge:%s@db.example/bridge'}",
    "amigo: {base_url: 'https://user:%s@api.example'}",
]


@pytest.mark.parametrize("text", GOOD)
def test_settings_print_no_secret(text: str, tmp_path: Path) -> None:
    assert CANARY not in said(text.replace("%s", CANARY), tmp_path)


def test_the_secrets_are_there_all_the_same() -> None:
    assert load(None, AMIGO).amigo.api_key.get_secret_value() == CANARY


BAD = [
    "amigo: {api_key: {nested: %s}}",
    "amigo: {api_key: [%s]}",
    "amigo: {api_key: %s, base_url: nowhere}",
    "admin: {tokens: {ops: {token: [%s], role: operator}}}",
    "admin: {tokens: {ops: {token: %s, role: operator}}}",
    "admin: {token: %s}",
    "admin: {tokens: %s}",
    "admin: %s",
    "webhooks: [{name: a, scheme: amigo, secrets: %s}]",
    "webhooks: [{name: a, scheme: amigo, secret: %s}]",
    "webhooks: [{name: a b, secrets: [%s]}]",
    "ledger: {url: 'mysql://bridge:%s@db.example/'}",
    "amqp: {url: {a: %s}}",
    "amqp: {urls: 'amqp://bridge:%s@127.0.0.1/'}",
    "amqp: {url: 'amqp://bridge:%s@127.0.0.1/', inbound: [{queue: ''}]}",
    "http: {port: 99999}\namigo: {api_key: %s}",
]
BROKERS = [
    "bridge:%s@127.0.0.1",
    "http://bridge:%s@127.0.0.1/",
    "amqp://bridge:%s@far.example/",
    "amqp://bridge:%s@127.0.0.1:port/",
    "amqp://bridge:%s@127.0.0.1:99999/",
    "amqp://bridge:%s@[127.0.0.1/",
    "amqp://bridge:%s]@127.0.0.1/",
    "amqp://bridge:%s/x@127.0.0.1/",
    "amqp://bridge:%s#x@127.0.0.1/",
    "amqp://bridge:x?y%s=1@127.0.0.1/",
    "amqp://bridge:%s\u2100@127.0.0.1/",
    "amqp://bridge:%s@127.0.0.1/?heartbeat=no",
    "amqp://bridge:x@127.0.0.1/?password=%s",
    "%s",
]
UNREADABLE = [
    "amigo: {api_key: *%s}",
    "amigo: {api_key: !%s x}",
    "amigo: {api_key: !!int %s}",
    "amigo: {api_key: '%s}",
    'amigo: {api_key: "\\%s"}',
    "amigo:\n  api_key: @%s",
    "amigo:\n  api_key: %%s",
    "amigo:\n  api_key: %s: x",
    "amigo:\n  api_key: %s\n x: y",
    "amigo: {api_key: %s",
    "amigo:\n  api_key: |%s\n",
]


@pytest.mark.parametrize("text", BAD)
def test_errors_print_no_secret(text: str, tmp_path: Path) -> None:
    assert CANARY not in said(text.replace("%s", CANARY), tmp_path)


@pytest.mark.parametrize("url", BROKERS)
def test_a_broken_address_prints_no_password(url: str, tmp_path: Path) -> None:
    found = said(None, tmp_path, BRIDGE_AMQP__URL=url.replace("%s", CANARY))
    assert found.startswith("amqp")
    assert CANARY not in found
    with pytest.raises(SettingsError) as caught:
        load_amqp(None, {"BRIDGE_AMQP__URL": url.replace("%s", CANARY)})
    assert CANARY not in str(caught.value)


@pytest.mark.parametrize("text", UNREADABLE)
def test_a_broken_file_prints_no_secret(text: str, tmp_path: Path) -> None:
    found = said(text.replace("%s", CANARY), tmp_path)
    assert "not YAML" in found
    assert CANARY not in found


def test_the_api_key_of_the_environment_prints_in_no_error(tmp_path: Path) -> None:
    assert CANARY not in said("http: {port: 99999}", tmp_path, BRIDGE_AMIGO__API_KEY=CANARY, BRIDGE_NO__X=CANARY)
