"""Logs: one JSON object a line, readable lines on request, and no secret in either, whoever wrote the line."""

import json
import logging
import sys
from collections.abc import Iterator
from typing import Any

import pytest
import structlog

from bridge.edges.telemetry.logs import configure

SECRET = "canary-5e1f-secret"


@pytest.fixture(autouse=True)
def restored() -> Iterator[None]:
    """Logging is global: what was before is put back."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    levels = {name: logging.getLogger(name).level for name in ("aiormq", "aio_pika")}
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    for name, before in levels.items():
        logging.getLogger(name).setLevel(before)
    structlog.reset_defaults()


def lines(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def test_a_line_is_a_json_object_with_time_level_and_fields(capsys: pytest.CaptureFixture[str]) -> None:
    log = configure("info", "json", [])
    log.info("delivery.settled", event_id="e\n1\x1b[31m", lines=3, stage=None, tags={"a": [1]}, odd=object)
    (line,) = lines(capsys)
    assert line.pop("timestamp").endswith("Z")
    assert line.pop("odd")
    assert line == {
        "event": "delivery.settled",
        "level": "info",
        "event_id": "e\n1\x1b[31m",
        "lines": 3,
        "tags": {"a": [1]},
    }


@pytest.mark.parametrize("level", ["debug", "info", "warning", "error"])
def test_what_is_below_the_level_is_not_written(capsys: pytest.CaptureFixture[str], level: str) -> None:
    log = configure(level, "json", [])
    levels = ["debug", "info", "warning", "error", "critical"]
    for name in levels:
        getattr(log, name)("said")
    assert [line["level"] for line in lines(capsys)] == levels[levels.index(level) :]


def fail() -> None:
    raise ValueError(f"at https://user:{SECRET}@host/")


def failure() -> Exception:
    """An error with a traceback."""
    with pytest.raises(ValueError) as failed:
        fail()
    return failed.value


FIELDS: dict[str, Any] = {
    "text": f"x {SECRET} y",
    "twice": SECRET + SECRET,
    "an error": failure(),
    "a list": ["a", f"b {SECRET}"],
    "a map": {"headers": {"x-api-key": SECRET}},
    "a key": {SECRET: 1},
    "bytes": SECRET.encode(),
    "a tuple": (SECRET,),
}


@pytest.mark.parametrize("format_", ["json", "console"])
@pytest.mark.parametrize("field", FIELDS)
def test_no_secret_in_any_field(capsys: pytest.CaptureFixture[str], field: str, format_: str) -> None:
    log = configure("info", format_, [SECRET])
    log.info("something.happened", found=FIELDS[field])
    said = capsys.readouterr().out
    assert "something.happened" in said
    assert SECRET not in said


@pytest.mark.parametrize("format_", ["json", "console"])
def test_no_secret_in_the_name_of_an_event_or_in_a_traceback(capsys: pytest.CaptureFixture[str], format_: str) -> None:
    log = configure("info", format_, [SECRET])
    log.info(f"got {SECRET}")
    log.critical("task.broken", exc_info=failure())
    try:
        fail()
    except ValueError:
        log.error("attempt.unhandled", exc_info=True)
    said = capsys.readouterr().out
    assert said.count("ValueError") >= 2
    assert SECRET not in said


@pytest.mark.parametrize("format_", ["json", "console"])
def test_no_secret_in_what_libraries_log(capsys: pytest.CaptureFixture[str], format_: str) -> None:
    configure("debug", format_, [SECRET])
    library = logging.getLogger("aiohttp.client")
    library.warning("connecting to %s", f"https://u:{SECRET}@h")
    library.warning("failed with %r", failure(), exc_info=failure())
    library.info("not shown")
    logging.getLogger("aiormq.connection").error("not shown")
    said = capsys.readouterr().out
    assert SECRET not in said
    assert "ValueError" in said
    assert "not shown" not in said
    if format_ == "json":
        assert [line for line in said.splitlines() if json.loads(line)["logger"] == "aiohttp.client"]


def test_short_and_empty_secrets_do_not_shred_the_log(capsys: pytest.CaptureFixture[str]) -> None:
    log = configure("info", "json", ["", "e", "abc"])
    log.info("event", text="abcde")
    assert lines(capsys)[0]["text"] == "abcde"


def test_auto_is_json_where_nobody_watches(capsys: pytest.CaptureFixture[str]) -> None:
    configure("info", "auto", []).info("said")
    assert lines(capsys)[0]["event"] == "said"
    assert not sys.stdout.isatty()


def test_the_console_form_is_no_json(capsys: pytest.CaptureFixture[str]) -> None:
    configure("info", "console", []).info("said", event_id="e1")
    said = capsys.readouterr().out
    assert "said" in said
    assert not said.startswith("{")


BAD = "e\n1\x1b]0;owned\x07\x9b2J\u202e\u2028\x7f"
NOT_SHOWN = ("\x1b]", "\x07", "\x9b", "\u202e", "\u2028", "\x7f")


def fail_badly() -> None:
    raise ValueError(BAD)


@pytest.mark.parametrize("format_", ["json", "console"])
def test_nothing_that_a_terminal_obeys_in_any_field(capsys: pytest.CaptureFixture[str], format_: str) -> None:
    log = configure("info", format_, [])
    log.info("delivery.settled", event_id=BAD, tags={"a": [BAD]}, error=ValueError(BAD))
    log.info(BAD)
    logging.getLogger("aiohttp.client").warning("got %s", BAD)
    said = capsys.readouterr().out
    assert [bad for bad in NOT_SHOWN if bad in said] == []
    assert len(said.splitlines()) == 3
    assert said.count("owned") >= 5


@pytest.mark.parametrize("format_", ["json", "console"])
def test_a_traceback_keeps_its_lines_and_nothing_else(capsys: pytest.CaptureFixture[str], format_: str) -> None:
    log = configure("info", format_, [])
    try:
        fail_badly()
    except ValueError:
        log.exception("attempt.unhandled")
        logging.getLogger("aiohttp.client").exception("failed")
    said = capsys.readouterr().out
    assert [bad for bad in NOT_SHOWN if bad in said] == []
    if format_ == "console":
        assert said.count("\nTraceback (most recent call last)") == 2
