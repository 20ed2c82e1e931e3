"""A message whose handling kills the process takes what is in hand beside it along, and the broker counts that for all.

So, when two connections in a row have died within seconds of consuming, the next one takes one event at a time until
ten have settled: only the culprit's count grows then, up to the queue's delivery limit. (Section 4.1)
"""

QUICK_S = 5.0
"""Who dies within this time of beginning to consume may have died of what was consumed."""
DEATHS = 2
SETTLED = 10


def cautious_after(deaths: int) -> bool:
    """Whether to take one event at a time after so many quick deaths in a row."""
    return deaths >= DEATHS
