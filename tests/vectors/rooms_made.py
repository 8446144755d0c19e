"""Vectors of epochs, room messages, ephemerals and joining, in the room of `logs_made.py`."""

from __future__ import annotations

from hashlib import blake2b
from typing import Any

from node.clock import DAY_MS
from node.crypto import chain, ephemeral, epoch, joining, primitives, roommsg, welcome
from node.crypto.epoch import NewEpoch
from node.crypto.labels import Label
from node.crypto.ops import Leaf
from node.wire.payload import Payload, Type
from tests.vectors.cast import NOW, Tape, actor, fixed
from tests.vectors.logs_made import base_log

CREW = ("alice", "bob", "carol")


def first_epoch() -> NewEpoch:
    return _epoch([(actor(n).device, actor(n).leaf) for n in CREW], parents=(), gen=1, tape=Tape("epoch 1"))


def _epoch(
    members: list[tuple[bytes, Leaf]], *, parents: tuple[bytes, ...], gen: int, tape: Tape
) -> NewEpoch:
    log = base_log()
    return epoch.create_epoch(
        actor("alice").identity,
        room_id=log.room_id,
        gen=gen,
        parents=parents,
        heads=log.heads,
        members=members,
        now_ms=NOW,
        reason=epoch.REASON_CREATE if gen == 1 else epoch.REASON_ROSTER,
        entropy=tape,
    )


def epochs() -> dict[str, Any]:
    tape, large_tape = Tape("epoch 1"), Tape("epoch 2")
    small = _epoch([(actor(n).device, actor(n).leaf) for n in CREW], parents=(), gen=1, tape=tape)
    members = [(actor("alice").device, actor("alice").leaf), *map(stranger, range(1, 1000))]
    large = _epoch(members, parents=(small.epoch.epoch16, b"\x01" * 16), gen=2, tape=large_tape)
    hashes = {
        "announce": large.announce,
        "slots_hash": primitives.plain_digest(large.slots),
        "slot_count": large.parsed.n_slots,
        "chains_hash": primitives.plain_digest(
            b"".join(large.epoch.chains[d] for d in sorted(large.epoch.chains))
        ),
    }
    return {
        "three": {
            **_drawn(small, tape),
            "members": CREW,
            "announce": small.announce,
            "slots": small.slots,
            "chains": {actor(n).name: small.epoch.chains[actor(n).device] for n in CREW},
        },
        "thousand": {**_drawn(large, large_tape), "dead_leaf": 7, **hashes},
    }


def stranger(number: int) -> tuple[bytes, Leaf]:
    """Return member `number` of the large room: hashes of its number; the leaf of number 7 is zeros."""
    secret = blake2b(b"leaf" + number.to_bytes(4), digest_size=32).digest()
    public = bytes(32) if number == 7 else primitives.x25519_public(secret)
    return blake2b(b"device" + number.to_bytes(4), digest_size=16).digest(), Leaf(number, public)


def _drawn(made: NewEpoch, tape: Tape) -> dict[str, Any]:
    salt, fresh, ek = tape.drawn
    place = made.parsed
    return {
        "by": "alice",
        "room_id": place.room_id,
        "gen": place.gen,
        "parents": place.parents,
        "heads": place.heads,
        "created_ms": place.created_ms,
        "expires_ms": place.expires_ms,
        "reason": place.reason,
        "salt": salt,
        "fresh": fresh,
        "ek_secret": ek,
        "epoch_id": made.epoch.epoch_id,
        "roster_hash": place.roster_hash,
        "commitment": place.commitment,
        "channel_secret": made.epoch.channel_secret,
        "ephemeral_key": made.epoch.ephemeral_key,
    }


