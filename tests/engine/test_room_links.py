"""Room links: who has one comes in, let in by whichever greeter is up, and everywhere alike."""

from __future__ import annotations

import pytest

from node.chat import commands as c, events
from node.crypto.links import RoomLink, decode_room, encode_room
from node.engine.greeting import DOORS_EACH
from node.sim import CallError, SimNode, SimSession, Simulation
from tests.engine.hostile import engine_of, no_late_faults, room_of
from tests.engine.worlds import befriend, invite, joined, texts, trio


def roster(node: SimNode, room: str) -> set[str]:
    return {m["username"] for m in node.call(c.RoomGet(room=room))["members"]}


def hear(world: Simulation, room: str, *nodes: SimNode, within: float = 60) -> None:
    """Everybody's words reach everybody's frontend."""
    sessions = [node.attach() for node in nodes]
    for node in nodes:
        node.call(c.UserMessage(room=room, message=f"from {node.name}"))
        world.run(1)
    words = {f"from {node.name}" for node in nodes}
    assert world.run_until(lambda: all(words <= set(texts(s)) for s in sessions), within), [
        sorted(words - set(texts(session))) for session in sessions
    ]
    no_late_faults(*nodes)


def use(node: SimNode, link: str) -> SimSession:
    session = node.attach()
    assert node.call(c.RoomLinkUse(link=link))["state"] == "joining"
    return session


def in_room(world: Simulation, session: SimSession, room: str, name: str, seconds: float = 10) -> bool:
    return world.run_until(lambda: joined(session, room, name), seconds)


def test_who_has_a_link_comes_in_without_being_a_contact_of_anybody() -> None:
    world, ann, bob, cat, room = trio("link")
    made = ann.call(c.RoomLinkCreate(room=room))
    session = use(cat, made["link"])
    assert in_room(world, session, room, "cat")
    world.run(5)
    assert roster(ann, room) == roster(bob, room) == roster(cat, room) == {"ann", "bob", "cat"}
    assert cat.call(c.ContactList())["contacts"] == []
    assert cat.call(c.RoomLinkUse(link=made["link"]))["state"] == "joined"
    hear(world, room, ann, bob, cat)


def test_the_addresses_of_a_link_are_dialled_and_those_of_the_room_known_after_a_restart() -> None:
    world, ann, _, _, room = trio("address")
    dan = world.add("dan")
    world.run(1)
    link = ann.call(c.RoomLinkCreate(room=room))["link"]
    ann.crash()
    use(dan, link)
    world.run(3)
    dan.crash()
    dan.start()
    world.run(1)
    ann.start()
    assert world.run_until(lambda: "dan" in roster(ann, room), 60)
    world.run(5)
    dan.crash()
    world.run(1)
    dan.start()
    hear(world, room, ann, dan)


def test_with_the_inviter_away_a_greeter_lets_the_newcomer_in() -> None:
    world, ann, bob, cat, room = trio("greeter")
    link = ann.call(c.RoomLinkCreate(room=room, uses=1))["link"]
    world.run(2)
    ann.crash()
    assert in_room(world, use(cat, link), room, "cat", 5)
    ann.start()
    world.run(20)
    assert roster(ann, room) == roster(bob, room) == {"ann", "bob", "cat"}
    hear(world, room, ann, bob, cat)


def test_a_greeter_that_was_killed_before_its_turn_answers_after_its_restart() -> None:
    world, ann, bob, cat, room = trio("killed greeter")
    link = ann.call(c.RoomLinkCreate(room=room))["link"]
    world.run(2)
    ann.crash()
    session = use(cat, link)
    world.run_until(lambda: engine_of(bob).desk.inbox.greeting.deadline is not None, 3)
    bob.crash()
    world.run(3)
    assert not joined(session, room, "cat")
    bob.start()
    assert in_room(world, session, room, "cat", 30)


def test_one_request_is_answered_by_one_add_however_many_greet() -> None:
    world, ann, bob, cat, room = trio("one add")
    dan, eve = world.add("dan", peers=["cat"]), world.add("eve", peers=["cat"])
    link = ann.call(c.RoomLinkCreate(room=room))["link"]
    assert in_room(world, use(dan, link), room, "dan")
    world.run(3)
    ann.crash()
    assert in_room(world, use(eve, link), room, "eve", 5)
    assert in_room(world, use(cat, link), room, "cat", 5)
    world.run(5)
    log = room_of(bob).log
    assert sum(op.type.name == "ADD" for op in log.ops_in_order()) == 4
    hear(world, room, bob, cat, dan, eve)


