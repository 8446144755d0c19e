"""Which pages were turned away, so that the owner is told once of each, with the command that lets it in."""

from __future__ import annotations

from collections.abc import Set as AbstractSet

MAX_REFUSED = 256
"""Refused origins remembered; any page of any browser here can be one."""


class Refusals:
    """What was told; of each dialect, and of the general list, for itself."""

    def __init__(self) -> None:
        self._told: set[tuple[str, tuple[str, ...]]] = set()

    def told(self, origin: str, dialects: tuple[str, ...]) -> str | None:
        """Return what to tell of a page of `origin` that these dialects, or the list, do not know; once."""
        key = (origin, dialects)
        if key in self._told or len(self._told) >= MAX_REFUSED:
            return None
        self._told.add(key)
        if origin == "null":
            return "refused a page without an origin (null); serve it over http, and allow that origin"
        shown = origin[:200].encode("ascii", "backslashreplace").decode().replace("'", "")
        how = f"enable {dialects[0]} --origin '{shown}'" if dialects else f"allow '{shown}'"
        return f"refused a page of origin {shown}; to allow it: gossamer bridge {how}"

    def forget(self, allowed: AbstractSet[str]) -> None:
        """Tell of these again, if they are turned away again."""
        self._told = {key for key in self._told if key[0] not in allowed}
