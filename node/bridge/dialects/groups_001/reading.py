"""What a frontend of the groups protocol says: no field is given there, so every usual one is understood.

Whatever is not of the type that it has to be is refused as `invalid`, and names the key.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Final

from node.chat.commands import MAX_HISTORY
from node.errors import Refused

GROUP_KEYS: Final = ("groupId", "group_id", "chatId", "chat_id", "group", "id")
"""`id` last: beside another one it is the message's own."""
NAME_KEYS: Final = ("name", "groupName", "group_name", "title", "group")
TEXT_KEYS: Final = ("text", "message", "content", "body")
REPLY_KEYS: Final = ("replyTo", "reply_to")
USERNAME_KEYS: Final = ("username", "userName", "user_name", "sender", "user")
USER_ID_KEYS: Final = ("userId", "user_id", "senderId", "sender_id")
CLAIMS: Final = frozenset({*USERNAME_KEYS, *USER_ID_KEYS})
MAX_GROUP_CHARS: Final = 64
MAX_ALIAS_CHARS: Final = 64
"""Of a name that somebody claims on a connection, and of an id."""
FIRST_PAGE: Final = 50
"""Messages of an answer, if it is not said how many."""
_UUID: Final = re.compile("[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)


def is_id(text: str) -> bool:
    """Say whether a text is an id as the node writes them."""
    return _UUID.fullmatch(text) is not None


def first(data: Any, keys: Sequence[str]) -> tuple[str, Any] | None:
    """Return the first of the keys that an object has, and its value; null is not there."""
    if not isinstance(data, dict):
        return None
    return next(((key, data[key]) for key in keys if data.get(key) is not None), None)


def wrong(key: str, message: str) -> Refused:
    """Return the refusal of a value that is not what it has to be."""
    return Refused("invalid", message, field=key)


def meant(data: Any) -> str:
    """Return what names a group, as `JOIN_GROUP` takes it: an id, a name or the beginning of an id."""
    key, value = first(data, GROUP_KEYS) or ("id", data)
    if isinstance(value, dict):
        key, value = first(value, ("id", *GROUP_KEYS[:-2])) or (key, None)
    if not isinstance(value, str) or not 1 <= len(value) <= MAX_GROUP_CHARS:
        raise wrong(key, f"a group is named by its id, a text of at most {MAX_GROUP_CHARS} characters")
    return value


def group_id(data: Any) -> str:
    """Return the id of the group that is meant."""
    text = meant(data)
    if not is_id(text):
        raise Refused("room_not_found", "a group is named by the id that it has in the list", field="id")
    return text.lower()


def group_name(data: Any) -> str:
    """Return what a new group is to be called."""
    key, value = first(data, NAME_KEYS) or ("name", data)
    if isinstance(value, dict):
        key, value = first(value, NAME_KEYS[:-1]) or (key, None)
    if not isinstance(value, str) or not value.strip():
        raise wrong(key, "a group has a name, a text")
    return value


def text_of(data: Any) -> str | None:
    """Return what is said, or nothing."""
    key, value = first(data, TEXT_KEYS) or ("text", None)
    if isinstance(value, dict):
        key, value = first(value, TEXT_KEYS) or (key, None)
    if value is not None and not isinstance(value, str):
        raise wrong(key, "what is said is a text")
    return value


def optional(data: Any, keys: Sequence[str], most: int) -> str | None:
    """Return a text that may be left out."""
    found = first(data, keys)
    if found is None:
        return None
    key, value = found
    if not isinstance(value, str) or not 1 <= len(value) <= most:
        raise wrong(key, f"`{key}` is a text of 1 to {most} characters")
    return value


def message_id(data: Any, keys: Sequence[str]) -> str | None:
    """Return the id of a message that may be left out."""
    value = optional(data, keys, 36)
    if value is not None and not is_id(value):
        raise wrong(keys[0], "a message is named by its id")
    return value


def page_size(data: Any) -> int:
    """Return how many messages are asked for."""
    found = first(data, ("limit", "count"))
    if found is None:
        return FIRST_PAGE
    key, value = found
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= MAX_HISTORY:
        raise wrong(key, f"`{key}` is a number from 1 to {MAX_HISTORY}")
    return value


def claimed(data: Any) -> tuple[str | None, str | int | None]:
    """Return the name and the id that somebody says to have; None where nothing is said."""
    return _claimed_name(data), _claimed_id(data)


def _claimed_name(data: Any) -> str | None:
    key, value = first(data, USERNAME_KEYS) or ("username", None)
    if isinstance(value, dict):
        key, value = first(value, (*USERNAME_KEYS[:3], "name")) or (key, None)
    if value is None:
        return None
    if not isinstance(value, str) or len(value) > MAX_ALIAS_CHARS:
        raise wrong(key, f"a user is named by a text of at most {MAX_ALIAS_CHARS} characters")
    return value or None


def _claimed_id(data: Any) -> str | int | None:
    key, value = first(data, USER_ID_KEYS) or ("userId", None)
    if value is None:
        _, user = first(data, ("user", "sender")) or ("user", None)
        key, value = first(user, (*USER_ID_KEYS, "id", "_id")) or ("userId", None)
    if value is None:
        return None
    whole = isinstance(value, int) and not isinstance(value, bool) and abs(value) <= 2**53
    if not whole and not (isinstance(value, str) and len(value) <= MAX_ALIAS_CHARS):
        raise wrong(key, f"a user's id is a whole number or a text of at most {MAX_ALIAS_CHARS} characters")
    return None if value == "" else value
