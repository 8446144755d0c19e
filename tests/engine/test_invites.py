"""Invites between two simulated nodes: every end, told once to each side."""

from __future__ import annotations

import pytest

from node.bridge.ports import Subscription
from node.chat import commands as c, events
from node.sim import CallError, SimNode, SimSession, Simulation
from tests.engine.hostile import later_on
from tests.engine.worlds import befriend, joined, trio


def pair(seed: str) -> tuple[Simulation, SimNode, SimNode, str]:
    world = Simulation(seed)
    ann = world.add("ann")
    bob = world.add("bob", peers=["ann"])
    world.run(2)
    befriend(world, ann, bob)
    return world, ann, bob, ann.call(c.RoomCreate(name="club"))["room"]


def results(session: SimSession) -> list[str]:
    return [event.response for event in session.of(events.InviteResult)]


def test_no_answer_is_ignored_after_120_seconds_on_both_sides_once() -> None:
    world, ann, bob, room = pair("ignore")
    host, guest = ann.attach(), bob.attach()
    ann.call(c.UserInvite(target="bob", room=room))
    world.run(119)
    assert (results(host), results(guest)) == (["delivered"], [])
    world.run(4)
    assert (results(host), results(guest)) == (["delivered", "ignore"], ["ignore"])
    world.run(500)
    assert (results(host), results(guest)) == (["delivered", "ignore"], ["ignore"])


def test_the_120_seconds_run_on_while_the_invited_node_is_down() -> None:
    world, ann, bob, room = pair("down")
    host, guest = ann.attach(), bob.attach()
    ann.call(c.UserInvite(target="bob", room=room))
    world.run(20)
    assert len(guest.of(events.UserInvite)) == 1
    bob.crash()
    world.run(60)
    bob.start()
    later = bob.attach()
    assert len(later.of(events.UserInvite)) == 1
    world.run(35)
    assert results(host) == ["delivered"]
    world.run(10)
    assert results(host) == ["delivered", "ignore"]
    assert results(later) == ["ignore"]


def test_the_clock_waits_for_a_frontend_that_could_answer() -> None:
    world, ann, bob, room = pair("waits")
    host = ann.attach()
    ann.call(c.UserInvite(target="bob", room=room))
    bob.attach(plain=False, scope="read")
    bob.attach(plain=False, subscribe=Subscription(frozenset(), None))
    world.run(3600)
    assert results(host) == []
    guest = bob.attach()
    world.run(5)
    assert results(host) == ["delivered"]
    assert guest.of(events.UserInvite)[0].room == room
    answer = bob.call(c.UserInviteResponse(response="accept"), guest)
    assert answer["state"] == "joining"
    world.run(5)
    assert joined(guest, room, "bob")
    assert results(host) == ["delivered", "accept"]


def test_a_declined_invite_tells_both_sides_and_cannot_be_accepted_any_more() -> None:
    world, ann, bob, room = pair("decline")
    host, guest = ann.attach(), bob.attach()
    invite = ann.call(c.UserInvite(target="bob", room=room))["invite"]
    world.run(2)
    bob.call(c.UserInviteResponse(response="decline"), guest)
    world.run(2)
    assert (results(host), results(guest)) == (["delivered", "decline"], ["decline"])
    with pytest.raises(CallError, match="invite_resolved"):
        bob.call(c.UserInviteResponse(response="accept", invite=invite), guest)
    with pytest.raises(CallError, match="no_open_invite"):
        bob.call(c.UserInviteResponse(response="accept"), guest)


def test_a_cancelled_invite_ends_on_both_sides() -> None:
    world, ann, bob, room = pair("cancel")
    host, guest = ann.attach(), bob.attach()
    invite = ann.call(c.UserInvite(target="bob", room=room))["invite"]
    world.run(2)
    ann.call(c.InviteCancel(invite=invite))
    world.run(2)
    assert (results(host), results(guest)) == (["delivered", "cancelled"], ["cancelled"])
    with pytest.raises(CallError, match="invite_resolved"):
        bob.call(c.UserInviteResponse(response="accept", invite=invite), guest)


