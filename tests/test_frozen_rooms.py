"""The frozen vectors of rooms, as tests/test_frozen_vectors.py has it: epochs, messages, joining, the log."""

from __future__ import annotations

from hashlib import blake2b
from typing import Any

import pytest

from tests.independent import channels, log, notation, resolver, rooms, sessions, spelling
from tests.independent.curves import x25519_public
from tests.vectors.logs_made import STORIES
from tests.vectors.reader import card, entry, leaf, person, plain_hash, vector


def rebuilt(made: dict[str, Any], members: list[tuple[bytes, int, bytes]]) -> rooms.NewEpoch:
    """Make an epoch again, and check everything that both epochs of the file say of themselves."""
    fields = ("room_id", "gen", "parents", "heads", "created_ms", "expires_ms", "reason")
    place, draws = (
        rooms.Place(*(made[name] for name in fields)),
        (made["salt"], made["fresh"], made["ek_secret"]),
    )
    new = rooms.new_epoch(person(made["by"]), place, members, draws)
    assert (new.announce, new.epoch_id) == (made["announce"], made["epoch_id"])
    assert rooms.roster_hash([device for device, _, _ in members]) == made["roster_hash"]
    body = spelling.read_signed(new.announce, 1)[0]
    assert (body[7], body[8]) == (made["roster_hash"], made["commitment"])
    inputs = {"epoch_secret": new.secret, "epoch_id": new.epoch_id}
    assert channels.channel_secret("room", inputs) == made["channel_secret"]
    assert notation.kdf("eph", new.secret, new.epoch_id) == made["ephemeral_key"]
    return new


def test_an_epoch_of_three_is_the_same_and_every_slot_opens() -> None:
    made = vector("epochs")["three"]
    members = [(person(name).device_id, *leaf(name)) for name in made["members"]]
    new = rebuilt(made, members)
    assert new.slots == made["slots"]
    order = sorted(device for device, _, _ in members)
    for name in made["members"]:
        device = person(name).device_id
        found = (order.index(device), device, entry(name)["leaf_secret"])
        assert rooms.open_slot(made["announce"], made["slots"], *found) == new.secret
        assert rooms.first_chain(new.secret, new.epoch_id, device) == made["chains"][name]


def test_an_epoch_of_a_thousand_is_the_same() -> None:
    made = vector("epochs")["thousand"]
    members = [(person("alice").device_id, *leaf("alice"))]
    for number in range(1, 1000):
        counted = number.to_bytes(4)
        secret = plain_hash(b"leaf" + counted)
        public = bytes(32) if number == made["dead_leaf"] else x25519_public(secret)
        members.append((blake2b(b"device" + counted, digest_size=16).digest(), number, public))
    new = rebuilt(made, members)
    assert len(spelling.read(new.slots)) == made["slot_count"] == 1000
    assert plain_hash(new.slots) == made["slots_hash"]
    chains = (rooms.first_chain(new.secret, new.epoch_id, device) for device, _, _ in sorted(members))
    assert plain_hash(b"".join(chains)) == made["chains_hash"]


def test_room_messages_and_the_steps_of_their_chain_are_the_same_and_open() -> None:
    made = vector("room_messages")
    who, chain = person(made["by"]), vector("epochs")["three"]["chains"][made["by"]]
    first, previous = chain, bytes(16)
    for index, case in enumerate(made["messages"]):
        assert (chain, previous) == (case["chain"], case["prev16"])
        core = [
            case["kind"],
            made["room_id"],
            made["epoch16"],
            who.device_id,
            index,
            previous,
            made["view16"],
        ]
        plain = rooms.payload(case["head"], case["type"], case["body"])
        chain, inner = rooms.seal_message(who, chain, core, plain, case["nonce"])
        assert inner == case["inner"]
        assert rooms.open_message(first, case["inner"]) == ([1, *core], plain)
        previous = notation.h("inner", inner)[:16]
    far = first
    for _ in range(301):
        far = sessions.chain_step("rchain", far)[0]
    assert far == made["chain_after_301"]


def test_ephemerals_of_rooms_presence_and_two_people_are_the_same_and_open() -> None:
    made = vector("ephemerals")
    who = person(made["by"])
    assert made["room"]["key"] == vector("epochs")["three"]["ephemeral_key"]
    assert (
        made["direct"]["key"] == made["presence"]["key"] == notation.kdf("ephdm", made["channel_secret"], b"")
    )
    for name in ("room", "presence", "direct"):
        case = made[name]
        said, signer = (
            [case["ts_ms"], case["type"], case["body"]],
            who.device_seed if name != "direct" else None,
        )
        place = (case.get("epoch16", bytes(16)), who.device_id)
        assert rooms.ephemeral(case["key"], *place, said, case["nonce"], signer) == case["inner"]
        assert rooms.open_ephemeral(case["key"], case["inner"]) == said


