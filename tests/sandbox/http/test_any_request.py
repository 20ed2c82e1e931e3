"""Generated requests, sensible and not: never a 500, never a request that is not answered."""

import asyncio
from typing import Any
from urllib.parse import quote

import aiohttp
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from yarl import URL

from bridge.sandbox.operations.table import OPERATIONS
from bridge.sandbox.script.fault import AFTER, BEFORE, STREAM
from tests.sandbox.caller import SERVICE, Caller
from tests.support.observed_sandbox import observed_sandbox

MAX_S = 60.0
IDS = st.sampled_from([SERVICE, "0" * 24, "a" * 24, "A" * 24, "x", "", "user-1", "\u2028", "é", "%00", "..", "+"])
WORDS = st.one_of(
    IDS,
    st.text(max_size=30),
    st.sampled_from(["text", "voice", "^.*$", "(", "a{99999999999}", "[[a]", "-created_at", "+name", "*", "k:*", ":"]),
    st.integers(-(10**30), 10**30).map(str),
    st.sampled_from(["9" * 5000, "٣", "1e5", "true", "nan", "2026-01-01T00:00:00Z", "0001-01-01T00:00:00+14:00"]),
)
JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-(2**70), 2**64), st.floats(allow_nan=False), WORDS),
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(WORDS, inner, max_size=4)),
    max_leaves=8,
)
NAMES = (
    *("response_format", "request_format", "current_agent_action_type", "request_audio_config", "limit", "id", "tag"),
    *(
        "continuation_token",
        "sort_by",
        "user_id",
        "service_id",
        "is_finished",
        "message_type",
        "interaction_id",
        "tags",
    ),
    *("long_lived", "email", "status", "type", "created_after", "created_before", "is_active"),
)
FIELDS = (
    *(
        "service_id",
        "service_version_set_name",
        "initial_message",
        "initial_message_type",
        "tags",
        "is_test",
        "updates",
    ),
    *("deletes", "context", "facets", "min_count", "max_count", "generation_instructions", "url", "accepted_types"),
    *("retry_attempts", "first_name", "last_name", "email", "role_name", "nonsensitive_user_variables", "timezone"),
    *("user_preferences", "sensitive_user_variables", "preferred_language", "audio_keyterms", "additional_context"),
    *("login_link", "last_name", "context"),
)
PARTS = (
    *("initial_message_type", "recorded_message", "external_event_message_content", "external_event_message_timestamp"),
)
HEADERS = st.dictionaries(
    st.sampled_from(["x-sandbox-fault", "x-org-id", "authorization", "content-type", "x-api-key", "x-user-id"]),
    st.sampled_from(
        [
            "",
            "acme",
            "Bearer x.y.z",
            "Basic !",
            "application/json",
            "multipart/form-data; boundary=B",
            "é".encode().decode(),
        ]
        + [f"{kind};delay_s=0.01" for kind in (*BEFORE, *AFTER, *STREAM)]
        + ["http-429;wait_s=0;retry_after=date", "http-599;body=html", "no-such-fault", "stall;delay_s=x"]
    ),
    max_size=2,
)


FORMATS = {"response_format": "text"}
USER = {"first_name": "A", "last_name": "B", "email": "a@example.com", "role_name": "DefaultUserRole"}
SOUND: dict[str, Any] = {
    "create-conversation": {"service_id": SERVICE},
    "create-invited-user": USER,
    "create-webhook-destination": {"url": "https://hooks.example.com/x", "accepted_types": []},
    "generate-conversation-starter": {
        "service_id": SERVICE,
        "facets": ["x"],
        "min_count": 1,
        "max_count": 2,
        "generation_instructions": "Be brief",
    },
    "interact-with-conversation": [("initial_message_type", b"user-message"), ("recorded_message", b"Hi")],
}
SOUND_QUERIES = {
    "create-conversation": FORMATS,
    "interact-with-conversation": {"request_format": "text", **FORMATS},
}


