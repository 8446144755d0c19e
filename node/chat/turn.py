"""One turn: everything that one input causes, gathered, and released in one order.

The domain never sends. It writes rows, posts envelopes, logs events and answers into the turn; the engine
then commits the writes and only afterwards lets the rest go (docs/architecture.md, "Persist comes first").
A turn that ends in an exception is thrown away whole.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, TypeVar

import msgspec

from node import ids
from node.chat import events
from node.chat.channels import Route
from node.chat.filing import FileOrder, PeerOrder
from node.clock import HORIZON_DAYS, Instant
from node.crypto.channel import Channel
from node.crypto.primitives import Entropy
from node.errors import Refused
from node.values import Value
from node.wire import envelope
from node.wire.envelope import Envelope
from node.wire.payload import BODIES, Payload, Type

T = TypeVar("T")


def check_body(kind: Type, body: list[Any], *, field_name: str) -> None:
    """Refuse what others could not read, before it is sealed: nodes measure in bytes, people in letters."""
    if not BODIES[kind](body):
        raise Refused("invalid", f"`{field_name}` is too long for other nodes to read", field=field_name)


def pack_row(value: object) -> bytes:
    """Serialise one stored dataclass; the store seals the bytes."""
    return msgspec.msgpack.encode(value)


def unpack_row(data: bytes, kind: type[T]) -> T:
    """Read back what `pack_row` wrote."""
    return msgspec.msgpack.decode(data, type=kind)


class Logged(Value, frozen=True):
    """An event of the event log; `message` is (room, mid) when the event is a message.

    `place` is where the message goes in its room's history if that is not where the event is; `line` is what
    is stored after it. `about`: the message (room, mid) whose words the event tells, which stay with it.
    """

    event: events.Event
    message: tuple[bytes, bytes] | None = None
    place: int | None = None
    line: bytes = b""
    about: tuple[bytes, bytes] | None = None


class Told(Value, frozen=True):
    """An event that is not logged: for every session that is attached now."""

    event: events.Event


class Reply(Value, frozen=True):
    """An answer or event for one session."""

    session: int
    event: events.Event


@dataclass(frozen=True, slots=True)
class Placed:
    """A message of the history beside the log: put, or changed (`edit`), at `seq`; gone without `event`.

    `line` is what is stored after it.
    """

    room: bytes
    mid: bytes
    seq: int
    event: events.Event | None
    edit: bool = False
    line: bytes = b""


Out = Logged | Told | Reply


class Turn(msgspec.Struct):
    """The ledger of one input. `seq` is the event log's last number and grows with every logged event.

    `changed` are changes of messages that came, by whom (room, account, payload); `reads` messages (room,
    mids) to be brought for them, `rewrites` what became of such (room, mid, body).

    `addresses` are to be dialled: on whose word, and of which node if that is known. `outdated` are node
    records that do not count any more: there is a newer one, or nothing to do with the person.
    `again`: the envelopes are read from the store, and may have been opened before. `posted_ms`: when the one
    that is being opened was posted. `carried`: what texts of ours went out in, by message id: the
    room, or for whom, and the envelope's id; `freed`: those that had waited for a session. `owed`: (room,
    author) of what was shown here and that author may be told of.
    """

    now: Instant
    mesh_ms: int
    entropy: Entropy
    seq: int
    rows: dict[tuple[str, bytes], bytes | None] = {}
    posts: list[Envelope] = []
    out: list[Out] = []
    watch: list[tuple[Route, int]] = []
    unwatch: list[tuple[int, bytes, bytes]] = []
    addresses: list[tuple[str, Literal["contact", "room"], bytes | None]] = []
    outdated: list[bytes] = []
    lookups: list[tuple[bytes, tuple[bytes, ...]]] = []
    fetches: list[tuple[bytes, tuple[bytes, ...]]] = []
    changed: list[tuple[bytes, bytes, Payload]] = []
    reads: list[tuple[bytes, tuple[bytes, ...]]] = []
    placed: list[Placed] = []
    files: list[FileOrder] = []
    of_peers: list[PeerOrder] = []
    rewrites: list[tuple[bytes, bytes, bytes]] = []
    behind: list[tuple[int, bytes, bytes]] = []
    accusations: list[Out] = []
    carried: dict[bytes, tuple[bytes, bytes]] = {}
    freed: set[bytes] = set()
    owed: set[tuple[bytes, bytes]] = set()
    sync_wanted: bool = False
    patient: bool = True
    again: bool = False
    posted_ms: int = 0

    def new_id(self) -> bytes:
        """Return a fresh random UUIDv4 of 16 bytes: a message's or an invite's id."""
        return ids.uuid4(self.entropy(16))

    def put(self, table: str, key: bytes, value: object) -> None:
        """Write one row; the last write of a turn counts."""
        self.rows[(table, key)] = pack_row(value)

    def delete(self, table: str, key: bytes) -> None:
        """Delete one row."""
        self.rows[(table, key)] = None

    def post(
        self, channel: Channel, inner: bytes, *, ttl_days: int = HORIZON_DAYS, ephemeral: bool = False
    ) -> Envelope:
        """Seal `inner` into an envelope of `channel`, to be stored and then published."""
        raw = channel.seal(
            inner,
            ts_ms=self.mesh_ms,
            ttl_days=0 if ephemeral else ttl_days,
            ephemeral=ephemeral,
            entropy=self.entropy,
        )
        sealed = envelope.parse(raw)
        self.posts.append(sealed)
        return sealed

    def log(
        self,
        event: events.Event,
        *,
        message: tuple[bytes, bytes] | None = None,
        place: int | None = None,
        about: tuple[bytes, bytes] | None = None,
    ) -> None:
        """Give a state-changing event its `seq` and put it into the log and before every session."""
        self.seq += 1
        numbered: Any = msgspec.structs.replace(event, seq=self.seq)
        self.out.append(Logged(numbered, message, place, about=about))

    def tell(self, event: events.Event) -> None:
        """Show an event that is not logged to every attached session."""
        self.out.append(Told(event))

    def accuse(self, event: events.Event) -> None:
        """Show what a peer did, even if what it sent is refused for it and changes nothing else."""
        self.accusations.append(Told(event))

    def reply(self, session: int, event: events.Event) -> None:
        """Answer one session."""
        self.out.append(Reply(session, event))
