"""Users: what a create and an update take, and a deleted one."""

from pathlib import Path
from typing import Any

import pytest

from tests.sandbox.caller import Caller
from tests.sandbox.conftest import Start

USER = {"first_name": "Ada", "last_name": "L", "email": "ada@example.com", "role_name": "DefaultUserRole"}
SIGN_IN = "/user/signin_with_api_key"
KEYS = {"x-api-key": "secret", "x-api-key-id": "key-1"}


async def made(caller: Caller, **more: Any) -> str:
    status, content = await caller.ask("POST", "/user/", {**USER, **more})
    assert status == 201, content
    return str(content["user_id"])


async def sign_in_of(caller: Caller, user_id: str) -> int:
    return (await caller.ask("POST", SIGN_IN, headers={**KEYS, "x-user-id": user_id}))[0]


@pytest.mark.parametrize(
    ("name", "value", "is_right"),
    [
        ("timezone", "Europe/Berlin", True),
        ("timezone", "Mars/Base", False),
        ("timezone", "", False),
        ("timezone", 0, False),
        ("timezone", [], False),
        ("preferred_language", "deu", True),
        ("preferred_language", "de", True),
        ("preferred_language", "qqq", False),
        ("preferred_language", "German", False),
        ("enable_response_recommendation", True, True),
        ("enable_response_recommendation", "yes", False),
        ("conversations_visible_to_admins", 5, False),
        ("user_model_visible_to_admins", {}, False),
        ("audio_keyterms", ["Zürich", ""], True),
        ("audio_keyterms", [5], False),
        ("audio_keyterms", "tea", False),
    ],
)
async def test_an_update_takes_and_refuses_what_a_create_does(
    caller: Caller, name: str, value: object, is_right: bool
) -> None:
    created, _ = await caller.ask("POST", "/user/", {**USER, "user_preferences": {name: value}})
    user_id = await made(caller, email="other@example.com")
    updated, _ = await caller.ask("POST", f"/user/{user_id}", {name: value})
    assert (created, updated) == ((201, 204) if is_right else (422, 422))
    (row,) = (await caller.get("/user/", user_id=user_id))["users"]
    assert (row["preferences"][name] == value) is is_right


async def test_null_takes_a_time_zone_away_and_an_empty_object_leaves_it(caller: Caller) -> None:
    user_id = await made(caller, user_preferences={"timezone": "Europe/Berlin", "preferred_language": "deu"})
    change: dict[str, object] = {"timezone": {}, "preferred_language": None, "conversations_visible_to_admins": None}
    assert (await caller.ask("POST", f"/user/{user_id}", change))[0] == 204
    (row,) = (await caller.get("/user/", user_id=user_id))["users"]
    assert (row["preferences"]["timezone"], row["preferences"]["preferred_language"]) == ("Europe/Berlin", None)
    assert row["preferences"]["conversations_visible_to_admins"] is True


async def test_a_deleted_user_is_in_no_list_and_cannot_sign_in(start: Start, tmp_path: Path) -> None:
    caller = await start(state_file=tmp_path / "state")
    user_id = await made(caller)
    own = await start_as(caller, user_id)
    assert (await caller.ask("DELETE", f"/user/{user_id}"))[0] == 204
    assert (await own.ask("GET", "/service/"))[0] == 401
    again = await start(state_file=tmp_path / "state")
    for later in (caller, again):
        assert (await later.get("/user/", user_id=user_id))["users"] == []
        assert user_id not in [row["user_id"] for row in (await later.get("/user/"))["users"]]
        assert await sign_in_of(later, user_id) == 401
        assert (await later.ask("GET", f"/user/{user_id}/user_model"))[0] == 404
        assert (await later.ask("DELETE", f"/user/{user_id}"))[0] == 404


async def start_as(caller: Caller, user_id: str) -> Caller:
    """Another user of the same sandbox, signed in."""
    return await Caller(caller.session, caller.base_url, user_id).sign_in()


async def test_an_invented_user_that_was_deleted_is_not_invented_again(caller: Caller) -> None:
    await start_as(caller, "user-2")
    assert (await caller.ask("DELETE", "/user/user-2"))[0] == 204
    assert await sign_in_of(caller, "user-2") == 401
    assert "user-2" not in [row["user_id"] for row in (await caller.get("/user/"))["users"]]


async def test_a_reset_forgets_that_a_user_was_deleted(caller: Caller) -> None:
    await caller.ask("DELETE", "/user/user-1")
    assert await sign_in_of(caller, "user-1") == 401
    await caller.ask("POST", "/_sandbox/reset")
    assert await sign_in_of(caller, "user-1") == 200


async def test_an_organization_has_the_published_fields_and_nothing_else(caller: Caller) -> None:
    row = await caller.get("/organization/")
    assert row.keys() == {"org_id", "org_name", "default_user_preferences", "tenant_id"}
    assert row["default_user_preferences"] == {
        "enable_response_recommendation": False,
        "preferred_language": None,
        "conversations_visible_to_admins": True,
        "user_model_visible_to_admins": True,
        "timezone": None,
        "audio_keyterms": [],
    }
