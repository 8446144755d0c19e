"""An invited, a joining, a contact or a stranger who means harm."""

from __future__ import annotations

from dataclasses import replace

import pytest

from node.chat import commands as c, events
from node.chat.joining import Joining
from node.crypto import ops
from node.crypto.channel import inbox_channel
from node.crypto.keys import Identity, make_cert, make_list
from node.crypto.links import decode_contact, encode_contact
from node.crypto.ops import Delete
from node.crypto.prekeys import make_bundle, new_prekey, seal_request
from node.crypto.welcome import Welcome
from node.errors import CryptoFault
from node.sim import CallError, SimNode, Simulation
from node.wire.payload import Type
from tests.engine.hostile import (
    direct,
    engine_of,
    later_on,
    no_late_faults,
    post,
    release,
    room_of,
    sending,
    session_of,
    still_talk,
    turn_of,
)
from tests.engine.worlds import befriend, invite, trio

LOW_ORDER = bytes(32)


# -- invites and joining --------------------------------------------------------------------------


def contacts(seed: str) -> tuple[Simulation, SimNode, SimNode, SimNode, str]:
    """Three linked nodes without a room."""
    world = Simulation(seed)
    cat = world.add("cat")
    ann, bob = world.add("ann", peers=["cat"]), world.add("bob", peers=["cat"])
    world.run(2)
    return world, ann, bob, cat, ""


def guest(world: Simulation, ann: SimNode, bob: SimNode, cat: SimNode) -> str:
    """Ann invites cat into a room of her own; cat has it open."""
    befriend(world, ann, cat)
    cat.attach()
    room: str = ann.call(c.RoomCreate(name="other"))["room"]
    ann.call(c.UserInvite(target="cat", room=room))
    world.run(3)
    return room


@pytest.mark.attack("A23")
def test_a_seed_that_was_passed_on_admits_nobody_but_the_invited() -> None:
    world, ann, bob, cat, _ = trio("passed on")
    room = guest(world, ann, bob, cat)
    invite_ = next(i for i in engine_of(cat).state.invites.all.values())
    thief = engine_of(bob)
    turn = turn_of(bob)
    thief.desk.inviting.accept(turn, replace(invite_))
    release(bob, turn)
    world.run(5)
    names = {m["username"] for m in ann.call(c.RoomGet(room=room))["members"]}
    assert names == {"ann"}
    no_late_faults(ann)


@pytest.mark.attack("A23")
def test_who_let_the_time_pass_is_not_let_in_by_its_own_bytes() -> None:
    world, ann, bob, cat, _ = trio("too late")
    room = guest(world, ann, bob, cat)
    invite_ = next(i for i in engine_of(cat).state.invites.all.values())
    world.run(130)
    turn = turn_of(cat)
    engine_of(cat).desk.inviting.accept(turn, invite_)
    release(cat, turn)
    world.run(5)
    assert {m["username"] for m in ann.call(c.RoomGet(room=room))["members"]} == {"ann"}


def test_a_join_request_with_an_unusable_key_changes_nothing() -> None:
    world, ann, bob, cat, _ = trio("low order")
    room = guest(world, ann, bob, cat)
    me = engine_of(cat).state.me
    today = cat.now().wall_ms // 86_400_000
    weak = Identity.generate(cat.setup.entropy, today)
    for name, value in (
        ("account_seed", cat.setup.identity.account_seed),
        ("account", cat.setup.identity.account),
        ("account_sk", cat.setup.identity.account_sk),
        ("intro_pub", LOW_ORDER),
    ):
        object.__setattr__(weak, name, value)
    me.identity = weak
    me.cert = make_cert(weak, today, today + 9)
    me.devices = make_list(weak, 2, me.devices.list_hash, (me.cert.cert_hash,), (), today)
    me.prekeys.clear()
    log = [inbox.room.log for inbox in engine_of(ann).state.rooms.inboxes.values()][-1]
    before = log.view16
    cat.call(c.UserInviteResponse(response="accept", invite=ids_of(cat)))
    world.run(5)
    assert log.view16 == before
    no_late_faults(ann)
    ann.call(c.UserMessage(room=room, message="still here"))


def ids_of(node: SimNode) -> str:
    invite_: str = node.call(c.InviteList())["invites"][-1]["invite"]
    return invite_


