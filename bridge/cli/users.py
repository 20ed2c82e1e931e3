"""`amigo-bridge users …`: find the user of an e-mail, or create one."""

import sys
from collections.abc import Iterator

import click

from bridge.cli.api_session import ApiOptions, api_options
from bridge.cli.invocation import FAILED, attempt
from bridge.cli.table import GAP, moment, one_line
from bridge.core.errors import ApiError, Lost, Refused, Unavailable
from bridge.core.event.user import DEFAULT_ROLE, NewUser, comparable
from bridge.core.permissions import lacks
from bridge.edges.amigo.calls import create_user_call, users_call
from bridge.edges.amigo.pages import pages
from bridge.edges.amigo.results import CreatedUser, UserResult


@click.group()
def users() -> None:
    """Users: find one by e-mail, or create one.

    \b
    amigo-bridge users find ada@example.com
    amigo-bridge users create --first-name Ada --last-name Lovelace --email ada@example.com
    """


@users.command(epilog="Example: amigo-bridge users find ada@example.com")
@api_options
@click.argument("email")
def find(options: ApiOptions, email: str) -> None:
    """Show the user with EMAIL, upper and lower case alike; status 1 where there is none, or more than one."""
    screen, session = options.begun()
    matching: list[dict[str, object]] = []

    async def work() -> None:
        async with session() as api:
            call = users_call(api.user_id, emails=(email,))
            async for page in pages(api.send, call, "users"):
                matching.extend(row for row in page.rows if _same(row.get("email"), email))
                if len(matching) > 1:
                    return

    attempt(screen, work())
    if len(matching) != 1:
        none = f"no user has the e-mail {email}, or {lacks('users')}"
        screen.problem(f"more than one user has the e-mail {email}" if matching else none)
        sys.exit(FAILED)
    screen.record(matching[0], *_lines(UserResult.read("users", matching[0])))


@users.command(
    epilog="Example: amigo-bridge users create --first-name Ada --last-name Lovelace --email ada@example.com "
    "--timezone Europe/London"
)
@api_options
@click.option("--first-name", required=True)
@click.option("--last-name", required=True)
@click.option("--email", required=True, help="One in the organization.")
@click.option("--role", default=DEFAULT_ROLE, show_default=True, help="The role's name.")
@click.option("--timezone", metavar="ZONE", help="Such as Europe/London: the agent reads times in it.")
def create(
    options: ApiOptions,
    first_name: str,
    last_name: str,
    email: str,
    role: str,
    timezone: str | None,
) -> None:
    """Create a user; the id is what events name."""
    screen, session = options.begun()
    new = NewUser(first_name, last_name, email, role, timezone)

    async def work() -> None:
        async with session() as api:
            call = create_user_call(api.user_id, new)
            try:
                row = await api.send(call)
            except ApiError as error:
                if _is_open(error):
                    screen.problem(f"it may exist all the same: see `amigo-bridge users find {email}`")
                raise
        made = CreatedUser.read(call.operation, row)
        screen.record(row, made.user_id, *([f"to be verified: {made.verify_link}"] if made.verify_link else []))

    attempt(screen, work())


def _same(one: object, other: str) -> bool:
    return isinstance(one, str) and comparable(one) == comparable(other)


def _is_open(error: ApiError) -> bool:
    """True where the request may have been carried out."""
    return isinstance(error, Lost | Unavailable) or (isinstance(error, Refused) and error.status >= 500)


def _lines(row: UserResult) -> Iterator[str]:
    yield GAP.join(filter(None, (row.user_id, one_line(f"{row.first_name} {row.last_name}"), row.email)))
    stats = row.user_stats
    last = f", the last {moment(stats.last_message_time)}" if stats.last_message_time else ""
    yield f"    {stats.num_conversations} conversations, {stats.num_messages} messages{last}"
    yield f"    role {row.role}, time zone {row.preferences.get('timezone') or 'not set'}"
