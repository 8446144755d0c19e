"""The protocol as bytes: files that the real code makes again, and that a second implementation agrees with.

How they are made is said in tests/vectors/make.py; the second implementation is tests/independent, written
from docs/crypto.md in integers and hashlib. What fails here breaks the talk with nodes that are out there.
"""

from __future__ import annotations

import ast
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.independent import (
    boxes,
    channels,
    notation,
    people,
    reconciling,
    sessions,
    vault,
)
from tests.independent.curves import ed25519_public, x25519_public
from tests.vectors.make import FILES, HERE, text_of
from tests.vectors.reader import card, entry, filler, person, plain_hash, vector

MOST_BYTES = 400 * 1024


@pytest.mark.parametrize("name", FILES)
def test_the_real_code_still_makes_every_file_byte_for_byte(name: str) -> None:
    assert text_of(name) == (HERE / f"{name}.json").read_text("utf-8")


def test_every_file_is_made_by_the_script_and_together_they_stay_small() -> None:
    found = list(HERE.glob("*.json"))
    assert {path.stem for path in found} == set(FILES)
    assert sum(path.stat().st_size for path in found) < MOST_BYTES


def test_the_second_implementation_rests_on_the_standard_library_alone() -> None:
    for path in Path(boxes.__file__).parent.glob("*.py"):
        for found in ast.walk(ast.parse(path.read_text("utf-8"))):
            names = [alias.name for alias in found.names] if isinstance(found, ast.Import) else []
            names += [found.module or ""] if isinstance(found, ast.ImportFrom) else []
            for name in names:
                own = name.startswith("tests.independent")
                assert own or name.split(".")[0] in sys.stdlib_module_names, f"{path.name}: {name}"


def test_every_label_of_the_registry_hashes_derives_and_signs_the_same() -> None:
    made = vector("labels")
    data, key, seed = made["data"], made["key"], made["seed"]
    for case in made["cases"]:
        name = case["name"]
        assert notation.label(name) == case["label"]
        assert notation.h(name, data) == case["h"]
        assert notation.h(name, data, 64) == case["h64"]
        assert notation.kdf(name, key, data, 64) == case["kdf64"]
        assert notation.sig(name, seed, data) == case["sig"]
    first = made["cases"][0]
    assert notation.holds(first["name"], ed25519_public(seed), data, first["sig"])
    assert not notation.holds(first["name"], ed25519_public(seed), data + b"!", first["sig"])


def test_accounts_devices_certificates_lists_and_bundles_are_the_same() -> None:
    for one in vector("people")["people"]:
        who, created = person(one["name"]), one["created_day"]
        assert (who.account, who.device_id) == (one["account"], one["device_id"])
        assert people.user_uuid(who.account) == one["user"]
        assert people.fingerprint(who.account) == one["fingerprint"]
        cert = people.certificate(who, created, one["expires_day"])
        assert cert == one["certificate"]
        assert people.device_list(who, 1, b"", [cert], [], created) == one["device_list"]
        spk = (one["spk_id"], one["spk_secret"])
        assert people.prekey_bundle(who, 1, *spk, created) == one["bundle"]
        addresses, number = [f"wss://{one['name']}.example:4433"], one["spk_id"]
        assert people.node_record(who.node_seed, addresses, 2, number, created + 7) == one["node_record"]
    second, first = vector("people")["second_list"], entry("alice")
    certs = [first["certificate"], second["also"]]
    following = (2, first["device_list"], certs, second["revoked"], first["created_day"])
    assert people.device_list(person("alice"), *following) == second["raw"]


def test_links_and_the_numbers_that_people_compare_are_the_same() -> None:
    made, alice, bob = vector("people"), person("alice"), person("bob")
    contact, room, proof = made["contact_link"], made["room_link"], made["node_proof"]
    fields = (contact["token"], contact["exp_day"], contact["addresses"])
    assert people.contact_link(alice.account, alice.intro, *fields) == contact["text"]
    assert people.room_link(room["room_id"], room["seed"], alice.account, room["addresses"]) == room["text"]
    assert people.safety_number(bob.account, alice.account) == made["safety_number"]
    assert people.verification_code(alice.account, bob.account) == made["verification_code"]
    assert people.room_fingerprint([(bob.account, 2), (alice.account, 4)]) == made["room_fingerprint"]
    assert people.direct_room_id(bob.account, alice.account) == made["direct_room_id"]
    assert people.node_proof(alice.node_seed, proof["network_id"], proof["static"]) == proof["proof"]


def test_channels_have_the_same_secrets_and_posting_keys() -> None:
    made = vector("channels")
    assert notation.h("net", bytes(32)) == made["public_network_id"]
    for case in made["channels"]:
        secret = channels.channel_secret(case["kind"], case["inputs"])
        assert secret == case["secret"]
        for day, key in case["posting_keys"]:
            assert ed25519_public(channels.posting_seed(secret, day)) == key


def test_envelopes_of_every_size_are_the_same_and_open() -> None:
    made = vector("channels")
    secret = made["channels"][0]["secret"]
    for case in made["envelopes"]:
        inner = filler(case["type"], case["inner_bytes"])
        raw = channels.seal(secret, inner, case["kind"], case["ts_ms"], case["ttl_days"], case["nonce"])
        assert plain_hash(raw) == case["eid"]
        if "raw" in case:
            assert raw == case["raw"]
            assert channels.open_envelope(secret, case["raw"]) == inner


