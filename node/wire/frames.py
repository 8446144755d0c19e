"""Frames between peers: what each says, and how large it may be (docs/protocol.md section 4).

`frame_bytes` knows their bytes.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum
from typing import TypeAlias

from node.wire.envelope import OVERHEAD

PROTOCOL = 1
MAX_FRAME_BYTES = 65_519
"""A frame is one Noise message, which carries no more."""
MAX_HELLO_BYTES = 1024
"""What a peer may send before we know that it speaks our protocol."""
MAX_ADDRESSES = 4
"""Where a node says it listens: two families, and one name for each kind of link."""
MAX_ADDRESS_BYTES = 255
ID_BYTES = 16
"""Control frames carry prefixes of envelope ids: half the bytes, and still nobody finds two alike."""
MAX_IDS = 256
"""Ids in one IHAVE, WANT or GONE: the frame stays under 5 KiB."""
MAX_DAYS = 40
"""The horizon of 35 days, today, two days of early envelopes, and slack for an edge."""
MAX_BATCH_BYTES = 61_440
"""Envelope bytes in one BATCH: fits one frame, and is soon over for what waits behind it."""
BATCH_OVERHEAD = 512
"""What surrounds the envelopes of a BATCH, at most: 3 bytes each, and its other fields."""
MAX_BATCH = MAX_BATCH_BYTES // (OVERHEAD + 512)
MAX_HOP = 127
"""Hops saturate here, so that PUSH has one layout; the longest path of a real mesh is below 30."""
MAX_CREDIT = 1 << 20
"""Bytes one CREDIT can grant: four windows."""

MAX_NEG_BYTES = 61_440
"""One message of a negentropy exchange."""
MAX_BACKOFF_S = 3600
"""Seconds that a PRUNE may ask for."""
MAX_RECORDS = 16
"""Node records in one PX."""
MAX_RECORD_BYTES = 1_536
"""Of these each: 4 addresses of 255 bytes, a key, a signature."""
MAX_PART_BYTES = 24_576
"""Sealed bytes of an attachment in one PART."""
OBJECT_BYTES = 32
"""The hash that names a block, so many sealed bytes of an attachment: `node.crypto.attachment.bid`."""
MAX_BLOCK_PARTS = 43
"""Parts of a block: an attachment of 64 MiB has 64 blocks."""
MAX_BLOCK_BYTES = MAX_BLOCK_PARTS * MAX_PART_BYTES
MAX_OFFERED = 64
"""Blocks in one OFFER: those of one attachment."""
MAX_RANK = 65_535
"""Of a BEACON, in tenths of a millisecond."""
BEACON_BYTES = 8
"""What tells one BEACON from all others of a minute."""

ROLES = ("relay", "hold")
"""Bit 0 and bit 1 of a roles field: forwards for strangers, and keeps for the absent."""


class Number(IntEnum):
    """First field of a frame; those without a dataclass below are reserved and ignored on arrival."""

    HELLO = 0
    PUSH = 1
    IHAVE = 2
    GRAFT = 3
    PRUNE = 4
    WANT = 5
    DAYS = 6
    TAIL = 7
    NEG_OPEN = 8
    NEG_MSG = 9
    NEG_END = 10
    BATCH = 11
    CREDIT = 12
    GONE = 13
    PX = 14
    FETCH = 15
    PART = 16
    PING = 17
    PONG = 18
    GOODBYE = 19
    OFFER = 20
    BEACON = 21


class Leave(IntEnum):
    """Why a link is left: the code of a GOODBYE. Unknown codes read as LEAVING."""

    LEAVING = 1
    DUPLICATE = 2
    FULL = 3
    SELF = 4
    REFUSED = 5
    CLONED = 6
    PROTOCOL = 7
    SLOW = 8


@dataclass(frozen=True, slots=True)
class Hello:
    """First on a link from both sides, once, at most 1 KiB.

    `features` is a bit set (none yet), `boot_nonce` 8 bytes that change with the process, `floor_ms` the
    oldest time this node takes, `now_ms` its clock, `budget` the live envelopes a second that it will take.
    """

    features: int
    boot_nonce: bytes
    listen: tuple[str, ...]
    roles: frozenset[str]
    max_frame: int
    floor_ms: int
    now_ms: int
    budget: int


@dataclass(frozen=True, slots=True)
class Push:
    """A raw envelope, new to the sender, and the links it passed, 0 to 127 (the author adds 0 to 3)."""

    hop: int
    envelope: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class IHave:
    """1 to 256 envelopes that the sender has: 16-byte id prefixes, and hops."""

    ids: tuple[tuple[bytes, int], ...]


@dataclass(frozen=True, slots=True)
class Want:
    """Ask for 1 to 256 envelopes; answered by GONE and BATCH of session 0, the last with `more` unset."""

    ids: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class Days:
    """What the sender has accepted, a (day, count, 16-byte fingerprint) a day, days ascending, at most 40."""

    session: int
    days: tuple[tuple[int, int, bytes], ...]


@dataclass(frozen=True, slots=True)
class Tail:
    """Ask for a day from `t0_ms` on; `fingerprint` is of all that the sender has of that day before it."""

    session: int
    day: int
    t0_ms: int
    fingerprint: bytes


@dataclass(frozen=True, slots=True)
class Batch:
    """Raw envelopes by (ts_ms, eid), at most 61,440 bytes; `more` says that the answer goes on."""

    session: int
    envelopes: tuple[bytes, ...] = field(repr=False)
    more: bool


@dataclass(frozen=True, slots=True)
class Credit:
    """Grant `nbytes` more of BATCH in a session, at most 1 MiB."""

    session: int
    nbytes: int


@dataclass(frozen=True, slots=True)
class Gone:
    """1 to 256 wanted envelopes that the sender has not, or no longer."""

    ids: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class Ping:
    """Are you there? Carries the sender's clock in UNIX milliseconds."""

    t_ms: int


