"""The meaning of a consumer that gets nothing: it rests, it stands by, or it is none any more.

                                        single active    others
    no consumer is counted              LOST             LOST
    messages ready, room, overdue
        it has been served              RENEW            STUCK
        it has not                      RENEW            RENEW     it stands by, perhaps
    nothing ready, silent
        it holds deliveries             WELL             RENEW
        it holds none                   RENEW            RENEW
    anything else                       WELL             WELL

AMQP 0-9-1 does not tell a consumer that it is the single active one, and RabbitMQ 3.10 counts no other. Renewing one
that stands by costs nothing: it goes to the end of the line. Renewing the active one passes the queue on to another,
which is only done while nothing is in hand that the other's events could overtake.
"""

from enum import Enum, auto


class Verdict(Enum):
    """The action that follows."""

    WELL = auto()
    RENEW = auto()
    LOST = auto()
    STUCK = auto()


def verdict(
    *,
    ready: int,
    consumers: int,
    held: int,
    prefetch: int,
    overdue: bool,
    silent: bool,
    single_active: bool,
    served: bool,
) -> Verdict:
    """See the table. `ready` and `consumers` are what the broker counts at the queue.

    `overdue`: nothing came for so long that, were something ready, it should have; `silent`: for longer still.
    `served`: this consumer has had a delivery.
    """
    if not consumers:
        return Verdict.LOST
    if ready and held < prefetch and overdue:
        return Verdict.STUCK if served and not single_active else Verdict.RENEW
    if not ready and silent and not (single_active and held):
        return Verdict.RENEW
    return Verdict.WELL
