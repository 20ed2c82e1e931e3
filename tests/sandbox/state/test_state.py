"""What surrounds the conversations: tokens, permissions, limits, the clock, strict and state files."""

import base64
import json
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any

import pytest

from tests.sandbox.caller import SERVICE, Caller, until
from tests.sandbox.conftest import Start

KEYS = {"x-api-key": "secret", "x-api-key-id": "key-1", "x-user-id": "user-1"}
SIGN_IN = "/user/signin_with_api_key"


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ({}, 200),
        ({"x-api-key": "wrong"}, 401),
        ({"x-api-key-id": "missing"}, 401),
        ({"x-user-id": "missing"}, 401),
        ({"x-user-id": ""}, 401),
    ],
)
async def test_sign_in_wants_a_key_and_a_user_that_exist(caller: Caller, change: dict[str, str], status: int) -> None:
    assert (await caller.ask("POST", SIGN_IN, headers={**KEYS, **change}))[0] == status


async def test_an_unknown_organization_is_404(caller: Caller) -> None:
    caller.org = "missing"
    assert (await caller.ask("POST", SIGN_IN, headers=KEYS))[0] == 404
    assert (await caller.ask("GET", "/organization/"))[0] == 404


async def test_the_organization_is_open_to_everybody(caller: Caller) -> None:
    caller.headers = {}
    assert (await caller.get("/organization/"))["org_id"] == "acme"
    assert (await caller.ask("GET", "/service/"))[0] == 401


@pytest.mark.parametrize("token", ["", "Bearer nonsense", "Bearer a.b.c", "Basic %%%", "Token x"])
async def test_a_bad_token_is_401(caller: Caller, token: str) -> None:
    caller.headers = {"Authorization": token}
    assert (await caller.ask("GET", "/service/"))[0] == 401


async def test_a_token_belongs_to_its_organization_and_works_as_basic_password(caller: Caller) -> None:
    token = caller.headers["Authorization"].removeprefix("Bearer ")
    basic = base64.b64encode(f"acme_user-1:{token}".encode()).decode()
    assert (await caller.ask("GET", "/service/", headers={"Authorization": f"Basic {basic}"}))[0] == 200
    caller.org = "other"
    assert (await caller.ask("GET", "/service/"))[0] == 401
    assert (await caller.ask("GET", "/service/", headers={"X-ORG-ID": "acme"}))[0] == 200


async def test_a_token_expires_when_it_says_so(start: Start) -> None:
    caller = await start(token_lifetime_s=60, frozen_at=datetime(2026, 1, 1, tzinfo=UTC))
    _, signed = await caller.ask("POST", SIGN_IN, headers=KEYS)
    assert signed["expires_at"] == "2026-01-01T00:01:00.000Z"
    await caller.ask("POST", "/_sandbox/clock", {"advance_s": 59})
    assert (await caller.ask("GET", "/service/"))[0] == 200
    await caller.ask("POST", "/_sandbox/clock", {"advance_s": 1})
    assert (await caller.ask("GET", "/service/"))[0] == 401


async def test_one_users_tokens_can_be_revoked(caller: Caller) -> None:
    other = await Caller(caller.session, caller.base_url, "user-2").sign_in()
    await caller.ask("POST", "/_sandbox/tokens/revoke", {"user_id": "user-2"})
    assert (await other.ask("GET", "/service/"))[0] == 401
    assert (await caller.ask("GET", "/service/"))[0] == 200
    await other.sign_in()
    assert (await other.ask("GET", "/service/"))[0] == 200


async def deny(caller: Caller, *permissions: str, **more: Any) -> None:
    body = {"organization": "acme", "user_id": caller.user_id, "denied": list(permissions), **more}
    assert (await caller.ask("POST", "/_sandbox/users", body))[0] == 204


async def test_a_denied_permission_is_403(caller: Caller) -> None:
    created = await caller.create()
    await deny(caller, "Conversation:CreateConversation", "Conversation:FinishConversation", "User:UpdateUserInfo")
    assert (await caller.create(body={"service_id": "5f0000000000000000000002"})).status == 403
    assert (await caller.interact(created.conversation_id)).status == 403
    assert await caller.finish(created.conversation_id) == 403