def test_a_join_request_the_turns_to_answer_it_and_the_welcome_are_the_same() -> None:
    made, epoch = vector("joining"), vector("epochs")["three"]
    who, asked, handed = person("dave"), made["request"], made["welcome"]
    assert rooms.invite_key(made["seed"]) == made["invite_key"]
    fields = [made["room_id"], asked["invite_id"], *card("dave"), leaf("dave"), asked["name"], asked["ts_ms"]]
    assert rooms.join_request(who, made["seed"], fields) == asked["inner"]
    assert notation.h("inner", asked["inner"]) == asked["hash"]
    assert rooms.join_order(asked["inner"], sorted(made["turns"])) == made["turns"]
    given = [made["room_id"], handed["ops"], [], epoch["announce"], epoch["slots"]]
    given += [[entry("alice")["node_record"]], handed["frontier"]]
    assert rooms.welcome(who.intro, given, handed["ephemeral"]) == handed["content"]
    assert rooms.open_welcome(who, handed["content"]) == given


def test_an_open_room_its_door_and_its_listing_are_the_same() -> None:
    made = vector("directory")
    first, listed = made["create"], made["listing"]
    assert notation.h("dir", made["network_id"]) == made["channel_secret"]
    assert rooms.invite_key(made["seed"]) == made["invite_key"]
    assert rooms.standing_invite(made["seed"]) == made["invite_id"]
    assert notation.kdf("join", made["seed"], b"") == made["join_secret"]
    body = [first["policy"], made["invite_id"], *card(first["by"])[:2], leaf(first["by"])]
    body += [first["name"], first["called"]]
    raw = log.make(person(first["by"]), [bytes(16), log.CREATE, 1, [], 0, first["ts_ms"], body])
    assert (raw, log.read_op(raw).room_id) == (first["raw"], first["room_id"])
    said = [raw, made["seed"], listed["name"], listed["count"], [entry("alice")["node_record"]]]
    said += [listed["ts_ms"], entry(listed["by"])["certificate"]]
    assert rooms.listing(person(listed["by"]), said) == listed["inner"]


def test_ops_their_ids_and_the_id_of_their_room_are_the_same() -> None:
    made = vector("room_logs")
    raws = [(one["raw"], one["op_id"]) for one in made["base"]]
    raws += [(raw, b"") for case in made["cases"] for raw in case["ops"] + case["refused"]]
    authors = {person(one["name"]).account: person(one["name"]) for one in vector("people")["people"]}
    kinds = set()
    for raw, op_id in raws:
        op = log.read_op(raw)
        room = bytes(16) if op.kind == log.CREATE else made["room_id"]
        rest = [op.parents, op.lamport, op.ts_ms, op.body]
        assert op.room_id == made["room_id"]
        assert log.make(authors[op.author], [room, op.kind, op.number, *rest]) == raw
        assert not op_id or op.op_id == op_id
        kinds.add(op.kind)
    assert kinds == set(range(1, 12))


@pytest.mark.parametrize("at", range(len(STORIES)))
def test_the_same_ops_come_to_the_same_room(at: int) -> None:
    made = vector("room_logs")
    case = made["cases"][at]
    raws = case["ops"][::-1] + [one["raw"] for one in made["base"]]
    read = resolver.Log(map(log.read_op, raws))
    assert facts(read) == case["comes_to"]
    assert all(read.refuses(log.read_op(raw)) for raw in case["refused"])


def facts(read: resolver.Log) -> dict[str, Any]:
    """Return what the vectors say of a log."""
    room, order = read.outcome.room, read.outcome.order
    heads = set(read.ops).difference(*(op.parents for op in order))
    newest = max(order, key=lambda op: (op.lamport, op.op_id))
    left = {key: 0 if one.closed else one.uses_left for key, one in room.invites.items()}
    return {
        "members": [[account, *room.members[account]] for account in sorted(room.members)],
        "roster_hash": rooms.roster_hash([device for _, device in room.members.values()]),
        "name": room.name,
        "topic": room.topic,
        "policy": room.policy,
        "deleted": int(room.deleted),
        "invites": [[key, left[key]] for key in sorted(left)],
        "order": [op.op_id[:16] for op in order],
        "void": [op.op_id[:16] for op in order if op.op_id not in room.counted],
        "forks": [[one[:16], other[:16]] for one, other in read.outcome.forks],
        "heads": sorted(heads),
        "view16": newest.op_id[:16],
    }
