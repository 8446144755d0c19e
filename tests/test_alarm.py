"""What the engine's task sleeps by: rung or gone off, and one timer for many sleeps."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from node.alarm import Alarm


async def test_who_was_rung_before_does_not_sleep() -> None:
    alarm = Alarm()
    alarm.ring()
    async with asyncio.timeout(30):
        await alarm.sleep(60.0)
    sleeping = asyncio.create_task(alarm.sleep(60.0))
    await asyncio.sleep(0)
    assert not sleeping.done()
    alarm.ring()
    alarm.ring()
    async with asyncio.timeout(30):
        await sleeping
    await asyncio.sleep(0)
    again = asyncio.create_task(alarm.sleep(60.0))
    await asyncio.sleep(0)
    assert not again.done()
    again.cancel()
    await asyncio.gather(again, return_exceptions=True)


async def test_it_goes_off_in_time_also_when_a_later_timer_was_set() -> None:
    alarm = Alarm()
    later = asyncio.create_task(alarm.sleep(60.0))
    await asyncio.sleep(0)
    alarm.ring()
    await later
    async with asyncio.timeout(30):
        await alarm.sleep(0.01)


async def test_a_hundred_sleeps_that_are_cut_short_set_one_timer(monkeypatch: pytest.MonkeyPatch) -> None:
    alarm, loop = Alarm(), asyncio.get_running_loop()
    timers: list[float] = []
    call_at = loop.call_at

    def noting(when: float, callback: Any, *args: Any, **kwargs: Any) -> asyncio.TimerHandle:
        timers.append(when)
        return call_at(when, callback, *args, **kwargs)

    monkeypatch.setattr(loop, "call_at", noting)
    for _ in range(100):
        sleeping = asyncio.create_task(alarm.sleep(30.0))
        await asyncio.sleep(0)
        alarm.ring()
        await sleeping
    assert len(timers) == 1


async def test_a_timer_that_nobody_waits_for_any_more_wakes_nobody() -> None:
    for asleep_meanwhile in (True, False):
        alarm = Alarm()
        for seconds in (0.01, 60.0):
            sleeping = asyncio.create_task(alarm.sleep(seconds))
            await asyncio.sleep(0)
            if seconds < 1:
                alarm.ring()
                await sleeping
            if (seconds > 1) is asleep_meanwhile:
                await asyncio.sleep(0.05)
        assert not sleeping.done()
        alarm.ring()
        await sleeping


async def test_a_timer_that_goes_off_too_early_is_set_for_what_is_due_by_now() -> None:
    alarm = Alarm()
    short = asyncio.create_task(alarm.sleep(0.01))
    await asyncio.sleep(0)
    alarm.ring()
    await short
    async with asyncio.timeout(5):
        await alarm.sleep(0.03)
