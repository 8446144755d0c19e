"""What one connection of 003 remembers, all of it bounded: showing a message asks the node nothing."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from node.bridge.dialects.adapter import Talk
from node.bridge.dialects.live_003.likes import Likes
from node.bridge.dialects.live_003.shapes import Chat, chat_of, person
from node.chat import commands as c
from node.errors import Refused

MAX_CHATS = 4_096
"""Conversations remembered; another is looked up when something is said there."""
MAX_AUTHORS = 1_024
"""Messages whose author we know, and those whose likes we know: of the others a like is looked up once."""
MAX_INVITES = 256
"""Invites of others, to say whose it was that ended; twenty of one person can be open at once."""
MAX_SHOWN = 4_096
"""People of whom we know how they were shown last; of the others it may be said twice."""
MAX_FILES = 256
"""Attachments on their way, to say in which message one has come."""

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class Newest(Generic[K, V]):
    """The newest entries of a mapping, so many of them."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._all: OrderedDict[K, V] = OrderedDict()

    def __len__(self) -> int:
        """Count them."""
        return len(self._all)

    def put(self, key: K, value: V) -> None:
        """Keep one; the oldest goes."""
        self._all[key] = value
        self._all.move_to_end(key)
        if len(self._all) > self._most:
            self._all.popitem(last=False)

    def get(self, key: K) -> V | None:
        """Return one, None if it is not kept."""
        return self._all.get(key)

    def pop(self, key: K) -> V | None:
        """Return one and forget it."""
        return self._all.pop(key, None)

    def clear(self) -> None:
        """Forget all."""
        self._all.clear()


@dataclass(frozen=True, slots=True)
class Invited:
    """An invite of somebody else's: as whom it was shown, and to what it is."""

    username: str
    nickname: str
    kind: str


@dataclass(slots=True, eq=False)
class Sending:
    """A message on its way to the node; `echoed`: it has come back to the frontend."""

    nonce: str
    timestamp: str
    echoed: bool = False


class Known:
    """Conversations, ourselves, and what is under way."""

    def __init__(self, base: str) -> None:
        self.base = base
        self.me: dict[str, Any] | None = None
        self.user_id = ""
        self.chats: Newest[str, Chat] = Newest(MAX_CHATS)
        self.authors: Newest[str, str] = Newest(MAX_AUTHORS)
        """By message, of those that were shown before anybody could like them."""
        self.likes: Newest[str, Likes] = Newest(MAX_AUTHORS)
        self.invites: Newest[str, Invited] = Newest(MAX_INVITES)
        self.online: Newest[str, bool] = Newest(MAX_SHOWN)
        self.files: Newest[str, dict[str, Any]] = Newest(MAX_FILES)
        self.confirmed: Newest[str, bool] = Newest(MAX_AUTHORS)
        """Messages confirmed before they were shown, which then are not shown again."""
        self.sending: list[Sending] = []

    def learn(self) -> Talk[None]:
        """Learn who we are and which conversations there are, if the node says so: not while it is locked."""
        try:
            yield from self.myself()
            answer = yield c.RoomList(joined=True)
        except Refused:
            self.me = None
            return
        for row in answer["rooms"]:
            self.chats.put(row["room"], chat_of(row))

    def myself(self) -> Talk[dict[str, Any]]:
        """Return ourselves as a person of this dialect."""
        if self.me is None:
            found = yield c.ProfileGet()
            self.user_id, self.me = found["user_id"], person(found, self.base)
        return self.me

    def who(self, username: str) -> Talk[dict[str, Any]]:
        """Return somebody as a person of this dialect."""
        return person((yield c.ProfileGet(username=username)), self.base)

    def chat(self, room: str) -> Talk[Chat]:
        """Return a conversation; asks for one that is new."""
        found = self.chats.get(room)
        if found is None:
            found = chat_of((yield c.RoomGet(room=room)))
            self.chats.put(room, found)
        return found
