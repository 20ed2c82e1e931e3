"""Every row of the table: what goes wrong, how often, and where it is played."""

from dataclasses import dataclass

from bridge.flow.failpoints import ENRICH_LABELS, EVENT_LABELS, FINISH_LABELS
from tests.chaos import clock, enrichments, kills, ledgers, limits, steering, troubles
from tests.chaos.field import Batch
from tests.chaos.setup import Setup

REJECTED = "[[fault:http-422;count=all]]"
LATE = "[[fault:http-500]]"
PARKING = Setup(config={"retry": {"first": "1s", "longest": "1s"}})
USUAL = Setup()
WIRED = Setup(wires=True, config={"amigo": {"idle": "1s"}})
IDLE = Setup(config={"conversations": {"finish": "500ms"}})
QUICK_TO_GIVE_UP = Setup(config={"amigo": {"idle": "1s"}})
SHARED = Setup(replicas=2, postgres=True)
IDLE_SHARED = Setup(replicas=2, postgres=True, config=IDLE.config)
ENRICHED = Setup(config=enrichments.ALL)
ENRICHED_SHARED = Setup(replicas=2, postgres=True, config=enrichments.ALL)
LIMITED, LIMITED_SLIDING = (
    Setup(
        replicas=2,
        postgres=True,
        limits=("--limits", "user", "--limit-windows", windows, "--limit-window", f"{limits.WINDOW_S:g}"),
        config=limits.CONFIG,
    )
    for windows in ("clock", "sliding")
)
SHARED_BY_THREE = Setup(replicas=3, postgres=True)

PARKS = ("parking", "parked")
BURIES = ("dead-lettering", "dead-lettered", "failure-said")


@dataclass(frozen=True)
class Row:
    """A fault; so many injections share one comparison (`batch`)."""

    name: str
    title: str
    times: int
    batch: int
    run: Batch
    setup: Setup = USUAL


LABELS = (*EVENT_LABELS, *FINISH_LABELS, *ENRICH_LABELS)
"""The steps that events come to by themselves; to those of a pause a person leads them
(tests/flow/guards/test_pauses.py).
"""


def leading_to(label: str) -> str:
    """What an event says that comes to this step."""
    return LATE if label in PARKS else REJECTED if label in BURIES else ""


def _setup(label: str) -> Setup:
    """The setup under which events come to this step."""
    if label in PARKS:
        return PARKING
    return IDLE if label in FINISH_LABELS else ENRICHED if label in ENRICH_LABELS else USUAL


def _step(label: str) -> Row:
    said, setup = leading_to(label), _setup(label)
    most = 30 if label == "line" else 4
    title = f"kill -9 at the step `{label}`" + (", at one of its first 30 passings" if label == "line" else "")
    return Row(f"kill-{label}", title, 30, 5, kills.at_step(label, said, most), setup)


ROWS = (
    *(_step(label) for label in LABELS),
    Row("kill-post-sent", "kill -9 between the request and its answer", 30, 5, kills.after_the_post),
    Row("kill-random", "kill -9 at a random moment under load", 300, 10, kills.at_random),
    Row("kill-one-of-two", "two replicas (PostgreSQL), one killed at random", 50, 10, kills.at_random, SHARED),
    Row("kill-one-of-three", "three replicas, one killed at random", 50, 10, kills.at_random, SHARED_BY_THREE),
    Row("limits", "limits in fixed windows, one of two replicas killed", 30, 5, limits.at_random, LIMITED),
    Row("limits-sliding", "the same, the windows slide", 30, 5, limits.at_random, LIMITED_SLIDING),
    Row("idle", "conversations finished when idle, the process killed at random", 30, 10, kills.at_random, IDLE),
    Row("idle-shared", "the same, one of two replicas killed", 30, 10, kills.at_random, IDLE_SHARED),
    Row("enrich", "events with enrichments, the process killed at random", 30, 10, kills.at_random, ENRICHED),
    Row("enrich-shared", "the same, one of two replicas killed", 30, 10, kills.at_random, ENRICHED_SHARED),
    Row("finish", "events that finish, the process killed at random", 30, 10, steering.under_kills(steering.finish)),
    Row("tag", "events that tag, the process killed at random", 30, 10, steering.under_kills(steering.tag)),
    Row("cancel", "events that cancel, the process killed at random", 30, 10, steering.under_kills(steering.cancel)),
    Row("repeats", "the same event 2 to 10 times, one process", 500, 100, troubles.repeats),
    Row("repeats-shared", "the same event 2 to 10 times, two replicas", 500, 100, troubles.repeats, SHARED),
    Row("broker-restart", "the broker restarts under load", 20, 5, troubles.broker("restart")),
    Row("broker-connections", "connections closed by force", 20, 5, troubles.broker("connections")),
    Row("broker-queue", "the consumer cancelled: the queue deleted and made again", 20, 5, troubles.broker("queue")),
    Row("broker-cut", "the wire to the broker cut", 100, 10, troubles.wire("broker", "cut"), WIRED),
    Row("broker-stalled", "the wire to the broker stalled", 100, 10, troubles.wire("broker", "stalled"), WIRED),
    Row("broker-slow", "the wire to the broker slow", 100, 10, troubles.wire("broker", "slow"), WIRED),
    Row("api-cut", "the wire to the API cut", 100, 10, troubles.wire("api", "cut"), WIRED),
    Row("api-stalled", "the wire to the API stalled", 100, 10, troubles.wire("api", "stalled"), WIRED),
    Row("api-slow", "the wire to the API slow", 100, 10, troubles.wire("api", "slow"), WIRED),
    *(
        Row(name, f"API: {title}", 50, 25, troubles.api(*said), QUICK_TO_GIVE_UP)
        for name, (title, said) in troubles.ANSWERS.items()
    ),
    Row(
        "api-5xx-after",
        "API: 500, 502, 503, 504 after the commit",
        50,
        25,
        troubles.api("[[fault:lost-response]]"),
        Setup(gateway=True),
    ),
    Row("ledger-disk-full", "the ledger's disk is full", 5, 5, ledgers.disk_full),
    Row("ledger-deleted", "the ledger's file is deleted while it runs", 5, 5, ledgers.file_deleted),
    Row("ledger-postgres", "PostgreSQL restarts", 5, 5, ledgers.postgres_restarted, SHARED),
    Row("clock", "the clock steps by an hour, forwards or back", 5, 5, clock.stepped),
    Row("sigterm", "SIGTERM under load, streams shorter and longer than the grace", 50, 5, kills.terminated),
)
"""In the order of the table."""
