"""A known user as a row, the same in every database."""

from bridge.core.event.user import KnownUser
from bridge.edges.ledger.rows import Row

USER_COLUMNS = ("digest", "user_id", "until_s", "created_s")


def user_row(known: KnownUser) -> Row:
    """The row, in the order of USER_COLUMNS."""
    return (known.digest, known.user_id, known.until_s, known.created_s)


def user_of_row(row: Row) -> KnownUser:
    """The known user in a row."""
    digest, user_id, until_s, created_s = row
    return KnownUser(str(digest), str(user_id), float(until_s), float(created_s))
