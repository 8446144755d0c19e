"""Safety numbers, and what another device of a contact does under each policy, in whole nodes."""

from __future__ import annotations

from dataclasses import replace

import pytest

from node.chat import commands as c, events
from node.crypto import ops
from node.crypto.channel import inbox_channel
from node.crypto.keys import Identity, make_cert, make_list
from node.crypto.prekeys import make_bundle, new_prekey, seal_request
from node.sim import EPOCH_MS, CallError, SimNode, Simulation
from tests.engine.hostile import engine_of, no_late_faults, post, release, room_of, turn_of
from tests.engine.worlds import befriend, invite, texts, trio

TODAY = EPOCH_MS // 86_400_000


def state_of(node: SimNode, name: str = "bob") -> str:
    rows = {row["username"]: row["verified"] for row in node.call(c.ContactList())["contacts"]}
    return str(rows[name])


def another_device(world: Simulation, bob: SimNode, cat: SimNode, *, revoke: bool = False) -> SimNode:
    """Bob goes on at another machine, with the list that follows the old one; the old machine is off."""
    old = engine_of(bob).state.me
    bob.crash()
    new = world.add("bobs", peers=["cat"])
    new.setup = replace(
        new.setup,
        name="bob",
        identity=replace(new.setup.identity, account_seed=bob.setup.identity.account_seed),
    )
    new.crash()
    new.store = type(new.store)()
    new.start()
    me = engine_of(new).state.me
    gone = [old.device_id] if revoke else []
    me.devices = make_list(me.identity, 2, old.devices.list_hash, [me.cert.cert_hash], gone, TODAY)
    me.row = replace(me.row, devices=me.devices.raw)
    turn = turn_of(new)
    me.save(turn)
    release(new, turn)
    world.run(2)
    return new


def meets(world: Simulation, bobs: SimNode, ann: SimNode) -> None:
    bobs.call(c.ContactAdd(link=ann.call(c.ContactLinkCreate())["link"]))
    world.run(5)


def contacts(seed: str) -> tuple[Simulation, SimNode, SimNode, SimNode]:
    world = Simulation(seed)
    cat = world.add("cat")
    ann, bob = world.add("ann", peers=["cat"]), world.add("bob", peers=["cat"])
    world.run(2)
    befriend(world, ann, bob)
    return world, ann, bob, cat


def test_both_see_one_number_and_each_takes_the_code_of_the_others_screen() -> None:
    world, ann, bob, _ = contacts("numbers")
    at_ann, at_bob = ann.call(c.ContactVerify(username="bob")), bob.call(c.ContactVerify(username="ann"))
    assert at_ann["number"] == at_bob["number"]
    assert (at_ann["verified"], at_ann["policy"]) == ("unverified", "warn")
    session = ann.attach(plain=False)
    done = ann.call(c.ContactVerify(username="bob", code=at_bob["code"]))
    assert done["verified"] == state_of(ann) == "verified"
    assert [event.username for event in session.of(events.ContactUpdated)] == ["bob"]
    ann.crash()
    ann.start()
    world.run(3)
    assert state_of(ann) == "verified"
    assert ann.call(c.ContactVerify(username="bob", verified=False))["verified"] == "unverified"


@pytest.mark.attack("A06")
def test_a_code_of_other_keys_verifies_nobody() -> None:
    world, ann, bob, cat = contacts("codes")
    befriend(world, bob, cat)
    own = ann.call(c.ContactVerify(username="bob"))["code"]
    other = cat.call(c.ContactVerify(username="bob"))["code"]
    for code, wanted in ((own, "invalid"), ("60 digits", "invalid"), (other, "code_mismatch")):
        with pytest.raises(CallError) as caught:
            ann.call(c.ContactVerify(username="bob", code=code))
        assert caught.value.code == wanted
    for name, wanted in (("ann", "invalid"), ("dave", "unknown_user")):
        with pytest.raises(CallError) as caught:
            ann.call(c.ContactVerify(username=name, verified=True))
        assert caught.value.code == wanted
        with pytest.raises(CallError) as caught:
            ann.call(c.ContactPolicy(username=name, policy="strict"))
        assert caught.value.code == wanted
    assert state_of(ann) == "unverified"


