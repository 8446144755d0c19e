"""Old messages at the wrong moment: nobody reads, loses or sees twice what it should not."""

from __future__ import annotations

import json
import uuid
from typing import Any

import pytest

from node.chat import commands as c, events
from node.chat.history import export
from node.chat.holes import MAX_NAMED
from node.chat.joining import Joins
from node.chat.messages import UNREADABLE
from node.chat.turn import Turn
from node.crypto.ops import Device
from node.crypto.roomitem import parse_item
from node.engine import standing_in
from node.engine.standing_in import MAX_ASKED, MAX_EACH
from node.errors import CryptoFault
from node.sim import SimNode
from node.wire.envelope import Envelope
from node.wire.payload import Payload, Type, Words
from tests.engine.healing_worlds import PATIENCE, club, history, placeholders, say, watch, whisper
from tests.engine.hostile import (
    direct,
    engine_of,
    give,
    inbox_of,
    no_late_faults,
    post,
    release,
    room_inner,
    room_of,
    sending,
    text,
    turn_of,
)
from tests.engine.oracle import opened
from tests.engine.test_forged_history import give as export_of, sealed_by
from tests.engine.test_history import old, talk, world_of
from tests.engine.test_secrecy import channels, devices, envelopes
from tests.engine.worlds import befriend, invite, texts


def withheld(node: SimNode, room: str, words: str) -> Envelope:
    """Let a node say something of which the envelope goes nowhere; return it."""
    turn = turn_of(node)
    item = room_of(node).say(turn, Words(words))
    room_of(node).show(turn, [item])
    (sealed,) = turn.posts
    turn.posts.clear()
    release(node, turn)
    return sealed


def send(node: SimNode, payload: Payload) -> None:
    """Post any payload as the node's next room message, which it does not show itself."""
    post(node, sending(node).channel, room_inner(node, payload))


@pytest.mark.attack("A38")
def test_what_was_said_while_nothing_was_granted_is_not_given_because_it_came_late() -> None:
    world, ann, bob, cat, room = world_of("late of before", "none")
    before = envelopes(ann)
    talk(world, room, ann, bob, 2)
    late = withheld(bob, room, "said under none")
    world.run(2)
    ann.call(c.RoomUpdate(room=room, history=10))
    world.run(3)
    said = talk(world, room, ann, bob, 2)
    give(ann, [late])
    world.run(3)
    assert "said under none" in [event.message for event in history(ann, room)]
    seen = invite(world, ann, cat, room)
    assert world.run_until(lambda: len(old(seen)) >= 2, 30)
    world.run(100)
    assert old(seen) == said
    sent = (envelopes(ann) | {late.raw}) - before
    plains = opened(cat, sent, channels(ann), devices(ann))
    assert not any(b"said under none" in plain for plain in plains)
    no_late_faults(ann, bob, cat)


@pytest.mark.attack("A34")
@pytest.mark.parametrize("restart", [False, True])
def test_a_message_that_comes_after_it_was_healed_is_not_shown_again(restart: bool) -> None:
    world, ann, bob, cat, room, seen = club(f"late original {restart}")
    late = withheld(ann, room, "two")
    say(ann, room, "three")
    assert world.run_until(lambda: bool(seen.of(events.MessageHealed)), PATIENCE + 60)
    for number in range(3):
        say(ann, room, f"more {number}")
        world.run(2)
    if restart:
        bob.crash()
        bob.start()
        world.run(3)
    give(bob, [late])
    world.run(5)
    logged = [json.loads(body) for _, body in bob.store.events_after(0, 10**6)]
    assert sum(event.get("message") == "two" for event in logged) == 1
    assert opened(bob, [late.raw], channels(ann), devices(ann)) == [], "nor are its keys kept"
    no_late_faults(ann, bob)


