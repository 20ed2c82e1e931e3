"""`amigo-bridge services`: the services that there are to talk to, with their version sets."""

from collections.abc import Iterator, Sequence

import click

from bridge.cli.api_session import ApiOptions, api_options
from bridge.cli.invocation import attempt
from bridge.cli.table import GAP, cropped, one_line, tags_text
from bridge.edges.amigo.calls import Slice, services_call
from bridge.edges.amigo.results import Service, VersionSet

SERVICES_A_PAGE = 20


@click.command(epilog="Example: amigo-bridge services --active --tag channel:phone")
@api_options
@click.option("--id", "ids", multiple=True, metavar="ID", help="This service; repeatable.")
@click.option("--active/--inactive", "active", default=None, help="Only those; by default both.")
@click.option("--tag", "tags", multiple=True, metavar="KEY:VALUE", help="With this tag; KEY:* any value, KEY: none.")
@click.option("--sort", multiple=True, metavar="±FIELD", help="name or is_active, after + or -; by default +name.")
@click.option("--limit", type=int, metavar="N", help="At most N, in one request; by default all, page after page.")
@click.option("--offset", type=int, metavar="N", help="Leave out the first N.")
def services(
    options: ApiOptions,
    ids: Sequence[str],
    active: bool | None,
    tags: Sequence[str],
    sort: Sequence[str],
    limit: int | None,
    offset: int | None,
) -> None:
    """List the services, each with its version sets."""
    screen, session = options.begun()
    everything = limit is None
    rows = Slice(SERVICES_A_PAGE, offset, sort or ("+name",)) if everything else Slice(limit, offset, sort)

    async def work() -> None:
        async with session() as api:
            call = services_call(api.user_id, ids=ids, is_active=active, tags=tags, rows=rows)
            async for page in api.pages(call, "services", everything=everything):
                for row in page.rows:
                    service = Service.read(call.operation, row)
                    screen.record(row, *(cropped(line, screen.width) for line in _lines(service)))

    attempt(screen, work())


def _lines(row: Service) -> Iterator[str]:
    tags = tags_text({tag.key: tag.value for tag in row.tags})
    yield GAP.join(filter(None, (row.id, one_line(row.name), "active" if row.is_active else "inactive", tags)))
    for name, version_set in row.version_sets.items():
        yield f"    {name}: {_version_set(version_set)}"


def _version_set(version_set: VersionSet) -> str:
    agent = _version(version_set.agent_version_number)
    machine = _version(version_set.service_hierarchical_state_machine_version_number)
    models = ", ".join(version_set.llm_model_preferences)
    return f"agent {agent}, state machine {machine}" + (f", models for {models}" if models else "")


def _version(number: int | None) -> str:
    return "latest" if number is None else str(number)
