"""The look at all lanes, every now and then, for events that had better wait elsewhere than in hand."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable

from bridge.flow.lanes.lane import Lane
from bridge.flow.lanes.lane_order import Order
from bridge.flow.lanes.lane_waits import SWEEP_S, Parking, WaitLimits, to_park
from bridge.flow.ports.runtime import loop_time

CROWDED_SWEEP_S = 0.2
"""The wait between two looks while there is something to be parked each time, for others want those places."""


async def sweeps(lanes: Callable[[], Iterable[Lane]], order: Order, limits: WaitLimits) -> AsyncIterator[Parking]:
    """Events that are to be parked, as `to_park` has them, look by look, without an end."""
    crowded = False
    while True:
        await asyncio.sleep(CROWDED_SWEEP_S if crowded else SWEEP_S)
        order.forget()
        crowded = False
        for parking in to_park(lanes(), order.outlook, limits, loop_time()):
            crowded = True
            yield parking
