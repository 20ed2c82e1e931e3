"""A lean Amigo API: enough HTTP/1.1 for the contestants' calls, and lines that are encoded before anybody asks.

`python -m tests.bench.api --port N`. The harness steers it on the same port:

POST /_bench/script   how streams go from now on (`Script`); the counts start again
POST /_bench/pace     send lines on the open streams for a while (`RateLimits`)
POST /_bench/finish   end the open streams
GET  /_bench/status   counts (`Status`)
"""

import argparse
import asyncio
import gc
import heapq
import itertools
import json
import random
import signal
import time
from collections import deque
from dataclasses import asdict, dataclass
from email.utils import formatdate
from typing import cast
from urllib.parse import SplitResult, parse_qs, urlsplit

import uvloop

from tests.bench import lines, past

HOST = "127.0.0.1"
TICK_S = 0.001
FINISH_A_TICK = 5
HEAD_END = b"\r\n\r\n"
STREAM_HEAD = (
    b"HTTP/1.1 201 Created\r\nContent-Type: application/x-ndjson\r\nTransfer-Encoding: chunked\r\n"
    b"Connection: keep-alive\r\n\r\n"
)
LAST_CHUNK = b"0\r\n\r\n"
TOKEN = b'{"id_token":"%s","expires_at":"2099-01-01T00:00:00Z"}' % (b"t" * 600)
NOTHING = b'{"conversations":[],"messages":[],"has_more":false,"continuation_token":null}'


@dataclass(frozen=True)
class Script:
    """How streams go. `interval_ms` 0: as fast as the socket takes it, a write a line. `hold`: the first line only.

    With `messages` every user has a conversation open, with so many of them: a create is refused, an interact answered.
    """

    lines: int = 40
    size: int = 250
    interval_ms: float = 0.0
    hold: bool = False
    messages: int = 0


@dataclass(frozen=True)
class RateLimits:
    """So many lines a second, the open streams in turn; and on one of them a large line every now and then."""

    rate: float
    seconds: float
    large_bytes: int = 0
    large_every_s: float = 0.0


@dataclass
class Status:
    """Since the script was set. `cut`: the other side went away before the end of a stream. `calls`: but sign-ins."""

    opened: int = 0
    lines: int = 0
    ended: int = 0
    cut: int = 0
    calls: int = 0
    pacing: bool = False


class Chunk:
    """A line as an HTTP chunk, with a gap for its mark."""

    __slots__ = ("after", "before")

    def __init__(self, line: bytes) -> None:
        before, after = line.split(lines.PLACE)
        self.before = b"%x\r\n%b" % (len(line) + 1, before)
        self.after = after + b"\n\r\n"


class Stage:
    """The script, the streams that are open, and the clock by which they speak."""

    def __init__(self) -> None:
        self.status = Status()
        self.script = Script()
        self.chunks: list[Chunk] = []
        self.held: deque[Stream] = deque()
        self._piece = self._end = Chunk(lines.created())
        self._due: list[tuple[float, int, Stream]] = []
        self._numbers = itertools.count(1)
        self._tasks: set[asyncio.Task[None]] = set()
        self.set(Script())

    def set(self, script: Script) -> None:
        """Start anew; what is still open belongs to somebody who is gone."""
        for task in self._tasks:
            task.cancel()
        self.held.clear()
        self._due.clear()
        self.script, self.status = script, Status()
        self.chunks = [Chunk(line) for line in lines.script(script.lines, script.size, joins=bool(script.messages))]
        self._piece, self._end = Chunk(lines.piece(1, script.size)), self.chunks[-1]
        self._numbers = itertools.count(1)

    def open(self, connection: "Connection") -> "Stream":
        """A stream begins: head and first line at once, the rest as the script says."""
        stream = Stream(self, connection, next(self._numbers))
        self.status.opened += 1
        connection.transport.write(STREAM_HEAD)
        stream.write(self.chunks[0])
        if self.script.hold:
            self.held.append(stream)
        elif self.script.interval_ms:
            # Streams speak out of step, as people do, even where the harness starts them in step.
            first_s = time.monotonic() + self.script.interval_ms / 1000 * random.random()
            heapq.heappush(self._due, (first_s, stream.number, stream))
        else:
            stream.go_on()
        return stream

    def start(self, pace: RateLimits) -> None:
        self.status.pacing = True
        self._spawn(self._paced(pace))

    def finish(self) -> None:
        self._spawn(self._finished())

    async def tick(self) -> None:
        """Say what is due on the streams that speak at intervals, for ever."""
        while True:
            await asyncio.sleep(TICK_S)
            now_s = time.monotonic()
            while self._due and self._due[0][0] <= now_s:
                due_s, number, stream = heapq.heappop(self._due)
                if stream.say():
                    heapq.heappush(self._due, (due_s + self.script.interval_ms / 1000, number, stream))

    async def _paced(self, pace: RateLimits) -> None:
        status = self.status
        start_s, said, large_said = time.monotonic(), 0, 0
        large = Chunk(lines.piece(1, pace.large_bytes)) if pace.large_bytes else None
        talker = self.held.pop() if large else None
        while (passed_s := time.monotonic() - start_s) < pace.seconds:
            for _ in range(int(pace.rate * passed_s) - said):
                self.held[0].write(self._piece)
                self.held.rotate(-1)
                said += 1
            if large and talker and passed_s > (large_said + 0.5) * pace.large_every_s:
                talker.write(large)
                large_said += 1
            await asyncio.sleep(TICK_S)
        if talker:
            self.held.append(talker)
        status.pacing = False

    async def _finished(self) -> None:
        while self.held:
            for _ in range(min(FINISH_A_TICK, len(self.held))):
                stream = self.held.popleft()
                stream.write(self._end)
                stream.end()
            await asyncio.sleep(TICK_S)

    def _spawn(self, coroutine: "asyncio._CoroutineLike[None]") -> None:
        task: asyncio.Task[None] = asyncio.get_running_loop().create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


