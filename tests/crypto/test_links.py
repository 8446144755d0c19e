"""Links: what is pasted comes out whole, or says in plain words why not."""

from __future__ import annotations

from base64 import urlsafe_b64decode, urlsafe_b64encode

import pytest
from hypothesis import given, strategies as st

from node.crypto import links
from node.crypto.links import ContactLink, RoomLink
from node.errors import DecodeError

CONTACT = ContactLink(b"A" * 32, b"I" * 32, b"T" * 16, 20_500, ("ws://relay.example:7437",))
ROOM = RoomLink(b"R" * 16, b"S" * 32, b"A" * 32, ("wss://a.example", "ws://[::1]:7437"))

address = st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), min_size=1, max_size=255)
addresses = st.lists(address, max_size=8).map(tuple)
key = st.binary(min_size=32, max_size=32)
half = st.binary(min_size=16, max_size=16)


@given(st.builds(ContactLink, key, key, half, st.integers(0, 65_535), addresses))
def test_every_contact_link_reads_back(link: ContactLink) -> None:
    assert links.decode_contact(links.encode_contact(link)) == link


@given(st.builds(RoomLink, half, key, key, addresses))
def test_every_room_link_reads_back(link: RoomLink) -> None:
    assert links.decode_room(links.encode_room(link)) == link


def test_links_begin_as_documented_and_survive_stray_white_space() -> None:
    assert links.encode_contact(CONTACT).startswith("gossamer:c/")
    assert links.encode_room(ROOM).startswith("gossamer:i/")
    assert links.decode_room(f"  {links.encode_room(ROOM)}\n") == ROOM


@pytest.mark.attack("A07")
def test_every_flipped_bit_of_a_link_is_refused() -> None:
    for text, decode in (
        (links.encode_contact(CONTACT), links.decode_contact),
        (links.encode_room(ROOM), links.decode_room),
    ):
        for at, character in enumerate(text):
            for bit in range(7):
                bad = text[:at] + chr(ord(character) ^ 1 << bit) + text[at + 1 :]
                if bad.strip() != text:
                    with pytest.raises(DecodeError):
                        decode(bad)


@pytest.mark.parametrize("keep", range(0, 150, 7))
def test_a_link_cut_short_is_refused(keep: int) -> None:
    text = links.encode_contact(CONTACT)
    with pytest.raises(DecodeError):
        links.decode_contact(text[: min(keep, len(text) - 1)])


@pytest.mark.attack("A27")
@pytest.mark.parametrize("junk", ["!", " ", "\n", "=", "+", "."])
def test_a_link_has_one_spelling(junk: str) -> None:
    text = links.encode_room(ROOM)
    for at in (len(links.ROOM_PREFIX), 40, len(text) - 1):
        with pytest.raises(DecodeError):
            links.decode_room(text[:at] + junk + text[at:])
    with pytest.raises(DecodeError):
        links.decode_room(text + "=")


def test_a_link_of_the_other_sort_is_named() -> None:
    with pytest.raises(DecodeError, match="invite to a room, not a contact"):
        links.decode_contact(links.encode_room(ROOM))
    with pytest.raises(DecodeError, match="contact link, not an invite"):
        links.decode_room(links.encode_contact(CONTACT))
    with pytest.raises(DecodeError, match="begin with gossamer:i/"):
        links.decode_room("https://example.org/")


@pytest.mark.attack("A25")
def test_a_link_of_a_later_version_is_named() -> None:
    raw = bytearray(_raw(links.ROOM_PREFIX, links.encode_room(ROOM)))
    raw[0] = 2
    with pytest.raises(DecodeError, match="newer version"):
        links.decode_room(_with_check(links.ROOM_PREFIX, bytes(raw[:-4])))


@pytest.mark.parametrize(
    "tail",
    [b"\x00", b"\x05abc", b"\x03a c", b"\x03a\x1bc", b"\x02\xc3\xa9", b"\x01a" * 9],
    ids=["empty", "short", "space", "escape", "not-ascii", "nine"],
)
def test_addresses_that_are_none_are_refused(tail: bytes) -> None:
    fields = _raw(links.ROOM_PREFIX, links.encode_room(RoomLink(b"R" * 16, b"S" * 32, b"A" * 32, ())))[:-4]
    with pytest.raises(DecodeError, match="address"):
        links.decode_room(_with_check(links.ROOM_PREFIX, fields + tail))


def test_an_endless_link_is_refused_before_it_is_read() -> None:
    with pytest.raises(DecodeError, match="too long"):
        links.decode_contact("gossamer:c/" + "A" * 10_000)


@given(st.text(max_size=200))
def test_no_pasted_text_does_worse_than_be_refused(text: str) -> None:
    for decode, prefix in (
        (links.decode_contact, links.CONTACT_PREFIX),
        (links.decode_room, links.ROOM_PREFIX),
    ):
        for pasted in (text, prefix + text):
            with pytest.raises(DecodeError):
                decode(pasted)


def test_a_repr_shows_no_secret() -> None:
    assert "SSSS" not in repr(ROOM) and "TTTT" not in repr(CONTACT)


def _raw(prefix: str, text: str) -> bytes:
    encoded = text.removeprefix(prefix)
    return urlsafe_b64decode(encoded + "=" * (-len(encoded) % 4))


def _with_check(prefix: str, raw: bytes) -> str:
    return prefix + urlsafe_b64encode(raw + links._check(prefix, raw)).decode().rstrip("=")
