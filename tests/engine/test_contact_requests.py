"""Contacts without a link: asking co-members, answering, and the end of it, in whole nodes."""

from __future__ import annotations

import pytest

from node.chat import commands as c, events
from node.sim import CallError, SimNode, SimSession, Simulation
from tests.engine.hostile import engine_of, later_on, no_late_faults
from tests.engine.worlds import befriend, invite, texts


def club(seed: str) -> tuple[Simulation, SimNode, SimNode, SimNode, str]:
    """Ann and Bob share a room of Cat's, and are no contacts."""
    world = Simulation(seed)
    cat = world.add("cat")
    ann, bob = world.add("ann", peers=["cat"]), world.add("bob", peers=["cat"])
    world.run(2)
    room = cat.call(c.RoomCreate(name="club"))["room"]
    for node in (ann, bob):
        befriend(world, cat, node)
        invite(world, cat, node, room)
    world.run(5)
    return world, ann, bob, cat, room


def state_of(node: SimNode, name: str) -> str:
    rows = {row["username"]: row["state"] for row in node.call(c.ContactList())["contacts"]}
    return str(rows.get(name, "none"))


def refused(node: SimNode, command: c.Command) -> str:
    with pytest.raises(CallError) as caught:
        node.call(command)
    return caught.value.code


def names(session: SimSession, kind: type[events.Event]) -> list[str]:
    return [event.username for event in session.of(kind)]


def both(one: SimNode, other: SimNode) -> tuple[str, str]:
    return state_of(one, other.name), state_of(other, one.name)


def test_a_co_member_is_asked_and_accepts_and_both_frontends_of_both_learn_it() -> None:
    world, ann, bob, _, _ = club("asks")
    at_ann = [ann.attach(plain=False), ann.attach(plain=False)]
    at_bob = [bob.attach(plain=False), bob.attach(plain=False)]
    done = ann.call(c.ContactRequest(username="bob", message="tea?"))
    assert (done["username"], done["state"]) == ("bob", "requested")
    world.run(3)
    assert both(ann, bob) == ("requested", "incoming")
    for session in at_bob:
        assert [(e.username, e.message) for e in session.of(events.ContactRequested)] == [("ann", "tea?")]
    assert bob.call(c.ContactAccept(username="ann"))["state"] == "contact"
    world.run(3)
    assert both(ann, bob) == ("contact", "contact")
    for session, name in [(s, "bob") for s in at_ann] + [(s, "ann") for s in at_bob]:
        assert names(session, events.ContactAdded) == [name]
        assert not [e for e in session.of(events.Warning) if e.code == "session_renewed"]
    room = ann.call(c.DmOpen(username="bob"))["room"]
    ann.call(c.UserMessage(room=room, message="hello"))
    world.run(2)
    assert texts(at_bob[0]) == ["hello"]
    no_late_faults(ann, bob)


def test_who_is_asked_before_there_is_any_session_or_after_is_asked_the_same_way() -> None:
    world, ann, bob, _, _ = club("session")
    room = ann.call(c.DmOpen(username="bob"))["room"]
    ann.call(c.ContactRequest(username="bob"))
    ann.call(c.UserMessage(room=room, message="before you know me"))
    seen = bob.attach(plain=False)
    world.run(4)
    assert texts(seen) == ["before you know me"], "co-members may write"
    assert both(ann, bob) == ("requested", "incoming"), "and a session is no answer"
    bob.call(c.ContactAccept(username="ann"))
    world.run(3)
    assert both(ann, bob) == ("contact", "contact")
    bob.call(c.UserMessage(room=bob.call(c.DmOpen(username="ann"))["room"], message="now I do"))
    world.run(3)
    assert not [e for e in seen.of(events.Warning) if e.code == "session_renewed"]
    assert "now I do" in texts(seen)
    no_late_faults(ann, bob)


def test_a_rejection_reaches_who_asked_once_and_further_requests_are_rejected_unseen() -> None:
    world, ann, bob, cat, _ = club("rejects")
    at_ann, at_bob = ann.attach(plain=False), bob.attach(plain=False)
    ann.call(c.ContactRequest(username="bob"))
    world.run(3)
    bob.call(c.ContactReject(username="ann"))
    world.run(3)
    assert both(ann, bob) == ("none", "none")
    assert names(at_ann, events.ContactRejected) == ["bob"]
    assert refused(bob, c.ContactAccept(username="ann")) == "request_not_found"
    later_on(world, 1, cat, ann, bob)
    at_ann, at_bob = ann.attach(plain=False), bob.attach(plain=False)
    world.run(5)
    ann.call(c.ContactRequest(username="bob"))
    world.run(5)
    assert names(at_ann, events.ContactRejected) == ["bob"]
    assert names(at_bob, events.ContactRequested) == []
    bob.call(c.ContactRequest(username="ann"))
    world.run(3)
    ann.call(c.ContactAccept(username="bob"))
    world.run(3)
    assert both(ann, bob) == ("contact", "contact")
    no_late_faults(ann, bob)