async def test_without_the_right_to_see_lists_are_empty_rather_than_forbidden(caller: Caller) -> None:
    created = await caller.create()
    await deny(caller, "Conversation:GetMessage", "Service:GetVersionSet", "Conversation:GetInteractionInsights")
    (row,) = await caller.conversations()
    assert (row["final_message"], row["version_set_info"], row["num_messages"]) == ("", None, 1)
    assert await caller.messages(created.conversation_id) == []
    assert (await caller.interact(created.conversation_id)).of("current-agent-action") == []
    await deny(caller, "Conversation:GetConversation", "Service:GetService", "User:GetUserInfo")
    assert await caller.conversations() == []
    assert (await caller.get("/service/"))["services"] == []
    assert (await caller.get("/user/"))["users"] == []


async def test_a_user_can_be_confined_to_what_is_his(caller: Caller) -> None:
    created = await caller.create()
    other = await Caller(caller.session, caller.base_url, "user-2").sign_in()
    assert len(await other.conversations()) == 1
    await deny(other, own_only=True)
    assert await other.conversations() == []
    assert (await other.interact(created.conversation_id)).status == 403


@pytest.mark.parametrize(("scope", "other_status"), [("user", 200), ("org", 429)])
async def test_a_limit_counts_users_or_the_organization(start: Start, scope: str, other_status: int) -> None:
    caller = await start(limits=scope)
    other = await Caller(caller.session, caller.base_url, "user-2").sign_in()
    statuses = [(await caller.ask("GET", "/conversation/"))[0] for _ in range(16)]
    assert statuses == [200] * 15 + [429]
    assert (await other.ask("GET", "/conversation/"))[0] == other_status
    assert (await caller.ask("GET", "/service/"))[0] == 200


async def test_a_limit_opens_again_after_its_minute_and_says_when(start: Start) -> None:
    caller = await start(limits="user", frozen_at=datetime(2026, 1, 1, tzinfo=UTC))
    for left in (4, 3, 2, 1, 0):
        created = await caller.session.post(caller.url("/conversation/"), headers=caller.headers)
        assert created.headers["X-RateLimit-Remaining"] == str(left)
    refused = await caller.session.post(caller.url("/conversation/"), headers=caller.headers)
    assert (refused.status, refused.headers["Retry-After"]) == (429, "60")
    assert refused.headers["X-RateLimit-Reset"] == str(int(datetime(2026, 1, 1, 0, 1, tzinfo=UTC).timestamp()))
    assert "rate limit of 5 requests per minute" in (await refused.json())["detail"]
    await caller.ask("POST", "/_sandbox/clock", {"advance_s": 60})
    assert (await caller.create()).status == 201


async def test_a_window_may_be_shorter_and_may_have_begun_at_any_time_before(start: Start) -> None:
    """Five calls and five more at once, for a new window begins between them: which a log that slides never lets go."""
    caller = await start(
        limits="user", limit_windows="clock", limit_window_s=10.0, frozen_at=datetime(2026, 1, 1, tzinfo=UTC)
    )
    first = await caller.session.post(caller.url("/conversation/"), headers=caller.headers)
    left_s = int(first.headers["X-RateLimit-Reset"]) - datetime(2026, 1, 1, tzinfo=UTC).timestamp()
    assert 0 < left_s <= 10
    for expected in (*[True] * 4, False):
        again = await caller.session.post(caller.url("/conversation/"), headers=caller.headers)
        assert (again.status != 429) is expected
    await caller.ask("POST", "/_sandbox/clock", {"advance_s": left_s})
    for expected in (*[True] * 5, False):
        again = await caller.session.post(caller.url("/conversation/"), headers=caller.headers)
        assert (again.status != 429) is expected


async def test_a_window_may_slide(start: Start) -> None:
    caller = await start(
        limits="user", limit_windows="sliding", limit_window_s=10.0, frozen_at=datetime(2026, 1, 1, tzinfo=UTC)
    )
    statuses = []
    for advance_s in (0, 4, 0, 0, 0, 5, 1, 0, 4, 0):
        await caller.ask("POST", "/_sandbox/clock", {"advance_s": advance_s})
        answer = await caller.session.post(caller.url("/conversation/"), headers=caller.headers)
        statuses.append(answer.status != 429)
    # at 0, 4, 4, 4, 4 s; refused at 9 s, which counts too; the first is over at 10 s, but for that one
    assert statuses == [True, True, True, True, True, False, False, False, True, True]


