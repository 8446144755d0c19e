"""In a room with history any member answers for an author that is away, and can change nothing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from node.chat import commands as c, events
from node.crypto.roomitem import parse_item
from node.engine.standing_in import StandingIn
from node.sim import SimNode, SimSession, Simulation
from node.store.records import DropEnvelopes
from node.wire import codec
from tests.engine.healing_worlds import PATIENCE, history, placeholders, read, say, watch
from tests.engine.hostile import engine_of, inbox_of, no_late_faults, room_of, turn_of
from tests.engine.test_forged_history import give
from tests.engine.test_history import world_of
from tests.engine.worlds import invite

World = tuple[Simulation, SimNode, SimNode, SimNode, str, SimSession]


def missed(
    seed: str,
    history: int | str = 5,
    *,
    away: bool = True,
    act: Callable[[SimNode, str], Any] = lambda ann, room: say(ann, room, "two"),
) -> World:
    """Cat has what ann did (says "two"), which reached bob never and which nobody holds any more."""
    world, ann, bob, cat, room = world_of(seed, history)
    invite(world, ann, cat, room)
    say(ann, room, "one")
    world.run(5)
    seen = watch(bob)
    world.partition(["ann", "cat"], ["bob"])
    world.run(1)
    before = {eid for eid, _, _ in ann.store.load().envelopes}
    act(ann, room)
    world.run(3)
    for node in (ann, cat):
        node.crash()
        gone = [eid for eid, _, _ in node.store.load().envelopes if eid not in before]
        node.store.commit([DropEnvelopes(tuple(gone))])
        node.start()
    world.heal()
    world.run(5)
    say(ann, room, "three")
    world.run(3)
    if away:
        ann.crash()
    return world, ann, bob, cat, room, seen


def test_another_member_gives_what_an_author_that_is_away_had_sent() -> None:
    world, ann, bob, cat, room, seen = missed("stand in")
    world.run(PATIENCE + 60)
    (healed,) = seen.of(events.MessageHealed)
    assert (healed.message, healed.username) == ("two", "ann")
    assert len(placeholders(seen)) == 1
    assert read(bob, room)[-2:] == ["two", "three"]
    world.run(900)
    assert len(seen.of(events.MessageHealed)) == 1
    no_late_faults(bob, cat)


def test_another_member_gives_an_edit_of_an_author_that_is_away() -> None:
    def edit(ann: SimNode, room: str) -> None:
        mid = next(event.id for event in history(ann, room) if event.message == "one")
        ann.call(c.MessageEdit(room=room, id=mid, message="one, mended"))

    world, ann, bob, cat, room, _ = missed("stand in for an edit", act=edit)
    assert "one, mended" in read(cat, room)
    world.run(PATIENCE + 60)
    assert read(bob, room)[-2:] == ["one, mended", "three"]
    no_late_faults(bob, cat)


def test_an_author_that_is_there_answers_itself_and_nobody_else_does() -> None:
    world, ann, bob, cat, room, seen = missed("author there", away=False)
    sends: list[Any] = []
    engine_of(cat).state.dms.send_large = lambda *rest: bool(sends.append(rest))  # type: ignore
    world.run(PATIENCE + 120)
    assert read(bob, room)[-2:] == ["two", "three"]
    assert sends == []


def test_in_a_room_without_history_only_the_author_answers() -> None:
    world, ann, bob, cat, room, seen = missed("stand in none", "none")
    world.run(600)
    assert seen.of(events.MessageHealed) == []
    ann.start()
    world.run(600)
    assert read(bob, room)[-2:] == ["two", "three"]


def test_the_receiver_of_an_answer_may_crash_before_it_has_it() -> None:
    world, ann, bob, cat, room, _ = missed("stand in crash")
    world.run(PATIENCE + 5)
    bob.crash()
    world.run(60)
    bob.start()
    world.run(300)
    assert read(bob, room)[-2:] == ["two", "three"]


@pytest.mark.attack("A38")
@pytest.mark.attack("A04")
@pytest.mark.parametrize("part", range(6), ids=["core", "kc", "nonce", "ct", "sig", "mk"])
def test_what_another_gives_counts_only_as_its_author_signed_it(part: int) -> None:
    world, ann, bob, cat, room, seen = missed(f"stand in forged {part}")
    engine_of(cat).desk.inbox.standing_in.due = lambda *_: None  # type: ignore[method-assign]
    world.run(PATIENCE + 5)
    honest = room_of(cat).kept.items()
    forged = []
    for item in honest:
        fields = list(codec.unpack(item))
        for at in range(0, len(fields[part]) * 8, 3):
            data = bytearray(fields[part])
            data[at // 8] ^= 1 << at % 8
            forged.append(codec.pack([*fields[:part], bytes(data), *fields[part + 1 :]]))
    give(cat, bob, room_of(cat), forged[:900])
    world.run(5)
    assert seen.of(events.MessageHealed) == []
    give(cat, bob, room_of(cat), honest)
    world.run(5)
    assert [healed.message for healed in seen.of(events.MessageHealed)] == ["two"]
    no_late_faults(bob)


@pytest.mark.attack("A04")
def test_what_nobody_lacks_is_passed_over() -> None:
    world, ann, bob, cat, room = world_of("stand in unasked")
    invite(world, ann, cat, room)
    for text in ("one", "two"):
        say(ann, room, text)
    world.run(5)
    seen = watch(bob)
    give(cat, bob, room_of(cat), room_of(cat).kept.items())
    world.run(5)
    assert seen.of(events.UserMessage) == [] and seen.of(events.MessageHealed) == []
    assert inbox_of(bob).healing.holes.all == {}


def test_the_same_is_not_answered_again_and_again() -> None:
    world, ann, bob, cat, room, _ = missed("stand in often")
    engine_of(bob).desk.inbox.standing_in.given = lambda *_: None  # type: ignore[method-assign]
    sends: list[Any] = []
    real: Callable[..., bool] = engine_of(cat).state.dms.send_large
    engine_of(cat).state.dms.send_large = lambda *rest: sends.append(rest) or real(*rest)  # type: ignore
    world.run(PATIENCE + 900)
    assert 1 <= len(sends) <= 2


def test_who_was_not_in_the_epoch_is_given_nothing_of_it() -> None:
    world, ann, bob, cat, room = world_of("stand in newcomer")
    say(ann, room, "before")
    world.run(2)
    (item,) = room_of(bob).kept.items()
    core = parse_item(item).msg.core
    invite(world, ann, cat, room)
    world.run(5)
    asker = room_of(bob).log.roster.members[cat.setup.identity.account]
    standing: StandingIn = engine_of(bob).desk.inbox.standing_in
    standing.asked(turn_of(bob), room_of(bob), asker, [core.epoch16, core.device16, 0, 9])
    assert standing.deadline is None
