"""Never silent: what a room's members cannot open is shown, asked for and healed (docs/crypto.md 3.10)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from node.chat import commands as c
from node.chat import events
from node.chat.healing import UNREADABLE
from node.chat.turn import Turn
from node.sim import SimNode, SimSession, Simulation
from node.store.records import DropEnvelopes
from node.wire.payload import Type
from tests.engine.hostile import inbox_of, no_late_faults, release, room_of, turn_of
from tests.engine.worlds import befriend, invite, texts, trio

PATIENCE = 75
"""Seconds after which a hole is shown, whatever the peers say."""


def lost(world: Simulation, node: SimNode, act: Callable[[], Any]) -> None:
    """Let a node do something of which no envelope ever reaches anybody, or stays with itself."""
    others = [name for name in world.nodes if name != node.name]
    world.partition([node.name], others)
    world.run(1)
    before = {eid for eid, _, _ in node.store.load().envelopes}
    act()
    node.crash()
    gone = [eid for eid, _, _ in node.store.load().envelopes if eid not in before]
    node.store.commit([DropEnvelopes(tuple(gone))])
    node.start()
    world.heal()
    world.run(3)


def say(node: SimNode, room: str, text: str) -> None:
    node.call(c.UserMessage(room=room, message=text))


def history(node: SimNode, room: str) -> list[events.UserMessage]:
    room_id = room_of(node).room_id
    bodies, _ = node.store.history(room_id, None, None, 200)
    found = [events.decode_json(body) for body in bodies]
    return [event for event in found if isinstance(event, events.UserMessage)]


def read(node: SimNode, room: str) -> list[str]:
    """Return a room's history, placeholders as `?` and how many they stand for."""
    shown = history(node, room)
    return [f"?{event.missing}" if event.kind == UNREADABLE else event.message for event in shown]


def placeholders(session: SimSession) -> list[events.UserMessage]:
    return [event for event in session.of(events.UserMessage) if event.kind == UNREADABLE]


def watch(node: SimNode) -> SimSession:
    """Attach a frontend that has seen everything so far."""
    session = node.attach()
    session.seen.clear()
    return session


def whispers(node: SimNode) -> list[Type]:
    """Return a list that grows with what a node says in its room without showing it."""
    room, said = room_of(node), list[Type]()
    real = room.whisper

    def counted(turn: Turn, kind: Type, body: object) -> None:
        said.append(kind)
        real(turn, kind, body)

    room.whisper = counted  # type: ignore[method-assign]
    return said


def club(seed: str) -> tuple[Simulation, SimNode, SimNode, SimNode, str, SimSession]:
    """The trio after a first message each, with bob's frontend attached."""
    world, ann, bob, cat, room = trio(seed)
    say(ann, room, "one")
    world.run(1)
    say(bob, room, "hello")
    world.run(3)
    return world, ann, bob, cat, room, watch(bob)


@pytest.mark.attack("A34")
def test_a_message_that_nobody_holds_any_more_is_shown_as_missing_asked_for_and_healed() -> None:
    world, ann, bob, cat, room, seen = club("lost for all")
    lost(world, ann, lambda: say(ann, room, "two"))
    say(ann, room, "three")
    world.run(5)
    assert texts(seen) == [], "what only came late was shown as missing"
    assert world.run_until(lambda: bool(seen.of(events.UserMessage)), PATIENCE)
    (placeholder,) = placeholders(seen)
    assert placeholder.message == "" and placeholder.gap and placeholder.missing == 1
    assert placeholder.why == "lost" and placeholder.username == "ann"
    assert [event.kind for event in seen.of(events.UserMessage)] == [UNREADABLE, "text"]
    assert world.run_until(lambda: bool(seen.of(events.MessageHealed)), 10)
    (healed,) = seen.of(events.MessageHealed)
    (original,) = [event for event in history(ann, room) if event.message == "two"]
    assert (healed.placeholder, healed.missing) == (placeholder.id, 0)
    assert (healed.id, healed.message, healed.username) == (original.id, "two", "ann")
    assert healed.ts_ms == original.ts_ms and healed.mine is False
    assert read(bob, room) == ["one", "hello", "two", "three"]
    world.run(600)
    assert len(seen.of(events.MessageHealed)) == 1
    assert len(placeholders(seen)) == 1
    no_late_faults(ann, bob)


