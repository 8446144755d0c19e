"""Newcomers read the newest N messages from before they came, as the room's policy says, and no more."""

from __future__ import annotations

import json
import uuid
from typing import Any

import pytest

from node.chat import commands as c, events
from node.chat.history import export
from node.chat.joining import Joins
from node.chat.turn import Turn
from node.sim import CallError, SimNode, SimSession, Simulation
from node.tables import Table
from node.wire.envelope import Envelope
from node.wire.payload import MAX_ITEMS, Type
from tests.engine.hostile import direct, engine_of, no_late_faults, release, room_of, turn_of
from tests.engine.oracle import opened
from tests.engine.test_secrecy import channels, devices, envelopes
from tests.engine.worlds import befriend, invite, joined, texts


def world_of(seed: str, history: int | str = 5) -> tuple[Simulation, SimNode, SimNode, SimNode, str]:
    """Ann and bob in a room with a history, cat a contact of both and not in it."""
    world = Simulation(seed)
    cat = world.add("cat")
    ann = world.add("ann", peers=["cat"])
    bob = world.add("bob", peers=["cat"])
    world.run(2)
    for one, other in ((ann, bob), (ann, cat), (bob, cat)):
        befriend(world, one, other)
    room = ann.call(c.RoomCreate(name="club", history=history))["room"]
    invite(world, ann, bob, room)
    world.run(4)
    return world, ann, bob, cat, room


def talk(world: Simulation, room: str, one: SimNode, other: SimNode, count: int) -> list[str]:
    """Let two take turns; returns what they said, in order."""
    said = []
    for number in range(count):
        said.append(f"old {number}")
        (one, other)[number % 2].call(c.UserMessage(room=room, message=said[-1]))
        world.run(0.3)
    return said


def read(node: SimNode, room: str) -> list[str]:
    bodies, _ = node.store.history(uuid.UUID(room).bytes, None, None, 10_000)
    return [json.loads(body)["message"] for body in bodies]


def old(session: SimSession) -> list[str]:
    return [event.message for event in session.of(events.UserMessage) if event.history is True]


def test_a_newcomer_is_shown_the_newest_n_and_by_whom_they_are() -> None:
    world, ann, bob, cat, room = world_of("history")
    said = talk(world, room, ann, bob, 12)
    seen = invite(world, ann, cat, room)
    assert world.run_until(lambda: len(old(seen)) >= 5, 30)
    assert old(seen) == said[-5:]
    assert {e.message: e.username for e in seen.of(events.UserMessage)} == {
        text: ("ann", "bob")[int(text[4:]) % 2] for text in said[-5:]
    }
    ann.call(c.UserMessage(room=room, message="new"))
    world.run(3)
    assert texts(seen) == [*said[-5:], "new"]
    assert [event.history is True for event in seen.of(events.UserMessage)] == [True] * 5 + [False]
    assert read(cat, room) == [*said[-5:], "new"]
    assert engine_of(cat).state.wanted_history == {}
    assert [r["unread"] for r in cat.call(c.RoomList())["rooms"] if r["room"] == room] == [1]
    no_late_faults(ann, bob, cat)


def test_what_comes_late_stands_before_what_was_said_since_the_joining() -> None:
    world, ann, bob, cat, room = world_of("history late", 10)
    said = talk(world, room, ann, bob, 6)
    engine_of(ann).state.joins.admitted = lambda *_: None
    seen = invite(world, ann, cat, room)
    ann.call(c.UserMessage(room=room, message="since"))
    world.run(2)
    cat.call(c.UserMessage(room=room, message="mine"))
    world.run(5)
    assert texts(seen) == ["since", "mine"]
    assert world.run_until(lambda: len(old(seen)) == 6, 120)
    assert read(cat, room) == [*said, "since", "mine"]


@pytest.mark.parametrize("history", ["none", 0])
def test_a_room_without_history_keeps_and_gives_nothing(history: int | str) -> None:
    world, ann, bob, cat, room = world_of(f"no history {history}", history)
    talk(world, room, ann, bob, 6)
    assert room_of(ann).kept.items() == []
    assert ann.store.load().rows[Table.HISTORY] == {}
    seen = invite(world, ann, cat, room)
    world.run(200)
    assert texts(seen) == []
    assert engine_of(cat).state.wanted_history == {}


