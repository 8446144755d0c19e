"""Invites to a game between simulated nodes: one at a time, busy, raced, and the same id at both ends."""

from __future__ import annotations

from contextlib import suppress

import pytest

from node.chat import commands as c, events
from node.chat.turn import Logged
from node.sim import CallError, SimNode, SimSession, Simulation
from node.wire.payload import Type
from tests.engine.hostile import direct, engine_of, no_late_faults, turn_of
from tests.engine.worlds import befriend, trio


def players(seed: str, *, friends: int = 2) -> tuple[Simulation, list[SimNode]]:
    """Nodes ann, bob and perhaps cat, everybody a contact of everybody, each pair in its direct room."""
    world = Simulation(seed)
    nodes = [world.add("ann"), world.add("bob", peers=["ann"])]
    if friends == 3:
        nodes.append(world.add("cat", peers=["ann", "bob"]))
    world.run(2)
    for at, one in enumerate(nodes):
        for other in nodes[at + 1 :]:
            befriend(world, one, other)
    return world, nodes


def ask(one: SimNode, other: SimNode, **keys: object) -> dict[str, object]:
    room = one.call(c.DmOpen(username=other.name))["room"]
    return one.call(c.UserInvite(target=other.name, room=room, kind="game", **keys))  # type: ignore[arg-type]


def results(session: SimSession) -> list[str]:
    return [event.response for event in session.of(events.InviteResult)]


def last(session: SimSession) -> events.InviteResult:
    return session.of(events.InviteResult)[-1]


def test_an_accepted_game_has_the_same_fresh_id_at_every_frontend_of_both_and_changes_no_room() -> None:
    world, (ann, bob) = players("accept")
    hosts, guests = [ann.attach(), ann.attach()], [bob.attach(), bob.attach()]
    options = {"score_to_win": 10, "ranked": True}
    ask(ann, bob, options=options, client_id="tab 7")
    world.run(2)
    asked = guests[1].of(events.UserInvite)[-1]
    direct_room = bob.call(c.DmOpen(username="ann"))
    assert (asked.kind, asked.options, asked.room) == ("game", options, direct_room["room"])
    assert (asked.sender, asked.room_name) == ("ann", "ann")
    answer = bob.call(c.UserInviteResponse(response="accept"), guests[1])
    world.run(2)
    assert answer["state"] == "accepted"
    for session in (*hosts, *guests):
        assert (last(session).response, last(session).game_id) == ("accept", answer["game_id"])
        assert last(session).kind == "game"
    assert [last(host).client_id for host in hosts] == ["tab 7", "tab 7"]
    assert [row["direct"] for row in bob.call(c.RoomList())["rooms"]] == [True]
    ask(ann, bob)
    world.run(2)
    assert bob.call(c.UserInviteResponse(response="accept"), guests[0])["game_id"] != answer["game_id"]


def test_the_client_id_comes_back_with_every_result_and_never_leaves_the_node() -> None:
    world, (ann, bob) = players("client")
    host, guest = ann.attach(), bob.attach()
    room = ann.call(c.RoomCreate(name="club"))["room"]
    ann.call(c.UserInvite(target="bob", room=room, client_id="tab 7"))
    world.run(2)
    bob.call(c.UserInviteResponse(response="decline"), guest)
    world.run(2)
    assert [(e.response, e.client_id) for e in host.of(events.InviteResult)] == [
        ("delivered", "tab 7"),
        ("decline", "tab 7"),
    ]
    assert last(guest).client_id != "tab 7"


def test_one_game_is_asked_for_at_a_time_and_again_after_it_was_taken_back() -> None:
    world, (ann, bob, cat) = players("one", friends=3)
    host, guest = ann.attach(), bob.attach()
    first = ask(ann, bob)
    assert ask(ann, bob)["invite"] == first["invite"]
    with pytest.raises(CallError, match="busy"):
        ask(ann, cat)
    world.run(2)
    ann.call(c.InviteCancel(invite=str(first["invite"])))
    world.run(2)
    assert (results(host), results(guest)) == (["delivered", "cancelled"], ["cancelled"])
    assert ask(ann, cat)["invite"] != first["invite"]


