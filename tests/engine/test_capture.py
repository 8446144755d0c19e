"""M8: everything that passes between nodes, as its receiver unseals it, names nobody, no room and no word."""

from __future__ import annotations

import base64
import uuid
from collections import Counter

import pytest

from node import ids
from node.chat import commands as c
from node.sim import SimNode, Simulation
from node.wire import frame_bytes
from node.wire.frames import Frame
from tests.engine.hostile import engine_of
from tests.engine.test_attachments import content, got, send, states, upload
from tests.engine.worlds import befriend, invite, texts

CANARY = "canary-7f3a9c-plaintext"
MIB = 1024 * 1024


def spellings(raw: bytes) -> list[bytes]:
    """Return the ways in which bytes could be written down, wherever they stand in a longer text."""
    forms = [raw, raw.hex().encode(), raw.hex().upper().encode()]
    for shift in range(3):
        inner = base64.b64encode(bytes(shift) + raw)[shift and 4 : len(raw) // 3 * 4]
        forms += [inner, inner.translate(bytes.maketrans(b"+/", b"-_"))]
    if len(raw) == 16:
        forms += [str(uuid.UUID(bytes=raw)).encode(), str(uuid.UUID(bytes=raw)).upper().encode()]
    assert all(len(form) >= 8 for form in forms)
    return forms


class Capture:
    """Every frame that a node took from a link, whoever it came from."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.raw = bytearray()
        self.kinds: Counter[str] = Counter()
        decode = frame_bytes.decode

        def noting(data: bytes) -> Frame:
            frame = decode(data)
            self.raw += data
            self.kinds[type(frame).__name__] += 1
            return frame

        monkeypatch.setattr(frame_bytes, "decode", noting)


def secrets(nodes: list[SimNode], rooms: list[str]) -> list[tuple[str, bytes]]:
    """Return what must not be seen, each with what it is."""
    found = [("a room", ids.parse(room)) for room in rooms]
    for node in nodes:
        me = node.setup.identity
        found += [
            ("an account", me.account),
            ("an account's seed", me.account_seed),
            ("a node's seed", me.node_seed),
        ]
        found += [("a user id", node.call(c.ProfileGet())["user_id"].encode())]
        for inbox in engine_of(node).state.rooms.inboxes.values():
            found += [
                ("an epoch's device", key) for held in inbox.room.epochs.held.values() for key in held.devices
            ]
    return found


@pytest.mark.parametrize("seed", ["one", "two"])
def test_a_capture_of_a_whole_scene_holds_no_word_no_room_and_no_account(
    seed: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """M8."""
    seen = Capture(monkeypatch)
    world = Simulation(f"capture {seed}")
    cat = world.add("cat", relay=True)
    ann, bob, dan = (world.add(name, peers=["cat"]) for name in ("ann", "bob", "dan"))
    world.partition({"ann", "cat"}, {"bob", "cat"}, {"dan", "cat"})
    world.run(2)
    befriend(world, ann, bob)
    befriend(world, ann, dan)
    room = ann.call(c.RoomCreate(name=f"room {CANARY}"))["room"]
    invite(world, ann, bob, room)
    open_room = ann.call(c.RoomCreate(name=f"open {CANARY}", visibility="open"))["room"]
    world.run(5)
    link = ann.call(c.RoomLinkCreate(room=room))["link"]
    dan.call(c.RoomLinkUse(link=link))
    world.run(10)
    heard, other = bob.attach(), dan.attach()
    said = ann.call(c.UserMessage(room=room, message=f"{CANARY}, @bob"))["id"]
    ann.call(c.MessageEdit(room=room, id=said, message=f"edited {CANARY}"))
    direct = ann.call(c.DmOpen(username="bob"))["room"]
    ann.call(c.UserMessage(room=direct, message=f"dm {CANARY}"))
    file = content(2 * MIB, CANARY.encode())
    named = upload(ann, file, name=f"{CANARY}.pdf")["attachment"]
    send(ann, room, named, f"with a file {CANARY}")
    small = upload(ann, content(90_000, b"small"), name=f"small {CANARY}.pdf")["attachment"]
    send(ann, direct, small)
    assert world.run_until(lambda: "ready" in states(heard, named), 200)
    assert got(bob, named) == file
    assert f"dm {CANARY}" in texts(heard) and f"with a file {CANARY}" in texts(other)
    bob.crash()
    ann.call(c.UserMessage(room=room, message=f"away {CANARY}"))
    world.run(30)
    bob.start()
    back = bob.attach(plain=False)
    world.heal()
    dan.call(c.UserMessage(room=room, message=f"back {CANARY}"))
    world.run(400)
    assert f"away {CANARY}" in texts(back)
    hidden = secrets([ann, bob, dan, cat], [room, open_room, direct])
    hidden += [("a word", CANARY.encode()), ("a file", file[:48]), ("a file", file[MIB : MIB + 48])]
    hidden += [("an attachment", ids.parse(named)), ("a message", ids.parse(said))]
    told = [engine_of(node)._record() for node in (ann, bob, cat, dan)]  # what PX tells of a node
    capture = b"".join((bytes(seen.raw), *told))
    for what, raw in hidden:
        for form in spellings(raw):
            assert form not in capture, f"{what} is seen as {form!r}"
    assert len(capture) > 4 * MIB
    wanted = {"Push", "IHave", "Days", "Tail", "Batch", "PeerExchange", "Fetch", "Part", "Offer", "Ping"}
    assert wanted <= set(seen.kinds), seen.kinds


def test_the_search_of_a_capture_finds_what_stands_in_it_however_it_is_written() -> None:
    raw = bytes(range(7, 39))
    for text in (raw, raw.hex().encode(), *(base64.b64encode(b"x" * n + raw + b"rest") for n in range(3))):
        assert any(form in b"before" + text + b"after" for form in spellings(raw))
    sixteen = raw[:16]
    assert any(form in str(uuid.UUID(bytes=sixteen)).encode() for form in spellings(sixteen))
