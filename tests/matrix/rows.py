"""The rows of the matrix: which Debian's Python runs the suite, against which Debian's broker."""

from collections.abc import Sequence
from dataclasses import dataclass

HERE = "here"


@dataclass(frozen=True)
class Debian:
    """A release, the Python that it brings, and the RabbitMQ."""

    suite: str
    title: str
    python: str
    rabbitmq: str


DEBIANS = {
    debian.suite: debian
    for debian in (
        Debian("bookworm", "Debian 12", "3.11", "3.10"),
        Debian("trixie", "Debian 13", "3.13", "4.0"),
        Debian("sid", "Debian unstable", "3.14", "4.3"),
    )
}


@dataclass(frozen=True)
class Row:
    """`system` is where `./dev test` runs: a Debian, or this machine. `broker` is whose RabbitMQ it runs against."""

    system: str
    broker: str

    @property
    def name(self) -> str:
        return self.system if self.system == self.broker else f"{self.system}-{self.broker}"

    @property
    def roots(self) -> tuple[str, ...]:
        """The root folders that it takes."""
        return tuple(dict.fromkeys(name for name in (self.system, self.broker) if name != HERE))

    @property
    def title(self) -> str:
        where = "this machine" if self.system == HERE else DEBIANS[self.system].title
        what = "its own RabbitMQ" if self.broker == self.system else f"the RabbitMQ of {DEBIANS[self.broker].title}"
        return f"{where}, {what}"


ROWS = (
    *(Row(suite, suite) for suite in DEBIANS),
    *(Row(system, broker) for system in DEBIANS for broker in DEBIANS if system != broker),
    Row(HERE, HERE),
    *(Row(HERE, broker) for broker in DEBIANS if broker != "bookworm"),
)
"""First each Debian as it is, then every Python with every RabbitMQ, then this machine."""


def chosen(names: Sequence[str]) -> list[Row]:
    """The rows of these names, in the order of the table; all of them where none is named."""
    return [row for row in ROWS if not names or row.name in names]
