"""Whether a message is liked, counted from what is shown: who reacts often makes nobody read the history."""

from __future__ import annotations

from dataclasses import dataclass, field

from node.bridge.dialects.live_003.shapes import LIKE
from node.chat import events

MAX_NAMED = 32
"""People of whom it is known one by one that they like a message; the others are counted."""


@dataclass(slots=True)
class Likes:
    """Who likes one message: `named` by their user ids, and how many `more`."""

    author: str
    named: set[str] = field(default_factory=set)
    more: int = 0

    @property
    def liked(self) -> bool:
        """Say whether anybody but its author likes it."""
        return self.more > 0 or bool(self.named - {self.author})

    def take(self, user_id: str, *, on: bool) -> None:
        """Somebody likes it, or no more; the node tells each change once."""
        if on and len(self.named) < MAX_NAMED:
            self.named.add(user_id)
        elif on:
            self.more += user_id not in self.named
        elif user_id in self.named:
            self.named.discard(user_id)
        else:
            self.more = max(0, self.more - 1)


def likes_of(message: events.UserMessage) -> Likes:
    """Return who likes a message as it is stored: its first likers are named there."""
    found = Likes(message.user_id)
    for one in message.reactions if isinstance(message.reactions, list) else ():
        if one.emoji == LIKE:
            found.named = {user.user_id for user in one.users}
            found.more = one.count - len(found.named)
    return found
