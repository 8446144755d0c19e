"""Everything a node says to its frontends: one struct an event, tagged by the key `event` (docs/bridge.md 2).

The native dialect is the JSON spelling of these structs, so their field names and order are the public
contract; the seed's keys come first. An optional key that does not apply is UNSET and not written. The
modules divide one vocabulary by subject; it is used as a whole, so all of it is named here.
"""

from __future__ import annotations

from typing import Any, Final, TypeAlias, get_args

import msgspec
from msgspec import UNSET

from node.chat.commands import snake
from node.chat.events.attachments import (
    Attachment as Attachment,
    AttachmentEvent as AttachmentEvent,
)
from node.chat.events.base import (
    Req as Req,
)
from node.chat.events.invites import (
    InviteEvent as InviteEvent,
    InviteResult as InviteResult,
    UserInvite as UserInvite,
)
from node.chat.events.messages import (
    Mention as Mention,
    MessageDeleted as MessageDeleted,
    MessageEdited as MessageEdited,
    MessageEvent as MessageEvent,
    MessageHealed as MessageHealed,
    MessageStatus as MessageStatus,
    Reacted as Reacted,
    Reaction as Reaction,
    Typing as Typing,
    UserMessage as UserMessage,
)
from node.chat.events.node import (
    Connectivity as Connectivity,
    NodeEvent as NodeEvent,
    PeerDown as PeerDown,
    PeerUp as PeerUp,
)
from node.chat.events.notices import (
    Announcement as Announcement,
    NoticeEvent as NoticeEvent,
    Notification as Notification,
    NotificationsRead as NotificationsRead,
)
from node.chat.events.people import (
    ContactAdded as ContactAdded,
    ContactRejected as ContactRejected,
    ContactRemoved as ContactRemoved,
    ContactRequestCancelled as ContactRequestCancelled,
    ContactRequested as ContactRequested,
    ContactUpdated as ContactUpdated,
    KeyChanged as KeyChanged,
    PeopleEvent as PeopleEvent,
    Presence as Presence,
    Profile as Profile,
)
from node.chat.events.rooms import (
    RoomCreated as RoomCreated,
    RoomDeleted as RoomDeleted,
    RoomEvent as RoomEvent,
    RoomListed as RoomListed,
    RoomUpdated as RoomUpdated,
    UserJoin as UserJoin,
    UserLeave as UserLeave,
)
from node.chat.events.session import (
    CaughtUp as CaughtUp,
    Error as Error,
    Hello as Hello,
    Lagged as Lagged,
    Ok as Ok,
    SessionEvent as SessionEvent,
    Warning as Warning,
)
from node.errors import Refused

Event: TypeAlias = (
    SessionEvent
    | RoomEvent
    | MessageEvent
    | AttachmentEvent
    | InviteEvent
    | PeopleEvent
    | NoticeEvent
    | NodeEvent
)

BY_NAME: Final[dict[str, type[Event]]] = {snake(kind.__name__): kind for kind in get_args(Event)}
"""Every event by its name on the wire."""
LOGGED: Final[frozenset[str]] = frozenset(
    name for name, kind in BY_NAME.items() if "seq" in kind.__struct_fields__
) - {"hello", "caught_up"}
"""Events that are written to the log with a `seq`; user_join and user_leave only with reasons join, leave,
removed."""
SEED: Final[frozenset[str]] = frozenset({"user_join", "user_leave", "user_message", "user_invite"})
"""What a frontend that knows only the first seed understands."""
ANSWERS: Final[frozenset[str]] = frozenset({"hello", "ok", "error", "warning", "caught_up", "lagged"})
"""Not subject to a subscription: they are about the session itself."""


def name_of(event: Event) -> str:
    """Return an event's name on the wire."""
    return _NAMES[type(event)]


_NAMES: Final[dict[type[Event], str]] = {kind: name for name, kind in BY_NAME.items()}
_encoder = msgspec.json.Encoder()
_decoder: msgspec.json.Decoder[Event] = msgspec.json.Decoder(Event)


def encode_json(event: Event) -> bytes:
    """Return an event as the native dialect's JSON: what the log stores of it."""
    return _encoder.encode(builtins(event) if isinstance(event, Ok | Error) else event)


def decode_json(data: bytes) -> Event:
    """Read back a logged event; raises msgspec.DecodeError."""
    return _decoder.decode(data)


def builtins(event: Event) -> Any:
    """Return an event as a plain object, `fields` and `extra` beside the other keys."""
    match event:
        case Ok():
            return {"event": "ok", **_req(event.req), **event.fields}
        case Error():
            known = msgspec.to_builtins(event)
            del known["extra"], known["req"]
            return {**known, **_req(event.req), **event.extra}
        case _:
            return msgspec.to_builtins(event)


def _req(req: Req) -> dict[str, str | int]:
    return {} if req is None else {"req": req}


def error_of(fault: Refused, req: Req = None) -> Error:
    """Return the `error` that tells a frontend why it was refused."""
    return Error(
        code=fault.code,
        message=fault.message,
        field=UNSET if fault.field is None else fault.field,
        retryable=fault.retryable,
        retry_after=UNSET if fault.retry_after is None else fault.retry_after,
        req=req,
        extra=dict(fault.extra),
    )
