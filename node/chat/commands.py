"""Everything a frontend can ask for: one struct a command, tagged by the key `event` (docs/bridge.md 2).

The native dialect is the JSON spelling of these structs, so their field names are the public contract.
Decoding checks types and sizes here; what depends on the node's state is the engine's to judge.
"""

from __future__ import annotations

import re
from typing import Annotated, Any, Final, Literal, TypeAlias, get_args

import msgspec
from msgspec import Meta

MAX_MESSAGE_BYTES = 16 * 1024
"""UTF-8 bytes of one message."""
MAX_NAME_CHARS = 64
MAX_OPTIONS_BYTES = 4 * 1024
MAX_LINK_CHARS = 16 * 1024
"""A contact link with eight addresses stays under 4 KiB; the rest is room to grow."""
MAX_HISTORY = 200
"""Messages one `history_get` can return: 200 of 16 KiB stay under a tenth of what a frontend may queue."""

Name: TypeAlias = Annotated[str, Meta(min_length=1, max_length=MAX_NAME_CHARS)]
Who: TypeAlias = Annotated[str, Meta(min_length=1, max_length=64)]
"""A username, `name~xxxx` or user_id."""
Id: TypeAlias = Annotated[str, Meta(min_length=36, max_length=36)]
"""A UUID string."""
Count: TypeAlias = Annotated[int, Meta(ge=0, le=2**63 - 1)]
Topic: TypeAlias = Annotated[str, Meta(max_length=256)]
Kind: TypeAlias = Annotated[str, Meta(min_length=1, max_length=16)]
Text: TypeAlias = Annotated[str, Meta(max_length=MAX_MESSAGE_BYTES)]
Link: TypeAlias = Annotated[str, Meta(min_length=1, max_length=MAX_LINK_CHARS)]
Address: TypeAlias = Annotated[str, Meta(min_length=1, max_length=255)]
Secret: TypeAlias = Annotated[str, Meta(max_length=128)]
Passphrase: TypeAlias = Annotated[str, Meta(min_length=1, max_length=256, pattern=r"^[^\x00-\x1f\x7f]+\Z")]
"""One line, so that a prompt, a file and standard input can all give it."""
Limit: TypeAlias = Annotated[int, Meta(ge=1, le=MAX_HISTORY)]
Req: TypeAlias = Annotated[str, Meta(max_length=128)] | Annotated[int, Meta(ge=-(2**53), le=2**53)]
Nonce: TypeAlias = Annotated[str, Meta(min_length=1, max_length=128)]
Scope: TypeAlias = Literal["read", "chat", "owner"]


def snake(name: str) -> str:
    """Return `RoomCreate` as `room_create`."""
    return re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower()


class _Base(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="event", tag=snake):
    """`req` comes back in the answer; the same `nonce` again does nothing twice, for seven days."""

    req: Req | None = None
    nonce: Nonce | None = None


class Subscribe(msgspec.Struct, frozen=True, kw_only=True):
    """What a session wants to see; an absent list means everything, an empty one nothing."""

    events: Annotated[list[str], Meta(max_length=256)] | None = None
    rooms: Annotated[list[Id], Meta(max_length=1024)] | None = None


class ResumeAt(msgspec.Struct, frozen=True, kw_only=True):
    """Where a session stopped: the log epoch and the last `seq` it has."""

    epoch: Annotated[str, Meta(max_length=64)]
    seq: Count


class Hello(_Base, frozen=True, kw_only=True):
    """Open a session: credential, subscription, and where to go on."""

    token: Secret | None = None
    client: Annotated[str, Meta(max_length=128)] | None = None
    subscribe: Subscribe | None = None
    resume: ResumeAt | None = None
    consumer: Name | None = None

    def __repr__(self) -> str:
        """Show everything but the token."""
        return f"Hello(client={self.client!r}, resume={self.resume!r}, consumer={self.consumer!r})"


class Ack(_Base, frozen=True, kw_only=True):
    """Move the stored cursor of this session's consumer."""

    seq: Count


class RoomCreate(_Base, frozen=True, kw_only=True):
    """Make a room; `history` is `none`, `all` or how many messages a newcomer may read."""

    name: Name
    visibility: Literal["private", "open"] | None = None
    history: Annotated[int, Meta(ge=0, le=10_000)] | Literal["none", "all"] | None = None
    invite: Annotated[str, Meta(max_length=16)] | None = None


class RoomList(_Base, frozen=True, kw_only=True):
    """List the rooms this node is in, and the open rooms of others; the keys ask for some of them only."""

    visibility: Literal["private", "open", "direct"] | None = None
    joined: bool | None = None


class RoomGet(_Base, frozen=True, kw_only=True):
    """Describe one room and its members."""

    room: Id


class RoomRead(_Base, frozen=True, kw_only=True):
    """Mark a room as read, up to message `id` or whole."""

    room: Id
    id: Id | None = None


