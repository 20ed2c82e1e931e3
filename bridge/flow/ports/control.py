"""Steering as the edges see it: a command from somebody who may give it, and the answers of the replicas."""

from collections.abc import Sequence
from typing import Protocol

from bridge.core.control.command import Command, Facts


class Replica(Protocol):
    """This process, as whoever steers sees it."""

    async def obey(self, command: Command, by: str) -> Facts:
        """Do it, and tell the answer of this replica; an answer with `error` where it cannot be done.

        All replicas do the same, each for itself, whichever of them was told first.
        """


class Replicas(Protocol):
    """All replicas that can be reached."""

    async def tell(self, command: Command, by: str) -> Sequence[Facts]:
        """Tell the others, and give the answers that come within a moment."""

    @property
    def trouble(self) -> str | None:
        """Why no other replica can be told; None while they can."""