class Stream:
    """One conversation's answer on one connection."""

    __slots__ = ("_at", "_connection", "_going", "_stage", "_transport", "number")

    def __init__(self, stage: Stage, connection: "Connection", number: int) -> None:
        self._stage = stage
        self._connection = connection
        self._transport = connection.transport
        self._at = 0
        self._going = False
        self.number = number

    def write(self, chunk: Chunk) -> None:
        """Say this as the next line."""
        marked = lines.mark(self.number, self._at)
        self._transport.write(b"".join((chunk.before, marked, chunk.after)))
        self._at += 1
        self._stage.status.lines += 1

    def say(self) -> bool:
        """Say the script's next line; whether there are more."""
        if self._transport.is_closing():
            return False
        chunks = self._stage.chunks
        self.write(chunks[self._at])
        if self._at < len(chunks):
            return True
        self.end()
        return False

    def go_on(self) -> None:
        """Line after line, each in a write and a turn of the loop of its own, unless the other side is slow."""
        if not self._going:
            self._going = True
            asyncio.get_running_loop().call_soon(self._next)

    def _next(self) -> None:
        self._going = False
        if not self._connection.full and self.say():
            self.go_on()

    def end(self) -> None:
        self._transport.write(LAST_CHUNK)
        self._connection.stream = None
        self._stage.status.ended += 1


class Connection(asyncio.Protocol):
    """Reads requests, answers them."""

    transport: asyncio.WriteTransport

    def __init__(self, stage: Stage) -> None:
        self.stream: Stream | None = None
        self.full = False
        self._stage = stage
        self._received = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.WriteTransport", transport)  # uvloop's own kind

    def connection_lost(self, exc: Exception | None) -> None:
        if self.stream is not None:
            self._stage.status.cut += 1

    def pause_writing(self) -> None:
        self.full = True

    def resume_writing(self) -> None:
        self.full = False
        if self.stream is not None and not (self._stage.script.hold or self._stage.script.interval_ms):
            self.stream.go_on()

    def data_received(self, data: bytes) -> None:
        self._received += data
        while (end := self._received.find(HEAD_END)) >= 0:
            head = self._received[:end].decode("latin-1")
            past = end + len(HEAD_END) + _content_length(head)
            if len(self._received) < past:
                return
            body, self._received = self._received[end + len(HEAD_END) : past], self._received[past:]
            method, target, _ = head.split("\r\n", 1)[0].split(" ")
            self._answer(method, urlsplit(target), body)

    def _answer(self, method: str, target: SplitResult, body: bytes) -> None:
        ends, messages = target.path.rsplit("/", 2)[1:], self._stage.script.messages
        self._stage.status.calls += ends[0] not in ("_bench", "user", "organization")
        match method, ends:
            case "POST", ["conversation", ""] if messages:
                self._send(b"400 Bad Request", past.BUSY)
            case "POST", ["conversation", ""] | [_, "interact"]:
                self.stream = self._stage.open(self)
            case "GET", ["conversation", ""] if messages:
                self._send(b"200 OK", past.conversations(parse_qs(target.query), messages))
            case "GET", ["messages", ""] if messages:
                self._send(b"200 OK", past.messages(parse_qs(target.query), messages))
            case "POST", ["user", "signin_with_api_key"]:
                self._send(b"200 OK", TOKEN)
            case "GET", ["organization", ""]:
                self._send(b"200 OK", b"{}")
            case "GET", ["conversation" | "messages", ""]:
                self._send(b"200 OK", NOTHING)
            case "POST", ["_bench", what]:
                self._steer(what, json.loads(body or b"{}"))
            case "GET", ["_bench", "status"]:
                self._send(b"200 OK", json.dumps(asdict(self._stage.status)).encode())
            case _:
                self._send(b"404 Not Found", b'{"message":"not played here"}')

    def _steer(self, what: str, said: dict[str, float]) -> None:
        match what:
            case "script":
                self._stage.set(Script(**said))  # type: ignore[arg-type]
            case "pace":
                self._stage.start(RateLimits(**said))  # type: ignore[arg-type]
            case "finish":
                self._stage.finish()
        self._send(b"200 OK", b"{}")

    def _send(self, status: bytes, body: bytes) -> None:
        head = b"HTTP/1.1 %b\r\nDate: %b\r\n" % (status, formatdate(usegmt=True).encode())
        head += b"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(body)
        self.transport.write(head + body)


def _content_length(head: str) -> int:
    for line in head.split("\r\n")[1:]:
        name, _, value = line.partition(":")
        if name.lower() == "content-length":
            return int(value)
    return 0


async def serve(port: int) -> None:
    """Answer until SIGTERM."""
    stage, over = Stage(), asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, over.set)
    server = await loop.create_server(lambda: Connection(stage), HOST, port, backlog=20_000)
    ticking = asyncio.create_task(stage.tick())
    gc.freeze()
    gc.disable()  # nothing here makes cycles at a rate that matters, and a collection would show as latency
    await over.wait()
    ticking.cancel()
    server.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--port", type=int, required=True)
    uvloop.run(serve(parser.parse_args().port))


if __name__ == "__main__":
    main()
