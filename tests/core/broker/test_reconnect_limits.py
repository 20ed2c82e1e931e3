"""The limits of a connection to a broker that is there and looks broken."""

from itertools import accumulate, repeat

from bridge.core.broker.reconnect_limits import MAX_FACTOR, limit_factor

LIMIT_S = 15.0


def after(before: float, *, judged: bool = True, lived_s: float | None = None) -> float:
    lived_s = before * LIMIT_S if lived_s is None else lived_s
    return limit_factor(before, judged=judged, lived_s=lived_s, limit_s=LIMIT_S)


def test_it_doubles_with_each_generation_that_such_a_limit_ends_up_to_half_an_hour_and_a_bit() -> None:
    factors = list(accumulate(repeat(None, 9), lambda before, _: after(before), initial=1.0))
    assert factors == [1, 2, 4, 8, 16, 32, 64, 128, 128, 128]
    assert MAX_FACTOR * LIMIT_S * 100 > 2 * 24 * 3600, "a hundred deliveries take more than two days"


def test_it_begins_anew_once_a_generation_has_lived_well_or_ended_otherwise() -> None:
    assert after(16.0, lived_s=16 * LIMIT_S * 4 + 1) == 2
    assert after(16.0, judged=False) == 1