@pytest.mark.attack("A34")
def test_a_message_that_was_named_and_healed_is_not_shown_again_either() -> None:
    world, ann, bob, cat, room, _ = club("late named")
    seen = watch(ann)
    late = withheld(bob, room, "last words")
    turn = turn_of(bob)
    room_of(bob).rekey(turn, 2)
    release(bob, turn)
    world.run(3)
    say(bob, room, "under new keys")
    assert world.run_until(lambda: bool(seen.of(events.MessageHealed)), PATIENCE + 60)
    for number in range(3):
        say(bob, room, f"more {number}")
        world.run(2)
    ann.crash()
    ann.start()
    world.run(3)
    give(ann, [late])
    world.run(5)
    logged = [json.loads(body) for _, body in ann.store.events_after(0, 10**6)]
    assert sum(event.get("message") == "last words" for event in logged) == 1
    no_late_faults(ann, bob)


@pytest.mark.attack("A34")
@pytest.mark.attack("A21")
def test_who_copies_the_id_of_a_lost_message_does_not_keep_it_from_being_healed() -> None:
    world, ann, bob, cat, room, _ = club("copied lost")
    befriend(world, ann, cat)
    invite(world, ann, cat, room)
    world.run(10)
    seen = watch(bob)
    late = withheld(ann, room, "two")
    give(cat, [late])
    (two,) = [event for event in history(ann, room) if event.message == "two"]
    send(cat, text(cat, "copy", mid=uuid.UUID(two.id).bytes))
    world.run(2)
    say(ann, room, "three")
    world.run(PATIENCE + 120)
    assert "copy" in texts(seen)
    healed = seen.of(events.MessageHealed)
    assert [(event.message, event.username) for event in healed] == [("two", "ann")]
    shown = [(event.message, event.username) for event in history(bob, room)]
    assert ("two", "ann") in shown and ("copy", "cat") in shown
    assert len({event.id for event in history(bob, room)}) == len(shown)
    no_late_faults(ann, bob, cat)


@pytest.mark.attack("A36")
def test_who_comes_and_goes_and_comes_again_is_not_given_history_each_time() -> None:
    world, ann, bob, cat, room = world_of("in and out")
    talk(world, room, ann, bob, 6)
    sends: list[Any] = []
    real = engine_of(ann).state.dms.send_large
    engine_of(ann).state.dms.send_large = lambda *rest: sends.append(rest) or real(*rest)  # type: ignore
    for _ in range(12):
        link = ann.call(c.RoomLinkCreate(room=room))["link"]
        cat.call(c.RoomLinkUse(link=link))
        world.run(8)
        assert room_of(ann).is_member(cat.setup.identity.account)
        cat.call(c.UserLeave(room=room))
        world.run(3)
    assert 1 <= len(sends) <= 4
    no_late_faults(ann, bob, cat)


@pytest.mark.attack("A38")
def test_what_a_newcomer_heard_itself_is_not_shown_again_as_history() -> None:
    world, ann, bob, cat, room = world_of("heard twice")
    talk(world, room, ann, bob, 3)
    engine_of(ann).state.joins.admitted = lambda *_: None
    seen = invite(world, ann, cat, room)
    world.run(2)
    view16 = room_of(ann).log.ops_in_order()[0].op16
    live = text(ann, "live", ts_ms=ann.now().wall_ms)
    send(ann, live)
    world.run(2)
    items = [sealed_by(ann, room_of(ann), live, view16=view16, index=50)]
    export_of(ann, cat, room_of(ann), items)
    world.run(5)
    assert texts(seen) == ["live"]
    no_late_faults(ann, bob, cat)


@pytest.mark.attack("A22")
def test_an_adder_does_not_hide_a_message_by_telling_a_newcomer_that_it_is_old() -> None:
    world, ann, bob, cat, room = world_of("hidden", "none")
    ann.call(c.UserInvite(target="cat", room=room))
    seen = cat.attach()
    assert world.run_until(lambda: bool(seen.of(events.UserInvite)), 10)
    mids: list[bytes] = []
    real = Joins._welcome

    def late(self: Joins, turn: Turn, batch: Any, row: Any, held: Any) -> None:
        batch.frontier = lambda _row: tuple(mids)
        mids.append(turn.new_id())
        real(self, turn, batch, row, held)

    Joins._welcome = late  # type: ignore[method-assign]
    try:
        cat.call(c.UserInviteResponse(response="accept"), seen)
        world.run(8)
    finally:
        Joins._welcome = real  # type: ignore[method-assign]
    said = text(bob, "for all to read", mid=mids[0])
    send(bob, said)
    world.run(5)
    assert "for all to read" in texts(seen)
    no_late_faults(ann, bob, cat)


