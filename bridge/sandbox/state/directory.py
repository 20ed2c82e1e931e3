"""Who and what exists: everybody and everything, or exactly what the strict file lists.

Without a strict file there are still things that do not exist, so that every refusal can be seen: organizations,
users, API keys and version sets whose name starts with ``missing``, organizations and API keys that start with
``invalid`` or ``wrong``, and the service ``000000000000000000000000``.

The strict file is JSON; whatever is not named has a usual value:

    {"organizations": [{
        "id": "acme", "name": "Acme",
        "api_keys": [{"id": "key-1", "key": "secret", "expires_ms": 1767225600000}],
        "users": [{"user_id": "user-1", "email": "u@example.com", "role_name": "DefaultUserRole",
                   "verified": true, "denied": ["Conversation:GetMessage"], "own_only": false}],
        "services": [{"id": "5f0000000000000000000001", "name": "Care", "is_active": true,
                      "version_sets": ["voice"], "tags": {"channel": "sms"}}]}]}
"""

import re
from pathlib import Path
from typing import Any

import orjson

from bridge.sandbox.state.rows import Service, User
from bridge.sandbox.state.store import Store

ROLES = {
    "DefaultUserRole": "5e0000000000000000000001",
    "DefaultAdministratorRole": "5e0000000000000000000002",
    "DefaultAmigoAdministratorRole": "5e0000000000000000000003",
    "DefaultSuperAdministratorRole": "5e0000000000000000000004",
}
_NOT_THERE = ("missing", "invalid", "wrong")
NO_SUCH_SERVICE = "0" * 24
_VERSION_SET = re.compile(r"[A-Za-z0-9_-]{1,40}")
_VERSION_SETS = [
    *("release", "edge", "test", "preview"),
    *("voice", "text", "async", "voice_premium", "text_premium", "async_premium"),
    *("voice_economy", "text_economy", "async_economy", "voice_ultra_low", "voice_ultra_low_premium"),
]
_CATALOGUE: list[tuple[str, str, str, dict[str, str | None]]] = [
    ("5f0000000000000000000001", "Customer Care", "text", {"channel": "sms", "preset": "text"}),
    ("5f0000000000000000000002", "Payment Alerts", "async", {"channel": "api", "preset": "async"}),
    ("5f0000000000000000000003", "Front Desk", "voice", {"channel": "phone", "preset": "voice", "pilot": None}),
]


class Directory:
    """Answers whether an organization, key, user, service or version set exists."""

    def __init__(self, store: Store, strict_file: Path | None) -> None:
        self._store = store
        self._strict: dict[str, dict[str, Any]] | None = None
        self._services: dict[tuple[str, str], Service] = {}
        if strict_file is not None:
            listed = orjson.loads(strict_file.read_bytes())["organizations"]
            self._strict = {org["id"]: org for org in listed}
        self.reset()

    def reset(self) -> None:
        """Puts the listed users and services back to how the strict file has them."""
        self._services.clear()
        for org_id, org in (self._strict or {}).items():
            for row in org.get("users", []):
                identity = (org_id, row["user_id"])
                if identity not in self._store.users and identity not in self._store.deleted_users:
                    self._store.save_user(_listed_user(org_id, row))
            for row in org.get("services", []):
                self._services[org_id, row["id"]] = _listed_service(org_id, row)

    def organization(self, org_id: str) -> str | None:
        """Its name, None where there is no such organization."""
        if self._strict is None:
            return None if org_id.startswith(_NOT_THERE) else org_id.replace("-", " ").replace("_", " ").title()
        org = self._strict.get(org_id)
        return None if org is None else str(org.get("name", org_id))

    def key_fits(self, org_id: str, key_id: str, key: str, now_ms: int) -> bool:
        """True where this API key opens the organization now (``expires_ms`` in the strict file)."""
        if self._strict is None:
            return bool(key and key_id) and not key.startswith(_NOT_THERE) and not key_id.startswith("missing")
        keys = self._strict.get(org_id, {}).get("api_keys", [])
        return any(
            row["id"] == key_id and row["key"] == key and row.get("expires_ms", now_ms + 1) > now_ms for row in keys
        )

    def user(self, org_id: str, user_id: str) -> User | None:
        """The user; None for one who was deleted, and for one who is not listed where a list decides."""
        known = self._store.users.get((org_id, user_id))
        if known is None and self._may_be_invented(org_id, user_id):
            known = _invented_user(org_id, user_id)
            self._store.save_user(known)
        return known

    def _may_be_invented(self, org_id: str, user_id: str) -> bool:
        is_named = bool(user_id) and not user_id.startswith("missing")
        return self._strict is None and is_named and (org_id, user_id) not in self._store.deleted_users

    def service(self, org_id: str, service_id: str) -> Service | None:
        if self._strict is None and service_id != NO_SUCH_SERVICE:
            self.services(org_id)
            invented = _service(org_id, service_id, f"Service {service_id[-6:]}", {})
            return self._services.setdefault((org_id, service_id), invented)
        return self._services.get((org_id, service_id))

    def services(self, org_id: str) -> list[Service]:
        """Those in the strict file, or a small catalogue and whatever was asked for by id."""
        if self._strict is None:
            for service_id, name, version_set, tags in _CATALOGUE:
                row = _service(org_id, service_id, name, dict(tags))
                row.description = f"{name}, made for the {version_set} preset."
                self._services.setdefault((org_id, service_id), row)
        return [service for (owner, _), service in self._services.items() if owner == org_id]

    def has_version_set(self, service: Service, name: str) -> bool:
        if self._strict is not None or name.startswith("missing"):
            return name in service.version_sets
        return _VERSION_SET.fullmatch(name) is not None


def _service(org_id: str, service_id: str, name: str, tags: dict[str, str | None]) -> Service:
    return Service(service_id, org_id, name, f"{name} of {org_id}", list(_VERSION_SETS), tags)


def _listed_service(org_id: str, row: dict[str, Any]) -> Service:
    return Service(
        row["id"],
        org_id,
        row.get("name", row["id"]),
        row.get("description", row.get("name", row["id"])),
        list(dict.fromkeys(["edge", "release", *row.get("version_sets", [])])),
        row.get("tags", {}),
        row.get("is_active", True),
    )


def _invented_user(org_id: str, user_id: str) -> User:
    digits = re.sub(r"[^a-z0-9]", "", user_id.lower()) or "user"
    return User(org_id, user_id, "Sam", f"Sandbox {user_id[-4:]}", f"{digits}@example.com")


def _listed_user(org_id: str, row: dict[str, Any]) -> User:
    return User(
        org_id,
        row["user_id"],
        row.get("first_name", "Sam"),
        row.get("last_name", "Sandbox"),
        row.get("email", f"{row['user_id']}@example.com"),
        row.get("role_name", "DefaultUserRole"),
        row.get("verified", True),
        row.get("denied", []),
        row.get("own_only", False),
    )
