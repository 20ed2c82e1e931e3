"""The bench itself: a RabbitMQ node, the API, one contestant at a time, and the subscriber's end of the line."""

import http.client
import itertools
import json
import secrets
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any, Self

from pamqp.commands import Basic

from deploy.local.child import Child
from deploy.local.node import RabbitNode, free_port
from tests.bench import amqp, contestants, topology
from tests.bench.api import RateLimits, Script
from tests.bench.contestants import HOST, ROOT, Contestant, Surroundings
from tests.bench.lines import Account
from tests.bench.machine import Spent, Stopwatch, cpu_s

START_S = 30.0
POLL_S = 0.02
IDLE_S, IDLE_SHARE = 0.2, 0.15
MAX_LOG_LINE_CHARS = 400
QUIET_S = 3.0
"""How long nothing may arrive before what is missing counts as lost."""


class Stuck(Exception):
    """A contestant ended, or did not get anywhere; the message ends with what it logged last."""


class Api:
    """The API's process, and the harness's way to steer it."""

    def __init__(self, folder: Path) -> None:
        self.port = free_port()
        command = [sys.executable, "-m", "tests.bench.api", "--port", str(self.port)]
        self.child = Child(command, log=folder / "api.log", env={"PYTHONPATH": str(ROOT)}, cwd=folder)
        self._connection = http.client.HTTPConnection(HOST, self.port, timeout=30)

    @property
    def url(self) -> str:
        return f"http://{HOST}:{self.port}"

    def play(self, script: Script) -> None:
        """Streams go like this from now on; the counts start again."""
        self._ask("POST", "script", asdict(script))

    def pace(self, pace: RateLimits) -> None:
        self._ask("POST", "pace", asdict(pace))

    def finish(self) -> None:
        self._ask("POST", "finish", {})

    def status(self) -> dict[str, Any]:
        found: dict[str, Any] = self._ask("GET", "status", None)
        return found

    def _ask(self, method: str, what: str, said: Mapping[str, Any] | None) -> Any:
        try:
            self._connection.request(method, f"/_bench/{what}", body=json.dumps(said) if said is not None else None)
        except OSError:
            self._connection.close()  # else it would refuse the next request
            raise
        with self._connection.getresponse() as response:
            return json.loads(response.read())


class Run:
    """One contestant at work. `account` holds what the subscriber has heard since `begin`.

    `left` is known when it has ended: the events that it had not acknowledged.
    """

    def __init__(self, rig: "Rig", contestant: Contestant, child: Child, script: Script) -> None:
        self.rig = rig
        self.contestant = contestant
        self.child = child
        self.account = Account()
        self.left = 0
        self.profiled = False
        self._script = script
        self._events = 0
        self._deliveries = amqp.Deliveries()

    @property
    def pid(self) -> int:
        return self.child.pid

    def begin(self, script: Script) -> None:
        """Start counting anew, with this script."""
        self.rig.api.play(script)
        self._script, self._events, self.account = script, 0, Account()

    def watch(self) -> Stopwatch:
        """Start a stopwatch over everybody's CPU time, and the profile if there is one."""
        if self.profiled:
            self.child.signal(signal.SIGUSR1)
        pids = {"contestant": self.pid, "broker": self.rig.node.pid, "api": self.rig.api.child.pid}
        return Stopwatch(pids)

    def stop(self, watch: Stopwatch) -> Spent:
        """Stop it, and the profile."""
        if self.profiled:
            self.child.signal(signal.SIGUSR2)
        return watch.stop()

    def publish(self, events: int, *, users: int, first_user: int = 0, wait: bool = True) -> None:
        """So many external events, in the names of so many users in turn; `wait` for the broker's confirms."""
        self._events += events
        self.rig.publish(events, users, first_user, wait=wait)

    def expected(self) -> dict[str, int]:
        """What the API says it sent; the raw publisher says it itself, by the script."""
        if self.contestant is not contestants.RAW:
            return self.rig.api.status()
        return {"opened": self._events, "lines": self._events * self._script.lines, "ended": self._events, "cut": 0}

    def await_queued(self, messages: int, limit_s: float) -> None:
        """Return when so many messages are in the outbound queue. Raises Stuck."""
        self.until(lambda: self.rig.queued() >= messages, limit_s, lambda: f"{self.rig.queued()} of {messages} queued")

    def until(self, condition: Callable[[], bool], limit_s: float, state: Callable[[], str]) -> None:
        """Look again and again. Raises Stuck after `limit_s`, or when the contestant has ended."""
        deadline_s = time.monotonic() + limit_s
        while not condition():
            if self.child.exit_status is not None or time.monotonic() > deadline_s:
                ended = "" if self.child.exit_status is None else f", and it ended with {self.child.exit_status}"
                log = "\n".join(line[:MAX_LOG_LINE_CHARS] for line in self.child.tail(5).splitlines())
                raise Stuck(f"{self.contestant.name}: {state()}{ended}\n{log}")
            time.sleep(POLL_S)

    def drain(self) -> dict[str, int]:
        """Take everything out of the outbound queue, and say what is missing or wrong."""
        with amqp.Link(self.rig.node.port) as link:
            link.consume(topology.SUBSCRIBER, no_ack=True)
            self.hear_out(link)
        return self.faults()

    def faults(self) -> dict[str, int]:
        """What is missing or wrong, as far as the subscriber has heard."""
        return self.account.faults(self.expected())

    def hear(self, link: amqp.Link, seconds: float, meanwhile: Callable[[], float] = lambda: 0.1) -> None:
        """Hear what comes for so long. `meanwhile` is called between reads; it returns how long a read may take."""
        over_s = time.monotonic() + seconds
        while time.monotonic() < over_s:
            self._read(link, meanwhile())

    def hear_out(self, link: amqp.Link, *, ended: bool = True) -> None:
        """Hear until all has come that the API has said (`ended`: to the end of every stream), or nothing comes."""
        last_s = time.monotonic()
        while time.monotonic() - last_s < QUIET_S:
            if self._read(link, POLL_S):
                last_s = time.monotonic()
                continue
            expected = self.expected()
            if self.account.lines >= expected["lines"] and (not ended or self.account.ended >= expected["opened"]):
                return

    def rest(self) -> None:
        """Let it finish what comes after the last message, its acks above all: until it is idle, within limits."""
        deadline_s, before_s = time.monotonic() + START_S, -1.0
        while time.monotonic() < deadline_s and (now_s := cpu_s(self.pid)) - before_s > IDLE_S * IDLE_SHARE:
            before_s = now_s
            time.sleep(IDLE_S)

    def _read(self, link: amqp.Link, wait_s: float) -> bool:
        found = self._deliveries.feed(link.receive(wait_s))
        now_ns = time.monotonic_ns()
        for _, body in found:
            self.account.heard(body, now_ns)
        return bool(found)


