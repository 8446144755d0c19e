"""Announcements: what was announced here, by us and by others, and how much of it a day is too much.

    announcement = [text, kind, data JSON]        kind: 1 notice, 2 tournament

One has the same message id wherever and however often it is sent, and is shown once. Ours are kept for a
horizon: a member or contact who lacks one is given it again (docs/crypto.md 3.5 and 3.8).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Literal

from node.chat.turn import Turn, unpack_row
from node.clock import DAY_MS, HORIZON_DAYS, day_of
from node.errors import Refused
from node.tables import Table
from node.wire.payload import Payload, Type

A_DAY = 10
"""Announcements we send in 24 hours to one room, or to all contacts."""
EVERY_MS = 10_000
"""Milliseconds between two of them."""
TAKEN_A_DAY = 2 * A_DAY
"""Announcements of one person that are shown of one day and place, by their dates: clocks may step."""
KEEP_MS = HORIZON_DAYS * DAY_MS
MAX_OWN = 1_000
"""Announcements of ours that are kept to be given again, 8 KiB each at most."""
CONTACTS: Final = bytes(16)
"""Stands for the room where something is announced to contacts."""
KINDS: Final[dict[int, Literal["notice", "tournament"]]] = {1: "notice", 2: "tournament"}
OWN, HEARD = b"a", b"k"
"""What the keys of their rows begin with."""


@dataclass(frozen=True)
class Own:
    """An announcement of ours; `left`: the contacts to whom it is still to be sent."""

    mid: bytes
    room: bytes
    ts_ms: int
    text: str = field(repr=False)
    kind: int
    data: str = field(repr=False)
    left: tuple[bytes, ...] = ()

    def payload(self) -> Payload:
        """Return what is sealed for everybody."""
        return announcement(self.mid, self.ts_ms, self.text, self.kind, self.data)


def announcement(mid: bytes, ts_ms: int, text: str, kind: int, data: str) -> Payload:
    """Return the payload of an announcement."""
    return Payload(mid, ts_ms, 0, Type.ANNOUNCEMENT, [text, kind, data])


class Announcements:
    """What we announced, by message id, and which of others' were taken."""

    def __init__(self, own: dict[bytes, Own]) -> None:
        self.own = own
        self.unsent: dict[bytes, None] = {}
        """Those of ours that not all contacts have been sent, the oldest first."""
        self._heard: dict[bytes, dict[bytes, int]] = {}
        """By place and author: the time of each, by message id."""

    def restore(self, rows: Mapping[bytes, bytes]) -> None:
        """Take back what was stored."""
        for key, data in rows.items():
            if key.startswith(OWN):
                self._keep(unpack_row(data, Own))
            elif key.startswith(HEARD):
                self._heard.setdefault(key[1:-16], {})[key[-16:]] = unpack_row(data, int)

    def check(self, room: bytes, now_ms: int) -> None:
        """Refuse more than we send a day or at once (`rate_limited`)."""
        times = sorted(one.ts_ms for one in self.own.values() if one.room == room)
        recent = [ts_ms for ts_ms in times if abs(now_ms - ts_ms) < DAY_MS]
        wait_ms = recent[-1] + EVERY_MS - now_ms if recent else 0
        if len(recent) >= A_DAY:
            wait_ms = recent[-A_DAY] + DAY_MS - now_ms
        if wait_ms > 0:
            text = f"{A_DAY} announcements go to one place a day, one each {EVERY_MS // 1000} s"
            raise Refused("rate_limited", text, retryable=True, retry_after=min(wait_ms, DAY_MS) / 1000)

    def save(self, turn: Turn, own: Own) -> None:
        """Keep one of ours, or how far it has got; the oldest of too many is forgotten."""
        self._keep(own)
        turn.put(Table.NOTICES, OWN + own.mid, own)
        while len(self.own) > MAX_OWN:
            self._forget(turn, min(self.own.values(), key=lambda one: one.ts_ms))

    def _keep(self, own: Own) -> None:
        self.own[own.mid] = own
        if own.left:
            self.unsent[own.mid] = None
        else:
            self.unsent.pop(own.mid, None)

    def _forget(self, turn: Turn, own: Own) -> None:
        del self.own[own.mid]
        self.unsent.pop(own.mid, None)
        turn.delete(Table.NOTICES, OWN + own.mid)

    def whole(self, payload: Payload) -> Payload | None:
        """Return a payload of ours as it was: an announcement with its words, if we still have them."""
        own = self.own.get(payload.mid)
        if payload.type is not Type.ANNOUNCEMENT:
            return payload
        return None if own is None else own.payload()

    def take(self, turn: Turn, room: bytes, account: bytes, mid: bytes, ts_ms: int) -> bool:
        """Note one of somebody else's; says whether it is to be shown: new, and not too many of its day."""
        known = self._heard.get(room + account, {})
        today = sum(day_of(other) == day_of(ts_ms) for other in known.values())
        if mid in known or today >= TAKEN_A_DAY or ts_ms < turn.mesh_ms - KEEP_MS:
            return False
        self._heard.setdefault(room + account, {})[mid] = ts_ms
        turn.put(Table.NOTICES, HEARD + room + account + mid, ts_ms)
        return True

    def expire(self, turn: Turn) -> None:
        """Forget what is a horizon old: it is not under way any more either."""
        limit = turn.mesh_ms - KEEP_MS
        for own in [one for one in self.own.values() if one.ts_ms < limit]:
            self._forget(turn, own)
        for whose, known in list(self._heard.items()):
            for mid in [mid for mid, ts_ms in known.items() if ts_ms < limit]:
                del known[mid]
                turn.delete(Table.NOTICES, HEARD + whose + mid)
            if not known:
                del self._heard[whose]