def test_a_join_that_nobody_answers_stays_joining_and_completes_later() -> None:
    world, ann, bob, cat, room = trio("nobody")
    link = ann.call(c.RoomLinkCreate(room=room))["link"]
    world.run(2)
    ann.crash()
    bob.crash()
    session = use(cat, link)
    world.run(45)
    assert cat.call(c.RoomLinkUse(link=link))["state"] == "joining"
    cat.crash()
    cat.start()
    session = cat.attach()
    bob.start()
    assert in_room(world, session, room, "cat", 40)


def split(
    seed: str, uses: int, parted: float = 20
) -> tuple[Simulation, SimNode, SimNode, SimNode, SimNode, str, dict[str, SimSession]]:
    """Two greeters are parted, and each lets somebody in by the same link; then the parts meet."""
    world, ann, bob, _, room = trio(seed)
    dan, eve = world.add("dan", peers=["ann", "bob"]), world.add("eve", peers=["ann", "bob"])
    world.run(3)
    link = ann.call(c.RoomLinkCreate(room=room, uses=uses))["link"]
    world.run(2)
    world.partition(["ann", "dan"], ["bob", "eve"])
    shown = {"dan": use(dan, link), "eve": use(eve, link)}
    assert in_room(world, shown["dan"], room, "dan", 20)
    assert in_room(world, shown["eve"], room, "eve", 20)
    world.run(parted)
    world.heal()
    return world, ann, bob, dan, eve, room, shown


@pytest.mark.attack("A23")
@pytest.mark.parametrize("seed", ["race 1", "race 2", "race 3"])
def test_of_two_joins_on_the_last_use_one_counts_everywhere_and_the_other_is_told(seed: str) -> None:
    world, ann, bob, dan, eve, room, shown = split(seed, uses=1)
    world.run(60)
    names = roster(ann, room)
    assert names == roster(bob, room)
    assert len(names) == 3
    winner, loser = (dan, eve) if "dan" in names else (eve, dan)
    assert roster(winner, room) == names
    left = shown[loser.name].of(events.UserLeave)
    assert [(e.username, e.reason) for e in left if e.username == loser.name] == [(loser.name, "removed")]
    with pytest.raises(CallError, match="room_not_found"):
        loser.call(c.UserMessage(room=room, message="am I here?"))
    ann.call(c.RoomLinkCreate(room=room))
    world.run(3)
    hear(world, room, ann, bob, winner)


@pytest.mark.parametrize("parted", [0, 20, 4000])
@pytest.mark.parametrize("seed", ["both 1", "both 2", "both 3"])
def test_whom_two_parted_greeters_let_in_hear_each_other_once_they_meet(seed: str, parted: float) -> None:
    world, ann, bob, dan, eve, room, _ = split(seed, 5, parted)
    everybody = {"ann", "bob", "dan", "eve"}
    four = (ann, bob, dan, eve)
    assert world.run_until(lambda: all(roster(node, room) == everybody for node in four), 40)
    world.run(1)
    hear(world, room, dan, eve, ann, bob, within=5)


@pytest.mark.parametrize("seed", ["twice 1", "twice 2", "twice 3"])
def test_who_is_let_in_twice_by_parted_greeters_hears_both(seed: str) -> None:
    world, ann, bob, _, room = trio(seed)
    dan = world.add("dan", peers=["ann", "bob"])
    world.run(3)
    link = ann.call(c.RoomLinkCreate(room=room))["link"]
    world.run(2)
    world.partition(["ann"], ["bob"], ["dan"])
    session = use(dan, link)
    world.run(1)
    world.partition(["ann", "dan"], ["bob"])
    assert in_room(world, session, room, "dan", 40)
    world.partition(["ann"], ["bob", "dan"])
    world.run(20)
    world.heal()
    world.run(40)
    assert roster(ann, room) == roster(bob, room) == roster(dan, room) == {"ann", "bob", "dan"}
    hear(world, room, ann, bob, dan)