def test_a_request_taken_back_is_gone_at_the_other() -> None:
    world, ann, bob, _, _ = club("cancels")
    at_bob = bob.attach(plain=False)
    assert refused(ann, c.ContactCancel(username="bob")) == "request_not_found"
    ann.call(c.ContactRequest(username="bob"))
    world.run(3)
    ann.call(c.ContactCancel(username="bob"))
    world.run(3)
    assert names(at_bob, events.ContactRequestCancelled) == ["ann"]
    assert both(ann, bob) == ("none", "none")
    assert refused(bob, c.ContactAccept(username="ann")) == "request_not_found"


def test_a_request_of_ours_outlives_one_of_theirs_that_was_taken_back_before() -> None:
    world, ann, bob, cat, _ = club("outlives")
    ann.call(c.ContactRequest(username="bob"))
    world.run(3)
    ann.call(c.ContactCancel(username="bob"))
    world.run(3)
    ann.crash()
    bob.call(c.ContactRequest(username="ann"))
    later_on(world, 8, bob, cat)
    world.run(3700)
    assert state_of(bob, "ann") == "requested"
    ann.start()
    world.run(30)
    ann.call(c.ContactAccept(username="bob"))
    world.run(5)
    assert both(ann, bob) == ("contact", "contact")


def test_both_asking_at_once_become_contacts() -> None:
    world, ann, bob, _, _ = club("at once")
    sessions = ann.attach(plain=False), bob.attach(plain=False)
    ann.call(c.ContactRequest(username="bob"))
    bob.call(c.ContactRequest(username="ann"))
    world.run(4)
    assert both(ann, bob) == ("contact", "contact")
    assert [len(session.of(events.ContactAdded)) for session in sessions] == [1, 1]
    assert [session.of(events.ContactRequested) for session in sessions] == [[], []]
    no_late_faults(ann, bob)


def test_who_is_removed_learns_it_reads_on_and_can_be_added_again() -> None:
    world = Simulation("removes")
    ann, bob = world.add("ann"), world.add("bob", peers=["ann"])
    world.run(2)
    befriend(world, ann, bob)
    at_ann, at_bob = ann.attach(plain=False), bob.attach(plain=False)
    room = ann.call(c.DmOpen(username="bob"))["room"]
    ann.call(c.UserMessage(room=room, message="before"))
    secret = engine_of(ann).state.me.profile.presence_cs
    world.run(3)
    ann.call(c.ContactRemove(username="bob"))
    world.run(3)
    assert both(ann, bob) == ("none", "none")
    assert names(at_ann, events.ContactRemoved) == ["bob"]
    assert names(at_bob, events.ContactRemoved) == ["ann"]
    assert engine_of(ann).state.me.profile.presence_cs != secret
    for node in (ann, bob):
        assert refused(node, c.UserMessage(room=room, message="no")) == "not_a_contact"
        assert node.call(c.RoomGet(room=room))["visibility"] == "direct"
    bob.call(c.ContactRequest(username="ann"))
    world.run(3)
    ann.call(c.ContactAccept(username="bob"))
    world.run(3)
    ann.call(c.UserMessage(room=room, message="after"))
    world.run(3)
    assert texts(at_bob) == ["before", "after"]
    assert both(ann, bob) == ("contact", "contact")
    no_late_faults(ann, bob)


def test_requests_answers_and_removals_survive_kills_and_days_offline() -> None:
    world, ann, bob, cat, _ = club("offline")
    bob.crash()
    ann.call(c.ContactRequest(username="bob", message="days ago"))
    world.run(3)
    later_on(world, 3, cat, ann, bob)
    world.run(10)
    bob.crash()
    bob.start()
    world.run(5)
    assert both(ann, bob) == ("requested", "incoming")
    (row,) = [r for r in bob.call(c.ContactList())["contacts"] if r["username"] == "ann"]
    assert row["message"] == "days ago"
    ann.crash()
    bob.call(c.ContactAccept(username="ann"))
    later_on(world, 10, cat, bob, ann)
    world.run(30)
    assert both(ann, bob) == ("contact", "contact")
    no_late_faults(ann, bob)


def test_what_cannot_be_asked_is_refused_with_a_code() -> None:
    world, ann, bob, cat, _ = club("refused")
    assert refused(ann, c.ContactRequest(username="nobody")) == "unknown_user"
    assert refused(ann, c.ContactRequest(username="ann")) == "invalid"
    assert refused(ann, c.ContactRemove(username="bob")) == "not_a_contact"
    assert refused(ann, c.ContactReject(username="bob")) == "request_not_found"
    assert ann.call(c.ContactRequest(username="cat"))["state"] == "contact"
    assert ann.call(c.ContactRequest(username="bob"))["state"] == "requested"
    assert ann.call(c.ContactRequest(username="bob"))["state"] == "requested"
    assert refused(ann, c.ContactAccept(username="bob")) == "request_not_found"
