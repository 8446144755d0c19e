"""What a name means among open rooms, and whose word about one counts."""

from __future__ import annotations

import pytest

from node import ids
from node.chat.directory import AGAIN_MS, GAP_MS, LIFE_MS, Directory, matching
from node.chat.turn import Turn
from node.clock import Instant
from node.crypto.listing import Listing, parse_listing
from node.errors import CryptoFault
from tests.chat.room_samples import ADA, BEN, CYD, NOW
from tests.crypto.artefacts import LISTED, make_listing

FIRST, SECOND = bytes(16), b"\x01" * 16


def turn(at_ms: int) -> Turn:
    return Turn(Instant(0.0, at_ms), at_ms, bytes, 0)


def said(at_ms: int, name: str = "square", count: int = 2) -> Listing:
    return parse_listing(make_listing(ts_ms=at_ms, name=name, count=count))


def told(directory: Directory, at_ms: int, lister: bytes, **what: object) -> bool:
    """Say whether a listing made at this time is taken at this time."""
    made = said(at_ms, **what)  # type: ignore[arg-type]
    try:
        directory.judge(made, at_ms, ours=False)
        directory.keep(turn(at_ms), made, lister, ours=False)
    except CryptoFault:
        return False
    return True


def fresh() -> Directory:
    return Directory(tuple)


def shown(directory: Directory, at_ms: int) -> list[str]:
    return [room.name for room in directory.shown(at_ms)]


def test_the_newest_word_counts_but_not_oftener_than_every_two_minutes() -> None:
    directory = fresh()
    assert told(directory, NOW, BEN.account)
    assert not told(directory, NOW + GAP_MS - 1, CYD.account, name="soon")
    assert told(directory, NOW + GAP_MS, CYD.account, name="new")
    assert not told(directory, NOW, BEN.account, name="old")
    assert shown(directory, NOW + GAP_MS) == ["new"]


def test_the_creators_word_of_today_counts_before_anybody_elses() -> None:
    directory = fresh()
    assert told(directory, NOW, BEN.account, name="lie")
    assert told(directory, NOW + 1, ADA.account)
    assert not told(directory, NOW + AGAIN_MS, BEN.account, name="lie")
    assert told(directory, NOW + AGAIN_MS + 1, BEN.account, name="substitute")
    assert shown(directory, NOW + AGAIN_MS + 1) == ["substitute"]


def test_the_end_of_a_room_is_taken_from_its_creator_or_its_lister_and_stays() -> None:
    for lister, ends in ((BEN.account, True), (ADA.account, True), (CYD.account, False)):
        directory = fresh()
        assert told(directory, NOW, BEN.account)
        assert told(directory, NOW + 1, lister, count=0) == ends
        assert shown(directory, NOW + 1) == ([] if ends else ["square"])
        if ends:
            assert not told(directory, NOW, BEN.account)
            assert shown(directory, NOW + 1) == []
    assert not told(fresh(), NOW, BEN.account, count=0)


def test_a_listing_is_over_after_two_days_and_an_hour() -> None:
    directory = fresh()
    assert told(directory, NOW, BEN.account)
    assert shown(directory, NOW + LIFE_MS - 1) == ["square"]
    assert shown(directory, NOW + LIFE_MS) == []
    directory.expire(turn(NOW + LIFE_MS - 1))
    assert LISTED.room_id in directory.rooms
    directory.expire(turn(NOW + LIFE_MS))
    assert directory.rooms == {}


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("00000000-0000-0000-0000-000000000000", [FIRST]),
        ("Tea", [FIRST]),
        ("tea", [SECOND]),
        ("TEA", [FIRST, SECOND]),
        ("01010101", [SECOND]),
        ("0101010", []),
        ("", []),
    ],
)
def test_an_id_beats_a_name_and_that_one_in_other_letters(text: str, found: list[bytes]) -> None:
    assert matching(text, [(FIRST, "Tea"), (SECOND, "tea")]) == found


@pytest.mark.attack("A23")
def test_a_room_called_like_anothers_id_is_not_taken_for_it() -> None:
    whole, short = ids.text(SECOND), ids.text(SECOND)[:8]
    assert matching(whole, [(FIRST, whole)]) == []
    assert matching(whole, [(FIRST, whole), (SECOND, "tea")]) == [SECOND]
    assert sorted(matching(short, [(FIRST, short), (SECOND, "tea")])) == [FIRST, SECOND]
