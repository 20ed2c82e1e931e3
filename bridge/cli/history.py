"""`amigo-bridge history …`: conversations of the API, for people as tables and dialogues, for programs as they are."""

from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

import click

from bridge.cli.api_session import ApiOptions, ApiSession, Paging, api_options, paging_options
from bridge.cli.dialogue import by_time, dialogue
from bridge.cli.insights_page import insights_page
from bridge.cli.invocation import attempt
from bridge.cli.lazy_group import LazyGroup
from bridge.cli.screen import Screen
from bridge.cli.table import Column, Table, moment, tags_text
from bridge.core.errors import BridgeError
from bridge.core.permissions import GET_VERSION_SET, lacks
from bridge.edges.amigo import calls
from bridge.edges.amigo.calls import ConversationFilter, MessageFilter, Slice
from bridge.edges.amigo.conversations import CONVERSATIONS_A_PAGE, MESSAGES_A_PAGE
from bridge.edges.amigo.download import download
from bridge.edges.amigo.pages import Row
from bridge.edges.amigo.results import ConversationResult, MessageResult, MessageSource, RecommendedResponses

COLUMNS = (
    Column("ID", 24),
    Column("CREATED", 20, 1),
    Column("STATE", 8, 2),
    Column("COUNT", 5, 3),
    Column("USER", 24, 5),
    Column("TAGS", 30, 4),
)
MESSAGE_TYPES = ("user-message", "agent-message", "external-event", "agent-inner-thought")
PROGRESS_BYTES = 1 << 20
"""A line of progress for every so many bytes of a download."""


class NotThere(BridgeError):
    """The API shows nothing of the kind that the command is about."""


class HistoryCommands(LazyGroup):
    """The commands here, and the one that needs the broker beside the API."""

    places: ClassVar = {"finish": "bridge.cli.history_finish:finish"}


@click.group(cls=HistoryCommands)
def history() -> None:
    """Conversations: list, read, tag and finish them; what the agent thought.

    \b
    amigo-bridge history conversations --user customer-42 --unfinished
    amigo-bridge history messages 6a0000000000000000000001
    amigo-bridge history insights 6a0000000000000000000001
    """


@history.command(epilog="Example: amigo-bridge history conversations --tag channel:sms --sort -created_at --limit 20")
@api_options
@click.option("--user", "users", multiple=True, metavar="ID", help="Of this user; repeatable.")
@click.option("--service", "services", multiple=True, metavar="ID", help="With this service; repeatable.")
@click.option("--id", "ids", multiple=True, metavar="ID", help="This conversation; repeatable.")
@click.option("--finished/--unfinished", "finished", default=None, help="Only those; by default both.")
@click.option(
    "--tag", "tags", multiple=True, metavar="KEY:VALUE", help="With this tag; KEY:* any value, KEY: none. Repeatable."
)
@paging_options
def conversations(
    options: ApiOptions,
    users: Sequence[str],
    services: Sequence[str],
    ids: Sequence[str],
    finished: bool | None,
    tags: Sequence[str],
    paging: Paging,
) -> None:
    """List conversations.

    The API orders them as it likes unless --sort says how; --all is newest first.
    """
    rows = paging.slice(CONVERSATIONS_A_PAGE, "-created_at")
    screen, session = options.begun()
    fits = ConversationFilter(users, services, ids, finished, tags)

    async def work() -> None:
        async with session() as api:
            table, hidden, is_first = Table(COLUMNS, "LAST MESSAGE", screen.width), set[str](), True
            call = calls.conversations_call(api.user_id, fits, rows)
            async for page in api.pages(call, "conversations", everything=paging.everything):
                for row in page.rows:
                    conversation = ConversationResult.read(call.operation, row)
                    screen.record(row, *([table.head] if is_first else []), table.line(_cells(conversation)))
                    is_first = False
                    hidden |= _hidden(conversation)
            for note in sorted(hidden):
                screen.note(note)

    attempt(screen, work())


