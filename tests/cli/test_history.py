"""`amigo-bridge history`, `services` and `users` as processes against the sandbox: for people, and for programs."""

import json
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from rich.cells import cell_len

from bridge.sandbox.state.rows import User
from tests.support.amigo_bench import Bench, all_of, bench, said
from tests.support.history_commands import SERVICE, USER, Commands
from tests.support.observed_sandbox import observed_sandbox


@asynccontextmanager
async def world(folder: Path, **options: Any) -> AsyncIterator[tuple[Bench, Commands]]:
    """A sandbox with one conversation, and the commands."""
    async with bench(**options) as b:
        stream = b.conversations.create(
            USER, SERVICE, message="Where is my parcel?", kind="user-message", tags={"channel": "sms"}
        )
        events = await said(stream)
        b.conversation_id = events[0].conversation_id
        b.interaction_id = events[-1].interaction_id
        yield b, Commands(folder, b.base_url)


async def test_conversations_are_listed_as_a_table_that_fits_and_as_the_apis_own_objects(tmp_path: Path) -> None:
    async with world(tmp_path) as (b, commands):
        for columns in (80, 160):
            done = await commands.run("history", "conversations", columns=columns)
            head, line = done.out.splitlines()
            assert head.split()[:4] == ["ID", "CREATED", "STATE", "COUNT"]
            assert line.startswith(f"{b.conversation_id}  20")
            assert ("channel=sms" in line, "USER" in head) == (columns == 160, columns == 160)
            assert all(cell_len(one) <= columns for one in (head, line))
        (row,) = await commands.rows("history", "conversations", "--tag", "channel:sms")
        assert (row["id"], row["tags"], row["is_finished"]) == (b.conversation_id, {"channel": "sms"}, False)
        assert set(row) >= {"completed_post_processings", "version_set_info", "num_messages", "user_id"}


async def test_messages_read_like_a_dialogue(tmp_path: Path) -> None:
    async with world(tmp_path) as (b, commands):
        await said(b.conversations.interact(USER, b.conversation_id, message="It is\nlate \x1b[31m" + "word " * 40))
        typed = await all_of(b.conversations.messages(USER, b.conversation_id))
        done = await commands.run("history", "messages", b.conversation_id, columns=60)
        lines = done.out.splitlines()
        heads = [line for line in lines if not line.startswith("  ")]
        assert [line.rpartition("  ")[2] for line in heads] == [message.id for message in typed]
        assert heads[0].split("  ")[1] == typed[0].sender == "Sam"
        assert lines[1] == "  Where is my parcel?"
        late = lines.index("  It is")
        assert lines[late + 1].startswith(r"  late \x1b[31mword word")
        assert all(cell_len(line) <= 60 for line in lines if line.startswith("  "))
        rows = await commands.rows("history", "messages", b.conversation_id, "--sort", "-created_at")
        assert [row["id"] for row in rows] == [message.id for message in typed][::-1]
        assert rows[-1]["message_type"] == "user-message"


async def test_tags_are_shown_set_and_deleted_and_a_conversation_is_finished(tmp_path: Path) -> None:
    async with world(tmp_path) as (b, commands):
        done = await commands.run("history", "tags", b.conversation_id, "--set", "team=billing", "--set", "urgent=")
        assert done.out == f"{b.conversation_id}: 2 set, 0 deleted\n"
        assert (await commands.run("history", "tags", b.conversation_id)).out == "channel=sms\nteam=billing\nurgent\n"
        (said_,) = await commands.rows("history", "tags", b.conversation_id, "--delete", "urgent")
        assert said_ == {"conversation_id": b.conversation_id, "updates": {}, "deletes": ["urgent"]}
        assert await commands.rows("history", "tags", b.conversation_id) == [{"channel": "sms", "team": "billing"}]
        assert (await commands.run("history", "finish", b.conversation_id)).out == f"{b.conversation_id} is finished\n"
        (again,) = await commands.rows("history", "finish", b.conversation_id)
        assert again == {"conversation_id": b.conversation_id, "already": True, "announced": False}
        nobody = await commands.run("history", "tags", "0" * 24)
        assert (nobody.status, "is not listed: it does not exist, or" in nobody.err) == (1, True), nobody.all


async def test_insights_are_a_page_and_responses_are_recommended(tmp_path: Path) -> None:
    async with world(tmp_path) as (b, commands):
        done = await commands.run("history", "insights", b.conversation_id, columns=70)
        lines = done.out.splitlines()
        assert lines[:3] == [f"Interaction {b.interaction_id}", "State", "  inform"]
        for part in ("Transitions", "Working memory", "Reflections", "  understand → inform  [tool-call]"):
            assert part in lines, done.out
        assert done.out.count("lookup 1.4.0 (0.21 s)") == 2
        assert all(cell_len(line) <= 70 for line in lines)
        (row,) = await commands.rows("history", "insights", b.conversation_id, b.interaction_id)
        assert (row["current_state_name"], row["engage_user_tool_call_logs"][0][0]["duration"]) == ("inform", 0.21)
        words = await commands.run("history", "recommend", b.conversation_id, "--context", "In a hurry")
        assert [line[:2] for line in words.out.splitlines()] == ["• "] * 3, words.all
        (answer,) = await commands.rows("history", "recommend", b.conversation_id)
        assert len(answer["recommended_responses"]) == 3


