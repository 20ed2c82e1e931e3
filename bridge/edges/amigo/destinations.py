"""The operations on webhook destinations, typed (docs/api-contract.md, 1.15 to 1.20)."""

from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime

from bridge.edges.amigo.authorized import SignedClient
from bridge.edges.amigo.client import JSON, Call
from bridge.edges.amigo.outgoing import json_body, part
from bridge.edges.amigo.query import given
from bridge.edges.amigo.results import (
    CreatedDestination,
    RotatedSecret,
    WebhookDelivery,
    WebhookDestination,
    WebhookDestinations,
)

DELIVERIES_A_PAGE = 50


class DestinationsApi:
    """The destinations of the platform's webhooks, as `user_id`. Errors are those of `core.errors`."""

    def __init__(self, client: SignedClient) -> None:
        self._client = client

    async def now(self, user_id: str) -> datetime:
        """The time at the API: what is asked of it in times, and what it answers in them, is in this one."""
        return datetime.fromtimestamp(await self._client.now_s(user_id), UTC)

    async def create(
        self, user_id: str, url: str, accepted_types: Sequence[str], *, retry_attempts: int = 3
    ) -> CreatedDestination:
        """Register an HTTPS address. The secret is shown only here; `retry_attempts` is 1 to 5."""
        body = {"url": url, "accepted_types": list(accepted_types), "retry_attempts": retry_attempts}
        path = "/webhook_destination/"
        written = json_body("create-webhook-destination", body)
        call = Call("create-webhook-destination", "POST", path, user_id, headers=JSON, body=written)
        return CreatedDestination.read(call.operation, await self._client.send(call))

    async def list(self, user_id: str, *, ids: Sequence[str] = ()) -> tuple[WebhookDestination, ...]:
        """All of them; this operation has no pages."""
        call = Call("webhook-destinations", "GET", "/webhook_destination/", user_id, given(id=ids))
        return WebhookDestinations.read(call.operation, await self._client.send(call)).webhook_destinations

    async def update(
        self,
        user_id: str,
        destination_id: str,
        *,
        accepted_types: Sequence[str] | None = None,
        retry_attempts: int | None = None,
    ) -> None:
        """Change what is given, effective after some seconds; the URL cannot change."""
        types = None if accepted_types is None else [*accepted_types]
        operation, path = "update-webhook-destination", f"/webhook_destination/{part(destination_id)}"
        body = json_body(operation, {"accepted_types": types, "retry_attempts": retry_attempts})
        await self._client.send(Call(operation, "POST", path, user_id, headers=JSON, body=body))

    async def delete(self, user_id: str, destination_id: str) -> None:
        """Remove a destination; it may still be sent to for some seconds.

        Refused with 404 may mean that the answer to an earlier attempt was lost: gone is gone.
        """
        path = f"/webhook_destination/{part(destination_id)}"
        await self._client.send(Call("delete-webhook-destination", "DELETE", path, user_id))

    async def rotate_secret(self, user_id: str, destination_id: str) -> RotatedSecret:
        """A new secret, once per hour; the old one signs too for about half of it."""
        path = f"/webhook_destination/{part(destination_id)}/rotate-secret"
        call = Call("rotate-webhook-secret", "POST", path, user_id)
        return RotatedSecret.read(call.operation, await self._client.send(call))

    async def deliveries(
        self,
        user_id: str,
        destination_id: str,
        *,
        status: str | None = None,
        kind: str | None = None,
        after: datetime | None = None,
        before: datetime | None = None,
        sort_by: Sequence[str] = ("-created_at",),
        page_size: int = DELIVERIES_A_PAGE,
    ) -> AsyncIterator[WebhookDelivery]:
        """Deliveries of the last 30 days; `status` is success or failed, `kind` a webhook type."""
        params = given(
            status=status or "",
            type=kind or "",
            created_after=after.isoformat() if after else "",
            created_before=before.isoformat() if before else "",
            sort_by=sort_by,
        )
        path = f"/webhook_destination/{part(destination_id)}/delivery"
        call = Call("webhook-deliveries", "GET", path, user_id, params)
        async for row in self._client.rows(call, "webhook_deliveries", page_size):
            yield WebhookDelivery.read(call.operation, row)
