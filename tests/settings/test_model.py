"""The configuration: every shipped file loads, all errors come at once with their paths, and who overrides whom."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, get_args

import pytest

from bridge.core.duration import seconds
from bridge.core.event.channel import CHANNELS
from bridge.core.event.event_fields import VERSION_SET
from bridge.settings.model import Settings, SettingsError, load, load_amqp
from bridge.settings.sources import VARIABLE
from bridge.settings.types import ChannelName
from tests.house.source import ROOT

AMIGO = {
    "AMIGO_API_KEY": "key-of-the-tests",
    "AMIGO_API_KEY_ID": "key-id",
    "AMIGO_ORGANIZATION_ID": "acme",
    "AMIGO_USER_ID": "user-0",
}
SECRET = "whsec_ZXhhbXBsZSBvZiBhIHNlY3JldA"
VALUES = {"CRM_USER_AND_PASSWORD": "crm:password"}
SHIPPED = sorted((ROOT / "config").glob("*.y*ml"))


@pytest.fixture
def file(tmp_path: Path) -> Any:
    def write(text: str) -> Path:
        path = tmp_path / "bridge.yaml"
        path.write_text(text, encoding="utf-8")
        return path

    return write


def errors(path: Path | None, environment: Mapping[str, str] = AMIGO) -> list[str]:
    with pytest.raises(SettingsError) as caught:
        load(path, environment)
    assert str(caught.value) == "\n".join(caught.value.errors)
    return caught.value.errors


def env(**variables: str) -> dict[str, str]:
    return {**AMIGO, **variables}


# --- what is shipped


def test_there_are_shipped_files_and_the_reference_is_one_of_them() -> None:
    assert ROOT / "config" / "bridge.yaml" in SHIPPED


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.name)
def test_every_shipped_file_loads(path: Path) -> None:
    named = (name for name, _ in VARIABLE.findall(path.read_text(encoding="utf-8")))
    told = {**AMIGO, **{name: VALUES.get(name, SECRET) for name in named}}
    assert load(path, told).amigo.organization_id == "acme"
    assert load_amqp(path, {}) == load(path, told).amqp


def test_no_shipped_file_has_a_secret_of_its_own() -> None:
    """Somebody would run with it."""
    for path in SHIPPED:
        secrets = re.findall(r"secrets: (\[.*\])", path.read_text(encoding="utf-8"))
        assert all(re.fullmatch(r'\[("\$\{[A-Z_]+\}"(, )?)+\]', found) for found in secrets), path


def test_the_reference_names_every_key_there_is_with_its_default() -> None:
    text = (ROOT / "config" / "bridge.yaml").read_text(encoding="utf-8")
    parts = Settings.model_json_schema()["$defs"].values()
    keys = {*Settings.model_fields, *(key for part in parts for key in part.get("properties", {}))}
    assert {key for key in keys if key not in text} == set()
    examples = {"channels", "routes", "webhooks"}
    shipped, default = load(ROOT / "config" / "bridge.yaml", AMIGO), load(None, AMIGO)
    assert shipped.model_dump(exclude=examples) == default.model_dump(exclude=examples)


def test_the_environment_alone_is_enough() -> None:
    settings = load(None, AMIGO)
    assert settings.amigo.api_key.get_secret_value() == "key-of-the-tests"
    assert settings.amqp.inbound[0].queue == "bridge.events"


def test_the_defaults_are_those_of_the_design() -> None:
    made = load(None, AMIGO)
    inbound, outbound = made.amqp.inbound[0], made.amqp.outbound[0]
    assert (inbound.exchange, inbound.queue, inbound.bindings) == ("bridge.events", "bridge.events", ("#",))
    assert (inbound.prefetch, inbound.max_bytes) == (500, 1024 * 1024)
    assert (outbound.exchange, outbound.routing_key) == ("agent.events", "{channel_type}.{channel}.{type}")
    assert (outbound.types, outbound.required, outbound.format) == (("*",), False, "raw")
    assert (made.amqp.dead_letter.exchange, made.amqp.dead_letter.queue) == ("bridge.dead", "bridge.dead")
    assert (made.amqp.delay.exchange, inbound.single_active) == ("bridge.delay", False)
    assert (made.amqp.declare, made.amqp.consumer_timeout) == (True, 1800.0)
    assert (made.amigo.base_url, made.amigo.longest, made.amigo.settle) == ("https://api.amigo.ai", 900.0, 2.0)
    assert made.amigo.max_line == 4 * 1024 * 1024
    assert (made.retry.attempts, made.retry.first, made.retry.longest) == (6, 1.0, 600.0)
    assert (made.ledger.keep, made.shutdown.grace) == (7 * 86400.0, 30.0)
    assert (made.ledger.when_lost, made.ledger.patience) == ("hold", 10.0)
    assert (made.http.host, made.http.port, made.log.level) == ("127.0.0.1", 8080, "info")


def test_the_names_of_channels_are_the_cores() -> None:
    assert set(get_args(ChannelName)) == set(CHANNELS)
    assert VERSION_SET.fullmatch("release")


# --- where the ledger is


@pytest.mark.parametrize(
    ("url", "place"),
    [
        (None, "{folder}/bridge.db"),
        ("sqlite:///deep/../other.db", "{folder}/deep/../other.db"),
        ("sqlite:////var/lib/b.db", "/var/lib/b.db"),
    ],
)
@pytest.mark.parametrize("by_environment", [False, True])
@pytest.mark.parametrize("named", ["absolute", "relative"])
def test_a_sqlite_file_counts_from_the_folder_of_the_configuration_file(
    file: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    url: str | None,
    place: str,
    by_environment: bool,
    named: str,
) -> None:
    """However that file is named, and wherever the process is started."""
    variables = dict(AMIGO)
    in_file = f"ledger: {{url: '{url}'}}" if url and not by_environment else "{}"
    variables |= {"BRIDGE_LEDGER__URL": url} if url and by_environment else {}
    path, elsewhere = file(in_file), tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    made = load(path if named == "absolute" else Path("..") / path.name, variables)
    found = Path(made.ledger.url.get_secret_value().removeprefix("sqlite:///"))
    assert found.is_absolute()
    assert found.resolve() == Path(place.format(folder=tmp_path)).resolve()


def test_without_a_file_it_counts_from_where_the_default_one_would_be(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for variables, place in ((AMIGO, "bridge.db"), (env(BRIDGE_LEDGER__URL="sqlite:///a/b.db"), "a/b.db")):
        assert load(None, variables).ledger.url.get_secret_value() == f"sqlite:///{tmp_path}/config/{place}"


# --- who wins


def test_bridge_wins_over_amigo_wins_over_the_file(file: Any) -> None:
    path = file("amigo: {user_id: of-file, api_key_id: of-file, organization_id: of-file, api_key: of-file}")
    amigo = {"AMIGO_USER_ID": "of-amigo", "AMIGO_API_KEY_ID": "of-amigo"}
    made = load(path, {**amigo, "BRIDGE_AMIGO__USER_ID": "of-bridge"}).amigo
    assert (made.user_id, made.api_key_id, made.organization_id) == ("of-bridge", "of-amigo", "of-file")


def test_the_environment_overrides_single_keys_and_leaves_the_rest(file: Any) -> None:
    path = file("http: {host: 0.0.0.0, port: 1}\nretry: {attempts: 2}\nchannels: {phone: {response_format: voice}}")
    made = load(path, env(BRIDGE_HTTP__PORT="8081", BRIDGE_CHANNELS__PHONE__VERSION_SET="v", BRIDGE_LOG__LEVEL="debug"))
    assert (made.http.host, made.http.port, made.retry.attempts, made.log.level) == ("0.0.0.0", 8081, 2, "debug")
    assert (made.channels["phone"].response_format, made.channels["phone"].version_set) == ("voice", "v")


@pytest.mark.parametrize(("text", "expected"), [("false", False), ("true", True), ("0", False), ("1", True)])
def test_the_environments_words_for_yes_and_no_are_understood(text: str, expected: bool) -> None:
    assert load(None, env(BRIDGE_AMQP__DECLARE=text)).amqp.declare is expected


def test_lists_and_maps_in_the_environment_are_json() -> None:
    made = load(
        None,
        env(
            BRIDGE_AMQP__INBOUND='[{"queue": "a"}, {"queue": "b", "bindings": ["x.#", "y"]}]',
            BRIDGE_AMQP__URL='["amqp://127.0.0.1/", "amqp://localhost:5673/"]',
            BRIDGE_ROUTES='[{"name": "r", "tags": {"source": "s"}}]',
            BRIDGE_CHANNELS='{"sms": {"version_set": "v"}}',
        ),
    )
    assert [inbound.queue for inbound in made.amqp.inbound] == ["a", "b"]
    assert made.amqp.inbound[1].bindings == ("x.#", "y")
    assert len(made.amqp.url) == 2
    assert made.routes[0].tags == {"source": "s"}
    assert made.channels["sms"].version_set == "v"


def test_text_that_only_begins_like_json_stays_text() -> None:
    outbound = load(None, env(BRIDGE_AMQP__OUTBOUND__ROUTING_KEY="{channel}.{type}")).amqp.outbound[0]
    assert outbound.routing_key == "{channel}.{type}"


def test_an_inbound_is_a_map_or_a_list_of_maps(file: Any) -> None:
    one = load(file("amqp: {inbound: {queue: a}}"), AMIGO).amqp.inbound
    many = load(file("amqp: {inbound: [{queue: a}, {queue: b}]}"), AMIGO).amqp.inbound
    assert [len(one), len(many)] == [1, 2]
    assert one[0] == many[0]


# --- variables in values


def test_variables_are_filled_in_wherever_they_stand(file: Any) -> None:
    path = file('amigo: {user_id: "${A}-${B:-b}${C:-}${A:-x}"}\nroutes: [{name: "${A}", tags: {source: "${A}"}}]')
    made = load(path, {"A": "a", **{name: value for name, value in AMIGO.items() if name != "AMIGO_USER_ID"}})
    assert made.amigo.user_id == "a-ba"
    assert (made.routes[0].name, made.routes[0].tags["source"]) == ("a", "a")


def test_an_empty_variable_takes_the_default_as_in_a_shell(file: Any) -> None:
    assert load(file('http: {host: "${A:-localhost}"}'), env(A="")).http.host == "localhost"


def test_every_unset_variable_is_an_error_at_its_path(file: Any) -> None:
    path = file('http: {host: "${NO_HOST}"}\nroutes: [{name: r, message: "${NO_MESSAGE}"}]')
    assert errors(path) == [
        "http.host: the variable NO_HOST is not set",
        "routes.0.message: the variable NO_MESSAGE is not set",
    ]


def test_a_variables_value_is_not_filled_in_again(file: Any) -> None:
    assert load(file('http: {host: "${A}"}'), env(A="${B}")).http.host == "${B}"


# --- all errors at once


def test_all_errors_come_at_once_each_with_its_path(file: Any) -> None:
    path = file(
        "htpp: {port: 1}\n"
        "http: {port: 99999, hosst: x}\n"
        "retry: {first: 10}\n"
        "amqp: {inbound: [{queue: a, prefetch: 0}], outbound: [{format: xml}]}\n"
        "channels: {fax: {}}\n"
        'routes: [{name: a, service_id: x}, {name: b, when: "((", message: "${NO}"}]\n'
        "log: {level: loud}\n"
    )
    found = errors(path, {"BRIDGE_NOWHERE__KEY": "1", "AMIGO_API_KEY": "k"})
    expected = {
        "routes.1.message: the variable NO is not set",
        "BRIDGE_NOWHERE__KEY: there is no section nowhere",
        "htpp: unknown key",
        "http.hosst: unknown key",
    }
    assert expected <= set(found)
    for start in (
        "http.port: ",
        "retry.first: not a duration",
        "amqp.inbound.0.prefetch: ",
        "amqp.outbound.0.format: ",
        "channels.fax",
        "routes.0.service_id: ",
        "routes.1.when: ",
        "log.level: ",
        "amigo.organization_id: ",
        "amigo.api_key_id: ",
    ):
        assert any(line.startswith(start) for line in found), (start, found)
    assert len(found) == len(set(found))


def test_what_does_not_fit_together_is_told_beside_what_is_bad_in_itself(file: Any) -> None:
    """All of them: a bad port must not hide that the consumer time-out is too short, or the other way round."""
    found = errors(
        file("http: {port: 99999}\namqp: {consumer_timeout: 1m}\nroutes: [{name: a}, {name: a}]"),
    )
    assert any(line.startswith("http.port") for line in found)
    assert any("consumer_timeout" in line for line in found)
    assert any("same name" in line for line in found)


def test_a_bad_address_is_told_beside_a_missing_key_of_its_section(file: Any) -> None:
    found = errors(file("amigo: {base_url: 'ftp://x'}"), {"AMIGO_API_KEY": "k", "AMIGO_ORGANIZATION_ID": "o"})
    assert any("api_key_id" in line for line in found)
    assert any("base_url" in line for line in found)


def test_unknown_variables_are_errors_only_where_they_have_two_underscores() -> None:
    assert load(None, env(BRIDGE_ANYTHING="1", BRIDGE_="1", BRIDGELESS__X="1"))
    assert errors(None, env(BRIDGE_HTPP__PORT="1")) == ["BRIDGE_HTPP__PORT: there is no section htpp"]
    assert errors(None, env(BRIDGE_HTTP__PRT="1")) == ["http.prt: unknown key"]


@pytest.mark.parametrize("text", ["_env_file: x", "_cli_parse_args: true", "_secrets_dir: x", "model_config: {}"])
def test_no_word_at_the_top_is_taken_for_anything_but_a_section(text: str, file: Any) -> None:
    assert errors(file(text)) == [f"{text.split(':')[0]}: unknown key"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("http: {port", "line 1: not YAML"),
        ("a: b\n\tc: d", "line 2: not YAML"),
        ("- a", "not a mapping of sections"),
        ("text", "not a mapping of sections"),
        ("a: 2024-13-45", "not YAML"),
        ("a: !!int x", "not YAML"),
        ("a: &x [*x]", "not YAML"),
        ("a: " + "[" * 600, "not YAML"),
        ("a: \x00", "not YAML"),
    ],
    ids=lambda text: text[:12],
)
def test_a_file_that_is_no_configuration_is_one_error_with_its_name(text: str, said: str, file: Any) -> None:
    path = file(text)
    found = errors(path)
    assert found[0].startswith(str(path))
    assert said in found[0]


def test_a_file_that_cannot_be_read_is_an_error_with_its_name(tmp_path: Path) -> None:
    assert errors(tmp_path / "none.yaml")[0].startswith(f"{tmp_path / 'none.yaml'}: cannot be read")
    latin = tmp_path / "latin.yaml"
    latin.write_bytes(b"log: {level: \xfc}")
    assert "cannot be read" in errors(latin)[0]


@pytest.mark.parametrize("text", ["", "# nothing", "---", "null"])
def test_an_empty_file_is_a_configuration(text: str, file: Any) -> None:
    assert load(file(text), AMIGO).http.port == 8080


@pytest.mark.parametrize("section", ["amqp", "amigo", "http", "routes", "channels", "retry", "log"])
@pytest.mark.parametrize("value", ["text", "5", "true"])
def test_a_section_of_another_form_is_an_error_at_its_name(section: str, value: str, file: Any) -> None:
    found = errors(file(f"{section}: {value}"), {} if section == "amigo" else AMIGO)
    assert any(line.startswith((f"{section}: ", f"{section}.")) for line in found)


# --- durations


@pytest.mark.parametrize(
    ("text", "expected"),
    [("250ms", 0.25), ("1.5s", 1.5), ("10m", 600.0), ("24h", 86400.0), ("7d", 604800.0), (" 2s ", 2.0), ("0s", 0.0)],
)
def test_durations_are_read(text: str, expected: float) -> None:
    assert seconds(text) == pytest.approx(expected)


@pytest.mark.parametrize(
    "value", [10, 1.5, "10", "", "s", "-1s", "1 s", "1S", "1w", "1.s", ".5s", "1e3s", "1s1s", None, True]
)
def test_what_is_no_duration_says_how_to_write_one(value: object) -> None:
    with pytest.raises(ValueError, match=r"250ms, 1\.5s, 10m, 24h or 7d"):
        seconds(value)


# --- the section of the broker alone


def test_commands_that_need_the_broker_alone_need_no_credentials(file: Any) -> None:
    path = file("amqp: {inbound: {queue: mine}}\nhttp: {port: 99999}\namigo: {base_url: '${NO}'}")
    assert load_amqp(path, {"BRIDGE_NOWHERE__X": "1"}).inbound[0].queue == "mine"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("amqp: {url: '${NO}'}", "amqp.url: the variable NO is not set"),
        ("amqp: {prefetch: 1}", "amqp.prefetch: unknown key"),
        ("amqp: {inbound: {prefetch: 0}}", "amqp.inbound.0.prefetch: "),
        ("amqp: text", "amqp: "),
        ("amqp: [1]", "amqp: "),
        ("amqp: {", "not YAML"),
    ],
)
def test_they_hear_of_the_brokers_errors_all_the_same(text: str, said: str, file: Any) -> None:
    with pytest.raises(SettingsError) as caught:
        load_amqp(file(text), {})
    assert said in str(caught.value)
