"""Ops whose envelope never came are asked for by name, and come from whoever has them."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from node.chat import commands as c, events
from node.chat.op_exchange import ASK_AGAIN, HUSH, MAX_NAMES
from node.crypto import ops
from node.crypto.channel import Channel, Inner
from node.crypto.ops import Meta, Op, OpBody
from node.sim import SimNode
from node.wire import codec
from node.wire.envelope import Envelope
from tests.engine.hostile import (
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
from tests.engine.test_ruling import quartet, roles
from tests.engine.worlds import texts, trio


def lose(node: SimNode, body: OpBody, *receivers: SimNode, rekey: bool = False) -> Op:
    """Let a node author an op; the envelopes that carry it reach only the receivers."""
    turn = turn_of(node)
    op = room_of(node).act(turn, body, rekey=rekey)
    carriers = list(turn.posts)
    turn.posts.clear()
    release(node, turn)
    for receiver in receivers:
        give(receiver, carriers)
    return op


class Posted:
    """Everything that nodes post from now on, as members read it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.inners: list[list[object]] = []
        seal = Channel.seal

        def watched(channel: Channel, inner: bytes, **how: object) -> bytes:
            self.inners.append(codec.unpack(inner))
            return seal(channel, inner, **how)  # type: ignore[arg-type]  # the very same

        monkeypatch.setattr(Channel, "seal", watched)

    def of(self, kind: Inner) -> list[list[object]]:
        return [inner for inner in self.inners if inner[0] == kind]


