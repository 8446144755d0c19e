"""Who can make a direct session begin anew, how often, on what, and which session both sides then use."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings, strategies as st

from node.chat import commands as c, events
from node.chat.dms import MAX_SESSIONS, DmSession
from node.chat.outbox import MAX_AGAIN
from node.clock import DAY_MS, day_of
from node.crypto import prekeys
from node.crypto.channel import inbox_channel
from node.errors import CryptoFault
from node.sim import SimNode
from node.store.records import Shelf
from node.wire import codec
from node.wire.envelope import KEPT, Envelope, parse
from node.wire.payload import Payload, Type
from tests.engine.hostile import (
    direct,
    engine_of,
    give,
    later_on,
    no_late_faults,
    post,
    release,
    session_of,
    turn_of,
)
from tests.engine.test_hostile_guests import ask
from tests.engine.test_out_of_step import SETTLED, logged, pair, say
from tests.engine.worlds import befriend, texts, trio


def account(node: SimNode) -> bytes:
    return node.setup.identity.account


def sessions(node: SimNode, other: SimNode) -> list[DmSession]:
    return engine_of(node).state.dms.of(account(other))


def reset(node: SimNode, other: SimNode) -> bool:
    """Do what a restore does."""
    engine, turn = engine_of(node), turn_of(node)
    done = engine.state.contacts.reset(turn, engine.state.people.by_account[account(other)])
    release(node, turn)
    return done


def junk(words: bytes) -> bytes:
    """Return an inner of the session's shape that opens nowhere."""
    header = codec.pack([1, 1, words.ljust(32, b"\x09"), 0, 0])
    return codec.pack([3, header, bytes(32), bytes(24), bytes(40)])


def warned(session: Any) -> list[str]:
    return [event.code for event in session.of(events.Warning)]


@pytest.mark.attack("A34")
def test_who_is_not_the_other_one_causes_no_reset_and_the_other_one_at_most_one_an_hour() -> None:
    world, nodes, room = pair("hourly")
    ann, bob = nodes["ann"], nodes["bob"]
    cat = world.add("cat", peers=["ann"])
    world.run(3)
    befriend(world, ann, cat)
    before = len(sessions(ann, bob))
    channel = engine_of(bob).state.dms._channels[session_of(bob, ann).session_id]
    seen = ann.attach(plain=False)
    turn = turn_of(bob)
    real = turn.post(channel, junk(b"x"))
    forged = parse(real.raw[:-1] + bytes([real.raw[-1] ^ 1]))
    with pytest.raises(CryptoFault):
        give(ann, [forged])
    assert len(sessions(ann, bob)) == before and not warned(seen)
    for number in range(20):
        post(bob, channel, junk(bytes([number + 1])))
        world.run(1)
    world.run(5)
    assert len(sessions(ann, bob)) == before + 1
    assert warned(seen) == ["session_renewed"]
    own = engine_of(ann).state.dms
    for hour in range(1, 4):
        world.run(1800)
        current = session_of(bob, ann)
        post(bob, own._channels[current.session_id], junk(bytes([100 + hour])))
        world.run(1800)
    assert len(sessions(ann, bob)) <= before + 4 <= MAX_SESSIONS
    say(ann, room, "still")
    say(bob, room, "here")
    world.run(2)
    assert logged(bob, "ann") == ["still"] and logged(ann, "bob") == ["here"]
    no_late_faults(ann, bob)


def test_a_reset_is_remembered_across_a_kill_and_done_when_its_hour_has_come() -> None:
    world, nodes, room = pair("remembered")
    ann, bob = nodes["ann"], nodes["bob"]
    assert reset(ann, bob)
    world.run(2)
    ann.crash()
    ann.start()
    world.run(2)
    names = {session.session_id for session in sessions(ann, bob)}
    assert reset(ann, bob) and not reset(ann, bob), "noted once"
    world.run(2)
    assert {session.session_id for session in sessions(ann, bob)} == names
    ann.crash()
    ann.start()
    world.run(3700)
    assert len(sessions(ann, bob)) == len(names) + 1
    assert session_of(ann, bob).session_id == session_of(bob, ann).session_id
    assert not engine_of(ann).state.contacts.resets.last.get(account(bob), (0, False))[1]


