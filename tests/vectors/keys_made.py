"""Vectors of labels, people, links, channels, envelopes and what lies on disk."""

from __future__ import annotations

from typing import Any

from node.chat import direct, objects
from node.clock import DAY_MS
from node.crypto import channel, handshake, keys, links, primitives, safety, vault
from node.crypto.channel import Channel
from node.crypto.labels import REGISTRY
from node.wire import envelope
from tests.vectors.cast import NAMES, NOW, TODAY, Actor, Tape, actor, fixed


def labels() -> dict[str, Any]:
    data, key, seed = b"the same words", fixed("label key"), fixed("label seed")
    secret = primitives.ed25519_keypair(seed)[1]
    cases = [
        {
            "name": name,
            "label": label,
            "h": primitives.digest(label, data),
            "h64": primitives.digest(label, data, 64),
            "kdf64": primitives.kdf(label, key, data, 64),
            "sig": primitives.sign(label, secret, data),
        }
        for name, label in REGISTRY.items()
    ]
    return {"data": data, "key": key, "seed": seed, "cases": cases}


def people() -> dict[str, Any]:
    one, other = actor("alice"), actor("bob")
    second = keys.make_list(
        one.identity,
        2,
        one.devices.list_hash,
        [one.cert.cert_hash, other.cert.cert_hash],
        [b"\x07" * 16],
        TODAY,
    )
    network = channel.network_id(fixed("network"))
    static = Tape("static")
    proof = handshake.make_link_keys(
        one.identity.node_seed, network_id=network, psk=None, entropy=static
    ).proof
    return {
        "people": [_person(actor(name)) for name in NAMES],
        "second_list": {"of": "alice", "also": other.cert.raw, "revoked": second.revoked, "raw": second.raw},
        "safety_number": safety.safety_number(one.account, other.account),
        "verification_code": safety.verification_code(one.account, other.account),
        "room_fingerprint": safety.room_fingerprint([(one.account, 4), (other.account, 2)]),
        "direct_room_id": direct.direct_id(one.account, other.account),
        "node_proof": {"network_id": network, "static": static.drawn[0], "proof": proof},
        "contact_link": _contact_link(one),
        "room_link": _room_link(one),
    }


def _person(who: Actor) -> dict[str, Any]:
    one = who.identity
    return {
        "name": who.name,
        "account_seed": one.account_seed,
        "device_seed": one.device_seed,
        "dik_secret": one.dik_secret,
        "intro_secret": one.intro_secret,
        "node_seed": one.node_seed,
        "account": one.account,
        "device_id": one.device_id,
        "user": keys.user_uuid(one.account),
        "fingerprint": keys.fingerprint(one.account),
        "created_day": TODAY,
        "expires_day": who.cert.expires_day,
        "certificate": who.cert.raw,
        "device_list": who.devices.raw,
        "spk_id": who.prekey.spk_id,
        "spk_secret": who.prekey.secret,
        "bundle": who.bundle.raw,
        "node_record": who.record,
        "leaf_id": who.leaf.leaf_id,
        "leaf_secret": who.leaf_secret,
    }


def _contact_link(who: Actor) -> dict[str, Any]:
    token, addresses = fixed("token", 16), ("wss://alice.example:4433", "192.0.2.7:4433")
    link = links.ContactLink(who.account, who.identity.intro_pub, token, 20_100, addresses)
    text = links.encode_contact(link)
    assert links.decode_contact(text) == link
    return {"of": who.name, "token": token, "exp_day": 20_100, "addresses": addresses, "text": text}


def _room_link(who: Actor) -> dict[str, Any]:
    room_id, seed = fixed("some room", 16), fixed("invite seed")
    link = links.RoomLink(room_id, seed, who.account, ("[2001:db8::1]:4433",))
    text = links.encode_room(link)
    assert links.decode_room(text) == link
    return {"of": who.name, "room_id": room_id, "seed": seed, "addresses": link.addresses, "text": text}


