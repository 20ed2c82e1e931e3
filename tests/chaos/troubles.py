"""Faults that leave the process alive: repeats, the broker, the wires, and what the API answers."""

import asyncio
from collections.abc import Mapping

from tests.chaos.field import Batch, Field, Unsettled
from tests.chaos.load import Load
from tests.support.events import event
from tests.support.rabbit import EVENTS, EVENTS_ARGUMENTS

ANSWERS: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "api-reset-before": (
        "reset before the commit",
        ("[[fault:reset]]", "[[fault:close]]", "[[fault:cut-before-commit;after=2]]"),
    ),
    "api-reset-after": (
        "reset after the commit",
        ("[[fault:lost-response]]", "[[fault:cut-after-commit]]", "[[fault:cut-after-complete]]"),
    ),
    "api-silence": (
        "201, then silence",
        (
            "[[fault:stall;after=0;delay_s=4]]",
            "[[fault:stall;after=2;delay_s=4]]",
            "[[fault:stall-after-commit;delay_s=4]]",
        ),
    ),
    "api-eof": (
        "the end without `interaction-complete`",
        ("[[fault:eof-before-commit;after=2]]", "[[fault:eof-after-commit]]"),
    ),
    "api-error-early": (
        "`error` before the first piece",
        ("[[fault:error-first]]", "[[fault:error-after-first]]", "[[fault:error-after-first;keep=1]]"),
    ),
    "api-error-late": (
        "`error` after some pieces, or after the ending",
        ("[[fault:error-mid;after=3]]", "[[fault:error-mid;keep=1]]", "[[fault:error-after-complete]]"),
    ),
    "api-5xx": (
        "500, 502, 503, 504 before the commit",
        tuple(f"[[fault:http-{status}]]" for status in (500, 502, 503, 504)),
    ),
    "api-409": (
        "locked (409), then committed or undone",
        ("[[fault:cut-then-commit;delay_s=1.5]]", "[[fault:cut-then-void;delay_s=1.5]]"),
    ),
    "api-html": (
        "an error page in HTML",
        tuple(f"[[fault:http-{status};body=html]]" for status in (500, 502, 503)),
    ),
}
"""Rows of faults that the sandbox plays: each has a title, and what an event says to bring them about."""


async def _up(field: Field) -> None:
    for replica in field.replicas:
        if not replica.running:
            replica.start()
    for replica in field.replicas:
        await replica.ready()


def api(*directives: str) -> Batch:
    """Each event asks the sandbox for one of these faults, once; the events of a batch run side by side."""

    async def batch(field: Field, times: int) -> None:
        await _up(field)
        for number in range(times):
            await field.publish(1, directives[number % len(directives)])
        await field.settle()
        field.recoveries_s += [field.ended[one] - at_s for one, at_s in field.sent.items() if one in field.ended]

    return batch


async def repeats(field: Field, times: int) -> None:
    """Each event is published 2 to 10 times: at the same moment, and again while it runs and after its end."""
    await _up(field)
    ids = [f"{field.prefix}-{number}" for number in range(times)]
    copies = [one for one in ids for _ in range(field.dice.randint(2, 10))]
    field.dice.shuffle(copies)
    late = [one for one in copies if field.dice.random() < 0.3]
    messages = {one: event(one, message=f"event {one}: ") for one in ids}
    twice = [message for one in ids for message in (messages[one], messages[one])]
    await field.send(*twice)
    await field.send(*[messages[one] for one in copies])
    await asyncio.sleep(field.dice.uniform(0.2, 1.0))
    await field.send(*[messages[one] for one in late])
    await field.settle(120)
    field.recoveries_s += [field.ended[one] - at_s for one, at_s in field.sent.items() if one in field.ended]


def broker(how: str) -> Batch:
    """The broker restarts, closes every connection, or the inbound queue is deleted and declared again."""

    async def batch(field: Field, times: int) -> None:
        await _up(field)
        load = Load(field)
        for _ in range(times):
            load.begin()
            await asyncio.sleep(field.dice.uniform(0.3, 1.2))
            if how == "queue":
                await load.end()
                await _until_in_hand(field)
            await field.struck(marked=how != "restart", alive=True)
            await _strike_broker(field, how)
            load.begin()
            await field.progressed()
        await load.end()
        await field.settle()

    return batch


async def _strike_broker(field: Field, how: str) -> None:
    broker_ = field.arena.broker
    if how == "restart":
        await asyncio.to_thread(broker_.restart, violently=field.dice.random() < 0.5)
    elif how == "connections":
        await asyncio.to_thread(broker_.cut_connections, field.rabbit.vhost)
    else:
        await asyncio.to_thread(field.rabbit.replace_now, EVENTS, EVENTS_ARGUMENTS)


async def _until_in_hand(field: Field) -> None:
    """What is still on its way to a consumer when its queue is deleted is the operator's loss, not the bridge's."""
    for _ in range(400):
        in_hand = sum([await replica.in_hand() for replica in field.replicas])
        if in_hand >= len(field.sent.keys() - field.ended.keys()):
            return
        await asyncio.sleep(0.05)
    raise Unsettled("the events do not come into the bridge's hands")


def wire(which: str, how: str) -> Batch:
    """The TCP connections between the bridge and the broker or the API are cut, stalled or slow."""

    async def batch(field: Field, times: int) -> None:
        await _up(field)
        load = Load(field)
        for _ in range(times):
            load.begin()
            await asyncio.sleep(field.dice.uniform(0.2, 1.0))
            await field.struck(alive=True)
            await _strike_wire(field, which, how)
            await field.progressed()
        await load.end()
        await field.settle()

    return batch


async def _strike_wire(field: Field, which: str, how: str) -> None:
    proxy = field.broker_wire if which == "broker" else field.api_wire
    assert proxy is not None
    if how == "cut":
        proxy.reset()
    elif how == "slow":
        proxy.delay_s = field.dice.uniform(0.02, 0.2)
        await asyncio.sleep(field.dice.uniform(0.5, 2))
        proxy.delay_s = 0.0
    elif field.dice.random() < 0.8:
        proxy.freeze()
        await asyncio.sleep(field.dice.uniform(0.2, 4))
        proxy.thaw()
    else:  # for so long that both sides give it up
        proxy.freeze()
        await asyncio.sleep(field.dice.uniform(11, 16))
        proxy.bury()
