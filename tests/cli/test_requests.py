"""Each command's requests, byte by byte: method, path, query and body, as the API's documentation has them."""

import json
from pathlib import Path
from typing import Any

import pytest

from bridge.edges.amigo.authorized import ONE_ATTEMPT, SignedClient
from bridge.edges.amigo.client import HttpClient
from bridge.edges.amigo.conversations import ConversationsApi
from tests.support.amigo import PATIENT_S, credentials
from tests.support.amigo_bench import said
from tests.support.history_commands import (
    CONVERSATION,
    INSIGHTS,
    INTERACTION,
    MESSAGE,
    SERVICE,
    Commands,
    conversation,
    message,
    page,
    user,
)
from tests.support.scripted import CHUNKED, LAST_CHUNK, SIGN_IN, ScriptedServer, Talk, chunk, signing_in

LIST = "GET /v1/acme/conversation/"
OF_ONE = f"/v1/acme/conversation/{CONVERSATION}"
MESSAGES = f"GET {OF_ONE}/messages/"
NEWEST = f"{MESSAGES}?limit=1&continuation_token=0&sort_by=-created_at"
RECOMMEND = f"POST {OF_ONE}/interaction/{INTERACTION}/recommend_responses"
HIS = f"GET {OF_ONE}/interaction/{INTERACTION}/insights"
USERS = "/v1/acme/user/"
NEW = ("--first-name", "Ada", "--last-name", "Lovelace", "--email", "ada@example.com")
OTHERS = ("a" * 24, "b" * 24)

CASES: list[tuple[str, list[str]]] = [
    ("history conversations", [LIST]),
    (
        "history conversations --user user-7 --limit 10 --offset 0",
        [f"{LIST}?user_id=user-7&limit=10&continuation_token=0"],
    ),
    ("history conversations --limit 10", [f"{LIST}?limit=10&continuation_token=0"]),
    ("history conversations --limit 999 --offset 7", [f"{LIST}?limit=999&continuation_token=7"]),
    ("history conversations --limit 0", [f"{LIST}?limit=0&continuation_token=0"]),
    ("history conversations --offset 7", [f"{LIST}?continuation_token=7"]),
    ("history conversations --sort +created_at", [f"{LIST}?sort_by=%2Bcreated_at"]),
    ("history conversations --sort -created_at", [f"{LIST}?sort_by=-created_at"]),
    (
        f"history conversations --user u1 --user u2 --service {SERVICE} --finished --id {OTHERS[0]} --id {OTHERS[1]} "
        "--limit 5 --sort -created_at --tag channel:sms --tag urgent: --tag team:*",
        [
            f"{LIST}?user_id=u1&user_id=u2&service_id={SERVICE}&is_finished=true&id={OTHERS[0]}&id={OTHERS[1]}"
            "&limit=5&continuation_token=0&sort_by=-created_at&tag=channel:sms&tag=urgent:&tag=team:*"
        ],
    ),
    ("history conversations --unfinished", [f"{LIST}?is_finished=false"]),
    ("history conversations --all", [f"{LIST}?limit=100&continuation_token=0&sort_by=-created_at"]),
    (f"history messages {CONVERSATION}", [MESSAGES]),
    (f"history messages {CONVERSATION} --limit 10", [f"{MESSAGES}?limit=10&continuation_token=0"]),
    (
        f"history messages {CONVERSATION} --id {MESSAGE} --interaction {INTERACTION} --type user-message "
        "--type agent-inner-thought --limit 3 --sort +interaction_id --sort -created_at",
        [
            f"{MESSAGES}?id={MESSAGE}&message_type=user-message&message_type=agent-inner-thought"
            f"&interaction_id={INTERACTION}&limit=3&continuation_token=0"
            "&sort_by=%2Binteraction_id&sort_by=-created_at"
        ],
    ),
    (f"history messages {CONVERSATION} --all", [f"{MESSAGES}?limit=500&continuation_token=0&sort_by=%2Bcreated_at"]),
    (f"history source {CONVERSATION} {MESSAGE}", [f"GET {OF_ONE}/messages/{MESSAGE}/source"]),
    (
        f"history source {CONVERSATION} {MESSAGE} --long-lived",
        [f"GET {OF_ONE}/messages/{MESSAGE}/source?long_lived=true"],
    ),
    (f"history insights {CONVERSATION} {INTERACTION}", [HIS]),
    (f"history insights {CONVERSATION}", [NEWEST, HIS]),
    (f"history recommend {CONVERSATION} {INTERACTION}", [RECOMMEND]),
    (f"history recommend {CONVERSATION} {INTERACTION} --context Tenant", [RECOMMEND + ' {"context":"Tenant"}']),
    (f"history recommend {CONVERSATION} --context Tenant", [NEWEST, RECOMMEND + ' {"context":"Tenant"}']),
    (f"history tags {CONVERSATION}", [f"{LIST}?id={CONVERSATION}"]),
    (
        f"history tags {CONVERSATION} --set team=billing --set urgent= --delete old --delete older",
        [f'POST {OF_ONE}/tags/ {{"updates":{{"team":"billing","urgent":null}},"deletes":["old","older"]}}'],
    ),
    (f"history tags {CONVERSATION} --delete old", [f'POST {OF_ONE}/tags/ {{"updates":{{}},"deletes":["old"]}}']),
    (f"history finish {CONVERSATION}", [f"POST {OF_ONE}/finish/"]),
    ("services", ["GET /v1/acme/service/?sort_by=%2Bname&limit=20&continuation_token=0"]),
    ("services --limit 10", ["GET /v1/acme/service/?limit=10&continuation_token=0"]),
    (
        f"services --id {SERVICE} --active --tag channel:phone --sort -is_active --limit 5 --offset 5",
        [
            f"GET /v1/acme/service/?id={SERVICE}&is_active=true&sort_by=-is_active&tags=channel:phone"
            "&limit=5&continuation_token=5"
        ],
    ),
    ("users find ada@example.com", [f"GET {USERS}?email=ada@example.com"]),
    (
        " ".join(("users create", *NEW, "--role", "DefaultUserRole", "--timezone", "Europe/London")),
        [
            f'POST {USERS} {{"first_name":"Ada","last_name":"Lovelace","email":"ada@example.com",'
            '"role_name":"DefaultUserRole","user_preferences":{"timezone":"Europe/London"}}'
        ],
    ),
    (
        " ".join(("users create", *NEW)),
        [
            f'POST {USERS} {{"first_name":"Ada","last_name":"Lovelace","email":"ada@example.com",'
            '"role_name":"DefaultUserRole"}'
        ],
    ),
]