@pytest.mark.parametrize("who", ["ann", "bob"])
def test_without_a_prekey_of_today_a_request_is_posted_and_answered_by_itself(who: str) -> None:
    world, nodes, room = pair("expired")
    later_on(world, 9, *nodes.values())
    world.run(SETTLED)
    one, other = nodes[who], nodes["bob" if who == "ann" else "ann"]
    old = session_of(one, other).session_id
    assert reset(one, other)
    world.run(2)
    new = session_of(one, other)
    assert new.session_id == session_of(other, one).session_id != old
    assert not new.initiator and new.old == old
    say(one, room, "hello")
    say(other, room, "again")
    world.run(1)
    assert logged(other, one.name) == ["hello"] and logged(one, other.name) == ["again"]


@pytest.mark.attack("A13")
def test_a_prekey_with_which_nothing_can_be_agreed_is_not_kept() -> None:
    world, nodes, room = pair("weak prekey")
    ann, bob = nodes["ann"], nodes["bob"]
    me = engine_of(bob).state.me
    weak = replace(max(me.prekeys.values(), key=lambda key: key.spk_id), public=bytes(32))
    bundle = prekeys.make_bundle(me.identity, 99, weak)
    me.bundle = lambda _turn: bundle  # type: ignore[method-assign]
    assert reset(bob, ann)
    world.run(2)
    assert session_of(ann, bob).session_id == session_of(bob, ann).session_id
    kept = engine_of(ann).state.people.by_account[account(bob)].bundle
    assert kept is not None and kept != bundle.raw
    no_late_faults(ann, bob)


def test_a_co_member_who_is_no_contact_can_reset_a_session_too() -> None:
    world, ann, bob, cat, room = trio("co-members")
    befriend(world, ann, cat)
    guest = cat.attach()
    ann.call(c.UserInvite(target="cat", room=room))
    world.run(2)
    cat.call(c.UserInviteResponse(response="accept"), guest)
    world.run(5)
    seen = bob.attach()
    cat.call(c.DmOpen(username="bob"))
    place = cat.call(c.DmOpen(username="bob"))["room"]
    say(cat, place, "one")
    assert world.run_until(lambda: texts(seen) == ["one"], 10)
    old = session_of(cat, bob).session_id
    for days in (0, 9):
        if days:
            later_on(world, days, ann, bob, cat)
            world.run(10)
            old = session_of(cat, bob).session_id
        assert reset(cat, bob)
        world.run(5)
        assert session_of(cat, bob).session_id == session_of(bob, cat).session_id != old
    no_late_faults(ann, bob, cat)


def test_a_replaced_session_is_read_for_a_horizon_and_then_gone_with_its_keys() -> None:
    world, nodes, room = pair("horizon")
    ann, bob = nodes["ann"], nodes["bob"]
    old = session_of(ann, bob).session_id
    reset(ann, bob)
    world.run(3)
    for days, left in ((34, True), (2, False)):
        later_on(world, days, ann, bob)
        world.run(5)
        for node, other in ((ann, bob), (bob, ann)):
            assert (old in {s.session_id for s in sessions(node, other)}) == left
            assert (("ratchets", old) in node.store._state.rows) == left
    say(ann, room, "still")
    world.run(1)
    assert logged(bob, "ann") == ["still"]


