"""How the owner of this node is seen, from frontends that come, ask and go (docs/bridge.md, "Presence").

`offline` when no frontend has been attached for 60 s, or when the owner said so; `away` when one is attached
and none has asked for anything for 30 minutes; else `online`. What the owner said is in the profile, for it
outlives a start; who is attached is not stored.
"""

from __future__ import annotations

from typing import Literal, TypeAlias

from node.chat.presence import State
from node.clock import earliest

LEFT_AFTER = 60.0
"""Seconds without a frontend: one that is only loaded again, or a node that restarts, is not gone."""
AWAY_AFTER = 1_800.0
"""Seconds without a command."""
Chosen: TypeAlias = Literal["", "online", "away", "offline"]
"""What the owner said; `online` and nothing mean: as it is."""


class Attendance:
    """Counts the frontends; `look` says whether what is shown has changed, `deadline` when to look."""

    def __init__(self) -> None:
        self.shown = State.ONLINE
        self.chosen: Chosen = ""
        self._here: set[int] = set()
        self._left = self._active = 0.0

    @property
    def hidden(self) -> bool:
        """Whether the owner said to be offline: then the node says nothing at all."""
        return self.chosen == "offline"

    def begin(self, now: float, chosen: Chosen) -> None:
        """The node starts: whoever was attached has a minute to come back."""
        self._left = self._active = now
        self.chosen = chosen
        self.look(now)

    def came(self, session: int, now: float) -> None:
        """A frontend attached; that somebody opens one counts as asking."""
        self._here.add(session)
        self._active = now

    def went(self, session: int, now: float) -> None:
        """A frontend detached."""
        if session in self._here:
            self._here.discard(session)
            self._left = now

    def acted(self, session: int, now: float) -> bool:
        """A frontend asked for something; says if a look is worth it."""
        if session not in self._here:
            return False
        self._active = now
        return self.shown is not State.ONLINE

    def look(self, now: float) -> bool:
        """Find out how we are seen now; says whether that has changed."""
        was, self.shown = self.shown, self._state(now)
        return self.shown is not was

    def _state(self, now: float) -> State:
        if self.hidden or (not self._here and now >= self._left + LEFT_AFTER):
            return State.OFFLINE
        if self.chosen == "away" or now >= self._active + AWAY_AFTER:
            return State.AWAY
        return State.ONLINE

    @property
    def deadline(self) -> float | None:
        """When time alone changes how we are seen."""
        if self.shown is State.OFFLINE:
            return None
        leaves = None if self._here else self._left + LEFT_AFTER
        return earliest(leaves, self._active + AWAY_AFTER if self.shown is State.ONLINE else None)