def channels() -> dict[str, Any]:
    es, epoch_id, rk0, transcript = (fixed(f"channel {n}") for n in range(4))
    seed, presence, network = (fixed(f"channel {n}") for n in range(4, 7))
    intro, transcript = actor("bob").identity.intro_pub, transcript * 2
    join = channel.join_channel_secret(seed)
    named: dict[str, tuple[dict[str, bytes], Channel]] = {
        "room": ({"epoch_secret": es, "epoch_id": epoch_id}, channel.room_channel(es, epoch_id)),
        "dm": ({"rk0": rk0, "transcript": transcript}, channel.dm_channel(rk0, transcript)),
        "inbox": ({"intro_pub": intro}, channel.inbox_channel(intro)),
        "join": ({"invite_seed": seed}, channel.join_channel(join)),
        "presence": ({"random": presence}, channel.presence_channel(presence)),
        "directory": (
            {"network_secret": network},
            channel.directory_channel(channel.network_id(network)),
        ),
    }
    return {
        "public_network_id": channel.network_id(None),
        "channels": [
            {"kind": kind, "inputs": inputs, "secret": made.secret, "posting_keys": _posting(made)}
            for kind, (inputs, made) in named.items()
        ],
        "envelopes": _envelopes(channel.room_channel(es, epoch_id)),
        "object": _object(),
    }


def _posting(made: Channel) -> list[list[Any]]:
    return [[day, made.rk(day)] for day in (0, TODAY, TODAY + 1)]


def _envelopes(room: Channel) -> list[dict[str, Any]]:
    """One of every size, the fullest there is but for the first; the large ones by their id alone."""
    cases = []
    for at, bucket in enumerate((100, *envelope.BUCKETS)):
        size, ephemeral = bucket - 1, at == 1
        inner = filler(10 if ephemeral else 1, size)
        tape, ts_ms, ttl = Tape(f"envelope {bucket}"), NOW + at * DAY_MS + at, 0 if ephemeral else 1 + 4 * at
        raw = room.seal(inner, ts_ms=ts_ms, ttl_days=ttl, ephemeral=ephemeral, entropy=tape)
        parsed = envelope.parse(raw)
        room.verify(parsed)
        assert room.open(parsed) == inner
        case = {
            "type": inner[1],
            "inner_bytes": size,
            "kind": int(ephemeral),
            "ts_ms": ts_ms,
            "ttl_days": ttl,
        }
        whole = {"raw": raw} if len(raw) < 2500 else {}
        cases.append({**case, "nonce": tape.drawn[0], "eid": parsed.eid, **whole})
    return cases


def filler(kind: int, size: int) -> bytes:
    """An inner of a type and size: an array of two, its type, then bytes that count to 250."""
    return bytes([0x92, kind]) + bytes(at % 251 for at in range(size - 2))


def _object() -> dict[str, Any]:
    content = filler(2, 60_000)
    made = objects.split(content)
    return {
        "type": 2,
        "content_bytes": 60_000,
        "part_hashes": [primitives.plain_digest(part) for part in made],
    }


def at_rest() -> dict[str, Any]:
    master, shred, place = fixed("master"), fixed("shred"), fixed("place", 16)
    tape = Tape("cells")
    cells = vault.Cells(master, shred, tape)
    plain = b"what a cell holds"
    kept, shredded = (cells.seal(table, "row", place, plain) for table in ("rooms", "chains"))
    cost = vault.Cost(1, 8192)
    wrapping = Tape("wrap")
    wrapped = vault.wrap(b"correct horse", plain, cost=cost, entropy=wrapping)
    salt, nonce = wrapping.drawn
    stretched = primitives.argon2id(b"correct horse", salt, passes=1, memory_bytes=8192)
    return {
        "master": master,
        "shred": shred,
        "place": place,
        "plain": plain,
        "row_id": {"table": "rooms", "key": b"a key", "id": vault.row_id(master, "rooms", b"a key")},
        "cell": {"table": "rooms", "column": "row", "nonce": tape.drawn[0], "sealed": kept},
        "shredded": {"table": "chains", "nonce": tape.drawn[1], "sealed": shredded},
        "wrap": {"cost": [1, 8192], "salt": salt, "argon2id": stretched, "nonce": nonce, "wrapped": wrapped},
    }
