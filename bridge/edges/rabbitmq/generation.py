"""A generation: two connections that live and die together, and every right that comes with them.

Nothing of a generation that has ended may publish or acknowledge. What ends it is told by close callbacks, by the
watchers, or by whoever finds it broken; it is never concluded from `is_closed`, which stays False when the broker
closes a connection (aio-pika 10.2.1).
"""

import asyncio
import struct
from collections.abc import Awaitable, Callable, Coroutine
from enum import Enum, auto
from typing import Protocol, TypeVar

import aio_pika
import aiormq
from aio_pika.abc import AbstractChannel, AbstractConnection
from aiormq import Channel as Underlay

from bridge.core.errors import BridgeError

T = TypeVar("T")
RPC_LIMIT_S = 15.0
TICK_S = 1.0


class TroubleKind(Enum):
    """Refusals of the broker that last until somebody changes something."""

    CONNECTION = auto()
    """The user, the virtual host, or one connection or channel more than a limit allows."""
    ACCESS = auto()
    """The user may not do this (403)."""
    NOT_FOUND = auto()
    """There is no such thing (404)."""
    OTHERWISE = auto()
    """A queue or exchange exists with other arguments, or another limit is reached (406)."""


class BrokerTrouble(BridgeError):
    """The broker cannot be used as things are. `permanent`: until somebody changes something, as after a refusal."""

    def __init__(self, error: str, *, permanent: bool = False, kind: TroubleKind | None = None) -> None:
        super().__init__(error)
        self.permanent = permanent or kind is not None
        self.kind = kind


KINDS: dict[type[BaseException], TroubleKind] = {
    aiormq.exceptions.ChannelPreconditionFailed: TroubleKind.OTHERWISE,
    aiormq.exceptions.ChannelAccessRefused: TroubleKind.ACCESS,
    aiormq.exceptions.ChannelNotFoundEntity: TroubleKind.NOT_FOUND,
    aiormq.exceptions.ConnectionNotAllowed: TroubleKind.CONNECTION,
    aiormq.exceptions.AuthenticationError: TroubleKind.CONNECTION,
    aiormq.exceptions.ProbableAuthenticationError: TroubleKind.CONNECTION,
}
LASTING = frozenset({TroubleKind.CONNECTION, TroubleKind.ACCESS})
"""Refusals that a generation ends with and the next one will meet too."""


