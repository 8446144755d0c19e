"""What one connection of the friends protocol remembers: all of it bounded, the oldest goes first."""

from __future__ import annotations

from typing import Final, Generic, NamedTuple, TypeVar

from node.chat import events

K = TypeVar("K")
V = TypeVar("V")

MAX_MESSAGES: Final = 4096
"""Messages whose room is known without asking: what a page shows, and more."""
MAX_CHATS: Final = 1024
"""Rooms with their names, and what the frontend calls them."""
MAX_PEOPLE: Final = 4096
"""People with their last status: as many as a node has contacts."""
MAX_INVITES: Final = 256
"""Invites that were shown; each is over in two minutes."""


class Recent(dict[K, V], Generic[K, V]):
    """A dict of at most `most` entries."""

    def __init__(self, most: int) -> None:
        super().__init__()
        self.most = most

    def put(self, key: K, value: V) -> None:
        """Remember something, and forget the oldest if that is too much."""
        self[key] = value
        if len(self) > self.most:
            del self[next(iter(self))]


class Known(NamedTuple):
    """What is known of a message that was shown; `plain`: its words are all there is of it."""

    room: str
    mine: bool
    ts_ms: int
    plain: bool
    status: str


class Person(NamedTuple):
    """How somebody was last shown; `status` is empty for who was not."""

    username: str
    status: str = ""
    blocked: bool = False
    blocked_by: bool = False


def known_of(event: events.UserMessage) -> Known:
    """Return what is to be remembered of a message."""
    plain = event.attachment is None and event.kind != "unreadable"
    status = "sent" if event.mine else "delivered"
    return Known(event.room, event.mine, event.ts_ms, plain, status)