def messages() -> dict[str, Any]:
    alice, made = actor("alice"), first_epoch()
    mids = [fixed(f"mid {n}", 16) for n in range(4)]
    payloads = [
        Payload(mids[0], NOW, 1, Type.TEXT, ["Ahoy ⚓", "message", None]),
        Payload(mids[1], NOW + 1, 2, Type.TEXT, ["x" * 600, "message", mids[0]], (mids[0],)),
        Payload(mids[2], NOW + 2, 3, Type.OP, base_log().ops_in_order()[-1].raw, (mids[1],), (mids[3],)),
        Payload(
            mids[3],
            NOW + 3,
            4,
            Type.PROFILE,
            ["Alice", None, "at sea", fixed("presence")],
            leaf=(9, b"\x09" * 32),
        ),
    ]
    sending, cases = chain.SendChain(made.epoch.chains[alice.device]), []
    for payload in payloads:
        tape = Tape(f"message {payload.lamport}")
        kind = roommsg.Kind.OP if payload.type is Type.OP else roommsg.Kind.MESSAGE
        before = sending
        sending, inner = roommsg.seal(
            sending,
            kind=kind,
            room_id=base_log().room_id,
            epoch16=made.epoch.epoch16,
            device_id=alice.device,
            view16=base_log().view16,
            payload=payload.encode(),
            dsk_sk=alice.identity.dsk_sk,
            entropy=tape,
        )
        roommsg.verify(roommsg.parse(inner), alice.identity.dsk_pub)
        head = [payload.mid, payload.ts_ms, payload.lamport, payload.refs, payload.refs_before, payload.leaf]
        case = {"kind": kind, "chain": before.key, "prev16": before.prev16, "nonce": tape.drawn[0]}
        cases.append({**case, "head": head, "type": payload.type, "body": payload.body, "inner": inner})
    far = chain.seek(Label.RCHAIN, chain.RecvChain(cases[0]["chain"]), 300, day=1)[0]
    return {
        "by": "alice",
        "room_id": base_log().room_id,
        "epoch16": made.epoch.epoch16,
        "view16": base_log().view16,
        "messages": cases,
        "chain_after_301": far.key,
    }


def ephemerals() -> dict[str, Any]:
    alice, made, cs = actor("alice"), first_epoch(), fixed("ephemeral channel")
    tapes = [Tape(f"ephemeral {n}") for n in range(3)]
    said: dict[str, Any] = {"ts_ms": NOW, "type": 1, "body": [1]}
    key, dsk = ephemeral.ephemeral_dm_key(cs), alice.identity.dsk_sk
    presence: dict[str, Any] = {"ts_ms": NOW, "type": 2, "body": ["online", None]}
    return {
        "by": "alice",
        "channel_secret": cs,
        "room": {
            **said,
            "key": made.epoch.ephemeral_key,
            "epoch16": made.epoch.epoch16,
            "inner": ephemeral.seal_room_ephemeral(
                made.epoch.ephemeral_key,
                made.epoch.epoch16,
                alice.device,
                dsk_sk=dsk,
                entropy=tapes[0],
                **said,
            ),
            "nonce": tapes[0].drawn[0],
        },
        "presence": {
            **presence,
            "key": key,
            "inner": ephemeral.seal_presence(key, alice.device, dsk_sk=dsk, entropy=tapes[1], **presence),
            "nonce": tapes[1].drawn[0],
        },
        "direct": {
            **said,
            "key": key,
            "inner": ephemeral.seal_dm_ephemeral(key, alice.device, entropy=tapes[2], **said),
            "nonce": tapes[2].drawn[0],
        },
    }


def joins() -> dict[str, Any]:
    dave, made, seed, log = actor("dave"), first_epoch(), fixed("invite seed"), base_log()
    inner = joining.make_join_request(
        dave.identity,
        room_id=log.room_id,
        invite_seed=seed,
        invite_id=fixed("invite", 16),
        cert=dave.cert,
        devices=dave.devices,
        bundle=dave.bundle,
        node_record=dave.record,
        leaf=dave.leaf,
        name="Dave",
        ts_ms=NOW + DAY_MS,
    )
    public = joining.invite_keypair(seed)[0]
    request = joining.parse_join_request(inner, public)
    greeters = sorted(actor(n).device for n in CREW)
    order = sorted(greeters, key=lambda d: joining.join_rank(request.req_hash, greeters, d))
    ops, records, tape = (
        tuple(op.raw for op in log.ops_in_order())[:2],
        (actor("alice").record,),
        Tape("welcome"),
    )
    frontier = (fixed("mid 3", 16),)
    handed = welcome.Welcome(log.room_id, ops, (), made.announce, made.slots, records, frontier)
    content = welcome.seal_welcome(handed, dave.identity.intro_pub, tape)
    assert welcome.open_welcome(dave.identity, content) == handed
    asked = {"invite_id": request.invite_id, "name": "Dave", "ts_ms": request.ts_ms}
    return {
        "seed": seed,
        "invite_key": public,
        "room_id": log.room_id,
        "request": {"by": "dave", **asked, "inner": inner, "hash": request.req_hash},
        "turns": order,
        "welcome": {"ops": ops, "frontier": frontier, "ephemeral": tape.drawn[0], "content": content},
    }
