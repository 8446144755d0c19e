"""Messages with a time to live: gone everywhere at the same moment of mesh time, and after a start too."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from node import ids
from node.chat import commands as c, events, expiring
from node.clock import DAY_MS
from node.engine.effects import FetchMessages, MessagesFetched
from node.sim import CallError
from node.wire import envelope
from tests.engine.hostile import engine_of, give, release, turn_of
from tests.engine.test_changes import history, last, say
from tests.engine.test_history import world_of
from tests.engine.worlds import invite, trio


def test_an_expiring_message_is_gone_from_both_nodes_when_its_time_is_over() -> None:
    world, ann, bob, _, room = trio("expiring")
    mine, theirs = ann.attach(), bob.attach()
    mid = say(ann, room, "burn this", ttl=30)
    world.run(2)
    told = last(theirs, events.UserMessage)
    assert told.ttl == 30 and told.expires_ms == told.ts_ms + 30_000
    world.run(27)
    assert [m.message for m in history(bob, room)] == ["burn this"]
    assert not theirs.of(events.MessageDeleted)
    world.run(2)
    for node, session in ((ann, mine), (bob, theirs)):
        gone = last(session, events.MessageDeleted)
        assert (gone.id, gone.reason) == (mid, "expired")
        (kept,) = history(node, room)
        assert kept.deleted is True and kept.message == ""
        assert not [key for key in node.store.load().rows["pending"] if key[:1] == b"M"]
        assert b"burn" not in b"".join(node.store.load().rows["rooms"].values())


def test_what_expired_while_the_node_was_down_is_gone_at_its_start() -> None:
    world, ann, bob, _, room = trio("expired while down")
    say(ann, room, "burn this", ttl=3600)
    world.run(2)
    bob.crash()
    world.run(1)
    world.time += 3700
    bob.start()
    seen = bob.attach()
    world.run(1)
    assert last(seen, events.MessageDeleted).reason == "expired"
    assert history(bob, room)[0].message == ""


def test_a_clock_that_is_set_moves_the_end_within_a_minute() -> None:
    world, ann, bob, _, room = trio("clock set")
    say(ann, room, "burn this", ttl=7200)
    world.run(2)
    for node in world.nodes.values():
        node.skew_s += 7300
    world.run(62)
    assert [m.message for node in (ann, bob) for m in history(node, room)] == ["", ""]


def test_a_message_that_comes_too_late_is_never_shown() -> None:
    world, ann, bob, _, room = trio("comes too late")
    bob.crash()
    say(ann, room, "burn this", ttl=60)
    world.run(90)
    bob.start()
    seen = bob.attach()
    world.run(10)
    assert "burn this" not in [e.message for e in seen.of(events.UserMessage)]
    assert b"burn" not in b"".join(body for _, body in bob.store.events_after(0, 1000))
    assert [m.message for m in history(bob, room)] == [""]


def test_its_envelope_is_not_held_for_longer_than_its_days() -> None:
    world, ann, _, _, room = trio("envelope of it")
    before = set(ann.store._state.held)
    mid = say(ann, room, "burn this", ttl=3 * 86_400)
    ann.call(c.MessageEdit(room=room, id=mid, message="burn that"))
    fresh = [ann.store._state.held[key] for key in set(ann.store._state.held) - before]
    assert len(fresh) == 2
    assert {(e.expires_ms - e.ts_ms) // DAY_MS for e in fresh} == {3}
    assert all(envelope.parse(e.raw).ttl_days == 3 for e in fresh)


def test_an_edit_of_an_expiring_message_goes_with_it() -> None:
    world, ann, bob, _, room = trio("edited and expiring")
    mid = say(ann, room, "burn this", ttl=30)
    ann.call(c.MessageEdit(room=room, id=mid, message="burn that"))
    world.run(40)
    for node in (ann, bob):
        assert [m.message for m in history(node, room)] == [""]
        assert b"burn" not in b"".join(body for _, body in node.store.events_after(0, 1000))
        assert b"burn" not in b"".join(node.store.load().rows["pending"].values())


@pytest.mark.parametrize("ttl", [0, 35 * 86_400 + 1])
def test_a_time_to_live_has_bounds(ttl: int) -> None:
    _, ann, _, _, room = trio("bounds")
    with pytest.raises(CallError, match="invalid"):
        say(ann, room, "x", ttl=ttl)


def test_it_goes_in_a_conversation_of_two_as_well() -> None:
    world, ann, bob, _, _ = trio("two")
    room = ann.call(c.DmOpen(username="bob"))["room"]
    say(ann, room, "burn this", ttl=30)
    world.run(40)
    for node in (ann, bob):
        assert [m.message for m in history(node, room)] == [""]
        assert b"burn" not in b"".join(node.store.load().rows["pending"].values())


def test_newcomers_are_given_what_there_is_now_and_no_deleted_or_expired_words() -> None:
    world, ann, bob, cat, room = world_of("present state", 50)
    first, second, _, fourth = (
        say(ann, room, "old words"),
        say(ann, room, "deleted words"),
        say(ann, room, "expired words", ttl=20),
        say(ann, room, "plain"),
    )
    world.run(2)
    ann.call(c.MessageEdit(room=room, id=first, message="newer words"))
    ann.call(c.MessageEdit(room=room, id=first, message="newest words"))
    ann.call(c.MessageEdit(room=room, id=second, message="deleted words, edited"))
    ann.call(c.MessageDelete(room=room, id=second))
    bob.call(c.ReactionSet(room=room, id=fourth, emoji="like"))
    world.run(30)
    for node in (ann, bob):
        kept = b"".join(node.store.load().rows["history"].values())
        assert kept and b"deleted" not in kept
    seen = invite(world, ann, cat, room)
    assert world.run_until(lambda: len(seen.of(events.UserMessage)) >= 2, 90)
    world.run(5)
    told = list(seen.of(events.UserMessage))
    assert [(e.message, e.edited is True) for e in told] == [("newest words", True), ("plain", False)]
    assert [len(e.reactions or ()) for e in told] == [0, 1]
    assert [m.message for m in history(cat, room)] == ["newest words", "plain"]
    ann.call(c.MessageEdit(room=room, id=first, message="for cat too"))
    world.run(3)
    assert history(cat, room)[0].message == "for cat too"
    assert ids.text(ids.parse(first)) == told[0].id


def test_of_too_many_that_which_is_due_next_is_gone_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    world, ann, bob, _, room = trio("too many")
    monkeypatch.setattr(expiring, "MAX_EXPIRING", 3)
    for number in range(5):
        say(ann, room, str(number), ttl=10_000 + number)
    world.run(5)
    for node in (ann, bob):
        assert [m.message for m in history(node, room)] == ["", "", "2", "3", "4"]


def test_a_clock_that_goes_back_at_the_end_of_a_message_does_not_keep_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    world, ann, bob, _, room = trio("back")
    say(ann, room, "burn this", ttl=30)
    world.run(2)
    engine = engine_of(bob)
    book = engine.state.changing.expiring
    turn = turn_of(bob)
    turn.mesh_ms += 40_000
    turn.now = replace(turn.now, mono=turn.now.mono + 40)
    engine.state.changing.due(turn)  # due by the clock of this turn, not yet by that of the next
    release(bob, turn)
    world.run(120)
    assert [m.message for m in history(bob, room)] == [""]
    assert book.deadline is None


def test_a_message_that_comes_while_the_store_is_asked_for_it_still_goes() -> None:
    world, ann, bob, _, room = trio("race")
    world.partition(["bob"], ["ann", "cat"])
    world.run(1)
    before = set(ann.store._state.held)
    mid = say(ann, room, "burn this", ttl=30)
    ann.call(c.MessageEdit(room=room, id=mid, message="burn that"))
    fresh = [one for key, one in ann.store._state.held.items() if key not in before]
    text, edit = [envelope.parse(one.raw) for one in fresh]
    asked: list[Any] = []
    one = bob._one
    bob._one = lambda effect: asked.append(effect) if isinstance(effect, FetchMessages) else one(effect)  # type: ignore[method-assign]
    give(bob, [edit])
    (order,) = asked
    give(bob, [text])  # while what the store did not have then is on its way
    bob._one = one  # type: ignore[method-assign]
    bob.feed(MessagesFetched(order.room, ((ids.parse(mid), None),), to_change=True))
    assert [m.message for m in history(bob, room)] == ["burn that"]
    world.run(60)
    assert [m.message for m in history(bob, room)] == [""]
