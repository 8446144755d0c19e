"""What thieves of prekeys, and those who repeat old answers, can do (A16, A17, docs/crypto.md 3.4)."""

from __future__ import annotations

from dataclasses import replace

import pytest

from node.chat import events
from node.chat.dms import MAX_SESSIONS
from node.clock import day_of
from node.crypto import prekeys, ratchet
from node.crypto.channel import Channel, ChannelKind, Inner, inbox_channel
from node.crypto.labels import Label
from node.crypto.prekeys import Intro
from node.crypto.primitives import kdf, x25519_public
from node.errors import PeerFault
from node.sim import SimNode
from node.wire import codec
from node.wire.envelope import parse
from node.wire.payload import Payload, Type
from tests.engine.hostile import engine_of, no_late_faults, post, session_of
from tests.engine.test_out_of_step import SETTLED, logged, pair, say
from tests.engine.test_session_resets import intros, reset


class Thief:
    """Somebody with a copy of the victim's keys, who speaks to it as one of its contacts."""

    def __init__(self, victim: SimNode, posed: SimNode, entropy: object) -> None:
        assert callable(entropy)
        theirs, me = engine_of(posed).state.me, engine_of(victim).state.me
        spk = max(me.prekeys.values(), key=lambda key: key.spk_id)
        old = session_of(victim, posed).session_id
        person = engine_of(victim).state.people.by_account[theirs.account]
        assert person.bundle is not None
        bundle = prekeys._bundle(person.bundle, theirs.device_id, theirs.identity.dsk_pub)
        ek = x25519_public(b"e" * 32)
        intro = Intro(theirs.cert, theirs.devices, bundle, b"", ek, spk.spk_id, old, b"?")
        made = prekeys.agree_as_responder(me.identity, intro, spk)
        self.entropy = entropy
        self.state = ratchet.start_initiator(made.rk0, made.transcript, spk.public, entropy)
        secret = kdf(Label.CHANDM, made.rk0, made.transcript, 32)
        self.channel = Channel(ChannelKind.DM, secret)
        now = victim.now().wall_ms
        first = self.say(Payload(b"p" * 16, now, 0, Type.PROFILE, ["bob", None, None, None]))
        intro = replace(intro, first_message=first)
        card = [intro.cert.raw, intro.devices.raw, bundle.raw, b""]
        fields = [Inner.INTRO.value, *card, ek, spk.spk_id, old, first]
        self.inner = prekeys._seal(Inner.INTRO, codec.pack(fields), me.identity.intro_pub, entropy)

    def say(self, payload: Payload) -> bytes:
        self.state, inner = ratchet.encrypt(self.state, payload.encode(), self.entropy)  # type: ignore[arg-type]
        return inner

    def heard(self, node: SimNode) -> bytes:
        """Return all that the thief can read of what a node has posted."""
        plain = []
        for sealed in intros(node):
            try:
                inner = self.channel.open(parse(sealed.raw))
                self.state, words = ratchet.decrypt(self.state, inner, day=1, entropy=self.entropy)  # type: ignore[arg-type]
            except PeerFault:
                continue
            plain.append(words)
        return b"".join(plain)


@pytest.mark.attack("A16")
def test_who_stole_a_prekey_is_sent_again_what_was_said_until_the_true_one_speaks() -> None:
    world, nodes, room = pair("stolen")
    ann, bob = nodes["ann"], nodes["bob"]
    eve = world.add("eve", peers=["ann"])
    say(ann, room, "for bob alone")
    world.run(SETTLED)
    seen = ann.attach(plain=False)
    thief = Thief(ann, bob, eve.setup.entropy)
    true = session_of(bob, ann).session_id
    post(eve, inbox_channel(ann.setup.identity.intro_pub), thief.inner)
    world.run(1)
    assert session_of(ann, bob).session_id not in {true}
    assert b"for bob alone" in thief.heard(ann)
    assert [event.code for event in seen.of(events.Warning)] == ["session_renewed"]
    say(bob, room, "here I am")
    world.run(5)
    assert logged(ann, "bob") == ["here I am"]
    assert session_of(ann, bob).session_id == session_of(bob, ann).session_id
    say(ann, room, "hidden again")
    world.run(5)
    assert logged(bob, "ann")[-1] == "hidden again" and b"hidden again" not in thief.heard(ann)
    no_late_faults(ann, bob)


@pytest.mark.attack("A17")
@pytest.mark.parametrize("who", ["ann", "bob"])
def test_an_intro_that_is_forgotten_and_comes_again_brings_no_old_session_back_into_use(
    who: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("node.chat.replays.MAX_REPLAYED", 1)
    world, nodes, room = pair(f"flooded {who}")
    one, other = nodes[who], nodes["bob" if who == "ann" else "ann"]
    cat = world.add("cat", peers=["ann", "bob"])
    inbox = inbox_channel(other.setup.identity.intro_pub)
    answers = []
    for _ in range(MAX_SESSIONS + 2):
        engine_of(one).state.contacts.resets.last.clear()
        known = {envelope.eid for envelope in intros(one)}
        assert reset(one, other)
        world.run(5)
        mine = [e for e in intros(one) if e.eid not in known and e.rk == inbox.rk(day_of(e.ts_ms))]
        answers += [inbox.open(envelope) for envelope in mine]
    for inner in answers[:-1]:
        with_it = session_of(other, one).session_id
        post(cat, inbox, inner)
        world.run(5)
        assert session_of(other, one).session_id == session_of(one, other).session_id == with_it
    for words in ("one", "two"):
        say(one, room, words)
        say(other, room, words)
        world.run(5)
    for node, by in ((one, other.name), (other, one.name)):
        assert logged(node, by)[-2:] == ["one", "two"]
    no_late_faults(one, other)
