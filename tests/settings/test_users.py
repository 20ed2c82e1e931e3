"""Users by e-mail, and version sets by weight, as configuration."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from bridge.core.event.user import UserRules
from bridge.settings.model import Settings, SettingsError, load, load_reading
from bridge.settings.values import user_rules_of

SERVICE = "5f0000000000000000000001"
AMIGO = {
    "AMIGO_API_KEY": "secret",
    "AMIGO_API_KEY_ID": "key-id",
    "AMIGO_ORGANIZATION_ID": "acme",
    "AMIGO_USER_ID": "user-0",
}
NAMES = {"first_name": "{{ data.first }}", "last_name": "{{ data.last }}"}


def settings(tmp_path: Path, route: dict[str, Any], environment: dict[str, str] | None = None, **more: Any) -> Settings:
    path = tmp_path / "bridge.yaml"
    path.write_text(yaml.safe_dump({"routes": [{"name": "r", "service_id": SERVICE, **route}], **more}))
    return load(path, AMIGO if environment is None else environment)


def test_a_route_names_the_user_by_templates(tmp_path: Path) -> None:
    loaded = settings(tmp_path, {"user": {"email": "{{ data.email }}", "create": {**NAMES, "timezone": "UTC"}}})
    assert loaded.routes[0].route().user == {
        "email": "{{ data.email }}",
        "create.first_name": "{{ data.first }}",
        "create.last_name": "{{ data.last }}",
        "create.role_name": "DefaultUserRole",
        "create.timezone": "UTC",
    }
    assert settings(tmp_path, {"user": {"email": "a@example.com"}}).routes[0].route().user == {"email": "a@example.com"}
    assert settings(tmp_path, {}).routes[0].route().user == {}


@pytest.mark.parametrize(
    ("user", "fault"),
    [
        ({}, "routes.0.user.email"),
        ({"email": "{{ data."}, "routes.0.user.email: not a Jinja template"),
        ({"email": "x", "name": "y"}, "routes.0.user.name: unknown key"),
        ({"email": "x", "create": {}}, "routes.0.user.create.first_name"),
        ({"email": "x", "create": {**NAMES, "timezone": "{% if"}}, "routes.0.user.create.timezone: not a Jinja"),
        ({"email": "x", "create": {**NAMES, "admin": "yes"}}, "routes.0.user.create.admin: unknown key"),
    ],
)
def test_a_user_that_is_none_is_named_with_its_path(tmp_path: Path, user: dict[str, Any], fault: str) -> None:
    with pytest.raises(SettingsError) as raised:
        settings(tmp_path, {"user": user})
    assert any(error.startswith(fault) for error in raised.value.errors), raised.value.errors


def test_a_route_has_one_name_for_its_user(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="user_id and user exclude each other"):
        settings(tmp_path, {"user_id": "user-1", "user": {"email": "a@example.com"}})


def test_a_user_by_e_mail_needs_somebody_in_whose_name_it_is_looked_for(tmp_path: Path) -> None:
    alone = {name: value for name, value in AMIGO.items() if name != "AMIGO_USER_ID"}
    with pytest.raises(SettingsError, match=r"routes: user needs amigo\.user_id.*: r"):
        settings(tmp_path, {"user": {"email": "a@example.com"}}, alone)
    assert settings(tmp_path, {}, alone).amigo.user_id is None


def test_what_is_remembered_and_which_roles_may_be_given(tmp_path: Path) -> None:
    assert user_rules_of(settings(tmp_path, {})) == UserRules(86_400.0, 60.0, ("DefaultUserRole",))
    changed = {"keep": "1h", "missing_keep": "5s", "roles": ["A", "B"]}
    assert user_rules_of(settings(tmp_path, {}, users=changed)) == UserRules(3_600.0, 5.0, ("A", "B"))
    wrongs: tuple[dict[str, Any], ...] = ({"keep": "soon"}, {"roles": [""]}, {"rolls": []})
    for wrong in wrongs:
        with pytest.raises(SettingsError, match=r"users\."):
            settings(tmp_path, {}, users=wrong)


@pytest.mark.parametrize("version_set", ["canary", {"release": 90, "canary": 10}, {"release": 0, "canary": 0.5}])
def test_a_version_set_is_one_or_a_table_of_weights(tmp_path: Path, version_set: object) -> None:
    assert settings(tmp_path, {"version_set": version_set}).routes[0].route().version_set == version_set
    path = tmp_path / "bridge.yaml"
    assert load_reading(path, {}).routes[0].route().version_set == version_set


@pytest.mark.parametrize(
    ("version_set", "fault"),
    [
        ({"release": 0}, "do not add up to something"),
        ({}, "neither a version set nor a table"),
        ({"release": -1, "canary": 2}, "less than 0"),
        ({"release": float("inf")}, "not finite"),
        ({"release": float("nan")}, "not finite"),
        ({"release": "many"}, "is not a number"),
        ({"release": True}, "is not a number"),
        ({"re lease": 1}, "not of the form"),
        ("re lease", "not of the form"),
        ([90, 10], "neither a version set nor a table"),
        (90, "neither a version set nor a table"),
    ],
)
def test_weights_that_are_none_are_refused(tmp_path: Path, version_set: object, fault: str) -> None:
    with pytest.raises(SettingsError) as raised:
        settings(tmp_path, {"version_set": version_set})
    (error,) = raised.value.errors
    assert error.startswith("routes.0.version_set: ")
    assert fault in error
