"""A profile in the directory: nobody is listed by anybody but a device of their own."""

from __future__ import annotations

import pytest

from node.crypto import profile_listing
from node.crypto.keys import MAX_CERT_BYTES, MAX_LIST_BYTES, make_list
from node.crypto.labels import Label
from node.crypto.primitives import sign
from node.crypto.profile_listing import MAX_LISTING_BYTES
from node.errors import PeerFault
from node.wire.codec import pack, unpack
from tests.chat.room_samples import TODAY
from tests.crypto.artefacts import ADA, BEN, make_profile, read_profile

DAY_MS = 86_400_000


def resigned(place: int, value: object, secret: bytes = ADA.keys.dsk_sk) -> bytes:
    """Return the listing with one field replaced, signed all the same."""
    body = unpack(unpack(make_profile())[1][:-64])
    body[place] = value
    signed = pack(body)
    return pack([13, signed + sign(Label.PRES, secret, signed)])


def test_a_listing_says_what_was_said_and_holds_what_is_needed_to_ask() -> None:
    read = profile_listing.parse_profile(make_profile(status="here"))
    assert (read.nickname, read.avatar, read.status, read.listed) == ("Ada", "a", "here", True)
    cert, devices = profile_listing.verify_profile(read)
    assert (cert.account, cert.intro, devices.seq) == (ADA.account, ADA.keys.intro_pub, ADA.devices.seq)


@pytest.mark.attack("A07")
def test_every_flipped_bit_is_refused() -> None:
    raw = make_profile()
    for bit in range(8 * len(raw)):
        flipped = raw[: bit // 8] + bytes([raw[bit // 8] ^ 1 << bit % 8]) + raw[bit // 8 + 1 :]
        with pytest.raises(PeerFault):
            read_profile(flipped)


GONE = make_list(ADA.keys, 2, bytes(range(32)), (bytes(32),), (), TODAY)
FORGED: dict[str, bytes] = {
    "another version": resigned(0, 2),
    "another account": resigned(1, BEN.account),
    "another's certificate": resigned(2, BEN.cert.raw),
    "another's certificate, signed by them": resigned(2, BEN.cert.raw, BEN.keys.dsk_sk),
    "no certificate": resigned(2, ADA.cert.raw[:-1]),
    "another's devices": resigned(3, BEN.devices.raw),
    "a list without this device": resigned(3, GONE.raw),
    "a name over its limit": resigned(4, "x" * 257),
    "a picture": resigned(5, "x" * 257),
    "a status over its limit": resigned(6, "x" * 513),
    "neither listed nor not": resigned(7, 2),
    "another time than the certificate's": resigned(8, (TODAY + 4000) * DAY_MS),
}


@pytest.mark.attack("A26")
@pytest.mark.parametrize("how", FORGED)
def test_a_listing_that_is_forged_in_one_field_is_refused(how: str) -> None:
    read_profile(make_profile())
    with pytest.raises(PeerFault):
        read_profile(FORGED[how])


def test_all_parts_at_their_limits_fit() -> None:
    raw = make_profile(nickname="x" * 256, avatar="x" * 256, status="x" * 512)
    spare = MAX_CERT_BYTES + MAX_LIST_BYTES - len(ADA.cert.raw) - len(ADA.devices.raw)
    assert len(raw) + spare <= MAX_LISTING_BYTES