@pytest.mark.attack("A02")
@pytest.mark.attack("A38")
def test_a_device_that_was_replaced_says_nothing_more_through_somebody_elses_history() -> None:
    world, ann, bob, cat, room = world_of("replaced")
    bob.call(c.UserMessage(room=room, message="at the old device"))
    world.run(3)
    thief, records = room_of(bob), bob.backup()
    bob.crash()
    world.restore("bobs", records, peers=["cat"]).start()
    world.run(30)
    engine_of(ann).state.joins.admitted = lambda *_: None
    seen = invite(world, ann, cat, room)
    world.run(2)
    log = room_of(ann).log
    moved = next(op for op in log.ops_in_order() if isinstance(op.body, Device))
    forged = sealed_by(bob, thief, text(ann, "by a thief"), view16=moved.op16, index=9)
    export_of(ann, cat, room_of(ann), [forged, *export(room_of(ann), cat.setup.identity.account)])
    world.run(5)
    assert old(seen) == ["at the old device"]
    core = parse_item(sealed_by(bob, thief, text(ann, "again"), index=9)).msg.core
    with pytest.raises(CryptoFault, match="replaced"):
        standing_in._author(room_of(ann), core)
    no_late_faults(ann, cat)


@pytest.mark.attack("A36")
def test_one_question_after_another_does_not_make_a_member_give_without_end() -> None:
    world, ann, bob, cat, room = world_of("stand in flood", 1000)
    for number in range(60):
        say(ann, room, f"{number} " + "x" * 16_000)
    world.run(5)
    asker = room_of(bob).log.roster.members[ann.setup.identity.account]
    standing = engine_of(bob).desk.inbox.standing_in
    sizes: list[int] = []
    engine_of(bob).state.dms.send_large = (  # type: ignore[method-assign]
        lambda _turn, _account, _kind, body: sizes.append(sum(map(len, body[1]))) or True
    )
    core = parse_item(room_of(bob).kept.items()[0]).msg.core
    for first in range(300):
        turn = turn_of(bob)
        # ann asks for her own words: to bob they are a third member's
        standing.asked(turn, room_of(bob), asker, [core.epoch16, core.device16, 0, 10_000 + first])
        release(bob, turn)
        assert len(standing._waiting) <= MAX_ASKED
        world.run(2)
    assert len(sizes) >= 1 and sum(sizes) <= MAX_EACH + 1_600_000


@pytest.mark.attack("A34")
def test_a_hole_made_on_purpose_does_not_hide_for_good_what_others_name() -> None:
    world, ann, bob, cat, room, _ = club("hidden by a hole")
    befriend(world, ann, cat)
    invite(world, ann, cat, room)
    world.run(10)
    for number in range(100):  # cat seals and posts nothing, then the next
        room_inner(cat, text(cat, str(number)))
    send(cat, text(cat, "after many"))
    world.run(2 * PATIENCE)
    withheld(bob, room, "last words")
    turn = turn_of(bob)
    room_of(bob).rekey(turn, 2)
    release(bob, turn)
    world.run(3)
    say(bob, room, "under new keys")
    world.run(1800)
    assert "last words" in [event.message for event in history(ann, room)]
    assert not any(key[:1] == b"x" for key in ann.store.load().rows["pending"])
    no_late_faults(ann, bob)


