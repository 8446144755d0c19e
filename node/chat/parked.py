"""What waits in a room for an op that is not here, and which ops all of it needs (docs/crypto.md 3.6)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from node.chat.membership import RoomLog
from node.crypto import epoch as epochs, roommsg
from node.crypto.channel import Inner, inner_type
from node.crypto.ops import Op
from node.wire import codec

HERE: Final = b""
"""An inner needs nothing more."""
MAX_NAMED = 32
"""Ops that one device's parked inners make us ask for at a time."""
ANNOUNCE: Final = codec.array(
    codec.literal(2), codec.blob_upto(8192, least=64), codec.blob_upto(2 * 1024 * 1024)
)


@dataclass(frozen=True)
class Parked:
    """One inner that waits for an op or an epoch; `by` is the device that signed it."""

    room_id: bytes
    epoch16: bytes
    inner: bytes
    needs: bytes = HERE
    by: bytes = b""


def signer_of(inner: bytes) -> bytes:
    """Return the device that signed an inner which was read before: a message or an announce."""
    if inner_type(inner) == Inner.ANNOUNCE:
        return epochs.parse_announce(codec.decode(inner, ANNOUNCE)[1]).creator_device
    return roommsg.parse(inner).core.device16


def needed(log: RoomLog, parked: Iterable[Parked], pending: Iterable[Op]) -> dict[bytes, bytes]:
    """Return the ops that something waits for, by op16, each with the epoch that named it.

    What only somebody who is gone asks us to wait for is not among them: nobody outside fills the log. Nor is
    more than MAX_NAMED of one device, so that nobody's inventions crowd out what others lack.
    """
    waiting = list(pending)
    here = {op.op16 for op in waiting}
    named: dict[bytes, bytes] = {}
    count: Counter[bytes] = Counter()
    for one in parked:
        if one.needs and one.needs not in named and _is_members(log, one.by):
            count[one.by] += 1
            if count[one.by] <= MAX_NAMED:
                named[one.needs] = one.epoch16
    for op in waiting:
        named.update((parent[:16], HERE) for parent in op.parents)
    return {op16: where for op16, where in named.items() if op16 not in here and not log.knows16(op16)}


def _is_members(log: RoomLog, device_id: bytes) -> bool:
    """Say whether a device is that of a member, or was before the member came back at another."""
    owner = log.device(device_id)
    return owner is not None and owner.account in log.roster.members