@pytest.mark.parametrize("how", ["revoked", "all revoked", "expired", "used up"])
def test_a_link_that_is_over_lets_nobody_in(how: str) -> None:
    world, ann, bob, cat, room = trio(how)
    dan = world.add("dan", peers=["cat"])
    uses, life = (1 if how == "used up" else None), (60 if how == "expired" else None)
    made = ann.call(c.RoomLinkCreate(room=room, uses=uses, expires_in=life))
    match how:
        case "revoked":
            revoke = c.RoomLinkRevoke(room=room, invite=made["invite"])
            assert ann.call(revoke)["revoked"] == [made["invite"]]
        case "all revoked":
            assert ann.call(c.RoomLinkRevoke(room=room))["revoked"] == [made["invite"]]
        case "expired":
            world.run(61)
        case _:
            assert in_room(world, use(dan, made["link"]), room, "dan")
    world.run(2)
    session = use(cat, made["link"])
    world.run(40)
    assert not joined(session, room, "cat")
    assert "cat" not in roster(bob, room)
    with pytest.raises(CallError, match="invite_resolved"):
        ann.call(c.RoomLinkRevoke(room=room, invite=made["invite"]))
    no_late_faults(ann, bob, cat)


@pytest.mark.attack("A23")
def test_a_request_that_was_granted_brings_nobody_back_who_left() -> None:
    world, ann, bob, cat, room = trio("left")
    link = ann.call(c.RoomLinkCreate(room=room))["link"]
    assert in_room(world, use(cat, link), room, "cat")
    world.run(3)
    cat.call(c.UserLeave(room=room))
    world.run(3)
    for node in (ann, bob, cat):
        node.crash()
        node.start()
    world.run(30)
    assert roster(ann, room) == roster(bob, room) == {"ann", "bob"}
    again = use(cat, link)
    assert in_room(world, again, room, "cat", 20)
    hear(world, room, ann, bob, cat)


@pytest.mark.attack("A23")
def test_who_was_put_out_does_not_come_back_by_a_link_it_had() -> None:
    world, ann, bob, cat, room = trio("put out")
    link = bob.call(c.RoomLinkCreate(room=room))["link"]
    assert in_room(world, use(cat, link), room, "cat")
    world.run(3)
    ann.call(c.MemberRemove(room=room, username="cat"))
    world.run(3)
    session = use(cat, link)
    world.run(40)
    assert not joined(session, room, "cat")
    assert "cat" not in roster(ann, room)
    no_late_faults(ann, bob, cat)


def test_an_invite_to_one_person_is_answered_by_its_inviter_alone() -> None:
    world, ann, bob, cat, room = trio("one person")
    befriend(world, ann, cat)
    guest = cat.attach()
    ann.call(c.UserInvite(target="cat", room=room))
    world.run(3)
    ann.crash()
    cat.call(c.UserInviteResponse(response="accept"), guest)
    world.run(40)
    assert roster(bob, room) == {"ann", "bob"}
    ann.start()
    assert in_room(world, guest, room, "cat", 30)


def test_members_who_may_not_invite_neither_make_links_nor_close_others() -> None:
    world, ann, bob, cat, _ = trio("members")
    strict = ann.call(c.RoomCreate(name="strict", invite="admins"))["room"]
    invite(world, ann, bob, strict)
    made = ann.call(c.RoomLinkCreate(room=strict))
    world.run(2)
    with pytest.raises(CallError, match="forbidden"):
        bob.call(c.RoomLinkCreate(room=strict))
    with pytest.raises(CallError, match="forbidden"):
        bob.call(c.RoomLinkRevoke(room=strict, invite=made["invite"]))
    assert bob.call(c.RoomLinkRevoke(room=strict))["revoked"] == []
    ann.crash()
    session = use(cat, made["link"])
    world.run(20)
    assert not joined(session, strict, "cat")


def test_links_that_are_no_room_links_and_too_many_of_them_are_refused() -> None:
    _, ann, _, cat, room = trio("refused")
    for bad in ("gossamer:i/AAAA", ann.call(c.ContactLinkCreate())["link"], "https://example.org"):
        with pytest.raises(CallError, match="bad_link"):
            cat.call(c.RoomLinkUse(link=bad))
    with pytest.raises(CallError, match="invite_unknown"):
        ann.call(c.RoomLinkRevoke(room=room, invite=room))
    for _ in range(DOORS_EACH):
        link = ann.call(c.RoomLinkCreate(room=room))["link"]
    with pytest.raises(CallError, match="too_many"):
        ann.call(c.RoomLinkCreate(room=room))
    real = decode_room(link)
    for number in range(64):
        forged = RoomLink(number.to_bytes(16, "big"), bytes(31) + bytes([number]), real.inviter, ())
        assert cat.call(c.RoomLinkUse(link=encode_room(forged)))["state"] == "joining"
    with pytest.raises(CallError, match="too_many"):
        cat.call(c.RoomLinkUse(link=link))
