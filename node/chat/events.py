"""Everything a node says to its frontends: one struct an event, tagged by the key `event` (docs/bridge.md 2).

The native dialect is the JSON spelling of these structs, so their field names and order are the public
contract; the seed's keys come first. An optional key that does not apply is UNSET and not written.
"""

from __future__ import annotations

from typing import Any, Final, Literal, TypeAlias, get_args

import msgspec
from msgspec import UNSET, UnsetType

from node.chat.commands import snake
from node.errors import Refused

Req: TypeAlias = str | int | None


class _Base(msgspec.Struct, frozen=True, kw_only=True, tag_field="event", tag=snake):
    """An event; times named `_ms` are UNIX milliseconds, all others UNIX seconds, whole."""


class Hello(_Base, frozen=True, kw_only=True):
    """The answer to `hello`, and where live events start: after `seq`."""

    req: str | int | UnsetType | None = UNSET
    protocol: str
    node_version: str
    user_id: str
    username: str
    log_epoch: str
    seq: int
    features: list[str]
    deprecated: list[str]
    connectivity: str


class Ok(_Base, frozen=True, kw_only=True):
    """A command is done (and committed); `fields` stand beside `req` on the wire."""

    req: Req = None
    fields: dict[str, Any] = {}


class Error(_Base, frozen=True, kw_only=True):
    """A command or a frame was refused; `extra` stands beside the other keys on the wire."""

    code: str
    message: str
    field: str | UnsetType = UNSET
    retryable: bool = False
    retry_after: float | UnsetType = UNSET
    req: Req = None
    extra: dict[str, Any] = {}


class Warning(_Base, frozen=True, kw_only=True):
    """Something the owner should know, with a stable code."""

    code: str
    message: str


class CaughtUp(_Base, frozen=True, kw_only=True):
    """Everything up to `seq` that was asked for has been sent."""

    seq: int


class Lagged(_Base, frozen=True, kw_only=True):
    """A frontend reads too slowly: the socket closes, resume at `resume_from`."""

    resume_from: int


class UserJoin(_Base, frozen=True, kw_only=True):
    """Somebody is in a room now (reason `join`), or back (`reconnect`)."""

    username: str
    room: str
    user_id: str
    reason: str
    seq: int | UnsetType = UNSET


class UserLeave(_Base, frozen=True, kw_only=True):
    """Somebody is no longer in a room (reason `leave`, `removed`), or away (`disconnect`)."""

    username: str
    room: str
    user_id: str
    reason: str
    seq: int | UnsetType = UNSET


class UserMessage(_Base, frozen=True, kw_only=True):
    """A message; `timestamp` is UNIX seconds, `gap` says that something before it is missing.

    Of kind `unreadable`, and empty, it stands for `missing` messages that cannot be opened; `why` says why.
    `nonce` is that of the command which sent it from this node: how a frontend knows its own words again.
    `history` is there, and true, for what was said before we came in: nothing to notify anybody of.
    """

    username: str
    timestamp: int
    message: str
    room: str
    id: str
    user_id: str
    kind: str = "text"
    attachment: Any = None
    reply_to: str | None = None
    nonce: str | None = None
    mine: bool = msgspec.field(name="self", default=False)
    ts_ms: int
    gap: bool = False
    history: bool | UnsetType = UNSET
    why: str | UnsetType = UNSET
    missing: int | UnsetType = UNSET
    seq: int | UnsetType = UNSET


class MessageHealed(_Base, frozen=True, kw_only=True):
    """What `placeholder` stood for came after all; `missing` says for how many it still stands, 0: it goes.

    The other keys are those of the `user_message` that belongs there; without `id` none does.
    """

    room: str
    placeholder: str
    missing: int
    username: str | UnsetType = UNSET
    timestamp: int | UnsetType = UNSET
    message: str | UnsetType = UNSET
    id: str | UnsetType = UNSET
    user_id: str | UnsetType = UNSET
    kind: str | UnsetType = UNSET
    attachment: Any = UNSET
    reply_to: str | UnsetType | None = UNSET
    nonce: str | UnsetType | None = UNSET
    mine: bool | UnsetType = msgspec.field(name="self", default=UNSET)
    ts_ms: int | UnsetType = UNSET
    gap: bool | UnsetType = UNSET
    seq: int | UnsetType = UNSET


