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
SETTLES_AFTER = 1.0
"""Seconds until a session counts that has not asked for anything: it may say that it is a one-shot call."""
AWAY_AFTER = 1_800.0
"""Seconds without a command."""
Chosen: TypeAlias = Literal["", "online", "away", "offline"]
"""What the owner said; `online` and nothing mean: as it is."""


class Attendance:
    """Counts the frontends; `look` says whether what is shown has changed, `deadline` when to look."""

    def __init__(self) -> None:
        self.shown = State.ONLINE
        self.chosen: Chosen = ""
        self._here: dict[int, float] = {}
        """From when on a session counts."""
        self._left = self._active = self._looked = 0.0
        self._gone: float | None = None
        """When the owner logged out, if no frontend came or asked since."""

    @property
    def hidden(self) -> bool:
        """Whether the owner said to be offline: then the node says nothing at all."""
        return self.chosen == "offline"

    def begin(self, now: float, chosen: Chosen) -> None:
        """The node starts: whoever was attached has a minute to come back."""
        self._left = self._active = now
        self.chosen = chosen
        self.look(now)

    def came(self, session: int, now: float, *, settled: bool = False) -> None:
        """A frontend attached; that somebody opens one counts as asking."""
        self._here[session] = now if settled else self._here.get(session, now + SETTLES_AFTER)

    def went(self, session: int, now: float) -> None:
        """A frontend detached."""
        at = self._here.pop(session, None)
        if at is not None and now >= at:
            self._left, self._active = now, max(self._active, at)

    def mistaken(self, session: int) -> None:
        """What seemed to be a frontend is a one-shot call, as its hello says: it has not left either."""
        self._here.pop(session, None)

    def acted(self, session: int, now: float) -> bool:
        """A frontend asked for something; says if a look is worth it."""
        at = self._here.get(session)
        if at is None:
            return False
        self._active, self._here[session], self._gone = now, min(at, now), None
        return at > now or self.shown is not State.ONLINE

    def asked(self, now: float) -> bool:
        """Somebody asked who is not attached, and may well be again; says if a look is worth it."""
        self._active, self._left, self._gone = now, max(self._left, now), None
        return self.shown is not State.ONLINE

    def leave(self, now: float) -> None:
        """The owner logged out: nobody is there until a frontend comes or asks for something."""
        self._gone = now

    def stay(self) -> None:
        """The owner said how to be seen, and is not logged out."""
        self._gone = None

    def look(self, now: float) -> bool:
        """Find out how we are seen now; says whether that has changed."""
        self._looked = now
        was, self.shown = self.shown, self._state(now)
        return self.shown is not was

    def _state(self, now: float) -> State:
        here = [at for at in self._here.values() if now >= at]
        if self._gone is not None and any(at > self._gone + SETTLES_AFTER for at in here):
            self._gone = None
        if self.hidden or self._gone is not None or (not here and now >= self._left + LEFT_AFTER):
            return State.OFFLINE
        self._active = max(self._active, *here) if here else self._active
        if self.chosen == "away" or now >= self._active + AWAY_AFTER:
            return State.AWAY
        return State.ONLINE

    @property
    def deadline(self) -> float | None:
        """When time alone changes how we are seen."""
        if self.hidden:
            return None
        settles = [at for at in self._here.values() if at > self._looked]
        if self.shown is State.OFFLINE:
            return min(settles, default=None)
        leaves = None if len(self._here) > len(settles) else self._left + LEFT_AFTER
        idle = self._active + AWAY_AFTER if self.shown is State.ONLINE else None
        return earliest(leaves, idle, *settles)