@dataclass(frozen=True, slots=True)
class Pong:
    """Yes. Carries the answerer's clock in UNIX milliseconds."""

    t_ms: int


@dataclass(frozen=True, slots=True)
class Goodbye:
    """The link is about to close; come back after `retry_s` seconds at the earliest."""

    code: Leave
    retry_s: int


@dataclass(frozen=True, slots=True)
class Graft:
    """Push to me from now on, and send the envelope of this 16-byte id prefix, if one is named."""

    prefix: bytes | None


@dataclass(frozen=True, slots=True)
class Prune:
    """Announce to me instead of pushing; do not ask to be pushed to for `backoff_s` seconds."""

    backoff_s: int


@dataclass(frozen=True, slots=True)
class NegOpen:
    """Begin to compare a day by negentropy V1 ranges: the first message, 1 to 61,440 bytes."""

    session: int
    day: int
    message: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class NegMsg:
    """The next message of a comparison, 1 to 61,440 bytes."""

    session: int
    day: int
    message: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class NegEnd:
    """A comparison is over; `message` is empty, or what is left to say."""

    session: int
    day: int
    message: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class PeerExchange:
    """PX: None asks for node records that the receiver knows, an answer has at most 16 raw ones."""

    records: tuple[bytes, ...] | None


@dataclass(frozen=True, slots=True)
class Fetch:
    """Ask for one part of a block; `object` is its name, a hash of its bytes and their number."""

    object: bytes
    index: int


@dataclass(frozen=True, slots=True)
class Part:
    """One part of a block, 24,576 bytes but for its last; none at all says that it is not here."""

    object: bytes
    index: int
    data: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Offer:
    """To a relay: 1 to 64 blocks that the sender has, (name, bytes) each, which it may fetch and hold."""

    blocks: tuple[tuple[bytes, int], ...]


@dataclass(frozen=True, slots=True)
class Beacon:
    """The tree is to grow from the node that made this, as far as nobody has a lower `rank`, then `id`."""

    rank: int
    id: bytes


@dataclass(frozen=True, slots=True)
class Unknown:
    """A frame of a number that we do not know, or do not use yet; to be ignored."""

    number: int


Frame: TypeAlias = (
    Hello
    | Push
    | IHave
    | Graft
    | Prune
    | Want
    | Days
    | Tail
    | NegOpen
    | NegMsg
    | NegEnd
    | Batch
    | Credit
    | Gone
    | PeerExchange
    | Fetch
    | Part
    | Offer
    | Beacon
    | Ping
    | Pong
    | Goodbye
    | Unknown
)


def pack_roles(roles: frozenset[str]) -> int:
    """Return the bit set of roles."""
    return sum(1 << bit for bit, name in enumerate(ROLES) if name in roles)


def unpack_roles(bits: int) -> frozenset[str]:
    """Return the roles of a bit set; bits that we do not know are left out."""
    return frozenset(name for bit, name in enumerate(ROLES) if bits >> bit & 1)