def test_an_answer_and_what_was_said_on_it_days_ago_are_read_when_one_is_back() -> None:
    world, nodes, room = pair("days ago")
    ann, bob = nodes["ann"], nodes["bob"]
    holder = world.add("holder", peers=["bob"])
    world.run(3)
    ann.crash()
    reset(bob, ann)
    say(bob, room, "on the new one")
    world.run(2)
    later_on(world, 3, ann, bob, holder)
    world.run(10)
    assert logged(ann, "bob") == ["on the new one"]


def intros(node: SimNode) -> list[Envelope]:
    """Return what a node has posted to inboxes, in order, as others get it."""
    raws = node.store.envelopes_by_time(0, 1 << 62, None, 1 << 40)[0]
    return [parse(raw) for raw in raws]


@pytest.mark.attack("A34")
@settings(max_examples=60, deadline=None)
@given(
    first=st.sampled_from(["ann", "bob"]),
    resets=st.lists(st.sampled_from(["ann", "bob", "meet"]), min_size=1, max_size=4),
    order=st.randoms(use_true_random=False),
)
def test_whoever_resets_and_however_it_arrives_both_use_one_session(
    first: str, resets: list[str], order: Any
) -> None:
    world, nodes, room = pair("orders")
    ann, bob = nodes["ann"], nodes["bob"]

    def meet() -> None:
        for _ in range(3):  # an answer to what came
            posted = {name: intros(node) for name, node in nodes.items()}
            for name, node in nodes.items():
                have = {envelope.eid for envelope in posted[name]}
                other = "bob" if name == "ann" else "ann"
                news = [e for e in posted[other] if e.eid not in have and e.kind == KEPT]
                order.shuffle(news)
                give(node, news)
                world.run(0.5)

    world.partition(["ann"], ["bob"])
    for name in [first, *resets]:
        if name == "meet":
            meet()
            continue
        engine_of(nodes[name]).state.contacts.resets.last.clear()
        other = bob if name == "ann" else ann
        assert reset(nodes[name], other)
        world.run(0.5)
    meet()
    assert session_of(ann, bob).session_id == session_of(bob, ann).session_id
    world.heal()
    world.run(SETTLED + 60)
    say(ann, room, "one")
    say(bob, room, "two")
    world.run(70)
    assert logged(bob, "ann") == ["one"] and logged(ann, "bob") == ["two"]
    assert len(sessions(ann, bob)) <= MAX_SESSIONS
    no_late_faults(ann, bob)


def test_an_older_profile_that_comes_late_changes_nothing() -> None:
    world, nodes, _ = pair("profiles")
    ann, bob = nodes["ann"], nodes["bob"]
    turn = turn_of(bob)
    old = Payload(turn.new_id(), turn.mesh_ms, 0, Type.PROFILE, ["old", None, None, None])
    world.run(1)
    bob.call(c.ProfileSet(name="new"))
    world.run(1)
    turn = turn_of(bob)
    assert engine_of(bob).state.dms.send(turn, account(ann), old)
    release(bob, turn)
    world.run(1)
    assert ann.call(c.ProfileGet(username="bob"))["nickname"] == "new"


def test_an_invite_that_comes_after_it_was_taken_back_is_not_shown() -> None:
    world, nodes, _ = pair("taken back")
    ann, bob = nodes["ann"], nodes["bob"]
    seen = ann.attach()
    turn = turn_of(bob)
    invite_id = turn.new_id()
    direct(bob, ann, Type.INVITE_RESULT, [invite_id, 5, None])
    world.run(1)
    offer = [invite_id, bytes(16), bytes(32), "club", "chat", "{}", turn.mesh_ms + DAY_MS]
    direct(bob, ann, Type.INVITE, offer)
    world.run(1)
    assert not seen.of(events.UserInvite)
    direct(bob, ann, Type.INVITE, [turn.new_id(), *offer[1:]])
    world.run(1)
    assert len(seen.of(events.UserInvite)) == 1


