"""A private RabbitMQ node, for the demonstration and the tests.

It is Debian's `rabbitmq-server`, run as whoever runs this program, in one folder, on free ports of the loopback
interface. Nothing of the machine's own RabbitMQ is read or written: data, logs, configuration, Erlang cookie and epmd
are the node's own. Whatever ends the Python process, SIGKILL included, ends the node with it (see `child.py`). Another
version of RabbitMQ can be taken from another Debian's root folder (see `broker_root.py`).
"""

from __future__ import annotations

import os
import random
import re
import secrets
import shlex
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Self

from pamqp import commands, frame, header

from deploy.local.broker_root import MACHINE, BrokerRoot, NoRoot
from deploy.local.child import Child, tail

BIN = Path("/usr/lib/rabbitmq/bin")
EPMD = Path("/usr/bin/epmd")
HOST = "127.0.0.1"
NAME = "rabbit@localhost"  # the same for every node: each is alone with its epmd

# The limits keep a small or full disk and a busy machine from blocking the publishers of a test. Quorum queues tell
# their counts to rabbitmqctl at every tick.
SETTINGS = """\
[{rabbit, [
  {vm_memory_high_watermark, {absolute, 4294967296}},
  {disk_free_limit, 1000000},
  {quorum_tick_interval, 1000},
  {log, [{console, [{enabled, false}]}]}
]}].
"""

# The node's name is found without asking the machine, whose file of hosts may be missing or odd.
RESOLVER = '{host, {127, 0, 0, 1}, ["localhost"]}.\n{lookup, [file, native]}.\n'

# No epmd of its own accord, which would stay behind as a daemon; nothing listens beyond loopback; no spinning.
LOOPBACK = "-start_epmd false -kernel inet_dist_use_interface {127,0,0,1}"
QUIET = "+sbwt none +sbwtdcpu none +sbwtdio none"


class NodeError(Exception):
    """The node did not do what was asked; the message ends with what it logged last."""