def bodies(operation: str) -> st.SearchStrategy[Any]:
    """A sound body with some fields replaced, or none, or rubbish."""
    sound = SOUND.get(operation, {})
    if isinstance(sound, list):
        parts = st.lists(st.tuples(st.sampled_from(PARTS), st.binary(max_size=30)), max_size=4)
        return st.one_of(st.just(sound), parts, parts.map(lambda more: [*sound, *more]), st.binary(max_size=30))
    fields = st.dictionaries(st.sampled_from(FIELDS), st.one_of(WORDS, JSON), max_size=3)
    return st.one_of(fields.map(lambda more: {**sound, **more}), st.none(), JSON, st.binary(max_size=30))


@st.composite
def requests(draw: st.DrawFn) -> dict[str, Any]:
    """A request to one of the operations; most are sound but for a detail. A path may name what exists: {name}."""
    operation = draw(st.sampled_from(OPERATIONS))
    wrong = draw(st.integers(0, 9)) == 0
    path = "".join(
        f"/{quote(draw(IDS), safe='') or '-'}" if wrong and part.startswith("{") else f"/{part}"
        for part in operation.path.split("/")[1:]
    )
    more = draw(st.lists(st.tuples(st.sampled_from(NAMES), WORDS), max_size=3))
    query = [*SOUND_QUERIES.get(operation.id, {}).items(), *more]
    headers = draw(HEADERS) if draw(st.integers(0, 4)) == 0 else {}
    return {
        "method": draw(st.sampled_from(["GET", "POST", "DELETE", "PUT"])) if wrong else operation.method,
        "path": path,
        "query": dict(query).items() if draw(st.booleans()) else query,
        "headers": headers,
        "body": draw(bodies(operation.id)) if operation.method == "POST" else None,
    }


def sendable(body: Any) -> dict[str, Any]:
    """The body as bytes, as JSON, or as a form."""
    if isinstance(body, bytes):
        return {"data": body}
    if isinstance(body, list) and body and isinstance(body[0], tuple):
        form = aiohttp.FormData(default_to_multipart=True)
        for name, value in body:
            form.add_field(name, value, filename="part")
        return {"data": form}
    return {} if body is None else {"json": body}


async def answered(caller: Caller, request: dict[str, Any]) -> int:
    """The status, or 0 where a fault ended the connection."""
    query = "&".join(f"{quote(name)}={quote(value, errors='replace')}" for name, value in request["query"])
    url = URL(f"{caller.url('')}{request['path']}?{query}", encoded=True)
    headers = {**caller.headers, **request["headers"]}
    try:
        async with (
            asyncio.timeout(MAX_S),
            caller.session.request(
                request["method"], url, headers=headers, allow_redirects=False, **sendable(request["body"])
            ) as response,
        ):
            await response.read()
            return response.status
    except (aiohttp.ClientConnectionError, aiohttp.ClientPayloadError):
        assert "x-sandbox-fault" in headers
        return 0


async def what_exists(caller: Caller) -> dict[str, str]:
    """Ids for the names in the paths, of a conversation, a webhook destination and a user."""
    created = await caller.create("Invoice 7")
    _, made = await caller.ask("POST", "/webhook_destination/", SOUND["create-webhook-destination"])
    _, user = await caller.ask("POST", "/user/", {**USER, "email": "b@example.com"})
    return {
        "conversation_id": created.conversation_id,
        "interaction_id": created.ending["interaction_id"],
        "message_id": created.ending["message_id"],
        "webhook_destination_id": made["webhook_destination_id"],
        "requested_user": user["user_id"],
    }


async def ask_all(found: list[dict[str, Any]]) -> None:
    async with observed_sandbox(body_timeout_s=1.0) as sandbox, aiohttp.ClientSession() as session:
        caller = await Caller(session, sandbox.base_url).sign_in()
        witness = await Caller(session, sandbox.base_url, "witness").sign_in()  # the caller may have deleted itself
        ids = await what_exists(caller)
        for request in found:
            path = request["path"].format_map(ids)
            assert await answered(caller, {**request, "path": path}) not in range(500, 599), request
        for path in ("/user/", "/conversation/", "/service/", "/webhook_destination/"):
            await witness.get(path)  # whatever was taken in can be shown, and as published


@settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(requests(), min_size=10, max_size=30))
def test_no_request_makes_it_fail_or_hang(found: list[dict[str, Any]]) -> None:
    asyncio.run(ask_all(found))
