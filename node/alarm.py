"""What the one task that owns the engine sleeps by: until it is rung, or for so long at most."""

from __future__ import annotations

import asyncio


class Alarm:
    """Wakes one task. A timer that is set stays until it goes off: setting one anew costs as much as a turn.

    One that goes off when what it was set for is no longer due is then set for what is, and wakes nobody.
    """

    def __init__(self) -> None:
        self._rung = False
        self._until = 0.0
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
            self._until = loop.time() + seconds
            self._set(loop)
            self._sleeper = loop.create_future()
            try:
                await self._sleeper
            finally:
                self._sleeper = None
        self._rung = False

    def _set(self, loop: asyncio.AbstractEventLoop) -> None:
        if self._timer is not None:
            if self._timer.when() <= self._until:
                return
            self._timer.cancel()
        self._timer = loop.call_at(self._until, self._goes_off, loop)

    def _goes_off(self, loop: asyncio.AbstractEventLoop) -> None:
        self._timer = None
        if self._sleeper is None:
            return  # who sleeps next sets one
        if loop.time() < self._until:
            self._set(loop)
        else:
            self.ring()
