"""The table of the API's operations at the end of a run, also where several processes have run the tests."""

from typing import Any

import pytest

from tests.support.outcomes import OUTCOMES, Outcomes


def pytest_configure(config: pytest.Config) -> None:
    config.stash[OUTCOMES] = Outcomes()


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """A process that ran tests hands over what it noted."""
    node.config.stash[OUTCOMES].add(getattr(node, "workeroutput", {}).get("outcomes", {}))


def pytest_sessionfinish(session: pytest.Session) -> None:
    handed_over = getattr(session.config, "workeroutput", None)
    if handed_over is not None:
        handed_over["outcomes"] = session.config.stash[OUTCOMES].rows


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    noted = config.stash[OUTCOMES]
    if noted.rows:
        terminalreporter.section("the API's operations and what the client makes of each answer")
        for line in noted.table():
            terminalreporter.write_line(line)
