"""An address at which nobody answers, not even to say no: as behind a firewall that drops, or a broken IPv6."""

import errno
import socket
from typing import Self

MAX_ENTRIES = 16


class BlackHole:
    """A port whose queue of connections is full, so that Linux drops what asks for another. A context manager."""

    def __init__(self, host: str = "127.0.0.2", port: int = 0) -> None:
        self._listener = socket.create_server((host, port), backlog=0)
        self.address: tuple[str, int] = self._listener.getsockname()[:2]
        self._waiting: list[socket.socket] = []

    def __enter__(self) -> Self:
        for _ in range(MAX_ENTRIES):
            filler = socket.socket()
            self._waiting.append(filler)
            filler.settimeout(0.2)
            try:
                filler.connect(self.address)
            except TimeoutError:
                return self
            except OSError as error:
                raise AssertionError(f"it is no black hole: {errno.errorcode.get(error.errno or 0)}") from error
        raise AssertionError("it is no black hole: it takes every connection")

    def __exit__(self, *_: object) -> None:
        for one in (*self._waiting, self._listener):
            one.close()
