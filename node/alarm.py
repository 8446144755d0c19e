"""What the one task that owns the engine sleeps by: until it is rung, or for so long at most."""

from __future__ import annotations

import asyncio


class Alarm:
    """Wakes one task. A timer that is set stays until it goes off: setting one anew costs as much as a turn.

    So one may wake too early, when what it was set for is no longer due; who wakes looks at the clock.
    """

    def __init__(self) -> None:
        self._rung = False
        self._sleeper: asyncio.Future[None] | None = None
        self._timer: asyncio.TimerHandle | None = None

    def ring(self) -> None:
        """Wake whoever sleeps, or who is about to."""
        self._rung = True
        if self._sleeper is not None and not self._sleeper.done():
            self._sleeper.set_result(None)

    async def sleep(self, seconds: float) -> None:
        """Return when it is rung, at once if it was since the last sleep, or after so many seconds."""
        if not self._rung:
            loop = asyncio.get_running_loop()
            self._set(loop, loop.time() + seconds)
            self._sleeper = loop.create_future()
            try:
                await self._sleeper
            finally:
                self._sleeper = None
        self._rung = False

    def _set(self, loop: asyncio.AbstractEventLoop, at: float) -> None:
        if self._timer is not None:
            if self._timer.when() <= at:
                return
            self._timer.cancel()
        self._timer = loop.call_at(at, self._goes_off)

    def _goes_off(self) -> None:
        self._timer = None
        self.ring()
