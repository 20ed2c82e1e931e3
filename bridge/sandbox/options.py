"""Choices about a sandbox before it starts."""

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Literal


@dataclass(frozen=True)
class SandboxOptions:
    """Every choice has the value of the friendliest server; names ending in ``_s`` are seconds.

    The behaviours that the API leaves undocumented are switches here, so that a client can be tried against
    each of them (docs/api-contract.md, 8).
    """

    pace: float = 1.0
    """1 = tens of milliseconds between the pieces of an answer, 0 = as fast as possible. Scales nothing else."""
    strict_file: Path | None = None
    """JSON file of the organizations, keys, users and services that exist; without it all of them do."""
    state_file: Path | None = None
    """Append-only file that carries conversations, users and webhooks over a restart."""
    seed: int | None = None
    """Makes ids and dice repeatable (together with ``frozen_at``: every answer)."""
    frozen_at: datetime | None = None
    """A clock that stands still here until an admin call advances it; without it the real time."""

    limits: Literal["off", "user", "org"] = "off"
    """Whom the per-minute limits of the contract count."""
    limit_windows: Literal["call", "clock", "sliding"] = "call"
    """A window begins with a call, or follows on the last one (the first began at any time before), or slides."""
    limit_window_s: float = 60.0
    limit_headers: bool = True
    retry_after: Literal["seconds", "date", "absent"] = "seconds"

    token_lifetime_s: float = 3600.0
    body_timeout_s: float = 30.0
    on_disconnect: Literal["rollback", "commit"] = "rollback"
    """The fate of an interaction whose client went away in the middle of the stream."""
    finish_empty: Literal["delete", "refuse"] = "delete"
    """Finishing a conversation without messages: 204 and gone, or 400."""
    create_while_streaming: Literal[400, 409] = 400
    """Answer to a create while the unfinished conversation in its way is being streamed."""
    finish_lag_s: float = 0.0
    """How long ``is_finished`` stays false in listings after a finish."""
    finishing_s: float = 0.0
    """How long after a finish its user's next create for the same service is refused (409), as still in progress."""
    unverified_users: bool = False
    """Users made with create-invited-user cannot sign in until an admin call verifies them."""
    announce_on_create: bool = False
    """Send ``user-message-available`` on create too, as some pages of the documentation show."""

    post_processing_s: float = 0.2
    """Pause before each of the three post-processings of a finished conversation."""
    webhook_hosts: frozenset[str] = frozenset()
    """The only hosts that webhooks are sent to; they may also be registered with ``http://``."""
    webhook_retry_s: tuple[float, ...] = (5.0, 10.0, 20.0, 20.0)
    webhook_timeout_s: float = 10.0
    dual_signature: Literal["comma", "repeated", "second-header"] = "comma"
    """How two signatures travel during a rotation (the real form is not public)."""
