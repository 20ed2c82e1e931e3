"""Which file is which, and the lock by which one process has a file."""

import fcntl
import os
from pathlib import Path

Identity = tuple[int, int]
"""Device and inode: what a file is, whatever it is called."""


class FileLock:
    """An flock on a file of its own. It ends with the process, however that ends, and leaves nothing to clear away."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._held: int | None = None

    def take(self) -> bool:
        """Whether this process has it now. One whose file was deleted is no longer any good, and is taken anew."""
        if self._held is not None:
            if identity(self.path) == _of(os.fstat(self._held)):
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
        return True

    def let_go(self) -> None:
        """Give it up, if it is held."""
        if self._held is not None:
            os.close(self._held)
            self._held = None


def identity(path: Path) -> Identity | None:
    """Of what is at the path; None where nothing is."""
    try:
        return _of(os.stat(path))
    except OSError:
        return None


def _of(found: os.stat_result) -> Identity:
    return found.st_dev, found.st_ino