class RoomLinkCreate(_Base, frozen=True, kw_only=True):
    """Make a link to a room, for `uses` people at most; `expires_in` in seconds, a week if left out."""

    room: Id
    uses: Annotated[int, Meta(ge=1, le=10_000)] | None = None
    expires_in: Annotated[int, Meta(ge=1, le=366 * 86_400)] | None = None


class RoomLinkUse(_Base, frozen=True, kw_only=True):
    """Join the room that a link leads to."""

    link: Link

    def __repr__(self) -> str:
        """Show everything but the link: who has it comes in."""
        return "RoomLinkUse()"


class RoomLinkRevoke(_Base, frozen=True, kw_only=True):
    """Close a room's link, by the `invite` it was made as; without one, all that one may close."""

    room: Id
    invite: Id | None = None


class UserJoin(_Base, frozen=True, kw_only=True):
    """Accept the open invite to a room, or enter an open one, by its id, name or first 8 characters."""

    room: Who


class UserLeave(_Base, frozen=True, kw_only=True):
    """Leave a room."""

    room: Id


class MemberRemove(_Base, frozen=True, kw_only=True):
    """Remove somebody from a room."""

    room: Id
    username: Who
    reason: Annotated[str, Meta(max_length=256)] | None = None


class MemberRole(_Base, frozen=True, kw_only=True):
    """Give somebody another role in a room; there is one creator, and it stays."""

    room: Id
    username: Who
    role: Literal["member", "greeter", "admin"]


class RoomUpdate(_Base, frozen=True, kw_only=True):
    """Change a room's name, topic, who may invite or `history`; an absent key stays as it is."""

    room: Id
    name: Name | None = None
    topic: Topic | None = None
    invite: Annotated[str, Meta(max_length=16)] | None = None
    history: Annotated[int, Meta(ge=0, le=10_000)] | Literal["none", "all"] | None = None


class RoomDelete(_Base, frozen=True, kw_only=True):
    """End a room for everybody: nobody sends any more, members keep what they have."""

    room: Id


class RoomRekey(_Base, frozen=True, kw_only=True):
    """Renew a room's keys now."""

    room: Id


class UserMessage(_Base, frozen=True, kw_only=True):
    """Send a message, at most 16 KiB of UTF-8."""

    room: Id
    message: Text
    kind: Kind | None = None
    attachment: Any = None
    reply_to: Id | None = None
    ttl: Count | None = None

    def __post_init__(self) -> None:
        """Measure the message in bytes, which `max_length` cannot."""
        if len(self.message) * 4 > MAX_MESSAGE_BYTES and len(self.message.encode()) > MAX_MESSAGE_BYTES:
            raise ValueError(f"a message has at most {MAX_MESSAGE_BYTES} bytes of UTF-8")


class UserInvite(_Base, frozen=True, kw_only=True):
    """Invite a contact or co-member to a room."""

    target: Who
    room: Id
    kind: Literal["room", "game"] | None = None
    options: dict[str, Any] | None = None
    client_id: Annotated[str, Meta(max_length=128)] | None = None

    def __post_init__(self) -> None:
        """Measure the options as they will travel."""
        if self.options is not None and len(msgspec.json.encode(self.options)) > MAX_OPTIONS_BYTES:
            raise ValueError(f"options have at most {MAX_OPTIONS_BYTES} bytes")


class UserInviteResponse(_Base, frozen=True, kw_only=True):
    """Answer an invite; without `invite` the latest open one delivered on this connection."""

    response: Literal["accept", "decline", "ignore"]
    invite: Id | None = None


class InviteCancel(_Base, frozen=True, kw_only=True):
    """Take an own invite back."""

    invite: Id


class InviteList(_Base, frozen=True, kw_only=True):
    """List invites sent and received."""


class ContactAdd(_Base, frozen=True, kw_only=True):
    """Add the person whose contact link this is."""

    link: Link

    def __repr__(self) -> str:
        """Show everything but the link: who has it is answered."""
        return "ContactAdd()"


class ContactList(_Base, frozen=True, kw_only=True):
    """List contacts."""


class ContactRename(_Base, frozen=True, kw_only=True):
    """Give a person another username on this node."""

    username: Who
    name: Name


class ContactVerify(_Base, frozen=True, kw_only=True):
    """Show the safety number of a person; `verified` or the `code` of their screen marks them."""

    username: Who
    verified: bool | None = None
    code: Secret | None = None


class ContactPolicy(_Base, frozen=True, kw_only=True):
    """Say what another device of a person does: taken silently, taken and told, or kept back."""

    username: Who
    policy: Literal["tofu", "warn", "strict"]


class ContactLinkCreate(_Base, frozen=True, kw_only=True):
    """Make a contact link; `expires_in` in seconds."""

    once: bool | None = None
    expires_in: Annotated[int, Meta(ge=1, le=366 * 86_400)] | None = None


class ContactLinkReset(_Base, frozen=True, kw_only=True):
    """Close every contact link given out so far, and make another."""


