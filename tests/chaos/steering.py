"""Events that finish, tag and cancel, under kills; and conversations that are finished because they are idle."""

from collections.abc import Awaitable, Callable

from tests.chaos import kills
from tests.chaos.field import Batch, Field
from tests.support.events import event

Steer = Callable[[Field], Awaitable[None]]


async def finish(field: Field) -> None:
    """Somebody speaks, and the conversation is finished at once; somebody's who has none, too."""
    (spoken,) = await field.publish(1)
    await field.send(
        event(f"{spoken}-bye", kind="finish", message=None, user_id=f"u-{spoken}"),
        event(f"{spoken}-nobody", kind="finish", message=None, user_id=f"u-nobody-{spoken}"),
    )


async def tag(field: Field) -> None:
    """Somebody speaks, and the conversation is tagged twice."""
    (spoken,) = await field.publish(1)
    for number in range(2):
        event_id, key = f"{spoken}-tag{number}", f"tag {len(field.tag_keys)}"
        field.tag_keys[event_id] = key
        await field.send(event(event_id, kind="tag", message=None, user_id=f"u-{spoken}", tags={key: "set"}))


async def cancel(field: Field) -> None:
    """An event and what cancels it, one before the other, close together."""
    (spoken,) = await field.publish(1)
    target, canceller = f"{spoken}-target", f"{spoken}-cancel"
    field.cancels[canceller] = target
    both = [
        event(target, user_id=f"u-{spoken}", message=f"event {target}: "),
        event(canceller, kind="cancel", message=None, user_id=None, service_id=None, cancels=target),
    ]
    field.dice.shuffle(both)
    await field.send(*both)


def under_kills(steer: Steer) -> Batch:
    """kill -9 at random moments, while such events come."""

    async def batch(field: Field, times: int) -> None:
        await kills.at_random(field, times, steer)

    return batch
