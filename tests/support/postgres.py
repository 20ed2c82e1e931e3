"""A private PostgreSQL server in one folder, on a free port of the loopback interface.

PostgreSQL refuses to run as root: where root runs the tests, the server runs as Debian's user `postgres`, or as nobody.
Whatever ends the Python process ends the server with it (see `deploy/local/child.py`). It is told not to sync: what is
tested is what clients are promised when the server or a client dies, not when the machine does.
"""

import itertools
import os
import pwd
import shutil
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

import asyncpg

from deploy.local.child import Child
from deploy.local.node import HOST, free_port

SETTINGS = {
    "listen_addresses": HOST,
    "max_connections": "60",
    "shared_buffers": "16MB",
    "fsync": "off",
    "unix_socket_directories": "",
}


class PostgresError(Exception):
    """The server did not do what was asked."""


class PostgresServer:
    """One server. `start` after `stop` or `kill` takes up the same port and data."""

    def __init__(self, folder: Path, settings: Mapping[str, str] = MappingProxyType({})) -> None:
        """`settings` beside those of every server here, or in place of them."""
        self.folder = folder.absolute()
        self.port = free_port()
        self._settings = {**SETTINGS, **settings}
        self._data = self.folder / "data"
        self._child: Child | None = None
        self._numbers = itertools.count(1)

    def url(self, database: str = "postgres") -> str:
        return f"postgresql://bridge@{HOST}:{self.port}/{database}"

    def start(self, timeout: float = 30) -> None:
        """Return when it takes connections."""
        if not self._data.exists():
            self._create()
        options = [word for name, value in self._settings.items() for word in ("-c", f"{name}={value}")]
        command = [str(_program("postgres")), "-D", str(self._data), "-p", str(self.port), *options]
        self._child = Child([*_as_user(), *command], log=self.folder / "postgres.log", cwd=self.folder)
        ready = [str(_program("pg_isready")), "--quiet", "--host", HOST, "--port", str(self.port)]
        deadline = time.monotonic() + timeout
        while subprocess.run(ready, check=False).returncode:
            if self._child.exit_status is not None or time.monotonic() > deadline:
                raise PostgresError(f"PostgreSQL does not start.\n{self._child.tail()}")
            time.sleep(0.05)

    def stop(self) -> None:
        """End all connections and shut down in order."""
        if self._child is not None:
            self._child.signal(signal.SIGINT)
            self._child.stop(grace_s=20)
            self._child = None

    def pause(self) -> None:
        """SIGSTOP to the server and its children: connections stay open and nothing answers."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        self._signal(signal.SIGCONT)

    def processes(self) -> list[int]:
        """The ids of the server and its children."""
        assert self._child is not None
        return [self._child.pid, *_children(self._child.pid)]

    async def database(self) -> str:
        """The name of a database that nobody has used."""
        name = f"t{next(self._numbers)}"
        await self.execute(f"CREATE DATABASE {name}")
        return name

    async def execute(self, statement: str, database: str = "postgres") -> None:
        await self.fetch(statement, database)

    async def fetch(self, statement: str, database: str = "postgres") -> Sequence[Sequence[object]]:
        """The rows of a statement."""
        connection = await asyncpg.connect(self.url(database))
        try:
            rows: Sequence[Sequence[object]] = await connection.fetch(statement)
            return rows
        finally:
            await connection.close()

    def _signal(self, number: signal.Signals) -> None:
        assert self._child is not None
        for process in self.processes():
            os.kill(process, number)

    def _create(self) -> None:
        self._data.mkdir(mode=0o700)
        if os.getuid() == 0:
            for folder in (self.folder, self._data):
                os.chown(folder, _user().pw_uid, _user().pw_gid)
        options = ("--username=bridge", "--auth=trust", "--encoding=UTF8", "--locale=C", "--no-sync")
        made = subprocess.run(
            [*_as_user(), str(_program("initdb")), f"--pgdata={self._data}", *options],
            cwd=self.folder,
            capture_output=True,
            text=True,
        )
        if made.returncode:
            raise PostgresError(f"initdb failed: {made.stderr}")


def _children(process: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{process}/task/{process}/children").read_text().split()]


def _user() -> pwd.struct_passwd:
    try:
        return pwd.getpwnam("postgres")
    except KeyError:
        return pwd.getpwnam("nobody")


def _as_user() -> list[str]:
    if os.getuid() != 0:
        return []
    user = _user()
    return ["setpriv", f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--clear-groups"]


def _program(name: str) -> Path:
    """Of the newest version that is installed: Debian keeps the server's programs off the PATH."""
    versions = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"), key=lambda path: float(path.parts[4]))
    found = versions[-1] if versions else Path(shutil.which(name) or "")
    if not found.name:
        raise PostgresError(f"PostgreSQL is not installed here ({name} is missing): ./dev test installs it")
    return found
