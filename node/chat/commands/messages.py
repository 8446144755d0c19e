"""Messages: saying something and reading what was said (docs/bridge.md 2)."""

from __future__ import annotations

from typing import Annotated, Any, TypeAlias

from msgspec import Meta

from node.chat.commands.base import MAX_MESSAGE_BYTES, Base, Count, Id, Kind, Limit, Sought, Text, Who
from node.wire.payload import MAX_EMOJI_BYTES, MAX_MENTIONS

Mentions: TypeAlias = Annotated[list[Who], Meta(max_length=MAX_MENTIONS)]


class UserMessage(Base, frozen=True, kw_only=True):
    """Send a message, at most 16 KiB of UTF-8."""

    room: Id
    message: Text
    kind: Kind | None = None
    attachment: Any = None
    reply_to: Id | None = None
    ttl: Count | None = None
    mentions: Mentions | None = None

    def __post_init__(self) -> None:
        """Measure the message in bytes, which `max_length` cannot."""
        _measure(self.message)


class MessageEdit(Base, frozen=True, kw_only=True):
    """Say something else in an own message."""

    room: Id
    id: Id
    message: Text
    mentions: Mentions | None = None

    def __post_init__(self) -> None:
        """Measure the message in bytes."""
        _measure(self.message)


class MessageDelete(Base, frozen=True, kw_only=True):
    """Erase the words of a message: an own one, or, for admins, anybody's."""

    room: Id
    id: Id


class ReactionSet(Base, frozen=True, kw_only=True):
    """React to a message with an emoji, or do so no more."""

    room: Id
    id: Id
    emoji: Annotated[str, Meta(min_length=1, max_length=MAX_EMOJI_BYTES)]
    on: bool = True


class HistoryGet(Base, frozen=True, kw_only=True):
    """Read messages of a room, oldest first: the newest `limit` before, or the first after, a message id.

    `skip` passes over so many first; with `count`, it is told how many there are in all.
    """

    room: Id
    before: Id | None = None
    after: Id | None = None
    limit: Limit | None = None
    skip: Count | None = None
    count: bool | None = None


class Search(Base, frozen=True, kw_only=True):
    """Find messages that hold a text, the newest first; neither case nor accents count."""

    text: Sought
    room: Id | None = None
    before: Id | None = None
    limit: Limit | None = None


class TypingSet(Base, frozen=True, kw_only=True):
    """Tell a conversation that we type, or have stopped; it ends by itself after 6 s."""

    room: Id
    typing: bool = True


MessageCommand: TypeAlias = (
    UserMessage | MessageEdit | MessageDelete | ReactionSet | HistoryGet | Search | TypingSet
)


def _measure(message: str) -> None:
    if len(message) * 4 > MAX_MESSAGE_BYTES and len(message.encode()) > MAX_MESSAGE_BYTES:
        raise ValueError(f"a message has at most {MAX_MESSAGE_BYTES} bytes of UTF-8")
