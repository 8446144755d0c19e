"""Attachments between simulated nodes: sealed before they are named, whole before they are ready."""

from __future__ import annotations

import base64
from hashlib import blake2b
from typing import Any

import pytest

from node import ids
from node.bridge.ports import FileUploaded, UploadKept
from node.chat import commands as c, events
from node.sim import CallError, SimNode, SimSession
from tests.engine.worlds import trio


def content(size: int, seed: bytes = b"") -> bytes:
    """Return bytes that no two parts of have in common."""
    blocks = (blake2b(seed + n.to_bytes(4, "big")).digest() for n in range(size // 64 + 1))
    return b"".join(blocks)[:size]


def upload(node: SimNode, data: bytes, name: str = "a.bin", kind: str = "application/pdf") -> dict[str, Any]:
    """Store a content of any size, as HTTP does; returns what the answer tells."""
    assert node.engine is not None
    effects = node.engine.handle(FileUploaded(1, node.files.seal(name, kind, data)), now=node.now())
    node.perform(effects)
    kept = next(effect for effect in effects if isinstance(effect, UploadKept))
    if kept.fault is not None:
        raise kept.fault
    return kept.fields


def send(node: SimNode, room: str, ident: str, text: str = "look") -> dict[str, Any]:
    return node.call(c.UserMessage(room=room, message=text, attachment=ident))


def states(session: SimSession, ident: str) -> list[str]:
    return [event.state for event in session.of(events.Attachment) if event.id == ident]


def got(node: SimNode, ident: str) -> bytes:
    return base64.b64decode(node.call(c.AttachmentGet(id=ident))["data"])


def here(node: SimNode, ident: str) -> bool:
    """Say whether a node has all of it; it may not have heard of it yet."""
    assert node.engine is not None
    return any(
        ids.text(known) == ident and record.state == "ready"
        for known, record in node.engine.state.attachments.records.items()
    )


def test_a_small_file_goes_from_one_node_to_the_frontends_of_another() -> None:
    world, ann, bob, _, room = trio()
    one, other, own = bob.attach(), bob.attach(), ann.attach()
    data = content(3_000)
    put = ann.call(c.AttachmentPut(data=base64.b64encode(data).decode(), name="tea.png", type="image/png"))
    sent = send(ann, room, put["attachment"])
    world.run(5)
    for session in (one, other, own):
        shown = session.of(events.UserMessage)[-1]
        assert (shown.id, shown.attachment["id"]) == (sent["id"], put["attachment"])
        assert (shown.attachment["name"], shown.attachment["type"]) == ("tea.png", "image/png")
        assert shown.attachment["size"] == 3_000
    assert states(one, put["attachment"]) == states(other, put["attachment"]) == ["ready"]
    assert got(bob, put["attachment"]) == data


@pytest.mark.parametrize("loss", [0.0, 0.05])
def test_900_kib_arrive_over_links_that_break(loss: float) -> None:
    world, ann, bob, cat, room = trio("big")
    session = bob.attach()
    data = content(900 * 1024)
    ident = upload(ann, data)["attachment"]
    send(ann, room, ident)
    world.loss = loss
    world.run(5)
    assert "ready" not in states(session, ident)
    with pytest.raises(KeyError):
        got(bob, ident)
    world.loss = 0.0
    assert world.run_until(lambda: "ready" in states(session, ident), 1_000)
    assert got(bob, ident) == data
    assert 2 <= states(session, ident).count("progress") <= 40


def test_a_killed_sender_and_a_killed_receiver_go_on_where_they_stopped() -> None:
    world, ann, bob, _, room = trio("kills")
    data = content(500 * 1024)
    ident = upload(ann, data)["attachment"]
    send(ann, room, ident)
    posted: list[int] = []
    for node in (bob, ann, bob, ann):
        world.run(2)
        node.crash()
        world.run(0.5)
        node.start()
        assert ann.engine is not None
        posted += ann.engine.state.attachments.posting.left.values()
    assert world.run_until(lambda: here(bob, ident), 1_000)
    assert got(bob, ident) == data
    assert posted == sorted(posted) and posted[-1] > posted[0] > 0


def test_who_was_away_fetches_it_on_coming_back() -> None:
    world, ann, bob, cat, room = trio("away")
    bob.crash()
    data = content(200 * 1024)
    ident = upload(ann, data)["attachment"]
    send(ann, room, ident)
    world.run(20)
    ann.crash()
    bob.start()
    session = bob.attach()
    assert world.run_until(lambda: "ready" in states(session, ident), 600)
    assert got(bob, ident) == data


def test_what_is_not_here_cannot_be_named() -> None:
    _, ann, _, _, room = trio()
    for named, code in (
        ("nonsense", "invalid"),
        ("0" * 8 + "-0000-4000-8000-" + "0" * 12, "attachment_unknown"),
    ):
        with pytest.raises(CallError) as refused:
            send(ann, room, named)
        assert refused.value.code == code
