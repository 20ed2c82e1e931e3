"""The last attempts at an event, and what it waits for, as the ledger has them for `trace`."""

from bridge.core.delivery.retry import RetryPolicy
from bridge.core.errors import Lost, NotSent, Refused, TooEarly
from bridge.core.ledger.attempt_log import NO_ATTEMPTS, PastAttempt, WaitReason
from bridge.core.ledger.ledger_entry import State
from tests.support.fakes import Gate, Play, refused
from tests.support.flow_bench import Bench


async def test_each_attempt_is_remembered_with_its_reason_until_the_event_is_complete() -> None:
    async with Bench(park_after_s=0.5) as it:
        it.agent.fail("create", TooEarly("too many requests", 30.0), Refused("create-conversation", 500, "it broke"))
        it.deliver()
        await it.until(lambda: it.republisher.delayed, "it waits in a delay queue")
        entry = it.ledger.entries["e1"]
        assert entry.state is State.WAITING
        (early,) = entry.log.attempts
        assert (early.outcome, "too many requests" in early.error) == ("too-early", True)
        assert entry.log.wait is not None
        assert entry.log.wait.reason is WaitReason.RETRY
        assert entry.log.wait.until_s == early.at_s + 30
        await it.until(lambda: len(it.republisher.delayed) > 1, "it waits once more")
        assert [each.outcome for each in it.ledger.entries["e1"].log.attempts] == ["too-early", "unknown"]
        await it.quiet()
        assert it.ledger.entries["e1"].state is State.COMPLETE
        assert it.ledger.entries["e1"].log == NO_ATTEMPTS


async def test_a_failure_keeps_the_attempts_that_led_to_it_through_a_death() -> None:
    async with Bench(policy=RetryPolicy(attempts=3), park_after_s=0.5) as it:
        it.agent.script(*[refused(Lost("the connection broke"))] * 3)
        it.deliver()
        await it.until(lambda: it.republisher.delayed, "it waits")
        await it.restart()
        await it.quiet()
        entry = it.ledger.entries["e1"]
        assert entry.state is State.FAILED
        assert [(each.outcome, each.error) for each in entry.log.attempts] == [("unknown", "the connection broke")] * 3
        assert entry.log.wait is None


async def test_an_event_that_waits_behind_another_says_so_once_it_is_known() -> None:
    async with Bench(park_after_s=0.5) as it:
        it.agent.script_for("Tell e2", refused(NotSent("no way there")))
        it.deliver("e2")
        await it.until(lambda: it.republisher.delayed, "it waits for its next try")
        gate = Gate()
        it.agent.script(Play((gate,)))
        it.deliver("e1")
        await it.until(lambda: "e2" in it.ledger.entries, "it is known")
        gate.open()
        await it.quiet()
        waits = {entry.log.wait.reason for entry in it.ledger.written if entry.log.wait is not None}
        assert waits == {WaitReason.RETRY}


async def test_what_is_done_at_once_has_no_attempts_to_remember() -> None:
    async with Bench() as it:
        it.deliver()
        await it.quiet()
        assert {entry.log for entry in it.ledger.written} == {NO_ATTEMPTS}


async def test_an_error_is_kept_in_short() -> None:
    async with Bench(policy=RetryPolicy(attempts=1)) as it:
        it.agent.script(refused(Lost("x" * 5_000)))
        it.deliver()
        await it.quiet()
        (attempt,) = it.ledger.entries["e1"].log.attempts
        assert attempt == PastAttempt(attempt.at_s, "unknown", "x" * 197 + "…")