async def test_services_show_their_version_sets(tmp_path: Path) -> None:
    async with world(tmp_path) as (_, commands):
        done = await commands.run("services")
        assert done.out.splitlines()[0].startswith(f"{SERVICE}  Customer Care  active")
        assert "    edge: agent latest, state machine latest" in done.out.splitlines()
        assert "    release: agent 3, state machine 3" in done.out.splitlines()
        rows = await commands.rows("services", "--tag", "channel:phone")
        assert [row["name"] for row in rows] == ["Front Desk"]
        assert "release" in rows[0]["version_sets"]


async def test_a_user_is_created_and_found_whatever_the_case(tmp_path: Path) -> None:
    new = ("users", "create", "--first-name", "Ada", "--last-name", "Lovelace", "--email", "ada@example.com")
    async with world(tmp_path) as (b, commands):
        (made,) = await commands.rows(*new, "--timezone", "Europe/London")
        (row,) = await commands.rows("users", "find", "ada@Example.COM")
        assert (row["user_id"], row["preferences"]["timezone"]) == (made["user_id"], "Europe/London")
        done = await commands.run("users", "find", "ada@example.com")
        assert done.out.startswith(f"{made['user_id']}  Ada Lovelace  ada@example.com\n")
        assert "time zone Europe/London" in done.out
        taken = await commands.run(*new)
        assert (taken.status, "already exists" in taken.err, taken.out) == (1, True, ""), taken.all
        nobody = await commands.run("users", "find", "bob@example.com", "--json")
        assert (nobody.status, nobody.out) == (1, "")
        assert "no user has the e-mail bob@example.com" in nobody.err
        twin = User("acme", "5a0000000000000000000009", "Ada", "Two", "ada@example.com")
        b.state.store.save_user(twin)
        two = await commands.run("users", "find", "ada@example.com")
        assert (two.status, two.err) == (1, "more than one user has the e-mail ada@example.com\n"), two.all


HIDDEN = (
    ("Conversation:GetConversation", ("history", "conversations")),
    ("Conversation:GetMessage", ("history", "messages", "CONVERSATION")),
    ("Service:GetService", ("services",)),
)


async def test_it_is_said_where_a_permission_hides_things(tmp_path: Path) -> None:
    async with world(tmp_path) as (b, commands):
        role = b.state.store.users["acme", USER]
        for permission, arguments in HIDDEN:
            role.denied = [permission]
            done = await commands.run(*(b.conversation_id if one == "CONVERSATION" else one for one in arguments))
            assert (done.status, done.out) == (0, "")
            assert f"nothing is listed: the role lacks {permission}" in done.err.replace("\n", " "), done.all
        role.denied = ["Conversation:GetMessage", "Service:GetVersionSet"]
        done = await commands.run("history", "conversations")
        assert b.conversation_id in done.out
        assert "last messages are not shown: the role lacks Conversation:GetMessage" in done.err
        assert "version sets are not shown: the role lacks Service:GetVersionSet" in done.err
        role.denied = ["Conversation:ModifyConversation"]
        done = await commands.run("history", "tags", b.conversation_id, "--set", "a=b")
        assert (done.status, "the role lacks Conversation:ModifyConversation" in done.err) == (1, True), done.all


async def test_a_voice_message_has_a_source_that_is_downloaded(tmp_path: Path) -> None:
    async with world(tmp_path) as (b, commands):
        stream = b.conversations.interact(USER, b.conversation_id, message="Speak", response_format="voice")
        spoken = (await said(stream))[-1].message_id
        (row,) = await commands.rows("history", "source", b.conversation_id, spoken, "--long-lived")
        assert row["url"].startswith("http")
        file = tmp_path / "answer.wav"
        file.write_text("older")
        done = await commands.run("history", "source", b.conversation_id, spoken, "--download", str(file))
        size = file.stat().st_size
        assert (done.status, f"{size:,} bytes, audio/wav" in done.out) == (0, True), done.all
        assert file.read_bytes()[:4] == b"RIFF"
        assert [name for name in os.listdir(tmp_path) if "wav" in name] == ["answer.wav"]
        nowhere = str(tmp_path / "none" / "a.wav")
        done = await commands.run("history", "source", b.conversation_id, spoken, "--download", nowhere)
        assert (done.status, "there is no folder" in done.err) == (2, True), done.all


async def test_a_command_that_cannot_work_says_why(tmp_path: Path) -> None:
    async with observed_sandbox() as sandbox:
        commands = Commands(tmp_path, sandbox.base_url)
        (tmp_path / "nameless").mkdir()
        nameless = Commands(tmp_path / "nameless", sandbox.base_url, user_id=None)
        for asked, arguments, status, words in (
            (commands, ("history", "conversations", "--all", "--limit", "3"), 2, "exclude each other"),
            (commands, ("history", "conversations", "--limit", "999"), 1, "422"),
            (commands, ("history", "messages", "../user"), 1, "no request is made"),
            (commands, ("history", "tags", "0" * 24, "--set", "team"), 2, "KEY=VALUE"),
            (commands, ("history", "messages", "0" * 24), 1, "404"),
            (commands, ("services", "--as", "missing-user"), 1, "sign-in"),
            (nameless, ("services",), 2, "give --as"),
        ):
            done = await asked.run(*arguments)
            assert (done.status, words in done.err, done.out) == (status, True, ""), done.all
        done = await nameless.run("services", "--as", "somebody", "--json")
        assert (done.status, len([json.loads(line) for line in done.out.splitlines()])) == (0, 3), done.all