@pytest.mark.attack("A34")
@pytest.mark.attack("A18")
@pytest.mark.parametrize("granted", ["none", 2])
def test_who_was_removed_and_let_in_again_opens_nothing_from_between_but_what_is_granted(
    granted: int | str,
) -> None:
    world, ann, bob, cat, room = world_of(f"between {granted}", granted)
    invite(world, ann, cat, room)
    world.run(5)
    talk(world, room, ann, cat, 4)
    world.run(3)
    ann.call(c.MemberRemove(room=room, username="cat"))
    world.run(3)
    before = envelopes(ann)
    for number in range(5):
        say((ann, bob)[number % 2], room, f"between {number}")
        world.run(1)
    between = envelopes(ann) - before
    places = [
        (held.epoch16, node, held.send.index)
        for node in (ann, bob)
        for held in room_of(node).epochs.held.values()
        if held.send is not None
    ]
    mids = [uuid.UUID(event.id).bytes for event in history(ann, room)]
    invite(world, ann, cat, room)
    world.run(5)
    for epoch16, node, sent in places:
        whisper(cat, Type.NACK, [epoch16, node.setup.identity.device_id, 0, sent + 5])
    for mid in mids:
        whisper(cat, Type.NACK, [[mid]])
    for node in (ann, bob):
        direct(cat, node, Type.HISTORY_WANT, [room_of(cat).room_id])
    world.run(200)
    everything = envelopes(ann) - before
    plains = opened(cat, everything, channels(ann), devices(ann))
    found = {n for n in range(5) if any(f"between {n}".encode() in plain for plain in plains)}
    assert len(between) >= 5 and found == ({3, 4} if granted == 2 else set())
    no_late_faults(ann, bob, cat)


@pytest.mark.attack("A36")
def test_names_that_a_member_makes_up_are_asked_for_within_bounds_and_crowd_out_no_others() -> None:
    world, ann, bob, cat, room, _ = club("made up names")
    befriend(world, ann, cat)
    invite(world, ann, cat, room)
    world.run(10)
    withheld(bob, room, "last words")
    turn = turn_of(bob)
    room_of(bob).rekey(turn, 2)
    release(bob, turn)
    world.run(3)
    bob.crash()
    for number in range(3 * MAX_NAMED):
        turn = turn_of(cat)
        send(cat, text(cat, str(number), refs=tuple(turn.new_id() for _ in range(8))))
    world.run(PATIENCE)
    bob.start()
    world.run(5)
    say(bob, room, "under new keys")
    world.run(PATIENCE)
    for number in range(MAX_NAMED):
        turn = turn_of(cat)
        send(cat, text(cat, f"more {number}", refs=tuple(turn.new_id() for _ in range(8))))
    world.run(300)
    holes = inbox_of(ann).healing.holes.all.values()
    assert sum(bool(hole.names) for hole in holes) <= MAX_NAMED + 1
    assert "last words" in [event.message for event in history(ann, room)]


@pytest.mark.attack("A34")
def test_a_message_does_not_pass_for_something_that_is_missing() -> None:
    world, ann, bob, cat, room, seen = club("false placeholder")
    send(ann, text(ann, "", body=["read me", UNREADABLE, None]))
    world.run(3)
    assert placeholders(seen) == []
    assert [(event.message, event.kind) for event in seen.of(events.UserMessage)] == [("read me", "text")]


@pytest.mark.attack("A38")
def test_a_giver_that_kept_what_it_should_not_have_is_passed_over_in_that_and_heard_in_the_rest() -> None:
    world, ann, bob, cat, room = world_of("kept anyhow", "none")
    talk(world, room, ann, bob, 2)
    ann.call(c.RoomUpdate(room=room, history=10))
    world.run(3)
    said = talk(world, room, ann, bob, 2)
    engine_of(ann).state.joins.admitted = lambda *_: None
    seen = invite(world, ann, cat, room)
    world.run(2)
    early = sealed_by(ann, room_of(ann), text(ann, "from before"))
    export_of(ann, cat, room_of(ann), [early, *export(room_of(ann), cat.setup.identity.account)])
    world.run(5)
    assert old(seen) == said and seen.of(events.Warning) == []
    no_late_faults(ann, bob, cat)
