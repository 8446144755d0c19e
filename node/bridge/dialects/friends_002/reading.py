"""What a frontend of the friends protocol says: positional arguments, or one object with the same names.

Values are checked for their types and for what no command could carry; sizes and meanings are the core's to
judge (docs/dialects/friends_002.md).
"""

from __future__ import annotations

import re
from typing import Any, Final

from node.bridge.dialects.adapter import Call
from node.errors import Refused

PLACES: Final[dict[str, tuple[str, ...]]] = {
    "user connect": ("username",),
    "join room": ("chat_id",),
    "set status": ("status", "friends"),
    "new friend request": ("other_username", "message"),
    "cancel friend request": ("other_username",),
    "accept friend request": ("other_username",),
    "reject friend request": ("other_username",),
    "unfriend": ("other_username",),
    "new message": ("message",),
    "delete message": ("message_id", "chat_id"),
    "edit message": ("message",),
    "read message": ("message_id", "chat_id"),
}
"""What a frontend may say, and which argument stands where."""
NAMES: Final = frozenset(PLACES)
"""The names of the events that a frontend may say."""
ALSO: Final[dict[str, tuple[str, ...]]] = {
    "chat_id": ("chat_id", "chatId", "room", "room_id"),
    "content": ("content", "text", "message", "body"),
    "message_id": ("message_id", "id", "_id"),
    "other_username": ("other_username", "username"),
}
"""What a key may be called in an object; the first that is there counts."""
MAX_TEXT: Final = 16 * 1024
"""Characters of any value: as many as a message or a contact link has."""
MAX_NAME: Final = 64
MAX_FRIENDS: Final = 4096
"""Names in the list of a `set status`; a node has fewer contacts."""
_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


class Given:
    """The arguments of one call, by name; `one`: they came as one object."""

    def __init__(self, call: Call) -> None:
        places, args = PLACES[call.name], call.args
        self.one = bool(args) and isinstance(args[0], dict)
        if places == ("message",):
            self.values, self.one = _message(args)
        elif self.one:
            self.values = args[0]
        else:
            self.values = dict(zip(places, args, strict=False))

    def text(self, key: str, *, most: int = MAX_TEXT) -> str:
        """Return a text that has to be there; raises Refused."""
        found = self.maybe(key, most=most)
        if found is None:
            raise Refused("invalid", f"`{key}` is missing", field=key)
        return found

    def maybe(self, key: str, *, most: int = MAX_TEXT) -> str | None:
        """Return a text, None if it is not there; raises Refused."""
        for name in ALSO.get(key, (key,)):
            value = self.values.get(name)
            if value is not None:
                return checked(value, key, most)
        return None

    def spellings(self, key: str) -> list[str]:
        """Return each text that a key has under any of its names, each once; raises Refused."""
        values = (self.values.get(name) for name in ALSO[key])
        return list(dict.fromkeys(checked(value, key, MAX_TEXT) for value in values if value is not None))

    def number_or_text(self, key: str) -> str | None:
        """Return an id of the frontend's own, which may be a number."""
        for name in ALSO.get(key, (key,)):
            value = self.values.get(name)
            if isinstance(value, int) and not isinstance(value, bool) and abs(value) < 2**63:
                return str(value)
            if value is not None:
                return checked(value, key, 128)
        return None

    def texts(self, key: str) -> list[str] | None:
        """Return a list of names, None if it is not there; raises Refused."""
        value = self.values.get(key)
        if value is None:
            return None
        if not isinstance(value, list | tuple) or len(value) > MAX_FRIENDS:
            raise Refused("invalid", f"`{key}` has to be a list of at most {MAX_FRIENDS} names", field=key)
        return [checked(one, key, MAX_NAME) for one in value]


def checked(value: object, key: str, most: int) -> str:
    """Return a value as a text that can be written as UTF-8 and is not too long; raises Refused."""
    if not isinstance(value, str):
        raise Refused("invalid", f"`{key}` has to be a text", field=key)
    if len(value) > most:
        raise Refused("invalid", f"`{key}` has at most {most} characters", field=key)
    try:
        value.encode()
    except UnicodeError:
        raise Refused("invalid", f"`{key}` is no Unicode text", field=key) from None
    return value


def as_uuid(text: str) -> str | None:
    """Return a UUID as we write it; None if this is none."""
    lower = text.lower()
    return lower if _UUID.fullmatch(lower) else None


def _message(args: tuple[Any, ...]) -> tuple[dict[str, Any], bool]:
    """Return a message's keys; True if it stood under the key `message` of an object."""
    if not args or not isinstance(args[0], dict):
        raise Refused("invalid", "a message is an object", field="message")
    outer = args[0]
    inner = outer.get("message")
    if not isinstance(inner, dict):
        return outer, False
    return {**{key: value for key, value in outer.items() if key != "message"}, **inner}, True
