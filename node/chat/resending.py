"""Answers a `nack`: seals again what we sent and somebody could not open (docs/crypto.md 3.8).

    resent = [epoch16, idx, body of the text | nil]        under the message's own id and time

Only to whom it was meant: who asks is in the room and was in the epoch it was sealed under, and so is
everybody who can read the answer. What others ask for costs us a bounded number of seals: an index is
answered once in a while that doubles, an asker has a budget, and all of them together have one.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from node.chat.epochs import Epoch
from node.chat.membership import Member
from node.chat.messages import stored_message, words_of
from node.chat.people import People
from node.chat.room import Room
from node.chat.sent import NOTHING
from node.chat.turn import Turn
from node.clock import earliest
from node.wire.payload import Payload, Type

SPAN = 256
"""Indexes of one `nack` that are heeded; the rest is asked for when these have come."""
MAX_ANSWERS = 512
"""Answers a room has waiting, and at most as many being looked up."""
ANSWER_AFTER = 1.0
"""Seconds in which others may ask for the same, so that one answer serves them all."""
HUSH, MAX_HUSH = 30.0, 6 * 3600.0
"""Seconds before an index is answered again, doubled each time; at first less than anybody waits."""
MAX_HUSHED = 8_192
AT_ONCE = 16
BETWEEN = 0.25
"""Seconds between two handfuls of answers."""
BURST, EACH_SECOND = 256.0, 1.0
"""Answers that one member can cause at once, and then in a second."""
BURST_ALL, EACH_SECOND_ALL = 512.0, 4.0
"""The same for all members of a room together."""

Place = tuple[bytes, int]
"""An epoch16 and an index of ours."""


@dataclass(slots=True)
class _Budget:
    left: float
    at: float

    def take(self, now: float, burst: float, rate: float) -> bool:
        """Spend one answer if there is one."""
        self.left, self.at = min(burst, self.left + (now - self.at) * rate), now
        if self.left < 1:
            return False
        self.left -= 1
        return True


class Resending:
    """What one room's members asked us to seal again."""

    def __init__(self, room: Room) -> None:
        self.room = room
        self._answers: dict[Place, tuple[float, bytes]] = {}
        self._owed: dict[bytes, tuple[Place, bytes]] = {}
        self._hushed: OrderedDict[Place, tuple[float, float]] = OrderedDict()
        self._budgets: dict[bytes, _Budget] = {}
        self._all: _Budget | None = None

    @property
    def deadline(self) -> float | None:
        """When there is next something to answer."""
        return earliest(*(due for due, _ in self._answers.values()))

    def asked(self, turn: Turn, asker: Member, body: list[Any]) -> None:
        """Somebody lacks something: prepare to answer what is ours to answer."""
        now = turn.now.mono
        for place in self._wanted(asker, now, body):
            held = self.room.epochs.held.get(place[0])
            if held is None or asker.device_id not in held.devices:
                continue
            quiet = self._hushed.get(place, (now, 0.0))[0] > now
            if quiet or place in self._answers or self.room.sent.at(*place) is None:
                continue
            if len(self._answers) >= MAX_ANSWERS or not self._may_ask(asker, now):
                return
            self._answers[place] = now + ANSWER_AFTER, asker.device_id

    def _wanted(self, asker: Member, now: float, body: list[Any]) -> Iterator[Place]:
        if len(body) == 1:
            for mid in body[0]:  # to look for an id is work of its own
                place = self.room.sent.find(mid) if self._may_ask(asker, now) else None
                if place is not None:
                    yield place
            return
        epoch16, device_id, first, last = body
        if device_id == self.room.me.device_id:
            yield from ((epoch16, index) for index in range(first, min(last + 1, first + SPAN)))

    def _may_ask(self, asker: Member, now: float) -> bool:
        known = self.room.log.roster.members
        self._budgets = {account: b for account, b in self._budgets.items() if account in known}
        if asker.account not in known:
            return False
        return self._budgets.setdefault(asker.account, _Budget(BURST, now)).take(now, BURST, EACH_SECOND)

    def answer(self, turn: Turn) -> None:
        """Answer a handful of what it is time for; texts are read from the store first."""
        now = turn.now.mono
        self._all = self._all or _Budget(BURST_ALL, now)
        due = [place for place, (moment, _) in self._answers.items() if moment <= now]
        for number, place in enumerate(due):
            if number >= AT_ONCE or len(self._owed) >= MAX_ANSWERS:
                self._answers[place] = now + BETWEEN, self._answers[place][1]
            elif not self._all.take(now, BURST_ALL, EACH_SECOND_ALL):
                self._answers[place] = now + 1 / EACH_SECOND_ALL, self._answers[place][1]
            else:
                self._answer(turn, place, self._answers.pop(place)[1])

    def _answer(self, turn: Turn, place: Place, asker: bytes) -> None:
        mid = self.room.sent.at(*place)
        self._hush(place, turn.now.mono)
        if mid == NOTHING:
            self._seal(
                turn, place, asker, Payload(turn.new_id(), turn.mesh_ms, 0, Type.RESENT, [*place, None])
            )
        elif mid is not None and (change := self.room.sent_changes.find(mid)) is not None:
            body = [*place, int(change.type), change.body]
            again = Payload(mid, change.ts_ms, change.lamport, Type.RESENT, body)
            self._seal(turn, place, asker, again)
        elif mid is not None:
            self._owed[mid] = place, asker
            turn.fetches.append((self.room.room_id, (mid,)))

    def _hush(self, place: Place, now: float) -> None:
        pause = min(MAX_HUSH, self._hushed.pop(place, (0.0, HUSH / 2))[1] * 2)
        self._hushed[place] = now + pause, pause
        while len(self._hushed) > MAX_HUSHED:
            self._hushed.popitem(last=False)

    def fetched(self, turn: Turn, mid: bytes, body: bytes | None) -> None:
        """The store brought a message: seal it again, if it was for an answer."""
        owed = self._owed.pop(mid, None)
        if owed is not None:
            place, asker = owed
            self._seal(turn, place, asker, _again(turn, self.room.people, mid, place, body))

    def _seal(self, turn: Turn, place: Place, asker: bytes, payload: Payload) -> None:
        under = self._under(turn, place[0], asker)
        if under is not None:
            self.room.resend(turn, under, payload)

    def _under(self, turn: Turn, epoch16: bytes, asker: bytes) -> Epoch | None:
        """Return the newest epoch of nobody who could not read what was asked for, or who is gone since."""
        room, roster = self.room, self.room.log.roster
        meant = room.epochs.held.get(epoch16)
        if meant is None or asker not in roster.devices or not room.open:
            return None
        if room.people.kept_from(roster.members) is not None:
            return None
        if roster.devices.keys() <= meant.devices:
            return room.sending(turn)
        fitting = [
            held
            for held in room.epochs.held.values()
            if asker in held.devices
            and held.devices <= meant.devices
            and held.devices <= roster.devices.keys()
            and room.epochs.usable(held, turn.mesh_ms)
        ]
        return max(fitting, key=lambda held: held.announce.gen, default=None)


def _again(turn: Turn, people: People, mid: bytes, place: Place, body: bytes | None) -> Payload:
    """Return the payload of a message as the history has it; what is not there any more was no message."""
    event = stored_message(body)
    if event is None or not event.mine:
        return Payload(turn.new_id(), turn.mesh_ms, 0, Type.RESENT, [*place, None])
    return Payload(mid, event.ts_ms, 0, Type.RESENT, [*place, words_of(people, event).body()])
