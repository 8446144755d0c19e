"""Where nodes can be found: records in rooms, what is remembered over a restart, clones, relays."""

from __future__ import annotations

from dataclasses import replace

import pytest

from node.chat import commands as c, events
from node.chat.turn import unpack_row
from node.crypto import noderec
from node.crypto.primitives import ed25519_keypair
from node.engine import whereabouts
from node.engine.effects import Woke
from node.engine.whereabouts import VIEW_ROW, ViewRow
from node.mesh.ports import ListensAt
from node.sim import SimNode, Simulation
from node.tables import Table
from tests.engine.worlds import befriend, invite, trio


def told(node: SimNode, other: SimNode) -> tuple[str, ...]:
    """The addresses that a node knows of another's."""
    assert node.engine is not None and other.engine is not None
    person = node.engine.state.people.by_account[other.engine.state.me.account]
    return () if person.node_record is None else noderec.read_record(person.node_record).addresses


@pytest.fixture(autouse=True)
def settled(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    """Nobody waits after a start, but where that is what is tried."""
    if "start" not in request.node.name:
        monkeypatch.setattr(whereabouts, "SETTLE", 0.0)


def keep_house(*nodes: SimNode) -> None:
    """Let nodes do now what they do each hour."""
    for node in nodes:
        assert node.engine is not None
        node.engine.chores._housekeeping = node.now().mono
        node.engine.chores.touched(None)
        node.feed(Woke())
    nodes[0].world.run(3)


@pytest.fixture
def short_days(monkeypatch: pytest.MonkeyPatch) -> float:
    """A day of two minutes for what is told once a day."""
    monkeypatch.setattr(whereabouts, "DAY_MS", 120_000)
    return 120.0


def club(seed: str) -> tuple[Simulation, SimNode, SimNode, SimNode]:
    """Ann's room with bob and dan, who are strangers to each other."""
    world = Simulation(seed)
    ann = world.add("ann")
    bob, dan = world.add("bob", peers=["ann"]), world.add("dan", peers=["ann"])
    world.run(2)
    befriend(world, ann, bob)
    befriend(world, ann, dan)
    room = ann.call(c.RoomCreate(name="club"))["room"]
    invite(world, ann, bob, room)
    invite(world, ann, dan, room)
    world.run(5)
    return world, ann, bob, dan


def test_members_learn_where_each_others_nodes_are_within_an_hour() -> None:
    world, _, bob, dan = club("within an hour")
    keep_house(bob, dan)
    assert told(bob, dan) == ("ws://dan:1",) and told(dan, bob) == ("ws://bob:1",)


def test_nothing_is_told_in_the_five_minutes_after_a_start() -> None:
    world, _, bob, dan = club("five minutes")
    bob.feed(ListensAt(("ws://elsewhere.example:7",)))
    keep_house(bob)
    assert "ws://elsewhere.example:7" not in told(dan, bob)
    world.run(310)
    assert told(dan, bob) == ("ws://elsewhere.example:7",)


@pytest.mark.usefixtures("short_days")
def test_a_changed_address_reaches_co_members_and_is_dialled() -> None:
    world, _, bob, dan = club("a changed address")
    keep_house(bob, dan)
    world.run(130)
    bob.feed(ListensAt(("ws://elsewhere.example:7",)))
    world.run(5)
    assert told(dan, bob) == ("ws://elsewhere.example:7",)
    assert dan.engine is not None
    assert "ws://elsewhere.example:7" in dan.engine.mesh.addresses()


@pytest.mark.usefixtures("short_days")
def test_changes_are_told_once_a_day_at_most() -> None:
    world, _, bob, dan = club("once a day")
    keep_house(bob, dan)
    world.run(130)
    for number in range(20):
        bob.feed(ListensAt((f"ws://elsewhere{number}.example:7",)))
        world.run(5)
    assert told(dan, bob) == ("ws://elsewhere0.example:7",)
    world.run(60)
    keep_house(bob)
    assert told(dan, bob) == ("ws://elsewhere19.example:7",)


@pytest.mark.usefixtures("short_days")
def test_nothing_is_told_where_somebody_reads_along_who_is_blocked() -> None:
    world, _, bob, dan = club("blocked")
    bob.call(c.ContactBlock(username="dan"))
    world.run(130)
    bob.feed(ListensAt(("ws://elsewhere.example:7",)))
    world.run(5)
    assert "ws://elsewhere.example:7" not in told(dan, bob)


def test_after_a_crash_co_members_are_dialled_by_what_they_told_last() -> None:
    world, ann, bob, dan = club("after a crash")
    keep_house(bob, dan)
    ann.crash()
    bob.crash()
    bob.start()
    world.run(5)
    assert bob.engine is not None and dan.engine is not None
    links = {peer.peer for peer in bob.engine.mesh.peers(bob.now())}
    assert dan.engine.mesh.node_key.hex() in links


def test_the_passive_view_survives_a_restart_and_a_new_home_has_none() -> None:
    world = Simulation("passive view")
    hub = world.add("hub.example")
    assert hub.engine is not None and hub.engine.mesh.remember(hub.now()) == []
    for number in range(4):
        world.add(f"n{number}.x{number}", peers=["hub.example"])
    world.run(100)
    assert len(hub.engine.mesh.remember(hub.now())) == 4
    keep_house(hub)
    rows = unpack_row(hub.store.load().rows[Table.SETTINGS][VIEW_ROW], ViewRow)
    assert len(rows) == 4
    hub.crash()
    hub.start()
    assert hub.engine is not None and len(hub.engine.mesh.remember(hub.now())) == 4
    world.run(10)
    assert len(hub.engine.mesh.peers(hub.now())) >= 3


def test_the_owner_of_a_cloned_key_is_warned() -> None:
    world, ann, _, _, _ = trio("cloned key")
    copy = world.add("copy")
    copy.crash()
    copy.setup = replace(ann.setup, boot_nonce=b"another!", addresses=())
    copy.start()
    session = copy.attach()
    copy.call(c.PeerAdd(address="ws://cat:1"))
    world.run(8)
    warnings = [event for event in session.of(events.Warning) if event.code == "cloned"]
    assert len(warnings) == 1 and "key" in warnings[0].message


def test_who_cannot_be_dialled_names_the_relays_it_uses() -> None:
    world = Simulation("relays in use")
    relay = world.add("relay", relay=True)
    hidden = world.add("hidden", peers=["relay"], listed=False)
    world.run(3)
    link = hidden.call(c.ContactLinkCreate())
    assert link["addresses"] == ["ws://relay:1"]
    friend = world.add("friend")
    friend.call(c.ContactAdd(link=link["link"]))
    assert world.run_until(lambda: bool(hidden.call(c.ContactList())["contacts"]), 20)
    assert relay.engine is not None and len(relay.engine.mesh.peers(relay.now())) == 2
    assert hidden.engine is not None
    record = noderec.read_record(hidden.engine._record())
    assert record.addresses == ("ws://relay:1",)


def test_who_was_asked_by_a_link_is_dialled_after_a_restart_too() -> None:
    world = Simulation("asked and away")
    ann, bob = world.add("ann"), world.add("bob")
    link = bob.call(c.ContactLinkCreate())["link"]
    bob.crash()
    ann.call(c.ContactAdd(link=link))
    world.run(10)
    ann.crash()
    ann.start()
    bob.start()
    world.run(30)
    assert [one["username"] for one in bob.call(c.ContactList())["contacts"]] == ["ann"]


def moved(node: SimNode, number: int, seq: int) -> None:
    """Tell the rooms of a node that it is elsewhere, with another key and four new addresses."""
    engine = node.engine
    assert engine is not None
    raw = noderec.make_record(
        bytes([number]) * 32,
        addresses=tuple(f"ws://n{number}-{spot}.example:7" for spot in range(4)),
        roles=frozenset(),
        seq=seq,
        now=node.now(),
    )
    engine.whereabouts._record = lambda: raw
    engine.whereabouts._told.clear()
    keep_house(node)


def test_a_member_that_tells_of_a_new_place_each_day_has_one_place_and_one_key() -> None:
    """N13: else a member fills the book of addresses and takes every friend's place with keys of its own."""
    world, _, bob, dan = club("one place")
    assert dan.engine is not None
    book = dan.engine.mesh._book
    start = dan.now().wall_ms // 1000
    for number in range(1, 9):
        moved(bob, number, start + number * 100)
        world.run(700)
    told_now = [a for a in book._entries if "example" in a]
    assert sorted(told_now) == [f"ws://n8-{spot}.example:7" for spot in range(4)]
    keys = [ed25519_keypair(bytes([number]) * 32)[0] for number in range(1, 9)]
    assert [key in book._friends for key in keys] == [False] * 7 + [True]


def seq_told(node: SimNode, other: SimNode) -> int:
    assert node.engine is not None and other.engine is not None
    person = node.engine.state.people.by_account[other.engine.state.me.account]
    return 0 if person.node_record is None else noderec.read_record(person.node_record).seq


def test_what_has_not_changed_is_told_again_before_it_has_run_out_and_no_sooner(
    short_days: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(whereabouts, "TELL_AGAIN_MS", 5 * 120_000)
    world, _, bob, dan = club("told again")
    keep_house(bob, dan)
    first = seq_told(dan, bob)
    world.run(2 * short_days)
    keep_house(bob)
    assert seq_told(dan, bob) == first
    world.run(4 * short_days)
    keep_house(bob)
    assert seq_told(dan, bob) > first


def test_neither_a_large_room_is_told_nor_one_with_somebody_who_gets_nothing_from_us(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(whereabouts, "SMALL", 2)
    _, _, bob, dan = club("a large room")
    bob.feed(ListensAt(("ws://elsewhere.example:7",)))
    keep_house(bob)
    assert "ws://elsewhere.example:7" not in told(dan, bob)
    monkeypatch.setattr(whereabouts, "SMALL", 3)
    assert bob.engine is not None
    monkeypatch.setattr(bob.engine.state.people, "kept_from", lambda _members: dan)
    keep_house(bob)
    assert "ws://elsewhere.example:7" not in told(dan, bob)
    monkeypatch.undo()
    monkeypatch.setattr(whereabouts, "SETTLE", 0.0)
    keep_house(bob)
    assert "ws://elsewhere.example:7" in told(dan, bob)


def test_who_has_left_a_room_is_not_remembered_as_told() -> None:
    _, _, bob, dan = club("left")
    keep_house(bob, dan)
    assert bob.engine is not None and len(bob.engine.whereabouts._told) == 1
    (room,) = bob.call(c.RoomList())["rooms"]
    bob.call(c.UserLeave(room=room["room"]))
    bob.world.run(5)
    keep_house(bob)
    assert bob.engine.whereabouts._told == {}


def test_an_older_record_and_one_numbered_far_ahead_change_nothing() -> None:
    world, _, bob, dan = club("older and ahead")
    start = dan.now().wall_ms // 1000
    moved(bob, 1, start + 10)
    first = told(dan, bob)
    assert first[0].startswith("ws://n1-")
    moved(bob, 2, start + 9)
    moved(bob, 3, start + 3 * 86_400)
    assert told(dan, bob) == first
    moved(bob, 4, start + 86_400)
    assert told(dan, bob)[0].startswith("ws://n4-")


def test_a_member_that_tells_without_end_is_heard_a_few_times_an_hour() -> None:
    world, _, bob, dan = club("without end")
    start = dan.now().wall_ms // 1000
    for number in range(1, 12):
        moved(bob, number, start + number)
    assert told(dan, bob) == tuple(f"ws://n4-{spot}.example:7" for spot in range(4))


def test_the_blocked_are_not_dialled_for_their_sake_neither_now_nor_after_a_crash() -> None:
    world, _, bob, dan = club("blocked are not dialled")
    keep_house(bob, dan)
    assert bob.engine is not None and dan.engine is not None
    assert "ws://dan:1" in bob.engine.mesh.addresses()
    bob.call(c.ContactBlock(username="dan"))
    world.run(1)
    key = dan.engine.mesh.node_key
    assert key not in bob.engine.mesh._book._friends
    assert bob.engine.mesh._book.source_of("ws://dan:1") in {None, "px"}
    before = told(bob, dan)
    moved(dan, 9, dan.now().wall_ms // 1000 + 9)
    assert told(bob, dan) == before
    bob.crash()
    bob.start()
    world.run(1)
    assert bob.engine is not None
    assert bob.engine.mesh._book.source_of("ws://dan:1") is None
    bob.call(c.ContactUnblock(username="dan"))
    world.run(1)
    assert bob.engine.mesh._book.source_of("ws://dan:1") == "room"
