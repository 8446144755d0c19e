"""Who is who on one connection: what the owner is called here, and what others look like.

The node has one identity. What a frontend claims is what it is told back on its own connection, and no more
(docs/dialects/rooms_004.md). Of others an avatar is a picture that the frontend need fetch from nowhere.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable
from html import escape
from typing import Any, Final

from node import ids
from node.bridge.dialects.rooms_004.payloads import JoinRoom

MAX_PEOPLE = 512
"""Avatars that are remembered, of at most 4 KiB each; whose is forgotten is asked for again."""
MAX_LETTERS = 16
"""Letters of an avatar that is one, as an emoji: a family takes eleven."""
NODE_ID: Final = "node"
NODE_NAME: Final = "[node]"
"""Who says what nobody said: no person's id is so short, and no username has brackets."""
_SVG: Final = (
    '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 64 64"><text x="32" y="32" font-size="40" '
    'text-anchor="middle" dominant-baseline="central">{}</text></svg>'
)


class People:
    """The owner's names on this connection, and the avatars of others, as far as they are known."""

    def __init__(self) -> None:
        self.own: str | None = None
        """The owner's user_id; None before the node has told it."""
        self._username = ""
        self._claimed: str | None = None
        self._joined: JoinRoom | None = None
        self._avatars: dict[str, str | None] = {}

    # -- oneself ----------------------------------------------------------------------------------

    def introduce(self, facts: dict[str, Any]) -> None:
        """Take in what the node says of its owner."""
        self.own, self._username = facts["user_id"], facts["username"]
        self.learn(facts["user_id"], facts["avatar"])

    def claim(self, user_id: str) -> None:
        """From now on the owner has this id here."""
        self._claimed = user_id

    def call(self, joined: JoinRoom) -> None:
        """From now on the owner is called so here; an avatar that was given stays until another is."""
        kept = self._joined.avatar if self._joined is not None else None
        avatar = joined.avatar if joined.avatar is not None else kept
        self._joined = JoinRoom(
            room_id=joined.room_id, user_id=joined.user_id, username=joined.username, avatar=avatar
        )

    @property
    def own_id(self) -> str:
        """What the owner's id is here."""
        return self._claimed or self.own or NODE_ID

    @property
    def own_name(self) -> str:
        """What the owner is called here."""
        return self._joined.username if self._joined is not None else self._username or NODE_NAME

    # -- everybody --------------------------------------------------------------------------------

    def id_of(self, user_id: str, *, mine: bool = False) -> str:
        """Return the id that a person has here."""
        return self.own_id if mine or user_id == self.own else user_id or NODE_ID

    def named(self, user_id: str, username: str) -> dict[str, Any]:
        """Return `userId` and `username` of a person."""
        return {
            "userId": self.id_of(user_id),
            "username": self.own_name if user_id == self.own else username,
        }

    def author(self, user_id: str, username: str, *, mine: bool = False) -> dict[str, Any]:
        """Return `userId` and `user` of a message; without any id it is the node's."""
        mine = mine or (user_id != "" and user_id == self.own)
        name = self.own_name if mine else username or NODE_NAME
        return {
            "userId": self.id_of(user_id, mine=mine),
            "user": {"username": name, "avatar": self._avatar(user_id, mine=mine)},
        }

    def _avatar(self, user_id: str, *, mine: bool) -> str | None:
        if mine and self._joined is not None and self._joined.avatar is not None:
            return self._joined.avatar
        return self._avatars.get((self.own or "") if mine else user_id)

    def unknown(self, user_ids: Iterable[str]) -> list[str]:
        """Return whose avatars are not known, each once."""
        return [one for one in dict.fromkeys(user_ids) if one and one not in self._avatars]

    def learn(self, user_id: str, avatar: object) -> None:
        """Remember an avatar; the one that was learnt first of too many is forgotten."""
        self._avatars.pop(user_id, None)
        self._avatars[user_id] = picture(avatar) if isinstance(avatar, str) else None
        while len(self._avatars) > MAX_PEOPLE:
            del self._avatars[next(iter(self._avatars))]


def picture(avatar: str) -> str | None:
    """Return an avatar as the address of a picture: a data URL as it is, letters drawn; else None."""
    if not avatar or avatar[:5].lower() == "data:":
        return avatar or None
    try:
        ids.parse(avatar)
    except ValueError:
        drawn = _SVG.format(escape(avatar[:MAX_LETTERS]))
        return f"data:image/svg+xml;base64,{base64.b64encode(drawn.encode()).decode()}"
    return None
