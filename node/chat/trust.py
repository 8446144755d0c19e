"""How sure the owner is of a person's keys, and what another device of theirs changes (docs/crypto.md 3.2).

An account key never changes: it is the person. Its device list may. An older list, or one that contradicts
the pinned one, is never taken; a newer one that names another device is taken or kept back by the owner's
policy for that person.
"""

from __future__ import annotations

from enum import Enum
from functools import lru_cache
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

from node.crypto.keys import DeviceCert, DeviceList, parse_cert, parse_list, supersedes
from node.errors import CryptoFault, Refused

if TYPE_CHECKING:
    from node.chat.people import Person

Trust: TypeAlias = Literal["unverified", "verified", "changed"]
TrustPolicy: TypeAlias = Literal["tofu", "warn", "strict"]
UNVERIFIED: Final = "unverified"
VERIFIED: Final = "verified"
CHANGED: Final = "changed"
TOFU: Final = "tofu"
WARN: Final = "warn"
STRICT: Final = "strict"


class Standing(Enum):
    """What a device list is to somebody who has pinned one."""

    SAME = "the pinned list, or the one that is kept back already"
    FIRST = "the first list of this person"
    RENEWED = "newer, of the same device"
    MOVED = "newer, of another device"
    PAST = "the list before the pinned one: true once, and refused"
    REFUSED = "older, or contradicting"


def blocked(person: Person) -> bool:
    """Say whether nothing is sent to a person until they are verified again."""
    return person.policy == STRICT and person.trust == CHANGED


def refusal(person: Person, field: str) -> Refused:
    """Return the refusal to send to somebody whose keys changed under the policy `strict`."""
    text = f"the keys of {person.username} changed: verify them first, or choose another policy for them"
    return Refused("key_changed", text, field=field)


def judge(person: Person, cert: DeviceCert, devices: DeviceList) -> Standing:
    """Say what a person's checked card is beside the pinned one and one that is kept back."""
    if not person.list_seq:
        return Standing.FIRST
    pinned = [(person.list_seq, person.list_hash)]
    if person.withheld is not None:
        kept = parse_list(person.withheld[1])
        pinned.append((kept.seq, kept.list_hash))
    try:
        news = [supersedes(devices, one) for one in pinned]
    except CryptoFault:
        return _refused(person, devices)
    if not all(news):
        return Standing.SAME
    return Standing.RENEWED if cert.device_id == device_of(person) else Standing.MOVED


def _refused(person: Person, devices: DeviceList) -> Standing:
    if devices.list_hash == person.list_hash:
        return Standing.SAME
    before = None if person.devices is None else parse_list(person.devices).prev_hash
    return Standing.PAST if devices.list_hash == before else Standing.REFUSED


def after_move(person: Person) -> Trust:
    """Return how sure the owner can still be of somebody who has another device now."""
    return UNVERIFIED if person.trust == UNVERIFIED and person.policy != STRICT else CHANGED


def device_of(person: Person) -> bytes | None:
    """Return the id of the pinned device, 16 bytes; None if there is none."""
    return None if person.cert is None else _device(person.cert)


@lru_cache(maxsize=1024)
def _device(cert: bytes) -> bytes:
    return parse_cert(cert).device_id