def test_a_log_that_is_too_long_to_hand_over_lets_nobody_in_and_nobody_down(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("node.chat.joining.MAX_LOG_BYTES", 500)
    world, ann, bob, cat, _ = contacts("long log")
    room = guest(world, ann, bob, cat)
    log = [inbox.room.log for inbox in engine_of(ann).state.rooms.inboxes.values()][-1]
    before = log.view16
    cat.call(c.UserInviteResponse(response="accept", invite=ids_of(cat)))
    world.run(5)
    assert log.view16 == before
    assert {m["username"] for m in ann.call(c.RoomGet(room=room))["members"]} == {"ann"}
    no_late_faults(ann)


def test_an_inviter_that_lost_its_rank_lets_nobody_in_and_keeps_running() -> None:
    world, ann, bob, cat, room = trio("demoted")
    befriend(world, bob, cat)
    cat.attach()
    bob.call(c.UserInvite(target="cat", room=room))
    world.run(3)
    turn = turn_of(ann)
    demotion = ops.RoleChange(bob.setup.identity.account, ops.Role.MEMBER)
    strict = ops.PolicyChange(ops.Policy(invite=ops.Inviting.ADMINS))
    for body in (strict, demotion):
        room_of(ann).act(turn, body, rekey=False)
    release(ann, turn)
    world.run(3)
    cat.call(c.UserInviteResponse(response="accept", invite=ids_of(cat)))
    world.run(5)
    assert {m["username"] for m in bob.call(c.RoomGet(room=room))["members"]} == {"ann", "bob"}
    still_talk(world, ann, bob, room)


@pytest.mark.attack("A09")
def test_a_welcome_cannot_set_the_chains_of_an_epoch_back() -> None:
    _, ann, bob, _, _ = trio("old welcome")
    room, held = room_of(bob), sending(bob)
    welcome = Welcome(
        room_id=room.room_id,
        ops=tuple(op.raw for op in room.log.ops_in_order()),
        certs=(),
        announce=held.row.announce,
        slots=b"x",
    )
    wish = Joining(room.room_id, bytes(16), ann.setup.identity.account, "club", 0, 0, bytes(32))
    turn = turn_of(bob)
    with pytest.raises(CryptoFault, match="here before"):
        engine_of(bob).state.joins.enter(turn, wish, welcome, room)
    assert not turn.rows


def test_a_room_that_is_deleted_takes_nobody_down() -> None:
    world, ann, bob, cat, room = trio("deleted")
    befriend(world, ann, cat)
    cat.attach()
    ann.call(c.UserInvite(target="cat", room=room))
    world.run(3)
    turn = turn_of(ann)
    room_of(ann).act(turn, Delete(), rekey=False)
    release(ann, turn)
    world.run(2)
    cat.call(c.UserInviteResponse(response="accept", invite=ids_of(cat)))
    bob.call(c.ProfileSet(name="bob", status="fine"))
    ann.call(c.ProfileSet(name="ann", status="fine"))
    world.run(10)
    with pytest.raises(CallError, match="room_deleted"):
        bob.call(c.UserMessage(room=room, message="hello?"))
    assert len(room_of(ann).log.roster.members) == 2
    no_late_faults(ann, bob, cat)


def test_who_may_not_invite_is_refused_and_the_node_lives() -> None:
    world, ann, bob, cat, _ = trio("admins only")
    befriend(world, bob, cat)
    room = ann.call(c.RoomCreate(name="strict", invite="admins"))["room"]
    invite(world, ann, bob, room)
    with pytest.raises(CallError, match="forbidden"):
        bob.call(c.UserInvite(target="cat", room=room))
    world.run(2)
    assert {m["username"] for m in bob.call(c.RoomGet(room=room))["members"]} == {"ann", "bob"}


def test_what_no_other_node_could_read_is_refused_before_it_is_sealed() -> None:
    _, ann, bob, cat, room = trio("too long")
    befriend(_, ann, cat)
    wide = "\U0001f600"
    with pytest.raises(CallError, match="invalid"):
        ann.call(c.UserInvite(target="cat", room=room, options={"a": [[]] * 300}))
    with pytest.raises(CallError, match="invalid"):
        ann.call(c.UserMessage(room=room, message="x", kind=wide * 17))


def test_whatever_a_frontend_may_give_in_characters_travels_in_bytes() -> None:
    world, ann, bob, _, room = trio("wide")
    seen = bob.attach()
    wide = "\U0001f600"
    ann.call(c.UserMessage(room=room, message=wide * 4096, kind=wide * 16))
    ann.call(c.ProfileSet(avatar=wide * 256, status=wide * 128))
    world.run(2)
    assert [m.kind for m in seen.of(events.UserMessage)] == [wide * 16]
    assert any(p.avatar == wide * 256 for p in seen.of(events.Profile))


def test_an_invite_of_somebody_with_whom_nothing_is_shared_any_more_is_not_shown() -> None:
    world, ann, bob, _, room = trio("no contact")
    session = session_of(bob, ann)
    assert session.account
    people = engine_of(ann).state.people
    bobs = people.by_account[bob.setup.identity.account]
    ann.call(c.MemberRemove(room=room, username="bob"))
    turn = turn_of(ann)
    people.save(turn, replace(bobs, state="known"))
    release(ann, turn)
    world.run(2)
    seen = ann.attach()
    turn = turn_of(bob)
    body = [turn.new_id(), bytes(16), bytes(32), "come", "room", "{}", turn.mesh_ms + 10_000_000]
    direct(bob, ann, Type.INVITE, body)
    world.run(2)
    assert seen.of(events.UserInvite) == []


def test_offers_of_one_person_are_bounded_and_ended_ones_are_forgotten(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("node.chat.invites.MAX_OFFERS", 5)
    monkeypatch.setattr("node.chat.invites.KEEP_ENDED", 2)
    world, ann, bob, _, _ = trio("offers")
    known = len(engine_of(bob).state.invites.all)
    seen = bob.attach()
    for _ in range(9):
        turn = turn_of(ann)
        body = [turn.new_id(), turn.new_id(), bytes(32), "spam", "room", "{}", turn.mesh_ms + (1 << 50)]
        direct(ann, bob, Type.INVITE, body)
    world.run(2)
    assert len(seen.of(events.UserInvite)) == 5
    assert len(engine_of(bob).state.invites.all) == known + 5
    world.run(2 * 3600 + 200)
    assert len(engine_of(bob).state.invites.all) == 2
    assert len(bob.store.load().rows["invites"]) == 2


def test_who_says_delivered_and_then_nothing_does_not_block_the_next_invite() -> None:
    world, ann, bob, cat, _ = trio("silent guest")
    room = guest(world, ann, bob, cat)
    cat.crash()
    later_on(world, 8, ann, bob)
    world.run(120)
    states = {row["state"] for row in ann.call(c.InviteList())["invites"] if row["room"] == room}
    assert states == {"expired"}


def test_results_that_are_none_of_ones_business_change_nothing() -> None:
    world, ann, bob, cat, _ = trio("forged result")
    guest(world, ann, bob, cat)
    invite_id = next(i for i in engine_of(ann).state.invites.all.values() if i.live).invite_id
    for number in (1, 2, 3, 4, 5, 6, 9):
        direct(bob, ann, Type.INVITE_RESULT, [invite_id, number, None])
        direct(bob, ann, Type.INVITE_RESULT, [bytes(16), number, (1 << 63) - 1])
    direct(bob, ann, Type.CONTACT_ANSWER, [1])
    world.run(2)
    assert engine_of(ann).state.invites.all[invite_id].live
    no_late_faults(ann)
    direct(bob, ann, Type.TEXT, ["and on it goes", "text", None])
    world.run(2)


# -- strangers ------------------------------------------------------------------------------------


def ask(victim: SimNode, number: int, world: Simulation, **changes: object) -> bytes:
    """Return the inner of a stranger's request."""
    entropy = victim.setup.entropy
    now_ms = victim.now().wall_ms
    today = now_ms // 86_400_000
    who = Identity.generate(entropy, today)
    cert = make_cert(who, today, today + 9)
    fields: dict[str, object] = {
        "cert": cert,
        "devices": make_list(who, 1, bytes(32), (cert.cert_hash,), (), today),
        "bundle": make_bundle(who, 1, new_prekey(entropy, 1, today)),
        "node_record": b"",
        "name": f"stranger{number}",
        "token": None,
        "ts_ms": now_ms,
        "hello": "",
        "to_account": victim.setup.identity.account,
        "to_intro": victim.setup.identity.intro_pub,
        "entropy": entropy,
    }
    return seal_request(who, **{**fields, **changes})  # type: ignore[arg-type]


def test_strangers_are_kept_up_to_a_bound_and_told_once_each(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("node.chat.incoming.MAX_REQUESTS", 4)
    world, ann, bob, _, _ = trio("strangers")
    seen = ann.attach()
    known = len(engine_of(ann).state.people.by_account)
    inbox = inbox_channel(ann.setup.identity.intro_pub)
    for number in range(9):
        inner = ask(ann, number, world)
        post(bob, inbox, inner)
        post(bob, inbox, inner)
    world.run(2)
    assert len(seen.of(events.ContactRequested)) == 4
    assert len(engine_of(ann).state.people.by_account) == known + 4
    assert len(engine_of(ann).state.contacts.replays.taken) <= 4
    no_late_faults(ann)


def test_a_strangers_addresses_are_not_dialled() -> None:
    world, ann, bob, _, _ = trio("dial me")
    from node.crypto import noderec

    record = noderec.make_record(
        bytes(32), addresses=("ws://victim.example:80",), roles=frozenset(), seq=1, now=ann.now()
    )
    post(bob, inbox_channel(ann.setup.identity.intro_pub), ask(ann, 1, world, node_record=record))
    world.run(2)
    assert "ws://victim.example:80" not in engine_of(ann).mesh.addresses()
    assert len(engine_of(ann).state.contacts.requests.incoming.waiting) == 1


@pytest.mark.attack("A13")
def test_a_request_with_an_unusable_prekey_does_not_use_up_the_link() -> None:
    world, ann, bob, _, _ = trio("weak prekey")
    link = decode_contact(ann.call(c.ContactLinkCreate(once=True))["link"])
    prekey = replace(new_prekey(bob.setup.entropy, 1, ann.now().wall_ms // 86_400_000), public=LOW_ORDER)
    today = ann.now().wall_ms // 86_400_000
    who = Identity.generate(bob.setup.entropy, today)
    cert = make_cert(who, today, today + 9)
    devices = make_list(who, 1, bytes(32), (cert.cert_hash,), (), today)
    inner = seal_request(
        who,
        cert=cert,
        devices=devices,
        bundle=make_bundle(who, 1, prekey),
        node_record=b"",
        name="weak",
        token=link.token,
        ts_ms=ann.now().wall_ms,
        hello="",
        to_account=ann.setup.identity.account,
        to_intro=ann.setup.identity.intro_pub,
        entropy=bob.setup.entropy,
    )
    post(bob, inbox_channel(ann.setup.identity.intro_pub), inner)
    world.run(2)
    assert link.token in engine_of(ann).state.contacts.links.tokens
    assert who.account not in engine_of(ann).state.people.by_account
    no_late_faults(ann)


@pytest.mark.attack("A13")
def test_a_contact_link_with_an_unusable_key_is_refused() -> None:
    _, ann, bob, _, _ = trio("weak link")
    link = decode_contact(ann.call(c.ContactLinkCreate())["link"])
    weak = encode_contact(replace(link, account=Identity.generate(bytes, 1).account, intro_pub=LOW_ORDER))
    with pytest.raises(CallError, match="bad_link"):
        bob.call(c.ContactAdd(link=weak))


@pytest.mark.attack("A17")
def test_a_first_contact_that_comes_again_makes_no_second_session() -> None:
    world = Simulation("replayed contact")
    ann, bob = world.add("ann"), world.add("bob", peers=["ann"])
    world.run(2)
    befriend(world, ann, bob)
    world.run(2)
    sessions = dict(engine_of(ann).state.dms.sessions)
    raws = ann.store.envelopes_by_time(0, 1 << 62, None, 1 << 40)[0]
    for node in (ann, bob):
        node.crash()
        node.start()
    again = [(ann, raw) for raw in raws] + [(bob, raw) for raw in raws]
    for node, raw in again:
        turn = turn_of(node)
        engine_of(node)._replay(turn, raw)
        release(node, turn)
    assert engine_of(ann).state.dms.sessions.keys() == sessions.keys()
    assert engine_of(bob).state.dms.sessions.keys() == sessions.keys()
    no_late_faults(ann, bob)
