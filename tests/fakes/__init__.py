"""Plain fakes of the flow's ports. They keep the promises of `bridge/flow/ports/`, and the tests hold them to it."""

from .agent import Call, FakeAgent, HotLoop
from .broker import DELAY, FakeCopier, FakeDelivery, FakeInbox, Trace
from .clock import Stuck, VirtualTimeLoop
from .ledger import FakeLedger
from .log import FakeLog
from .play import Fate, Gate, Play, Step, Talk, Turn, answered, complete, error, line, opening, refused, said
from .publisher import FakePublisher
from .routes import FakeRoutes

__all__ = [
    "DELAY",
    "Call",
    "FakeAgent",
    "FakeCopier",
    "FakeDelivery",
    "FakeInbox",
    "FakeLedger",
    "FakeLog",
    "FakePublisher",
    "FakeRoutes",
    "Fate",
    "Gate",
    "HotLoop",
    "Play",
    "Step",
    "Stuck",
    "Talk",
    "Trace",
    "Turn",
    "VirtualTimeLoop",
    "answered",
    "complete",
    "error",
    "line",
    "opening",
    "refused",
    "said",
]