@pytest.mark.parametrize(("policy", "warned"), [("tofu", 0), ("warn", 1)])
def test_another_device_of_a_verified_contact_is_taken_and_told(policy: str, warned: int) -> None:
    world, ann, bob, cat = contacts(f"another {policy}")
    ann.call(c.ContactVerify(username="bob", verified=True))
    ann.call(c.ContactPolicy(username="bob", policy=policy))  # type: ignore[arg-type]  # one of the three
    session = ann.attach(plain=False)
    bobs = another_device(world, bob, cat)
    meets(world, bobs, ann)
    assert state_of(ann) == "changed"
    assert len(session.of(events.KeyChanged)) == 1
    assert [event.code for event in session.of(events.Warning)] == ["key_changed"] * warned
    seen = bobs.attach(plain=False)
    room = ann.call(c.DmOpen(username="bob"))["room"]
    ann.call(c.UserMessage(room=room, message="to the new one"))
    assert world.run_until(lambda: texts(seen) == ["to the new one"], 10)
    assert ann.call(c.ContactVerify(username="bob", verified=True))["verified"] == "verified"
    no_late_faults(ann, bobs)


def refuses_to_send(ann: SimNode, *rooms: str) -> None:
    commands: list[c.Command] = [c.UserMessage(room=room, message="no") for room in rooms]
    other = ann.call(c.RoomCreate(name="other"))["room"]
    for command in [*commands, c.UserInvite(target="bob", room=other)]:
        with pytest.raises(CallError) as caught:
            ann.call(command)
        assert caught.value.code == "key_changed"


def test_strict_sends_nothing_and_keeps_the_device_back_until_verified_again_also_after_a_kill() -> None:
    world, ann, bob, cat, club = trio("strict")
    ann.call(c.ContactVerify(username="bob", verified=True))
    ann.call(c.ContactPolicy(username="bob", policy="strict"))
    direct = ann.call(c.DmOpen(username="bob"))["room"]
    ann.call(c.UserMessage(room=direct, message="before"))
    bobs = another_device(world, bob, cat)
    pinned = engine_of(ann).state.people.by_account[bob.setup.identity.account].cert
    session = ann.attach(plain=False)
    meets(world, bobs, ann)
    assert (state_of(ann), len(session.of(events.KeyChanged))) == ("changed", 1)
    refuses_to_send(ann, direct, club)
    ann.crash()
    ann.start()
    world.run(3)
    refuses_to_send(ann, direct, club)
    person = engine_of(ann).state.people.by_account[bob.setup.identity.account]
    assert person.cert == pinned
    ann.call(c.ContactVerify(username="bob", verified=False))
    assert state_of(ann) == "changed", "to say that they are not verified lifts nothing"
    ann.call(c.ProfileSet(status="says this by itself"))
    ann.call(c.ContactVerify(username="bob", verified=True))
    assert state_of(ann) == "verified"
    seen = bobs.attach(plain=False)
    ann.call(c.UserMessage(room=direct, message="after"))
    assert world.run_until(lambda: {"before", "after"} <= set(texts(seen)), 20), "what bob had not seen, too"
    ann.call(c.UserMessage(room=club, message="to all"))
    no_late_faults(ann, bobs)


def test_another_policy_takes_what_strict_kept_back() -> None:
    world, ann, bob, cat = contacts("lenient")
    ann.call(c.ContactPolicy(username="bob", policy="strict"))
    bobs = another_device(world, bob, cat)
    meets(world, bobs, ann)
    room = ann.call(c.DmOpen(username="bob"))["room"]
    refuses_to_send(ann, room)
    assert ann.call(c.ContactPolicy(username="bob", policy="warn"))["verified"] == "changed"
    seen = bobs.attach(plain=False)
    ann.call(c.UserMessage(room=room, message="at last"))
    assert world.run_until(lambda: texts(seen) == ["at last"], 20)
    ann.call(c.ContactPolicy(username="bob", policy="strict"))
    refuses_to_send(ann, room)