@history.command(epilog="Example: amigo-bridge history messages 6a0000000000000000000001 --type user-message --all")
@api_options
@click.argument("conversation")
@click.option("--id", "ids", multiple=True, metavar="ID", help="This message; repeatable.")
@click.option("--interaction", "interactions", multiple=True, metavar="ID", help="Of this interaction; repeatable.")
@click.option("--type", "types", multiple=True, metavar="TYPE", help=f"{', '.join(MESSAGE_TYPES)}; repeatable.")
@paging_options
def messages(
    options: ApiOptions,
    conversation: str,
    ids: Sequence[str],
    interactions: Sequence[str],
    types: Sequence[str],
    paging: Paging,
) -> None:
    """Show the messages of CONVERSATION, oldest first; inner thoughts only where --type asks for them."""
    rows = paging.slice(MESSAGES_A_PAGE, "+created_at")
    screen, session = options.begun()
    fits = MessageFilter(ids, types, interactions)

    async def work() -> None:
        async with session() as api:
            call = calls.messages_call(api.user_id, conversation, fits, rows)
            async for page in api.pages(call, "messages", everything=paging.everything):
                for row in page.rows if options.as_json or rows.sort_by else by_time(page.rows):
                    screen.record(row, *dialogue(screen, row))

    attempt(screen, work())


@history.command(epilog="Example: amigo-bridge history source 6a0000000000000000000001 6c0000000000000000000001")
@api_options
@click.argument("conversation")
@click.argument("message")
@click.option("--long-lived", is_flag=True, help="An address that holds for twelve hours.")
@click.option(
    "--download", "file", type=click.Path(path_type=Path, dir_okay=False, writable=True), help="Save the audio as FILE."
)
def source(
    options: ApiOptions,
    conversation: str,
    message: str,
    long_lived: bool,
    file: Path | None,
) -> None:
    """Show the address of the audio of MESSAGE, or save the audio. Whoever has the address can hear it."""
    if file is not None and not file.parent.is_dir():
        raise click.UsageError(f"--download: there is no folder {file.parent}")
    screen, session = options.begun()

    async def work() -> None:
        async with session() as api:
            call = calls.source_call(api.user_id, conversation, message, long_lived=long_lived)
            row = await api.send(call)
            audio = MessageSource.read(call.operation, row)
        if file is None or options.as_json:
            lines = [audio.url, f"until {moment(audio.expires_at)}"] if audio.expires_at else [audio.url]
            screen.record(row, *lines)
        if file is not None:
            await _save(screen, audio, file)

    attempt(screen, work())


@history.command(epilog="Example: amigo-bridge history insights 6a0000000000000000000001")
@api_options
@click.argument("conversation")
@click.argument("interaction", required=False)
def insights(options: ApiOptions, conversation: str, interaction: str | None) -> None:
    """Show what the agent thought in INTERACTION, by default in the newest one."""
    screen, session = options.begun()

    async def work() -> None:
        async with session() as api:
            chosen = interaction or await _newest(api, conversation)
            row = await api.send(calls.insights_call(api.user_id, conversation, chosen))
            screen.record(row, f"Interaction {chosen}", *insights_page(screen, row))

    attempt(screen, work())


@history.command(
    epilog='Example: amigo-bridge history recommend 6a0000000000000000000001 --context "You are the tenant."'
)
@api_options
@click.argument("conversation")
@click.argument("interaction", required=False)
@click.option("--context", metavar="TEXT", help="Who answers, and in which situation.")
def recommend(
    options: ApiOptions,
    conversation: str,
    interaction: str | None,
    context: str | None,
) -> None:
    """Show answers that the user might give to INTERACTION, by default (and only) the newest one."""
    screen, session = options.begun()

    async def work() -> None:
        async with session() as api:
            chosen = interaction or await _newest(api, conversation)
            call = calls.recommend_call(api.user_id, conversation, chosen, context)
            row = await api.send(call)
            texts = RecommendedResponses.read(call.operation, row).recommended_responses
            screen.record(row, *(line for text in texts for line in _item(screen, text)))

    attempt(screen, work())