def test_an_answer_after_the_120_seconds_is_refused_as_expired() -> None:
    world, ann, bob, room = pair("late")
    guest = bob.attach()
    invite = ann.call(c.UserInvite(target="bob", room=room))["invite"]
    world.run(130)
    with pytest.raises(CallError, match="invite_expired"):
        bob.call(c.UserInviteResponse(response="accept", invite=invite), guest)
    with pytest.raises(CallError, match="no_open_invite"):
        bob.call(c.UserInviteResponse(response="accept"), guest)


def test_of_two_frontends_that_answer_the_first_wins() -> None:
    world, ann, bob, room = pair("two")
    host, one, two = ann.attach(), bob.attach(), bob.attach()
    invite = ann.call(c.UserInvite(target="bob", room=room))["invite"]
    world.run(2)
    bob.call(c.UserInviteResponse(response="accept"), one)
    with pytest.raises(CallError, match="no_open_invite"):
        bob.call(c.UserInviteResponse(response="decline"), two)
    with pytest.raises(CallError, match="invite_resolved"):
        bob.call(c.UserInviteResponse(response="decline", invite=invite), two)
    world.run(3)
    assert results(host) == ["delivered", "accept"]


@pytest.mark.parametrize("seed", ["said", "so", "again"])
def test_what_is_said_as_soon_as_somebody_has_accepted_is_for_them(seed: str) -> None:
    world, ann, bob, room = pair(seed)
    host, guest = ann.attach(), bob.attach()
    ann.call(c.UserInvite(target="bob", room=room))
    world.run(2)
    bob.call(c.UserInviteResponse(response="accept"), guest)
    assert world.run_until(lambda: "accept" in results(host), 5)
    assert joined(host, room, "bob")
    ann.call(c.UserMessage(room=room, message="welcome"))
    world.run(5)
    assert [event.message for event in guest.of(events.UserMessage)] == ["welcome"]


def test_ignoring_from_one_frontend_only_silences_that_one() -> None:
    world, ann, bob, room = pair("silence")
    one, two = bob.attach(), bob.attach()
    ann.call(c.UserInvite(target="bob", room=room))
    world.run(2)
    bob.call(c.UserInviteResponse(response="ignore"), one)
    with pytest.raises(CallError, match="no_open_invite"):
        bob.call(c.UserInviteResponse(response="accept"), one)
    assert bob.call(c.UserInviteResponse(response="accept"), two)["state"] == "joining"


def test_inviting_the_same_person_again_gives_the_open_invite() -> None:
    _, ann, _, room = pair("again")
    first = ann.call(c.UserInvite(target="bob", room=room))
    assert ann.call(c.UserInvite(target="bob", room=room)) == first


def test_who_is_in_oneself_or_unknown_cannot_be_invited() -> None:
    _, ann, bob, _, room = trio("refusals")
    for target, code in (("bob", "already_member"), ("ann", "invalid"), ("zoe", "unknown_user")):
        with pytest.raises(CallError, match=code):
            ann.call(c.UserInvite(target=target, room=room))
    assert bob.call(c.UserJoin(room=room))["state"] == "joined"


def test_an_undelivered_offer_expires_after_seven_days() -> None:
    world, ann, bob, room = pair("week")
    ann.call(c.UserInvite(target="bob", room=room))
    world.run(1)
    bob.crash()
    later_on(world, 6, ann)
    world.run(30 * 3600)
    bob.start()
    guest = bob.attach()
    world.run(60)
    assert guest.of(events.UserInvite) == []


def test_accepting_with_the_inviter_away_joins_when_it_is_back() -> None:
    world, ann, bob, _, room = trio("away")
    bob.call(c.UserLeave(room=room))
    world.run(3)
    guest = bob.attach()
    ann.call(c.UserInvite(target="bob", room=room))
    world.run(3)
    ann.crash()
    assert bob.call(c.UserInviteResponse(response="accept"), guest)["state"] == "joining"
    world.run(30)
    ann.start()
    world.run(30)
    assert joined(guest, room, "bob")
