"""The user of an event by e-mail, for senders that know customers and not Amigo's ids: docs/semantics.md, Users.

An e-mail is personal data: no error quotes one, and the ledger knows only its digest.
"""

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

DEFAULT_ROLE = "DefaultUserRole"
EMAIL = re.compile(r"[^\s@\x00-\x1f\x7f]{1,64}@[^\s@\x00-\x1f\x7f]{1,255}")
MAX_EMAIL, MAX_TEXT = 254, 200
REQUIRED, OPTIONAL = ("first_name", "last_name"), ("role_name", "timezone", "preferred_language")
CREATE = (*REQUIRED, *OPTIONAL)
NEW_FOR_S = 60.0
"""How long a user that was just created may be refused a sign-in."""


@dataclass(frozen=True, slots=True)
class NewUser:
    """A user to be invited; the e-mail is one in an organization, the role one of its roles."""

    first_name: str
    last_name: str
    email: str
    role_name: str = DEFAULT_ROLE
    timezone: str | None = None
    preferred_language: str | None = None


@dataclass(frozen=True)
class UserByEmail:
    """A user by e-mail; `create` is what is created where there is none."""

    email: str
    create: NewUser | None = None

    @cached_property
    def key(self) -> str:
        """The e-mail as it is compared: upper and lower case alike."""
        return comparable(self.email)

    @cached_property
    def digest(self) -> str:
        """The key as the ledger has it: 64 hex digits."""
        return hashlib.sha256(self.key.encode("utf-8", "surrogatepass")).hexdigest()

    @property
    def spellings(self) -> Sequence[str]:
        """The e-mails to ask for: as written, and in lower case, since a server may compare exactly."""
        return tuple(dict.fromkeys((self.email, self.email.lower())))


@dataclass(frozen=True, slots=True)
class KnownUser:
    """The id of an e-mail (by its digest), until when it is taken for true, and when it was created here, else 0.

    Times are Unix seconds.
    """

    digest: str
    user_id: str
    until_s: float
    created_s: float = 0.0


@dataclass(frozen=True, slots=True)
class UserRules:
    """How long a known user and a missing one are kept (seconds), and the roles that may be given."""

    keep_s: float = 86_400.0
    missing_keep_s: float = 60.0
    roles: Sequence[str] = (DEFAULT_ROLE,)


def comparable(email: str) -> str:
    """An e-mail as it is compared."""
    return email.strip().casefold()


def check_user(value: object) -> str | None:
    """Check the field `user` of an event."""
    if value is None:
        return None
    if not isinstance(value, dict) or not value.keys() <= {"email", "create"} or "email" not in value:
        return "user is not an object with email and, where it may be created, create"
    email = value["email"]
    if not isinstance(email, str) or len(email.strip()) > MAX_EMAIL or EMAIL.fullmatch(email.strip()) is None:
        return "user.email is no e-mail address"
    create = value.get("create")
    return None if create is None else _check_create(create)


def user_of(value: Mapping[str, object] | None) -> UserByEmail | None:
    """The user in a field that has been checked."""
    if value is None:
        return None
    email, create = str(value["email"]).strip(), value.get("create")
    if not isinstance(create, Mapping):
        return UserByEmail(email)
    fields = {name: str(text).strip() for name, text in create.items() if text is not None}
    return UserByEmail(email, NewUser(email=email, **fields))


def _check_create(value: object) -> str | None:
    if not isinstance(value, dict):
        return "user.create is not an object"
    unknown = sorted(str(name)[:40] for name in value.keys() - set(CREATE))
    if unknown:
        return f"user.create has unknown fields ({', '.join(unknown)}): known are {', '.join(CREATE)}"
    for name in CREATE:
        text = value.get(name)
        if text is None and name in OPTIONAL:
            continue
        if not isinstance(text, str) or not 0 < len(text.strip()) <= MAX_TEXT:
            return f"user.create.{name} is not a text of 1 to {MAX_TEXT} characters"
    return None
