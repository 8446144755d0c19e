"""What a check of `gossamer doctor` says: how something is, and what to do about it."""

from __future__ import annotations

from dataclasses import dataclass

OK, WARN, FAIL = "ok", "warn", "fail"


@dataclass(frozen=True, slots=True)
class Finding:
    """What one check found; `do` is empty where nothing is to be done."""

    check: str
    state: str
    text: str
    do: str = ""
