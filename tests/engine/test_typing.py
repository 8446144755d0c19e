"""Typing: shown while it lasts, to those whom it concerns, and to no others (docs/crypto.md 3.9, A33)."""

from __future__ import annotations

import pytest

from node.chat import commands as c, events
from node.chat.people import CONTACT
from node.chat.typing import NUMBER
from node.crypto import ephemeral
from node.crypto.channel import Inner
from node.errors import PeerFault
from node.sim import SimNode, SimSession, Simulation
from tests.engine.worlds import befriend, invite, texts, trio


def shown(session: SimSession) -> list[tuple[str, bool]]:
    return [(event.username, event.typing) for event in session.of(events.Typing)]


def posted(node: SimNode) -> list[int]:
    """Count what a node publishes from here on, by the size of the envelope."""
    sizes: list[int] = []
    assert node.engine is not None
    publish = node.engine._down

    def watch(turn, order):  # type: ignore[no-untyped-def]
        if type(order).__name__ == "Publish":
            sizes.extend(len(one.raw) for one in order.envelopes)
        return publish(turn, order)

    node.engine._down = watch  # type: ignore[method-assign]
    return sizes


def co_members() -> tuple[Simulation, SimNode, SimNode, str]:
    """Ann and dan share bob's room and are no contacts of each other; returns their direct room too."""
    world, ann, bob, _, room = trio("strangers")
    dan = world.add("dan", peers=["cat"])
    world.run(2)
    befriend(world, bob, dan)
    invite(world, bob, dan, room)
    world.run(5)
    direct = dan.call(c.DmOpen(username="ann"))["room"]
    dan.call(c.UserMessage(room=direct, message="we share a room"))
    world.run(5)
    assert [row for row in ann.call(c.RoomList())["rooms"] if row["room"] == direct]
    return world, ann, dan, direct


def test_typing_is_shown_in_a_room_and_ends_by_itself_after_six_seconds() -> None:
    world, ann, bob, _, room = trio()
    session = bob.attach()
    assert ann.call(c.TypingSet(room=room)) == {"room": room, "told": True}
    world.run(1)
    assert shown(session) == [("ann", True)]
    world.run(4)
    assert shown(session) == [("ann", True)]
    world.run(2)
    assert shown(session) == [("ann", True), ("ann", False)]


def test_typing_on_is_sent_each_three_seconds_and_shown_once() -> None:
    world, ann, bob, _, room = trio()
    session, sizes = bob.attach(), posted(ann)
    told = []
    for _ in range(30):
        told.append(ann.call(c.TypingSet(room=room))["told"])
        world.run(0.5)
    assert told.count(True) == 5
    assert len([size for size in sizes if size < 1_000]) >= 5
    assert shown(session) == [("ann", True)]


def test_stopping_is_told_at_once_and_only_if_typing_was() -> None:
    world, ann, bob, _, room = trio()
    session = bob.attach()
    assert not ann.call(c.TypingSet(room=room, typing=False))["told"]
    ann.call(c.TypingSet(room=room))
    world.run(2)
    assert ann.call(c.TypingSet(room=room, typing=False))["told"]
    world.run(1)
    assert shown(session) == [("ann", True), ("ann", False)]


def test_a_message_ends_the_typing_of_its_author() -> None:
    world, ann, bob, _, room = trio()
    session = bob.attach()
    ann.call(c.TypingSet(room=room))
    world.run(1)
    ann.call(c.UserMessage(room=room, message="here it is"))
    world.run(1)
    assert texts(session) == ["here it is"]
    assert shown(session) == [("ann", True), ("ann", False)]


def test_contacts_see_each_other_type_in_a_conversation_of_two() -> None:
    world, ann, bob, _, _ = trio()
    direct = ann.call(c.DmOpen(username="bob"))["room"]
    ann.call(c.UserMessage(room=direct, message="hello"))
    world.run(2)
    session = bob.attach()
    assert ann.call(c.TypingSet(room=direct))["told"]
    world.run(1)
    assert shown(session) == [("ann", True)]


@pytest.mark.attack("A33")
def test_nothing_answers_somebody_who_only_shares_a_room_however_much_they_send() -> None:
    world, ann, dan, direct = co_members()
    world.run(60)
    sizes = posted(ann)
    session = ann.attach()
    for number in range(40):
        dan.call(c.UserMessage(room=direct, message=f"are you awake? {number}"))
        dan.call(c.TypingSet(room=direct))
        world.run(0.2)
    ann.call(c.RoomRead(room=direct))
    assert ann.call(c.TypingSet(room=direct)) == {"room": direct, "told": False}
    world.run(10)
    assert len([text for text in texts(session) if "awake" in text]) == 40
    assert len(sizes) <= 1, "a beat is due once in this time, and nothing else goes out"


