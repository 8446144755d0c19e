"""How a measurement is kept and printed: a rate and the percentiles of single times."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

_TICKS = os.sysconf("SC_CLK_TCK") if hasattr(os, "sysconf") else 100


@dataclass(frozen=True, slots=True)
class Figures:
    """One measurement: what, how many a second, and the single times in seconds (may be empty)."""

    what: str
    per_second: float | None
    times: Sequence[float] = ()

    def at(self, share: float) -> float | None:
        """Return the time below which `share` of the single times lie, in milliseconds."""
        if not self.times:
            return None
        ordered = sorted(self.times)
        return ordered[min(len(ordered) - 1, int(share * len(ordered)))] * 1000

    def line(self) -> str:
        """Return the measurement as a line of the report."""
        rate = "" if self.per_second is None else f"{self.per_second:,.0f}/s"
        times = "".join(
            f"  {name} {value:.2f} ms"
            for name, value in (("p50", self.at(0.5)), ("p99", self.at(0.99)))
            if value
        )
        return f"{self.what:<38}{rate:>12}{times}"

    def row(self) -> dict[str, object]:
        """Return the measurement as data."""
        return {
            "what": self.what,
            "per_second": self.per_second,
            "p50_ms": self.at(0.5),
            "p99_ms": self.at(0.99),
        }


def cpu_s(pid: int) -> float:
    """Return the seconds that a process of this machine has had of the processor (Linux)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS
