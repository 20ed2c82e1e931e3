"""Calls of a command to the API in one user's name: waits are told, lists are read page by page."""

import asyncio
import random
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, replace
from functools import partial, wraps
from pathlib import Path
from typing import Any

import click

from bridge.cli.invocation import begun, config_option, json_option
from bridge.cli.screen import Screen
from bridge.core.delivery.resend import resend_wait_s
from bridge.core.delivery.retry import RetryPolicy, pause
from bridge.core.errors import ApiError, Refused, TooEarly
from bridge.core.permissions import lacks, nothing_listed
from bridge.edges.amigo.authorized import ONE_ATTEMPT, SignedClient
from bridge.edges.amigo.calls import Slice
from bridge.edges.amigo.client import Call, HttpClient
from bridge.edges.amigo.own_limits import OwnLimits
from bridge.edges.amigo.pages import Page, Row, pages, read_page
from bridge.settings.model import Settings
from bridge.settings.values import credentials_of, limits_of

RETRIES = RetryPolicy(attempts=4)
MAX_EARLY = 20
"""How often in a row one request waits for a rate limit."""

Command = Callable[..., object]

as_option = click.option("--as", "as_user", metavar="USER", help="In whose name; by default amigo.user_id.")
PAGING = (
    click.option("--sort", multiple=True, metavar="±FIELD", help="+ ascending, - descending; sent as it is."),
    click.option("--limit", type=int, metavar="N", help="At most N, in one request; sent as it is."),
    click.option("--all", "everything", is_flag=True, help="Page after page until there is no more."),
    click.option("--offset", type=int, metavar="N", help="Leave out the first N."),
)


@dataclass(frozen=True, slots=True)
class ApiOptions:
    """The options of every command that asks the API in somebody's name."""

    config: Path | None
    as_json: bool
    as_user: str | None

    def read(self) -> tuple[Screen, Settings]:
        """The screen of the command, and the configuration."""
        return begun(self.config, self.as_json)

    def session(self, screen: Screen, settings: Settings) -> "AbstractAsyncContextManager[ApiSession]":
        """The command's session, which is to be entered."""
        return api_session(settings, self.as_user, screen)

    def begun(self) -> "tuple[Screen, Callable[[], AbstractAsyncContextManager[ApiSession]]]":
        """The screen of the command, and how to begin its session."""
        screen, settings = self.read()
        return screen, partial(self.session, screen, settings)


@dataclass(frozen=True, slots=True)
class Paging:
    """The options that say how much of a list is wanted."""

    sort: Sequence[str]
    limit: int | None
    everything: bool
    offset: int | None

    def slice(self, page_rows: int, sort: str) -> Slice:
        """As it is given, so that nobody's request is changed; for everything pages of one order, which fit."""
        if self.everything:
            return Slice(page_rows, self.offset or 0, self.sort or (sort,))
        return Slice(self.limit, self.offset, self.sort)


def paging_options(command: Command) -> Command:
    """Add `--sort`, `--limit`, `--all` and `--offset`: the command gets them as `paging`."""

    @wraps(command)
    def paged(sort: Sequence[str], limit: int | None, everything: bool, offset: int | None, **others: object) -> object:
        if everything and limit is not None:
            raise click.UsageError("--limit and --all exclude each other")
        return command(paging=Paging(sort, limit, everything, offset), **others)

    return _with(paged, *PAGING)


def api_options(command: Command) -> Command:
    """Add `--config`, `--json` and `--as`: the command gets them as `options`."""

    @wraps(command)
    def with_options(config: Path | None, as_json: bool, as_user: str | None, **others: object) -> object:
        return command(options=ApiOptions(config, as_json, as_user), **others)

    return _with(with_options, config_option, json_option, as_option)


def _with(command: Command, *options: Callable[[Command], Command]) -> Command:
    for option in reversed(options):
        command = option(command)
    return command


class ApiSession:
    """Sends a command's requests. Each waits for the rate limits, and a person is told."""

    def __init__(self, client: SignedClient, user_id: str, screen: Screen) -> None:
        self.user_id = user_id
        self._client = client
        self._screen = screen

    async def send(self, call: Call) -> Any:
        """The decoded JSON of a 2xx answer, its numbers as they were written. Raises what `core.errors` names."""
        call = replace(call, exact=True)
        attempts = {True: 0, False: 0}
        while True:
            try:
                return await self._client.send(call)
            except ApiError as error:
                early = isinstance(error, TooEarly)
                attempts[early] += 1
                wait_s = self._wait_s(call, error, attempts[early])
                self._screen.note(f"{error}; next try in {wait_s:.0f} s")
            await asyncio.sleep(wait_s)

    async def pages(self, call: Call, name: str, *, everything: bool) -> AsyncIterator[Page]:
        """One page, or all from there on; what is left out, and how far it is, is said on standard error."""
        count = 0
        async for page in pages(self.send, call, name) if everything else self._one(call, name):
            yield page
            count += len(page.rows)
            if page.more and everything and not sys.stdout.isatty():
                self._screen.note(f"{count:,} rows so far")
        if count == 0:
            self._screen.note(nothing_listed(call.operation))

    async def rows(self, call: Call, name: str) -> list[Row]:
        """One page, for a command that looks something up."""
        return read_page(call, await self.send(call), name).rows

    async def _one(self, call: Call, name: str) -> AsyncIterator[Page]:
        page = read_page(call, await self.send(call), name)
        yield page
        if page.more:
            on = "" if page.following is None else f"--offset {page.following}, or "
            self._screen.note(f"there is more: {on}--all")

    def _wait_s(self, call: Call, error: ApiError, attempt: int) -> float:
        """Seconds until the request is sent again. Raises the error where it is not."""
        if isinstance(error, TooEarly) and attempt <= MAX_EARLY:
            # As long as the API says; where it says "now" every time, not at once all the same.
            return max(error.wait_s + random.random(), pause(attempt, RETRIES, random.random()))
        if isinstance(error, Refused) and error.status == 403:
            self._screen.problem(lacks(call.operation))
        wait_s = None if isinstance(error, TooEarly) else _resend(call, error, attempt)
        if wait_s is None:
            raise error
        return wait_s


def _resend(call: Call, error: ApiError, attempt: int) -> float | None:
    return resend_wait_s(call.operation, error, attempt, RETRIES, random.random())


@asynccontextmanager
async def api_session(settings: Settings, as_user: str | None, screen: Screen) -> AsyncIterator[ApiSession]:
    """A session in the name of `as_user`, else of the configured user."""
    user_id = as_user or settings.amigo.user_id
    if user_id is None:
        raise click.UsageError("in whose name? give --as, or configure amigo.user_id")
    credentials = credentials_of(settings)
    async with HttpClient(credentials, settings.amigo.idle, limiter=OwnLimits(limits_of(settings))) as client:
        yield ApiSession(SignedClient(client, credentials, ONE_ATTEMPT, random.random), user_id, screen)
