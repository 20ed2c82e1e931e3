"""White space around secrets, ids and addresses is an accident; what cannot be seen inside, or sent, is named."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from bridge.settings.model import Settings, SettingsError, load
from bridge.settings.values import credentials_of, keyring_of

AMIGO = {
    "AMIGO_API_KEY": "canary-key",
    "AMIGO_API_KEY_ID": "key-id",
    "AMIGO_ORGANIZATION_ID": "acme",
    "AMIGO_USER_ID": "user-0",
}
ACCIDENTS = ["{}\n", "{}\r\n", " {}", "{}\t", "\n{}\n\n"]
UNSEEN = ["\n", "\t", "\x01", "\x1b", "\x7f", "\u200b", "\ufeff", "\u2028"]
KEYS = {
    "api_key": "canary-key",
    "api_key_id": "key-id",
    "organization_id": "acme",
    "user_id": "user-0",
    "token_organization_id": "issuer",
    "mongo_cluster": "cluster-1",
    "base_url": "https://api.example",
}
SECRETS = {
    "standard-webhooks": "whsec_Y2FuYXJ5",
    "amigo": "canary-secret",
    "github": "canary pass phrase",
    "hmac": "canary pass phrase",
    "bearer": "canary-token",
    "basic": "user:canary word",
    "slack": "0123456789abcdef",
}
FORMS: dict[str, Any] = {"hmac": {"hmac": {"header": "X-Signature"}}}


@pytest.fixture
def file(tmp_path: Path) -> Any:
    def write(config: Mapping[str, Any]) -> Path:
        path = tmp_path / "bridge.yaml"
        path.write_text(yaml.safe_dump(dict(config), allow_unicode=True), encoding="utf-8")
        return path

    return write


def errors(path: Path | None, environment: Mapping[str, str]) -> list[str]:
    with pytest.raises(SettingsError) as caught:
        load(path, environment)
    assert "canary" not in str(caught.value)
    return caught.value.errors


def hook(scheme: str, **fields: Any) -> dict[str, Any]:
    return {"webhooks": [{"name": "h", "scheme": scheme, **FORMS.get(scheme, {}), **fields}]}


def key_in(settings: Settings, key: str) -> object:
    return getattr(credentials_of(settings), key)


@pytest.mark.parametrize("accident", ACCIDENTS)
@pytest.mark.parametrize("key", KEYS)
def test_white_space_around_what_the_api_gets_is_taken_away(file: Any, key: str, accident: str) -> None:
    spaced = accident.format(KEYS[key])
    clean = load(None, {**AMIGO, f"BRIDGE_AMIGO__{key.upper()}": KEYS[key]})
    assert key_in(clean, key) == KEYS[key]
    others = {name: value for name, value in AMIGO.items() if name.removeprefix("AMIGO_").lower() != key}
    for amigo, environment in (
        ({}, {f"BRIDGE_AMIGO__{key.upper()}": spaced}),
        ({key: spaced}, {}),
        ({key: "${VALUE}"}, {"VALUE": spaced}),
    ):
        assert key_in(load(file({"amigo": amigo}), {**others, **environment}), key) == KEYS[key]


@pytest.mark.parametrize("accident", ACCIDENTS)
@pytest.mark.parametrize("name", AMIGO)
def test_so_it_is_in_the_apis_own_variables(name: str, accident: str) -> None:
    assert load(None, {**AMIGO, name: accident.format(AMIGO[name])}) == load(None, AMIGO)


@pytest.mark.parametrize("name", ["AMIGO_API_KEY", "AMIGO_API_KEY_ID"])
def test_a_variable_of_nothing_but_white_space_is_not_set(name: str) -> None:
    assert any(name.removeprefix("AMIGO_").lower() in error for error in errors(None, {**AMIGO, name: "\r\n"}))
    assert any(name.removeprefix("AMIGO_").lower() in error for error in errors(None, {**AMIGO, name: " \t"}))


@pytest.mark.parametrize("unseen", UNSEEN)
@pytest.mark.parametrize("key", KEYS)
def test_what_cannot_be_seen_inside_is_named_by_its_path_and_not_shown(key: str, unseen: str) -> None:
    value = KEYS[key]
    broken = f"{value[:3]}{unseen}{value[3:]}"
    (error,) = errors(None, {**AMIGO, f"BRIDGE_AMIGO__{key.upper()}": broken})
    assert error.startswith(f"amigo.{key}: ")


@pytest.mark.parametrize("key", ["api_key", "api_key_id", "user_id"])
@pytest.mark.parametrize("value", ["schlüssel", "密鑰", "key\udcff"])
def test_what_no_header_can_carry_is_named(key: str, value: str) -> None:
    assert any(
        error.startswith(f"amigo.{key}: ") for error in errors(None, {**AMIGO, f"BRIDGE_AMIGO__{key.upper()}": value})
    )


@pytest.mark.parametrize("path", ["amigo.agent_actions", "http.host", "ledger.url"])
def test_nul_and_bytes_that_are_no_text_are_named_wherever_they_stand(file: Any, path: str, tmp_path: Path) -> None:
    section, key = path.split(".")
    source = tmp_path / "nul.yaml"
    source.write_text(f'{section}: {{{key}: "sqlite:///a\\0b"}}')
    assert any(error.startswith(f"{path}: ") for error in errors(source, AMIGO))


@pytest.mark.parametrize("accident", ACCIDENTS)
@pytest.mark.parametrize("scheme", SECRETS)
def test_white_space_around_a_webhooks_secret_is_taken_away(
    file: Any, tmp_path: Path, scheme: str, accident: str
) -> None:
    spaced = accident.format(SECRETS[scheme])
    listed = tmp_path / "secrets"
    listed.write_text(f"# a comment\n  # another\n{spaced}\n", encoding="utf-8", newline="")
    clean = keyring_of(load(file(hook(scheme, secrets=[SECRETS[scheme]])), AMIGO)).keys("h")
    for fields, environment in (
        ({"secrets": [spaced]}, {}),
        ({"secrets": ["${SECRET}"]}, {"SECRET": spaced}),
        ({"secrets_file": str(listed)}, {}),
    ):
        assert keyring_of(load(file(hook(scheme, **fields)), {**AMIGO, **environment})).keys("h") == clean


@pytest.mark.parametrize("scheme", SECRETS)
@pytest.mark.parametrize("unseen", ["\x01", "\x1b", "\u200b", "\ufeff"])
def test_a_webhooks_secret_with_what_cannot_be_seen_is_named(
    file: Any, tmp_path: Path, scheme: str, unseen: str
) -> None:
    secret = f"{SECRETS[scheme][:9]}{unseen}{SECRETS[scheme][9:]}"
    listed = tmp_path / "secrets"
    listed.write_text(f"# a comment\n{secret}\n", encoding="utf-8")
    (error,) = errors(file(hook(scheme, secrets=["good" if scheme != "basic" else "a:b", secret])), AMIGO)
    assert error.startswith("webhooks.0: ")
    assert "secrets.1: " in error
    (error,) = errors(file(hook(scheme, secrets_file=str(listed))), AMIGO)
    assert error.startswith("webhooks.0: secrets_file: ")


def test_a_secrets_file_of_another_machine_is_read_or_named(file: Any, tmp_path: Path) -> None:
    listed = tmp_path / "secrets"
    config = file(hook("github", secrets_file=str(listed)))
    assert keyring_of(load(config, AMIGO)).keys("h") == ()  # it may come later
    listed.write_bytes(b"\xef\xbb\xbfcanary one\r\ncanary two\r\n")
    assert keyring_of(load(config, AMIGO)).keys("h") == (b"canary one", b"canary two")
    for content, said in (
        ("canary".encode("utf-16"), "UTF-8"),
        (b"canary\xff\n", "UTF-8"),
        (b"good\ncanary until tomorrow\n", "line 2: "),
        (b"good\n\n# x\ncan\x07ary\n", "line 4: "),
    ):
        listed.write_bytes(content)
        (error,) = errors(config, AMIGO)
        assert said in error


BROKER = "amqp://bridge:canary@127.0.0.1:5672/"


@pytest.mark.parametrize("accident", ACCIDENTS)
def test_white_space_around_the_brokers_address_user_and_password_is_taken_away(file: Any, accident: str) -> None:
    clean = load(None, {**AMIGO, "BRIDGE_AMQP__URL": BROKER}).amqp.url
    assert load(None, {**AMIGO, "BRIDGE_AMQP__URL": accident.format(BROKER)}).amqp.url == clean
    parts = file({"amqp": {"url": ["amqp://${WHO}:${WORD}@127.0.0.1:5672/"]}})
    environment = {**AMIGO, "WHO": accident.format("bridge"), "WORD": accident.format("canary")}
    assert [url.get_secret_value() for url in load(parts, environment).amqp.url] == [BROKER]


def test_a_password_keeps_the_blanks_that_are_written_as_such() -> None:
    for url in ("amqp://bridge:%20a%20b%20@127.0.0.1/", "amqp://bridge:a b@127.0.0.1/"):
        assert load(None, {**AMIGO, "BRIDGE_AMQP__URL": url}).amqp.url[0].get_secret_value() == url


@pytest.mark.parametrize("bad", ["can\nary", "can\x01ary", "can\tary", "canary%0A", "canary%00", "can%1bary"])
def test_a_brokers_password_with_what_cannot_be_seen_is_named(bad: str) -> None:
    (error,) = errors(None, {**AMIGO, "BRIDGE_AMQP__URL": f"amqp://bridge:{bad}@127.0.0.1/"})
    assert error.startswith("amqp.url.0: ")


@pytest.mark.parametrize("host", ["a..b", "a" * 64 + ".example", "exa mple", "a,b", "*"])
@pytest.mark.parametrize("name", ["BRIDGE_AMQP__URL", "AMIGO_BASE_URL"])
def test_a_name_that_cannot_be_looked_up_is_named(name: str, host: str) -> None:
    scheme = "amqps://bridge:canary@" if "AMQP" in name else "https://"
    (error,) = errors(None, {**AMIGO, name: f"{scheme}{host}/"})
    assert error.startswith(("amqp.url.0: ", "amigo.base_url: "))


@pytest.mark.parametrize("url", ["https://api.example?x=1", "https://api.example/#a", "https://api.example/a b"])
def test_an_address_of_the_api_that_no_path_can_follow_is_named(url: str) -> None:
    (error,) = errors(None, {**AMIGO, "AMIGO_BASE_URL": url})
    assert error.startswith("amigo.base_url: ")


@pytest.mark.parametrize("value", ["0s", "0ms", "1ms"])
@pytest.mark.parametrize("key", ["first", "longest"])
def test_a_back_off_of_nothing_is_named(key: str, value: str) -> None:
    (error,) = errors(None, {**AMIGO, f"BRIDGE_RETRY__{key.upper()}": value})
    assert error.startswith(f"retry.{key}: ")