class UserInvite(_Base, frozen=True, kw_only=True):
    """Somebody invites us; `expires_at` is the end of the 120 seconds."""

    sender: str
    room: str
    invite: str
    target: str
    room_name: str
    kind: str
    options: dict[str, Any] | None = None
    expires_at: int
    seq: int | UnsetType = UNSET


class InviteResult(_Base, frozen=True, kw_only=True):
    """What became of an invite: `delivered` (with `expires_at`), or how it ended."""

    invite: str
    room: str
    target: str
    response: str
    expires_at: int | UnsetType = UNSET
    seq: int | UnsetType = UNSET


class RoomCreated(_Base, frozen=True, kw_only=True):
    """There is a new room that we are in."""

    room: str
    name: str
    visibility: str | UnsetType = UNSET
    seq: int | UnsetType = UNSET


class RoomUpdated(_Base, frozen=True, kw_only=True):
    """A room's name, topic, who may invite (`invite`), its `history`, or somebody's `role` changed.

    Beside `room` and its `name` only what changed is there.
    """

    room: str
    name: str | UnsetType = UNSET
    topic: str | UnsetType = UNSET
    invite: str | UnsetType = UNSET
    history: str | UnsetType = UNSET
    user_id: str | UnsetType = UNSET
    username: str | UnsetType = UNSET
    role: str | UnsetType = UNSET
    seq: int | UnsetType = UNSET


class RoomDeleted(_Base, frozen=True, kw_only=True):
    """A room was ended for everybody: nobody sends any more, what was said stays readable."""

    room: str
    name: str | UnsetType = UNSET
    seq: int | UnsetType = UNSET


class MessageStatus(_Base, frozen=True, kw_only=True):
    """Where an own message is: queued, sent, held, delivered, read or failed."""

    id: str
    status: Literal["queued", "sent", "held", "delivered", "read", "failed"]
    by: str | UnsetType = UNSET
    why: str | UnsetType = UNSET
    seq: int | UnsetType = UNSET


class ContactAdded(_Base, frozen=True, kw_only=True):
    """Somebody is a contact now."""

    username: str
    user_id: str
    seq: int | UnsetType = UNSET


class ContactRequested(_Base, frozen=True, kw_only=True):
    """Somebody asks to be a contact."""

    username: str
    user_id: str
    message: str | UnsetType = UNSET
    seq: int | UnsetType = UNSET


class ContactUpdated(_Base, frozen=True, kw_only=True):
    """A contact is called otherwise on this node, or their state changed."""

    username: str
    user_id: str
    seq: int | UnsetType = UNSET


class KeyChanged(_Base, frozen=True, kw_only=True):
    """A person's keys are not the ones this node knew."""

    username: str
    user_id: str
    seq: int | UnsetType = UNSET


class Profile(_Base, frozen=True, kw_only=True):
    """What a person shows of themselves changed."""

    username: str
    user_id: str
    nickname: str | UnsetType | None = UNSET
    avatar: str | UnsetType | None = UNSET
    status: str | UnsetType | None = UNSET
    seq: int | UnsetType = UNSET


class Presence(_Base, frozen=True, kw_only=True):
    """Somebody is online, away or offline now."""

    username: str
    user_id: str
    presence: Literal["online", "away", "offline"]
    status: str | UnsetType | None = UNSET


class Typing(_Base, frozen=True, kw_only=True):
    """Somebody types in a room, or has stopped."""

    username: str
    room: str
    user_id: str
    typing: bool


class PeerUp(_Base, frozen=True, kw_only=True):
    """A link to another node stands; `peer` is its node key in hex."""

    peer: str
    address: str
    direction: Literal["in", "out"]


class PeerDown(_Base, frozen=True, kw_only=True):
    """A link to another node is gone."""

    peer: str
    address: str | UnsetType = UNSET
    reason: str


class Connectivity(_Base, frozen=True, kw_only=True):
    """How this node stands in the mesh; `locked`: it does not, until the vault is opened."""

    state: Literal["alone", "connecting", "meshed", "synced", "locked"]


Event: TypeAlias = (
    Hello
    | Ok
    | Error
    | Warning
    | CaughtUp
    | Lagged
    | UserJoin
    | UserLeave
    | UserMessage
    | MessageHealed
    | UserInvite
    | InviteResult
    | RoomCreated
    | RoomUpdated
    | RoomDeleted
    | MessageStatus
    | ContactAdded
    | ContactRequested
    | ContactUpdated
    | KeyChanged
    | Profile
    | Presence
    | Typing
    | PeerUp
    | PeerDown
    | Connectivity
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
