"""A session is begun anew once an hour and person; what has to wait is done then."""

from __future__ import annotations

from random import Random

from node.chat.resets import RESET_EVERY_MS, Resets
from node.chat.turn import Turn
from node.clock import Instant
from tests.chat.room_samples import ADA, BEN, NOW


def turn(after_ms: int = 0) -> Turn:
    return Turn(Instant(0.0, NOW + after_ms), NOW + after_ms, Random(1).randbytes, 0)


def test_the_second_within_an_hour_is_noted_once_and_done_when_it_is_over() -> None:
    resets = Resets()
    assert resets.hold(turn(), ADA.account) is None
    assert resets.hold(turn(), BEN.account) is None, "each person has an hour of their own"
    assert [resets.hold(turn(RESET_EVERY_MS - 1), ADA.account) for _ in range(3)] == [True, False, False]
    assert resets.take_due(turn(RESET_EVERY_MS - 1)) == []
    over = turn(RESET_EVERY_MS)
    assert resets.take_due(over) == [ADA.account]
    assert over.rows == {("requests", b"z" + who.account): None for who in (ADA, BEN)}
    assert resets.take_due(over) == [] and resets.hold(over, ADA.account) is None


def test_a_clock_that_was_put_back_keeps_nobody_waiting() -> None:
    resets = Resets()
    assert resets.hold(turn(10 * RESET_EVERY_MS), ADA.account) is None
    assert resets.hold(turn(), ADA.account) is None
