"""Which file is which, and the lock by which one process has a file."""

import fcntl
import os
import socket
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

import orjson

Identity = tuple[int, int]
"""Device and inode: what a file is, whatever it is called."""
MAX_BYTES = 1024


class FileLock:
    """An flock on a file of its own. It ends with the process, however that ends, and leaves nothing to clear away.

    Whoever has it says in the file who that is; what is left there by one that is gone is overwritten by the next.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._held: int | None = None

    def take(self) -> bool:
        """Try to take the lock; True where this process has it. One whose file was deleted is taken anew."""
        if self.held:
            return True
        self.let_go()
        lock = os.open(self.path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(lock)
            if isinstance(error, BlockingIOError):
                return False
            raise
        self._held = lock
        with suppress(OSError):  # a full disk has no room to say it, and whoever has the lock has it all the same
            os.ftruncate(lock, 0)
            os.pwrite(lock, _me(), 0)
        return True

    @property
    def held(self) -> bool:
        """True where this process has it, and its file is still where others look for it."""
        return self._held is not None and identity(self.path) == _of(os.fstat(self._held))

    def holder(self) -> str:
        """Who has it, as far as its file tells."""
        try:
            with self.path.open("rb") as file:
                content = orjson.loads(file.read(MAX_BYTES))
            pid, host, since = int(content["pid"]), str(content["host"]), str(content["since"])
        except (OSError, ValueError, TypeError, KeyError):
            return "another process"
        return f"the process {pid} on {_quoted(host)} since {_quoted(since)}"

    def let_go(self) -> None:
        """Give it up, if it is held."""
        if self._held is not None:
            os.close(self._held)
            self._held = None


def identity(path: Path) -> Identity | None:
    """The identity of the file at the path; None where nothing is."""
    try:
        return _of(os.stat(path))
    except OSError:
        return None


def _of(status: os.stat_result) -> Identity:
    return status.st_dev, status.st_ino


def _me() -> bytes:
    since = datetime.now(UTC).isoformat(timespec="seconds")
    return orjson.dumps({"pid": os.getpid(), "host": socket.gethostname(), "since": since})


def _quoted(text: str) -> str:
    """Anybody may have written it: nothing that a terminal would obey."""
    return text if text.isprintable() else ascii(text)
