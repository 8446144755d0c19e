"""Which of what the log says is worth a notification, and what later becomes of it (docs/bridge.md 2).

It looks at the events of each turn before they are committed: a notice stands or falls with its cause, and
what is logged once is notified once, however often it came.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import msgspec

from node.chat import events
from node.chat.direct import Direct
from node.chat.mentions import mentions_me
from node.chat.notices import Kind
from node.chat.room import Room
from node.chat.turn import Logged, Turn
from node.engine.state import State
from node.errors import Refused

EXCERPT = 200
"""Letters of a message that go into its notice."""
INCOMING: Final = "incoming"
"""How somebody stands to us who asks and has no answer."""
ANSWERED: Final = frozenset({"accept", "decline"})
"""Ends of an invite after which there is nothing left to look at."""


class Noticing:
    """Raises and changes notices by what is logged."""

    def __init__(self, state: State) -> None:
        self.state, self.notices = state, state.notices
        self._by_event: dict[type, Callable[[Turn, Any], None]] = {
            events.UserMessage: self._said,
            events.MessageHealed: self._said,
            events.MessageEdited: self._edited,
            events.MessageDeleted: self._deleted,
            events.UserInvite: self._invited,
            events.InviteResult: self._invite_ended,
            events.ContactRequested: self._requested,
            events.ContactAdded: self._added,
            events.Announcement: self._announced,
        }
        for name, act in (
            ("contact_request_cancelled", self._taken_back),
            ("contact_removed", self._parted),
            ("contact_updated", self._answered),
        ):
            if name in events.BY_NAME:
                self._by_event[events.BY_NAME[name]] = act

    def look(self, turn: Turn) -> None:
        """Go through what this turn logs."""
        for out in tuple(turn.out):
            if isinstance(out, Logged):
                act = self._by_event.get(type(out.event))
                if act is not None:
                    act(turn, out.event)

    def _account(self, name: str) -> bytes | None:
        """Return the account of a username or user id; None for our own, or if nobody is called so."""
        try:
            account = self.state.people.find(name)
        except Refused:
            return None
        return None if account == self.state.me.account else account

    # -- messages ---------------------------------------------------------------------------------

    def _said(self, turn: Turn, event: events.UserMessage | events.MessageHealed) -> None:
        """A message is shown that may mention us, in time or late."""
        if isinstance(event, events.MessageHealed):
            ours = event.mentioned is True and event.mine is not True and event.deleted is not True
        else:
            ours = mentions_me(event)
        if ours:
            self._mentioned(turn, event.room, str(event.id), str(event.user_id), str(event.message))

    def _mentioned(self, turn: Turn, room: str, message: str, user_id: str, words: str) -> None:
        account, found = self._account(user_id), self._room(room)
        if account is None or found is None or self.state.is_muted(found.room_id, turn.now):
            return
        cause, text = f"mention {room} {message}", words[:EXCERPT]
        data = {"message": message, "room": room, "room_name": found.name, "text": text}
        self.notices.back(turn, cause, text=text)
        self.notices.add(turn, "mention", cause, account, data)

    def _room(self, room: str) -> Room | Direct | None:
        try:
            return self.state.rooms.find(room)
        except Refused:
            return None

    def _edited(self, turn: Turn, event: events.MessageEdited) -> None:
        """Other words may mention us, or no more."""
        if event.mine:
            return
        cause = f"mention {event.room} {event.id}"
        known = self.notices.about(cause)
        if event.mentioned is not True:
            self.notices.change(turn, cause, withdrawn=True, text="")
        elif known is None or known.withdrawn:
            self._mentioned(turn, event.room, event.id, event.user_id, event.message)
        else:
            self.notices.change(turn, cause, read=False, text=event.message[:EXCERPT])

    def _deleted(self, turn: Turn, event: events.MessageDeleted) -> None:
        self.notices.change(turn, f"mention {event.room} {event.id}", withdrawn=True, text="")

    # -- invites ----------------------------------------------------------------------------------

    def _invited(self, turn: Turn, event: events.UserInvite) -> None:
        account = self._account(event.sender)
        if account is not None:
            data = {
                "invite": event.invite,
                "room": event.room,
                "room_name": event.room_name,
                "kind": event.kind,
                "options": event.options,
                "expires_at": event.expires_at,
                "state": "open",
            }
            self.notices.add(turn, "invite", f"invite {event.invite}", account, data)

    def _invite_ended(self, turn: Turn, event: events.InviteResult) -> None:
        if event.response != "delivered":
            told: dict[str, Any] = {"state": event.response}
            if isinstance(event.game_id, str):
                told["game_id"] = event.game_id
            self.notices.change(
                turn,
                f"invite {event.invite}",
                withdrawn=event.response == "cancelled",
                read=event.response in ANSWERED,
                **told,
            )

    # -- contacts ---------------------------------------------------------------------------------

    def _requested(self, turn: Turn, event: events.ContactRequested) -> None:
        self._contact(turn, event.user_id, "requested")

    def _added(self, turn: Turn, event: events.ContactAdded) -> None:
        self.notices.change(turn, f"requested {event.user_id}", again=True)
        self._contact(turn, event.user_id, "added")

    def _taken_back(self, turn: Turn, event: Any) -> None:
        """They ask no more, and may ask again."""
        self.notices.change(turn, f"requested {event.user_id}", withdrawn=True, again=True)

    def _parted(self, turn: Turn, event: Any) -> None:
        """They are no contact any more, and may become one again."""
        self.notices.change(turn, f"added {event.user_id}", read=False, again=True)

    def _answered(self, turn: Turn, event: Any) -> None:
        """The owner has answered somebody's request, if they stand to us otherwise now."""
        state = msgspec.to_builtins(event).get("state", INCOMING)
        if state != INCOMING:
            self.notices.change(turn, f"requested {event.user_id}", again=True)

    def _contact(self, turn: Turn, user_id: str, what: str) -> None:
        account = self._account(user_id)
        if account is not None:
            nickname = self.state.people.by_account[account].nickname
            self.notices.add(
                turn, "contact", f"{what} {user_id}", account, {"state": what, "nickname": nickname}
            )

    # -- announcements ----------------------------------------------------------------------------

    def _announced(self, turn: Turn, event: events.Announcement) -> None:
        account = None if event.mine else self._account(event.user_id)
        if account is None:
            return
        data = {"announcement": event.id, "room": event.room, "text": event.text, "data": event.data}
        cause = f"announcement {event.room} {event.user_id} {event.id}"
        kind: Kind = "tournament" if event.kind == "tournament" else "announcement"
        self.notices.add(turn, kind, cause, account, data)
