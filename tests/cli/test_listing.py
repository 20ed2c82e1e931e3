"""Long lists: page by page, shown before the next page is asked for, within the limits, told on standard error."""

import asyncio
import json
import re
import shlex
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from tests.support.history_commands import CONVERSATION, Commands, conversation, message, page, user
from tests.support.process import command, environment
from tests.support.scripted import ScriptedServer, Talk, signing_in

ROWS, A_PAGE = 12_000, 500
TEXT = "x" * 2000
MAX_GROWTH_KB = 16_000
"""Far less than the 24 MB of all the texts."""
EXACT = '{"id":"a","current_state_name":"s","price":1.10,"number":123456789012345678901234567890,"far":1e3}'


def peak_kb(pid: int) -> int:
    """The largest part of memory that the process has had so far."""
    found = re.search(r"^VmHWM:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE)
    assert found is not None
    return int(found[1])


async def test_twelve_thousand_messages_are_streamed_in_flat_memory(tmp_path: Path) -> None:
    shown = asyncio.Event()

    async def script(talk: Talk) -> None:
        offset = int(talk.request.query["continuation_token"])
        if offset + A_PAGE == ROWS:
            await shown.wait()  # the last page comes only when all before it has been read
        rows = [message(number, message=TEXT) for number in range(offset, offset + A_PAGE)]
        await talk.answer(200, page("messages", rows, offset + A_PAGE if offset + A_PAGE < ROWS else None))

    async with ScriptedServer(signing_in(script)) as server:
        commands = Commands(tmp_path, server.base_url)
        arguments = ("history", "messages", CONVERSATION, "--all", "--json", "--config", str(commands.file))
        process = await asyncio.create_subprocess_exec(
            *command(*arguments),
            cwd=tmp_path,
            env=environment(),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            limit=1 << 20,
        )
        assert process.stdout is not None
        assert process.stderr is not None
        ids = [json.loads(await process.stdout.readline())["id"] for _ in range(3 * A_PAGE)]
        early = peak_kb(process.pid)
        ids += [json.loads(await process.stdout.readline())["id"] for _ in range(ROWS - 4 * A_PAGE)]
        late = peak_kb(process.pid)
        shown.set()
        ids += [json.loads(line)["id"] for line in (await process.stdout.read()).splitlines()]
        told = (await process.stderr.read()).decode()
        assert await process.wait() == 0, told
    print(f"peak of memory: {early} kB after {3 * A_PAGE} rows, {late} kB after {ROWS - A_PAGE}")
    assert ids == [message(number)["id"] for number in range(ROWS)]
    assert late - early < MAX_GROWTH_KB
    assert told.splitlines() == [f"{count:,} rows so far" for count in range(A_PAGE, ROWS, A_PAGE)]


async def test_a_limit_is_waited_out_as_the_api_says_and_nobody_is_hammered(tmp_path: Path) -> None:
    times: list[float] = []

    async def script(talk: Talk) -> None:
        times.append(time.monotonic())
        if len(times) == 2:
            await talk.answer(429, {"detail": "The user has exceeded the rate limit."}, Retry_After="2")
        else:
            offset = int(talk.request.query["continuation_token"])
            row = conversation(offset)
            await talk.answer(200, page("conversations", [row], 100 if offset == 0 else None))

    async with ScriptedServer(signing_in(script)) as server:
        done = await Commands(tmp_path, server.base_url).run("history", "conversations", "--all", "--json")
    assert (done.status, len(done.out.splitlines()), len(times)) == (0, 2, 3), done.all
    assert times[2] - times[1] >= 2
    assert "the rate limit" in done.err
    assert "next try in" in done.err


async def test_a_reader_who_has_seen_enough_ends_the_list(tmp_path: Path) -> None:
    async def script(talk: Talk) -> None:
        offset = int(talk.request.query["continuation_token"])
        rows = [message(number, message=TEXT) for number in range(offset, offset + A_PAGE)]
        await talk.answer(200, page("messages", rows, offset + A_PAGE))

    async with ScriptedServer(signing_in(script)) as server:
        commands = Commands(tmp_path, server.base_url)
        for more in ([], ["--json"]):
            arguments = command("history", "messages", CONVERSATION, "--all", "--config", str(commands.file), *more)
            line = f"{shlex.join(arguments)} | head -n 1; exit ${{PIPESTATUS[0]}}"
            done = await asyncio.to_thread(
                subprocess.run, ["bash", "-c", line], env=environment(), capture_output=True, text=True, timeout=60
            )
            assert (done.returncode, len(done.stdout.splitlines())) == (0, 1), done.stderr
            assert "Traceback" not in done.stderr


async def test_what_one_page_leaves_out_is_said(tmp_path: Path) -> None:
    async def script(talk: Talk) -> None:
        await talk.answer(200, page("conversations", [conversation(2), conversation(1)], 2))

    async with ScriptedServer(signing_in(script)) as server:
        done = await Commands(tmp_path, server.base_url).run("history", "conversations", "--limit", "2")
    assert (done.status, len(done.out.splitlines())) == (0, 3), done.all
    assert done.err == "there is more: --offset 2, or --all\n"


async def test_a_dialogue_is_in_order_though_the_api_promises_none(tmp_path: Path) -> None:
    at = [f"2026-11-28T09:12:0{number}Z" for number in range(3)]
    rows = [message(number, created_at=at[number], message=f"Line {number}") for number in (2, 0, 1)]

    async def script(talk: Talk) -> None:
        await talk.answer(200, page("messages", rows))

    async with ScriptedServer(signing_in(script)) as server:
        commands = Commands(tmp_path, server.base_url)
        done = await commands.run("history", "messages", CONVERSATION)
        assert [line for line in done.out.splitlines() if line[0] == " "] == ["  Line 0", "  Line 1", "  Line 2"]
        assert await commands.rows("history", "messages", CONVERSATION) == rows


async def test_json_is_the_apis_own_object_with_its_numbers(tmp_path: Path) -> None:
    async def script(talk: Talk) -> None:
        await talk.answer(200, EXACT.encode())

    async with ScriptedServer(signing_in(script)) as server:
        commands = Commands(tmp_path, server.base_url)
        done = await commands.run("history", "insights", CONVERSATION, "b" * 24, "--json")
    assert done.out == EXACT + "\n", done.all


@pytest.mark.parametrize("rows", [[conversation()], []], ids=["it is open", "it is not shown"])
async def test_a_conversation_that_is_busy_is_not_called_finished(rows: list[Any], tmp_path: Path) -> None:
    async def script(talk: Talk) -> None:
        if talk.request.method == "POST":
            await talk.answer(409, {"detail": "a related operation is in process"})
        else:
            await talk.answer(200, page("conversations", rows))

    async with ScriptedServer(signing_in(script)) as server:
        done = await Commands(tmp_path, server.base_url).run("history", "finish", CONVERSATION)
        assert len(server.of(f"/conversation/{CONVERSATION}/finish/")) == 1
    assert (done.status, "in process" in done.err, done.out) == (1, True, ""), done.all


async def test_a_user_is_never_created_twice(tmp_path: Path) -> None:
    async def script(talk: Talk) -> None:
        talk.reset()

    async with ScriptedServer(signing_in(script)) as server:
        new = ("--first-name", "Ada", "--last-name", "Lovelace", "--email", "ada@example.com")
        done = await Commands(tmp_path, server.base_url).run("users", "create", *new)
        assert len(server.of("/user/")) == 1
    assert (done.status, "it may exist all the same" in done.err, done.out) == (1, True, ""), done.all


async def test_the_list_of_users_is_read_to_its_end(tmp_path: Path) -> None:
    """An API that knows no filter by e-mail answers with everybody, and the one who is meant may come last."""
    answers: list[dict[str, Any]] = [
        page("users", [user(user_id="u1", email="bob@example.com")], 1),
        page("users", [user(user_id="u2", email="ADA@example.com")]),
    ]

    async def script(talk: Talk) -> None:
        await talk.answer(200, answers["continuation_token" in talk.request.query])

    async with ScriptedServer(signing_in(script)) as server:
        (row,) = await Commands(tmp_path, server.base_url).rows("users", "find", "ada@example.com")
    assert row["user_id"] == "u2"
