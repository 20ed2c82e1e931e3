"""What it means that a consumer gets nothing: it rests, it stands by, or it is none any more.

                                            single active       others
    no consumer is counted                  LOST                LOST
    messages ready, room, overdue
        somebody else consumes too          RENEW               RENEW     standing by, perhaps
        nobody else, served or renewed      STUCK               STUCK
        nobody else, neither                RENEW               RENEW     the active one has just gone, perhaps
    nothing ready, long silent              WELL                RENEW
    anything else                           WELL                WELL

AMQP 0-9-1 does not tell a consumer that it is the single active one. Renewing one that stands by costs nothing: it goes
to the end of the line. Renewing the active one would pass the queue on to another, so that is never done while nothing
is ready.
"""

from enum import Enum, auto


class Verdict(Enum):
    """What is to be done."""

    WELL = auto()
    RENEW = auto()
    LOST = auto()
    STUCK = auto()


def verdict(
    *,
    ready: int,
    consumers: int,
    room: bool,
    overdue: bool,
    silent: bool,
    single_active: bool,
    served: bool,
    renewed: bool,
) -> Verdict:
    """See the table. `ready` and `consumers` are what the broker counts at the queue.

    `overdue`: nothing came for so long that, were something ready, it should have; `silent`: for longer still.
    `served`: this consumer has had a delivery; `renewed`: it was started because its predecessor got none.
    """
    if not consumers:
        return Verdict.LOST
    if ready and room and overdue:
        return Verdict.STUCK if consumers == 1 and (served or renewed) else Verdict.RENEW
    if not ready and silent and not single_active:
        return Verdict.RENEW
    return Verdict.WELL
