"""docs/operations.md has a row for every metric and every log event, and no row without one."""

import ast
import re
from collections.abc import Iterator

from prometheus_client.parser import text_string_to_metric_families

from tests.house.pages import rows, section, text_of
from tests.house.source import ROOT, python, tree
from tests.house.test_metrics import scrape

PAGE = text_of(ROOT / "docs" / "operations.md")
LEVELS = frozenset({"debug", "info", "warning", "error", "critical", "exception", "say"})
"""`say` is a name of the code's own, for a level that is chosen."""
EVENT = re.compile(r"[a-z]+\.[a-z_]+")


def metrics() -> set[str]:
    """The names of the bridge's own metrics, as they are scraped."""
    families = text_string_to_metric_families(scrape())
    names = {sample.name for family in families for sample in family.samples}
    return {name for name in names if name.startswith("bridge_") and not name.endswith("_created")}


def log_events(parsed: ast.AST) -> Iterator[str]:
    """The names of what is logged."""
    for node in ast.walk(parsed):
        match node:
            case ast.Call(
                func=ast.Attribute(attr=called) | ast.Name(id=called), args=[ast.Constant(value=str(event)), *_]
            ) if called in LEVELS and EVENT.fullmatch(event):
                yield event


def test_every_metric_has_its_row_and_no_row_is_without_one() -> None:
    told = rows(section(PAGE, "Metrics"))
    assert sorted(told) == sorted(metrics())
    assert len(told) > 10


def test_every_log_event_has_its_row_and_no_row_is_without_one() -> None:
    files = [path for path in python("bridge") if not path.is_relative_to(ROOT / "bridge" / "sandbox")]
    logged = {event for path in files for event in log_events(tree(path))}
    assert sorted(rows(section(PAGE, "Log events"))) == sorted(logged)
    assert len(logged) > 40


def test_a_log_event_would_be_seen() -> None:
    code = "self._log.info('a.seen', x=1)\nsay('b.seen')\nlog.critical('c.seen_too')\nscreen.say('W.w')\nf('d.not')"
    assert list(log_events(ast.parse(code))) == ["a.seen", "b.seen", "c.seen_too"]
