"""Every fault strikes where it says and leaves behind what it says."""

import asyncio
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from click.testing import CliRunner

from bridge.cli.main import main
from bridge.sandbox import FAULTS_HELP
from bridge.sandbox.script.fault import KINDS
from bridge.sandbox.script.reply_draft import SCRIPTS
from tests.sandbox.caller import Answer, Caller, until
from tests.sandbox.conftest import Start


async def strike(caller: Caller, kind: str, operation: str = "create", **settings: Any) -> Answer:
    """One answer under one fault."""
    header = {"x-sandbox-fault": ";".join([kind, *(f"{name}={value}" for name, value in settings.items())])}
    if operation == "create":
        return await caller.create("An event", headers=header)
    created = await caller.create("Before", body={"service_id": "5f0000000000000000000003"})
    return await caller.interact(created.conversation_id, "An event", headers=header)


async def entries(caller: Caller) -> list[dict[str, Any]]:
    """What the journal has about creates."""
    found: list[dict[str, Any]] = (await caller.get("/_sandbox/journal", operation="create-conversation"))["entries"]
    return found


async def committed(caller: Caller) -> int:
    return sum(row["message"] == "An event" for row in await caller.committed())


def test_the_manual_names_every_fault_and_every_scripted_reply() -> None:
    assert [name for name in [*KINDS, *SCRIPTS] if f"  {name} " not in FAULTS_HELP] == []


def test_the_page_has_the_manuals_words_for_every_fault_and_every_scripted_reply() -> None:
    page = (Path(__file__).resolve().parents[3] / "docs" / "sandbox.md").read_text(encoding="utf-8")
    assert [name for name, words in {**KINDS, **SCRIPTS}.items() if f"| `{name}` | {words} |" not in page] == []


def test_the_help_shows_the_page_as_it_is_written() -> None:
    shown = {line.strip() for line in CliRunner().invoke(main, ["sandbox", "--help"]).output.splitlines()}
    assert [line for line in FAULTS_HELP.splitlines() if line.strip() not in shown] == []


@pytest.mark.parametrize("operation", ["create", "interact"])
@pytest.mark.parametrize(
    ("kind", "cut", "complete", "saved"),
    [
        ("error-first", False, 0, 0),
        ("error-after-first", False, 0, 0),
        ("error-mid", False, 0, 0),
        ("error-after-complete", False, 1, 1),
        ("cut-before-commit", True, 0, 0),
        ("cut-after-commit", True, 0, 1),
        ("cut-after-complete", True, 1, 1),
        ("eof-before-commit", False, 0, 0),
        ("eof-after-commit", False, 0, 1),
        ("duplicate-complete", False, 2, 1),
        ("out-of-order", False, 1, 1),
        ("lost-response", True, 0, 1),
    ],
)
async def test_a_fault_in_the_stream_saves_or_voids_as_it_says(
    caller: Caller, operation: str, kind: str, cut: bool, complete: int, saved: int
) -> None:
    answer = await strike(caller, kind, operation)
    assert answer.was_cut is cut
    assert len(answer.of("interaction-complete")) == complete
    assert await committed(caller) == saved


@pytest.mark.parametrize(
    ("kind", "types"),
    [
        ("error-first", ["error"]),
        ("error-after-first", ["conversation-created", "error"]),
    ],
)
async def test_an_early_error_comes_before_anything_else_is_said(caller: Caller, kind: str, types: list[str]) -> None:
    answer = await strike(caller, kind, code=503)
    assert answer.types == types
    assert answer.of("error")[0]["http_error_code"] == 503


async def test_a_void_create_leaves_no_conversation_unless_it_is_kept(caller: Caller) -> None:
    await strike(caller, "cut-before-commit")
    assert await caller.conversations() == []
    await strike(caller, "cut-before-commit", keep=1)
    (row,) = await caller.conversations()
    assert row["num_messages"] == 0
    assert (await caller.create()).status == 400


@pytest.mark.parametrize("after", [0, 1, 3, 99])
async def test_a_cut_strikes_after_so_many_pieces(caller: Caller, after: int) -> None:
    answer = await strike(caller, "cut-before-commit", after=after)
    whole = (await caller.create("An event")).of("new-message")
    assert len(answer.of("new-message")) == min(after, len(whole))
    assert answer.was_cut


@pytest.mark.parametrize(("kind", "saved"), [("cut-then-commit", 1), ("cut-then-void", 0)])
async def test_a_server_that_goes_on_after_the_cut_holds_the_lock_until_it_is_done(
    caller: Caller, kind: str, saved: int
) -> None:
    created = await caller.create("Before")
    header = {"x-sandbox-fault": f"{kind};delay_s=3"}
    assert (await caller.interact(created.conversation_id, "An event", headers=header)).was_cut
    assert await caller.finish(created.conversation_id) == 409
    assert await committed(caller) == 0

    async def is_unlocked() -> bool:
        return await caller.finish(created.conversation_id) != 409

    await until(is_unlocked)
    assert await committed(caller) == saved


