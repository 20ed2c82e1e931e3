"""`amigo-bridge tail`: outbound events as they come."""

import sys
from collections.abc import AsyncGenerator, Coroutine, Sequence
from contextlib import aclosing
from pathlib import Path

import click

from bridge.cli.invocation import FAILED, config_option, hung_up, json_option, loaded, run_async
from bridge.cli.screen import Screen
from bridge.edges.rabbitmq import cli_client
from bridge.edges.rabbitmq.generation import BrokerTrouble
from bridge.settings.model import AmqpSettings, load_amqp


@click.command()
@config_option
@json_option
@click.option(
    "--key", "keys", multiple=True, default=("#",), show_default=True, help="Routing-key pattern; repeatable."
)
@click.option("--exchange", "exchanges", multiple=True, help="By default every configured outbound.")
@click.option("--count", type=click.IntRange(1), help="Stop after so many messages.")
def tail(config: Path | None, as_json: bool, keys: Sequence[str], exchanges: Sequence[str], count: int | None) -> None:
    """Show outbound events as they come, until Ctrl-C."""
    screen = Screen(as_json=as_json)
    amqp = loaded(load_amqp, config, screen)
    names = list(dict.fromkeys(exchanges or [outbound.exchange for outbound in amqp.outbound]))
    _attempt(screen, _show(screen, cli_client.tail(_url(amqp), names, keys), names, count))


async def _show(
    screen: Screen, messages: AsyncGenerator[cli_client.Tailed, None], names: Sequence[str], count: int | None
) -> None:
    printed = 0
    async with aclosing(messages):
        async for seen in messages:
            if "listening" in seen:
                screen.note(f"listening to {', '.join(names)}; Ctrl-C ends it")
                continue
            screen.message(seen)
            printed += 1
            if count is not None and printed >= count:
                return


def _attempt(screen: Screen, work: Coroutine[None, None, None]) -> None:
    try:
        run_async(work)
    except BrokerTrouble as trouble:
        screen.problem(str(trouble))
        sys.exit(FAILED)
    except KeyboardInterrupt:
        sys.exit(0)
    except BrokenPipeError:
        hung_up()


def _url(amqp: AmqpSettings) -> str:
    return amqp.url[0].get_secret_value()