def test_what_strict_blocks_elsewhere_stays_possible() -> None:
    world, ann, bob, cat, club = trio("elsewhere")
    befriend(world, ann, cat)
    ann.call(c.ContactPolicy(username="bob", policy="strict"))
    bobs = another_device(world, bob, cat)
    meets(world, bobs, ann)
    room = ann.call(c.DmOpen(username="cat"))["room"]
    seen = cat.attach(plain=False)
    ann.call(c.UserMessage(room=room, message="hello cat"))
    assert world.run_until(lambda: texts(seen) == ["hello cat"], 10)
    ann.call(c.MemberRemove(room=club, username="bob"))
    ann.call(c.UserMessage(room=club, message="without bob"))
    invite(world, ann, cat, club)


@pytest.mark.parametrize(("policy", "blocks"), [("warn", False), ("strict", True)])
def test_another_device_that_a_rooms_log_brings_goes_by_the_policy_too(policy: str, blocks: bool) -> None:
    world, ann, bob, _, club = trio(f"log {policy}")
    ann.call(c.ContactVerify(username="bob", verified=True))
    ann.call(c.ContactPolicy(username="bob", policy=policy))  # type: ignore[arg-type]  # one of the three
    session = ann.attach(plain=False)
    me = engine_of(bob).state.me
    fresh = replace(Identity.generate(bob.setup.entropy, TODAY), account_seed=bob.setup.identity.account_seed)
    cert = make_cert(fresh, TODAY, TODAY + 9)
    devices = make_list(fresh, 2, me.devices.list_hash, [me.cert.cert_hash, cert.cert_hash], [], TODAY)
    turn = turn_of(bob)
    room_of(bob).act(turn, ops.Device(cert.raw, devices.raw, me.new_leaf(turn)), rekey=False)
    release(bob, turn)
    world.run(3)
    assert (state_of(ann), len(session.of(events.KeyChanged))) == ("changed", 1)
    if blocks:
        refuses_to_send(ann, club)
    else:
        ann.call(c.UserMessage(room=club, message="to the new one"))
    no_late_faults(ann)


@pytest.mark.attack("A02")
@pytest.mark.parametrize("revoke", [True, False])
def test_a_revoked_device_is_not_heard_any_more(revoke: bool) -> None:
    world, ann, bob, cat = contacts(f"revoked {revoke}")
    bobs = another_device(world, bob, cat, revoke=revoke)
    meets(world, bobs, ann)
    session = ann.attach(plain=False)
    bob.start()
    world.run(2)
    bob.call(c.UserMessage(room=bob.call(c.DmOpen(username="ann"))["room"], message="from the old one"))
    bobs.call(c.UserMessage(room=bobs.call(c.DmOpen(username="ann"))["room"], message="from bob"))
    world.run(5)
    assert sorted(texts(session)) == (["from bob"] if revoke else ["from bob", "from the old one"])
    no_late_faults(ann)


@pytest.mark.attack("A02")
def test_a_list_that_contradicts_the_pinned_one_is_told_and_the_old_stays() -> None:
    world, ann, bob, cat = contacts("contradicts")
    ann.call(c.ContactVerify(username="bob", verified=True))
    ghost = replace(Identity.generate(cat.setup.entropy, TODAY), account_seed=bob.setup.identity.account_seed)
    cert = make_cert(ghost, TODAY, TODAY + 9)
    request = seal_request(
        ghost,
        cert=cert,
        devices=make_list(ghost, 1, bytes(32), [cert.cert_hash], [], TODAY),
        bundle=make_bundle(ghost, 1, new_prekey(cat.setup.entropy, 1, TODAY)),
        node_record=engine_of(cat).state.contacts.node_record(),
        name="bob",
        token=None,
        ts_ms=cat.now().wall_ms,
        hello="",
        to_account=ann.setup.identity.account,
        to_intro=ann.setup.identity.intro_pub,
        entropy=cat.setup.entropy,
    )
    session = ann.attach(plain=False)
    before = engine_of(ann).state.people.by_account[bob.setup.identity.account]
    for _ in range(3):
        post(cat, inbox_channel(ann.setup.identity.intro_pub), request)
        world.run(2)
    after = engine_of(ann).state.people.by_account[bob.setup.identity.account]
    assert len(session.of(events.KeyChanged)) == 1
    assert replace(after, told_day=0) == before
    assert state_of(ann) == "verified"
    seen = bob.attach(plain=False)
    ann.call(c.UserMessage(room=ann.call(c.DmOpen(username="bob"))["room"], message="still you"))
    assert world.run_until(lambda: texts(seen) == ["still you"], 10)
    no_late_faults(ann)