@pytest.mark.parametrize("kind", ["stall", "stall-after-commit"])
async def test_a_client_that_gives_up_on_a_stall_finds_what_the_stall_says(caller: Caller, kind: str) -> None:
    striking = asyncio.create_task(strike(caller, kind))

    async def is_stalled() -> bool:
        return len(await entries(caller)) == 1 and await committed(caller) == (kind == "stall-after-commit")

    await until(is_stalled)
    striking.cancel()

    async def is_noticed() -> bool:
        return (await entries(caller))[0]["outcome"] is not None

    await until(is_noticed)
    assert await committed(caller) == (kind == "stall-after-commit")


@pytest.mark.parametrize(
    ("switch", "kind", "saved"), [("rollback", "", 0), ("commit", "", 1), ("rollback", "disconnect-commits", 1)]
)
async def test_a_client_that_leaves_voids_the_interaction_unless_chosen_otherwise(
    start: Start, switch: str, kind: str, saved: int
) -> None:
    caller = await start(on_disconnect=switch)
    started = asyncio.Event()
    message = f"[[reply:slow=0.02]] An event [[fault:{kind}]]" if kind else "[[reply:slow=0.02]] An event"
    leaving = asyncio.create_task(caller.create(message, started=started))
    await started.wait()
    leaving.cancel()

    async def is_noticed() -> bool:
        return (await entries(caller))[0]["outcome"] is not None

    await until(is_noticed)
    assert len(await caller.committed()) == saved
    assert len(await caller.conversations()) == saved


@pytest.mark.parametrize(
    ("kind", "broken"), [("malformed-line", b'{"type": "new-message", "message": '), ("invalid-utf8", b"\xc3\x28\xff")]
)
async def test_a_broken_line_stands_between_whole_ones(caller: Caller, kind: str, broken: bytes) -> None:
    answer = await strike(caller, kind)
    assert any(broken in line for line in answer.lines[1:-1])
    assert b"interaction-complete" in answer.lines[-1]


async def test_a_slow_end_keeps_the_lock_until_the_end(caller: Caller) -> None:
    created = await caller.create()
    header = {"x-sandbox-fault": "slow-eof;delay_s=3"}
    ending = asyncio.create_task(caller.interact(created.conversation_id, "An event", headers=header))

    async def is_saved() -> bool:
        return await committed(caller) == 1

    await until(is_saved)
    assert await caller.finish(created.conversation_id) == 409
    assert (await ending).ending
    assert await caller.finish(created.conversation_id) == 204


@pytest.mark.parametrize("completed", [True, False])
async def test_an_error_after_complete_tells_whether_the_conversation_is_over(caller: Caller, completed: bool) -> None:
    answer = await strike(caller, "error-after-complete", completed=int(completed))
    assert answer.types[-2:] == ["interaction-complete", "error"]
    assert answer.ending["conversation_completed"] is completed
    assert (await caller.conversations())[0]["is_finished"] is completed


@pytest.mark.parametrize("status", [401, 403, 404, 408, 409, 415, 422, 429, 500, 502, 503, 504])
async def test_any_status_can_be_answered_before_the_stream(caller: Caller, status: int) -> None:
    assert (await strike(caller, f"http-{status}")).status == status
    assert await caller.conversations() == []


@pytest.mark.parametrize(
    ("body", "content_type"), [("json", "application/json"), ("text", "text/plain"), ("html", "text/html")]
)
async def test_the_body_of_a_refusal_comes_in_several_kinds(caller: Caller, body: str, content_type: str) -> None:
    header = {**caller.headers, "x-sandbox-fault": f"http-502;body={body}"}
    async with caller.session.get(caller.url("/service/"), headers=header) as response:
        assert (response.status, response.content_type) == (502, content_type)
        assert await response.text()


@pytest.mark.parametrize(("form", "expected"), [("seconds", "7"), ("date", "GMT"), ("absent", "")])
async def test_a_429_carries_the_chosen_form_of_retry_after(caller: Caller, form: str, expected: str) -> None:
    header = {**caller.headers, "x-sandbox-fault": f"http-429;retry_after={form};wait_s=6.5"}
    async with caller.session.get(caller.url("/service/"), headers=header) as response:
        assert response.status == 429
        assert response.headers.get("Retry-After", "").endswith(expected)
        assert ("Retry-After" in response.headers) is (form != "absent")


@pytest.mark.parametrize("kind", ["reset", "close"])
async def test_a_connection_can_end_before_any_answer(caller: Caller, kind: str) -> None:
    answer = await strike(caller, kind)
    journal = await entries(caller)
    assert (answer.was_cut, answer.status) == (True, 0)
    assert (journal[0]["status"], journal[0]["fault"]) == (0, kind)
    assert await caller.conversations() == []


