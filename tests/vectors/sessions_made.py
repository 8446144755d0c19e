"""Vectors of first contact and of the double ratchet: Alice asks, Bob answers and is the initiator."""

from __future__ import annotations

from typing import Any

from node.crypto import prekeys, ratchet
from node.crypto.prekeys import Agreement
from node.crypto.ratchet import Ratchet
from tests.vectors.cast import NOW, TODAY, Tape, actor, fixed

SCRIPT = (
    "i0 i1 i2 R0 R2 r3 I3 r4 r5 I5 i6 R6 R1 i7 R7 r8 r9 I9 I8 i10 i11 r12 I12 I4 R11 r13 I13 i14 R14 i15 i16"
    " R16 r17 I17 i18 R18 R10 R15 r19 I19"
)
"""Small letters send, large ones receive; i is the initiator, r the responder; the number is the message."""


def contact() -> dict[str, Any]:
    asker, answerer = actor("alice"), actor("bob")
    token, tape = fixed("contact token", 16), Tape("request")
    request = prekeys.seal_request(
        asker.identity,
        cert=asker.cert,
        devices=asker.devices,
        bundle=asker.bundle,
        node_record=asker.record,
        name="Alice ✿",
        token=token,
        ts_ms=NOW,
        hello="We met at the harbour.",
        to_account=answerer.account,
        to_intro=answerer.identity.intro_pub,
        entropy=tape,
    )
    opened = prekeys.open_request(answerer.identity, request, TODAY)
    assert opened.token == token
    asked = {"name": opened.name, "token": token, "ts_ms": NOW, "hello": opened.hello}
    return {
        "request": {"from": "alice", "to": "bob", **asked, "ephemeral": tape.drawn[0], "inner": request},
        "intro": _intro(None),
        "renewed": _intro(fixed("old session", 16)),
    }


def _intro(old: bytes | None) -> dict[str, Any]:
    asker, answerer = actor("alice"), actor("bob")
    ek, payload = fixed(f"ek {old!r}"), b"the first message of a session"
    agreed = _agreed(ek, old)
    tape, start, first_tape = Tape("intro"), Tape("first key"), Tape("first nonce")
    state = ratchet.start_initiator(agreed.rk0, agreed.transcript, asker.prekey.public, start)
    _, first = ratchet.encrypt(state, payload, first_tape)
    inner = prekeys.seal_intro(
        answerer.identity,
        cert=answerer.cert,
        devices=answerer.devices,
        bundle=answerer.bundle,
        node_record=answerer.record,
        ek_seed=ek,
        spk_id=asker.prekey.spk_id,
        old_session=old,
        first_message=first,
        to_intro=asker.identity.intro_pub,
        entropy=tape,
    )
    opened = prekeys.open_intro(asker.identity, inner, TODAY)
    assert prekeys.agree_as_responder(asker.identity, opened, asker.prekey) == agreed
    return {
        "from": "bob",
        "to": "alice",
        "ek": ek,
        "old_session": old,
        "transcript": agreed.transcript,
        "rk0": agreed.rk0,
        "session_id": agreed.session_id,
        "first": {"ratchet_secret": start.drawn[0], "nonce": first_tape.drawn[0], "payload": payload},
        "ephemeral": tape.drawn[0],
        "inner": inner,
    }


def _agreed(ek: bytes, old: bytes | None) -> Agreement:
    asker = actor("alice")
    return prekeys.agree_as_initiator(
        actor("bob").identity, ek_seed=ek, peer_cert=asker.cert, peer_bundle=asker.bundle, old_session=old
    )


def double_ratchet() -> dict[str, Any]:
    """Return 20 messages, some of them late, and the drawn secret wherever one turns the ratchet."""
    agreed, spk, start = _agreed(fixed("ratchet ek"), None), actor("alice").prekey, Tape("ratchet start")
    sides = {
        "i": ratchet.start_initiator(agreed.rk0, agreed.transcript, spk.public, start),
        "r": ratchet.start_responder(agreed.rk0, agreed.transcript, spk.secret),
    }
    inners: dict[str, bytes] = {}
    steps = []
    for move in SCRIPT.split():
        side, number, tape = move[0].lower(), move[1:], Tape(f"ratchet {move}")
        if move[0] == side:
            payload = f"message {number} of the {side}".encode()
            sides[side], inners[number] = ratchet.encrypt(sides[side], payload, tape)
            said = {"payload": payload, "nonce": tape.drawn[0], "inner": inners[number]}
            steps.append({"by": side, "send": int(number), **said})
        else:
            sides[side], _ = ratchet.decrypt(sides[side], inners[number], day=TODAY, entropy=tape)
            steps.append({"by": side, "open": int(number), "turn": tape.drawn[0] if tape.drawn else None})
    assert len(inners) == 20
    return {
        "rk0": agreed.rk0,
        "transcript": agreed.transcript,
        "spk_secret": spk.secret,
        "first_secret": start.drawn[0],
        "steps": steps,
        "at_the_end": {side: _state(state) for side, state in sides.items()},
    }


def _state(state: Ratchet) -> dict[str, Any]:
    return {"root": state.root, "sending": state.send_key, "skipped": state.skipped_count}