def test_several_lost_in_a_row_are_one_placeholder_that_shrinks_as_they_come() -> None:
    world, ann, bob, cat, room, seen = club("a run")

    def three() -> None:
        for text in ("two", "three", "four"):
            say(ann, room, text)

    lost(world, ann, three)
    say(ann, room, "five")
    world.run(PATIENCE + 10)
    (placeholder,) = placeholders(seen)
    assert placeholder.missing == 3
    healed = seen.of(events.MessageHealed)
    assert [(event.message, event.missing) for event in healed] == [("two", 2), ("three", 1), ("four", 0)]
    assert read(bob, room) == ["one", "hello", "two", "three", "four", "five"]
    assert inbox_of(bob).healing.holes.all == {}


def test_what_was_lost_and_was_no_message_closes_without_one() -> None:
    world, ann, bob, cat, room, seen = club("a profile")
    lost(world, ann, lambda: ann.call(c.ProfileSet(name="Anna")))
    say(ann, room, "two")
    world.run(PATIENCE + 10)
    (placeholder,) = placeholders(seen)
    (healed,) = seen.of(events.MessageHealed)
    assert healed.placeholder == placeholder.id and healed.missing == 0
    assert "id" not in events.builtins(healed)
    assert read(bob, room) == ["one", "hello", "two"]


def test_the_last_message_of_an_epoch_is_missed_where_another_names_it_and_asked_for_by_name() -> None:
    world, ann, bob, cat, room, _ = club("by name")
    seen = watch(ann)
    lost(world, bob, lambda: say(bob, room, "last words"))
    turn = turn_of(bob)
    room_of(bob).rekey(turn, 2)
    release(bob, turn)
    world.run(3)
    say(bob, room, "under new keys")
    world.run(PATIENCE + 20)
    assert [(event.why, event.username) for event in placeholders(seen)] == [("unknown", "")]
    assert read(ann, room) == ["one", "hello", "last words", "under new keys"]


def test_a_lost_answer_is_asked_for_again() -> None:
    world, ann, bob, cat, room, seen = club("lost answer")
    lost(world, ann, lambda: say(ann, room, "two"))
    say(ann, room, "three")
    world.run(1)
    ann.crash()
    world.run(PATIENCE + 200)
    assert read(bob, room)[2:] == ["?1", "three"]
    ann.start()
    assert world.run_until(lambda: "two" in read(bob, room), 300)


def test_nobody_asks_an_author_who_is_gone_and_the_placeholder_stays() -> None:
    world, ann, bob, cat, room, seen = club("author gone")
    lost(world, bob, lambda: say(bob, room, "never read"))
    say(bob, room, "bye")
    seen = watch(ann)
    bob.call(c.UserLeave(room=room))
    said = whispers(ann)
    world.run(PATIENCE + 5 * 3600)
    assert read(ann, room)[-2:] == ["?1", "bye"]
    assert Type.NACK not in said
    assert len(placeholders(seen)) == 1


def test_of_many_members_with_the_same_hole_only_some_ask() -> None:
    world = Simulation("many ask")
    world.add("hub")
    ann = world.add("ann", peers=["hub"])
    guests = [world.add(f"g{number}", peers=["hub"]) for number in range(6)]
    world.run(2)
    room = ""
    for guest in guests:
        befriend(world, ann, guest)
        room = room or ann.call(c.RoomCreate(name="club"))["room"]
        invite(world, ann, guest, room)
    world.run(10)
    say(ann, room, "one")
    world.run(3)
    lost(world, ann, lambda: say(ann, room, "two"))
    say(ann, room, "three")
    said = [whispers(guest) for guest in guests]
    world.run(PATIENCE + 30)
    assert all(read(guest, room)[-3:] == ["one", "two", "three"] for guest in guests)
    assert 1 <= sum(kinds.count(Type.NACK) for kinds in said) < len(guests)
    no_late_faults(ann, *guests)