@pytest.mark.attack("A34")
def test_what_comes_twice_is_shown_once_also_after_a_kill() -> None:
    world, nodes, room = pair("twice")
    ann, bob = nodes["ann"], nodes["bob"]
    say(bob, room, "once")
    world.run(1)
    for kill in (False, True, True):
        if kill:
            ann.crash()
            ann.start()
            world.run(2)
        direct(ann, bob, Type.NACK, [bytes(16), [], []])
        world.run(1)
        turn = turn_of(bob)
        bob_state = engine_of(bob).state
        bob_state.mending.again(turn, account(ann), lambda _sent: True)
        release(bob, turn)
        world.run(1)
    assert logged(ann, "bob") == ["once"]
    (kept,) = engine_of(bob).state.dms.outbox.of(account(ann))
    assert kept.again == 3 and not kept.due


@pytest.mark.attack("A34")
def test_asking_again_and_again_makes_nobody_send_without_end() -> None:
    world, nodes, room = pair("amplify")
    ann, bob = nodes["ann"], nodes["bob"]
    say(bob, room, "much")
    world.run(1)
    (kept,) = engine_of(bob).state.dms.outbox.of(account(ann))
    session16, key, n = kept.place
    sent = len(bob.store._state.held)
    for _ in range(5 * MAX_AGAIN):
        for sent_one in engine_of(bob).state.dms.outbox.of(account(ann)):
            session16, key, n = sent_one.place
        direct(ann, bob, Type.NACK, [session16, [[key, 0, 1 << 20]] * 8, None])
        world.run(0.5)
    posts = [e for e in bob.store._state.held.values() if e.shelf == Shelf.OWN]
    assert engine_of(bob).state.dms.outbox.of(account(ann))[0].again == MAX_AGAIN
    assert posts and sent
    no_late_faults(ann, bob)


def test_the_words_of_a_text_are_kept_once() -> None:
    world, nodes, room = pair("one copy")
    ann = nodes["ann"]
    say(ann, room, "a rather unusual sentence")
    world.run(1)
    rows = [value for (table, _), value in ann.store._state.rows.items() if table == "pending"]
    assert rows and not any(b"unusual" in row for row in rows)


@pytest.mark.attack("A17")
def test_the_intro_of_a_reset_that_comes_again_in_another_envelope_makes_nothing_new() -> None:
    world, nodes, room = pair("replayed reset")
    ann, bob = nodes["ann"], nodes["bob"]
    cat = world.add("cat", peers=["ann"])
    world.run(3)
    known = {envelope.eid for envelope in intros(ann)}
    assert reset(ann, bob)
    world.run(2)
    inbox = inbox_channel(bob.setup.identity.intro_pub)
    mine = [e for e in intros(ann) if e.eid not in known and e.rk == inbox.rk(day_of(e.ts_ms))]
    (inner,) = [inbox.open(envelope) for envelope in mine]
    before, chosen = {s.session_id for s in sessions(bob, ann)}, session_of(bob, ann).session_id
    for kill in (False, True):
        if kill:
            bob.crash()
            bob.start()
            world.run(2)
        post(cat, inbox, inner)
        world.run(2)
        assert {s.session_id for s in sessions(bob, ann)} == before
        assert session_of(bob, ann).session_id == chosen
    no_late_faults(ann, bob)


@pytest.mark.attack("A34")
@pytest.mark.parametrize("who", ["ann", "bob"])
@pytest.mark.parametrize("beginners", [["ann"], ["bob"], ["bob", "ann"], ["ann", "bob"]])
def test_who_is_put_back_past_the_prekey_of_the_session_in_use_is_heard_and_hears(
    who: str, beginners: list[str]
) -> None:
    world, nodes, room = pair(f"past {who} {beginners}")
    ann, bob = nodes["ann"], nodes["bob"]
    snapshot = nodes[who].snapshot()
    later_on(world, 9, ann, bob)
    world.run(5)
    for name in beginners:
        engine_of(nodes[name]).state.contacts.resets.last.clear()
        assert reset(nodes[name], bob if name == "ann" else ann)
        world.run(2)
        say(ann, room, "before")
        say(bob, room, "before")
        world.run(1)
    world.run(3700)
    nodes[who].rollback(snapshot)
    world.run(SETTLED)
    for words in ("one", "two"):
        for node in (ann, bob):
            say(node, room, words)
        world.run(3700)
    for node, other in ((ann, "bob"), (bob, "ann")):
        heard = logged(node, other)
        assert heard.count("one") == heard.count("two") == 1
    assert session_of(ann, bob).session_id == session_of(bob, ann).session_id
    no_late_faults(ann, bob)


