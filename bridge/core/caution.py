"""A message whose handling kills the process takes what is in hand beside it along, and the broker counts that for all.

So, when two connections or processes in a row have died within seconds of consuming, the next one takes one event at a
time until ten have settled: only the culprit's count grows then, and soon tells it from the others. (Section 4.1)
"""

QUICK_S = 5.0
"""Who dies within this time of beginning to consume may have died of what was consumed."""
DEATHS = 2
SETTLED = 10
GUILTY = 5
"""So many deliveries without an end, the last of them alone: DEATHS in company, and the rest without."""


def cautious_after(deaths: int) -> bool:
    """Whether to take one event at a time after so many quick deaths in a row."""
    return deaths >= DEATHS


def guilty(deliveries: int, *, cautious: bool) -> bool:
    """Whether a message that was delivered so many times before is what kills; only told while it comes alone."""
    return cautious and deliveries >= GUILTY
