"""What became of the messages we sent: who holds, has or has read them (docs/bridge.md, "What became of it").

Everything here is a position in the event log: what holds for a message holds for all we said before it in
that conversation, and a position only moves on. So a conversation takes one small row, and one more for each
recipient who has told us something, however much is said. The messages themselves stand in the store.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace
from typing import Final, Literal, TypeAlias

from msgspec import UNSET

from node import ids
from node.chat import events
from node.chat.people import People
from node.chat.turn import Turn
from node.clock import DAY_MS, HORIZON_DAYS
from node.tables import Table

RECENT = 64
"""Own messages of a conversation whose numbers are remembered; older ones are looked up in the store."""
TOLD = 32
"""Own messages that one piece of news tells of at most, the newest; it holds for those before them too."""
MAX_OPEN = 256
"""Own messages of a conversation that are followed until a peer has them one by one; more are one lump, which
is told to be held when a sync finds a peer to have all that we have."""
STEPS = 4
"""Moves of a position whose times are kept."""
LIFE_MS: Final = HORIZON_DAYS * DAY_MS
"""After the horizon no node holds an envelope any more."""

Status: TypeAlias = Literal["queued", "sent", "held", "delivered", "read", "failed"]
Steps: TypeAlias = tuple[tuple[int, int], ...]
"""(position, UNIX milliseconds) of the last moves, the newest last."""


@dataclass(frozen=True)
class Reached:
    """How far one recipient has come in one conversation, by its own word."""

    room_id: bytes
    account: bytes
    delivered: Steps = ()
    read: Steps = ()


@dataclass(frozen=True)
class HeldRow:
    """Up to which message of ours a peer is known to have everything: its number, id, and since when."""

    room_id: bytes
    seq: int = 0
    mid: bytes = b""
    ms: int = 0


@dataclass(frozen=True)
class Named:
    """What somebody's receipt names in one room, until the store has said which messages of ours those are.

    `later`: what newer receipts have named meanwhile.
    """

    room_id: bytes
    account: bytes
    delivered: bytes | None
    read: bytes | None
    later: tuple[bytes | None, bytes | None] | None = None

    @property
    def key(self) -> tuple[bytes, bytes]:
        """The room and whose it is."""
        return self.room_id, self.account


@dataclass
class _Open:
    """One own message that no peer is known to have; no `eid`: it stands for all before it too."""

    seq: int | None
    ts_ms: int
    eid: bytes | None
    held: bool = False


@dataclass(frozen=True)
class _News:
    """What is told of a message: for whom, None for all, and why."""

    status: Status
    by: bytes | None = None
    why: str | None = None


def at(steps: Steps) -> int:
    """Return the position that steps lead to."""
    return steps[-1][0] if steps else 0


def since(steps: Steps, seq: int) -> int:
    """Return when a message was passed, in UNIX milliseconds: at the latest, if that is long ago."""
    return next((ms for position, ms in steps if position >= seq), 0)


def _moved(steps: Steps, seq: int, now_ms: int) -> Steps:
    return (*steps, (seq, now_ms))[-STEPS:] if seq > at(steps) else steps


ROWS: Final[dict[bytes, type[Reached] | type[HeldRow] | type[Named]]] = {
    b"o": Reached,
    b"h": HeldRow,
    b"n": Named,
}
"""The kinds of its rows, by the first byte of their keys; after it come the room, and the account if any."""


class Ledger:
    """Positions by conversation. `direct` says whether one is a conversation of two."""

    def __init__(self, people: People, direct: Collection[bytes]) -> None:
        self._people, self._direct = people, direct
        self.reached: dict[tuple[bytes, bytes], Reached] = {}
        self.held: dict[bytes, HeldRow] = {}
        self.named: list[Named] = []
        """What was being looked up when we stopped."""
        self._recent: dict[bytes, deque[tuple[int, bytes]]] = {}
        self._open: dict[bytes, OrderedDict[bytes, _Open]] = {}
        self._carriers: dict[bytes, tuple[bytes, bytes]] = {}

    def restore(self, row: Reached | HeldRow | Named) -> None:
        """Take a stored row back."""
        if isinstance(row, Reached):
            self.reached[row.room_id, row.account] = row
        elif isinstance(row, Named):
            self.named.append(row)
        else:
            self.held[row.room_id] = row

    # -- ours -------------------------------------------------------------------------------------

    def said(self, turn: Turn, room_id: bytes, mid: bytes, seq: int) -> None:
        """A message of ours was put into the log under a number."""
        self._recent.setdefault(room_id, deque(maxlen=RECENT)).append((seq, mid))
        if room_id not in self.held:
            self._keep_held(turn, HeldRow(room_id))

    def number(self, room_id: bytes, mid: bytes) -> int | None:
        """Return the number of an own message, if it is remembered."""
        recent = reversed(self._recent.get(room_id, ()))
        return next((seq for seq, known in recent if known == mid), None)

    def carried(self, turn: Turn, room_id: bytes, mid: bytes, eid: bytes, number: int | None) -> None:
        """A message of ours, of this number if it is remembered, is on its way in this envelope."""
        line = self._open.setdefault(room_id, OrderedDict())
        known = line.pop(mid, None)
        if known is not None and known.eid is not None:
            self._carriers.pop(known.eid[:16], None)
        if known is None and len(line) >= MAX_OPEN:
            self._lump(line)
            eid = b""
        line[mid] = _Open(number, turn.mesh_ms, eid or None)
        if eid:
            self._carriers[eid[:16]] = (room_id, mid)

    def follow(self, room_id: bytes, mid: bytes, seq: int | None, ts_ms: int) -> None:
        """A message from before this start, of which only a sync can tell that a peer has it."""
        self._open.setdefault(room_id, OrderedDict())[mid] = _Open(seq, ts_ms, None)

    def numbered(self, turn: Turn, room_id: bytes, mid: bytes, seq: int, ts_ms: int) -> None:
        """The store has said which number a message of ours has, and when it was sent."""
        entry = self._open.get(room_id, OrderedDict()).get(mid)
        if entry is not None:
            entry.seq, entry.ts_ms = seq, ts_ms
            self._advance(turn, room_id)

    def gone(self, room_id: bytes, mid: bytes) -> None:
        """A message is not in the store any more."""
        self._close(room_id, mid)

    @property
    def following(self) -> bool:
        """Whether there is any message that no peer is known to have."""
        return bool(self._open)

    def unheld_since(self, room_id: bytes) -> list[tuple[bytes, int]]:
        """Return (message id, UNIX milliseconds) of what no peer is known to have, the oldest first."""
        return [(mid, entry.ts_ms) for mid, entry in self._open.get(room_id, OrderedDict()).items()]

    def _lump(self, line: OrderedDict[bytes, _Open]) -> None:
        """Keep of too many only the newest: it stands for all of them."""
        for mid, entry in list(line.items()):
            if entry.eid is not None:
                self._carriers.pop(entry.eid[:16], None)
            del line[mid]

    def _close(self, room_id: bytes, mid: bytes) -> None:
        line = self._open.get(room_id, OrderedDict())
        entry = line.pop(mid, None)
        if entry is not None and entry.eid is not None:
            self._carriers.pop(entry.eid[:16], None)
        if not line:
            self._open.pop(room_id, None)

    # -- peers ------------------------------------------------------------------------------------

    def taken(self, turn: Turn, prefixes: Iterable[bytes]) -> None:
        """A peer has these envelopes."""
        rooms: dict[bytes, None] = {}
        for prefix in prefixes:
            room_id, mid = self._carriers.get(prefix, (b"", b""))
            entry = self._open.get(room_id, OrderedDict()).get(mid)
            if entry is not None:
                entry.held = True
                rooms[room_id] = None
        for room_id in rooms:
            self._advance(turn, room_id)

    def in_step(self, turn: Turn, until_ms: int) -> None:
        """A peer has everything that we have from before this moment of mesh time."""
        for room_id, line in list(self._open.items()):
            for entry in line.values():
                entry.held = entry.held or entry.ts_ms < until_ms
            self._advance(turn, room_id)

    def _advance(self, turn: Turn, room_id: bytes) -> None:
        """Move what is held on, as far as nothing before it is missing there."""
        line = self._open[room_id]
        last: tuple[int, bytes] | None = None
        for mid, entry in list(line.items()):
            if not entry.held or entry.seq is None:
                break
            last = entry.seq, mid
            self._close(room_id, mid)
        if last is not None:
            self._held(turn, room_id, *last)

    def _held(self, turn: Turn, room_id: bytes, seq: int, mid: bytes) -> None:
        old = self.held.get(room_id, HeldRow(room_id))
        if seq <= old.seq:
            return
        self._keep_held(turn, HeldRow(room_id, seq, mid, turn.now.wall_ms))
        told = old.seq
        if room_id in self._direct:  # the other one having it says more
            known = [r for (room, _), r in self.reached.items() if room == room_id]
            told = max([told, *(at(r.delivered) for r in known)])
        self._tell(turn, room_id, _News("held"), told, (seq, mid))

    def _keep_held(self, turn: Turn, row: HeldRow) -> None:
        self.held[row.room_id] = row
        turn.put(Table.LEDGER, b"h" + row.room_id, row)

    # -- recipients -------------------------------------------------------------------------------

    def receipt(
        self,
        turn: Turn,
        room_id: bytes,
        account: bytes,
        delivered: tuple[int, bytes] | None,
        read: tuple[int, bytes] | None,
    ) -> None:
        """A recipient has, or has read, everything of ours up to (number, message id)."""
        old = self.reached.get((room_id, account), Reached(room_id, account))
        far = max([one for one in (delivered, read) if one is not None], default=(0, b""))
        new = replace(
            old,
            delivered=_moved(old.delivered, far[0], turn.now.wall_ms),
            read=old.read if read is None else _moved(old.read, read[0], turn.now.wall_ms),
        )
        if new == old:
            return
        direct = room_id in self._direct
        if not direct:
            self._has(turn, room_id, far)
        self.reached[room_id, account] = new
        turn.put(Table.LEDGER, b"o" + room_id + account, new)
        if direct:
            self._has(turn, room_id, far)
        if delivered is not None:
            before = max(at(old.delivered), at(new.read))
            self._tell(turn, room_id, _News("delivered", account), before, delivered)
        if read is not None:
            self._tell(turn, room_id, _News("read", account), at(old.read), read)

    def _has(self, turn: Turn, room_id: bytes, far: tuple[int, bytes]) -> None:
        """Somebody's node has everything up to there, so nobody need be waited for to hold it."""
        for mid, entry in list(self._open.get(room_id, OrderedDict()).items()):
            if entry.seq is not None and entry.seq <= far[0]:
                self._close(room_id, mid)
        if far[0]:
            self._held(turn, room_id, *far)

    def failed(self, turn: Turn, room_id: bytes, mid: bytes, why: str, account: bytes | None = None) -> None:
        """Tell that a message will not come to somebody, or to nobody."""
        self._close(room_id, mid)
        self._event(turn, room_id, mid, _News("failed", account, why))

    def left(self, turn: Turn, room_id: bytes, account: bytes, why: str) -> None:
        """Somebody is out of a room: of what they are not known to have they get nothing more.

        Said of those only who tell us what they have: of others we know nothing.
        """
        known = self.reached.get((room_id, account))
        if known is None:
            return
        missed = [mid for seq, mid in self._recent.get(room_id, ()) if seq > at(known.delivered)]
        for mid in missed[-TOLD:]:
            self._event(turn, room_id, mid, _News("failed", account, why))

    def status(self, turn: Turn, room_id: bytes, mid: bytes, status: Status) -> None:
        """Tell of one message that it waits here, or has left."""
        self._event(turn, room_id, mid, _News(status))

    def _tell(self, turn: Turn, room_id: bytes, news: _News, old: int, last: tuple[int, bytes]) -> None:
        """Tell of the newest messages after `old` up to `last` one by one; of none remembered: of `last`."""
        if last[0] <= old:
            return
        mids = [mid for seq, mid in self._recent.get(room_id, ()) if old < seq <= last[0]]
        for mid in mids[-TOLD:] or [last[1]]:
            self._event(turn, room_id, mid, news)

    def _event(self, turn: Turn, room_id: bytes, mid: bytes, news: _News) -> None:
        by, people = news.by, self._people
        turn.log(
            events.MessageStatus(
                id=ids.text(mid),
                status=news.status,
                by=UNSET if by is None else people.username(by),
                why=UNSET if news.why is None else news.why,
                room=ids.text(room_id),
                user_id=UNSET if by is None else people.user_id(by),
            )
        )
