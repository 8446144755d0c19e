"""Frontends hear of open rooms of others that come onto the list and go, and not too often."""

from __future__ import annotations

from node.chat import commands as c, events
from node.chat.directory import GAP_MS, LIFE_MS
from node.engine import listings
from node.sim import SimSession, Simulation
from tests.engine.test_open_rooms import join, listed, mesh


def told(session: SimSession) -> list[tuple[str, bool]]:
    return [(event.name, event.listed) for event in session.of(events.RoomListed)]


def test_an_open_room_is_told_of_once_when_it_is_listed_renamed_and_over() -> None:
    world, ann, bob, cat = mesh("listed")
    theirs, own = cat.attach(), ann.attach()
    room = ann.call(c.RoomCreate(name="square", visibility="open"))["room"]
    assert world.run_until(lambda: bool(told(theirs)), 10)
    first = theirs.of(events.RoomListed)[0]
    assert first == events.RoomListed(room=room, name="square", members=1, listed=True)
    join(world, bob, room)
    world.run(2 * GAP_MS / 1000)
    assert told(theirs) == [("square", True)]
    ann.call(c.RoomUpdate(room=room, name="market"))
    assert world.run_until(lambda: len(told(theirs)) == 2, GAP_MS / 1000 + 10)
    ann.call(c.RoomDelete(room=room))
    assert world.run_until(lambda: len(told(theirs)) == 3, GAP_MS / 1000 + 10)
    assert told(theirs) == [("square", True), ("market", True), ("market", False)]
    assert not listed(cat) and not told(own)


def test_a_room_that_nobody_lists_any_more_is_told_to_be_gone() -> None:
    world, ann, bob, cat = mesh("unlisted")
    ann.call(c.RoomCreate(name="square", visibility="open"))
    theirs = cat.attach()
    assert world.run_until(lambda: bool(told(theirs)), 10)
    ann.crash(), bob.crash()
    world.run(LIFE_MS / 1000 + 7_300)
    assert told(theirs) == [("square", True), ("square", False)]


def test_a_start_does_not_tell_again_of_what_was_listed_before() -> None:
    world, ann, _, cat = mesh("again")
    ann.call(c.RoomCreate(name="square", visibility="open"))
    assert world.run_until(lambda: bool(listed(cat)), 10)
    cat.crash()
    cat.start()
    theirs = cat.attach()
    world.run(30)
    assert listed(cat) and not told(theirs)


def test_of_many_rooms_at_once_only_so_many_are_told_of() -> None:
    world = Simulation("many")
    ann = world.add("ann")
    makers = [world.add(f"maker{number}", peers=["ann"]) for number in range(2)]
    world.run(2)
    theirs = ann.attach()
    listings_of = ann.engine.desk.inbox.listings  # type: ignore[union-attr]
    listings_of._tells = listings.TokenBucket(0.001, now=ann.now().mono, burst=3)
    for maker in makers:
        for number in range(3):
            maker.call(c.RoomCreate(name=f"{maker.name} {number}", visibility="open"))
    assert world.run_until(lambda: len(listed(ann)) == 6, 30)
    assert len(told(theirs)) == 3