@history.command(
    epilog="Example: amigo-bridge history tags 6a0000000000000000000001 --set team=billing --delete urgent"
)
@api_options
@click.argument("conversation")
@click.option("--set", "updates", multiple=True, metavar="KEY=VALUE", help="Write a tag; KEY= without a value.")
@click.option("--delete", "deletes", multiple=True, metavar="KEY", help="Remove a tag.")
def tags(
    options: ApiOptions,
    conversation: str,
    updates: Sequence[str],
    deletes: Sequence[str],
) -> None:
    """Show the tags of CONVERSATION, or set and delete some in one request; the others stay."""
    pairs = dict(_pair(update) for update in updates)
    screen, session = options.begun()

    async def work() -> None:
        async with session() as api:
            if not pairs and not deletes:
                row = await listed(api, conversation)
                if row is None:
                    raise NotThere(f"{conversation} is not listed: it does not exist, or {lacks('list')}")
                kept = ConversationResult.read("list", row).tags
                screen.record(row.get("tags") or {}, *(tags_text({key: value}) for key, value in kept.items()))
                return
            await api.send(calls.tags_call(api.user_id, conversation, pairs, deletes))
        summary = f"{conversation}: {len(pairs)} set, {len(deletes)} deleted"
        screen.say(summary, conversation_id=conversation, updates=pairs, deletes=list(deletes))

    attempt(screen, work())


async def _newest(api: ApiSession, conversation: str) -> str:
    """The id of the newest interaction. Raises NotThere."""
    call = calls.messages_call(api.user_id, conversation, MessageFilter(), Slice(1, sort_by=("-created_at",)))
    for row in await api.rows(call, "messages"):
        return MessageResult.read(call.operation, row).interaction_id
    raise NotThere(f"{conversation} shows no interaction: it has none, or {lacks(call.operation)}")


async def listed(api: ApiSession, conversation: str) -> Row | None:
    """The conversation as it is listed, None where it is not."""
    call = calls.conversations_call(api.user_id, ConversationFilter(ids=(conversation,)))
    rows = await api.rows(call, "conversations")
    return next((row for row in rows if row.get("id") == conversation), None)


async def _save(screen: Screen, audio: MessageSource, file: Path) -> None:
    noted = 0

    def progress(size: int) -> None:
        nonlocal noted
        if size - noted >= PROGRESS_BYTES:
            noted = size
            screen.note(f"{size:,} bytes so far")

    try:
        size = await download(audio.url, file, progress)
    except OSError as error:
        raise click.FileError(str(file), error.strerror or type(error).__name__) from None
    kind = f", {audio.content_type}" if audio.content_type else ""
    sentence = f"{file}: {size:,} bytes{kind}"
    if screen.as_json:
        screen.note(sentence)
    else:
        screen.say(sentence)


def _cells(row: ConversationResult) -> list[str]:
    state = "finished" if row.is_finished else "open"
    count, tags_ = str(row.num_messages), tags_text(row.tags)
    return [row.id, moment(row.created_at), state, count, row.user_id, tags_, row.final_message]


def _hidden(row: ConversationResult) -> set[str]:
    """Notes on the fields that the role does not let the API show."""
    notes = set()
    if row.num_messages and not row.final_message:
        notes.add(f"last messages are not shown: {lacks('messages')}")
    if row.version_set_info is None:
        notes.add(f"version sets are not shown: the role lacks {GET_VERSION_SET}")
    return notes


def _item(screen: Screen, text: str) -> list[str]:
    first, *more = screen.wrapped(text)
    return [f"• {first[2:]}", *more]


def _pair(text: str) -> tuple[str, str | None]:
    key, sign, value = text.partition("=")
    if not sign or not key:
        raise click.UsageError(f"--set {text}: it is KEY=VALUE")
    return key, value or None