def test_who_is_asked_already_is_busy_for_everybody_else_and_asks_nobody() -> None:
    world, (ann, bob, cat) = players("busy", friends=3)
    guest, other = bob.attach(), cat.attach()
    ask(ann, bob)
    world.run(2)
    ask(cat, bob, client_id="late")
    world.run(2)
    assert (last(other).response, last(other).why, last(other).client_id) == ("cancelled", "busy", "late")
    assert len(guest.of(events.UserInvite)) == 1
    with pytest.raises(CallError, match="busy"):
        ask(bob, cat)
    bob.call(c.UserInviteResponse(response="decline"), guest)
    ask(cat, bob)
    world.run(2)
    assert last(other).response == "delivered"


def test_of_two_offers_that_wait_for_a_frontend_one_is_shown_and_the_other_is_answered_busy() -> None:
    world, (ann, bob, cat) = players("two offers", friends=3)
    hosts = [ann.attach(), cat.attach()]
    ask(ann, bob)
    world.run(2)
    ask(cat, bob)
    world.run(2)
    guest = bob.attach()
    world.run(3)
    assert [event.sender for event in guest.of(events.UserInvite)] == ["ann"]
    assert [results(host) for host in hosts] == [["delivered"], ["cancelled"]]


@pytest.mark.parametrize("seed", range(4))
def test_two_who_ask_each_other_at_once_have_one_invite_between_them(seed: int) -> None:
    world, (ann, bob) = players(f"cross {seed}")
    sessions = {"ann": ann.attach(), "bob": bob.attach()}
    ask(ann, bob)
    ask(bob, ann)
    world.run(5)
    shown = {name: session.of(events.UserInvite) for name, session in sessions.items()}
    asked = [name for name, found in shown.items() if found]
    assert len(asked) == 1
    other = {"ann": bob, "bob": ann}[asked[0]]
    guest = {"ann": ann, "bob": bob}[asked[0]]
    answer = guest.call(c.UserInviteResponse(response="accept"), sessions[asked[0]])
    world.run(5)
    assert last(sessions[other.name]).game_id == answer["game_id"]
    states = [sorted(r["state"] for r in node.call(c.InviteList())["invites"]) for node in (guest, other)]
    assert states == [["accept", "cancelled"], ["accept"]]


def test_somebody_who_is_away_keeps_nobody_else_from_asking_us_for_longer_than_an_answer_takes() -> None:
    world, (ann, bob, cat) = players("away", friends=3)
    seen, other = ann.attach(), cat.attach()
    bob.crash()
    ask(ann, bob)
    world.run(5)
    ask(cat, ann)
    world.run(5)
    assert last(other).why == "busy"
    world.run(200)
    ask(cat, ann)
    world.run(5)
    assert last(other).response == "delivered"
    assert [event.sender for event in seen.of(events.UserInvite)] == ["cat"]


def test_no_answer_to_a_game_is_ignored_after_120_seconds_on_both_sides() -> None:
    world, (ann, bob) = players("silence")
    host, guest = ann.attach(), bob.attach()
    ask(ann, bob)
    world.run(119)
    assert (results(host), results(guest)) == (["delivered"], [])
    world.run(4)
    assert (results(host), results(guest)) == (["delivered", "ignore"], ["ignore"])


def test_an_answer_that_crosses_the_taking_back_ends_cancelled_at_both() -> None:
    world, (ann, bob) = players("race")
    host, guest = ann.attach(), bob.attach()
    invite = str(ask(ann, bob)["invite"])
    world.run(2)
    world.partition(["ann"], ["bob"])
    ann.call(c.InviteCancel(invite=invite))
    bob.call(c.UserInviteResponse(response="accept"), guest)
    world.run(5)
    world.heal()
    world.run(60)
    assert results(host) == ["delivered", "cancelled"]
    assert results(guest) == ["accept", "cancelled"]
    assert [row["state"] for node in (ann, bob) for row in node.call(c.InviteList())["invites"]] == [
        "cancelled",
        "cancelled",
    ]


