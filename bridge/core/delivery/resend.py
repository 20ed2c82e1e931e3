"""Which request to the API may be sent again: at once, after proof that it was not carried out, or never.

The table is that of docs/api-contract.md, 6.2. `create-conversation` and `interact` start something that
must happen once; so do two of the webhook operations, and the creation of a user. Every other request does no more when
it is sent twice.
"""

from enum import StrEnum

from bridge.core.delivery.retry import RetryPolicy, backoff
from bridge.core.errors import Actor, ApiError, Lost, NotSent, Refused, TooEarly, Unavailable

ONCE = frozenset(
    {"create-conversation", "interact", "create-user", "create-webhook-destination", "rotate-webhook-secret"}
)
"""Operations whose request must not be carried out twice."""
BUSY = 409
MAX_RESEND_WAIT_S = 70.0
"""A window of the rate limits is a minute; whoever is told to wait much longer is told so instead."""


class Resend(StrEnum):
    AT_ONCE = "at once"
    AFTER_PROOF = "after proof"
    NEVER = "never"


def resend(operation: str, error: ApiError) -> Resend:
    """The permission to send again after one error of this operation. A 401 is not here: it means a fresh token, once.

                           operations of ONCE            all others
    NotSent, TooEarly      at once (after its wait)      at once (after its wait)
    Lost, 503, other 5xx   after proof                   at once
    408                    after proof, interact at once at once
    409                    after proof                   finish after proof, else at once
    400                    create after proof, else never never
    any other              never                         never
    """
    match error:
        case NotSent() | TooEarly():
            return Resend.AT_ONCE
        case Lost() | Unavailable():
            return _if_unknown(operation)
        case Refused():
            return _if_refused(operation, error)
    return Resend.NEVER


def resend_wait_s(operation: str, error: ApiError, attempt: int, policy: RetryPolicy, dice: float) -> float | None:
    """Seconds before the request that failed as attempt number `attempt` is sent again; None where it is not.

    A rate limit is waited out, and never for less than the back-off: the API may say "now" to every attempt.
    `dice` is in 0..1: those who were told the same time to come back do not come back together.
    """
    wait_s = backoff(attempt, policy, dice)
    if wait_s is None or resend(operation, error) is not Resend.AT_ONCE:
        return None
    if isinstance(error, TooEarly):
        return max(wait_s, error.wait_s + dice * policy.first_s) if error.wait_s <= MAX_RESEND_WAIT_S else None
    return wait_s


def _if_unknown(operation: str) -> Resend:
    return Resend.AFTER_PROOF if operation in ONCE else Resend.AT_ONCE


def _if_refused(operation: str, error: Refused) -> Resend:
    if error.status == 408 and operation == "interact":
        return Resend.AT_ONCE  # the body never arrived whole
    if error.status == BUSY and operation == "finish":
        return Resend.AFTER_PROOF
    if error.status == 400 and operation == "create-conversation":
        return Resend.AFTER_PROOF  # most often: another conversation is unfinished
    return Resend.NEVER if error.actor is Actor.OPERATOR else _if_unknown(operation)
