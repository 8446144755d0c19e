"""Open rooms: whoever is in the network finds them, comes in by any member, and lists them in turn."""

from __future__ import annotations

from typing import Any

import pytest

from node.chat import commands as c, events
from node.chat.directory import GAP_MS
from node.sim import CallError, SimNode, SimSession, Simulation
from tests.engine.hostile import engine_of, later_on, no_late_faults
from tests.engine.worlds import befriend, joined, texts

HOUR = 3600.0


def mesh(seed: str) -> tuple[Simulation, SimNode, SimNode, SimNode]:
    """Three nodes that know each other's addresses and nothing else of each other."""
    world = Simulation(seed)
    bob = world.add("bob")
    ann, cat = world.add("ann", peers=["bob"]), world.add("cat", peers=["bob"])
    world.run(2)
    return world, ann, bob, cat


def opened(seed: str, name: str = "square") -> tuple[Simulation, SimNode, SimNode, SimNode, str]:
    """The same, and ann has an open room that the others have seen listed."""
    world, ann, bob, cat = mesh(seed)
    room = ann.call(c.RoomCreate(name=name, visibility="open"))["room"]
    assert world.run_until(lambda: bool(listed(bob) and listed(cat)), 10)
    return world, ann, bob, cat, room


def listed(node: SimNode) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = node.call(c.RoomList(joined=False))["rooms"]
    return rows


def names(node: SimNode) -> list[str]:
    return [row["name"] for row in listed(node)]


def join(world: Simulation, node: SimNode, room: str, seconds: float = 30) -> SimSession:
    session = node.attach()
    assert node.call(c.UserJoin(room=room))["state"] == "joining"
    assert world.run_until(lambda: bool(session.of(events.UserJoin)), seconds), "nobody let us in"
    return session


def roster(node: SimNode, room: str) -> set[str]:
    return {m["username"] for m in node.call(c.RoomGet(room=room))["members"]}


def lister(node: SimNode) -> SimNode:
    """Return whose listing of the one room a node keeps."""
    accounts = {one.setup.identity.account: one for one in node.world.nodes.values()}
    return accounts[next(iter(kept(node).values())).lister]


def counted(node: SimNode) -> int:
    """Return how many listings a node's store holds."""
    channel = engine_of(node).desk.inbox.listings.route.channel
    today = node.now().wall_ms // 86_400_000
    keys = {channel.rk(day) for day in range(today - 20, today + 2)}
    return sum(held.rk in keys for held in node.store._state.held.values())


def kept(node: SimNode) -> dict[bytes, Any]:
    return engine_of(node).state.directory.rooms


def test_an_open_room_is_listed_to_whoever_shares_no_room_and_no_contact_and_lets_them_in() -> None:
    world, ann, bob, cat, room = opened("open")
    assert listed(cat) == [
        {
            "room": room, "name": "square", "visibility": "open", "members": 1, "history": "200",
            "unread": 0, "muted": False, "muted_until": None,
            "last_message": None, "last_ms": None, "direct": False, "deleted": False, "joined": False,
        }
    ]  # fmt: skip
    mine = ann.call(c.RoomList())["rooms"]
    assert [(row["room"], row["visibility"], row["joined"]) for row in mine] == [(room, "open", True)]
    session = join(world, cat, room)
    world.run(5)
    assert roster(ann, room) == roster(cat, room) == {"ann", "cat"}
    assert listed(cat) == [] and cat.call(c.ContactList())["contacts"] == []
    ann.call(c.UserMessage(room=room, message="welcome"))
    assert world.run_until(lambda: "welcome" in texts(session), 20)
    no_late_faults(ann, bob, cat)


def test_every_answer_says_that_an_open_room_is_confidential_to_nobody() -> None:
    world, ann, _, cat = mesh("notice")
    made = ann.call(c.RoomCreate(name="square", visibility="open"))
    assert "confidential to nobody" in made["notice"]
    assert (made["visibility"], made["history"], made["invite"]) == ("open", "200", "anyone")
    world.run(5)
    asked = cat.call(c.UserJoin(room="square"))
    assert "confidential to nobody" in asked["notice"] and asked["state"] == "joining"
    assert "notice" not in ann.call(c.RoomCreate(name="den"))
    assert made["room"] == ann.call(c.UserJoin(room="square"))["room"]


