"""What passes between the bridge and the engine: inputs are past facts, effects are orders.

The engine never sees sockets, tokens as text, or subscriptions: it delivers every event to every session and
the bridge leaves out what a session has not asked for (docs/bridge.md section 3).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

from node.bridge.intervals import Intervals
from node.chat import commands, events
from node.crypto.primitives import plain_digest
from node.errors import Refused
from node.values import Value
from node.wire.manifest import Manifest

Scope: TypeAlias = Literal["read", "chat", "owner"]
Via: TypeAlias = Literal["token", "unix", "login"]
"""How a frontend came in: with a token, by the unix socket, or as a browser that is logged in."""
ADMIN = "owner"
"""The token name of the admin token, the unix socket and the logged-in browser."""


@dataclass(frozen=True, slots=True)
class Resume:
    """Where the frontend stopped: log epoch and the last `seq` it has."""

    epoch: str
    seq: int


@dataclass(frozen=True, slots=True)
class Subscription:
    """Names of events and ids of rooms a session asked for; None means all."""

    events: frozenset[str] | None = None
    rooms: frozenset[str] | None = None


@dataclass(frozen=True, slots=True)
class SessionStarted:
    """A frontend attached: `plain` with a good credential and no hello, else by its `hello`.

    A plain session that says hello later starts again with the same number and `plain=False`.
    """

    session: int
    scope: Scope
    token_name: str
    plain: bool
    client: str | None = None
    subscribe: Subscription | None = None
    resume: Resume | None = None
    consumer: str | None = None
    req: str | int | None = None
    passing: bool = False
    """It is there for one request of a frontend that comes back: nobody attends, and yet somebody asked."""

    @property
    def can_answer(self) -> bool:
        """Say whether an invite shown here could be answered: it starts the 120 seconds."""
        asked = None if self.subscribe is None else self.subscribe.events
        return self.scope != "read" and (asked is None or "user_invite" in asked)

    @property
    def listens(self) -> bool:
        """Say whether it is shown anything, as no one-shot call is."""
        return self.subscribe is None or self.subscribe.events is None or bool(self.subscribe.events)

    @property
    def attends(self) -> bool:
        """Say whether somebody sits there: it may speak and is shown something."""
        return self.scope != "read" and self.listens


@dataclass(frozen=True, slots=True)
class Listening:
    """How one dialect listens: where frontends reach it, and why not if they do not.

    `state`: `on` (at the bridge's own port), `listening` (at a port of its own), `failed`.
    """

    state: str
    address: str | None = None
    why: str | None = None
    fingerprint: str | None = None


@dataclass(frozen=True, slots=True)
class Found:
    """What the bridge knows as a command comes that it has to carry out: how all listen, or why it cannot."""

    fault: Refused | None = None
    listening: dict[str, Listening] = field(default_factory=dict)
    cron_secret: str | None = None
    """The path of the file."""


@dataclass(frozen=True, slots=True)
class CommandReceived:
    """A command that this session's scope and rate allow."""

    session: int
    command: commands.Command
    token_name: str = ""
    """Whose nonces count; the engine knows it from the session, and keeps it when that has ended."""
    rewrites: int | None = None
    """How often messages had been changed when the store was asked for it."""
    found: Found | None = field(default=None, compare=False)
    """What the bridge found before it let a command in that is about its listeners."""
    along: bool = False
    """An adapter asks, so as to show an event: nobody at the frontend has done anything."""


@dataclass(frozen=True, slots=True)
class SessionEnded:
    """A frontend detached; nothing can be delivered to it any more."""

    session: int


@dataclass(frozen=True, slots=True)
class EventsWritten:
    """Logged events after `after` up to `upto` have been handed to a frontend that shows all messages.

    Sent at most once a second a session, and when it ends: what "messages that no frontend has had" goes by.
    """

    session: int
    after: int
    upto: int


@dataclass(frozen=True, slots=True)
class ReadAnswered:
    """What the store answers to a command with a nonce: shown, and remembered as its first result."""

    received: CommandReceived
    fields: dict[str, Any] = field(repr=False)


@dataclass(frozen=True, slots=True)
class FileUploaded:
    """A content that came over HTTP is sealed and durable; answered by UploadKept with its ticket."""

    ticket: int
    manifest: Manifest


BridgeInput: TypeAlias = (
    SessionStarted | CommandReceived | SessionEnded | EventsWritten | ReadAnswered | FileUploaded
)


class Deliver(Value, frozen=True):
    """Show an event, or the answer to a command, to one session; live logged events carry their `seq`."""

    session: int
    event: events.Event
    encoded: bytes = b""
    """The event as the log has it, which is the native dialect's JSON of it, if it is logged."""


@dataclass(frozen=True, slots=True)
class StartReplay:
    """Send the log after `after_seq` up to its head, then `caught_up`, then go live without gap or repeat.

    With `newest` (for plain sessions): only the newest that many messages of (after_seq, until_seq] outside
    `had`, no `caught_up`; `until_seq` is then the log's head as the engine knows it.
    """

    session: int
    after_seq: int
    newest: int | None = None
    until_seq: int | None = None
    had: Intervals = ()


@dataclass(frozen=True, slots=True)
class ReadHistory:
    """Answer `history_get` from the store: `ok{messages, more}`, oldest first; ids are 16 bytes."""

    session: int
    req: str | int | None
    room: bytes
    before: bytes | None
    after: bytes | None
    limit: int
    nonced: CommandReceived | None = None
    """The command, if it has a nonce: then the engine answers, with what is found."""
    skip: int = 0
    count: bool = False


@dataclass(frozen=True, slots=True)
class ReadSearch:
    """Answer `search` from the store: `ok{messages, more}`, the newest first; `room` None: of all rooms.

    `before` is a message's id and the rooms that it may be in.
    """

    session: int
    req: str | int | None
    text: str = field(repr=False)
    room: bytes | None
    before: tuple[bytes, tuple[bytes, ...]] | None
    limit: int
    nonced: CommandReceived | None = None


@dataclass(frozen=True, slots=True)
class GiveAttachment:
    """Answer `attachment_get` with these fields, a URL and, of a small one that is here, its content."""

    session: int
    req: str | int | None
    manifest: Manifest | None
    fields: dict[str, Any]


@dataclass(frozen=True, slots=True)
class UploadKept:
    """An upload is committed, with what is told of it; or refused."""

    ticket: int
    fields: dict[str, Any] = field(default_factory=dict)
    fault: Refused | None = None


@dataclass(frozen=True, slots=True)
class EndSession:
    """Close a session's socket with a websocket close code."""

    session: int
    code: int
    reason: str


@dataclass(frozen=True, slots=True)
class TokenRecord:
    """A child token as the guard needs it: never the token itself, only `hash_token` of it (32 bytes)."""

    name: str
    scope: Scope
    token_hash: bytes = field(repr=False)
    created_ms: int
    expires_ms: int | None = None


@dataclass(frozen=True, slots=True)
class DialectRecord:
    """A dialect that is on: whose pages may speak it, and where it listens beside the bridge's own port.

    `rooms` is what its frontends make: open or private ones. `serve`: a folder with a static build, shown at
    its port. `tls`: that port speaks TLS.
    """

    name: str
    origins: tuple[str, ...] = ()
    port: int | None = None
    rooms: Literal["open", "private"] = "open"
    serve: str | None = None
    tls: bool = False


@dataclass(frozen=True, slots=True)
class CredentialsChanged:
    """The whole truth about child tokens, allowed origins and dialects; who lost theirs is closed.

    `admin_token`, if there is one, is the admin token from now on; None leaves it as it is.
    """

    tokens: tuple[TokenRecord, ...]
    origins: tuple[str, ...]
    admin_token: str | None = field(default=None, repr=False)
    dialects: tuple[DialectRecord, ...] = ()


BridgeEffect: TypeAlias = (
    Deliver
    | StartReplay
    | ReadHistory
    | ReadSearch
    | GiveAttachment
    | UploadKept
    | EndSession
    | CredentialsChanged
)


def hash_token(token: str) -> bytes:
    """Return the 32 bytes by which a token is stored and compared."""
    return plain_digest(token.encode("utf-8", "surrogatepass"))
