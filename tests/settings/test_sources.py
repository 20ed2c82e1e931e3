"""Where the configuration comes from: file, variables in it, environment over it; all that is wrong, at once."""

from pathlib import Path
from typing import Any

import pytest

from bridge.settings.sources import Found, read

SECTIONS = frozenset({"amqp", "amigo", "http", "routes"})


def found(folder: Path, text: str | bytes | None, **environment: str) -> Found:
    path = folder / "bridge.yaml"
    if text is not None:
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return read(path if text is not None else None, environment, SECTIONS)


def values(folder: Path, text: str | None, **environment: str) -> dict[str, Any]:
    result = found(folder, text, **environment)
    assert result.faults == []
    return result.values


def test_nothing_is_nothing(tmp_path: Path) -> None:
    assert values(tmp_path, None) == {}
    assert values(tmp_path, "") == {}
    assert values(tmp_path, "# only a comment\n") == {}


def test_bridge_wins_over_amigo_wins_over_the_file(tmp_path: Path) -> None:
    text = "amigo: {api_key: file, user_id: file, base_url: file}"
    both = {"AMIGO_API_KEY": "amigo", "AMIGO_USER_ID": "amigo", "BRIDGE_AMIGO__API_KEY": "bridge"}
    assert values(tmp_path, text, **both) == {"amigo": {"api_key": "bridge", "user_id": "amigo", "base_url": "file"}}


def test_every_variable_of_the_apis_own_sdk_is_known(tmp_path: Path) -> None:
    names = ("API_KEY", "API_KEY_ID", "USER_ID", "ORGANIZATION_ID", "BASE_URL")
    assert values(tmp_path, None, **{f"AMIGO_{name}": name for name in names}) == {
        "amigo": {name.lower(): name for name in names}
    }


def test_an_empty_variable_of_the_sdk_counts_as_unset(tmp_path: Path) -> None:
    assert values(tmp_path, "amigo: {api_key: file}", AMIGO_API_KEY="") == {"amigo": {"api_key": "file"}}


def test_lists_and_maps_are_json_and_everything_else_is_text(tmp_path: Path) -> None:
    environment = {
        "BRIDGE_HTTP__PORT": "8081",
        "BRIDGE_AMQP__URL": '["amqp://a", "amqp://b"]',
        "BRIDGE_AMQP__INBOUND": '{"queue": "q"}',
        "BRIDGE_ROUTES": "[]",
        "BRIDGE_AMIGO__API_KEY": "{not json",
    }
    assert values(tmp_path, None, **environment) == {
        "http": {"port": "8081"},
        "amqp": {"url": ["amqp://a", "amqp://b"], "inbound": {"queue": "q"}},
        "routes": [],
        "amigo": {"api_key": "{not json"},
    }


def test_variables_are_filled_in_wherever_they_stand(tmp_path: Path) -> None:
    text = 'amqp: {url: "amqp://${USER}:${PASS}@h/${VHOST:-main}", list: ["${USER}", 5, true, null]}'
    assert values(tmp_path, text, USER="u", PASS="p$x{y}") == {
        "amqp": {"url": "amqp://u:p$x{y}@h/main", "list": ["u", 5, True, None]}
    }


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("${A:-}", ""),
        ("${A:-b c}", "b c"),
        ("${EMPTY:-default}", "default"),
        ("${EMPTY}", ""),
        ("$A ${ A } {A}", "$A ${ A } {A}"),
        ("${X}${X}", "xx"),
    ],
)
def test_defaults_of_variables(tmp_path: Path, text: str, value: str) -> None:
    assert values(tmp_path, f"http: {{host: '{text}'}}", X="x", EMPTY="") == {"http": {"host": value}}


def test_what_a_variable_holds_is_not_looked_through_again(tmp_path: Path) -> None:
    assert values(tmp_path, "http: {host: '${X}'}", X="${Y}") == {"http": {"host": "${Y}"}}


def test_every_unset_variable_is_named_with_its_path(tmp_path: Path) -> None:
    text = "amqp: {url: '${ONE}'}\nroutes: [{name: a}, {name: '${TWO}-${THREE}'}]"
    faults = found(tmp_path, text).faults
    assert [str(fault) for fault in faults] == [
        "amqp.url: the variable ONE is not set",
        "routes.1.name: the variable TWO is not set",
        "routes.1.name: the variable THREE is not set",
    ]


def test_an_unknown_section_is_an_error_only_where_the_name_has_two_underscores(tmp_path: Path) -> None:
    faults = found(tmp_path, None, BRIDGE_AMPQ__URL="x", BRIDGE_HOME="/", BRIDGE="x", OTHER__THING="x").faults
    assert [(fault.section, fault.where) for fault in faults] == [("ampq", "BRIDGE_AMPQ__URL")]


@pytest.mark.parametrize(
    "text",
    [
        b"a: [1, 2",
        b"a: b: c",
        b"\xff\xfe\x00",
        b"a: \x00",
        b"- a list",
        b"just text",
        b"a: *unknown",
        b"a: !!python/object/apply:os.system ['true']",
        b"http: {since: 2020-13-45}",
        b"a: !!int x",
        b"[" * 3000,
        b"? {a: b}\n: c",
        b"{[1, 2]: x}",
    ],
)
def test_a_file_that_cannot_be_used_is_an_error_that_names_it(tmp_path: Path, text: bytes) -> None:
    result = found(tmp_path, text)
    if text == b"? {a: b}\n: c" and not result.faults:
        pytest.fail("a key that is a mapping was taken")
    assert result.faults
    assert result.faults[0].section is None
    assert "bridge.yaml" in result.faults[0].where


def test_a_file_that_is_not_there_is_an_error_that_names_it(tmp_path: Path) -> None:
    for path in (tmp_path / "none.yaml", tmp_path):
        (fault,) = read(path, {}, SECTIONS).faults
        assert (fault.section, fault.where) == (None, str(path))


def test_errors_show_no_values(tmp_path: Path) -> None:
    text = "amigo: {api_key: canary-secret, user_id: '${UNSET}'}\nbad: [canary-secret"
    for given in (text, text.splitlines()[0]):
        assert "canary" not in repr(found(tmp_path, given, BRIDGE_ODD__KEY="canary").faults)