class Generation:
    """One life of the connection to the broker. `number` counts from 1."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.refused = False
        """True where it ended with a refusal that will last."""
        self.judged = False
        """True where the bridge itself ended it, over what it saw, with connections that were still there."""
        self._over: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    @property
    def alive(self) -> bool:
        return not self._over.done()

    def end(self, reason: str, kind: TroubleKind | None = None, *, judged: bool = False) -> None:
        """End it; the first reason stands."""
        if not self._over.done():
            self.refused = kind in LASTING
            self.judged = judged
            self._over.set_result(reason)

    async def over(self) -> str:
        """Wait for its end and return the reason."""
        return await asyncio.shield(self._over)

    def watch(self, thing: AbstractConnection | AbstractChannel, name: str) -> Callable[[], None]:
        """End with a connection or channel of aio-pika, as soon as it closes. Gives a function that ends the watch."""

        def closed(_: object, error: object = None) -> None:
            kind = KINDS.get(type(error)) if isinstance(error, BaseException) else None
            self.end(f"{name} closed: {describe(error)}", kind)

        thing.close_callbacks.add(closed)
        return lambda: thing.close_callbacks.discard(closed)


UNWRITABLE = (ValueError, TypeError, LookupError, ArithmeticError, struct.error)
"""Errors of pamqp, yarl and the resolver for names and values that AMQP or DNS cannot carry."""


class BrokerPublisher(Protocol):
    """A publisher as the supervisor and the watchers see it."""

    @property
    def blocked(self) -> bool:
        """True while the broker takes nothing from this connection (a resource alarm)."""

    def block(self) -> None:
        """The broker takes nothing from this connection for now."""

    def unblock(self) -> None:
        """The broker takes messages again: go on with what waits."""

    async def attach(self, connection: aio_pika.abc.AbstractConnection, generation: Generation) -> None:
        """Publish through this connection from now on, beginning with what is unconfirmed."""

    def detach(self) -> None:
        """The generation has ended, and with it whatever had blocked it."""

    def oldest_s(self) -> float | None:
        """Since when (event loop time) the message that has flown longest waits for its confirm; None for none."""


async def open_channel(
    connection: aio_pika.abc.AbstractConnection, generation: Generation, name: str
) -> tuple[AbstractChannel, Underlay, Callable[[], None]]:
    """A channel with publisher confirms, which takes the generation with it when it closes; and how to stop that."""
    channel = connection.channel(publisher_confirms=True, on_return_raises=True)
    await limited(channel.initialize(), f"opening {name}")
    unwatch = generation.watch(channel, name)
    underlay = await channel.get_underlay_channel()
    if not isinstance(underlay, Underlay):
        raise BrokerTrouble(f"{name} is of an unknown kind: {type(underlay).__name__}", permanent=True)
    return channel, underlay, unwatch


async def limited(call: Awaitable[T], what: str, seconds: float | None = RPC_LIMIT_S) -> T:
    """Await a call to the broker, for so long at the most. Raises BrokerTrouble for whatever goes wrong.

    A connection that dies cancels what waits on it: a CancelledError that nobody asked this task for is such a loss.
    One that was asked for is raised whatever the library has made of it: aiormq 7.2.4 swallows some while a channel is
    opened, and the task would go on as if nobody had told it to end.
    """
    task = asyncio.current_task()
    asked_before = task.cancelling() if task is not None else 0
    try:
        return await _translated(call, what, seconds)
    finally:
        if task is not None and task.cancelling() > asked_before:
            raise asyncio.CancelledError


async def _translated(call: Awaitable[T], what: str, seconds: float | None) -> T:
    try:
        async with asyncio.timeout(seconds):
            return await call
    except TimeoutError:
        within = f"within {seconds:g} s" if seconds is not None else "in time"
        raise BrokerTrouble(f"{what}: no answer {within}") from None
    except asyncio.CancelledError:
        raise BrokerTrouble(f"{what}: the connection was lost") from None
    except tuple(KINDS) as error:
        kind = next(kind for known, kind in KINDS.items() if isinstance(error, known))
        reason = f"the broker refuses it: {_words(error)}" if kind is TroubleKind.CONNECTION else describe(error)
        raise BrokerTrouble(f"{what}: {reason}", kind=kind) from None
    except (aiormq.exceptions.AMQPError, aiormq.exceptions.ChannelInvalidStateError, OSError, RuntimeError) as error:
        raise BrokerTrouble(f"{what}: {describe(error)}") from None
    except UNWRITABLE as error:
        why = f"a value in it cannot be sent ({type(error).__name__})"  # its text may quote the value
        raise BrokerTrouble(f"{what}: {why}", permanent=True) from None


async def patiently(
    call: Coroutine[None, None, T], what: str, seconds: float, excused: Callable[[], bool] = lambda: False
) -> T:
    """As `limited`, but counted in ticks: neither the lag of a busy loop nor time that is `excused` counts."""
    task = asyncio.ensure_future(limited(call, what, None))
    waited_s = 0.0
    try:
        while not (await asyncio.wait((task,), timeout=min(TICK_S, seconds)))[0]:
            waited_s = 0.0 if excused() else waited_s + min(TICK_S, seconds)
            if waited_s >= seconds:
                raise BrokerTrouble(f"{what}: no answer within {seconds:g} s")
        return task.result()
    finally:
        task.cancel()


def describe(error: object) -> str:
    """An error of the library in one line, without the connection's URL."""
    if error is None:
        return "no reason given"
    if isinstance(error, asyncio.CancelledError):
        return "the connection was lost"
    if isinstance(error, BaseException):
        return f"{type(error).__name__}: {_words(error)}".strip(": ")[:300]
    return str(error)[:300]


def _words(error: BaseException) -> str:
    return " ".join(str(part) for part in error.args if isinstance(part, str)) or str(error)
