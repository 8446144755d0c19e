"""How people are seen: online, away, offline, and what they say of it, over the simulated mesh."""

from __future__ import annotations

from typing import Any

import pytest

from node.bridge.ports import Scope, SessionStarted, Subscription
from node.chat import commands as c, events
from node.chat.attendance import AWAY_AFTER, LEFT_AFTER
from node.chat.presence import ANSWER_CALM, BEAT_EVERY, CALM, GONE_AFTER
from node.sim import CallError, SimNode, SimSession, Simulation
from tests.engine.test_beats import told
from tests.engine.worlds import befriend, invite


def pair(seed: str) -> tuple[Simulation, SimNode, SimNode, SimSession, SimSession]:
    """Two contacts, ann and bob, each at a frontend."""
    world = Simulation(seed)
    ann, bob = world.add("ann"), world.add("bob", peers=["ann"])
    world.run(1)
    at_ann, at_bob = ann.attach(), bob.attach()
    befriend(world, ann, bob)
    world.run(BEAT_EVERY)
    return world, ann, bob, at_ann, at_bob


def seen(node: SimNode, name: str) -> str:
    """Return how a node's frontend sees a contact."""
    rows = {row["username"]: row["presence"] for row in node.call(c.ContactList())["contacts"]}
    return str(rows[name])


def of(session: SimSession, name: str) -> list[str]:
    """Return the states that a frontend was shown of somebody, in order."""
    return [e.state for e in session.of(events.Presence) if e.username == name]


def test_two_who_have_just_become_contacts_see_each_other_soon() -> None:
    world = Simulation("soon")
    ann, bob = world.add("ann"), world.add("bob", peers=["ann"])
    world.run(1)
    ann.attach(), bob.attach()
    befriend(world, ann, bob)
    world.run(ANSWER_CALM + 3)
    assert (seen(ann, "bob"), seen(bob, "ann")) == ("online", "online")


def test_who_asks_for_nothing_for_half_an_hour_is_away_and_with_the_next_command_back() -> None:
    world, ann, bob, at_ann, at_bob = pair("away")
    shown = len(of(at_ann, "bob"))
    world.run(AWAY_AFTER - BEAT_EVERY - 30)
    assert seen(ann, "bob") == "online" and of(at_bob, "bob") == []
    world.run(35)
    assert seen(ann, "bob") == "away" and of(at_bob, "bob") == ["away"]
    bob.call(c.Ack(seq=0), bob.attach(consumer="log", plain=False, subscribe=None))
    world.run(CALM + 1)
    assert seen(ann, "bob") == "online"  # a frontend that comes is somebody who came
    assert of(at_ann, "bob")[shown:] == ["away", "online"]
    assert at_ann.of(events.UserLeave) == []


def test_what_a_frontend_says_by_itself_as_it_reads_along_keeps_nobody_online() -> None:
    world, ann, bob, _, at_bob = pair("acks")
    for _ in range(40):
        world.run(60)
        with pytest.raises(CallError):
            bob.call(c.Ack(seq=1), at_bob)
    assert seen(ann, "bob") == "away"
    bob.call(c.RoomList(), at_bob)
    world.run(CALM)
    assert seen(ann, "bob") == "online" and of(at_bob, "bob") == ["away", "online"]


def test_a_minute_after_the_last_frontend_has_left_they_are_offline_and_not_before() -> None:
    world, ann, bob, at_ann, at_bob = pair("left")
    second = bob.attach()
    bob.detach(at_bob)
    world.run(2 * LEFT_AFTER)
    assert seen(ann, "bob") == "online"
    bob.detach(second)
    world.run(LEFT_AFTER - 5)
    assert seen(ann, "bob") == "online"
    world.run(7)
    assert seen(ann, "bob") == "offline"
    world.run(5 * BEAT_EVERY)
    assert at_ann.of(events.UserLeave) == []  # the node is there, so nobody has left a room
    back = bob.attach()
    world.run(CALM + 1)
    assert seen(ann, "bob") == "online" and of(at_ann, "bob")[-2:] == ["offline", "online"]
    bob.detach(back)
    world.run(30)
    bob.attach()
    world.run(2 * LEFT_AFTER)
    assert of(at_ann, "bob")[-1] == "online" and len(of(at_ann, "bob")) == 3  # a page that was loaded again


