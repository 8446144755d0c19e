"""Two people who change their minds at the same time: whatever crosses, both end up with the same story."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

from node.chat import commands as c
from node.sim import CallError, SimNode, Simulation
from tests.engine.hostile import engine_of, no_late_faults
from tests.engine.test_contact_requests import both, club

ACTS = {
    "request": lambda name: c.ContactRequest(username=name),
    "accept": lambda name: c.ContactAccept(username=name),
    "reject": lambda name: c.ContactReject(username=name),
    "cancel": lambda name: c.ContactCancel(username=name),
    "remove": lambda name: c.ContactRemove(username=name),
    "block": lambda name: c.ContactBlock(username=name),
    "unblock": lambda name: c.ContactUnblock(username=name),
}
STEP = st.tuples(
    st.sampled_from(["ann", "bob"]),
    st.sampled_from([*ACTS, "request", "request", "accept", "kill", "talk", "part", "heal"]),
    st.sampled_from([0.0, 0.0, 0.02, 0.1, 2.0]),
)


def act(world: Simulation, node: SimNode, other: SimNode, what: str, wait: float) -> None:
    with suppress(CallError):
        if what == "kill":
            node.crash()
            node.start()
        elif what == "part":
            world.partition([node.name], [name for name in world.nodes if name != node.name])
        elif what == "heal":
            world.heal()
        elif what == "talk":
            room = node.call(c.DmOpen(username=other.name))["room"]
            node.call(c.UserMessage(room=room, message="hello"))
        else:
            node.call(ACTS[what](other.name))
    world.run(wait)


def agree(world: Simulation, ann: SimNode, bob: SimNode) -> None:
    """Contacts while both want it; a request is where it was made and where it waits."""
    for node, other in ((ann, bob), (bob, ann)):
        node.call(c.ContactUnblock(username=other.name))
    world.run(12)
    states = both(ann, bob)
    allowed = {("none", "none"), ("contact", "contact"), ("requested", "incoming"), ("incoming", "requested")}
    assert states in allowed
    for node, other in ((ann, bob), (bob, ann)):
        assert not engine_of(node).state.people.is_blocked_by(other.setup.identity.account)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(steps=st.lists(STEP, min_size=2, max_size=12))
def test_whatever_two_people_do_and_whenever_they_come_to_the_same(
    steps: list[tuple[str, str, float]],
) -> None:
    world, ann, bob, _, _ = club("races")
    nodes = {"ann": (ann, bob), "bob": (bob, ann)}
    for who, what, wait in steps:
        act(world, *nodes[who], what, wait)
    world.heal()
    world.run(45)
    agree(world, ann, bob)
    no_late_faults(ann, bob)


@pytest.mark.parametrize("wait", [0.05, 0.1, 2.0])
def test_a_request_is_over_also_where_the_end_of_a_block_overtakes_its_beginning(wait: float) -> None:
    world, ann, bob, _, _ = club("overtaken")
    for node, other, what, waits in (
        (bob, ann, "request", wait),
        (ann, bob, "block", 0.0),
        (ann, bob, "kill", 0.0),
    ):
        act(world, node, other, what, waits)
    act(world, ann, bob, "unblock", 0.0)
    world.run(45)
    agree(world, ann, bob)
    bob.call(c.ContactRequest(username="ann"))
    world.run(5)
    assert both(ann, bob) == ("incoming", "requested"), "who blocks no more can be asked again"


@pytest.mark.parametrize("first", ["ann", "bob"])
def test_who_takes_a_request_back_while_it_is_accepted_is_no_contact_at_either(first: str) -> None:
    world, ann, bob, _, _ = club(f"crossing {first}")
    ann.call(c.ContactRequest(username="bob"))
    world.run(3)
    if first == "ann":
        ann.call(c.ContactCancel(username="bob"))
    bob.call(c.ContactAccept(username="ann"))
    if first == "bob":
        ann.call(c.ContactCancel(username="bob"))
    world.run(5)
    assert both(ann, bob) == ("none", "none")


def test_an_answer_to_a_request_that_was_taken_back_does_not_answer_the_next() -> None:
    world, ann, bob, _, _ = club("stale answer")
    ann.call(c.ContactRequest(username="bob"))
    world.run(3)
    world.partition(["ann"], ["bob", "cat"])
    bob.call(c.ContactAccept(username="ann"))
    ann.call(c.ContactCancel(username="bob"))
    world.run(1)
    ann.call(c.ContactRequest(username="bob"))
    world.run(1)
    world.heal()
    world.run(60)
    assert both(ann, bob) == ("requested", "incoming"), "ann asks, last of all"


def effects_of(who: str, command: c.Command, number: int, *, other: bool) -> tuple[bool, SimNode, SimNode]:
    """Do a command, the node that does it, or the other one, killed after so many effects; says if it was."""
    world, ann, bob, _, _ = club(f"kill {number}")
    ann.call(c.ContactRequest(username="bob", nonce="asked"))
    world.run(2)
    if isinstance(command, c.ContactRemove | c.ContactBlock):
        bob.call(c.ContactAccept(username="ann"))
        world.run(2)
    doer, peer = (ann, bob) if who == "ann" else (bob, ann)
    victim = peer if other else doer
    victim.effects_left = number
    with suppress(CallError):
        doer.call(command)
    world.run(1)
    killed = not victim.up
    victim.effects_left = None
    if killed:
        victim.start()
    world.run(5)
    with suppress(CallError):
        doer.call(command)
    world.run(5)
    no_late_faults(ann, bob)
    return killed, ann, bob


@pytest.mark.parametrize("other", [False, True], ids=["doer", "other"])
@pytest.mark.parametrize(
    ("who", "command", "wanted"),
    [
        ("bob", c.ContactAccept(username="ann", nonce="n"), ("contact", "contact")),
        ("bob", c.ContactReject(username="ann", nonce="n"), ("none", "none")),
        ("ann", c.ContactCancel(username="bob", nonce="n"), ("none", "none")),
        ("ann", c.ContactRemove(username="bob", nonce="n"), ("none", "none")),
        ("ann", c.ContactBlock(username="bob", nonce="n"), ("contact", "contact")),
    ],
    ids=["accept", "reject", "cancel", "remove", "block"],
)
def test_a_kill_after_any_effect_on_either_side_leaves_both_with_the_same(
    who: str, command: c.Command, wanted: tuple[str, str], other: bool
) -> None:
    number, killed = 0, True
    while killed:
        killed, ann, bob = effects_of(who, command, number, other=other)
        assert both(ann, bob) == wanted, number
        told = engine_of(bob).state.people.is_blocked_by(ann.setup.identity.account)
        assert told == isinstance(command, c.ContactBlock), number
        number += 1
    assert number > 2


def test_a_request_made_while_nobody_is_linked_arrives_when_they_are() -> None:
    world, ann, bob, _, _ = club("apart")
    world.partition(["ann"], ["bob", "cat"])
    ann.call(c.ContactRequest(username="bob"))
    world.run(30)
    assert both(ann, bob) == ("requested", "none")
    world.heal()
    world.run(60)
    assert both(ann, bob) == ("requested", "incoming")


def test_one_taken_back_before_it_crosses_the_others_ends_that_one_too_or_neither() -> None:
    """As the taking back comes before the request, or after both had asked: it is the same at both."""
    world, ann, bob, _, _ = club("apart")
    world.partition(["ann"], ["bob", "cat"])
    ann.call(c.ContactRequest(username="bob"))
    bob.call(c.ContactRequest(username="ann"))
    bob.call(c.ContactCancel(username="ann"))
    world.run(30)
    assert both(ann, bob) == ("requested", "none")
    world.heal()
    world.run(60)
    assert both(ann, bob) in {("requested", "incoming"), ("none", "none")}
