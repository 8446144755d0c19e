"""Contact links: what each still allows, and that none is good once it was reset."""

from __future__ import annotations

from random import Random

import pytest

from node.chat.contact_links import LINK_DAYS, MAX_TOKENS, ContactLinks
from node.chat.turn import Turn
from node.clock import DAY_MS, Instant, day_of
from node.errors import Refused
from tests.chat.room_samples import ADA, NOW

AT = ("example.net:7420",)


def turn() -> Turn:
    return Turn(Instant(0.0, NOW), NOW, Random(1).randbytes, 0)


def test_there_is_one_standing_link_which_everybody_may_use() -> None:
    links, at = ContactLinks(ADA.keys), turn()
    first, again = (links.give(at, AT, once=False, expires_ms=None) for _ in range(2))
    assert first == again and first.account == ADA.account and first.addresses == AT
    assert first.exp_day == day_of(NOW) + LINK_DAYS
    record = links.live(first.token, NOW + 10 * LINK_DAYS * DAY_MS)
    assert record is not None
    links.use(at, record)
    assert links.live(first.token, NOW) == record


def test_a_link_that_is_to_be_used_once_is_good_once() -> None:
    links, at = ContactLinks(ADA.keys), turn()
    once = links.give(at, AT, once=True, expires_ms=None)
    assert once.token != links.give(at, AT, once=False, expires_ms=None).token
    record = links.live(once.token, NOW)
    assert record is not None
    links.use(at, record)
    assert links.live(once.token, NOW) is None
    assert at.rows["settings", b"token" + once.token] is None


def test_a_link_ends_when_its_record_says_so_and_none_is_good_that_was_never_given() -> None:
    links, at = ContactLinks(ADA.keys), turn()
    ends = links.give(at, AT, once=False, expires_ms=NOW + 1_000)
    assert links.live(ends.token, NOW + 999) is not None
    assert links.live(ends.token, NOW + 1_000) is None
    assert links.live(bytes(16), NOW) is None and links.live(None, NOW) is None


def test_a_reset_revokes_them_all_and_makes_room_for_more() -> None:
    links, at = ContactLinks(ADA.keys), turn()
    tokens = [links.give(at, AT, once=True, expires_ms=None).token for _ in range(MAX_TOKENS)]
    with pytest.raises(Refused, match="reset them"):
        links.give(at, AT, once=True, expires_ms=None)
    assert links.reset(at) == MAX_TOKENS
    assert not any(links.live(token, NOW) for token in tokens)
    assert not any(row for row in at.rows.values())
    links.give(at, AT, once=True, expires_ms=None)