def test_the_newest_n_are_kept_and_the_rest_is_erased_also_by_a_lower_policy() -> None:
    world, ann, bob, cat, room = world_of("history kept")
    talk(world, room, ann, bob, 9)
    for node in (ann, bob):
        assert len(room_of(node).kept.items()) == len(node.store.load().rows[Table.HISTORY]) == 5
    ann.call(c.RoomUpdate(room=room, history=2))
    world.run(3)
    for node in (ann, bob):
        assert len(room_of(node).kept.items()) == len(node.store.load().rows[Table.HISTORY]) == 2
    ann.call(c.RoomUpdate(room=room, history="none"))
    world.run(3)
    for node in (ann, bob):
        assert node.store.load().rows[Table.HISTORY] == {}


def test_who_leaves_keeps_no_keys() -> None:
    world, ann, bob, cat, room = world_of("history leaving")
    talk(world, room, ann, bob, 4)
    bob.call(c.UserLeave(room=room))
    assert bob.store.load().rows[Table.HISTORY] == {}
    invite(world, ann, cat, room)
    world.run(20)
    ann.call(c.MemberRemove(room=room, username="cat"))
    world.run(5)
    assert cat.store.load().rows[Table.HISTORY] == {}


def test_a_raised_policy_grants_what_was_said_since_and_nothing_from_before() -> None:
    world, ann, bob, cat, room = world_of("history raised", "none")
    talk(world, room, ann, bob, 4)
    seen = bob.attach()
    told = ann.call(c.RoomUpdate(room=room, history=10))
    assert told["history"] == "10"
    world.run(3)
    assert [e.history for e in seen.of(events.RoomUpdated)] == ["10"]
    said = talk(world, room, ann, bob, 3)
    newcomer = invite(world, ann, cat, room)
    assert world.run_until(lambda: len(old(newcomer)) == 3, 30)
    assert old(newcomer) == said


def test_only_admins_change_the_history_of_a_room() -> None:
    _, ann, bob, _, room = world_of("history admins")
    with pytest.raises(CallError, match="forbidden"):
        bob.call(c.RoomUpdate(room=room, history=100))
    with pytest.raises(CallError, match="invalid"):
        ann.call(c.RoomUpdate(room=room, history=MAX_ITEMS + 1))
    with pytest.raises(CallError, match="invalid"):
        ann.call(c.RoomCreate(name="much", history=MAX_ITEMS + 1))
    assert ann.call(c.RoomCreate(name="all", history="all"))["history"] == str(MAX_ITEMS)


def test_rooms_say_plainly_what_history_costs() -> None:
    _, ann, _, _, room = world_of("history said")
    shown = ann.call(c.RoomGet(room=room))
    assert shown["history"] == "5"
    assert "5 messages" in shown["history_note"] and "no forward secrecy" in shown["history_note"]
    assert [r["history"] for r in ann.call(c.RoomList())["rooms"] if r["room"] == room] == ["5"]
    other = ann.call(c.RoomCreate(name="plain"))["room"]
    assert ann.call(c.RoomGet(room=other))["history_note"] == ""


def test_whom_an_adder_that_went_away_gave_nothing_is_given_it_by_another() -> None:
    world, ann, bob, cat, room = world_of("history adder gone")
    said = talk(world, room, ann, bob, 8)
    engine_of(ann).state.joins.admitted = lambda *_: None
    seen = invite(world, ann, cat, room)
    world.run(2)
    ann.crash()
    assert world.run_until(lambda: bool(old(seen)), 600)
    assert old(seen) == said[-5:]


def test_who_comes_by_a_link_and_knows_nobody_asks_and_is_given() -> None:
    world = Simulation("history link")
    world.add("hub")
    ann = world.add("ann", peers=["hub"])
    dan = world.add("dan", peers=["hub"])
    world.run(2)
    room = ann.call(c.RoomCreate(name="club", history=3))["room"]
    for number in range(5):
        ann.call(c.UserMessage(room=room, message=f"old {number}"))
        world.run(0.1)
    seen = dan.attach()
    dan.call(c.RoomLinkUse(link=ann.call(c.RoomLinkCreate(room=room))["link"]))
    assert world.run_until(lambda: joined(seen, room, "dan"), 20)
    assert world.run_until(lambda: len(old(seen)) == 3, 20)
    assert old(seen) == ["old 2", "old 3", "old 4"]
    assert not seen.of(events.ContactRequested)


