"""A message whose handling kills the process takes what is in hand beside it along. Two rules keep that harmless.

**One at a time**: when two connections or processes in a row have died within seconds of consuming, the next one takes
one event at a time until ten have settled: the broker counts a delivery for every event in hand.

**Suspects** are the events that were in hand when processes died, as the ledger has counted. The oftener that was, the
fewer of them are in hand together, so that an innocent one soon stops dying with the culprit; who goes on dying alone
is taken for poison.
"""

QUICK_S = 5.0
"""Who dies within this time of beginning to consume may have died of what was consumed."""
SUSPECT_DEATHS = 2
SETTLED = 10

TOGETHER = (64, 16, 4, 1)
"""How many suspects may be in hand together: after two deaths, after three, and so on; the last also beyond."""
MAX_DEATHS = 8
"""After so many deaths an event is not tried again."""
POISON = "poison"
"""The reason of its dead letter, the same as that of the broker's."""


def cautious_after(deaths: int) -> bool:
    """True where one event at a time is taken after so many quick deaths in a row."""
    return deaths >= SUSPECT_DEATHS


def is_suspect(deaths: int) -> bool:
    """True where an event with which so many processes died is kept from too many others like it."""
    return deaths >= SUSPECT_DEATHS


def together(deaths: int) -> int:
    """How many suspects may be in hand, this one among them."""
    return TOGETHER[min(deaths - SUSPECT_DEATHS, len(TOGETHER) - 1)]
