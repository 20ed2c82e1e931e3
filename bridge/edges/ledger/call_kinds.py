"""The kinds of call to the database."""

from enum import Enum, auto


class CallKind(Enum):
    """The kinds of call to the database."""

    CLAIM = auto()
    TAKE_TURN = auto()
    LINE_UP = auto()
    AHEAD = auto()
    LEAVE = auto()
    WRITE = auto()
    COMPLETE = auto()
    RELEASE = auto()
    FIND = auto()
    CANCEL = auto()
    KEEP_DUE = auto()
    DROP_DUE = auto()
    DUE = auto()
    TAKE_DUE = auto()
    FIND_DUE = auto()
    SET_DUE = auto()
    FIND_USER = auto()
    KEEP_USER = auto()
    DROP_USER = auto()
    PAUSES = auto()
    SET_PAUSE = auto()
    DROP_PAUSE = auto()
    TAKE_PROBE = auto()
    HOLD = auto()
    TAKE_UNHELD = auto()
    CLEAR_UNHELD = auto()
    BEGUN = auto()
    LIVES_ON = auto()
