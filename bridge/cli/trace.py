"""`amigo-bridge trace`: one event, out of the ledger and the API."""

import random
import sys
from dataclasses import asdict
from pathlib import Path

import click

from bridge.cli.invocation import FAILED, config_option, json_option, loaded, run_async
from bridge.cli.screen import Screen
from bridge.core.answer.history import ConversationRow
from bridge.core.delivery.trace import conversation_lines, entry_lines, facts
from bridge.core.errors import ApiError
from bridge.core.event.tags import fence
from bridge.edges.amigo.agent import AmigoAgent
from bridge.edges.amigo.authorized import ONE_ATTEMPT, SignedClient
from bridge.edges.amigo.client import HttpClient
from bridge.edges.ledger.inspect import look
from bridge.flow.ports.ledger import LedgerUnavailable
from bridge.settings.model import Settings, load
from bridge.settings.values import credentials_of


@click.command()
@config_option
@json_option
@click.argument("event_id")
@click.option("--ask", is_flag=True, help="Look at the API too, as the configured user or as --user-id.")
@click.option("--user-id", help="In whose name the event was; for --ask. By default a user found by e-mail.")
def trace(config: Path | None, as_json: bool, event_id: str, ask: bool, user_id: str | None) -> None:
    """Show the history of an event, out of the ledger; status 1 where nothing is known of it."""
    screen = Screen(as_json=as_json)
    settings = loaded(load, config, screen)
    try:
        entry = run_async(look(settings.ledger.url.get_secret_value(), event_id))
        user_id = user_id or (entry.progress.planned.user_id if entry and entry.progress.planned else None)
        rows = run_async(_conversations(settings, event_id, user_id)) if ask else None
    except (LedgerUnavailable, ApiError, ValueError) as error:
        screen.problem(str(error))
        sys.exit(FAILED)
    lines = [*(entry_lines(entry) if entry else [f"{event_id}: the ledger does not know it"])]
    lines += conversation_lines(rows) if rows is not None else []
    known: dict[str, object] = facts(entry) if entry else {"event_id": event_id, "state": None}
    if rows is not None:
        known["conversations"] = [asdict(row) for row in rows]
    screen.say(*lines, **known)
    sys.exit(0 if entry or rows else FAILED)


async def _conversations(settings: Settings, event_id: str, user_id: str | None) -> list[ConversationRow]:
    """The conversations at the API that carry the event's fence. Raises ApiError; ValueError without a user."""
    user_id = user_id or settings.amigo.user_id
    if user_id is None:
        raise ValueError("no user: give --user-id, or set amigo.user_id")
    credentials = credentials_of(settings)
    async with HttpClient(credentials, settings.amigo.idle) as client:
        agent = AmigoAgent(SignedClient(client, credentials, ONE_ATTEMPT, random.random))
        rows = agent.conversations(user_id, fence=fence(event_id))
        return [row async for row in rows if row.carries(fence(event_id))]
