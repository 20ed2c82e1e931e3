"""Every error status and every fault of the sandbox, for every operation: which error, who must act, what is resent."""

import asyncio
from typing import Any

import pytest

from bridge.core.delivery.resend import ONCE, Resend, resend
from bridge.core.delivery.retry import RetryPolicy
from bridge.core.errors import Actor, ApiError, Lost, NotSent, Refused, SignInRefused, TooEarly, Unavailable
from bridge.sandbox.script.fault import AFTER, BEFORE, STREAM
from tests.support.amigo import API_KEY, SERVICE
from tests.support.amigo_bench import OPERATIONS, USER, Bench, Operation, all_of, bench, said
from tests.support.outcomes import Outcomes

NOT_PUBLISHED = (307, 500, 502, 504)
BODIES = ("json", "text", "html", "empty")
SHORT = {Refused: "ref", SignInRefused: "sig", TooEarly: "ear", Unavailable: "una", Lost: "los", NotSent: "not"}
SENT_AGAIN = {Resend.AT_ONCE: "=", Resend.AFTER_PROOF: "?", Resend.NEVER: "!"}
PATIENT = RetryPolicy(attempts=3, first_s=0.001)
BY_NAME = {operation.name: operation for operation in OPERATIONS}
EACH = pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation.name)
IDLE_S = 0.6


def told(operation: str, error: ApiError) -> str:
    """The error as the table shows it."""
    actor = "t" if error.actor is Actor.TIME else "o"
    return f"{SHORT[type(error)]}-{actor}{SENT_AGAIN[resend(operation, error)]}"


async def caught(b: Bench, operation: Operation) -> ApiError:
    with pytest.raises(ApiError) as failed:
        await operation.ask(b)
    return failed.value


def expected(operation: Operation, status: int) -> type[ApiError]:
    """The error of a status. Where signing in fails, no request was made: that is the user's or the bridge's affair."""
    if operation.name == "sign-in":
        return NotSent if status >= 500 else TooEarly if status == 429 else SignInRefused
    return {401: SignInRefused, 429: TooEarly, 503: Unavailable}.get(status, Refused)


@EACH
async def test_every_status_becomes_an_error_that_says_who_must_act(operation: Operation, outcomes: Outcomes) -> None:
    async with bench() as b:
        await b.talk()
        for status in (*operation.statuses, *NOT_PUBLISHED):
            b.fault("redirect" if status == 307 else f"http-{status}", operation.id, wait_s=0)
            error = await caught(b, operation)
            assert type(error) is expected(operation, status), (status, error)
            assert status == 307 or str(status) in str(error)
            outcomes.note(operation.name, str(status), told(operation.name, error))
        assert API_KEY not in str(error)


@pytest.mark.parametrize("body", BODIES)
async def test_the_apis_own_words_are_kept_whatever_their_form(body: str) -> None:
    async with bench() as b:
        b.fault("http-502", "get-services", body=body)
        error = await caught(b, BY_NAME["services"])
        assert isinstance(error, Refused)
        assert ("Sandbox fault http-502." in error.text) is (body != "empty")


@EACH
async def test_a_connection_that_breaks_is_lost_unless_nothing_was_sent(
    operation: Operation, outcomes: Outcomes
) -> None:
    async with bench() as b:
        await b.talk()
        for kind in ("reset", "close", *AFTER):
            b.fault(kind, operation.id)
            error = await caught(b, operation)
            assert type(error) is broken(operation, kind), (kind, error)
            outcomes.note(operation.name, kind.removesuffix("-response"), told(operation.name, error))
        b.state.faults.clear()
        await shut(b)
        error = await caught(b, operation)
        assert type(error) is NotSent
        outcomes.note(operation.name, "door", told(operation.name, error))


def broken(operation: Operation, kind: str) -> type[ApiError]:
    """aiohttp repeats a DELETE by itself on a connection that was kept: what is deleted is not found a second time."""
    if operation.name == "delete-webhook-destination" and kind == "lost-response":
        return Refused
    return NotSent if operation.name == "sign-in" else Lost


async def shut(b: Bench) -> None:
    """Shuts the sandbox's door, and waits until it takes no connection any more, for a minute at most."""
    assert b.state.door is not None
    b.state.door.shut(30)
    async with asyncio.timeout(60):
        while True:
            try:
                await b.conversations.modify_tags(USER, b.conversation_id, {})
            except NotSent:
                return
            except ApiError:
                await asyncio.sleep(0.005)


@EACH
async def test_what_comes_late_has_come(operation: Operation) -> None:
    async with bench() as b:
        await b.talk()
        b.fault("slow-headers", operation.id, delay_s=0.02)
        await operation.ask(b)


# --- what is sent again

TRANSIENT = ("http-500", "http-502", "http-503", "http-504", "reset", "close")


