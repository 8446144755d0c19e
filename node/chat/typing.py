"""Who is writing just now, in which room: told from node to node by ephemerals (docs/crypto.md 3.9).

Typing tells others that somebody sits at this device, so it goes to few: to a small room we are in, and in a
conversation of two to a contact only, never to somebody who merely shares a room with us ("Careless
Whisper", 2024: strangers who watch such signals learn when people sleep). It is sent at most each 3 s a room,
it ends by itself after 6 s, and nothing of it is stored.
"""

from __future__ import annotations

from dataclasses import dataclass

from node.chat import events
from node.chat.people import People
from node.chat.turn import Logged, Turn
from node.clock import earliest

NUMBER = 2
"""The type of these ephemerals."""
EVERY = 3.0
"""Seconds between two that we send to a room while somebody types on: two fit into what a receiver waits."""
LASTS = 6.0
"""Seconds after which a receiver says that it is over."""
CALM = 1.0
"""Seconds in which a typist's changes are shown once: a peer may send faster than people look."""
MAX_TYPISTS = 512
"""Typists shown at once; further ones are not shown, nobody reads so many."""
MAX_REMEMBERED = 4_096
"""Devices whose last time is remembered: all of 64 rooms of 64. Of a forgotten one an old ephemeral may be
shown again, if it is not older than two minutes."""
STOPPED, STARTED = 0, 1
"""Bodies on the wire."""


@dataclass(slots=True)
class _Typist:
    """Somebody in one room: until when they are shown to type, and when that was last changed."""

    account: bytes
    until: float | None
    told: float


class Typing:
    """What we were last told by others, and what we last told them; rooms and people by their UUIDs."""

    def __init__(self, people: People) -> None:
        self._people = people
        self._typists: dict[tuple[str, str], _Typist] = {}
        self._newest: dict[tuple[str, bytes], int] = {}
        self._sent: dict[str, float] = {}

    @property
    def deadline(self) -> float | None:
        """When somebody's typing is over by itself."""
        return earliest(*(typist.until for typist in self._typists.values()))

    # -- ours -------------------------------------------------------------------------------------

    def may_send(self, room: str, *, typing: bool, now: float) -> bool:
        """Say whether to tell a room now, and remember it; stopping is told if we had said that we type."""
        last = self._sent.get(room)
        if not typing:
            self._sent.pop(room, None)
            return last is not None and now < last + LASTS
        if last is not None and now < last + EVERY:
            return False
        self._sent[room] = now
        return True

    # -- others' ----------------------------------------------------------------------------------

    def is_news(self, room: str, device_id: bytes, ts_ms: int) -> bool:
        """Say whether an ephemeral is newer than the last of its device in a room, and remember it."""
        key = (room, device_id)
        if ts_ms <= self._newest.get(key, 0):
            return False
        self._newest.pop(key, None)
        self._newest[key] = ts_ms
        if len(self._newest) > MAX_REMEMBERED:
            del self._newest[next(iter(self._newest))]
        return True

    def heard(self, turn: Turn, room: str, account: bytes, *, typing: bool) -> None:
        """Show that somebody types, or has stopped."""
        now, key = turn.now.mono, (room, self._people.user_id(account))
        typist = self._typists.get(key)
        if typist is None:
            if not typing or len(self._typists) >= MAX_TYPISTS:
                return
            typist = self._typists[key] = _Typist(account, None, now - CALM)
        if typing and typist.until is not None:
            typist.until = now + LASTS
        elif now >= typist.told + CALM and typing != (typist.until is not None):
            typist.until, typist.told = (now + LASTS if typing else None), now
            self._tell(turn, key, account, typing=typing)

    def expire(self, turn: Turn) -> None:
        """Say of those who have been silent for long enough that they have stopped."""
        now = turn.now.mono
        for key, typist in list(self._typists.items()):
            if typist.until is not None and now >= typist.until:
                del self._typists[key]
                self._tell(turn, key, typist.account, typing=False)
            elif typist.until is None and now >= typist.told + CALM:
                del self._typists[key]

    def has_written(self, turn: Turn) -> None:
        """Whoever's message is shown in this turn has stopped typing it."""
        if not self._typists and not self._sent:
            return
        shown = [out.event for out in turn.out if isinstance(out, Logged)]
        for message in [event for event in shown if isinstance(event, events.UserMessage)]:
            if message.mine:
                self._sent.pop(message.room, None)
            key = (message.room, message.user_id)
            typist = self._typists.pop(key, None)
            if typist is not None and typist.until is not None:
                self._tell(turn, key, typist.account, typing=False)

    def _tell(self, turn: Turn, key: tuple[str, str], account: bytes, *, typing: bool) -> None:
        room, user_id = key
        username = self._people.username(account)
        turn.tell(events.Typing(username=username, room=room, user_id=user_id, typing=typing))
