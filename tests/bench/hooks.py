"""The scenario `webhooks`: signed POSTs over keep-alive connections, as fast as they are answered 202.

The same for the bridge and for a plain receiver: webhooks/s, CPU time for each, and whether every 202 is in the queue.
"""

import asyncio
import hashlib
import hmac
import json
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import uvloop
import yaml

from deploy.local.child import Child
from deploy.local.node import free_port
from tests.bench import topology
from tests.bench.contestants import BRIDGE, HOST, ROOT, Contestant
from tests.bench.machine import Stopwatch
from tests.bench.plain_hook import SECRET
from tests.bench.rig import Rig, Stuck

CONNECTIONS = 64
WARM_UP_S = 1.0
START_S = 30.0
BODY = json.dumps({"message": "The appointment was moved.", "data": {"n": 25, "text": "x" * 300}}).encode()


class Sender(asyncio.Protocol):
    """One connection, one request at a time, until told to stop."""

    def __init__(self, account: "Account", number: int) -> None:
        self._account = account
        self._number = number
        self._sent = 0
        self._got = b""
        self._transport: Any = None

    def connection_made(self, transport: Any) -> None:
        self._transport = transport
        self._next()

    def data_received(self, data: bytes) -> None:
        self._got += data
        if b'"}' not in self._got:
            return
        self._account.answered(self._got)
        self._got = b""
        self._next()

    def connection_lost(self, error: Exception | None) -> None:
        self._account.ended()

    def _next(self) -> None:
        if self._account.over:
            self._transport.close()
            return
        self._sent += 1
        self._transport.write(self._account.head % (self._number, self._sent) + BODY)


class Account:
    """What was answered."""

    def __init__(self, port: int, run: str) -> None:
        signature = hmac.new(SECRET, BODY, hashlib.sha256).hexdigest()
        self.head = (
            f"POST /webhooks/bench HTTP/1.1\r\nHost: {HOST}:{port}\r\nContent-Type: application/json\r\n"
            f"X-GitHub-Event: push\r\nX-Hub-Signature-256: sha256={signature}\r\nUser-Agent: bench\r\n"
            f"Content-Length: {len(BODY)}\r\nX-GitHub-Delivery: {run}-%d-%d\r\n\r\n"
        ).encode()
        self.over = False
        self.taken = 0
        self.others = 0
        self.open = CONNECTIONS
        self.all_ended = asyncio.Event()

    def answered(self, answer: bytes) -> None:
        if answer.startswith(b"HTTP/1.1 202"):
            self.taken += 1
        else:
            self.others += 1

    def ended(self) -> None:
        self.open -= 1
        if not self.open:
            self.all_ended.set()


def pour(rig: Rig, contestant: Contestant, seconds: float) -> dict[str, Any]:
    """One run."""
    topology.declare(rig.link, "classic")
    rig.link.purge(topology.INBOUND)
    with _started(rig, contestant) as (child, port):
        _await(child, port)
        _pour(port, "warm", WARM_UP_S)
        before = rig.link.counts(topology.INBOUND)[0]
        watch = Stopwatch({"contestant": child.pid, "broker": rig.node.pid})
        account = _pour(port, "run", seconds)
        spent = watch.stop()
        queued = rig.link.counts(topology.INBOUND)[0] - before
    rig.link.purge(topology.INBOUND)
    faults = {"not answered 202": account.others, "answered 202 and not queued": max(0, account.taken - queued)}
    return {
        "webhooks_s": account.taken / spent.wall_s,
        "cpu_us": spent.processes["contestant"] / max(1, account.taken) * 1e6,
        "cores": spent.cores("contestant"),
        "broker_cores": spent.cores("broker"),
        "foreign_cores": spent.foreign_cores,
        "repeats": 0,
        "faults": {name: count for name, count in faults.items() if count},
    }


def _pour(port: int, run: str, seconds: float) -> Account:
    async def send() -> Account:
        account, loop = Account(port, run), asyncio.get_running_loop()
        loop.call_later(seconds, setattr, account, "over", True)
        for number in range(CONNECTIONS):
            await loop.create_connection(lambda number=number: Sender(account, number), HOST, port)  # type: ignore[misc]
        await account.all_ended.wait()
        return account

    return uvloop.run(send())


@contextmanager
def _started(rig: Rig, contestant: Contestant) -> Iterator[tuple[Child, int]]:
    port = free_port()
    folder = Path(rig.folder) / f"hooks-{contestant.name}-{port}"
    folder.mkdir()
    if contestant is BRIDGE:
        config = folder / "bridge.yaml"
        config.write_text(yaml.safe_dump(_settings(rig, port)), encoding="utf-8")
        command = ["-m", "bridge", "run", "--config", str(config)]
    else:
        command = ["-m", "tests.bench.plain_hook"]
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("BRIDGE_", "AMIGO_"))}
    told = json.dumps({"amqp_url": rig.node.url, "http_port": port})
    env = {**inherited, "PYTHONPATH": str(ROOT), "BENCH": told}
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
            if _pour(port, f"try-{time.monotonic()}", 0.05).taken:
                return
        except OSError:
            pass
        if child.exit_status is not None:
            break
        time.sleep(0.1)
    raise Stuck(f"it takes no webhooks: {child.tail(5)}")
