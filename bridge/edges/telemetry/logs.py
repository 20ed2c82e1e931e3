"""structlog: one JSON object a line, or something readable on a terminal. No bodies, and known secrets are cut out."""

import logging
import sys
from collections.abc import Iterable, MutableMapping

import orjson
import structlog
from structlog.typing import FilteringBoundLogger, Processor

from bridge.core.printable import printable, printable_json

Fields = MutableMapping[str, object]
HIDDEN = "***"
TRACEBACKS = frozenset({"exception", "stack"})


def configure(level: str, format_: str, secrets: Iterable[str]) -> FilteringBoundLogger:
    """Set up logging for the process, library logs included, and return the logger."""
    console = format_ == "console" or (format_ == "auto" and sys.stdout.isatty())
    redacted = _Redacted(secrets)
    shared: list[Processor] = [
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        _without_nothing,
        structlog.processors.format_exc_info,
    ]
    if console:
        renderers: list[Processor] = [_printable, structlog.dev.ConsoleRenderer(), redacted]
    else:
        renderers = [structlog.processors.JSONRenderer(serializer=_json), redacted]
    structlog.configure(
        processors=[*shared, *renderers],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.PrintLoggerFactory(sys.stdout),
        cache_logger_on_first_use=True,
    )
    _libraries(shared, renderers)
    logger: FilteringBoundLogger = structlog.get_logger()
    return logger


def keep_quiet() -> None:
    """For commands, which say themselves what happened: what libraries log, with tracebacks, is not shown beside it."""
    root = logging.getLogger()
    if not root.handlers:
        root.addHandler(logging.NullHandler())


def _libraries(shared: list[Processor], renderers: list[Processor]) -> None:
    """Logs of aio-pika, aiormq, aiohttp and asyncio: warnings and worse, in the same form."""
    formatter = structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=[structlog.stdlib.add_logger_name, *shared],
        processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *renderers],
    )
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(formatter)
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    # aiormq reports every lost connection itself, with a traceback; `broker.lost` says it once.
    logging.getLogger("aiormq").setLevel(logging.CRITICAL)
    logging.getLogger("aio_pika").setLevel(logging.CRITICAL)
    logging.getLogger("aiohttp.server").addFilter(_is_ours)


def _is_ours(record: logging.LogRecord) -> bool:
    """aiohttp logs every request that is no HTTP with a traceback and a piece of it: anybody could fill the log."""
    kind = record.exc_info[0] if record.exc_info else None
    return kind is None or kind.__module__ != "aiohttp.http_exceptions"


def _without_nothing(_: object, __: str, fields: Fields) -> Fields:
    return {name: value for name, value in fields.items() if value is not None}


def _printable(_: object, __: str, fields: Fields) -> Fields:
    """Escape what a terminal would obey; only a traceback keeps its lines. Other values the renderer escapes."""
    return {name: _escaped(name, value) if isinstance(value, str) else value for name, value in fields.items()}


def _escaped(name: str, text: str) -> str:
    return "\n".join(map(printable, text.split("\n"))) if name in TRACEBACKS else printable(text)


class _Redacted:
    """Cuts known secrets out of a line as it will be written, wherever in it they stand."""

    def __init__(self, secrets: Iterable[str]) -> None:
        known = [secret for secret in secrets if len(secret) >= 4]
        self._secrets = {form for secret in known for form in (secret, orjson.dumps(secret).decode()[1:-1])}

    def __call__(self, _: object, __: str, line: object) -> str:
        text = str(line)
        for secret in self._secrets:
            text = text.replace(secret, HIDDEN)
        return text


def _json(fields: object, **_: object) -> str:
    return printable_json(orjson.dumps(fields, default=str, option=orjson.OPT_NON_STR_KEYS).decode())