def test_a_member_that_never_gets_the_envelope_of_an_op_still_recovers(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    world, ann, bob, cat, room = quartet("never came")
    seen, posted = bob.attach(), Posted(monkeypatch)
    lose(ann, Meta(topic="lost"), cat)
    ann.call(c.UserMessage(room=room, message="after it"))
    world.run(1)
    assert texts(seen) == []
    world.run(8)
    assert texts(seen) == ["after it"]
    assert bob.call(c.RoomGet(room=room))["topic"] == "lost"
    assert [e.topic for e in seen.of(events.RoomUpdated)] == ["lost"]
    assert len(posted.of(Inner.OP_WANT)) == 1
    assert len(posted.of(Inner.OPS)) == 1, "the second who has it heard the first"
    world.run(3 * ASK_AGAIN)
    assert len(posted.of(Inner.OP_WANT)) == 1
    no_late_faults(ann, bob, cat)


def test_an_op_comes_from_another_member_when_its_author_is_gone() -> None:
    world, ann, bob, cat, room = quartet("author gone")
    seen = bob.attach()
    lose(ann, Meta(topic="lost"), cat)
    ann.call(c.UserMessage(room=room, message="after it"))
    world.run(0.5)
    ann.crash()
    world.run(15)
    assert texts(seen) == ["after it"]
    no_late_faults(bob, cat)


def test_who_crashes_while_it_waits_asks_after_its_start() -> None:
    world, ann, bob, cat, room = quartet("crash")
    lose(ann, Meta(topic="lost"), cat)
    ann.call(c.UserMessage(room=room, message="after it"))
    world.run(0.5)
    assert len(inbox_of(bob).parked) == 1
    bob.crash()
    world.run(20)
    bob.start()
    seen = bob.attach()
    world.run(15)
    assert texts(seen) == ["after it"]
    assert inbox_of(bob).parked == {}


def test_a_long_row_of_lost_ops_comes_in_few_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    world, ann, bob, cat, room = quartet("long row")
    for number in range(60):
        lose(ann, Meta(topic=f"t{number}"))
    seen, posted = bob.attach(), Posted(monkeypatch)
    ann.call(c.UserMessage(room=room, message="after all"))
    assert world.run_until(lambda: texts(seen) == ["after all"], 60)
    assert bob.call(c.RoomGet(room=room))["topic"] == "t59"
    assert len(posted.of(Inner.OPS)) < 15
    no_late_faults(ann, bob, cat)


def test_an_epoch_whose_removal_never_came_is_opened_once_it_was_fetched() -> None:
    world, ann, bob, cat, room = quartet("removal lost")
    seen, gone = bob.attach(), cat.setup.identity.account
    turn = turn_of(ann)
    room_of(ann).remove(turn, gone, "")
    carrier, *announces = list(turn.posts)
    turn.posts[:] = announces
    release(ann, turn)
    ann.call(c.UserMessage(room=room, message="without cat"))
    assert world.run_until(lambda: texts(seen) == ["without cat"], 60)
    assert [e.username for e in seen.of(events.UserLeave)] == ["cat"]
    assert carrier.kind == 0


def test_an_op_of_somebody_removed_that_only_some_have_does_not_part_the_others() -> None:
    world, ann, bob, cat, room = quartet("only some")
    ann.call(c.MemberRole(room=room, username="bob", role="admin"))
    world.run(2)
    world.partition(["ann"], ["bob", "cat"])
    bob.call(c.RoomDelete(room=room))
    world.run(1)
    seen = cat.attach()
    ann.call(c.MemberRemove(room=room, username="bob"))
    world.heal()
    world.run(30)
    assert [e.room for e in seen.of(events.RoomUpdated)] == [room], "the end was taken back"
    hears = ann.attach()
    cat.call(c.UserMessage(room=room, message="it goes on"))
    world.run(30)
    assert texts(hears) == ["it goes on"]
    assert not ann.call(c.RoomGet(room=room))["deleted"]


# -- what is not given, and not taken --------------------------------------------------------------


def want(node: SimNode, channel: Channel, *names: bytes) -> Envelope:
    return post(node, channel, codec.pack([11, list(names)]))


@pytest.mark.attack("A18")
def test_who_was_removed_is_not_given_what_came_after(monkeypatch: pytest.MonkeyPatch) -> None:
    world, ann, bob, cat, room = quartet("old channel")
    old = sending(cat).channel
    ann.call(c.MemberRemove(room=room, username="cat"))
    removal = room_of(ann).log.view16
    ann.call(c.RoomUpdate(room=room, topic="secret"))
    secret = room_of(ann).log.view16
    world.run(5)
    posted = Posted(monkeypatch)
    want(cat, old, secret, removal)
    world.run(10)
    given = [ops.parse_op(raw).op16 for _, raws in posted.of(Inner.OPS) for raw in raws]  # type: ignore[attr-defined]
    assert removal in given
    assert secret not in given


def test_the_same_question_again_and_again_is_answered_seldom(monkeypatch: pytest.MonkeyPatch) -> None:
    world, ann, bob, cat, room = trio("again")
    names = [op.op16 for op in room_of(ann).log.ops_in_order()]
    posted = Posted(monkeypatch)
    for _ in range(20):
        want(bob, sending(bob).channel, *names)
        world.run(1)
    assert 1 <= len(posted.of(Inner.OPS)) <= 20 / HUSH + 1


def test_ops_that_nobody_needs_are_not_taken() -> None:
    world, ann, bob, cat, room = trio("unasked")
    log = room_of(bob).log
    made = ops.Invite(bytes(16), bytes(32), bytes(32), 1, bob.now().wall_ms, ops.Role.MEMBER)
    op = log.next_op(bob.setup.identity, made, ts_ms=bob.now().wall_ms)
    before = ann.store.load().rows["ops"]
    post(bob, sending(bob).channel, codec.pack([12, [op.raw]]))
    world.run(3)
    assert not room_of(ann).log.knows(op.op_id)
    assert ann.store.load().rows["ops"] == before
    assert inbox_of(ann).ops.pending == {}


@pytest.mark.attack("A01")
def test_a_forged_op_that_was_asked_for_changes_nothing() -> None:
    world, ann, bob, cat, room = trio("forged")
    log = room_of(bob).log
    forged = log.next_op(bob.setup.identity, Meta(topic="mine"), ts_ms=bob.now().wall_ms)
    post(bob, sending(bob).channel, room_inner(bob, text(bob, "see there"), view16=forged.op16))
    world.run(1)
    assert list(inbox_of(ann).needed()) == [forged.op16]
    post(bob, sending(bob).channel, codec.pack([12, [forged.raw]]))
    world.run(3)
    assert not room_of(ann).log.knows(forged.op_id)
    assert ann.call(c.RoomGet(room=room))["topic"] == ""
    assert inbox_of(ann).ops.pending == {}
    no_late_faults(ann)


@pytest.mark.parametrize(
    "make",
    [
        lambda raw: [11, []],
        lambda raw: [11, [b"short"]],
        lambda raw: [11, [bytes([n]) * 16 for n in range(MAX_NAMES + 1)]],
        lambda raw: [11],
        lambda raw: [12, []],
        lambda raw: [12, [raw[:-1]]],
        lambda raw: [12, [raw, bytes(100)]],
        lambda raw: [12, [bytes(64)] * (MAX_NAMES + 1)],
        lambda raw: [12, raw],
    ],
)
def test_malformed_questions_and_answers_change_nothing(make: Callable[[bytes], list[object]]) -> None:
    world, ann, bob, cat, room = trio("malformed")
    first = room_of(bob).log.ops_in_order()[0]
    rows = {table: dict(found) for table, found in ann.store.load().rows.items()}
    turn = turn_of(bob)
    sealed = turn.post(sending(bob).channel, codec.pack(make(first.raw)))
    give(ann, [sealed])
    assert {table: dict(found) for table, found in ann.store.load().rows.items()} == rows
    assert inbox_of(ann).exchange.deadline is None
    no_late_faults(ann)


@pytest.mark.attack("A36")
def test_inventions_of_one_device_do_not_crowd_out_what_is_really_missing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    world, ann, bob, cat, room = quartet("inventions")
    posted = Posted(monkeypatch)
    for number in range(100):
        inner = room_inner(bob, text(bob, "trap"), view16=number.to_bytes(2, "big") * 8)
        post(bob, sending(bob).channel, inner)
    world.run(3)
    seen = cat.attach()
    lose(ann, Meta(topic="lost"))
    ann.call(c.UserMessage(room=room, message="after it"))
    world.run(15)
    assert texts(seen) == ["after it"]
    world.run(3600)
    assert len(posted.of(Inner.OP_WANT)) < 60


def test_a_gone_members_announce_makes_nobody_ask() -> None:
    from tests.engine.test_hostile_members import announce

    world, ann, bob, cat, room = quartet("gone announce")
    old = sending(cat).channel
    trap = announce(cat, heads=(b"\x55" * 32,))
    ann.call(c.MemberRemove(room=room, username="cat"))
    world.run(5)
    post(cat, old, trap.inner)
    world.run(1)
    assert len(inbox_of(ann).parked) == 1
    assert inbox_of(ann).needed() == {}
    assert roles(ann, room).keys() == {"ann", "bob"}
    assert engine_of(ann).late_faults == 0


def test_a_carrier_of_an_op_that_was_fetched_already_is_no_news() -> None:
    world, ann, bob, cat, room = quartet("carrier after")
    turn = turn_of(ann)
    room_of(ann).act(turn, Meta(topic="lost"), rekey=False)
    carriers = list(turn.posts)
    turn.posts.clear()
    release(ann, turn)
    ann.call(c.UserMessage(room=room, message="after it"))
    seen = bob.attach()
    world.run(10)
    give(bob, carriers)
    assert [e.topic for e in seen.of(events.RoomUpdated)] == ["lost"]