class DmOpen(_Base, frozen=True, kw_only=True):
    """Open the direct room with somebody."""

    username: Who


class TypingSet(_Base, frozen=True, kw_only=True):
    """Tell a conversation that we type, or have stopped; it ends by itself after 6 s."""

    room: Id
    typing: bool = True


class HistoryGet(_Base, frozen=True, kw_only=True):
    """Read messages of a room, oldest first: the newest `limit` before, or the first after, a message id."""

    room: Id
    before: Id | None = None
    after: Id | None = None
    limit: Limit | None = None


class ProfileGet(_Base, frozen=True, kw_only=True):
    """Describe a person, or oneself."""

    username: Who | None = None


class ProfileSet(_Base, frozen=True, kw_only=True):
    """Change what one is called and shows; an absent key stays as it is."""

    name: Name | None = None
    avatar: Annotated[str, Meta(max_length=256)] | None = None
    status: Annotated[str, Meta(max_length=128)] | None = None


class NodeStatus(_Base, frozen=True, kw_only=True):
    """Say how the node is."""


class NodeStop(_Base, frozen=True, kw_only=True):
    """Stop the node cleanly."""


class PeerList(_Base, frozen=True, kw_only=True):
    """List peers and addresses."""


class PeerAdd(_Base, frozen=True, kw_only=True):
    """Dial an address from now on: `ws://HOST:PORT` or `wss://HOST:PORT`."""

    address: Address


class PeerRemove(_Base, frozen=True, kw_only=True):
    """Dial an address no longer."""

    address: Address


class TokenCreate(_Base, frozen=True, kw_only=True):
    """Make a child token; `expires_in` in seconds."""

    name: Name
    scope: Scope
    expires_in: Annotated[int, Meta(ge=1, le=10 * 366 * 86_400)] | None = None


class TokenList(_Base, frozen=True, kw_only=True):
    """List child tokens, without the tokens."""


class TokenRevoke(_Base, frozen=True, kw_only=True):
    """End a child token and the sessions that use it."""

    name: Name


class OriginList(_Base, frozen=True, kw_only=True):
    """List the web origins that may connect."""


class OriginAllow(_Base, frozen=True, kw_only=True):
    """Let pages of an origin connect, given that they have a token."""

    origin: Address


class OriginRemove(_Base, frozen=True, kw_only=True):
    """Take an origin off the list and close its sessions."""

    origin: Address


class LoginLinkCreate(_Base, frozen=True, kw_only=True):
    """Make a link that logs one browser in, once, within five minutes."""


class BackupCreate(_Base, frozen=True, kw_only=True):
    """Write a backup, sealed under `passphrase`, into the home's folder for them."""

    passphrase: Passphrase

    def __repr__(self) -> str:
        """Show everything but the passphrase."""
        return "BackupCreate()"


class VaultPassphrase(_Base, frozen=True, kw_only=True):
    """Seal the identity under `passphrase`, or under none; `current` is needed where one is in force."""

    passphrase: Passphrase | None = None
    current: Passphrase | None = None

    def __repr__(self) -> str:
        """Show neither."""
        return "VaultPassphrase()"


class VaultLock(_Base, frozen=True, kw_only=True):
    """Close the vault: keys, store and mesh go, the bridge stays."""


class VaultUnlock(_Base, frozen=True, kw_only=True):
    """Open the vault again."""

    passphrase: Passphrase

    def __repr__(self) -> str:
        """Show everything but the passphrase."""
        return "VaultUnlock()"


Command: TypeAlias = (
    Hello
    | Ack
    | RoomCreate
    | RoomList
    | RoomGet
    | RoomRead
    | RoomLinkCreate
    | RoomLinkUse
    | RoomLinkRevoke
    | UserJoin
    | UserLeave
    | MemberRemove
    | MemberRole
    | RoomUpdate
    | RoomDelete
    | RoomRekey
    | UserMessage
    | UserInvite
    | UserInviteResponse
    | InviteCancel
    | InviteList
    | ContactAdd
    | ContactList
    | ContactRename
    | ContactVerify
    | ContactPolicy
    | ContactLinkCreate
    | ContactLinkReset
    | DmOpen
    | HistoryGet
    | TypingSet
    | ProfileGet
    | ProfileSet
    | NodeStatus
    | NodeStop
    | PeerList
    | PeerAdd
    | PeerRemove
    | TokenCreate
    | TokenList
    | TokenRevoke
    | OriginList
    | OriginAllow
    | OriginRemove
    | LoginLinkCreate
    | BackupCreate
    | VaultPassphrase
    | VaultLock
    | VaultUnlock
)

BY_NAME: Final[dict[str, type[Command]]] = {snake(kind.__name__): kind for kind in get_args(Command)}
"""Every command by the name that frontends write."""


def name_of(command: Command) -> str:
    """Return the name that frontends write for a command."""
    return snake(type(command).__name__)
