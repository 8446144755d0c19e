"""Who is mentioned: `@username` in a text, and whoever a frontend names, among those in the conversation.

Names are each node's own, so what travels are accounts (docs/bridge.md 2).
"""

from __future__ import annotations

import re
from collections.abc import Container, Iterable

from node.chat import events
from node.chat.people import People
from node.errors import Refused
from node.wire.payload import MAX_MENTIONS

_NAMED = re.compile(r"(?<![\w@])@([\w.~-]{1,48})")
_LOOSE = "._-~"
"""What may end a sentence as well as a name."""


def mentioned(people: People, text: str, named: Iterable[str], here: Container[bytes]) -> tuple[bytes, ...]:
    """Return the accounts that a message mentions, at most MAX_MENTIONS, each once.

    Raises:
        Refused: If `named` has somebody who is not `here` (`unknown_user`), or too many (`invalid`).
    """
    found: dict[bytes, None] = {}
    for name in named:
        account = _find(people, name)
        if account is None or account not in here:
            raise Refused("unknown_user", f"{name} is not in this room", field="mentions")
        found[account] = None
    if len(found) > MAX_MENTIONS:
        raise Refused("invalid", f"a message mentions at most {MAX_MENTIONS} people", field="mentions")
    for name in _NAMED.findall(text) if "@" in text else ():
        account = people.owner_of(name) or people.owner_of(name.rstrip(_LOOSE))
        if account is not None and account in here and len(found) < MAX_MENTIONS:
            found[account] = None
    return tuple(found)


def _find(people: People, name: str) -> bytes | None:
    try:
        return people.find(name)
    except Refused:
        return None


def mentions_me(event: events.Event) -> bool:
    """Say whether an event is news of a message by somebody else that mentions the owner."""
    if not isinstance(event, events.UserMessage) or event.mine or event.history is True:
        return False
    return event.mentioned is True and event.deleted is not True
