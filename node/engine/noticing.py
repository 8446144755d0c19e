"""Which of what the log says is worth a notification, and what later becomes of it (docs/bridge.md 2).

It looks at the events of each turn before they are committed: a notice stands or falls with its cause, and
what is logged once is notified once, however often it came.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from node.chat import events
from node.chat.notices import Kind
from node.chat.turn import Logged, Turn
from node.engine.state import State
from node.errors import Refused

EXCERPT = 200
"""Letters of a message that go into its notice."""
ANSWERED: Final = frozenset({"accept", "decline"})
"""Ends of an invite after which there is nothing left to look at."""


class Noticing:
    """Raises and changes notices by what is logged."""

    def __init__(self, state: State) -> None:
        self.state, self.notices = state, state.notices
        self._by_event: dict[type, Callable[[Turn, Any], None]] = {
            events.UserInvite: self._invited,
            events.InviteResult: self._invite_ended,
            events.ContactRequested: self._requested,
            events.ContactAdded: self._added,
            events.Announcement: self._announced,
        }

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
            self.notices.change(
                turn,
                f"invite {event.invite}",
                withdrawn=event.response == "cancelled",
                read=event.response in ANSWERED,
                state=event.response,
            )

    # -- contacts ---------------------------------------------------------------------------------

    def _requested(self, turn: Turn, event: events.ContactRequested) -> None:
        self._contact(turn, event.user_id, "requested")

    def _added(self, turn: Turn, event: events.ContactAdded) -> None:
        self.notices.change(turn, f"requested {event.user_id}", again=True)
        self._contact(turn, event.user_id, "added")

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
