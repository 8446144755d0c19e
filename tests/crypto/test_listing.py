"""A listing: nobody lists a room under a false id, with a false seed, or in another's name."""

from __future__ import annotations

from typing import Any

import pytest

from node.crypto import listing, noderec, ops
from node.crypto.labels import Label
from node.crypto.listing import MAX_LISTING_BYTES, MAX_RECORDS
from node.crypto.primitives import sign
from node.errors import PeerFault
from node.wire.codec import pack, unpack
from tests.chat.room_samples import CYD, NOW, TODAY, add_of
from tests.crypto.artefacts import ADA, BEN, LISTED, RECORD, K, make_listing, read_listing

DAY_MS = 86_400_000
OTHER = b"o" * 32


def room(**changes: Any) -> bytes:
    """Return the `create` op of an open room of Ada's, otherwise made."""
    fields: dict[str, Any] = {
        "policy": ops.Policy(ops.Visibility.OPEN), "salt16": listing.seed_invite(K)[0], "cert": ADA.cert,
        "devices": ADA.devices, "leaf": ADA.leaf, "name": "square", "creator_name": "ada", "ts_ms": NOW,
    }  # fmt: skip
    return ops.make_create(ADA.keys, **{**fields, **changes}).raw


def resigned(place: int, value: object) -> bytes:
    """Return the listing with one field replaced, signed by its lister all the same."""
    body = unpack(unpack(make_listing())[1][:-64])
    body[place] = value
    signed = pack(body)
    return pack([9, signed + sign(Label.LISTING, BEN.keys.dsk_sk, signed)])


def test_a_listing_says_what_its_lister_said_and_leads_to_the_room() -> None:
    read = listing.parse_listing(make_listing())
    assert (read.room_id, read.creator) == (LISTED.room_id, ADA.account)
    assert (read.name, read.count, read.node_records, read.ts_ms) == ("square", 2, (RECORD,), NOW)
    assert read.invite_id == listing.seed_invite(read.seed)[0]
    assert listing.verify_listing(read).account == BEN.account


@pytest.mark.attack("A07")
def test_every_flipped_bit_is_refused() -> None:
    raw = make_listing()
    for bit in range(8 * len(raw)):
        flipped = raw[: bit // 8] + bytes([raw[bit // 8] ^ 1 << bit % 8]) + raw[bit // 8 + 1 :]
        with pytest.raises(PeerFault):
            read_listing(flipped)


def by_no_device() -> bytes:
    """Return the `create` op as it would be if Ada's device called itself otherwise."""
    body = unpack(LISTED.raw[:-64])
    body[4] = bytes(16)
    signed = pack(body)
    return signed + sign(Label.OP, ADA.keys.dsk_sk, signed)


FORGED: dict[str, bytes] = {
    "another version": resigned(0, 2),
    "an op that makes no room": resigned(1, ops.make_op(
        ADA.keys, room_id=b"r" * 16, author_seq=2, parents=(K,), lamport=1, ts_ms=NOW, body=add_of(CYD)).raw),
    "a private room": resigned(1, room(policy=ops.Policy())),
    "a room that its creator did not sign": resigned(1, LISTED.raw[:-1] + bytes([LISTED.raw[-1] ^ 1])),
    "a creator with another's card": resigned(1, room(cert=CYD.cert, devices=CYD.devices)),
    "a creator's device that is none": resigned(1, by_no_device()),
    "a room whose seed is another": resigned(1, room(salt16=bytes(16))),
    "another seed": resigned(2, OTHER),
    "no name": resigned(3, ""),
    "a name over its limit": resigned(3, "x" * 257),
    "more than a room holds": resigned(4, 1001),
    "too many records": resigned(5, [RECORD] * (MAX_RECORDS + 1)),
    "a record over its limit": resigned(5, [bytes(noderec.MAX_BYTES + 1)]),
    "another time than the certificate's": resigned(6, (TODAY + 4000) * DAY_MS),
    "another's certificate": resigned(7, ADA.cert.raw),
    "no certificate": resigned(7, BEN.cert.raw[:-1]),
}  # fmt: skip


@pytest.mark.attack("A26")
@pytest.mark.parametrize("how", FORGED)
def test_a_listing_that_is_forged_in_one_field_is_refused(how: str) -> None:
    read_listing(make_listing())
    with pytest.raises(PeerFault):
        read_listing(FORGED[how])


def test_all_parts_at_their_limits_fit_one_envelope() -> None:
    raw = make_listing(node_records=[bytes(noderec.MAX_BYTES)] * MAX_RECORDS, name="x" * 256, count=1000)
    assert listing.parse_listing(raw).count == 1000
    assert len(raw) + listing.MAX_CREATE_BYTES - len(LISTED.raw) <= MAX_LISTING_BYTES
