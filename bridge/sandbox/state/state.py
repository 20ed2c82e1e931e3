"""The world of one sandbox: its clock, dice and everything that remembers."""

import random
from typing import Protocol

from aiohttp import web

from bridge.sandbox.http.observer import AnswerObserver
from bridge.sandbox.http.rate_limiter import Limiter
from bridge.sandbox.options import SandboxOptions
from bridge.sandbox.script.fault_rules import FaultRules
from bridge.sandbox.state.clock import Clock
from bridge.sandbox.state.directory import Directory
from bridge.sandbox.state.file import StateFile
from bridge.sandbox.state.ids import IdSource
from bridge.sandbox.state.journal import Journal
from bridge.sandbox.state.store import Store
from bridge.sandbox.state.tokens import Tokens
from bridge.sandbox.webhooks.webhook_sender import WebhookSender


class Door(Protocol):
    """The listening socket, as far as it lets connections in."""

    def shut(self, seconds: float) -> None:
        """Refuses new connections for so long, and drops those that wait for a request."""


class State:
    """Built once for each sandbox; handlers reach it through their call."""

    def __init__(self, options: SandboxOptions, observer: AnswerObserver) -> None:
        dice = random.Random(options.seed)
        self.options = options
        self.observer = observer
        self.clock = Clock(options.frozen_at)
        self.ids = IdSource(self.clock, dice)
        self.store = Store(self.clock, StateFile(options.state_file))
        self.directory = Directory(self.store, options.strict_file)
        self.tokens = Tokens(self.clock, options.token_lifetime_s)
        self.limiter = Limiter(options, self.clock)
        self.faults = FaultRules(dice)
        self.journal = Journal()
        self.door: Door | None = None
        self.webhook_sender = WebhookSender(options, self.clock, self.ids, self.store, self.faults)

    def reset(self) -> None:
        """Back to the beginning: nothing has been asked yet."""
        self.clock.reset()
        self.store.reset()
        self.directory.reset()
        self.limiter.reset()
        self.faults.clear()
        self.journal.reset()
        self.webhook_sender.reset()


WORLD: web.AppKey[State] = web.AppKey("world", State)
