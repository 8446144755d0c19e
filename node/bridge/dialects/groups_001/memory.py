"""What one connection of the groups protocol remembers: who people and groups are, and what was shown.

All of it is bounded, and none of it is needed to be right: what is not here is asked of the node again.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar

from msgspec import UNSET

from node.bridge.dialects.adapter import Frame, Setting, Talk
from node.chat import commands as c, events
from node.errors import Refused

MAX_PEOPLE: Final = 1_024
"""People whose name and avatar are remembered."""
MAX_GROUPS: Final = 2_048
"""Groups, as many as a node lists of others and has of its own many times over."""
MAX_JOINING: Final = 64
"""Groups that the frontend waits for, as many as a node does."""
MAX_GIVEN: Final = 512
"""Messages given in answers that are not shown once more."""
MAX_PENDING: Final = 64
"""Messages shown whose file was not here yet."""
MAX_ADDRESSES: Final = 64
"""Addresses of pictures that this frontend has sent."""
MAX_CAME: Final = 256
"""Messages that come while a page is being read, and changes to some, the newest of each."""
T = TypeVar("T")


@dataclass(slots=True)
class Person:
    """What a person shows of themselves."""

    nickname: str | None = None
    avatar: str | None = None


@dataclass(slots=True)
class Group:
    """A conversation: one that we are in, an open one that is listed, or one that somebody invites us to."""

    name: str
    visibility: str = "private"
    joined: bool = True
    members: int = 0
    invite: str | None = None
    sender: str | None = None
    """Who invites us."""

    @property
    def direct(self) -> bool:
        """Say whether it is a conversation of two, which is in no list."""
        return self.visibility == "direct"

    @property
    def invited(self) -> bool:
        """Say whether somebody invites us, and we are not in."""
        return self.invite is not None and not self.joined


@dataclass(slots=True, eq=False)
class Reading:
    """A page that is being read, and what was shown there since it was asked for: messages, and changes."""

    room: str
    came: deque[dict[str, Any]] = field(default_factory=lambda: deque(maxlen=MAX_CAME))
    changes: deque[Frame] = field(default_factory=lambda: deque(maxlen=MAX_CAME))


@dataclass(slots=True)
class Memory:
    """State of one connection."""

    setting: Setting
    loaded: bool = False
    user_id: str = ""
    username: str = ""
    alias: str | None = None
    alias_id: str | int | None = None
    people: dict[str, Person] = field(default_factory=dict)
    groups: dict[str, Group] = field(default_factory=dict)
    joining: dict[str, None] = field(default_factory=dict)
    """Groups that the frontend asked to come into."""
    wanted: dict[str, None] = field(default_factory=dict)
    """Groups of which it asked for everything before it was in."""
    given: dict[str, None] = field(default_factory=dict)
    pending: dict[str, events.UserMessage] = field(default_factory=dict)
    addresses: dict[str, None] = field(default_factory=dict)
    """Pictures and sounds elsewhere that this frontend has sent: it alone is shown them as such."""
    readings: list[Reading] = field(default_factory=list)
    """Pages under way: one of what is asked, and one of what is shown."""
    now_ms: int = 0
    lines: int = 0

    # -- the node's answers -----------------------------------------------------------------------

    def load(self) -> Talk[None]:
        """Ask who we are, which groups there are and who is who; try again later if the vault is locked."""
        try:
            me = yield c.ProfileGet()
            rooms = yield c.RoomList()
            contacts = yield c.ContactList()
        except Refused:
            return
        self.user_id, self.username = me["user_id"], me["username"]
        self.know(self.user_id, me.get("nickname"), me.get("avatar"))
        self.listed(rooms["rooms"])
        for row in contacts["contacts"]:
            self.know(row["user_id"], row.get("nickname"))
        self.loaded = True

    def listed(self, rows: list[dict[str, Any]]) -> None:
        """Take the rows of a `room_list`: besides them there are only groups that somebody invites us to."""
        there = {row["room"] for row in rows}
        kept = [room for room, known in self.groups.items() if room in there or known.invited]
        self.groups = {room: self.groups[room] for room in kept}
        for row in rows:
            if not row["deleted"]:
                old = self.groups.get(row["room"])
                group = Group(row["name"], row["visibility"], row["joined"], row["members"])
                if old is not None and not group.joined:
                    group.invite, group.sender = old.invite, old.sender
                self.keep(row["room"], group)

    def group(self, room: str) -> Talk[Group | None]:
        """Return what is known of a room, asking the node if need be."""
        known = self.groups.get(room)
        if known is not None:
            return known
        try:
            facts = yield c.RoomGet(room=room)
        except Refused:
            return None
        group = self.described(room, facts)
        return None if facts["deleted"] else group

    def described(self, room: str, facts: dict[str, Any]) -> Group:
        """Take what a `room_get` says."""
        group = Group(facts["name"], facts["visibility"], True, len(facts["members"]))
        if not facts["deleted"]:
            self.keep(room, group)
        return group

    def person(self, user_id: str) -> Talk[Person]:
        """Return what somebody shows of themselves, asking the node once."""
        known = self.people.get(user_id)
        if known is not None or not user_id:
            return known or Person()
        try:
            facts = yield c.ProfileGet(username=user_id)
        except Refused:
            facts = {}
        self.know(user_id, facts.get("nickname"), facts.get("avatar"))
        return self.people[user_id]

    # -- what is kept -----------------------------------------------------------------------------

    def know(self, user_id: str, nickname: Any = UNSET, avatar: Any = UNSET) -> None:
        """Remember what is said of a person; what is left out stays."""
        person = self.people.get(user_id, Person())
        if nickname is not UNSET:
            person.nickname = nickname
        if avatar is not UNSET:
            person.avatar = avatar
        remember(self.people, user_id, person, MAX_PEOPLE)

    def keep(self, room: str, group: Group) -> None:
        """Remember a group."""
        remember(self.groups, room, group, MAX_GROUPS)

    def give(self, idents: Iterable[str]) -> None:
        """Messages stand in an answer: should their event follow, it is not shown again."""
        for ident in idents:
            remember(self.given, ident, None, MAX_GIVEN)

    def await_file(self, event: events.UserMessage) -> None:
        """Remember a message whose file is not here yet."""
        if isinstance(event.attachment, dict) and event.attachment.get("state") == "pending":
            remember(self.pending, str(event.attachment.get("id")), event, MAX_PENDING)

    def count(self) -> int:
        """Number a line of ours, so that its id is its own on this connection."""
        self.lines += 1
        return self.lines

    def begin(self, room: str) -> Reading:
        """A page of a room is read: what is shown there meanwhile stands on it."""
        self.readings.append(Reading(room))
        return self.readings[-1]

    def show(self, room: str, data: dict[str, Any]) -> None:
        """A message is shown."""
        for reading in self.readings:
            if reading.room == room:
                reading.came.append(data)

    def changed(self, room: str, frame: Frame) -> Frame:
        """A message is another now: the page that is being read may still have it as it was."""
        for reading in self.readings:
            if reading.room == room:
                reading.changes.append(frame)
        return frame


def remember(kept: dict[str, T], key: str, value: T, most: int) -> None:
    """Put something into a memory of at most so many; the oldest goes."""
    kept[key] = value
    if len(kept) > most:
        del kept[next(iter(kept))]
