"""What goes into the mesh and what comes out of it: the two closed unions of its one door.

`mesh.Mesh.handle` takes inputs (past facts) and returns effects (orders). Links are known by the number that
the shell gave them: unique while the process runs, never used twice.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from node.values import Value
from node.wire.envelope import Envelope

Source: TypeAlias = Literal["configured", "contact", "room", "lan", "px"]
"""Where an address was learned; what the owner named is dialled first, and always."""

OTHER_NETWORK = "another network or secret"
"""Why a link ends whose first bytes do not open: said by CloseLink, and by LinkClosed at the other end."""

Connectivity: TypeAlias = Literal["alone", "connecting", "meshed", "synced"]
"""No address and no link; addresses but no link; a link; a link whose first sync has finished."""


@dataclass(frozen=True, slots=True)
class LinkOpened:
    """A websocket is open. `address` is what was dialled, empty if inbound; `remote` is `host:port`."""

    link: int
    outbound: bool
    address: str
    remote: str


class LinkBytes(Value, frozen=True):
    """One binary websocket message of a link, at most 131,072 bytes."""

    link: int
    data: bytes


@dataclass(frozen=True, slots=True)
class LinkClosed:
    """The websocket is gone, whoever closed it."""

    link: int
    reason: str


@dataclass(frozen=True, slots=True)
class DialFailed:
    """An ordered dial came to nothing."""

    address: str
    reason: str


class LinkDrained(Value, frozen=True):
    """The shell has written `nbytes` of what SendBytes gave it to the socket."""

    link: int
    nbytes: int


class Publish(Value, frozen=True):
    """Send envelopes of our own to every link; they are already durable. `watched`: ids; say who has them."""

    envelopes: tuple[Envelope, ...]
    watched: frozenset[bytes] = frozenset()


@dataclass(frozen=True, slots=True)
class HeldRead:
    """Answer to ReadHeld: raw envelopes in the order asked for; `more` says that the range goes on."""

    ticket: int
    envelopes: tuple[bytes, ...] = field(repr=False)
    more: bool = False


@dataclass(frozen=True, slots=True)
class AddAddress:
    """An address to dial, `ws://host:port` or `wss://…`, at most 255 bytes; maybe of the node `node_key`."""

    address: str
    source: Source
    node_key: bytes | None = None


@dataclass(frozen=True, slots=True)
class RemoveAddress:
    """Stop dialling an address and take leave of its links, outbound or (by `remote`) inbound."""

    address: str


@dataclass(frozen=True, slots=True)
class Outdated:
    """No contact or co-member is said to be at these addresses, or to have these node keys, any more."""

    addresses: tuple[str, ...]
    node_keys: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class ListensAt:
    """Where peers can reach us from now on; what they were told before may be wrong."""

    addresses: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Resumed:
    """This machine slept, or has another network: try again at once what failed before."""


@dataclass(frozen=True, slots=True)
class AddressGone:
    """What was found on this network is announced no more: dial it no longer, but keep a link that stands."""

    address: str


@dataclass(frozen=True, slots=True)
class SeekBlocks:
    """Fetch these blocks, (name, bytes) each, under a name of ours; said again it adds who may have them.

    `holders` are node keys of those who should, `addresses` where they, or relays, may be dialled for it;
    or they are fetched `only` from one link, which offered them. Answered by a BlockCame each.
    """

    errand: bytes
    blocks: tuple[tuple[bytes, int], ...]
    holders: frozenset[bytes] = frozenset()
    addresses: tuple[str, ...] = ()
    only: int | None = None


@dataclass(frozen=True, slots=True)
class DropBlocks:
    """Fetch no more of an errand: it is done, or wanted no more."""

    errand: bytes


@dataclass(frozen=True, slots=True)
class BlockTaken:
    """A block that came is on disk, or not wanted: another one may come."""

    name: bytes


@dataclass(frozen=True, slots=True)
class PartsRead:
    """Answer to ReadParts: the bytes, fewer at the end of a block; None if it is not here."""

    ticket: int
    data: bytes | None = field(repr=False)


@dataclass(frozen=True, slots=True)
class OfferBlocks:
    """Offer blocks, at most 64 of (name, bytes), to every linked relay, or to the one with this node key."""

    blocks: tuple[tuple[bytes, int], ...]
    node_key: bytes | None = None


BlockOrder: TypeAlias = SeekBlocks | DropBlocks | BlockTaken | PartsRead | OfferBlocks


@dataclass(frozen=True, slots=True)
class BlockInput:
    """What is to be done about attachments above 1 MiB."""

    order: BlockOrder


@dataclass(frozen=True, slots=True)
class DeadlineReached:
    """`Mesh.deadline` has come; harmless when early."""


MeshInput: TypeAlias = (
    LinkOpened
    | LinkBytes
    | LinkClosed
    | DialFailed
    | LinkDrained
    | Publish
    | HeldRead
    | AddAddress
    | RemoveAddress
    | BlockInput
    | ListensAt
    | Outdated
    | Resumed
    | AddressGone
    | DeadlineReached
)


class SendBytes(Value, frozen=True):
    """Write to a link, after all that came before; several may be joined into one websocket message.

    `pushes` says that it is nothing but PUSHes: no frame with which we vouch for anything, as a PONG does.
    """

    link: int
    data: bytes
    pushes: bool = False


@dataclass(frozen=True, slots=True)
class CloseLink:
    """Close a link after what was sent on it is written, or after 5 s; nothing more will be sent on it."""

    link: int
    reason: str


@dataclass(frozen=True, slots=True)
class PauseReading:
    """Read nothing more from a link for so many seconds: its peer sends more than it was granted."""

    link: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Dial:
    """Open a link to an address; answered by LinkOpened or DialFailed.

    `public_only`: strangers named it, so a name in it must not stand for an address of a private network.
    """

    address: str
    public_only: bool = False


class Arrived(Value, frozen=True):
    """A new envelope whose size, time and signature hold; the engine opens it and, if kept, holds it.

    `link` is the one it came over.
    """

    envelope: Envelope
    link: int | None


@dataclass(frozen=True, slots=True)
class ByIds:
    """Held envelopes by the first 16 bytes of their ids, at most 64, in order; unknown ones are left out.

    With as much as `max_bytes` it is enough: what comes after the envelope that makes it so is left out too.
    """

    ids16: tuple[bytes, ...]
    max_bytes: int


@dataclass(frozen=True, slots=True)
class ByTime:
    """Held envelopes with t0 <= ts < t1, by (ts_ms, eid), those past `after`; `max_bytes`, but always one."""

    t0_ms: int
    t1_ms: int
    after: tuple[int, bytes] | None
    max_bytes: int


@dataclass(frozen=True, slots=True)
class ReadHeld:
    """Read held envelopes; answered by HeldRead with the same ticket."""

    ticket: int
    spec: ByIds | ByTime


@dataclass(frozen=True, slots=True)
class PeerUp:
    """The first link to a node is live. `node_key` is its 32-byte key, `roles` of `relay` and `hold`."""

    link: int
    node_key: bytes
    address: str
    outbound: bool
    roles: frozenset[str]


@dataclass(frozen=True, slots=True)
class PeerDown:
    """The last link to a node is gone."""

    link: int
    node_key: bytes
    reason: str


@dataclass(frozen=True, slots=True)
class SyncFinished:
    """A sync over a link has given us all it will; `missing_answered` if everything asked for came."""

    link: int
    missing_answered: bool


@dataclass(frozen=True, slots=True)
class Taken:
    """A peer has these watched envelopes, by the first 16 bytes of their ids; `holds`: it keeps others'."""

    node_key: bytes
    holds: bool
    prefixes: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class InStep:
    """A sync found that a peer has all that we have from before `until_ms`, in mesh time."""

    node_key: bytes
    holds: bool
    until_ms: int