async def test_a_redirect_leads_to_the_other_slash(caller: Caller) -> None:
    header = {**caller.headers, "x-sandbox-fault": "redirect"}
    async with caller.session.get(caller.url("/service/"), headers=header, allow_redirects=False) as response:
        assert (response.status, response.headers["Location"]) == (307, caller.url("/service"))


async def test_slow_headers_come_late_and_the_operation_still_runs(caller: Caller) -> None:
    answer = await strike(caller, "slow-headers", delay_s=0.05)
    (entry,) = await entries(caller)
    assert answer.ending
    assert entry["ended_ms"] - entry["at_ms"] >= 50


async def test_the_response_of_a_finish_can_be_lost_after_it_was_done(caller: Caller) -> None:
    created = await caller.create()
    path = f"/conversation/{created.conversation_id}/finish/"
    with pytest.raises(aiohttp.ClientConnectionError):
        await caller.ask("POST", path, headers={"x-sandbox-fault": "lost-response"})
    assert await caller.finish(created.conversation_id) == 409


async def test_a_rule_strikes_whom_it_matches_and_as_often_as_it_says(caller: Caller) -> None:
    await caller.fault("http-409", count=2, match={"operation": "create-conversation", "text": "urgent"})
    assert (await caller.create("calm", body={"service_id": "5f0000000000000000000008"})).status == 201
    assert [(await caller.create("urgent!")).status for _ in range(3)] == [409, 409, 201]


@pytest.mark.parametrize(
    "match",
    [
        {"user": "user-1"},
        {"service": "5f0000000000000000000001"},
        {"tag": "channel:sms"},
        {"header": "x-mark: yes"},
        {"operation": "create-conversation"},
    ],
)
async def test_a_rule_can_match_user_service_tag_header_and_operation(caller: Caller, match: dict[str, str]) -> None:
    await caller.fault("http-500", match=match)
    other = await Caller(caller.session, caller.base_url, "user-2").sign_in()
    struck = await caller.create(body={"tags": {"channel": "sms"}}, headers={"x-mark": "yes"})
    spared = await other.create(body={"service_id": "5f0000000000000000000002"})
    assert struck.status == 500
    assert spared.status == (500 if "operation" in match else 201)


async def test_a_rule_waits_for_an_operation_that_it_can_strike(caller: Caller) -> None:
    await caller.fault("cut-after-commit", count=1)
    await caller.conversations()
    assert (await caller.create()).was_cut
    assert not (await caller.create(body={"service_id": "5f0000000000000000000002"})).was_cut


async def test_the_probability_of_a_rule_is_repeatable_with_a_seed(start: Start) -> None:
    async def statuses() -> list[int]:
        caller = await start(seed=7)
        await caller.fault("http-503", probability=0.5, match={"operation": "get-services"})
        return [(await caller.ask("GET", "/service/"))[0] for _ in range(20)]

    first = await statuses()
    assert first == await statuses()
    assert set(first) == {200, 503}


async def test_a_message_brings_its_fault_upon_itself_once_or_as_often_as_it_says(caller: Caller) -> None:
    assert [(await caller.create("x [[fault:http-500]]")).status for _ in range(2)] == [500, 201]
    other = {"service_id": "5f0000000000000000000002"}
    twice = [(await caller.create("y [[fault:http-500;count=2]]", body=other)).status for _ in range(3)]
    assert twice == [500, 500, 201]


async def test_rules_can_be_listed_and_removed(caller: Caller) -> None:
    await caller.fault("http-500", count=5)
    assert len((await caller.get("/_sandbox/faults"))["faults"]) == 1
    assert (await caller.ask("DELETE", "/_sandbox/faults"))[0] == 204
    assert (await caller.create()).status == 201


@pytest.mark.parametrize(
    "rule", [{"kind": "nonsense"}, {"kind": "stall", "colour": 1}, {"kind": "stall", "match": {"x": 1}}, []]
)
async def test_a_rule_that_cannot_be_is_refused(caller: Caller, rule: object) -> None:
    assert (await caller.ask("POST", "/_sandbox/faults", rule))[0] == 400


@pytest.mark.parametrize("directive", ["fault:nonsense", "fault:stall;after=soon", "reply:chunks=few"])
async def test_a_directive_that_cannot_be_is_400_and_leaves_nothing(caller: Caller, directive: str) -> None:
    assert (await caller.create(f"x [[{directive}]]")).status == 400
    assert await caller.conversations() == []


async def test_the_door_can_be_shut_for_a_while(caller: Caller) -> None:
    await caller.ask("POST", "/_sandbox/door", {"closed_s": 0.1})

    async def answers() -> bool:
        try:
            return (await caller.ask("GET", "/service/"))[0] == 200
        except aiohttp.ClientConnectionError:
            return False

    async def is_shut() -> bool:
        return not await answers()

    await until(is_shut)
    await until(answers)
