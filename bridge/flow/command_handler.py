"""Commands from a person, carried out by this process: pause, resume, status, finished."""

from collections.abc import Awaitable, Callable

from bridge.core.control.command import Command, Facts, Verb
from bridge.flow.guards.pauses import Pauses
from bridge.flow.ports.ledger import LedgerUnavailable
from bridge.flow.ports.runtime import Clock, Log


class CommandHandler:
    """Carries out commands of those who may give them; who may is not decided here. See the port `Replica`."""

    def __init__(
        self,
        name: str,
        pauses: Pauses,
        finished: Callable[[str], Awaitable[bool]],
        status: Callable[[], Facts],
        clock: Clock,
        log: Log,
    ) -> None:
        """`status` tells how the replica is; `clock` gives Unix seconds.

        `finished` takes a conversation that a person has finished: True where the bridge says so to subscribers.
        """
        self._name = name
        self._finished = finished
        self._pauses = pauses
        self._status = status
        self._clock = clock
        self._log = log

    async def obey(self, command: Command, by: str) -> Facts:
        """Do it; see the port. Every command has its line in the log, which is the audit."""
        error = None
        answer: Facts = {"replica": self._name}
        try:
            answer |= await self._carried_out(command, by)
        except LedgerUnavailable as trouble:
            error = f"the ledger cannot be had, so nothing is changed: {trouble}"
            answer["error"] = error
        say = self._log.warning if command.changes else self._log.info
        say(
            "control.commanded",
            command=command.verb.value,
            about=command.key if command.changes else None,
            reason=command.reason or None,
            for_s=command.for_s,
            by=by,
            error=error,
        )
        return answer

    async def _carried_out(self, command: Command, by: str) -> Facts:
        match command.verb:
            case Verb.STATUS:
                return self._status()
            case Verb.FINISHED:
                return {"announced": await self._finished(command.conversation_id)}
            case Verb.PAUSE:
                await self._pauses.order(command.pause(by, self._clock()))
                was = False
            case Verb.RESUME:
                was = any([await self._pauses.lift(key) for key in command.lifts])
        return {"lifted": was, "pauses": [pause.facts for pause in self._pauses.listed]}
