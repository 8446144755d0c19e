"""The table of channels: a key for each day, and nobody's channel in the way of another's."""

from __future__ import annotations

from node.chat.channels import SET_BACK_DAYS, Channels, Route
from node.crypto.channel import Channel, ChannelKind

TODAY = 20_000


def route(kind: ChannelKind, secret: int, owner: bytes = b"o") -> Route:
    return Route(Channel(kind, bytes([secret]) * 32), owner)


def test_a_channel_is_known_from_before_it_was_made_as_far_as_a_clock_goes_back_to_tomorrow() -> None:
    table, room = Channels(), route(ChannelKind.ROOM, 1)
    assert len(table.add(room, TODAY - 2, TODAY)) == 4 + SET_BACK_DAYS
    assert table.find(room.channel.rk(TODAY - 2 - SET_BACK_DAYS)) is room
    assert table.find(room.channel.rk(TODAY - 3 - SET_BACK_DAYS)) is None
    assert table.find(room.channel.rk(TODAY + 1)) is room
    assert table.find(room.channel.rk(TODAY + 2)) is None
    assert table.add(room, TODAY, TODAY) == []


def test_every_channel_rolls_on_even_if_a_new_one_comes_first_thing_in_the_morning() -> None:
    table, old, new = Channels(), route(ChannelKind.ROOM, 1), route(ChannelKind.DM, 2)
    table.add(old, TODAY, TODAY)
    table.roll(TODAY)
    table.add(new, TODAY + 1, TODAY + 1)
    table.roll(TODAY + 1)
    assert table.find(old.channel.rk(TODAY + 2)) is old
    table.roll(TODAY + 40)
    assert table.find(old.channel.rk(TODAY)) is None
    assert table.find(old.channel.rk(TODAY + 40)) is old


def test_a_secret_that_two_name_leads_to_both_and_goes_one_by_one() -> None:
    table = Channels()
    mine, theirs = route(ChannelKind.ROOM, 1, b"room"), route(ChannelKind.PRESENCE, 1, b"them")
    table.add(mine, TODAY, TODAY)
    table.add(theirs, TODAY, TODAY)
    key = mine.channel.rk(TODAY)
    assert table.find(key) is mine
    assert table.find_all(key) == (mine, theirs)
    table.remove(int(ChannelKind.PRESENCE), b"them")
    assert table.find_all(key) == (mine,)
    table.remove(int(ChannelKind.ROOM), b"room")
    assert table.find_all(key) == ()