def test_what_a_newcomer_was_given_it_gives_to_the_next() -> None:
    world, ann, bob, cat, room = world_of("history handed on")
    said = talk(world, room, ann, bob, 6)
    seen = invite(world, ann, cat, room)
    assert world.run_until(lambda: len(old(seen)) == 5, 30)
    dan = world.add("dan", peers=["cat"])
    world.run(2)
    befriend(world, cat, dan)
    ann.crash()
    bob.crash()
    cat.call(c.UserMessage(room=room, message="between"))
    newest = invite(world, cat, dan, room)
    assert world.run_until(lambda: len(old(newest)) == 5, 30)
    assert old(newest) == [*said[-4:], "between"]


@pytest.mark.parametrize("restart", [False, True])
def test_an_export_that_comes_before_the_welcome_is_read_again_after_it(restart: bool) -> None:
    world, ann, bob, cat, room = world_of(f"history early {restart}")
    said = talk(world, room, ann, bob, 6)
    ann.call(c.UserInvite(target="cat", room=room))
    seen = cat.attach()
    assert world.run_until(lambda: bool(seen.of(events.UserInvite)), 10)
    late: list[Envelope] = []
    real = Joins._welcome

    def welcome(self: Joins, turn: Turn, *rest: Any) -> None:
        before = len(turn.posts)
        real(self, turn, *rest)
        late.extend(turn.posts[before:])
        del turn.posts[before:]

    Joins._welcome = welcome  # type: ignore[method-assign]
    try:
        cat.call(c.UserInviteResponse(response="accept"), seen)
        world.run(80)
    finally:
        Joins._welcome = real  # type: ignore[method-assign]
    assert late and len(engine_of(cat).state.dms.large.expected) == 1
    if restart:
        cat.crash()
        cat.start()
        seen = cat.attach(plain=False)
    turn = turn_of(ann)
    turn.posts += late
    release(ann, turn)
    assert world.run_until(lambda: len(old(seen)) == 5, 58), "before anybody asks"
    assert old(seen) == said[-5:]
    assert engine_of(cat).state.dms.large.expected == {}


def test_an_export_has_nothing_that_the_newcomer_can_read_by_itself() -> None:
    world, ann, bob, cat, room = world_of("history since", 20)
    talk(world, room, ann, bob, 4)
    invite(world, ann, cat, room)
    world.run(3)
    account = cat.setup.identity.account
    before = export(room_of(ann), account)
    talk(world, room, ann, bob, 4)
    assert len(room_of(ann).kept.items()) == 8
    assert export(room_of(ann), account) == before and len(before) == 4


def test_who_comes_back_is_shown_what_was_said_meanwhile_and_nothing_twice() -> None:
    world, ann, bob, cat, room = world_of("history again", 20)
    invite(world, ann, cat, room)
    world.run(5)
    first = talk(world, room, ann, cat, 4)
    world.run(3)
    cat.call(c.UserLeave(room=room))
    world.run(3)
    for number in range(3):
        bob.call(c.UserMessage(room=room, message=f"meanwhile {number}"))
        world.run(0.3)
    seen = invite(world, bob, cat, room)
    assert world.run_until(lambda: len(old(seen)) == 3, 30)
    world.run(100)
    assert old(seen) == [f"meanwhile {number}" for number in range(3)]
    assert read(cat, room) == [*first, *old(seen)]


def test_a_thousand_messages_are_given() -> None:
    world, ann, bob, cat, room = world_of("history thousand", MAX_ITEMS)
    for number in range(MAX_ITEMS + 20):
        (ann, bob)[number % 2].call(c.UserMessage(room=room, message=f"old {number}"))
        if number % 40 == 0:
            world.run(0.5)
    world.run(5)
    seen = invite(world, ann, cat, room)
    assert world.run_until(lambda: len(old(seen)) >= MAX_ITEMS, 60)
    assert sorted(old(seen)) == sorted(read(ann, room)[-MAX_ITEMS:])
    for parity in (0, 1):
        numbers = [int(text[4:]) for text in old(seen) if int(text[4:]) % 2 == parity]
        assert numbers == sorted(numbers), "everybody's own messages are in their order"


