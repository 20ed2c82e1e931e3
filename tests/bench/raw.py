"""The limit of the broker on this machine: frames that were encoded in advance, sent as fast as the socket takes them.

No HTTP and no agent: every event from the inbound queue makes one scripted answer, marked and sent in one write;
confirms are read in bulk, and the event is acknowledged when all of its messages are confirmed. With an interval, the
lines leave one by one, as an agent would say them: the broker's own latency.
"""

import gc
import heapq
import itertools
import json
import os
import random
import select
import signal
import time
from collections import deque
from datetime import UTC, datetime

from pamqp import commands

from tests.bench import amqp, lines
from tests.bench.topology import INBOUND, OUTBOUND

EVENT = "bench-0000000000-000000"
USER = "bench-user-00000"
SERVICE = "5f0000000000000000000001"


def frames(index: int, line: bytes) -> tuple[bytes, bytes]:
    """The frames of one line's publish, before and after its mark; the size is what the bridge's messages have."""
    type_ = json.loads(line)["type"]
    properties = commands.Basic.Properties(
        content_type="application/json",
        delivery_mode=2,
        correlation_id=EVENT,
        message_id=f"{EVENT}:0123456789ab:{index + 1}",
        timestamp=datetime.now(UTC),
        message_type=type_,
        app_id="amigo-bridge",
        headers={
            "event_id": EVENT,
            "conversation_id": SERVICE,
            "user_id": USER,
            "service_id": SERVICE,
            "channel": "api",
            "channel_type": "text",
            "attempt": 1,
            "stream": "0123456789ab",
            "sequence": index + 1,
        },
    )
    before, after = amqp.encoded(OUTBOUND, f"text.api.{type_}", properties, line).split(lines.PLACE)
    return before, after


class Raw:
    """Takes events on one connection, publishes on another."""

    def __init__(self, port: int, prefetch: int, script: list[bytes], interval_s: float) -> None:
        self._in, self._out = amqp.Link(port), amqp.Link(port, confirming=True)
        self._deliveries = amqp.Deliveries()
        self._frames = [frames(index, line) for index, line in enumerate(script)]
        self._interval_s = interval_s
        self._due: list[tuple[float, int, int, int]] = []
        self._numbers = itertools.count(1)
        self._confirms = amqp.Confirms()
        self._sent = 0
        self._open: deque[tuple[int, int]] = deque()
        self._in.consume(INBOUND, prefetch=prefetch)

    def run(self) -> None:
        """Until SIGTERM."""
        while True:
            wait_s = max(0.0, self._due[0][0] - time.monotonic()) if self._due else 1.0
            ready, _, _ = select.select([self._in.socket, self._out.socket], [], [], wait_s)
            if self._out.socket in ready:
                self._confirm()
            if self._in.socket in ready:
                for tag, _ in self._deliveries.feed(self._in.receive(0)):
                    self._take(tag)
            while self._due and self._due[0][0] <= time.monotonic():
                self._say(*heapq.heappop(self._due))

    def _take(self, tag: int) -> None:
        number = next(self._numbers)
        if self._interval_s:
            self._say(time.monotonic() - self._interval_s * random.random(), number, 0, tag)  # out of step
            return
        self._publish(b"".join(self._marked(number, index) for index in range(len(self._frames))), len(self._frames))
        self._open.append((self._sent, tag))

    def _say(self, due_s: float, number: int, index: int, tag: int) -> None:
        self._publish(self._marked(number, index), 1)
        if index + 1 < len(self._frames):
            heapq.heappush(self._due, (due_s + self._interval_s, number, index + 1, tag))
        else:
            self._open.append((self._sent, tag))

    def _publish(self, encoded: bytes, messages: int) -> None:
        self._out.socket.settimeout(60)
        self._out.socket.sendall(encoded)
        self._sent += messages

    def _marked(self, number: int, index: int) -> bytes:
        before, after = self._frames[index]
        return before + lines.mark(number, index) + after

    def _confirm(self) -> None:
        self._confirms.feed(self._out.receive(0))
        while self._open and self._open[0][0] <= self._confirms.upto:
            self._in.acknowledge(self._open.popleft()[1])


def main() -> None:
    settings = json.loads(os.environ["BENCH"])
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    script = lines.script(settings["lines"], settings["size"])
    raw = Raw(settings["amqp_port"], settings["prefetch"], script, settings["interval_ms"] / 1000)
    gc.freeze()
    raw.run()


if __name__ == "__main__":
    main()
