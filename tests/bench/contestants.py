"""Who takes part, and how each is started: always a process of its own, stopped and gone after each run."""

import json
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import yaml

from deploy.local.child import Child
from deploy.local.unlimited import UNLIMITED

ROOT = Path(__file__).resolve().parents[2]
HOST = "127.0.0.1"


@dataclass(frozen=True)
class Contestant:
    """`most_streams`: beyond that it is not asked to hold streams open. `configured` as the bridge is: by a file.

    `root` is the folder that its code is taken from.
    """

    name: str
    title: str
    module: str
    most_streams: int = 10_000
    configured: bool = False
    root: Path = ROOT


BRIDGE = Contestant("bridge", "the bridge", "bridge", configured=True)
FORGETFUL = Contestant("forgetful", "the bridge without a ledger", "tests.bench.forgetful", configured=True)
NAIVE = Contestant("naive", "naive: aio-pika + aiohttp", "tests.bench.naive")
FASTSTREAM = Contestant("faststream", "naive with FastStream", "tests.bench.faststreaming")
# httpx looks through all of its connections for each request: ten thousand take minutes to open.
SDK = Contestant("sdk", "amigo-sdk + aio-pika", "tests.bench.sdk", most_streams=1_000)
RAW = Contestant("raw", "raw frames, no HTTP", "tests.bench.raw", most_streams=0)
HOOK = Contestant("hook", "plain: aiohttp + aio-pika", "tests.bench.plain_hook", most_streams=0)
ALL = (BRIDGE, NAIVE, FASTSTREAM, SDK, RAW, HOOK)


@dataclass(frozen=True)
class Surroundings:
    """What a contestant is told: where everything is, how many events to hold, and (raw only) what to say itself.

    `joins` (naive only): events join the open conversations of their users.
    """

    amqp_url: str
    amqp_port: int
    api_url: str
    prefetch: int
    lines: int
    size: int
    interval_ms: float
    http_port: int = 0
    joins: bool = False


def start(contestant: Contestant, told: Surroundings, folder: Path, profile: Path | None = None) -> Child:
    """Start it; it may not be consuming yet. `profile`: where its profile is written to, for the bridge only."""
    folder.mkdir(parents=True, exist_ok=True)
    program = [contestant.module] if profile is None else ["tests.bench.profiled", str(profile.absolute())]
    if contestant.configured:
        config = folder / "bridge.yaml"
        config.write_text(yaml.safe_dump(_bridge_settings(told, contestant.root)), encoding="utf-8")
        command = ["-m", *program, "run", "--config", str(config)]
    else:
        command = ["-m", *program]
    foreign = ("BRIDGE_", "AMIGO_")
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(foreign)}
    env = {**inherited, "PYTHONPATH": str(contestant.root), "PYTHONUNBUFFERED": "1", "BENCH": json.dumps(vars(told))}
    return Child([sys.executable, *command], log=folder / f"{contestant.name}.log", env=env, cwd=folder)


def _bridge_settings(told: Surroundings, root: Path) -> Mapping[str, object]:
    """The defaults, but for where things are, the prefetch, no limits, and a log of warnings only."""
    knows_limits = (root / "bridge" / "core" / "delivery" / "call_log.py").exists()  # earlier versions refuse the key
    return {
        **({"limits": UNLIMITED} if knows_limits else {}),
        "amqp": {"url": told.amqp_url, "inbound": {"prefetch": told.prefetch}},
        "amigo": {
            "base_url": told.api_url,
            "organization_id": "acme",
            "api_key": "secret",
            "api_key_id": "key",
            "user_id": "bench-user",
        },
        "http": {"host": HOST, "port": told.http_port},
        "log": {"level": "warning", "format": "json"},
        "shutdown": {"grace": "5s"},
    }
