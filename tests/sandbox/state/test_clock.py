"""The sandbox has one clock: an answer's `Date` is of the same one as the times in it."""

from datetime import datetime
from email.utils import parsedate_to_datetime

import aiohttp
import pytest

from tests.support.observed_sandbox import observed_sandbox

HEADERS = {"x-api-key": "sandbox-secret", "x-api-key-id": "sandbox-key", "x-user-id": "user-1"}


@pytest.mark.parametrize("moved_s", [0, 7200])
async def test_a_token_lives_as_long_by_the_answers_date_wherever_the_clock_stands(moved_s: int) -> None:
    async with observed_sandbox(token_lifetime_s=3600.0) as sandbox, aiohttp.ClientSession() as session:
        sandbox.state.clock.advance(moved_s)
        url = f"{sandbox.base_url}/v1/acme/user/signin_with_api_key"
        async with session.post(url, headers=HEADERS) as answered:
            told = await answered.json()
            dated = parsedate_to_datetime(answered.headers["Date"])
    lived_s = (datetime.fromisoformat(told["expires_at"]) - dated).total_seconds()
    assert lived_s == pytest.approx(3600, abs=1.5)
