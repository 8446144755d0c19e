"""Answers about invites."""

from __future__ import annotations

from typing import Final, Literal

from msgspec import UNSET, UnsetType

from node.chat.answers.base import Answer, Row


class InviteMade(Answer):
    """An offer, and when it ends: in 7 days, or 120 seconds after it is shown."""

    invite: str
    expires_at: int


class InviteAnswered(Answer):
    """What became of an invite; `room` where one was accepted, `game_id` where it was to a game."""

    invite: str
    state: Literal["joined", "joining", "accepted", "declined", "open"]
    room: str | UnsetType = UNSET
    game_id: str | UnsetType = UNSET


class InviteNamed(Answer):
    """Which invite it was."""

    invite: str


class InviteRow(Row):
    """One invite, sent or received."""

    invite: str
    room: str
    room_name: str
    sender: str
    target: str
    kind: str
    state: str
    expires_at: int
    client_id: str | None
    game_id: str | None


class InviteRows(Answer):
    """Invites."""

    invites: list[InviteRow]


ANSWERS: Final[dict[str, type[Answer]]] = {
    "user_invite": InviteMade,
    "user_invite_response": InviteAnswered,
    "invite_cancel": InviteNamed,
    "invite_list": InviteRows,
}
