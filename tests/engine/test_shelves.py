"""A newcomer whose log lies on a shelf comes in, also after a crash and past somebody's junk."""

from __future__ import annotations

import pytest

from node.chat import commands as c, shelves
from node.crypto.channel import join_channel, join_channel_secret
from node.crypto.links import decode_room
from node.crypto.welcome import Welcome, seal_welcome
from node.sim import SimNode
from node.wire import codec
from tests.engine.hostile import engine_of, no_late_faults, post, room_of
from tests.engine.test_room_links import hear, in_room, roster, use
from tests.engine.worlds import trio


@pytest.fixture(autouse=True)
def everything_on_shelves(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shelves, "INLINE_OPS", 0)
    monkeypatch.setattr(shelves, "INLINE_SLOTS", 0)


def waits(node: SimNode) -> int:
    return len(engine_of(node).state.joins.arrivals._waiting)


def test_who_finds_log_and_slots_on_a_shelf_comes_in_and_waits_for_nothing_more() -> None:
    world, ann, bob, cat, room = trio("shelf")
    dan = world.add("dan", peers=["cat"])
    link = ann.call(c.RoomLinkCreate(room=room))["link"]
    assert in_room(world, use(cat, link), room, "cat")
    assert in_room(world, use(dan, link), room, "dan")
    world.run(5)
    assert roster(ann, room) == roster(dan, room) == {"ann", "bob", "cat", "dan"}
    hear(world, room, ann, bob, cat, dan)
    assert waits(cat) == waits(dan) == 0


def test_a_newcomer_that_is_killed_between_its_welcome_and_the_shelf_comes_in_after_its_restart() -> None:
    world, ann, bob, cat, room = trio("killed at the shelf")
    link = ann.call(c.RoomLinkCreate(room=room))["link"]
    use(cat, link)
    assert world.run_until(lambda: waits(cat) == 1, 5)
    cat.crash()
    world.run(1)
    cat.start()
    world.run(10)
    assert roster(ann, room) == roster(cat, room)
    hear(world, room, ann, bob, cat)


def junk(node: SimNode, link: str, target: SimNode, number: int, announce: bytes) -> None:
    """Whoever holds a link posts a welcome that names what is on no shelf."""
    shelf = number.to_bytes(32, "big")
    welcome = Welcome(decode_room(link).room_id, (), (), announce, b"", shelf=shelf, objects=(shelf,))
    content = seal_welcome(welcome, target.setup.identity.intro_pub, node.setup.entropy)
    door = join_channel(join_channel_secret(decode_room(link).invite_seed))
    post(node, door, codec.pack([8, content]))


def test_welcomes_of_somebodys_making_keep_nobody_out_and_nothing_growing() -> None:
    world, ann, bob, cat, room = trio("junk welcomes")
    link = ann.call(c.RoomLinkCreate(room=room))["link"]
    announce = next(iter(room_of(bob).epochs.held.values())).announce.raw
    ann.crash()
    session = use(cat, link)
    for number in range(1, 40):
        junk(bob, link, cat, number, announce)
        junk(bob, link, cat, number, b"no announce")
    world.run(0.2)
    assert waits(cat) <= shelves.MAX_WAITING
    ann.start()
    assert in_room(world, session, room, "cat", 30)
    hear(world, room, ann, bob, cat)
    no_late_faults(ann, bob, cat)
