"""Direct messages of which the envelope is lost: asked for, shown as missing, put in their place."""

from __future__ import annotations

import pytest

from node import ids
from node.chat import commands as c, events
from node.sim import SimNode, Simulation
from node.wire.payload import Payload, Type
from tests.engine.healing_worlds import lost, placeholders, watch
from tests.engine.hostile import direct, engine_of, no_late_faults
from tests.engine.test_out_of_step import say
from tests.engine.worlds import befriend


def linked(seed: str) -> tuple[Simulation, SimNode, SimNode, str]:
    """Ann and bob, who reach each other through cat and have said a word each."""
    world = Simulation(seed)
    cat = world.add("cat")
    ann, bob = world.add("ann", peers=["cat"]), world.add("bob", peers=["cat"])
    world.run(2)
    befriend(world, ann, bob)
    assert cat.up
    room = ann.call(c.DmOpen(username="bob"))["room"]
    say(ann, room, "one")
    world.run(1)
    say(bob, bob.call(c.DmOpen(username="ann"))["room"], "hello")
    world.run(3)
    return world, ann, bob, room


def read(node: SimNode, room: str) -> list[str]:
    """Return the history, placeholders as `?` and how many they stand for."""
    bodies, _ = node.store.history(ids.parse(room), None, None, 200)
    found = [event for body in bodies if isinstance(event := events.decode_json(body), events.UserMessage)]
    return [f"?{event.missing}" if event.kind == "unreadable" else event.message for event in found]


@pytest.mark.attack("A34")
def test_a_lost_text_is_asked_for_and_comes_before_anything_is_shown_as_missing() -> None:
    world, ann, bob, room = linked("asked")
    seen = watch(bob)
    lost(world, ann, lambda: say(ann, room, "two"))
    say(ann, room, "three")
    world.run(50)
    assert read(bob, room) == ["one", "hello", "two", "three"]
    assert not placeholders(seen) and not seen.of(events.MessageHealed)
    no_late_faults(ann, bob)


@pytest.mark.attack("A34")
@pytest.mark.parametrize("kill", [False, True])
def test_while_its_author_is_away_a_placeholder_stands_for_it_and_then_it_goes_in_its_place(
    kill: bool,
) -> None:
    world, ann, bob, room = linked("away")
    lost(world, ann, lambda: say(ann, room, "two"))
    say(ann, room, "three")
    world.run(1)
    ann.crash()
    seen = watch(bob)
    world.run(100)
    assert read(bob, room) == ["one", "hello", "?1", "three"]
    (placeholder,) = placeholders(seen)
    shown = (placeholder.message, placeholder.gap, placeholder.why, placeholder.missing)
    assert shown == ("", True, "unknown", 1)
    if kill:
        bob.crash()
        bob.start()
        seen = watch(bob)
    ann.start()
    assert world.run_until(lambda: read(bob, room) == ["one", "hello", "two", "three"], 600)
    (healed,) = seen.of(events.MessageHealed)
    assert (healed.placeholder, healed.missing) == (placeholder.id, 0)
    assert (healed.room, healed.message, healed.username) == (room, "two", "ann")
    assert healed.seq > placeholder.seq
    assert not engine_of(bob).state.rooms.direct[next(iter(engine_of(bob).state.rooms.direct))].gaps.all
    say(bob, room, "good")
    world.run(3)
    assert read(ann, room)[-1] == "good"
    no_late_faults(ann, bob)


@pytest.mark.attack("A34")
def test_what_nobody_has_any_more_stays_a_placeholder_and_what_follows_is_read() -> None:
    world, ann, bob, room = linked("nobody")
    lost(world, ann, lambda: say(ann, room, "two"))
    outbox = engine_of(ann).state.dms.outbox
    outbox._sent.clear()
    say(ann, room, "three")
    world.run(400)
    say(ann, room, "four")
    world.run(5)
    assert read(bob, room) == ["one", "hello", "?1", "three", "four"]
    no_late_faults(ann, bob)


def test_a_lost_invite_comes_when_it_is_asked_for_unless_it_is_over() -> None:
    world, ann, bob, room = linked("invite")
    club = ann.call(c.RoomCreate(name="club"))["room"]
    over = ann.call(c.RoomCreate(name="over"))["room"]
    seen = bob.attach()

    def act() -> None:
        ann.call(c.UserInvite(target="bob", room=club))
        gone = ann.call(c.UserInvite(target="bob", room=over))["invite"]
        ann.call(c.InviteCancel(invite=gone))

    lost(world, ann, act)
    say(ann, room, "did you get it?")
    world.run(50)
    assert [invite.room for invite in seen.of(events.UserInvite)] == [club]


@pytest.mark.attack("A36")
def test_made_up_references_and_questions_grow_nothing_without_bound() -> None:
    world, ann, bob, room = linked("made up")
    for number in range(100):
        refs = tuple(bytes([number, at]) * 8 for at in range(8))
        direct(ann, bob, Type.NACK, [list(refs)])
        direct(ann, bob, Type.NACK, [bytes(16), bytes(16), 0, 5])
        turn = engine_of(ann)._turn(ann.now())
        made_up = Payload(turn.new_id(), turn.mesh_ms, 9, Type.TEXT, [f"{number}", "text", None], refs)
        engine_of(ann).state.dms.send(turn, bob.setup.identity.account, made_up)
        ann.perform(engine_of(ann)._release(turn, []))
        world.run(0.1)
    world.run(90)
    gaps = next(iter(engine_of(bob).state.rooms.direct.values())).gaps
    assert len(gaps.all) == 64
    sent = len(bob.store.load().envelopes)
    world.run(600)
    assert len(bob.store.load().envelopes) - sent < 64 * 6
    say(ann, room, "and now")
    world.run(70)
    assert "and now" in read(bob, room)
    no_late_faults(ann, bob)
