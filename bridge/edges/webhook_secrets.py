"""The webhooks' secrets: those of the configuration, and those of files that may change while the service runs.

A file has one secret a line; `# …` and empty lines are left out, and `<secret> until <time in ISO 8601>` ends then (UTC
without a zone). Blanks, tabs and carriage returns around a secret are no part of it, nor is a byte order mark. The file
is read again when it has changed, so that a secret can be exchanged without a restart: the new one is added, the old
one is taken away, or runs out by itself.
"""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from bridge.core.secret import trimmed
from bridge.flow.ports.runtime import Clock, Log

LOOK_EVERY_S = 1.0


@dataclass(frozen=True, slots=True)
class Secret:
    """A secret, and until when it holds (Unix seconds; None: for ever)."""

    text: str = field(repr=False)
    until_s: float | None = None


def read_secrets(path: Path) -> list[Secret]:
    """The file's secrets; none where it cannot be read. Raises ValueError, with the line, for what is no secret."""
    try:
        lines = path.read_text(encoding="utf-8-sig").split("\n")
    except OSError:
        return []
    except UnicodeDecodeError:
        raise ValueError("not a file in UTF-8") from None
    secrets = []
    for number, line in enumerate(lines, 1):
        try:
            text = trimmed(line)
            if text and not text.startswith("#"):
                secrets.append(_secret(text))
        except ValueError as error:
            raise ValueError(f"line {number}: {error}") from None
    return secrets


def write_secrets(path: Path, secrets: Sequence[Secret]) -> None:
    """Exchange the file as a whole; only its owner may read it."""
    lines = [
        secret.text
        if secret.until_s is None
        else f"{secret.text} until {datetime.fromtimestamp(secret.until_s, UTC).isoformat(timespec='seconds')}"
        for secret in secrets
    ]
    new = path.with_name(f".{path.name}.new")
    new.unlink(missing_ok=True)
    with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
        file.write("".join(f"{line}\n" for line in lines))
        file.flush()
        os.fsync(file.fileno())
    new.replace(path)


def _secret(line: str) -> Secret:
    text, _, until = line.partition(" until ")
    if not until:
        return Secret(line)
    try:
        at = datetime.fromisoformat(until.strip())
    except ValueError:
        raise ValueError("what follows `until` is no time in ISO 8601") from None
    return Secret(text.strip(), (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp())


class Ring:
    """The keys of one webhook. `as_key` turns a secret into bytes, and raises ValueError for one that is none."""

    def __init__(
        self,
        fixed: Sequence[str],
        path: Path | None,
        as_key: Callable[[str], bytes],
        clock: Clock,
        log: Log | None = None,
    ) -> None:
        self._log = log
        self._logged: tuple[int, int, int] | None = None
        self._fixed = tuple(as_key(text) for text in fixed)
        self._path = path
        self._as_key = as_key
        self._clock = clock
        self._read: tuple[tuple[bytes, float | None], ...] = ()
        self._stamp: tuple[int, int, int] | None = None
        self._looked_s = float("-inf")

    def keys(self) -> Sequence[bytes]:
        """The secrets that hold now: the configuration's first."""
        if self._path is None:
            return self._fixed
        now_s = self._clock()
        if abs(now_s - self._looked_s) >= LOOK_EVERY_S:
            self._looked_s = now_s
            self._look(self._path)
        return (*self._fixed, *(key for key, until_s in self._read if until_s is None or now_s < until_s))

    def _look(self, path: Path) -> None:
        """Read the file where it has changed. One that cannot be understood leaves the keys as they were."""
        try:
            status = path.stat()
        except OSError:
            self._read, self._stamp = (), None
            return
        stamp = (status.st_mtime_ns, status.st_ino, status.st_size)
        if stamp == self._stamp:
            return
        try:
            self._read = tuple((self._as_key(secret.text), secret.until_s) for secret in read_secrets(path))
        except ValueError as error:
            if self._log is not None and self._logged != stamp:
                self._log.error("secrets.unreadable", path=str(path), error=str(error))
            self._logged = stamp
            return
        self._stamp = stamp


class WebhookKeyring:
    """The keyring port."""

    def __init__(self, rings: dict[str, Ring]) -> None:
        self._rings = rings

    def keys(self, source: str) -> Sequence[bytes]:
        """The active keys of a webhook; none where there is no such webhook."""
        ring = self._rings.get(source)
        return ring.keys() if ring is not None else ()