@pytest.mark.parametrize(
    "hello",
    [{"subscribe": "nothing"}, {"scope": "read"}],
    ids=["one-shot call", "who may only read"],
)
def test_a_call_of_the_command_line_and_who_may_only_read_are_nobody_who_sits_there(
    hello: dict[str, Any],
) -> None:
    if "subscribe" in hello:
        hello = {"subscribe": Subscription(events=frozenset()), "plain": False}
    world, ann, bob, _, at_bob = pair("calls")
    bob.detach(at_bob)
    for _ in range(6):
        once = bob.attach(**hello)
        bob.call(c.RoomList(), once)
        bob.detach(once)
        world.run(20)
    assert seen(ann, "bob") == "offline"


def test_who_says_to_be_away_is_until_they_say_otherwise_and_over_a_kill() -> None:
    world, ann, bob, _, at_bob = pair("said away")
    assert bob.call(c.PresenceSet(state="away", status="lunch", busy=True), at_bob) == {
        "state": "away", "status": "lunch", "busy": True,
    }  # fmt: skip
    world.run(CALM + 1)
    bob.crash()
    bob.start()
    bob.attach()
    world.run(ANSWER_CALM + 5)
    row = next(row for row in ann.call(c.ContactList())["contacts"] if row["username"] == "bob")
    assert (row["presence"], row["status"], row["busy"]) == ("away", "lunch", True)
    mine = bob.call(c.ProfileGet())
    assert (mine["presence"], mine["status"], mine["busy"]) == ("away", "lunch", True)
    assert bob.call(c.PresenceSet(state="online", busy=False))["state"] == "online"
    world.run(CALM + 1)
    assert seen(ann, "bob") == "online"


def test_every_frontend_on_both_sides_is_shown_a_change_once() -> None:
    world, ann, bob, at_ann, at_bob = pair("shown")
    also_ann, also_bob = ann.attach(), bob.attach()
    for session in (at_ann, at_bob, also_ann, also_bob):
        session.seen.clear()
    bob.call(c.PresenceSet(state="away", busy=True), at_bob)
    world.run(2 * BEAT_EVERY)
    for session in (at_ann, also_ann, at_bob, also_bob):
        (event,) = session.of(events.Presence)
        assert (event.username, event.state, event.presence, event.busy) == ("bob", "away", "away", True)


def test_the_invisible_send_nothing_and_look_like_a_node_that_stopped() -> None:
    world, ann, bob, at_ann, at_bob = pair("invisible")
    room = ann.call(c.RoomCreate(name="tea"))["room"]
    invite(world, ann, bob, room)
    world.run(BEAT_EVERY)
    bob.call(c.PresenceSet(state="offline"), at_bob)
    world.run(1)
    assert seen(ann, "bob") == "offline"
    assert [e.reason for e in at_ann.of(events.UserLeave)] == ["disconnect"]
    sent = told(bob)
    bob.call(c.TypingSet(room=room), at_bob)
    world.run(3 * GONE_AFTER)
    bob.crash()
    bob.start()
    again = told(bob)
    bob.attach()
    world.run(3 * GONE_AFTER)
    assert sent == again == [] and seen(ann, "bob") == "offline"
    bob.call(c.PresenceSet(state="online"))
    world.run(1)
    assert seen(ann, "bob") == "online"
    assert [e.reason for e in at_ann.of(events.UserJoin)][-1] == "reconnect"


def test_changing_ones_mind_all_the_time_makes_no_more_beats_than_a_clock_allows() -> None:
    world, ann, bob, at_ann, at_bob = pair("minds")
    sent = told(bob)
    for number in range(200):
        bob.call(c.PresenceSet(state=("away", "online")[number % 2]), at_bob)
        world.run(0.5)
    assert len(sent) <= 100 / CALM + 2
    world.run(CALM + 1)
    assert seen(ann, "bob") == "online"