def test_a_room_is_joined_by_its_id_its_name_or_the_first_eight_characters() -> None:
    world, ann, bob, cat, room = opened("names", "Square One")
    for node, said in ((bob, "square one"), (cat, room[:8].upper())):
        assert node.call(c.UserJoin(room=said))["room"] == room
    for nonsense in (room[:7], "square", room[:-1] + "x"):
        with pytest.raises(CallError, match="room_not_found"):
            world.nodes["cat"].call(c.UserJoin(room=nonsense))
    assert world.run_until(lambda: len(roster(ann, room)) == 3, 30)
    world.run(5)
    assert cat.call(c.UserJoin(room=room))["state"] == "joined"


def test_of_two_rooms_of_one_name_the_id_says_which() -> None:
    world, ann, bob, cat, room = opened("twins")
    other = bob.call(c.RoomCreate(name="square", visibility="open"))["room"]
    world.run(5)
    session = cat.attach()
    with pytest.raises(CallError, match="ambiguous_room"):
        cat.call(c.UserJoin(room="square"), session)
    [refused] = session.of(events.Error)
    assert {row["room"] for row in refused.extra["candidates"]} == {room, other}
    join(world, cat, other)
    assert roster(bob, other) == {"bob", "cat"}


def test_with_the_creator_away_another_member_lets_the_newcomer_in() -> None:
    world, ann, bob, cat, room = opened("greeter")
    join(world, bob, room)
    world.run(5)
    ann.crash()
    join(world, cat, room)
    world.run(2)
    assert roster(bob, room) == {"ann", "bob", "cat"}
    ann.start()
    world.run(20)
    assert roster(ann, room) == {"ann", "bob", "cat"}


def test_a_join_that_nobody_answers_waits_over_a_restart_and_completes() -> None:
    world, ann, _, cat, room = opened("waiting")
    ann.crash()
    assert cat.call(c.UserJoin(room=room))["state"] == "joining"
    world.run(45)
    assert cat.call(c.UserJoin(room=room))["state"] == "joining"
    cat.crash()
    cat.start()
    session = cat.attach()
    world.run(5)
    ann.start()
    assert world.run_until(lambda: joined(session, room, "cat"), 60)


def test_a_listing_survives_a_kill_and_goes_when_nobody_lists_the_room_any_more() -> None:
    world, ann, bob, cat, _ = opened("expiry")
    for days in (0, 1):
        later_on(world, days, bob, cat)
        world.run(5)
        assert names(cat) == ["square"] == names(bob)
    later_on(world, 1, bob, cat)
    world.run(2 * HOUR)
    assert names(cat) == [] == names(bob)
    assert kept(cat) == {} == kept(bob)
    ann.start()
    assert world.run_until(lambda: names(cat) == ["square"] == names(bob), 60)


def test_a_room_is_listed_once_a_day_by_one_of_its_members_the_creator_first() -> None:
    world, ann, bob, cat, room = opened("daily")
    join(world, bob, room)
    world.run(3 * HOUR)
    assert counted(cat) == 1
    for day in range(2, 4):
        later_on(world, 1, ann, bob, cat)
        world.run(200)
        assert (counted(cat), lister(cat)) == (day, ann)
    for day in range(4, 6):
        later_on(world, 1, bob, cat)
        world.run(200)
        assert (counted(cat), lister(cat)) == (day, bob)
    assert listed(cat)[0]["members"] == 2


def test_a_new_name_is_listed_soon_and_after_a_kill_too() -> None:
    world, ann, bob, cat, room = opened("rename")
    ann.call(c.RoomUpdate(room=room, name="circle"))
    ann.crash()
    ann.start()
    assert world.run_until(lambda: names(cat) == ["circle"], GAP_MS / 1000 + 30)
    assert names(bob) == ["circle"]
    with pytest.raises(CallError, match="room_not_found"):
        cat.call(c.UserJoin(room="square"))


def test_a_deleted_room_goes_from_every_list_and_ends_the_joins_that_wait_for_it() -> None:
    world, ann, bob, cat, room = opened("deleted")
    world.run(5)
    world.partition(["ann"], ["bob", "cat"])
    session = cat.attach()
    assert cat.call(c.UserJoin(room=room))["state"] == "joining"
    ann.call(c.RoomDelete(room=room))
    world.run(20)
    world.heal()
    assert world.run_until(lambda: names(bob) == [] == names(cat), 60)
    ended = session.of(events.InviteResult)
    assert [(e.room, e.target, e.response) for e in ended] == [(room, "cat", "cancelled")]
    later_on(world, 1, ann, bob, cat)
    world.run(HOUR)
    assert names(bob) == [] == names(cat)
    with pytest.raises(CallError, match="room_not_found"):
        cat.call(c.UserJoin(room=room))
    no_late_faults(ann, bob, cat)


