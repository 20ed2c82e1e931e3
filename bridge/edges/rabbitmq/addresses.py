"""The addresses of a broker's name: tried side by side, each a moment after the one before it (RFC 8305)."""

import asyncio
import socket
from collections.abc import Sequence
from itertools import chain, zip_longest

import aiohappyeyeballs
from aiohappyeyeballs import AddrInfoType

STAGGER_S = 0.25
"""After how long without an answer the next address is tried beside the first."""
MAX_REMEMBERED = 100

Address = tuple[object, ...]


class Addresses:
    """Opens sockets to names. What took a connection and then said nothing is tried last from then on."""

    def __init__(self) -> None:
        self._silent: dict[Address, None] = {}

    async def connected(self, host: str, port: int) -> socket.socket:
        """A socket that is connected to one address of the host. Raises OSError where none takes a connection."""
        resolved = await self.resolved(host, port)
        silent = [info for info in resolved if _address(info) in self._silent]
        others = [info for info in resolved if info not in silent]
        infos = [*_by_turns(others), *silent]
        return await aiohappyeyeballs.start_connection(infos, happy_eyeballs_delay=STAGGER_S, interleave=0)

    async def resolved(self, host: str, port: int) -> Sequence[AddrInfoType]:
        """The addresses in the order in which this machine prefers them. Raises OSError."""
        return await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)

    def spoke(self, address: Address) -> None:
        """A broker answered there."""
        self._silent.pop(address, None)

    def fell_silent(self, address: Address) -> None:
        """Note an address that took the connection and then said nothing."""
        if len(self._silent) >= MAX_REMEMBERED:
            self._silent.clear()
        self._silent[address] = None


def _by_turns(infos: list[AddrInfoType]) -> list[AddrInfoType]:
    """Families in turn, as each first appears: a network that is broken is broken for all addresses of its family."""
    families = dict.fromkeys(info[0] for info in infos)
    columns = ([info for info in infos if info[0] == family] for family in families)
    return [info for info in chain.from_iterable(zip_longest(*columns)) if info is not None]


def _address(info: AddrInfoType) -> Address:
    """Host and port, as `getpeername` begins."""
    return tuple(info[4][:2])
