"""The scenario `webhooks`: signed POSTs over keep-alive connections, at a rate, then as fast as they are answered 202.

The same for the bridge and for a plain receiver: webhooks/s, CPU time for each, how long each took at 1,000 a second,
and whether every 202 is in the queue.
"""

import asyncio
import hashlib
import hmac
import json
import os
import sys
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import uvloop
import yaml

from deploy.local.child import Child
from deploy.local.node import free_port
from tests.bench import topology
from tests.bench.contestants import HOST, Contestant
from tests.bench.figures import quantile
from tests.bench.machine import Stopwatch
from tests.bench.plain_hook import SECRET
from tests.bench.rig import POLL_S, Rig, Stuck

CONNECTIONS = 64
WARM_UP_S = 1.0
START_S = 30.0
LIMIT_S = 90.0
TICK_S = 0.001
SHARES = {"p50": 0.5, "p99": 0.99, "p999": 0.999, "max": 1.0}
BODY = json.dumps({"message": "The appointment was moved.", "data": {"n": 25, "text": "x" * 300}}).encode()


A = TypeVar("A", bound="Account")


class Sender(asyncio.Protocol):
    """One connection with one request at a time; what it sends, and when, is the account's."""

    def __init__(self, account: "Account") -> None:
        self._account = account
        self._got = b""
        self._transport: Any = None

    def connection_made(self, transport: Any) -> None:
        self._transport = transport
        self._account.idle(self)

    def data_received(self, data: bytes) -> None:
        self._got += data
        if b'"}' not in self._got:
            return
        self._account.answered(self, self._got)
        self._got = b""
        self._account.idle(self)

    def connection_lost(self, error: Exception | None) -> None:
        self._account.ended()

    def send(self, request: bytes) -> None:
        self._transport.write(request)

    def close(self) -> None:
        self._transport.close()


class Account:
    """As many webhooks as are answered within so many seconds, and how they were answered."""

    def __init__(self, port: int, run: str, seconds: float) -> None:
        signature = hmac.new(SECRET, BODY, hashlib.sha256).hexdigest()
        self._head = (
            f"POST /webhooks/bench HTTP/1.1\r\nHost: {HOST}:{port}\r\nContent-Type: application/json\r\n"
            f"X-GitHub-Event: push\r\nX-Hub-Signature-256: sha256={signature}\r\nUser-Agent: bench\r\n"
            f"Content-Length: {len(BODY)}\r\nX-GitHub-Delivery: {run}-%d\r\n\r\n"
        ).encode()
        self.port = port
        self.seconds = seconds
        self.over = False
        self.taken = 0
        self.others = 0
        self._sent = 0
        self._open = CONNECTIONS
        self.all_ended = asyncio.Event()

    def begin(self) -> None:
        """All connections are there."""
        asyncio.get_running_loop().call_later(self.seconds, setattr, self, "over", True)

    def idle(self, sender: Sender) -> None:
        """The connection waits for no answer."""
        if self.over:
            sender.close()
        else:
            self.send(sender)

    def send(self, sender: Sender) -> None:
        self._sent += 1
        sender.send(self._head % self._sent + BODY)

    def answered(self, _: Sender, answer: bytes) -> None:
        if answer.startswith(b"HTTP/1.1 202"):
            self.taken += 1
        else:
            self.others += 1

    def ended(self) -> None:
        self._open -= 1
        if not self._open:
            self.all_ended.set()


class Paced(Account):
    """Webhooks at even times, whatever becomes of those before (open loop): its time counts from when it was due.

    One that finds no connection idle waits for one, and that counts too.
    """

    def __init__(self, port: int, run: str, seconds: float, rate: float) -> None:
        super().__init__(port, run, seconds)
        self.waits_s: list[float] = []
        self._rate = rate
        self._left = int(seconds * rate)
        self._start_s = 0.0
        self._due = 0
        self._idle: list[Sender] = []
        self._waiting: deque[float] = deque()
        self._due_s: dict[Sender, float] = {}

    def begin(self) -> None:
        self._start_s = time.perf_counter()
        self._tick()

    def idle(self, sender: Sender) -> None:
        if self.over:
            sender.close()
        elif self._waiting:
            self._due_s[sender] = self._waiting.popleft()
            self.send(sender)
        else:
            self._idle.append(sender)

    def answered(self, sender: Sender, answer: bytes) -> None:
        super().answered(sender, answer)
        self.waits_s.append(time.perf_counter() - self._due_s.pop(sender))
        self._left -= 1
        if not self._left:
            self.over = True
            for other in self._idle:
                other.close()

    def _tick(self) -> None:
        now_s = time.perf_counter()
        total = int(self.seconds * self._rate)
        while self._due < total and (due_s := self._start_s + self._due / self._rate) <= now_s:
            self._due += 1
            self._waiting.append(due_s)
            if self._idle:
                self.idle(self._idle.pop())
        if self._due < total:
            asyncio.get_running_loop().call_later(TICK_S, self._tick)


