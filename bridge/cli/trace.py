"""`amigo-bridge trace`: one event, out of the ledger and the API."""

import random
import sys
from pathlib import Path

import click

from bridge.cli.invocation import FAILED, config_option, json_option, loaded, run_async
from bridge.cli.screen import Screen
from bridge.core.answer.history import ConversationRow
from bridge.core.delivery.progress import NOTHING, Progress, RequestKind
from bridge.core.delivery.reconcile import LOOKS, Finding, Finish, Means, of_interact, of_own
from bridge.core.delivery.trace import AskedConversation, TracedEntry, conversation_lines, entry_lines, facts, subject
from bridge.core.errors import ApiError
from bridge.core.event.tags import event_tag
from bridge.edges.amigo.agent import AmigoAgent
from bridge.edges.amigo.authorized import ONE_ATTEMPT, SignedClient
from bridge.edges.amigo.client import HttpClient
from bridge.edges.amigo.own_limits import OwnLimits
from bridge.edges.ledger.inspect import look
from bridge.flow.answering import reads
from bridge.flow.ports.ledger import LedgerUnavailable
from bridge.settings.model import Settings, load
from bridge.settings.values import credentials_of, limits_of


@click.command()
@config_option
@json_option
@click.argument("event_id")
@click.option("--ask", is_flag=True, help="Look at the API too: for the conversation that the ledger has, or by tag.")
@click.option("--user-id", help="In whose name the event was; for --ask. By default as the ledger has it.")
def trace(config: Path | None, as_json: bool, event_id: str, ask: bool, user_id: str | None) -> None:
    """Show the history of an event, out of the ledger; status 1 where nothing is known of it."""
    screen = Screen(as_json=as_json)
    settings = loaded(load, config, screen)
    try:
        traced = run_async(look(settings.ledger.url.get_secret_value(), event_id))
        asked = run_async(_asked(settings, event_id, traced, user_id)) if ask else None
    except (LedgerUnavailable, ApiError, ValueError) as error:
        screen.problem(str(error))
        sys.exit(FAILED)
    lines = [*(entry_lines(traced) if traced else [f"{event_id}: the ledger does not know it"])]
    lines += conversation_lines(asked) if asked is not None else []
    known: dict[str, object] = facts(traced) if traced else {"event_id": event_id, "state": None}
    if asked is not None:
        known["conversations"] = [each.facts for each in asked]
    screen.say(*lines, **known)
    sys.exit(0 if traced or asked else FAILED)


async def _asked(
    settings: Settings, event_id: str, traced: TracedEntry | None, user_id: str | None
) -> list[AskedConversation]:
    """The event's conversations at the API. Raises ApiError; ValueError without a user."""
    planned = subject(traced.entry)["user_id"] if traced else None
    user_id = user_id or (str(planned) if planned is not None else settings.amigo.user_id)
    if user_id is None:
        raise ValueError("no user: give --user-id, or set amigo.user_id")
    progress = traced.entry.progress if traced else NOTHING
    credentials = credentials_of(settings)
    async with HttpClient(credentials, settings.amigo.idle, limiter=OwnLimits(limits_of(settings))) as client:
        agent = AmigoAgent(SignedClient(client, credentials, ONE_ATTEMPT, random.random))
        if progress.conversation_id is not None:
            row = await reads.conversation(agent, user_id, progress.conversation_id)
            rows = [] if row is None else [row]
        else:
            mark = event_tag(event_id)
            rows = [row async for row in agent.conversations(user_id, event_tag=mark) if row.carries(mark)]
        return [AskedConversation(row, await _answered(agent, row, event_id, progress)) for row in rows]


async def _answered(agent: AmigoAgent, row: ConversationRow, event_id: str, progress: Progress) -> bool | None:
    """True where the event's answer is in the conversation; None where that cannot be told."""
    finding: Finding | None = None
    if row.carries(event_tag(event_id)):
        finding = of_own(row, await reads.first_exchange(agent, row.user_id, row.id), Finish.RUNNING)
    elif progress.request is RequestKind.INTERACT:
        marks = {progress.watermark, progress.announced} - {None}
        finding = of_interact(progress, None, await reads.back_to(agent, row.user_id, row.id, marks), LOOKS)
        tellable = progress.announced is not None or (progress.planned is not None and progress.planned.text)
        finding = finding if tellable else None
    if finding is None or finding.means is Means.UNPROVABLE:
        return None
    return finding.means is Means.ANSWERED
