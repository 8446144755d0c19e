"""The 120 seconds: started by delivery, counted through restarts and reboots, ended once."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, strategies as st

from node import ids
from node.chat.invites import (
    ANSWER_SECONDS,
    DELIVER_AT_LATEST,
    GAME,
    OFFERED,
    OPEN,
    ROOM,
    Clock,
    Invite,
    InviteBook,
    game_id,
    start_clock,
)
from node.clock import Instant

NOW = Instant(1000.0, 1_790_000_000_000)
WEEK_MS = 7 * 86_400_000


def offer() -> Invite:
    ends = NOW.wall_ms + WEEK_MS
    return Invite(b"i" * 16, b"r" * 16, b"s" * 32, True, b"a" * 32, "club", "room", "{}", ends, OFFERED)


def book(boot: str = "boot-1") -> InviteBook:
    invites = InviteBook(boot)
    invites.arrived(offer(), NOW)
    return invites


def test_the_clock_starts_with_delivery_and_fires_once_after_120_seconds() -> None:
    invites = book()
    assert invites.delivered(b"i" * 16, NOW.after(5)) is not None
    assert invites.due(NOW.after(5 + ANSWER_SECONDS - 0.1)) == []
    ((invite, what),) = invites.due(NOW.after(5 + ANSWER_SECONDS))
    assert what == "ignore"
    assert invites.ended(invite.invite_id, "ignore", NOW) is not None
    assert invites.ended(invite.invite_id, "accept", NOW) is None
    assert invites.due(NOW.after(10_000)) == []


def test_a_second_delivery_does_not_start_the_clock_again() -> None:
    invites = book()
    invites.delivered(b"i" * 16, NOW)
    assert invites.delivered(b"i" * 16, NOW.after(60)) is None
    assert invites.deadline == NOW.mono + ANSWER_SECONDS


def test_without_a_frontend_it_is_delivered_a_day_after_arrival() -> None:
    invites = book()
    assert invites.deadline == NOW.mono + DELIVER_AT_LATEST
    assert [what for _, what in invites.due(NOW.after(DELIVER_AT_LATEST))] == ["deliver"]


@pytest.mark.parametrize(
    ("boot", "mono", "wall_s", "left"),
    [
        ("boot-1", 1030.0, 30, 90.0),
        ("boot-1", 1030.0, -5000, 90.0),
        ("boot-2", 3.0, 30, 90.0),
        ("boot-2", 3.0, 500, 0.0),
        ("boot-2", 3.0, -500, 120.0),
    ],
)
def test_time_while_the_node_is_down_counts(boot: str, mono: float, wall_s: int, left: float) -> None:
    before = book()
    opened = before.delivered(b"i" * 16, NOW)
    assert opened is not None
    after = InviteBook(boot)
    restarted = Instant(mono, NOW.wall_ms + wall_s * 1000)
    after.restore(opened, restarted)
    assert after.deadline == pytest.approx(restarted.mono + left)


@given(st.floats(0, 1e6), st.integers(-(10**9), 10**9), st.booleans())
def test_what_is_left_is_never_outside_the_120_seconds(mono: float, wall_ms: int, same: bool) -> None:
    clock = Clock("a", 500.0, NOW.wall_ms)
    left = clock.remaining(Instant(mono, NOW.wall_ms + wall_ms), "a" if same else "b", most=ANSWER_SECONDS)
    assert 0 <= left <= ANSWER_SECONDS


def test_an_offer_nobody_saw_expires_after_a_week() -> None:
    invites = InviteBook("b")
    invites.all[b"i" * 16] = offer()
    late = Instant(NOW.mono, NOW.wall_ms + WEEK_MS)
    assert [what for _, what in invites.due(late)] == ["expired"]


def test_the_newest_open_invite_to_a_room_is_the_one_that_is_found() -> None:
    invites = book()
    found = invites.open_for_room(b"r" * 16)
    assert found is not None and found.state == OFFERED
    invites.delivered(b"i" * 16, NOW)
    assert invites.open_incoming()[0].state == OPEN
    assert invites.open_for_room(b"x" * 16) is None


def test_an_invite_to_a_game_is_no_way_into_its_room_and_makes_one_fresh_id() -> None:
    invites = InviteBook("boot-1")
    game = replace(offer(), kind=GAME, seed=b"s" * 16 + b"t" * 16)
    invites.arrived(game, NOW)
    assert invites.open_for_room(b"r" * 16) is None and invites.games() == [*invites.all.values()]
    assert game_id(game) == ids.text(ids.uuid4(b"s" * 16)) and game_id(offer()) is None
    invites.arrived(replace(offer(), invite_id=b"j" * 16), NOW)
    found = invites.open_for_room(b"r" * 16)
    assert found is not None and found.invite_id == b"j" * 16


def test_an_invite_of_ours_is_the_same_only_for_the_same_person_place_and_kind() -> None:
    invites = InviteBook("boot-1")
    mine = replace(offer(), incoming=False, kind=GAME)
    invites.all[mine.invite_id] = mine
    assert invites.open_outgoing(b"r" * 16, b"a" * 32, GAME) == mine
    assert invites.open_outgoing(b"r" * 16, b"a" * 32, ROOM) is None
    assert invites.open_outgoing(b"r" * 16, b"b" * 32, GAME) is None
    assert invites.ended(mine.invite_id, "cancelled", NOW) is not None
    assert invites.open_outgoing(b"r" * 16, b"a" * 32, GAME) is None and invites.games() == []


def test_an_offer_of_ours_with_a_time_of_its_own_is_unheard_then_unless_it_was_shown() -> None:
    invites = InviteBook("boot-1")
    clock = start_clock(30, NOW, "boot-1")
    mine = replace(offer(), incoming=False, deliver_by=clock)
    invites.all[mine.invite_id] = mine
    assert (mine.ends_ms, invites.deadline) == (NOW.wall_ms + 30_000, NOW.mono + 30)
    assert [what for _, what in invites.due(NOW.after(30))] == ["unheard"]
    invites.all[mine.invite_id] = replace(mine, state=OPEN)
    assert invites.deadline is None and invites.due(NOW.after(30)) == []
    again = InviteBook("boot-2")
    again.restore(mine, Instant(5.0, NOW.wall_ms + 20_000))
    assert again.deadline == 15.0
