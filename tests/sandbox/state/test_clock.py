"""The sandbox has one clock: an answer's `Date` is of the same one as the times in it."""

from datetime import datetime
from email.utils import parsedate_to_datetime

import aiohttp
import pytest

from bridge.sandbox import SandboxOptions
from bridge.sandbox.http.server import serve

HEADERS = {"x-api-key": "sandbox-secret", "x-api-key-id": "sandbox-key", "x-user-id": "user-1"}


@pytest.mark.parametrize("moved_s", [0, 7200])
async def test_a_token_lives_as_long_by_the_answers_date_wherever_the_clock_stands(moved_s: int) -> None:
    sandbox = await serve(SandboxOptions(pace=0, token_lifetime_s=3600.0))
    sandbox.state.clock.advance(moved_s)
    url = f"{sandbox.base_url}/v1/acme/user/signin_with_api_key"
    try:
        async with aiohttp.ClientSession() as session, session.post(url, headers=HEADERS) as answered:
            told = await answered.json()
            dated = parsedate_to_datetime(answered.headers["Date"])
    finally:
        await sandbox.close()
    lived_s = (datetime.fromisoformat(told["expires_at"]) - dated).total_seconds()
    assert lived_s == pytest.approx(3600, abs=1.5)
