"""Plays the steps of a turn on its connection, and settles the turn exactly once."""

import asyncio

from bridge.sandbox.http.client_connection import ClientConnection
from bridge.sandbox.script.script_steps import Commit, Cut, End, Hold, Mute, Say, ScriptStep, Void
from bridge.sandbox.state.rows import Turn
from bridge.sandbox.state.store import Store


class Playback:
    """One turn on one connection.

    ``outcome`` is ``committed`` or ``voided`` once that is decided. A client that leaves before the commit voids the
    turn, unless it ``survives``: then it goes on without an audience.
    """

    def __init__(self, store: Store, turn: Turn, connection: ClientConnection, *, pace: float, survives: bool) -> None:
        self._store = store
        self._turn = turn
        self._connection = connection
        self._pace = pace
        self._survives = survives
        self.outcome: str | None = None

    async def play(self, steps: list[ScriptStep]) -> None:
        self._store.begin(self._turn)
        try:
            for step in steps:
                if self._connection.client_left and not self._survives:
                    break
                await self._perform(step)
        finally:
            self._settle()

    async def _perform(self, step: ScriptStep) -> None:
        match step:
            case Say():
                await self._rest(step.pause_s * self._pace)
                await self._connection.say(step)
            case Hold():
                await self._rest(step.seconds)
            case Mute():
                self._connection.mute()
            case Commit():
                self._commit()
            case Void():
                self._store.void(self._turn, keep_conversation=step.keep_conversation)
                self.outcome = "voided"
            case Cut():
                if step.release:
                    self._store.release(self._turn)
                self._connection.cut()
            case End():
                # The client may act at once when it sees the end, so the lock goes first.
                self._store.release(self._turn)
                await self._connection.end()

    async def _rest(self, seconds: float) -> None:
        if seconds > 0:
            await self._connection.rest(seconds, even_alone=self._survives)
        else:
            await asyncio.sleep(0)

    def _commit(self) -> None:
        if (self._connection.client_left and not self._survives) or not self._store.knows(self._turn):
            return
        self._store.commit(self._turn)
        self.outcome = "committed"

    def _settle(self) -> None:
        if self.outcome is None:
            self._store.void(self._turn)
            self.outcome = "voided"
        self._store.release(self._turn)
