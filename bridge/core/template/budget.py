"""A budget for one rendering: how much work it may be, and how large anything that it makes.

An operator's template is trusted, the data that it is filled in with is not. Work is counted in units of about a
nanosecond on a machine of today, by what is asked for and how long it is: never by a clock, so that the same event has
the same fate on a busy machine.
"""

from bridge.core.errors import BridgeError

MIB = 1024 * 1024
UNITS_A_BYTE = 24
"""With `max_bytes` of 1 MiB 25 million units: some 10,000 turns of a loop, or 24 looks at a whole body."""


class TooMuch(BridgeError):
    """A template asks for more than an event's data may make it do."""


class Budget:
    """The rest of one rendering's bounds. `strict`: only text and numbers are taken, as a name or an id must be."""

    __slots__ = ("left", "longest", "strict")

    def __init__(self) -> None:
        self.begin(MIB)

    def begin(self, longest: int, *, strict: bool = False) -> None:
        """The next rendering: nothing in it may be longer than so many bytes, characters or items."""
        self.longest = longest
        self.strict = strict
        self.left = UNITS_A_BYTE * max(longest, MIB)

    def spend(self, units: int) -> None:
        """Work that is about to be done. Raises TooMuch."""
        self.left -= units
        if self.left < 0:
            raise TooMuch("it is too much work with this data")

    def within(self, length: int) -> None:
        """Allow a value of this length. Raises TooMuch."""
        if length > self.longest:
            raise TooMuch(f"it makes something longer than {self.longest} (amqp.inbound.max_bytes)")

    def make(self, length: int) -> None:
        """Something of this length is about to be made. Raises TooMuch."""
        self.within(length)
        self.spend(length)
