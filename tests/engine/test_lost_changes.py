"""Changes that come in any order, twice, late, or when they are asked for: everybody ends with the same."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

from node.chat import commands as c, events
from node.chat.turn import Turn
from node.sim import CallError, SimNode, Simulation
from node.wire.envelope import Envelope
from node.wire.payload import Type, Words
from tests.engine.healing_worlds import PATIENCE, lost, placeholders, read, watch
from tests.engine.hostile import engine_of, give, no_late_faults, room_of, turn_of
from tests.engine.test_changes import history, say
from tests.engine.worlds import befriend, invite, trio

LIKE, CAT = "\N{THUMBS UP SIGN}", "\N{CAT}"


def changed(world: Simulation, ann: SimNode, bob: SimNode, room: str, command: Any) -> None:
    """Ann says something, changes it so that nobody hears of it, and goes on."""
    lost(world, ann, lambda: ann.call(command))
    say(ann, room, "more")


@pytest.mark.parametrize(
    ("kind", "more", "shown"),
    [
        (c.MessageEdit, {"message": "the tea"}, "the tea"),
        (c.MessageDelete, {}, ""),
        (c.ReactionSet, {"emoji": LIKE}, "teh tea"),
    ],
)
def test_a_change_that_nobody_brings_is_asked_for_and_given_again(kind: Any, more: Any, shown: str) -> None:
    world, ann, bob, _, room = trio(f"lost {kind.__name__}")
    mid = say(ann, room, "teh tea")
    world.run(2)
    seen = watch(bob)
    changed(world, ann, bob, room, kind(room=room, id=mid, **more))
    world.run(PATIENCE)
    assert len(placeholders(seen)) == 1
    world.run(30)
    assert read(bob, room) == [shown, "more"]
    assert [len(m.reactions or ()) for m in history(bob, room)] == [int(kind is c.ReactionSet), 0]
    assert seen.of(events.MessageHealed)[-1].missing == 0
    no_late_faults(ann, bob)


def test_of_two_lost_edits_the_later_is_given_and_the_other_is_nothing() -> None:
    world, ann, bob, _, room = trio("lost twice")
    mid = say(ann, room, "one")
    world.run(2)

    def edits() -> None:
        ann.call(c.MessageEdit(room=room, id=mid, message="two"))
        ann.call(c.MessageEdit(room=room, id=mid, message="three"))

    lost(world, ann, edits)
    say(ann, room, "more")
    world.run(PATIENCE + 60)
    assert read(bob, room) == ["three", "more"]


def test_a_lost_message_that_was_deleted_since_is_given_without_its_words() -> None:
    world, ann, bob, _, room = trio("lost and deleted")
    made: list[str] = []
    lost(world, ann, lambda: made.append(say(ann, room, "secret")))
    ann.call(c.MessageDelete(room=room, id=made[0]))
    say(ann, room, "more")
    world.run(PATIENCE + 60)
    assert read(bob, room) == ["", "more"]
    assert history(bob, room)[0].deleted is True
    assert b"secret" not in b"".join(body for _, body in bob.store.events_after(0, 1000))


def test_a_message_that_heals_after_its_changes_came_is_never_shown_as_it_was() -> None:
    world, ann, bob, _, room = trio("heals changed")
    made: list[str] = []

    def speak() -> None:
        made.extend((say(ann, room, "first words"), say(ann, room, "secret")))

    lost(world, ann, speak)
    seen = watch(bob)
    ann.call(c.MessageEdit(room=room, id=made[0], message="second words"))
    world.run(PATIENCE)
    told = [e for e in seen.of(events.MessageHealed) if isinstance(e.id, str)]
    assert [(e.message, e.edited) for e in told[:1]] == [("second words", True)]
    ann.call(c.MessageDelete(room=room, id=made[1]))
    world.run(30)
    assert read(bob, room) == ["second words", ""]
    assert b"secret" not in b"".join(event.body or b"" for event in bob.store._state.events.values())
    assert b"secret" not in b"".join(body for _, body in bob.store.events_after(0, 1000))


@pytest.mark.parametrize(
    ("kind", "more", "shown"),
    [(c.MessageEdit, {"message": "the tea"}, "the tea"), (c.MessageDelete, {}, "")],
)
def test_between_two_people_a_lost_change_comes_with_the_next_word(kind: Any, more: Any, shown: str) -> None:
    world, ann, bob, _, _ = trio(f"lost direct {kind.__name__}")
    room = ann.call(c.DmOpen(username="bob"))["room"]
    mid = say(ann, room, "teh tea")
    world.run(2)
    changed(world, ann, bob, room, kind(room=room, id=mid, **more))
    world.run(PATIENCE + 60)
    assert [m.message for m in history(bob, room)] == [shown, "more"]
    rows = b"".join(ann.store.load().rows["pending"].values())
    assert (b"teh tea" in rows) is False


def test_a_member_away_for_the_message_and_all_its_changes_sees_it_as_it_is() -> None:
    world, ann, bob, _, room = trio("away")
    bob.crash()
    mid = say(ann, room, "one")
    for text in ("two", "three"):
        ann.call(c.MessageEdit(room=room, id=mid, message=text))
    ann.call(c.ReactionSet(room=room, id=mid, emoji=LIKE))
    world.run(2)
    bob.start()
    world.run(10)
    (kept,) = history(bob, room)
    assert (kept.message, [one.emoji for one in kept.reactions or ()]) == ("three", [LIKE])


# -- all orders -----------------------------------------------------------------------------------


def made(node: SimNode, act: Any) -> list[Envelope]:
    """Return the envelopes of what a node does in a turn of its own, kept from everybody."""
    turn: Turn = turn_of(node)
    act(turn)
    posts = list(turn.posts)
    turn.posts.clear()
    node.perform(engine_of(node)._release(turn, []))
    return posts


def one_change(node: SimNode, kind: Type, body: list[Any]) -> list[Envelope]:
    return made(node, lambda turn: room_of(node).change(turn, kind, body))


def four() -> tuple[Simulation, SimNode, SimNode, SimNode, SimNode, str]:
    """Ann, who is creator, and bob make changes; cat and dan hear of them in two orders."""
    world, ann, bob, cat, room = trio("all orders")
    dan = world.add("dan", peers=["cat"])
    world.run(2)
    for node in (cat, dan):
        befriend(world, ann, node)
        invite(world, ann, node, room)
        world.run(5)
    return world, ann, bob, cat, dan, room


@settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.data())
def test_two_nodes_agree_whatever_order_message_edits_deletion_and_reactions_come_in(
    data: st.DataObject,
) -> None:
    world, ann, bob, cat, dan, room = four()
    mids: list[bytes] = []

    def speak(turn: Turn) -> None:
        mids.append(room_of(bob).say(turn, Words("one")).mid)

    sealed = made(bob, speak)
    author = bob.setup.identity.account
    possible: list[tuple[SimNode, Type, list[Any]]] = [
        (bob, Type.EDIT, [mids[0], "two", [], None]),
        (bob, Type.EDIT, [mids[0], "three", [], None]),
        (ann, Type.REACTION, [mids[0], author, LIKE, 1]),
        (ann, Type.REACTION, [mids[0], author, LIKE, 0]),
        (bob, Type.REACTION, [mids[0], author, CAT, 1]),
        (ann, Type.DELETE, [mids[0], author]),
        (bob, Type.DELETE, [mids[0], author]),
    ]
    for node, kind, body in data.draw(st.lists(st.sampled_from(possible), max_size=6)):
        sealed += one_change(node, kind, body)
    for node in (cat, dan):
        for envelope in data.draw(st.permutations(sealed + sealed[:1])):
            give(node, [envelope])
            if data.draw(st.integers(0, 9)) == 0:
                node.crash()
                node.start()
    world.run(1)
    (first,), (second,) = history(cat, room), history(dan, room)
    own = {"seq": 0, "reactions": None, "room": room}
    assert {**fields(first), **own} == {**fields(second), **own}
    assert reactions(first) == reactions(second)
    (kept,) = history(bob, room) or [first]
    assert kept.id == first.id
    no_late_faults(cat, dan)


def fields(message: events.UserMessage) -> dict[str, Any]:
    shown = {name: getattr(message, name) for name in message.__struct_fields__}
    return {name: value for name, value in shown.items() if name not in {"username"}}


def reactions(message: events.UserMessage) -> list[tuple[str, int, set[str]]]:
    shown = message.reactions if isinstance(message.reactions, list) else []
    return [(one.emoji, one.count, {user.user_id for user in one.users}) for one in shown]


# -- crashes --------------------------------------------------------------------------------------


def test_a_crash_between_any_two_effects_loses_no_change() -> None:
    for effects in range(0, 14):
        world, ann, bob, _, room = trio(f"crash {effects}")
        first, second = say(ann, room, "one"), say(ann, room, "secret")
        world.run(2)
        bob.effects_left = effects
        ann.call(c.MessageEdit(room=room, id=first, message="two"))
        ann.call(c.MessageDelete(room=room, id=second))
        ann.call(c.ReactionSet(room=room, id=first, emoji=LIKE))
        world.run(1)
        bob.effects_left = None
        if bob.up:
            bob.crash()
        bob.start()
        world.run(8)
        shown, gone = history(bob, room)
        assert (shown.message, len(shown.reactions or ())) == ("two", 1), effects
        assert gone.deleted is True and gone.message == ""
        pending = bob.store.load().rows["pending"]
        assert not [key for key in pending if key[:1] in {b"m", b"M"}]


def test_a_crash_of_the_author_between_any_two_effects_does_all_or_nothing() -> None:
    for effects in range(0, 10):
        world, ann, bob, _, room = trio(f"author {effects}")
        mid = say(ann, room, "one")
        world.run(2)
        ann.effects_left = effects
        try:
            ann.call(c.MessageEdit(room=room, id=mid, message="two"))
            done = True
        except CallError:  # it went down before it answered
            done = False
        ann.effects_left = None
        if ann.up:
            ann.crash()
        ann.start()
        world.run(8)
        mine, theirs = history(ann, room)[0].message, history(bob, room)[0].message
        assert mine == theirs and (mine == "two" or not done), effects


def test_a_restored_home_has_what_became_of_messages_and_goes_on_changing_them() -> None:
    world, ann, bob, _, room = trio("restored changes")
    mid = say(bob, room, "one")
    gone = say(bob, room, "indiscreet")
    say(bob, room, "burn this", ttl=3600)
    world.run(2)
    bob.call(c.MessageEdit(room=room, id=mid, message="two"))
    bob.call(c.MessageDelete(room=room, id=gone))
    ann.call(c.ReactionSet(room=room, id=mid, emoji=LIKE))
    world.run(2)
    records = bob.backup()
    assert not any(b"indiscreet" in record for record in records)
    bob.crash()
    back = world.restore("back", records, peers=["cat"])
    back.start()
    world.run(30)
    shown = history(back, room)
    assert [m.message for m in shown] == ["two", "", "burn this"]
    assert [r.emoji for r in shown[0].reactions or ()] == [LIKE]
    back.call(c.MessageEdit(room=room, id=mid, message="three"))
    world.run(5)
    for node in (ann, back):
        kept = history(node, room)[0]
        assert (kept.message, len(kept.reactions or ())) == ("three", 1)
    world.time += 3600
    world.run(61)
    assert [m.message for m in history(back, room)] == ["three", "", ""]
