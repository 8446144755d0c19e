"""The spelling of 003's frames: one JSON object `{action, data}` a text frame, and what `data` has to hold.

What its tables do not allow, a missing field or one of another type, is bad data and closes the socket, as
the published document has it; what they allow and the node refuses is answered (`live.py`).
"""

from __future__ import annotations

from hashlib import blake2b
from typing import Any, Final, TypeAlias

import msgspec

from node.bridge.dialects.adapter import Call, Frame
from node.bridge.dialects.base import FrameRefused

MAX_PARTS = 256
"""Objects and arrays in a game's options, as many as any node takes: what walks them must not fall."""
MAX_TIMESTAMP = 4_096
"""Characters of a `timestamp`: some browsers write out the time zone, in the language of whoever reads it."""
MAX_WHOLE = 64
"""Characters of one that a nonce has room for, beside the room's id; of a longer one it has the hash."""
_NONCE: Final = "003 {} {}"
_LONG: Final = "003# {} {}"


class NewMessage(msgspec.Struct, frozen=True):
    """Say something; `timestamp` is the frontend's own word for the message, echoed as it came."""

    chat_id: str
    content: str
    timestamp: str


class LikeMessage(msgspec.Struct, frozen=True):
    """Like a message that came."""

    chat_id: str
    id: str


class UnlikeMessage(LikeMessage, frozen=True):
    """Like it no more."""


class ReadMessage(LikeMessage, frozen=True):
    """It was shown, and with it everything before it."""


class ReadNotification(msgspec.Struct, frozen=True):
    """A notification was looked at."""

    id: str


class GameInvite(msgspec.Struct, frozen=True):
    """Ask somebody to play; `options` may be called `settings`."""

    username: str
    client_id: str
    options: dict[str, Any] | None = None


class ReplyGameInvite(msgspec.Struct, frozen=True):
    """Answer the one who asks."""

    username: str
    accept: bool


class CancelGameInvite(msgspec.Struct, frozen=True):
    """Take it back."""

    username: str


Said: TypeAlias = (
    NewMessage
    | LikeMessage
    | UnlikeMessage
    | ReadMessage
    | ReadNotification
    | GameInvite
    | ReplyGameInvite
    | CancelGameInvite
)


class _RawInvite(msgspec.Struct):
    username: str
    client_id: str
    options: msgspec.Raw = msgspec.Raw(b"null")
    settings: msgspec.Raw = msgspec.Raw(b"null")


class _Head(msgspec.Struct):
    action: str
    data: msgspec.Raw


ACTIONS: Final[dict[str, type[Said]]] = {
    "new_message": NewMessage,
    "like_message": LikeMessage,
    "unlike_message": UnlikeMessage,
    "read_message": ReadMessage,
    "read_notification": ReadNotification,
    "game_invite": GameInvite,
    "game_invitation": GameInvite,
    "reply_game_invite": ReplyGameInvite,
    "cancel_game_invite": CancelGameInvite,
}
"""What a frontend says; `game_invitation` is how the published text calls `game_invite` in one place."""
_head: Final = msgspec.json.Decoder(_Head)
_decoders: Final[dict[str, msgspec.json.Decoder[Any]]] = {
    name: msgspec.json.Decoder(_RawInvite if kind is GameInvite else kind) for name, kind in ACTIONS.items()
}
_options: Final = msgspec.json.Decoder(dict[str, Any] | None)


class LiveText:
    """One JSON object a text frame."""

    def decode(self, frame: str | bytes) -> Call:
        """Read one frame; raises FrameRefused, `malformed` for whatever is bad data there."""
        if isinstance(frame, bytes):
            raise _bad("frames are text")
        try:
            head = _head.decode(frame)
            if head.action not in ACTIONS:
                raise _bad("there is no such action")
            said = _decoders[head.action].decode(head.data)
            if isinstance(said, _RawInvite):
                said = GameInvite(said.username, said.client_id, _read(said.options) or _read(said.settings))
        except (msgspec.MsgspecError, UnicodeError, RecursionError, OverflowError) as exc:
            raise _bad("not an action with its data") from exc
        return Call(head.action, (said,))

    def encode(self, frame: Frame) -> str:
        """Write one frame."""
        return msgspec.json.encode({"action": frame.name, "data": frame.args[0]}).decode()


def _read(raw: msgspec.Raw) -> dict[str, Any] | None:
    """Return an object; raises FrameRefused, or what msgspec does, for one that no node would take."""
    data = bytes(raw)
    if data.count(b"[") + data.count(b"{") > MAX_PARTS:
        raise _bad(f"more than {MAX_PARTS} parts")
    value: dict[str, Any] | None = _options.decode(data)
    msgspec.msgpack.encode(value)  # numbers that no other node could read
    return value


def _bad(message: str) -> FrameRefused:
    return FrameRefused("bad_frame", message, malformed=True)


def nonce_of(chat_id: str, timestamp: str) -> str:
    """Return the nonce of a message: the same timestamp in the same chat is the same message."""
    if len(timestamp) > MAX_WHOLE:
        return _LONG.format(chat_id, blake2b(timestamp.encode(), digest_size=32).hexdigest())
    return _NONCE.format(chat_id, timestamp)


def timestamp_of(nonce: str | None, chat_id: str) -> str | None:
    """Return the timestamp that a message's nonce was made of, if it was, and stands in it."""
    begin = _NONCE.format(chat_id, "")
    return nonce[len(begin) :] if nonce is not None and nonce.startswith(begin) else None
