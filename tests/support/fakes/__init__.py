"""Plain fakes of the flow's ports. They keep the promises of `bridge/flow/ports/`, and the tests hold them to it."""

from tests.support.fakes.accounts import FakeAccounts
from tests.support.fakes.agent import Call, FakeAgent, HotLoop
from tests.support.fakes.broker import DELAY, FakeDelivery, FakeHeldQueues, FakeInbox, FakeRepublisher, Trace, returned
from tests.support.fakes.clock import Stuck, VirtualTimeLoop
from tests.support.fakes.enrichments import FakeEnrichments
from tests.support.fakes.ledger import FakeLedger
from tests.support.fakes.log import FakeLog
from tests.support.fakes.play import (
    Fate,
    Gate,
    Play,
    Step,
    Talk,
    Turn,
    answered,
    complete,
    error,
    line,
    opening,
    refused,
    said,
)
from tests.support.fakes.publisher import FakePublisher
from tests.support.fakes.routes import FakeRoutes

__all__ = [
    "DELAY",
    "Call",
    "FakeAccounts",
    "FakeAgent",
    "FakeDelivery",
    "FakeEnrichments",
    "FakeHeldQueues",
    "FakeInbox",
    "FakeLedger",
    "FakeLog",
    "FakePublisher",
    "FakeRepublisher",
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
    "returned",
    "said",
]