@EACH
async def test_what_must_happen_once_is_not_repeated_and_everything_else_is(operation: Operation) -> None:
    async with bench(PATIENT) as b:
        await b.talk()
        for kind in TRANSIENT:
            b.fault(kind, operation.id, count=1)
            before = b.asked(operation.id)
            if operation.name in ONCE:
                await caught(b, operation)
                assert b.asked(operation.id) == before + 1, kind
            elif operation.name not in ("finish", "delete-webhook-destination"):  # cannot be done twice
                if operation.name == "sign-in":
                    await all_of(b.conversations.list(f"stranger {kind}"))
                else:
                    await operation.ask(b)
                assert b.asked(operation.id) == before + 2, kind


@EACH
async def test_a_rate_limit_is_waited_out_and_the_call_then_made(operation: Operation) -> None:
    async with bench(PATIENT) as b:
        await b.talk()
        b.fault("http-429", operation.id, count=2, wait_s=0)
        if operation.name == "sign-in":
            await all_of(b.conversations.list("stranger"))
        else:
            await operation.ask(b)
        assert b.state.faults.rules()[0]["left"] == 0


@pytest.mark.parametrize("name", ["finish", "delete-webhook-destination"])
async def test_an_ending_is_sent_again_after_a_failure(name: str) -> None:
    async with bench(PATIENT) as b:
        await b.talk()
        b.fault("http-502", BY_NAME[name].id, count=2)
        await BY_NAME[name].ask(b)
        assert b.asked(BY_NAME[name].id) == 3


async def test_attempts_are_used_up() -> None:
    async with bench(PATIENT) as b:
        b.fault("http-500", "get-services")
        with pytest.raises(Refused):
            await BY_NAME["services"].ask(b)
        assert b.asked("get-services") == 3


async def test_a_body_that_came_too_late_may_be_sent_again() -> None:
    async with bench(PATIENT) as b:
        await b.talk()
        b.fault("http-408", "interact-with-conversation", count=1)
        await BY_NAME["interact"].ask(b)
        assert len(b.state.store.interactions) == 2


@pytest.mark.parametrize("operation", OPERATIONS[1:], ids=lambda operation: operation.name)
async def test_a_token_that_is_refused_is_renewed_once(operation: Operation) -> None:
    async with bench() as b:
        await b.talk()
        await all_of(b.conversations.list("user-2"))
        b.state.tokens.revoke(None)
        await operation.ask(b)
        b.fault("http-401", operation.id)
        assert isinstance(await caught(b, operation), SignInRefused)


# --- streams

CLEAN = {
    "error-first": "error",
    "error-after-first": "error",
    "error-mid": "error",
    "error-after-complete": "error",
    "eof-before-commit": "new-message",
    "eof-after-commit": "new-message",
    "slow-eof": "interaction-complete",
    "disconnect-commits": "interaction-complete",
    "malformed-line": "interaction-complete",
    "invalid-utf8": "interaction-complete",
    "duplicate-complete": "interaction-complete",
    "out-of-order": "interaction-complete",
}
CUT = set(STREAM) - set(CLEAN)


def test_every_fault_of_the_sandbox_is_tried() -> None:
    assert set(CLEAN) <= set(STREAM)
    assert set(BEFORE) == {"reset", "close", "slow-headers", "redirect"}
    assert set(AFTER) == {"lost-response"}


@pytest.mark.parametrize("operation", ["create-conversation", "interact"])
@pytest.mark.parametrize("kind", STREAM)
async def test_a_stream_that_goes_wrong_is_cut_or_says_how(operation: str, kind: str) -> None:
    async with bench(idle_s=60.0 if kind in CLEAN else IDLE_S) as b:
        await b.talk()
        b.fault(kind, BY_NAME[operation].id, delay_s=0.05 if kind in CLEAN else 2 * IDLE_S)
        stream: Any = b.conversations.create("user-2", SERVICE)
        if operation == "interact":
            stream = b.conversations.interact(USER, b.conversation_id, message="Hi")
        lines = await read_lines(stream, cut=kind in CUT)
        if kind in CLEAN:
            last = b'"type":"' + CLEAN[kind].encode()
            assert last in lines[-1]
        else:
            assert all(b'"error"' not in line for line in lines)
        assert (b"interaction-complete" in b"".join(lines)) is (
            kind in ("error-after-complete", "cut-after-complete") or CLEAN.get(kind) == "interaction-complete"
        )


async def read_lines(stream: Any, *, cut: bool) -> list[bytes]:
    """The lines of a stream; one that is `cut` must raise Lost at its end."""
    pieces: list[bytes] = []
    try:
        async with stream as chunks:
            async for chunk in chunks:
                pieces.append(chunk)
    except Lost:
        assert cut
    else:
        assert not cut
    return [line for line in b"".join(pieces).split(b"\n") if line]


async def test_an_error_on_the_stream_is_read_with_its_code_and_words() -> None:
    async with bench() as b:
        b.fault("error-mid", "create-conversation", code=503)
        events = await said(b.conversations.create(USER, SERVICE))
        assert (events[-1].http_error_code, bool(events[-1].error_description)) == (503, True)
