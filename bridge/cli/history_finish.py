"""`amigo-bridge history finish`: finish a conversation at the API, and let the bridge that runs say so."""

import click

from bridge.cli.api_session import ApiOptions, ApiSession, api_options
from bridge.cli.history import listed
from bridge.cli.invocation import attempt
from bridge.cli.screen import Screen
from bridge.core.control.command import Command, Verb
from bridge.core.errors import Refused
from bridge.edges.amigo import calls
from bridge.edges.rabbitmq.control_client import ask
from bridge.edges.rabbitmq.generation import BrokerTrouble
from bridge.settings.model import Settings

HEARD_S = 3.0
"""How long an answer of a replica is waited for."""


@click.command(epilog="Example: amigo-bridge history finish 6a0000000000000000000001")
@api_options
@click.argument("conversation")
def finish(options: ApiOptions, conversation: str) -> None:
    """Finish CONVERSATION; one that is finished already is done.

    Where a bridge is to finish it, subscribers are told that a person did.
    """
    screen, settings = options.read()

    async def work() -> None:
        async with options.session(screen, settings) as api:
            already = not await _finished(api, conversation)
        announced = False if already else await _announced(screen, settings, conversation)
        sentence = f"{conversation} is finished already" if already else f"{conversation} is finished"
        screen.say(sentence, conversation_id=conversation, already=already, announced=announced)

    attempt(screen, work())


async def _finished(api: ApiSession, conversation: str) -> bool:
    """Finish it; False where that was done already."""
    try:
        await api.send(calls.finish_call(api.user_id, conversation))
    except Refused as error:
        # 409 is "finished already" as well as "busy": only the conversation itself tells which.
        row = await listed(api, conversation) if error.status == 409 else None
        if row is None or row.get("is_finished") is not True:
            raise
        return False
    return True


async def _announced(screen: Screen, settings: Settings, conversation: str) -> bool:
    """Let the replicas know. True where one says it to subscribers."""
    command = Command(Verb.FINISHED, conversation_id=conversation)
    try:
        answers = await ask(settings.amqp.url[0].get_secret_value(), command, HEARD_S, 1)
    except BrokerTrouble as trouble:
        screen.note(f"no bridge has heard of it: {trouble}")
        return False
    if not answers:
        screen.note("no bridge has heard of it: none runs, or none obeys this user of the broker")
    for answer in answers:
        if "error" in answer:
            screen.note(f"{answer.get('replica')}: {answer['error']}")
    return any(answer.get("announced") is True for answer in answers)