@pytest.mark.parametrize("form", ["date", "absent"])
async def test_the_limits_headers_come_in_variants(start: Start, form: str) -> None:
    moment = datetime(2026, 1, 1, tzinfo=UTC)
    caller = await start(limits="user", retry_after=form, limit_headers=False, frozen_at=moment)
    for _ in range(6):
        refused = await caller.session.post(caller.url("/conversation/"), headers=caller.headers)
    assert refused.status == 429
    assert "X-RateLimit-Limit" not in refused.headers
    if form == "absent":
        assert "Retry-After" not in refused.headers
    else:
        assert (parsedate_to_datetime(refused.headers["Retry-After"]) - moment).total_seconds() == 60


STRICT = {
    "organizations": [
        {
            "id": "acme",
            "name": "Acme Care",
            "api_keys": [{"id": "key-1", "key": "secret"}, {"id": "old", "key": "secret", "expires_ms": 1}],
            "users": [{"user_id": "user-1", "email": "one@example.com", "denied": ["User:InviteUser"]}],
            "services": [{"id": SERVICE, "name": "Care", "version_sets": ["voice"], "tags": {"channel": "sms"}}],
        }
    ]
}


async def test_with_a_strict_file_only_what_it_lists_exists(start: Start, tmp_path: Path) -> None:
    file = tmp_path / "strict.json"
    file.write_text(json.dumps(STRICT))
    caller = await start(strict_file=file)
    for change in ({"x-api-key": "guess"}, {"x-api-key-id": "old"}, {"x-user-id": "user-2"}):
        assert (await caller.ask("POST", SIGN_IN, headers={**KEYS, **change}))[0] == 401
    (service,) = (await caller.get("/service/"))["services"]
    assert sorted(service["version_sets"]) == ["edge", "release", "voice"]
    assert (await caller.create(body={"service_id": "5f0000000000000000000002"})).status == 404
    assert (await caller.create(body={"service_version_set_name": "preview"})).status == 404
    assert (await caller.create(body={"service_version_set_name": "voice"})).status == 201
    caller.org = "other"
    assert (await caller.ask("GET", "/organization/"))[0] == 404


async def test_a_state_file_carries_everything_over_a_restart(start: Start, tmp_path: Path) -> None:
    file = tmp_path / "state.jsonl"
    first = await start(state_file=file)
    created = await first.create("Invoice 7", body={"tags": {"channel": "sms"}})
    await first.create("lost [[fault:cut-before-commit]]", body={"service_id": "5f0000000000000000000002"})
    with file.open("ab") as torn:
        torn.write(b'["conversations","cut in the mid')
    second = await start(state_file=file)
    assert await second.conversations() == await first.conversations()
    assert await second.messages(created.conversation_id) == await first.messages(created.conversation_id)
    assert await second.committed() == await first.committed()
    assert (await second.create()).status == 400


async def test_a_restart_takes_up_the_post_processing_that_was_left(start: Start, tmp_path: Path) -> None:
    file = tmp_path / "state.jsonl"
    first = await start(state_file=file, post_processing_s=3600)
    created = await first.create()
    await first.finish(created.conversation_id)
    second = await start(state_file=file, post_processing_s=0.0)

    async def is_analyzed() -> bool:
        (row,) = await second.conversations()
        return bool(row["is_analyzed"])

    await until(is_analyzed)


async def test_a_seed_and_a_frozen_clock_make_everything_repeatable(start: Start) -> None:
    async def lines() -> list[bytes]:
        caller = await start(seed=3, frozen_at=datetime(2026, 1, 1, tzinfo=UTC))
        return (await caller.create("Invoice 7")).lines

    assert await lines() == await lines()


async def test_a_reset_forgets_everything(caller: Caller) -> None:
    await caller.create()
    await caller.fault("http-500")
    assert (await caller.ask("POST", "/_sandbox/reset"))[0] == 204
    assert await caller.conversations() == []
    assert await caller.committed() == []
    assert [entry["operation"] for entry in (await caller.get("/_sandbox/journal"))["entries"]] == ["get-conversations"]


async def test_the_journal_says_what_was_asked_and_how_it_ended(caller: Caller) -> None:
    created = await caller.create("Invoice 7 [[fault:cut-after-commit]]")
    entries = (await caller.get("/_sandbox/journal", operation="create-conversation", user_id="user-1"))["entries"]
    (entry,) = entries
    assert entry["conversation_id"] == created.conversation_id
    assert entry["text"] == "Invoice 7 [[fault:cut-after-commit]]"
    assert (entry["status"], entry["outcome"], entry["fault"]) == (201, "committed", "cut-after-commit")
    assert (await caller.get("/_sandbox/journal", after=entry["number"]))["entries"] == []