def test_a_join_that_nobody_answers_for_35_days_ends_and_says_so() -> None:
    world, ann, _, cat, room = opened("given up")
    link = ann.call(c.RoomLinkCreate(room=room))
    world.run(2)
    ann.call(c.RoomLinkRevoke(room=room, invite=link["invite"]))
    world.run(2)
    assert cat.call(c.RoomLinkUse(link=link["link"]))["state"] == "joining"
    later_on(world, 34, ann, cat)
    session = cat.attach()
    world.run(60)
    assert session.of(events.InviteResult) == []
    later_on(world, 1, ann, cat)
    session = cat.attach()
    world.run(60)
    ended = session.of(events.InviteResult)
    assert [(e.invite, e.room, e.target, e.response) for e in ended] == [
        (link["invite"], room, "cat", "expired")
    ]
    assert engine_of(cat).state.joins.open == {}
    cat.crash()
    cat.start()
    assert engine_of(cat).state.joins.open == {}


def test_who_was_put_out_of_an_open_room_does_not_come_back_by_its_door() -> None:
    world, ann, bob, cat, room = opened("put out")
    join(world, cat, room)
    world.run(3)
    ann.call(c.MemberRemove(room=room, username="cat"))
    world.run(3)
    cat.call(c.UserJoin(room=room))
    world.run(40)
    assert roster(ann, room) == {"ann"}
    join(world, bob, room)
    no_late_faults(ann, bob, cat)


def test_links_of_others_neither_crowd_out_the_open_door_nor_close_it() -> None:
    world, ann, bob, cat, room = opened("crowd")
    for _ in range(16):
        ann.call(c.RoomLinkCreate(room=room))
    assert len(ann.call(c.RoomLinkRevoke(room=room))["revoked"]) == 16
    for _ in range(16):
        ann.call(c.RoomLinkCreate(room=room))
    world.run(5)
    join(world, cat, room)
    with pytest.raises(CallError, match="too_many"):
        ann.call(c.RoomLinkCreate(room=room))


def test_a_member_by_a_private_invite_learns_from_the_list_how_to_list_the_room() -> None:
    world, ann, bob, cat, room = opened("learner")
    link = ann.call(c.RoomLinkCreate(room=room))["link"]
    world.run(1)
    session = bob.attach()
    bob.call(c.RoomLinkUse(link=link))
    assert world.run_until(lambda: joined(session, room, "bob"), 20)
    world.run(60)
    later_on(world, 4, bob, cat)
    assert names(cat) == []
    world.run(100)
    assert names(cat) == ["square"]
    join(world, cat, room)


def test_everybody_in_an_open_room_lets_people_in_though_only_admins_make_greeters() -> None:
    world, ann, bob, cat = mesh("admins")
    room = ann.call(c.RoomCreate(name="strict", visibility="open", invite="admins", history="none"))["room"]
    world.run(5)
    join(world, bob, room)
    world.run(5)
    shown = bob.call(c.RoomGet(room=room))
    assert {m["username"]: m["role"] for m in shown["members"]} == {"ann": "creator", "bob": "member"}
    assert (shown["history"], shown["invite"]) == ("none", "admins")
    ann.crash()
    join(world, cat, room)
    world.run(1)
    assert roster(bob, room) == {"ann", "bob", "cat"}


def test_an_open_invite_to_an_open_room_is_what_joining_it_accepts() -> None:
    world, ann, bob, cat, room = opened("invited")
    befriend(world, ann, cat)
    session = cat.attach()
    offer = ann.call(c.UserInvite(target="cat", room=room))["invite"]
    assert world.run_until(lambda: bool(session.of(events.UserInvite)), 10)
    assert cat.call(c.UserJoin(room=room))["invite"] == offer
    assert world.run_until(lambda: joined(session, room, "cat"), 10)
    assert cat.call(c.RoomList(visibility="open", joined=True))["rooms"][0]["room"] == room
    assert cat.call(c.RoomList(visibility="private"))["rooms"] == []
    ended = session.of(events.InviteResult)
    assert "accept" in {e.response for e in ended}


def test_more_than_four_open_rooms_of_one_person_are_made_but_their_maker_is_told() -> None:
    world, ann, bob, _ = mesh("five")
    notices = [ann.call(c.RoomCreate(name=f"r{n}", visibility="open"))["notice"] for n in range(5)]
    assert [len(n) > len(notices[0]) for n in notices] == [False] * 4 + [True]
    world.run(30)
    assert len(names(bob)) == 4


def test_who_joins_dials_the_creators_node_as_its_listing_says() -> None:
    world, ann, bob, cat, room = opened("dials")
    bob.crash()
    world.run(1)
    join(world, cat, room)
    assert roster(ann, room) == {"ann", "cat"}