class RabbitNode:
    """One node. `start` after `stop` or `kill` takes up the same ports and data."""

    def __init__(self, folder: Path, *, port: int | None = None, programs: Path = BIN) -> None:
        self.folder = folder.absolute()
        if "'" in str(self.folder):
            raise NodeError(f"RabbitMQ hangs at its start in a folder with an apostrophe in its path: {self.folder}")
        try:
            self._root = BrokerRoot.chosen()
        except NoRoot as error:
            raise NodeError(str(error)) from None
        self.port = port or free_port()
        self._programs = programs
        self._epmd_port = free_port()
        self._dist_port = free_port()
        self._epmd: Child | None = None
        self._beam: Child | None = None

    @property
    def url(self) -> str:
        return f"amqp://guest:guest@{HOST}:{self.port}/"

    @property
    def pid(self) -> int:
        """Of the Erlang machine, while there is one."""
        return self._running().pid

    @property
    def log(self) -> Path:
        return self.folder / "log" / f"{NAME}.log"

    def start(self, timeout: float = 60) -> None:
        """Return when an AMQP connection can be opened; NodeError after `timeout` seconds, and nothing runs then."""
        if self._beam is not None and self._beam.exit_status is None:
            raise NodeError(f"the RabbitMQ node in {self.folder} is running already")
        found = shutil.which("epmd") if self._root.path == MACHINE else None
        server, epmd = self._programs / "rabbitmq-server", Path(found or EPMD)
        for program in (server, epmd):
            self._installed(program)
        self._lay_out()
        try:
            if self._epmd is None:
                self._epmd = self._child("epmd.log", epmd, "-port", str(self._epmd_port), "-address", HOST)
            self._beam = self._child("boot.log", server)
            self._await_open(self._beam, time.monotonic() + timeout)
        except BaseException:
            self.kill()
            self.stop()
            raise

    def stop(self) -> None:
        """Shut down in order and leave no process; what is stopped or was killed may be stopped again."""
        if self._beam is not None:
            self._beam.signal(signal.SIGCONT)
            self._beam.stop(grace_s=30)
            self._beam = None
        if self._epmd is not None:
            self._epmd.stop(grace_s=5)
            self._epmd = None

    def kill(self) -> None:
        """SIGKILL, as a power cut would; `start` or `restart` recovers from what is on disk."""
        if self._beam is not None:
            self._beam.kill()
            self._beam = None

    def restart(self, timeout: float = 60) -> None:
        """Stop in order and start again on the same ports and data."""
        self.stop()
        self.start(timeout)

    def pause(self) -> None:
        """SIGSTOP: connections stay open and nothing answers."""
        self._running().signal(signal.SIGSTOP)

    def resume(self) -> None:
        self._running().signal(signal.SIGCONT)

    def ctl(self, *args: str, timeout: float = 60) -> str:
        """What `rabbitmqctl --quiet` prints; NodeError where it fails. Without a running node it is not even asked."""
        self._running()
        command = self._ctl(*args)
        try:
            done = subprocess.run(
                command, env=self._environment(), cwd=self.folder, capture_output=True, text=True, timeout=timeout
            )
        except subprocess.TimeoutExpired as late:
            raise NodeError(f"rabbitmqctl {' '.join(args)} did not end within {timeout:g} s") from late
        if done.returncode:
            said = (done.stderr or done.stdout).strip()
            raise NodeError(f"rabbitmqctl {' '.join(args)} failed with status {done.returncode}: {said}")
        return done.stdout

    def ctl_script(self) -> Path:
        """A shell script that is `rabbitmqctl` for this node, for use from a terminal."""
        settings = [f"export {name}={shlex.quote(value)}" for name, value in self._environment().items()]
        call = f'exec {shlex.join(self._ctl())} "$@"'
        script = self.folder / "rabbitmqctl"
        script.write_text("\n".join([*settings, call, ""]), encoding="utf-8")
        return script

    def add_vhost(self, name: str) -> str:
        """Create a virtual host that guest may use; its URL. Takes one call of rabbitmqctl."""
        if not re.fullmatch(r"[A-Za-z0-9_-]+", name):
            raise ValueError(f"a virtual host's name is made of letters, digits, _ and -, not {name!r}")
        add = f'Name = <<"{name}">>, Who = <<"amigo-bridge">>, ok = rabbit_vhost:add(Name, Who)'
        grant = 'ok = rabbit_auth_backend_internal:set_permissions(<<"guest">>, Name, All, All, All, Who)'
        self.ctl("eval", f'{add}, All = <<".*">>, {grant}.')
        return self.url + name

    def _running(self) -> Child:
        if self._beam is None or self._beam.exit_status is not None:
            raise NodeError(f"the RabbitMQ node in {self.folder} is not running")
        return self._beam

    def _ctl(self, *args: str) -> Sequence[str]:
        program = self._installed(self._programs / "rabbitmqctl")
        return self._root.command(self.folder, program, "--quiet", "--node", NAME, *args)

    def _child(self, log: str, program: Path, *arguments: str) -> Child:
        command = self._root.command(self.folder, program, *arguments)
        return Child(command, log=self.folder / "log" / log, env=self._environment(), cwd=self.folder)

    def _installed(self, program: Path) -> Path:
        outside = self._root.outside(program)
        if not outside.exists():
            raise NodeError(f"RabbitMQ is not installed here ({outside} is missing): ./dev installs it")
        return program

    def _environment(self) -> dict[str, str]:
        return {
            "PATH": os.environ.get("PATH", "/usr/bin:/bin"),
            "HOME": str(self.folder / "home"),
            "LC_ALL": "C.UTF-8",
            "ERL_CRASH_DUMP_SECONDS": "0",
            "ERL_INETRC": str(self.folder / "etc" / "inetrc"),
            "ERL_EPMD_ADDRESS": HOST,
            "ERL_EPMD_PORT": str(self._epmd_port),
            "RABBITMQ_NODENAME": NAME,
            "RABBITMQ_NODE_IP_ADDRESS": HOST,
            "RABBITMQ_NODE_PORT": str(self.port),
            "RABBITMQ_DIST_PORT": str(self._dist_port),
            "RABBITMQ_MNESIA_BASE": str(self.folder / "data"),
            "RABBITMQ_LOG_BASE": str(self.folder / "log"),
            "RABBITMQ_CONFIG_FILE": str(self.folder / "etc" / "rabbitmq.conf"),
            "RABBITMQ_CONFIG_FILES": str(self.folder / "etc" / "conf.d"),
            "RABBITMQ_ADVANCED_CONFIG_FILE": str(self.folder / "etc" / "advanced.config"),
            "RABBITMQ_CONF_ENV_FILE": str(self.folder / "etc" / "rabbitmq-env.conf"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(self.folder / "etc" / "enabled_plugins"),
            "RABBITMQ_PLUGINS_DIR": str(self.folder / "plugins"),
            # The script becomes the Erlang machine instead of waiting for it: its pid is ours to pause and to kill.
            "RABBITMQ_ALLOW_INPUT": "1",
            "RABBITMQ_SERVER_START_ARGS": "-noinput",
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": f"{LOOPBACK} {QUIET}",
            "RABBITMQ_CTL_ERL_ARGS": f"{LOOPBACK} {QUIET}",
            "RABBITMQ_CTL_DIST_PORT_MIN": "0",
            "RABBITMQ_CTL_DIST_PORT_MAX": "0",
        }

    def _lay_out(self) -> None:
        for name in ("home", "data", "log", "plugins", "etc/conf.d"):
            (self.folder / name).mkdir(parents=True, exist_ok=True)
        for name, text in (("advanced.config", SETTINGS), ("inetrc", RESOLVER), ("enabled_plugins", "[].\n")):
            (self.folder / "etc" / name).write_text(text, encoding="utf-8")
        self._link_plugins()
        cookie = self.folder / "home" / ".erlang.cookie"
        if not cookie.exists():
            with open(os.open(cookie, os.O_CREAT | os.O_WRONLY, 0o400), "w", encoding="ascii") as file:
                file.write(secrets.token_hex(20))

    def _link_plugins(self) -> None:
        """Offer the node only its own configuration schema: looking through 70 plugins takes a third of the start."""
        server = self._root.outside(self._programs / "rabbitmq-server").resolve()
        for schema in server.parent.parent.glob("plugins/rabbit-[0-9]*"):
            link = self.folder / "plugins" / schema.name
            if not link.is_symlink():
                link.symlink_to(self._root.inside(schema))

    def _await_open(self, beam: Child, deadline: float) -> None:
        while not opens(self.port):
            if beam.exit_status is not None:
                raise NodeError(f"the RabbitMQ node ended with status {beam.exit_status} at its start.\n{self._tail()}")
            if time.monotonic() > deadline:
                raise NodeError(f"the RabbitMQ node takes no connection on port {self.port}.\n{self._tail()}")
            time.sleep(0.05)

    def _tail(self) -> str:
        return "\n".join(tail(log, 15) for log in (self.folder / "log" / "boot.log", self.log)).strip()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


def free_port() -> int:
    """A free loopback port outside the range from which the system takes clients' ports.

    So a node that is down for a restart does not find its port taken by somebody's outgoing connection.
    """
    first = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text(encoding="ascii").split()[0])
    candidates = range(10_000, first if first > 12_000 else 32_768)
    for port in random.sample(candidates, k=100):
        with closing(socket.socket()) as probe:
            try:
                probe.bind((HOST, port))
            except OSError:
                continue
            return port
    raise NodeError(f"no free port found between {candidates.start} and {candidates.stop}")


def opens(port: int) -> bool:
    """Whether an AMQP connection as guest on the default virtual host can be opened and closed within two seconds."""
    try:
        with socket.create_connection((HOST, port), timeout=2) as link:
            said = _frames(link)
            link.sendall(header.ProtocolHeader().marshal())
            next(said)
            for answer in (
                [commands.Connection.StartOk({}, "PLAIN", "\0guest\0guest", "en_US")],
                [commands.Connection.TuneOk(1, 131_072, 0), commands.Connection.Open("/")],
                [commands.Connection.Close(200, "", 0, 0)],
            ):
                link.sendall(b"".join(frame.marshal(method, 0) for method in answer))
                if isinstance(next(said), commands.Connection.Close):
                    return False
            return True
    except (OSError, StopIteration):
        return False


def _frames(link: socket.socket) -> Iterator[object]:
    received = b""
    while piece := link.recv(65_536):
        received += piece
        while len(received) > 7 and len(received) >= 8 + int.from_bytes(received[3:7], "big"):
            consumed, _, method = frame.unmarshal(received)
            received = received[consumed:]
            yield method
