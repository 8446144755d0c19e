"""The adapter of 003's websocket: what a frontend says, and how it is refused (docs/dialects/live_003.md)."""

from __future__ import annotations

from contextlib import suppress
from typing import Any, ClassVar, Final

from node.bridge.dialects.adapter import Adapter, Call, Frame, Last, Part, Setting, Talk
from node.bridge.dialects.base import FrameRefused
from node.bridge.dialects.live_003 import frames
from node.bridge.dialects.live_003.known import Known, Sending
from node.bridge.dialects.live_003.shapes import LIKE, iso
from node.bridge.dialects.live_003.telling import NOTICE, Telling, liked_by_me
from node.chat import commands as c, events
from node.errors import Refused

BAD_DATA: Final = 3100
"""The close code of the published document for data that is no good."""
PATIENCE: Final = 120
"""Seconds of silence after which a game invite is over, delivered or not."""


class Live(Adapter):
    """One websocket of a frontend of 003."""

    RATE: ClassVar[float] = 50.0
    BURST: ClassVar[float] = 50.0

    def __init__(self, setting: Setting) -> None:
        super().__init__(setting)
        self._known = Known(setting.base)
        self._telling = Telling(self._known)

    def opened(self) -> Talk[None]:
        """Learn what is needed to show messages; where the vault is locked, when it opens."""
        yield from self._known.learn()

    def happened(self, event: events.Event) -> Talk[None]:
        """Show an event, if the dialect has a word for it or is given one."""
        self._telling.now_ms = self.now.wall_ms
        yield from self._telling.tell(event)

    def said(self, call: Call) -> Talk[None]:
        """Do what a frontend says."""
        match call.args[0]:
            case frames.NewMessage() as said:
                yield from self._say(said)
            case frames.UnlikeMessage() as said:
                yield from self._like(said, on=False)
            case frames.ReadMessage(chat_id, message):
                if not message.startswith(NOTICE):
                    yield Last(c.MessageRead(room=chat_id, id=message))
            case frames.LikeMessage() as said:
                yield from self._like(said, on=True)
            case frames.ReadNotification(ident):
                yield Last(c.NotificationRead(id=ident))
            case frames.GameInvite() as said:
                yield from self._invite(said)
            case frames.ReplyGameInvite() as said:
                yield from self._reply(said)
            case frames.CancelGameInvite(username):
                invite = yield from self._open_invite(username, outgoing=True)
                yield Last(c.InviteCancel(invite=invite["invite"]))

    def refused(self, call: Call | None, fault: Refused) -> Talk[None]:
        """Say that it was not done: bad data and more than fifty a second end the connection."""
        malformed = isinstance(fault, FrameRefused) and fault.malformed
        if call is None or malformed or fault.code == "rate_limited":
            yield Part(BAD_DATA, "bad data" if fault.code != "rate_limited" else "too fast")
            return
        said = call.args[0]
        if isinstance(said, frames.GameInvite):
            yield from self._not_invited(said, fault)
            return
        named = {
            key: getattr(said, key)
            for key in ("chat_id", "id", "timestamp", "username")
            if hasattr(said, key)
        }
        yield Frame("error", ({"action": call.name, "code": fault.code, "message": fault.message, **named},))

    # -- messages ---------------------------------------------------------------------------------

    def _say(self, said: frames.NewMessage) -> Talk[None]:
        """Send a message. It is confirmed by being shown; a repeated one, that is shown no more, by this."""
        if not said.content:
            raise Refused("invalid", "there is nothing to say", field="content")
        if not 0 < len(said.timestamp) <= frames.MAX_TIMESTAMP:
            raise Refused(
                "invalid", f"a timestamp has 1 to {frames.MAX_TIMESTAMP} characters", field="timestamp"
            )
        sending = Sending(frames.nonce_of(said.chat_id, said.timestamp), said.timestamp)
        self._known.sending.append(sending)
        try:
            sent = yield Last(c.UserMessage(room=said.chat_id, message=said.content, nonce=sending.nonce))
        finally:
            self._known.sending.remove(sending)
        if sending.echoed:
            return
        me = yield from self._known.myself()
        self._known.confirmed.put(sent["id"], True)
        shown = {
            "chat_id": said.chat_id,
            "id": sent["id"],
            "content": said.content,
            "date": iso(sent["ts_ms"]),
        }
        yield Frame("new_message", ({**shown, "sender": me["username"], "timestamp": said.timestamp},))

    def _like(self, said: frames.LikeMessage, *, on: bool) -> Talk[None]:
        """Like a message that came, or no more; what is so already is confirmed to who asks."""
        message = yield from self._telling.message(said.chat_id, said.id)
        if message.mine:
            raise Refused("forbidden", "one likes what one has received", field="id")
        if liked_by_me(message) == on:
            yield self._telling.like(message, message.room)
            return
        yield Last(c.ReactionSet(room=said.chat_id, id=said.id, emoji=LIKE, on=on))

    # -- games ------------------------------------------------------------------------------------

    def _invite(self, said: frames.GameInvite) -> Talk[None]:
        """Ask somebody to play, in the chat of the two."""
        me = yield from self._known.myself()
        listed = yield c.InviteList()
        for row in listed["invites"]:
            if row["kind"] == "game" and row["sender"] == me["username"] and _is_live(row):
                raise Refused("busy", f"you have asked {row['target']} already")
        chat = yield c.DmOpen(username=said.username)
        yield Last(
            c.UserInvite(
                target=said.username,
                room=chat["room"],
                kind="game",
                options=said.options,
                client_id=said.client_id,
                expires_in=PATIENCE,
            )
        )

    def _not_invited(self, said: frames.GameInvite, fault: Refused) -> Talk[None]:
        me: dict[str, Any] = {"username": None, "nickname": None}
        with suppress(Refused):  # the vault is locked: nobody knows who we are
            me = yield from self._known.myself()
        data = {key: me[key] for key in ("username", "nickname")}
        why = {"message": fault.message, "code": fault.code, "client_id": said.client_id}
        yield Frame("game_invite_canceled", ({**data, **why},))

    def _reply(self, said: frames.ReplyGameInvite) -> Talk[None]:
        """Answer who asks to play; a room that asks, as it was shown, is answered just so."""
        invite = yield from self._open_invite(said.username, outgoing=False)
        yield Last(
            c.UserInviteResponse(response="accept" if said.accept else "decline", invite=invite["invite"])
        )

    def _open_invite(self, username: str, *, outgoing: bool) -> Talk[dict[str, Any]]:
        """Return the newest open invite to a game to or from somebody, or the one to a room of that id."""
        me = yield from self._known.myself()
        mine, side = me["username"], "target" if outgoing else "sender"
        listed = yield c.InviteList()
        rows = [row for row in listed["invites"] if (row["sender"] == mine) is outgoing and _is_live(row)]
        games = [row for row in rows if row["kind"] == "game"]
        fits = [row for row in games if row[side] == username]
        fits = fits or [
            row for row in rows if row["kind"] == "room" and row["room"] == username and not outgoing
        ]
        if not fits and games:
            name = (yield c.ProfileGet(username=username))["username"]
            fits = [row for row in games if row[side] == name]
        if not fits:
            raise Refused("no_open_invite", f"no invite of {username}'s is open", field="username")
        found: dict[str, Any] = fits[-1]
        return found


def _is_live(row: dict[str, Any]) -> bool:
    return row["state"] in {"offered", "open"}
