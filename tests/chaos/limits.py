"""The API's limits under kills: it enforces them in short windows, one user has more events than they let through.

With the logs in PostgreSQL no call is refused, whichever process dies with calls reserved; the user's events, which are
published at least 100 ms apart, are answered in that order.
"""

import asyncio
from typing import Any

from tests.chaos.field import Field
from tests.chaos.load import Load
from tests.support.events import event

WINDOW_S = 5.0
APART_S = 0.12
EACH_TIME = 3
LONG_ENOUGH_S = 5.5
"""So long after its start a death is no quick one: after those events would be taken one by one."""
CONFIG: dict[str, Any] = {
    "limits": {
        "create": 5,
        "interact": 15,
        "finish": 5,
        "list": 15,
        "messages": 20,
        "tags": 50,
        "sign_in": 5,
        "users": 60,
        "create_user": 50,
        "insights": 20,
        "recommend": 20,
        "source": 30,
        "window": f"{WINDOW_S:g}s",
        "scope": "auto",
    }
}


async def at_random(field: Field, times: int) -> None:
    """Of all replicas one is killed at a random moment, under load, while one user's calls wait for their limit."""
    hot: list[str] = []
    before = await field.api.refused(0)

    async def more(field: Field) -> None:
        for _ in range(EACH_TIME):
            await asyncio.sleep(APART_S)
            hot.append(f"{field.prefix}-hot-{len(hot)}")
            await field.send(event(hot[-1], user_id=f"u-{field.prefix}-hot", message=f"event {hot[-1]}: "))

    load = Load(field, more)
    load.begin()
    for _ in range(times):
        victim = field.dice.choice(field.replicas)
        await victim.ready()
        await asyncio.sleep(LONG_ENOUGH_S + field.dice.uniform(0, 1.5))
        victim.kill()
        await field.struck()
        victim.start()
    await load.end()
    await field.settle(180)
    ended = field.ended
    answered = sorted((one for one in hot if one in ended), key=lambda one: ended[one])
    for found, due in zip(answered, (one for one in hot if one in ended), strict=True):
        if found != due:
            field.verdict.found("order", f"{found} was answered where {due} was due")
            break
    for entry in await field.api.refused(before[-1]["number"] if before else 0):
        field.verdict.findings.append(f"429 to {entry['operation']} of {entry['user_id']}")