def test_a_game_in_a_room_is_for_those_who_are_there() -> None:
    world, ann, bob, cat, room = trio("room game")
    befriend(world, ann, cat)
    guest = bob.attach()
    with pytest.raises(CallError, match="not_a_member"):
        ann.call(c.UserInvite(target="cat", room=room, kind="game"))
    with pytest.raises(CallError, match="invalid"):
        ann.call(c.UserInvite(target="ann", room=room, kind="game"))
    ann.call(c.UserInvite(target="bob", room=room, kind="game"))
    world.run(2)
    assert (guest.of(events.UserInvite)[-1].kind, guest.of(events.UserInvite)[-1].room_name) == (
        "game",
        "club",
    )
    assert bob.call(c.UserJoin(room=room))["state"] == "joined"
    assert bob.call(c.UserInviteResponse(response="accept"), guest)["state"] == "accepted"


@pytest.mark.parametrize("step", range(8))
def test_a_crash_between_any_two_effects_of_asking_or_answering_loses_and_doubles_nothing(step: int) -> None:
    world, (ann, bob) = players(f"crash {step}")
    ann.effects_left = step
    with suppress(CallError):
        ask(ann, bob, client_id="tab")
    ann.effects_left = None
    if not ann.up:
        ann.start()
    ask(ann, bob, client_id="tab")
    host, guest = ann.attach(), bob.attach()
    world.run(10)
    bob.effects_left = step
    with suppress(CallError):
        bob.call(c.UserInviteResponse(response="accept"), guest)
    bob.effects_left = None
    if not bob.up:
        bob.start()
        guest = bob.attach()
        try:
            bob.call(c.UserInviteResponse(response="accept"), guest)
        except CallError as fault:
            assert fault.code == "no_open_invite"
    world.run(30)
    rows = [node.call(c.InviteList())["invites"] for node in (ann, bob)]
    assert [[row["state"] for row in mine] for mine in rows] == [["accept"], ["accept"]]
    assert rows[0][0]["game_id"] == rows[1][0]["game_id"] is not None
    assert results(host).count("accept") == 1
    no_late_faults(ann, bob)


def test_an_offer_of_a_game_elsewhere_is_dropped_and_a_flood_is_answered_a_few_times() -> None:
    world, (ann, bob) = players("flood")
    guest = bob.attach()
    turn = turn_of(ann)
    ends = turn.mesh_ms + 10_000_000
    direct(ann, bob, Type.INVITE, [turn.new_id(), bytes(16), bytes(32), "x", "game", "{}", ends])
    world.run(2)
    assert guest.of(events.UserInvite) == []
    room = engine_of(bob).state.direct_with(turn_of(bob), ann.setup.identity.account).room_id
    before = len(bob.sent_bytes)
    for _ in range(200):
        direct(ann, bob, Type.INVITE, [turn.new_id(), room, bytes(32), "x", "game", "{}", ends])
    world.run(5)
    assert len(guest.of(events.UserInvite)) == 1
    assert len(bob.call(c.InviteList())["invites"]) == 1
    assert len(bob.sent_bytes) - before < 40
    no_late_faults(ann, bob)