@dataclass(frozen=True, slots=True)
class ClockSkew:
    """Our clock is off by `offset_s` seconds (the peers' minus ours); at most once an hour."""

    offset_s: float


@dataclass(frozen=True, slots=True)
class ReadParts:
    """A peer asks for `count` parts of a block, from `index` on; answered by PartsRead with the ticket."""

    ticket: int
    block: bytes
    index: int
    count: int


@dataclass(frozen=True, slots=True)
class BlockCame:
    """A block of an errand, whose hash holds, from this node; to be answered by BlockTaken."""

    errand: bytes
    name: bytes
    data: bytes = field(repr=False)
    node_key: bytes = b""


@dataclass(frozen=True, slots=True)
class Offered:
    """A peer offers a relay blocks, (name, bytes) each."""

    link: int
    node_key: bytes
    blocks: tuple[tuple[bytes, int], ...]


BlockFact: TypeAlias = ReadParts | BlockCame | Offered


@dataclass(frozen=True, slots=True)
class Cloned:
    """A peer says that another process has our node key; at most once an hour."""

    address: str


MeshEffect: TypeAlias = (
    SendBytes
    | CloseLink
    | PauseReading
    | Dial
    | Arrived
    | ReadHeld
    | PeerUp
    | PeerDown
    | SyncFinished
    | Taken
    | InStep
    | ClockSkew
    | BlockFact
    | Cloned
)


@dataclass(frozen=True, slots=True)
class PeerInfo:
    """One live link as `peer_list` shows it: `peer` is the hex of its node key, `state` `live` or `syncing`.

    `copies` counts the envelopes that came over it, duplicates included; `rtt_ms` is None until measured.
    `source` is where the address was learned that was dialled, None of a link that the peer dialled.
    """

    peer: str
    address: str
    direction: Literal["in", "out"]
    rtt_ms: float | None
    age_s: float
    copies: int
    state: str
    source: Source | None = None


@dataclass(frozen=True, slots=True)
class AddressInfo:
    """One address that is dialled: `retry_s` until the next try, None while none is planned.

    `last_error` says why there is no link; `peer` is the hex of the node key last found there.
    """

    address: str
    source: Source
    peer: str | None
    retry_s: float | None
    last_error: str | None