class Rig:
    """Everything but the contestant. Use as a context manager. `queue_kind`: of the next run's outbound queue."""

    def __init__(self) -> None:
        self.queue_kind = topology.QUEUE_KINDS[0]
        self._stack = ExitStack()
        self._run = secrets.token_hex(5)
        self._numbers = itertools.count(1)
        self._runs = itertools.count(1)

    def __enter__(self) -> Self:
        with self._stack:
            self.folder = Path(self._stack.enter_context(tempfile.TemporaryDirectory(prefix="amigo-bench-")))
            self.node = self._stack.enter_context(RabbitNode(self.folder / "rabbitmq"))
            self.api = Api(self.folder)
            self._stack.enter_context(self.api.child)
            self._await_api()
            self.link = self._stack.enter_context(amqp.Link(self.node.port, confirming=True))
            self._stack = self._stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    @contextmanager
    def run(
        self,
        contestant: Contestant,
        prefetch: int,
        script: Script | None = None,
        profile: Path | None = None,
        http_port: int = 0,
    ) -> Iterator[Run]:
        """The contestant, started and consuming; stopped afterwards."""
        script = script or Script()
        topology.declare(self.link, self.queue_kind)
        with self.start(contestant, prefetch, script, profile, http_port) as child:
            run = Run(self, contestant, child, script)
            run.profiled = profile is not None
            run.begin(script)
            run.until(lambda: self.link.counts(topology.INBOUND)[1] > 0, START_S, lambda: "it does not consume")
            yield run
            run.rest()
        run.left = self.link.counts(topology.INBOUND)[0]
        self.link.purge(topology.INBOUND)

    def start(
        self, contestant: Contestant, prefetch: int, script: Script, profile: Path | None = None, http_port: int = 0
    ) -> Child:
        """Start a contestant, which may not be consuming yet; leaving the child's context stops it."""
        told = Surroundings(
            amqp_url=self.node.url,
            amqp_port=self.node.port,
            api_url=self.api.url,
            prefetch=prefetch,
            lines=script.lines,
            size=script.size,
            interval_ms=script.interval_ms,
            http_port=http_port,
            joins=script.messages > 0,
        )
        return contestants.start(contestant, told, self.folder / f"{next(self._runs)}-{contestant.name}", profile)

    def publish(self, events: int, users: int, first_user: int, *, wait: bool) -> None:
        """Put events on the inbound exchange."""
        properties = Basic.Properties(content_type="application/json", delivery_mode=topology.PERSISTENT)
        frames = []
        for number in range(events):
            body = topology.event(f"bench-{self._run}-{next(self._numbers)}", first_user + number % users)
            frames.append(amqp.encoded(topology.INBOUND, "bench", properties, body))
        self.link.publish(frames, wait=wait)

    def queued(self) -> int:
        """How many messages wait in the outbound queue."""
        return self.link.counts(topology.SUBSCRIBER)[0]

    def rabbitmq_version(self) -> str:
        return self.node.ctl("version").strip()

    def _await_api(self) -> None:
        deadline_s = time.monotonic() + START_S
        while True:
            try:
                self.api.status()
            except ConnectionRefusedError:
                if self.api.child.exit_status is not None or time.monotonic() > deadline_s:
                    raise Stuck(f"the API does not answer\n{self.api.child.tail()}") from None
                time.sleep(POLL_S)
            else:
                return