@pytest.mark.parametrize("step", range(7))
def test_taking_back_while_it_is_accepted_ends_cancelled_whoever_is_killed_when(step: int) -> None:
    world, (ann, bob) = players(f"race and crash {step}")
    guest = bob.attach()
    invite = str(ask(ann, bob)["invite"])
    world.run(2)
    world.partition(["ann"], ["bob"])
    for node, command, session in (
        (ann, c.InviteCancel(invite=invite), None),
        (bob, c.UserInviteResponse(response="accept", invite=invite), guest),
    ):
        node.effects_left = step
        with suppress(CallError):
            node.call(command, session)
        node.effects_left = None
        if not node.up:
            node.start()
            with suppress(CallError):
                node.call(command)
    seen = bob.attach()
    world.run(5)
    world.heal()
    world.run(90)
    assert [n.call(c.InviteList())["invites"][0]["state"] for n in (ann, bob)] == ["cancelled", "cancelled"]
    assert results(seen)[-1:] == ["cancelled"]
    assert ask(ann, bob)["invite"] != invite
    no_late_faults(ann, bob)


def test_an_offer_with_a_time_of_its_own_is_over_when_it_has_reached_nobody_and_shown_to_nobody_later() -> (
    None
):
    world, (ann, bob) = players("own time")
    host = ann.attach()
    world.partition(["ann"], ["bob"])
    made = ask(ann, bob, expires_in=120, client_id="tab 7")
    assert 119 <= int(str(made["expires_at"])) - ann.now().wall_ms // 1000 <= 120
    world.run(60)
    ann.crash()
    ann.start()
    host = ann.attach()
    world.run(57)
    assert results(host) == []
    world.run(5)
    assert (results(host), last(host).client_id) == (["expired"], "tab 7")
    world.heal()
    world.run(20)
    guest = bob.attach()
    world.run(2)
    assert guest.of(events.UserInvite) == [] and results(guest) == []
    ask(ann, bob, expires_in=120)
    world.run(2)
    assert len(guest.of(events.UserInvite)) == 1


def test_an_offer_that_was_shown_in_time_has_its_120_seconds_whatever_time_it_was_given() -> None:
    world, (ann, bob) = players("shown in time")
    host = ann.attach()
    ask(ann, bob, expires_in=5)
    world.run(3)
    guest = bob.attach()
    world.run(60)
    assert results(host) == ["delivered"]
    bob.call(c.UserInviteResponse(response="accept"), guest)
    world.run(2)
    assert results(host) == ["delivered", "accept"]


def test_an_offer_that_is_over_before_a_frontend_comes_is_not_shown_to_it() -> None:
    world, (ann, bob) = players("over before")
    ask(ann, bob, expires_in=30)
    world.run(2)
    engine = engine_of(bob)
    invite = next(iter(engine.state.invites.all.values()))
    turn = engine._turn(bob.now().after(31.0))  # a frontend comes before anything looks at the clock
    engine.desk.inviting.deliver(turn, invite.invite_id)
    assert [type(one.event) for one in turn.out if isinstance(one, Logged)] == [events.InviteResult]


def test_an_offer_of_a_room_with_a_time_of_its_own_lets_nobody_in_afterwards() -> None:
    world, (ann, bob) = players("room in time")
    room = ann.call(c.RoomCreate(name="tea"))["room"]
    ann.call(c.UserInvite(target="bob", room=room, expires_in=30))
    world.run(2)
    world.partition(["ann"], ["bob"])
    world.run(40)
    host = ann.attach()
    with pytest.raises(CallError, match="room_not_found"):
        bob.call(c.UserJoin(room=room))
    world.heal()
    world.run(5)
    assert [one["state"] for one in ann.call(c.InviteList())["invites"]] == ["expired"]
    assert [one["username"] for one in ann.call(c.RoomGet(room=room))["members"]] == ["ann"], host.seen


def test_an_offer_that_is_shown_while_its_sender_gives_it_up_unheard_is_taken_back_there() -> None:
    world, (ann, bob) = players("crossing")
    host = ann.attach()
    ask(ann, bob, expires_in=5)
    world.run(2)
    world.partition(["ann"], ["bob"])
    guest = bob.attach()
    world.run(10)
    assert (len(guest.of(events.UserInvite)), results(host)) == (1, ["expired"])
    world.heal()
    world.run(20)
    assert (results(guest), results(host)) == (["cancelled"], ["expired"])