def test_after_a_start_nobody_is_shown_as_online_who_has_not_been_heard_of() -> None:
    world, ann, bob, _, _ = pair("start")
    bob.crash()
    ann.crash()
    ann.start()
    at_ann = ann.attach()
    assert seen(ann, "bob") == "offline"
    world.run(GONE_AFTER + 1)
    assert of(at_ann, "bob") in ([], ["offline"])
    bob.start()
    bob.attach()
    world.run(ANSWER_CALM + 5)
    assert seen(ann, "bob") == "online" and of(at_ann, "bob")[-1] == "online"


def test_members_of_a_small_room_see_it_too_and_strangers_nothing() -> None:
    world = Simulation("members")
    ann = world.add("ann")
    bob, cat = world.add("bob", peers=["ann"]), world.add("cat", peers=["ann"])
    world.run(1)
    room = ann.call(c.RoomCreate(name="tea"))["room"]
    at_bob = bob.attach()
    ann.attach(), cat.attach()
    bob.call(c.RoomLinkUse(link=ann.call(c.RoomLinkCreate(room=room))["link"]))
    world.run(BEAT_EVERY)
    bob.call(c.PresenceSet(state="away", busy=True), at_bob)
    world.run(CALM + 1)
    members = {row["username"]: row["presence"] for row in ann.call(c.RoomGet(room=room))["members"]}
    assert members == {"ann": "online", "bob": "away"}
    assert ann.call(c.ProfileGet(username="bob"))["busy"] is True
    assert cat.sessions[1].of(events.Presence) == []


def test_a_session_that_turns_out_to_be_a_one_shot_call_makes_nobody_online() -> None:
    world, ann, bob, at_ann, at_bob = pair("mistaken")
    bob.detach(at_bob)
    world.run(2 * LEFT_AFTER)
    shown = len(of(at_ann, "bob"))
    for _ in range(5):
        once = bob.attach()
        again = SessionStarted(
            once.number, "owner", "owner", False, subscribe=Subscription(events=frozenset())
        )
        bob.feed(again)
        bob.call(c.RoomList(), once)
        bob.detach(once)
        world.run(40)
    assert seen(ann, "bob") == "offline" and len(of(at_ann, "bob")) == shown


@pytest.mark.parametrize("who", ["they are removed", "they leave", "we leave"])
def test_who_is_in_no_room_with_us_any_more_is_offline_whatever_they_send(who: str) -> None:
    world = Simulation(f"no more {who}")
    ann = world.add("ann")
    bob = world.add("bob", peers=["ann"])
    world.run(1)
    host, guest = (bob, ann) if who == "we leave" else (ann, bob)
    room = host.call(c.RoomCreate(name="tea"))["room"]
    at_bob, at_ann = bob.attach(), ann.attach()
    guest.call(c.RoomLinkUse(link=host.call(c.RoomLinkCreate(room=room))["link"]))
    world.run(BEAT_EVERY + 5)
    assert ann.call(c.ProfileGet(username="bob"))["presence"] == "online"
    if who == "they are removed":
        ann.call(c.MemberRemove(room=room, username="bob"))
    else:
        guest.call(c.UserLeave(room=room))
    world.run(5)
    shown = len(of(at_ann, "bob"))
    bob.call(c.PresenceSet(state="away", busy=True), at_bob)
    world.run(CALM + 1)
    bob.call(c.PresenceSet(state="online"), at_bob)
    world.run(BEAT_EVERY)
    seen_now = ann.call(c.ProfileGet(username="bob"))
    assert (seen_now["presence"], seen_now["busy"]) == ("offline", False)
    assert of(at_ann, "bob")[shown:] == []
    guest.call(c.RoomLinkUse(link=host.call(c.RoomLinkCreate(room=room))["link"]))
    world.run(BEAT_EVERY)
    back = ann.call(c.ProfileGet(username="bob"))
    assert (back["presence"], back["busy"]) == ("online", True)