def pour(rig: Rig, contestant: Contestant, seconds: float, rate: float) -> dict[str, Any]:
    """One run: at `rate` a second, then as fast as it goes. In this order, since a broker works on after a flood."""
    topology.declare(rig.link, "classic")
    with _started(rig, contestant) as (child, port):
        _await(child, port)
        _run(Account(port, "warm", WARM_UP_S))
        rig.link.purge(topology.INBOUND)
        pids = {"contestant": child.pid, "broker": rig.node.pid}
        watch = Stopwatch(pids)
        paced = _run(Paced(port, "paced", seconds, rate))
        spent_paced = watch.stop()
        watch = Stopwatch(pids)
        poured = _run(Account(port, "run", seconds))
        spent = watch.stop()
        queued = rig.link.counts(topology.INBOUND)[0]
    rig.link.purge(topology.INBOUND)
    taken = poured.taken + paced.taken
    faults = {"not answered 202": poured.others + paced.others, "answered 202 and not queued": max(0, taken - queued)}
    return {
        "webhooks_s": poured.taken / spent.wall_s,
        # Sender and broker share the machine's cores with the receiver, which is seldom given a whole one.
        "core_webhooks_s": poured.taken / spent.wall_s / spent.cores("contestant"),
        "cpu_us": spent.processes["contestant"] / max(1, poured.taken) * 1e6,
        "cores": spent.cores("contestant"),
        "broker_cores": spent.cores("broker"),
        "foreign_cores": spent.foreign_cores,
        "paced_foreign_cores": spent_paced.foreign_cores,
        **{f"{name}_ms": quantile(paced.waits_s, share) * 1e3 for name, share in SHARES.items()},
        "repeats": 0,
        "faults": {name: count for name, count in faults.items() if count},
    }


def _run(account: A) -> A:
    async def send() -> None:
        loop = asyncio.get_running_loop()
        for _ in range(CONNECTIONS):
            await loop.create_connection(lambda: Sender(account), HOST, account.port)
        account.begin()
        async with asyncio.timeout(LIMIT_S):
            await account.all_ended.wait()

    try:
        uvloop.run(send())
    except TimeoutError:
        raise Stuck(f"webhooks are not answered within {LIMIT_S:g} s") from None
    return account


@contextmanager
def _started(rig: Rig, contestant: Contestant) -> Iterator[tuple[Child, int]]:
    port = free_port()
    folder = Path(rig.folder) / f"hooks-{contestant.name}-{port}"
    folder.mkdir()
    if contestant.configured:
        config = folder / "bridge.yaml"
        config.write_text(yaml.safe_dump(_settings(rig, port)), encoding="utf-8")
        command = ["-m", "bridge", "run", "--config", str(config)]
    else:
        command = ["-m", "tests.bench.plain_hook"]
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("BRIDGE_", "AMIGO_"))}
    told = json.dumps({"amqp_url": rig.node.url, "http_port": port})
    env = {**inherited, "PYTHONPATH": str(contestant.root), "BENCH": told}
    with Child([sys.executable, *command], log=folder / "log", env=env, cwd=folder) as child:
        yield child, port


def _settings(rig: Rig, port: int) -> dict[str, object]:
    """An API that is not there, so that the bridge takes nothing out of the queue meanwhile."""
    return {
        "amqp": {"url": rig.node.url},
        "amigo": {
            "base_url": f"http://{HOST}:9",
            "organization_id": "acme",
            "api_key": "secret",
            "api_key_id": "key",
            "user_id": "bench-user",
        },
        "http": {"host": HOST, "port": port},
        "webhooks": [{"name": "bench", "scheme": "github", "secrets": [SECRET.decode()], "rate": 1_000_000}],
        "log": {"level": "warning", "format": "json"},
    }


def _await(child: Child, port: int) -> None:
    """Until one is answered 202."""
    deadline_s = time.monotonic() + START_S
    while time.monotonic() < deadline_s:
        try:
            if _run(Account(port, f"try-{time.monotonic()}", 0.05)).taken:
                return
        except OSError:
            pass
        if child.exit_status is not None:
            break
        time.sleep(POLL_S)
    raise Stuck(f"it takes no webhooks: {child.tail(5)}")
