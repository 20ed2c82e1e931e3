"""A hundred thousand requests that are almost good: none verifies, and nothing but Unverified is raised."""

from collections.abc import Iterator

import pytest

from bridge.core.webhook.schemes import key_of, verify
from bridge.core.webhook.signature import HttpRequest, Unverified
from tests.support.mutations import mutated
from tests.support.webhooks import NOW_S, Sample, samples

SAMPLES = samples()
EACH = 100_000 // len(SAMPLES) + 1


def accepted(sample: Sample) -> Iterator[HttpRequest]:
    keys = (key_of(sample.source.scheme, sample.secret),)
    for number in range(EACH):
        request = mutated(sample, number)
        if request == sample.request:
            continue
        try:
            verify(sample.source, keys, request, NOW_S)
        except Unverified:
            continue
        yield request


@pytest.mark.parametrize("name", SAMPLES)
def test_no_mutated_request_is_taken(name: str) -> None:
    assert list(accepted(SAMPLES[name])) == []
