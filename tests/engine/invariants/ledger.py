"""The model: who said what, to whom as the sender saw it, and who must have it in the end.

It is kept by the test from what the frontends asked and were answered; of the nodes it believes their rosters
alone, and those only at the moment of sending.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

from node import ids
from node.chat.messages import UNREADABLE
from node.crypto import keys
from node.sim import SimNode, Simulation

HEALED = "message_healed"


@dataclass(frozen=True)
class Copy:
    """A text as it was sealed again for those who asked: who can read that epoch."""

    key: bytes = field(repr=False)
    epoch16: bytes
    roster: frozenset[str]


@dataclass
class Said:
    """One text: what its author asked for, and how it was sealed, if it was."""

    text: str
    author: str
    room: str
    at: float
    before: frozenset[str]
    acked: bool = False
    refused: bool = False
    excused: bool = False
    twice: bool = False
    direct: str | None = None
    key: bytes | None = None
    sealed_at: float = 0.0
    epoch16: bytes = b""
    roster: frozenset[str] = frozenset()
    publics: tuple[bytes, bytes] = (b"", b"")
    copies: list[Copy] = field(default_factory=list)

    @property
    def sealings(self) -> list[Copy]:
        """It as it was sealed first, and each time that it was sealed again."""
        first = [] if self.key is None else [Copy(self.key, self.epoch16, self.roster)]
        return [*first, *self.copies]


@dataclass(frozen=True)
class Shown:
    """One message as a frontend has it; `late` ones went to their place in the history, not to its end."""

    room: str
    text: str
    user_id: str
    gap: bool
    late: bool


@dataclass
class Departure:
    """Somebody was to leave a room: what those who sent them away, or they themselves, had seen of them."""

    room: str
    who: str
    at: float
    seen: frozenset[str]


@dataclass
class Ledger:
    """Everything said in one world."""

    world: Simulation
    said: dict[str, Said] = field(default_factory=dict)
    departures: list[Departure] = field(default_factory=list)
    rolled_back: dict[str, float] = field(default_factory=dict)
    contacts: list[set[str]] = field(default_factory=list)
    """Who can reach each other; others while they share a room, or what waits for them waits."""
    history: dict[str, int] = field(default_factory=dict)
    """The most that a room's policy ever let newcomers read of it."""
    _logs: dict[str, tuple[int, list[dict[str, Any]]]] = field(default_factory=dict)

    def log(self, node: SimNode) -> list[dict[str, Any]]:
        """Return all logged events of a node, decoded once."""
        last, seen = self._logs.get(node.name, (0, []))
        if node.store.last_seq > last:
            seen = seen + [json.loads(body) for _, body in node.store.events_after(last, 100_000)]
            self._logs[node.name] = (node.store.last_seq, seen)
        return seen

    def forget_log(self, name: str) -> None:
        """A store went back: read its log anew."""
        self._logs.pop(name, None)

    def shown(self, node: SimNode, room: str | None = None) -> list[Shown]:
        """Return the messages that a node has shown, in order."""
        return [
            Shown(e["room"], e["message"], e["user_id"], e["gap"], e["event"] == HEALED or "history" in e)
            for e in self.log(node)
            if _is_message(e) and room in {None, e["room"]}
        ]

    def texts(self, node: SimNode, room: str) -> frozenset[str]:
        """Return the texts that a node has shown of a room."""
        return frozenset(s.text for s in self.shown(node, room))

    def say(self, node: SimNode, room: str, text: str, direct: str | None = None) -> Said:
        """Note a text that is about to be said."""
        said = Said(text, node.name, room, self.world.time, self.texts(node, room), direct=direct)
        self.said[text] = said
        return said

    def depart(self, room: str, who: str, by: SimNode) -> None:
        """Note that somebody is about to be removed, or to leave."""
        self.departures.append(Departure(room, who, self.world.time, self.texts(by, room)))

    def excuse(self, before: float = float("inf")) -> None:
        """So long a time passes that what has not arrived is lost (docs/crypto.md 3.13)."""
        for said in self.said.values():
            said.excused = said.excused or said.at < before

    def required(self, node: SimNode) -> set[str]:
        """Return the texts that a node must have shown once everything is well again."""
        return {said.text for said in self.said.values() if self._must_have(node, said)}

    def _must_have(self, node: SimNode, said: Said) -> bool:
        if not said.acked or said.excused or not self._untouched(node, said):
            return False
        if said.direct is not None:
            went = said.key is not None or {said.author, said.direct} in self.contacts
            return node.name == said.author or (node.name == said.direct and went)
        if said.author == node.name:
            return True
        if node.name not in said.roster or self._left(said, node.name):
            return False
        gone = [d for d in self.departures if (d.room, d.who) == (said.room, said.author)]
        return all(said.text in d.seen for d in gone) and self._is_in(node, said.room)

    def _untouched(self, node: SimNode, said: Said) -> bool:
        """Say whether neither side has lost its memory since; what was said before is not asked for.

        Nor is what an author sealed at a place of its chain that it had used, and forgotten: it says so
        before it has heard of its own later messages, and the others keep the first (docs/threat-model.md).
        """
        lost = max(self.rolled_back.get(name, -1.0) for name in (node.name, said.author))
        return said.at > lost and not said.twice

    def _left(self, said: Said, who: str) -> bool:
        """Say whether a reader went, at any time: it may have gone before the text came."""
        return any((d.room, d.who) == (said.room, who) for d in self.departures)

    def _is_in(self, node: SimNode, room: str) -> bool:
        assert node.engine is not None
        inbox = node.engine.state.rooms.inboxes.get(ids.parse(room))
        return inbox is not None and inbox.room.state == "member"


def _is_message(event: dict[str, Any]) -> bool:
    """Say whether an event brings the words of a message: placeholders do not."""
    if event["event"] == HEALED:
        return "id" in event
    return event["event"] == "user_message" and event["kind"] != UNREADABLE


def user_id(node: SimNode) -> str:
    """Return the UUID that frontends know a node's owner by."""
    return ids.text(keys.user_uuid(node.setup.identity.account))