def test_the_parts_of_an_object_are_the_same() -> None:
    made = vector("channels")["object"]
    parts = channels.parts(filler(made["type"], made["content_bytes"]))
    assert [plain_hash(part) for part in parts] == made["part_hashes"]


def test_cells_and_the_passphrase_wrap_are_the_same_and_open() -> None:
    made = vector("at_rest")
    master, place, plain, row = made["master"], made["place"], made["plain"], made["row_id"]
    assert vault.row_id(master, row["table"], row["key"]) == row["id"]
    kept, gone, wrap = made["cell"], made["shredded"], made["wrap"]
    key = vault.cell_key(master, kept["table"], kept["column"], place)
    assert vault.cell(key, plain, kept["nonce"]) == kept["sealed"]
    key = vault.shredded_key(master, made["shred"], gone["table"], place)
    assert vault.cell(key, plain, gone["nonce"]) == gone["sealed"]
    stretched = wrap["argon2id"]
    assert vault.wrap(stretched, wrap["cost"], wrap["salt"], wrap["nonce"], plain) == wrap["wrapped"]
    assert vault.unwrap(stretched, wrap["wrapped"]) == plain


def test_a_contact_request_is_the_same_and_opens_for_its_reader() -> None:
    made = vector("contact")["request"]
    asker, reader = person(made["from"]), person(made["to"])
    rest = [made["name"], made["token"], made["ts_ms"], made["hello"]]
    to = (reader.account, reader.intro)
    assert sessions.contact_request(asker, card("alice"), rest, to, made["ephemeral"]) == made["inner"]
    assert sessions.open_request(reader, made["inner"]) == [4, *card("alice"), *rest]


@pytest.mark.parametrize("name", ["intro", "renewed"])
def test_an_intro_is_the_same_and_both_sides_agree_on_its_session(name: str) -> None:
    made, asked = vector("contact")[name], entry("alice")
    sender, reader, first, old = person("bob"), person("alice"), made["first"], made["old_session"]
    spk = (asked["spk_id"], x25519_public(asked["spk_secret"]))
    rk0, transcript = sessions.agree_as_initiator(sender, made["ek"], asked["certificate"], spk, old)
    assert (rk0, transcript, transcript[:16]) == (made["rk0"], made["transcript"], made["session_id"])
    session = sessions.Session.initiator(rk0, transcript, spk[1], first["ratchet_secret"])
    rest = [x25519_public(made["ek"]), spk[0], old, session.send(first["payload"], first["nonce"])]
    assert sessions.intro(card("bob"), rest, reader.intro, made["ephemeral"]) == made["inner"]
    fields = sessions.open_intro(reader, made["inner"])
    assert fields == [5, *card("bob"), *rest]
    assert sessions.agree_as_responder(reader, fields, asked["spk_secret"]) == (rk0, transcript)
    answering = sessions.Session.responder(rk0, transcript, asked["spk_secret"])
    assert answering.receive(fields[-1], made["ek"]) == first["payload"]


def test_twenty_messages_of_a_double_ratchet_are_the_same_and_open_in_any_order() -> None:
    made = vector("double_ratchet")
    start, spk = (made["rk0"], made["transcript"]), made["spk_secret"]
    one = sessions.Session.initiator(*start, x25519_public(spk), made["first_secret"])
    sides = {"i": one, "r": sessions.Session.responder(*start, spk)}
    sent: dict[int, tuple[bytes, bytes]] = {}
    for step in made["steps"]:
        side = sides[step["by"]]
        if "send" in step:
            assert side.send(step["payload"], step["nonce"]) == step["inner"]
            sent[step["send"]] = (step["inner"], step["payload"])
        else:
            inner, payload = sent[step["open"]]
            assert side.receive(inner, step["turn"]) == payload
    assert len(sent) == 20
    assert sum(step.get("turn") is not None for step in made["steps"]) > 5
    for name, end in made["at_the_end"].items():
        side = sides[name]
        assert (side.root, side.sending, len(side.skipped)) == (end["root"], end["sending"], end["skipped"])


def _spelt(entries: list[list[object]]) -> list[tuple[int, str]]:
    return [(int(str(ts)), eid.hex()) for ts, eid in entries if isinstance(eid, bytes)]


@pytest.mark.parametrize("said", vector("negentropy")["conversations"], ids=lambda said: said["name"])
def test_days_are_compared_alike_from_either_side(said: dict[str, Any]) -> None:
    opener = reconciling.Side(_spelt(said["both"] + said["opener_only"]))
    other = reconciling.Side(_spelt(said["both"] + said["other_only"]))
    ts, prefix = said["end"]
    text: str | None = opener.open((ts, prefix.hex()))
    for spot, message in enumerate(said["messages"]):
        assert text == message.hex()
        text = (opener if spot % 2 else other).hear(text)
    assert text is None
    assert sorted(opener.have) == [eid.hex() for eid in said["have"]]
    assert sorted(opener.need) == [eid.hex() for eid in said["need"]]


def test_fingerprints_are_those_of_negentropy_v1() -> None:
    for one in vector("negentropy")["fingerprints"]:
        assert reconciling.mark([eid.hex() for eid in one["ids"]]) == one["fingerprint"].hex()