def test_whoever_is_in_a_room_that_we_left_sees_no_more_when_we_are_here() -> None:
    world = Simulation("we left")
    ann = world.add("ann")
    bob = world.add("bob", peers=["ann"])
    world.run(1)
    room = bob.call(c.RoomCreate(name="tea"))["room"]
    ann.attach(), bob.attach()
    ann.call(c.RoomLinkUse(link=bob.call(c.RoomLinkCreate(room=room))["link"]))
    world.run(BEAT_EVERY)
    assert ann.engine is not None
    told = ann.engine.state.me.profile.presence_cs
    ann.call(c.UserLeave(room=room))
    world.run(60)
    assert ann.engine.state.me.profile.presence_cs == told
    world.run(3_700)
    assert ann.engine.state.me.profile.presence_cs != told


def ask_in_passing(node: SimNode, scope: Scope = "owner") -> None:
    """Ask one thing as an HTTP request does, which nobody attends."""
    session = SimSession(9_000)
    node.sessions[session.number] = session
    started = SessionStarted(
        session.number, scope, "page", plain=False, subscribe=Subscription(frozenset()), passing=True
    )
    node.feed(started)
    node.call(c.RoomList(), session)
    node.detach(session)


def test_requests_without_a_socket_are_somebody_asking_and_a_readers_are_not() -> None:
    world, ann, bob, at_ann, _ = pair("passing")
    ann.detach(at_ann)
    world.run(LEFT_AFTER + CALM + 1)
    assert seen(bob, "ann") == "offline"
    ask_in_passing(ann, "read")
    world.run(CALM + 1)
    assert seen(bob, "ann") == "offline"
    ask_in_passing(ann)
    world.run(CALM + 1)
    assert seen(bob, "ann") == "online"
    world.run(LEFT_AFTER + CALM)
    assert seen(bob, "ann") == "offline"


def test_requests_keep_a_page_that_only_reads_along_from_being_away() -> None:
    world, ann, bob, _, _ = pair("asking")
    for _ in range(3):
        world.run(AWAY_AFTER - BEAT_EVERY)
        ask_in_passing(ann)
    world.run(AWAY_AFTER - BEAT_EVERY)
    assert seen(bob, "ann") == "online"
    world.run(2 * BEAT_EVERY)
    assert seen(bob, "ann") == "away"


def test_who_logs_out_is_offline_at_once_and_online_when_a_frontend_comes() -> None:
    world, ann, bob, at_ann, at_bob = pair("logout")
    assert ann.call(c.PresenceSet(state="offline", leaving=True))["state"] == "offline"
    world.run(CALM + 1)
    assert seen(bob, "ann") == "offline" and of(at_bob, "ann")[-1] == "offline"
    ann.attach()
    world.run(CALM + 3)
    assert seen(bob, "ann") == "online"
    ann.call(c.PresenceSet(state="offline", leaving=True))
    assert ann.call(c.PresenceSet(state="online"))["state"] == "online", "said so"
    ann.call(c.PresenceSet(state="offline", leaving=True))
    ann.crash()
    ann.start()
    ann.attach()
    world.run(CALM + 3)
    assert ann.call(c.ProfileGet())["presence"] == "online", "a logout is not a wish to be invisible"


def test_who_is_invisible_and_logs_out_stays_invisible() -> None:
    _, ann, _, at_ann, _ = pair("hidden")
    ann.call(c.PresenceSet(state="offline"))
    ann.call(c.PresenceSet(state="offline", leaving=True))
    ann.call(c.RoomList(), at_ann)
    assert ann.call(c.ProfileGet())["presence"] == "offline"
    with pytest.raises(CallError, match="leaving"):
        ann.call(c.PresenceSet(state="away", leaving=True))


def test_a_sweep_tells_of_whoever_is_gone_before_anything_else_wakes_the_node(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    world, ann, _bob, at_ann, _ = pair("sweep")
    assert ann.call(c.PresenceSweep()) == {"state": "online", "gone": []}
    world.partition(["ann"], ["bob"])
    world.run(1)
    with monkeypatch.context() as asleep:
        asleep.setattr(ann, "_set_alarm", lambda: None)
        world.run(GONE_AFTER + BEAT_EVERY)
        assert seen(ann, "bob") == "online", "nothing has looked"
        assert ann.call(c.PresenceSweep()) == {"state": "online", "gone": ["bob"]}
    assert of(at_ann, "bob")[-1] == "offline"
    assert ann.call(c.PresenceSweep())["gone"] == []