@pytest.mark.attack("A33")
def test_typing_has_the_size_of_a_beat_and_of_a_short_message() -> None:
    world, ann, _, _, room = trio()
    sizes = posted(ann)
    ann.call(c.TypingSet(room=room))
    world.run(2)
    ann.call(c.TypingSet(room=room, typing=False))
    world.run(70)
    assert len(sizes) >= 3
    assert set(sizes) == {147 + 512}


@pytest.mark.attack("A33")
def test_typing_of_somebody_who_was_removed_is_not_shown() -> None:
    world, ann, bob, _, room = trio()
    session = ann.attach()
    assert bob.engine is not None
    signals = bob.engine.desk.inbox.signals
    ann.call(c.MemberRemove(room=room, username="bob"))
    held = next(iter(bob.engine.state.rooms.inboxes.values())).room
    turn = bob.engine._turn(bob.now())
    signals._post_room(turn, held, 1)
    bob.perform(bob.engine._release(turn, []))
    world.run(2)
    assert shown(session) == []


def test_a_flood_of_changes_is_shown_once_a_second() -> None:
    world, ann, bob, _, room = trio()
    session = ann.attach()
    assert bob.engine is not None
    held = next(iter(bob.engine.state.rooms.inboxes.values())).room
    for number in range(100):
        turn = bob.engine._turn(bob.now())
        bob.engine.desk.inbox.signals._post_room(turn, held, number % 2)
        bob.perform(bob.engine._release(turn, []))
        world.run(0.05)
    assert 0 < len(shown(session)) <= 7


def test_an_ephemeral_of_the_wrong_device_epoch_time_or_repeated_changes_nothing() -> None:
    world, ann, bob, _, room = trio()
    session = ann.attach()
    assert ann.engine is not None and bob.engine is not None
    me = bob.engine.state.me
    ours = next(iter(ann.engine.state.rooms.inboxes.values())).room
    epoch16, held = list(ours.epochs.held.items())[-1]
    turn = ann.engine._turn(ann.now())

    def made(*, key: bytes, epoch: bytes, device: bytes, ts_ms: int) -> bytes:
        return ephemeral.seal_room_ephemeral(
            key,
            epoch,
            device,
            ts_ms=ts_ms,
            type=NUMBER,
            body=1,
            dsk_sk=me.identity.dsk_sk,
            entropy=turn.entropy,
        )

    good = {"key": held.row.ephemeral_key, "epoch": epoch16, "device": me.device_id, "ts_ms": turn.mesh_ms}
    signals = ann.engine.desk.inbox.signals
    for change in (
        {"key": bytes(32)},
        {"epoch": b"e" * 16},
        {"device": ann.engine.state.me.device_id},
        {"device": b"d" * 16},
        {"ts_ms": turn.mesh_ms - 121_000},
    ):
        with pytest.raises(PeerFault):
            signals.in_room(turn, ours, epoch16, made(**{**good, **change}))  # type: ignore[arg-type]
    inner = made(**good)  # type: ignore[arg-type]
    assert inner[1] == Inner.EPHEMERAL
    signals.in_room(turn, ours, epoch16, inner)
    with pytest.raises(PeerFault):
        signals.in_room(turn, ours, epoch16, inner)
    assert shown(session) == []


@pytest.mark.attack("A33")
@pytest.mark.parametrize("small", [64, 1])
def test_who_shares_only_a_large_room_gets_no_presence_by_asking_for_a_session(
    monkeypatch: pytest.MonkeyPatch, small: int
) -> None:
    for module in ("node.chat.rooms", "node.engine.inbox"):
        monkeypatch.setattr(f"{module}.SMALL", small)
    world, ann, dan, direct = co_members()
    dan.call(c.UserMessage(room=direct, message="are you there?"))
    world.run(5)
    for one, other in ((ann, dan), (dan, ann)):
        person = one.engine.state.people.get(other.setup.identity.account)  # type: ignore[union-attr]
        assert person is not None and person.state != CONTACT
        assert one.engine.state.dms.of(person.account)  # type: ignore[union-attr]
        assert bool(person.presence_cs) == (small == 64)