def test_long_messages_are_given_as_many_as_one_object_carries() -> None:
    world, ann, bob, cat, room = world_of("history long", MAX_ITEMS)
    for number in range(120):
        ann.call(c.UserMessage(room=room, message=f"{number:04} " + "x" * 16_000))
    world.run(5)
    seen = invite(world, ann, cat, room)
    assert world.run_until(lambda: bool(old(seen)), 60)
    shown = [int(text[:4]) for text in old(seen)]
    assert shown == list(range(120 - len(shown), 120)) and 80 < len(shown) < 120


@pytest.mark.parametrize("who", ["ann", "cat"])
def test_history_comes_whole_and_once_however_a_node_crashes(who: str) -> None:
    for effects in range(1, 40, 4):
        world, ann, bob, cat, room = world_of(f"history crash {who} {effects}")
        said = talk(world, room, ann, bob, 7)
        ann.call(c.UserInvite(target="cat", room=room))
        seen = cat.attach()
        assert world.run_until(lambda seen=seen: bool(seen.of(events.UserInvite)), 10)  # type: ignore[misc]
        node = {"ann": ann, "cat": cat}[who]
        cat.call(c.UserInviteResponse(response="accept"), seen)
        node.effects_left = effects
        world.run(8)
        node.effects_left = None
        if node.up:
            node.crash()
        node.start()
        world.run(300)
        assert read(cat, room) == said[-5:], effects
        assert engine_of(cat).state.wanted_history == {}
        ann.call(c.UserMessage(room=room, message="still"))
        world.run(5)
        assert read(cat, room) == [*said[-5:], "still"]


def test_the_whole_state_of_a_newcomer_opens_of_what_was_before_exactly_what_was_granted() -> None:
    world, ann, bob, cat, room = world_of("history oracle", 3)
    before = envelopes(ann)
    said = talk(world, room, ann, bob, 8)
    sent = envelopes(ann) - before
    seen = invite(world, ann, cat, room)
    assert world.run_until(lambda: len(old(seen)) == 3, 30)
    plains = opened(cat, sent, channels(ann), devices(ann))
    found = [text for text in said if any(text.encode() in plain for plain in plains)]
    assert found == said[-3:]


def test_the_whole_state_of_a_newcomer_opens_nothing_from_before_without_history() -> None:
    world, ann, bob, cat, room = world_of("history oracle none", "none")
    before = envelopes(ann)
    talk(world, room, ann, bob, 5)
    sent = envelopes(ann) - before
    invite(world, ann, cat, room)
    world.run(100)
    assert opened(cat, sent, channels(ann), devices(ann)) == []


def test_what_fell_out_of_the_newest_n_cannot_be_opened_again() -> None:
    world, ann, bob, _, room = world_of("history forward", 3)
    before = envelopes(ann)
    said = talk(world, room, ann, bob, 8)
    sent = envelopes(ann) - before
    for node in (ann, bob):
        plains = opened(node, sent, channels(ann), devices(ann))
        assert [text for text in said if any(text.encode() in plain for plain in plains)] == said[-3:]


def test_who_asks_again_and_again_is_answered_once_an_hour() -> None:
    world, ann, bob, cat, room = world_of("history asked")
    talk(world, room, ann, bob, 6)
    invite(world, ann, cat, room)
    world.run(10)
    before = len(envelopes(bob))
    for _ in range(20):
        direct(cat, bob, Type.HISTORY_WANT, [room_of(cat).room_id])
        world.run(1)
    assert len(envelopes(bob)) - before <= 20 + 2


def test_who_is_not_in_the_room_is_given_nothing() -> None:
    world, ann, bob, cat, room = world_of("history stranger")
    talk(world, room, ann, bob, 6)
    world.run(6)  # receipts
    before = len(envelopes(ann))
    direct(cat, ann, Type.HISTORY_WANT, [room_of(ann).room_id])
    world.run(5)
    assert len(envelopes(ann)) - before == 1