async def test_committed_interactions_are_listed_with_the_tags_of_their_conversation(caller: Caller) -> None:
    created = await caller.create("Invoice 7", body={"tags": {"bridge_event": "abc"}})
    await caller.interact(created.conversation_id, "And now?")
    rows = await caller.committed()
    assert [row["message"] for row in rows] == ["Invoice 7", "And now?"]
    assert {row["tags"]["bridge_event"] for row in rows} == {"abc"}


async def test_users_are_created_found_by_email_and_can_wait_for_verification(start: Start) -> None:
    caller = await start(unverified_users=True)
    body = {"first_name": "Ada", "last_name": "L", "email": "Ada@Example.COM", "role_name": "DefaultUserRole"}
    status, made = await caller.ask("POST", "/user/", body)
    (found,) = (await caller.get("/user/", email="Ada@example.com"))["users"]
    keys = {**KEYS, "x-user-id": made["user_id"]}
    assert (status, found["user_id"]) == (201, made["user_id"])
    assert (await caller.ask("POST", "/user/", body))[0] == 409
    assert (await caller.ask("POST", SIGN_IN, headers=keys))[0] == 401
    await caller.ask("POST", "/_sandbox/users", {"organization": "acme", "user_id": made["user_id"], "verified": True})
    assert (await caller.ask("POST", SIGN_IN, headers=keys))[0] == 200


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ({"email": "a@b.invalid"}, 422),
        ({"email": "nobody"}, 422),
        ({"first_name": " "}, 422),
        ({"role_name": "King"}, 404),
        ({"nonsensitive_user_variables": {"user_id": "x"}}, 422),
        ({"sensitive_user_variables": {"Bad-Name": "x"}}, 422),
    ],
)
async def test_a_wrong_user_is_refused(caller: Caller, change: dict[str, Any], status: int) -> None:
    body = {"first_name": "Ada", "last_name": "L", "email": "ada@example.com", "role_name": "DefaultUserRole"}
    assert (await caller.ask("POST", "/user/", {**body, **change}))[0] == status


async def test_users_count_what_they_said(caller: Caller) -> None:
    await caller.create("Invoice 7")
    (user,) = (await caller.get("/user/", user_id="user-1", sort_by="-user_stats.last_message_time"))["users"]
    assert (user["user_stats"]["num_conversations"], user["user_stats"]["num_messages"]) == (1, 2)


async def test_services_page_filter_and_can_be_switched_off(caller: Caller) -> None:
    first = await caller.get("/service/", limit=2, sort_by="+name")
    rest = await caller.get("/service/", continuation_token=2, sort_by="+name")
    (tagged,) = (await caller.get("/service/", tags="channel:sms"))["services"]
    assert (first["has_more"], first["continuation_token"], len(rest["services"])) == (True, 2, 1)
    assert "channel:sms" in first["filter_values"]["tags"]
    assert rest["filter_values"] is None
    assert tagged["id"] == SERVICE
    off = {"organization": "acme", "service_id": SERVICE, "is_active": False}
    assert (await caller.ask("POST", "/_sandbox/services", off))[0] == 204
    assert (await caller.create()).status == 404
    assert [row["id"] for row in (await caller.get("/service/", is_active="false"))["services"]] == [SERVICE]


async def test_recommendations_are_only_for_the_latest_interaction_of_an_open_conversation(caller: Caller) -> None:
    created = await caller.create("Invoice 7")
    later = await caller.interact(created.conversation_id, "And now?")

    async def recommend(interaction_id: str) -> int:
        path = f"/conversation/{created.conversation_id}/interaction/{interaction_id}/recommend_responses"
        return (await caller.ask("POST", path, {"context": "A busy person"}))[0]

    assert await recommend(created.ending["interaction_id"]) == 400
    assert await recommend(later.ending["interaction_id"]) == 200
    await caller.finish(created.conversation_id)
    assert await recommend(later.ending["interaction_id"]) == 400


async def test_insights_of_an_unknown_interaction_are_404(caller: Caller) -> None:
    created = await caller.create()
    path = f"/conversation/{created.conversation_id}/interaction/{'c' * 24}/insights"
    assert (await caller.ask("GET", path))[0] == 404