async def platform(talk: Talk) -> None:
    """Answers everything with one row of its kind."""
    path = talk.request.path
    if talk.request.method == "POST" and path.endswith(("/tags/", "/finish/")):
        await talk.answer(204)
        return
    answers: dict[str, Any] = {
        "/conversation/": page("conversations", [conversation()]),
        f"/conversation/{CONVERSATION}/messages/": page("messages", [message()]),
        f"/conversation/{CONVERSATION}/messages/{MESSAGE}/source": {"url": "https://audio.example.com/a?b=c"},
        f"/conversation/{CONVERSATION}/interaction/{INTERACTION}/insights": INSIGHTS,
        f"/conversation/{CONVERSATION}/interaction/{INTERACTION}/recommend_responses": {"recommended_responses": ["a"]},
        "/service/": page("services", [{"id": SERVICE, "name": "Care", "version_sets": {}}]),
        "/user/": page("users", [user()]) if talk.request.method == "GET" else {"user_id": "u", "verify_link": None},
    }
    await talk.answer(200, answers[path])


def asked(server: ScriptedServer) -> list[str]:
    """Method, target and body of every request but the sign-ins."""
    return [f"{one.method} {one.target} {one.body.decode()}".rstrip() for one in server.requests if one.path != SIGN_IN]


@pytest.mark.parametrize(("arguments", "expected"), CASES, ids=[arguments for arguments, _ in CASES])
async def test_a_command_sends_exactly_this(arguments: str, expected: list[str], tmp_path: Path) -> None:
    async with ScriptedServer(signing_in(platform)) as server:
        done = await Commands(tmp_path, server.base_url).run(*arguments.split())
        assert done.status == 0, done.all
        assert asked(server) == expected
        for request in server.requests:
            if request.path != SIGN_IN:
                assert request.headers["authorization"] == "Bearer token of user-1"
                assert not request.body or request.headers["content-type"] == "application/json"


async def test_a_command_runs_in_the_name_of_whom_it_is_told(tmp_path: Path) -> None:
    async with ScriptedServer(signing_in(platform)) as server:
        await Commands(tmp_path, server.base_url).rows("history", "conversations", "--as", "user-9")
        assert [one.headers["x-user-id"] for one in server.of(SIGN_IN)] == ["user-9"]
        assert server.requests[-1].headers["authorization"] == "Bearer token of user-9"


FORMS: list[tuple[dict[str, Any], dict[str, Any]]] = [
    ({}, {}),
    (
        {"message": "Hello", "kind": "user-message"},
        {"initial_message": "Hello", "initial_message_type": "user-message"},
    ),
    (
        {"message": "The bill was paid", "kind": "external-event"},
        {"initial_message": "The bill was paid", "initial_message_type": "external-event"},
    ),
]


@pytest.mark.parametrize(("form", "more"), FORMS, ids=["agent-first", "user-message", "external-event"])
async def test_a_conversation_is_created_in_three_forms(form: dict[str, Any], more: dict[str, Any]) -> None:
    async def created(talk: Talk) -> None:
        line = {"type": "conversation-created", "conversation_id": CONVERSATION}
        await talk.send(CHUNKED + chunk(json.dumps(line).encode()) + LAST_CHUNK)

    async with ScriptedServer(signing_in(created)) as server:
        who = credentials(server.base_url)
        async with HttpClient(who, PATIENT_S) as client:
            api = ConversationsApi(SignedClient(client, who, ONE_ATTEMPT, lambda: 0.0))
            await said(api.create("user-1", SERVICE, tags={"channel": "sms"}, **form))
        body = {"service_id": SERVICE, "service_version_set_name": "release", "tags": {"channel": "sms"}, **more}
        written = json.dumps(body, separators=(",", ":"))
        query = "response_format=text&current_agent_action_type=%5E$"
        assert asked(server) == [f"POST /v1/acme/conversation/?{query} {written}"]
        assert server.requests[-1].headers["accept"] == "application/x-ndjson"
