"""Whatever the published specification calls right is taken, and whatever it calls wrong is 422."""

from datetime import UTC, datetime
from typing import Any

import aiohttp
import pytest

from bridge.sandbox.operations.table import OPERATIONS as HANDLED
from tests.sandbox.caller import Caller
from tests.sandbox.conftest import Start
from tests.sandbox.contract.cases import Case, cases
from tests.sandbox.contract.exceptions import EXCEPTIONS, KnownException, exceptions
from tests.sandbox.contract.variations import EVERY_TYPE
from tests.support.published import OPERATIONS

CASES = cases()
BEFORE_THE_EVENTS = datetime(2025, 12, 31, 23, 59, 59, tzinfo=UTC)
KEYS = {"x-api-key": "secret", "x-api-key-id": "key-1", "x-user-id": "user-1"}
USER = {"first_name": "A", "last_name": "B", "email": "b@example.com", "role_name": "DefaultUserRole"}
DESTINATION = {"url": "https://hooks.example.com/other", "accepted_types": []}


async def names_of_what_exists(caller: Caller, path: str) -> dict[str, str]:
    """Ids for the names in the path."""
    names: dict[str, str] = {}
    if "{conversation_id}" in path:
        created = await caller.create("Invoice 7", params={"response_format": "voice"})
        names |= {"conversation_id": created.conversation_id, "message_id": created.ending["message_id"]}
        names["interaction_id"] = created.ending["interaction_id"]
    if "{webhook_destination_id}" in path:
        _, made = await caller.ask("POST", "/webhook_destination/", DESTINATION)
        names["webhook_destination_id"] = made["webhook_destination_id"]
    if "{user_id}" in path or "{requested_user_id}" in path:
        _, made = await caller.ask("POST", "/user/", USER)
        names |= {"user_id": made["user_id"], "requested_user_id": made["user_id"]}
    return names


def content(case: Case) -> dict[str, Any]:
    """The body as the client sends it."""
    if case.body is not None:
        return {"data": case.body, "headers": {"content-type": "application/json"}}
    if case.form is None:
        return {"headers": {}}
    form = aiohttp.FormData(default_to_multipart=True)
    for name, value in case.form.items():
        for text in value if isinstance(value, list) else [value]:
            is_spoken = name == "recorded_message" and case.query.get("request_format") == ["voice"]
            form.add_field(name, b"RIFF" if is_spoken else text, filename="audio" if is_spoken else None)
    return {"data": form, "headers": {}}


async def status_of(caller: Caller, case: Case) -> int:
    operation = OPERATIONS[case.operation]
    names = {**await names_of_what_exists(caller, operation.path), **case.path}
    path = operation.path
    for name, value in names.items():
        path = path.replace(f"{{{name}}}", value)
    sent = content(case)
    sent["headers"] = {**caller.headers, **(KEYS if case.operation.startswith("sign-in") else {}), **sent["headers"]}
    for name, header in case.headers.items():
        sent["headers"].pop(name, None)
        if header is not None:
            sent["headers"][name] = header
            sent["data"] = b"--b\r\n"
    if case.headers.get("content-type", "") is None:
        sent |= {"data": b"--b\r\n", "skip_auto_headers": ["content-type"]}
    query = [(name, value) for name, values in case.query.items() for value in values]
    url = caller.url(path)
    async with caller.session.request(operation.method, url, params=query, **sent, allow_redirects=False) as response:
        await response.read()
        return response.status


def usual(case: Case) -> int:
    """The status by the schemas alone."""
    return OPERATIONS[case.operation].good_status if case.is_right else 422


def wanted(case: Case) -> int:
    known = exceptions(case)
    return known[0].status if known else usual(case)


@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
async def test_what_is_published_as_right_is_taken_and_what_is_wrong_is_422(start: Start, case: Case) -> None:
    assert await status_of(await start(frozen_at=BEFORE_THE_EVENTS), case) == wanted(case)


def test_every_operation_of_the_sandbox_is_published_and_tried() -> None:
    handled = {operation.id for operation in HANDLED}
    assert handled == OPERATIONS.keys() == {case.operation for case in CASES}


@pytest.mark.parametrize("known", EXCEPTIONS, ids=lambda known: known.case)
def test_an_exception_is_needed_and_says_why(known: KnownException) -> None:
    excepted = [case for case in CASES if known in exceptions(case)]
    assert excepted
    assert [case.name for case in excepted if usual(case) == known.status or len(exceptions(case)) > 1] == []
    assert known.reason


def test_every_place_of_every_body_is_tried_with_every_type() -> None:
    names = {case.name.rpartition(" ")[0] for case in CASES}
    for place in ("user_preferences", "user_preferences.timezone", "login_link", "sensitive_user_variables"):
        assert {f"create-invited-user body {place}={what}" for what in EVERY_TYPE} <= names
    assert "create-invited-user body login_link=2084-characters" in names
    assert "create-conversation body tags=21-fields" in names
    assert "interact-with-conversation form skip.recorded_message=1-characters" in names