@pytest.mark.attack("A34")
@pytest.mark.parametrize(("seconds", "more"), [(1800, 1), (7200, 2)])
def test_what_was_said_before_the_new_session_was_heard_of_is_no_sign_of_a_loss_for_an_hour(
    seconds: float, more: int
) -> None:
    world, nodes, room = pair(f"unheard {seconds}")
    ann, bob = nodes["ann"], nodes["bob"]
    before = len(sessions(ann, bob))
    world.partition(["ann"], ["bob"])
    assert reset(ann, bob)
    world.run(seconds)
    say(bob, room, "on the old one")
    world.run(1)
    world.heal()
    world.run(SETTLED + 10)
    say(ann, room, "on the new one")
    world.run(5)
    assert logged(ann, "bob") == ["on the old one"] and logged(bob, "ann") == ["on the new one"]
    assert session_of(ann, bob).session_id == session_of(bob, ann).session_id
    assert len(sessions(ann, bob)) == before + more
    no_late_faults(ann, bob)


@pytest.mark.attack("A34")
@pytest.mark.parametrize("days", [-2, 1])
def test_an_intro_in_an_envelope_of_another_time_makes_no_session_look_forgotten(days: int) -> None:
    world, nodes, room = pair(f"dated {days}")
    ann, bob = nodes["ann"], nodes["bob"]
    cat = world.add("cat", peers=["ann", "bob"])
    world.run(3)
    later_on(world, 3, ann, bob, cat)
    world.run(5)
    world.partition(["ann"], ["bob", "cat"])
    say(bob, room, "on the old one")
    world.run(5)
    old = session_of(bob, ann).session_id
    known = {envelope.eid for envelope in intros(bob)}
    assert reset(bob, ann)
    world.run(2)
    inbox = inbox_channel(ann.setup.identity.intro_pub)
    (mine,) = [e for e in intros(bob) if e.eid not in known and e.rk == inbox.rk(day_of(e.ts_ms))]
    turn = turn_of(cat)
    turn.mesh_ms += days * DAY_MS
    give(ann, [turn.post(inbox, inbox.open(mine))])
    begun = session_of(ann, bob)
    assert begun.old == old and abs(begun.posted_ms - mine.ts_ms) < 1000
    world.heal()
    world.run(10)
    assert logged(ann, "bob") == ["on the old one"]
    assert session_of(ann, bob).session_id == session_of(bob, ann).session_id == begun.session_id
    no_late_faults(ann, bob)


@pytest.mark.attack("A17")
def test_one_request_of_a_stranger_is_kept_and_a_live_token_is_answered_however_many_wait(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("node.chat.incoming.MAX_REQUESTS", 2)
    world, ann, bob, _, _ = trio("full inbox")
    inbox = inbox_channel(ann.setup.identity.intro_pub)
    for number in range(4):
        for word in ("one", "two", "three"):
            post(bob, inbox, ask(ann, number, world, hello=word * 50))
    world.run(2)
    waiting = engine_of(ann).state.contacts.requests.incoming.waiting
    assert len(waiting) == 2 and all(len(one.message) <= 256 for one in waiting.values())
    eve = world.add("eve", peers=["cat"])
    world.run(3)
    befriend(world, eve, ann)
    no_late_faults(ann, bob, eve)
