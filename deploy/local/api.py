"""The Amigo API that the demonstration speaks to: the sandbox, or the real one where AMIGO_API_KEY is set."""

from __future__ import annotations

import json
import re
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from deploy.local.samples import SERVICE_ID

NEEDED = ("AMIGO_API_KEY", "AMIGO_API_KEY_ID", "AMIGO_ORGANIZATION_ID", "AMIGO_USER_ID")
BASE_URL = "https://api.amigo.ai"
TIMEOUT_S = 10


class ApiTrouble(Exception):
    """The real API cannot be used as it is configured; the message says what to do."""


@dataclass(frozen=True)
class Api:
    """`section` is the configuration's section `amigo`; `user_id` the user of all samples, None for several."""

    section: Mapping[str, str]
    service_id: str
    user_id: str | None
    answers_within_s: float


def sandbox_api(base_url: str) -> Api:
    """Every organization, key, user and service exists there."""
    section = {
        "base_url": base_url,
        "organization_id": "acme",
        "api_key": "sandbox-secret",
        "api_key_id": "sandbox-key",
        "user_id": "user-1",
    }
    return Api(section, SERVICE_ID, user_id=None, answers_within_s=60)


def real_api(environment: Mapping[str, str]) -> Api:
    """What the AMIGO_ variables say; the bridge reads the secrets from there itself. Raises ApiTrouble."""
    missing = [name for name in NEEDED if not environment.get(name)]
    if missing:
        raise ApiTrouble(f"AMIGO_API_KEY is set, so the real API is asked: please set {', '.join(missing)} too")
    service_id = environment.get("AMIGO_SERVICE_ID") or _first_service(environment)
    return Api({}, service_id, environment["AMIGO_USER_ID"], answers_within_s=300)


def _first_service(environment: Mapping[str, str]) -> str:
    base = f"{environment.get('AMIGO_BASE_URL', BASE_URL).rstrip('/')}/v1/{environment['AMIGO_ORGANIZATION_ID']}"
    credentials = {
        "x-api-key": environment["AMIGO_API_KEY"],
        "x-api-key-id": environment["AMIGO_API_KEY_ID"],
        "x-user-id": environment["AMIGO_USER_ID"],
    }
    try:
        token = _asked("POST", f"{base}/user/signin_with_api_key", credentials)["id_token"]
        services = _asked("GET", f"{base}/service/?is_active=true", {"Authorization": f"Bearer {token}"})["services"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ApiTrouble(
            f"the API at {base} did not list its services ({_described(error)}): "
            "please check the AMIGO_ variables, or set AMIGO_SERVICE_ID to the service that the samples shall go to"
        ) from None
    found = [service["id"] for service in services if re.fullmatch("[a-f0-9]{24}", str(service.get("id")))]
    if not found:
        raise ApiTrouble("the organization has no active service that this user may see: please set AMIGO_SERVICE_ID")
    return str(found[0])


def _asked(method: str, url: str, headers: Mapping[str, str]) -> Any:
    body = b"" if method == "POST" else None
    request = urllib.request.Request(url, data=body, method=method, headers=dict(headers))
    with urllib.request.urlopen(request, timeout=TIMEOUT_S) as answer:
        return json.load(answer)


def _described(error: Exception) -> str:
    if isinstance(error, urllib.error.HTTPError):
        return f"status {error.code}"
    return f"{type(error).__name__}: {error}"
