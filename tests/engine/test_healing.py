"""Never silent: what a room's members cannot open is shown, asked for and healed (docs/crypto.md 3.10)."""

from __future__ import annotations

import json
import uuid

import pytest

from node.chat import commands as c, events
from node.chat.messages import UNREADABLE
from node.chat.resending import BURST, EACH_SECOND
from node.crypto.chain import MAX_SKIPPED
from node.errors import PeerFault
from node.sim import SimNode, Simulation
from node.wire.payload import Type
from tests.engine.healing_worlds import (
    PATIENCE,
    club,
    history,
    lost,
    placeholders,
    read,
    resent,
    say,
    watch,
    whisper,
    whispers,
)
from tests.engine.hostile import inbox_of, no_late_faults, release, room_of, turn_of
from tests.engine.oracle import opened
from tests.engine.test_restart import hand_in
from tests.engine.test_secrecy import channels, devices, envelopes
from tests.engine.worlds import befriend, invite, texts


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
    world.run(60)
    bob.crash(), cat.crash()
    world.run(PATIENCE + 5 * 3600)
    assert read(ann, room)[-2:] == ["?1", "bye"]
    assert Type.NACK not in said
    assert len(placeholders(seen)) == 1


@pytest.mark.parametrize("answered_after", [1.0, 20.0])
def test_of_many_members_with_the_same_hole_only_some_ask(
    answered_after: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("node.chat.resending.ANSWER_AFTER", answered_after)
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


# -- crashes --------------------------------------------------------------------------------------


@pytest.mark.attack("A34")
@pytest.mark.parametrize("who", ["ann", "bob"])
def test_a_crash_at_any_step_delays_the_healing_and_loses_or_doubles_nothing(who: str) -> None:
    for effects in range(0, 30, 2):
        world, ann, bob, cat, room, _ = club(f"crash {who} {effects}")
        lost(world, ann, lambda ann=ann, room=room: say(ann, room, "two"))
        say(ann, room, "three")
        node = world.nodes[who]
        world.run(11 if effects % 4 else 55)
        node.effects_left = effects
        for _ in range(12):
            world.run(10)
            if not node.up:
                node.start()
                node.effects_left = effects
        node.effects_left = None
        for _ in range(80):
            world.run(5)
            if "two" in read(bob, room):
                break
        world.run(PATIENCE)
        assert read(bob, room) == ["one", "hello", "two", "three"], effects
        logged = [json.loads(body) for _, body in bob.store.events_after(0, 10**6)]
        healed = [event for event in logged if event["event"] == "message_healed"]
        assert [event["message"] for event in healed] == ["two"], effects
        assert sum(event.get("kind") == UNREADABLE for event in logged) == 1, effects


def test_what_was_jumped_over_before_a_crash_is_shown_as_missing_after_it() -> None:
    world, ann, bob, cat, room, _ = club("jumped")
    lost(world, ann, lambda: say(ann, room, "two"))
    say(ann, room, "three")
    world.run(3)
    bob.crash()
    world.run(3600)
    bob.start()
    ann.crash()
    world.run(2 * PATIENCE)
    assert read(bob, room)[-2:] == ["?1", "three"]
    bob.crash()
    bob.start()
    world.run(5)
    ann.start()
    assert world.run_until(lambda: read(bob, room)[-2:] == ["two", "three"], 600)


def test_what_waits_for_a_message_that_is_missing_is_shown_as_soon_as_it_is_healed() -> None:
    world, ann, bob, cat, room, seen = club("freed")
    lost(world, ann, lambda: say(ann, room, "two"))
    say(ann, room, "three")
    world.run(1)
    ann.crash()
    world.run(PATIENCE)
    ann.start()
    (two,) = [uuid.UUID(event.id).bytes for event in history(ann, room) if event.message == "two"]
    hand_in(bob, room, "answer", two)
    assert "answer" not in read(bob, room)
    assert world.run_until(lambda: bool(seen.of(events.MessageHealed)), 300)
    assert read(bob, room)[-3:] == ["two", "three", "answer"]
    assert not seen.of(events.UserMessage)[-1].gap


# -- more than a chain keeps seeds for ------------------------------------------------------------


@pytest.mark.attack("A34")
def test_what_is_beyond_the_seeds_that_are_kept_is_missed_and_healed_too() -> None:
    world, ann, bob, cat, room, seen = club("beyond")
    many = MAX_SKIPPED + 30

    def flood() -> None:
        for number in range(many):
            say(ann, room, str(number))

    lost(world, ann, flood)
    say(ann, room, "last")
    world.run(3 * PATIENCE)
    (placeholder,) = placeholders(seen)
    assert placeholder.why == "keys_gone" and placeholder.missing == many
    assert world.run_until(lambda: inbox_of(bob).healing.holes.all == {}, 3600)
    healed = [event.message for event in seen.of(events.MessageHealed)]
    healed.remove(str(many - 1))  # "last" names it: it may be asked for by name before its turn
    assert healed == [str(number) for number in range(many - 1)]
    no_late_faults(ann, bob)


# -- who may ask, and for what --------------------------------------------------------------------


@pytest.mark.attack("A34")
def test_a_newcomer_who_asks_for_what_came_before_it_gets_nothing() -> None:
    world, ann, bob, cat, room, _ = club("newcomer asks")
    befriend(world, ann, cat)
    old = {epoch16: held.send.index for epoch16, held in room_of(ann).epochs.held.items() if held.send}
    invite(world, ann, cat, room)
    world.run(5)
    given = resent(ann)
    for epoch16, sent in old.items():
        whisper(cat, Type.NACK, [epoch16, room_of(ann).me.device_id, 0, sent + 5])
    mids = [event.id for event in history(ann, room)]
    whisper(cat, Type.NACK, [[uuid.UUID(mid).bytes for mid in mids]])
    world.run(30)
    assert given == []
    no_late_faults(ann, bob, cat)


@pytest.mark.attack("A34")
@pytest.mark.parametrize("later", [False, True])
def test_an_answer_is_read_by_nobody_who_came_after_the_message(later: bool) -> None:
    world, ann, bob, cat, room, _ = club(f"newcomer listens {later}")
    dan = world.add("dan", peers=["cat"])
    world.run(2)
    befriend(world, ann, dan)
    if later:
        invite(world, ann, dan, room)
        world.run(5)
    bob.crash()
    lost(world, ann, lambda: say(ann, room, "old secret"))
    say(ann, room, "three")
    if not later:
        invite(world, ann, dan, room)
        world.run(5)
    say(ann, room, "welcome dan")
    world.run(2)
    dan.crash()
    before, given = envelopes(ann), resent(ann)
    bob.start()
    assert world.run_until(lambda: "old secret" in read(bob, room), 2 * PATIENCE)
    world.run(10)
    sent = envelopes(ann) - before
    assert len(given) == 1 and len(sent) >= 2
    dan.start()
    readable = [b"old secret" in plain for plain in opened(dan, sent, channels(ann), devices(ann))]
    assert any(readable) is later, "who was in when it was said may read it again, nobody else"
    no_late_faults(ann, bob)


def test_who_was_removed_meanwhile_gets_no_answer() -> None:
    world, ann, bob, cat, room, _ = club("asker removed")
    lost(world, ann, lambda: say(ann, room, "two"))
    say(ann, room, "three")
    world.run(2)
    world.partition(["ann"], ["bob", "cat"])
    given, asked = resent(ann), whispers(bob)
    ann.call(c.MemberRemove(room=room, username="bob"))
    world.run(PATIENCE + 10)
    assert Type.NACK in asked
    world.heal()
    world.run(300)
    assert given == []
    assert read(bob, room)[-2:] == ["?1", "three"]


def test_nor_does_who_is_removed_before_it_is_answered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("node.chat.resending.ANSWER_AFTER", 20.0)
    world, ann, bob, cat, room, _ = club("asker removed soon")
    lost(world, ann, lambda: say(ann, room, "two"))
    say(ann, room, "three")
    given = resent(ann)
    assert world.run_until(lambda: inbox_of(ann).healing.resending.deadline is not None, 2 * PATIENCE)
    ann.call(c.MemberRemove(room=room, username="bob"))
    world.run(60)
    assert given == [] and inbox_of(ann).healing.resending.deadline is None


def test_what_its_author_sent_after_being_removed_is_not_shown_as_missing() -> None:
    world, ann, bob, cat, room, _ = club("past a cut")
    befriend(world, ann, cat)
    invite(world, ann, cat, room)
    world.run(10)
    say(bob, room, "first")
    world.run(3)
    seen = watch(cat)
    lost(world, bob, lambda: say(bob, room, "lost"))
    world.partition(["ann"], ["bob", "cat"])
    say(bob, room, "unseen by ann")
    world.run(1)
    ann.call(c.MemberRemove(room=room, username="bob"))
    world.heal()
    world.run(2 * PATIENCE)
    assert not room_of(cat).is_member(bob.setup.identity.account)
    assert placeholders(seen) == []


# -- who means harm -------------------------------------------------------------------------------


@pytest.mark.attack("A36")
def test_a_flood_of_questions_costs_the_author_a_bounded_number_of_seals() -> None:
    world, ann, bob, cat, room, _ = club("flood")
    for number in range(40):
        say(ann, room, str(number))
    world.run(3)
    given = resent(ann)
    epoch16 = room_of(ann).sending(turn_of(ann)).epoch16
    for _ in range(30):
        for _ in range(10):
            whisper(bob, Type.NACK, [epoch16, room_of(ann).me.device_id, 0, (1 << 32) - 1])
        world.run(20)
    known = room_of(ann).epochs.held[epoch16].send
    assert known is not None
    assert 40 <= len(given) <= 6 * known.index
    assert len(given) <= BURST + 600 * EACH_SECOND
    places = [tuple(payload.body[:2]) for payload in given]
    assert max(map(places.count, places)) <= 6, "each is answered less and less often"
    assert world.run_until(lambda: inbox_of(ann).healing.resending.deadline is None, 600)


def hole_of(world: Simulation, ann: SimNode, bob: SimNode, room: str) -> tuple[bytes, int]:
    """Let bob have a hole that ann, who says nothing by herself, is asked for; return its place."""
    inbox_of(ann).healing.resending.answer = lambda turn: None  # type: ignore[method-assign]
    (hole,) = inbox_of(bob).healing.holes.all.values()
    return hole.epoch16, hole.first


@pytest.mark.attack("A34")
def test_an_author_who_answers_wrongly_changes_nothing() -> None:
    world, ann, bob, cat, room, _ = club("liar")
    befriend(world, ann, cat)
    invite(world, ann, cat, room)
    world.run(10)
    say(cat, room, "by cat")
    world.run(2)
    lost(world, ann, lambda: say(ann, room, "two"))
    say(ann, room, "three")
    world.run(2)
    epoch16, index = hole_of(world, ann, bob, room)
    world.run(PATIENCE + 20)
    for node in (ann, bob):
        node.crash()
        node.start()
        world.run(5)
    epoch16, index = hole_of(world, ann, bob, room)
    seen, before = watch(bob), read(bob, room)
    lie = ["a lie", "text", None]
    whisper(ann, Type.RESENT, [epoch16, 0, lie])
    whisper(ann, Type.RESENT, [epoch16, index + 1, lie])
    whisper(ann, Type.RESENT, [bytes(16), index, lie])
    whisper(ann, Type.RESENT, [epoch16, 1 << 31, None])
    whisper(cat, Type.RESENT, [epoch16, index, lie])
    whisper(cat, Type.RESENT, [epoch16, index, None])
    world.run(30)
    assert read(bob, room) == before and "?1" in before
    assert seen.of(events.MessageHealed) == [] and texts(seen) == []
    whisper(ann, Type.RESENT, [epoch16, index, ["two", "text", None]])
    whisper(ann, Type.RESENT, [epoch16, index, ["another two", "text", None]])
    world.run(5)
    assert [event.message for event in seen.of(events.MessageHealed)] == ["two"]
    assert "another two" not in read(bob, room)
    no_late_faults(ann, bob, cat)


@pytest.mark.attack("A36")
def test_holes_that_a_member_makes_on_purpose_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("node.chat.holes.MAX_HOLES", 5)
    world, ann, bob, cat, room, _ = club("many holes")
    for number in range(12):
        held = room_of(ann).sending(turn_of(ann))
        whisper(ann, Type.RESENT, [held.epoch16, 0, None])
        turn = turn_of(ann)
        try:
            room_of(ann).whisper(turn, Type.NACK, [bytes(16), bytes(16), 0, 0])
        except PeerFault:
            raise AssertionError from None
        turn.posts.clear()
        release(ann, turn)
        say(ann, room, str(number))
        world.run(0.5)
    assert len(inbox_of(bob).healing.holes.all) == 5
    rows = [key for key in bob.store.load().rows["pending"] if key[:1] == b"h"]
    assert len(rows) == 5


# -- all together ---------------------------------------------------------------------------------


@pytest.mark.attack("A34")
@pytest.mark.parametrize("seed", range(8))
def test_whatever_gets_lost_everybody_ends_with_every_message_once(seed: int) -> None:
    world, ann, bob, cat, room, _ = club(f"all together {seed}")
    befriend(world, ann, cat)
    invite(world, ann, cat, room)
    world.run(10)
    nodes, said = [ann, bob, cat], {node.name: 0 for node in (ann, bob, cat)}
    for step in range(25):
        node = nodes[int(world.random() * 3)]
        said[node.name] += 1
        text = f"{node.name} {said[node.name]}"
        if world.random() < 0.4:
            lost(world, node, lambda node=node, text=text: say(node, room, text))
        else:
            say(node, room, text)
            world.run(world.random() * 3)
        if step % 8 == 7:
            rekeyed = turn_of(node)
            room_of(node).rekey(rekeyed, 2)
            release(node, rekeyed)
            world.run(3)
            for other in nodes:  # what only a lost message would have named is not known to be missing
                said[other.name] += 1
                say(other, room, f"{other.name} {said[other.name]}")
                world.run(1)
        if world.random() < 0.1:
            node.crash()
            node.start()
    world.run(5)
    for node in nodes:
        say(node, room, f"{node.name} ends")
        world.run(3)
    everything = {f"{name} {n + 1}" for name, count in said.items() for n in range(count)}
    for _ in range(60):
        world.run(60)
        whole = all(everything <= {*read(node, room)} for node in nodes)
        if whole and not any(inbox_of(node).healing.holes.all for node in nodes):
            break
    world.run(PATIENCE)
    for node in nodes:
        texts_ = [t for t in read(node, room) if t.split()[-1].isdigit()]
        assert sorted(texts_) == sorted(everything), node.name
        assert inbox_of(node).healing.holes.all == {}
    no_late_faults(*nodes)
