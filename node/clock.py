"""The time, as every machine is given it: one reading of two clocks.

`mono` counts seconds while this machine is up, sleep included (CLOCK_BOOTTIME where there is one),
and drives every timer; `wall_ms` is UTC and only ever stamps or bounds what people see.
"""

from __future__ import annotations

import msgspec

DAY_MS = 86_400_000
HORIZON_DAYS = 35
"""One constant of the network: how long an envelope can live and the absent can stay away."""


class Instant(msgspec.Struct, frozen=True, gc=False):
    """One reading: `mono` in seconds since an arbitrary origin, `wall_ms` in UNIX milliseconds."""

    mono: float
    wall_ms: int

    def after(self, seconds: float) -> Instant:
        """Return the instant `seconds` later on both clocks."""
        return Instant(self.mono + seconds, self.wall_ms + round(seconds * 1000))


def day_of(ts_ms: int) -> int:
    """Return the UTC day number that `ts_ms` falls on."""
    return ts_ms // DAY_MS


def earliest(*deadlines: float | None) -> float | None:
    """Return the smallest deadline that is set: a parent's deadline is the least of its children's."""
    soonest: float | None = None
    for deadline in deadlines:
        if deadline is not None and (soonest is None or deadline < soonest):
            soonest = deadline
    return soonest
