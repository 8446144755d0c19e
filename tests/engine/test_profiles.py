"""What people show of themselves: told, kept over a kill, the newest always, and no address in it."""

from __future__ import annotations

from base64 import b64encode
from typing import Any

import pytest

from node.chat import commands as c, events
from node.chat.avatars import MAX_LETTERS
from node.sim import CallError, SimNode, SimSession, Simulation
from node.wire.payload import Payload, Type
from tests.engine.hostile import direct, engine_of, no_late_faults, release, turn_of
from tests.engine.worlds import befriend, trio

PNG = "data:image/png;base64," + b64encode(b"\x89PNG\r\n\x1a\n" + bytes(40)).decode()
ADDRESSES = [
    "https://tracker.example/pixel.png",
    "HTTP://tracker.example",
    "javascript:alert(1)",
    "file:///etc/passwd",
    "//tracker.example/x.png",
    "/api/v1/login?code=1",
    "\\\\tracker\\share",
    "blob:https://x/1",
]


def pair(seed: str) -> tuple[Simulation, SimNode, SimNode]:
    world = Simulation(seed)
    ann, bob = world.add("ann"), world.add("bob", peers=["ann"])
    world.run(1)
    befriend(world, ann, bob)
    world.run(3)
    return world, ann, bob


def last(session: SimSession) -> Any:
    return session.of(events.Profile)[-1]


@pytest.mark.parametrize("avatar", [PNG, "🦊", "👨‍👩‍👧", "AN", "0d8b5f7e-4f5b-4d7c-9d0c-9a3d5c1b7e42"])
def test_a_profile_reaches_every_frontend_of_both_sides_once(avatar: str) -> None:
    world, ann, bob = pair(f"told {len(avatar)}")
    shown = [bob.attach(), bob.attach(), ann.attach(), ann.attach()]
    ok = ann.call(c.ProfileSet(name="Anna", avatar=avatar, status="at tea"), shown[2])
    assert (ok["username"], ok["nickname"], ok["avatar"], ok["status"]) == ("Anna", "Anna", avatar, "at tea")
    world.run(3)
    for session in shown:
        (event,) = session.of(events.Profile)
        assert (event.nickname, event.avatar, event.status) == ("Anna", avatar, "at tea")
    assert last(shown[0]).username == "ann" and last(shown[2]).username == "Anna"
    got = bob.call(c.ProfileGet(username="ann"))
    assert (got["nickname"], got["avatar"], got["status"], got["link"]) == ("Anna", avatar, "at tea", None)
    bob.crash()
    ann.crash()
    ann.start()
    bob.start()
    assert bob.call(c.ProfileGet(username="ann"))["avatar"] == avatar
    assert ann.call(c.ProfileGet())["avatar"] == avatar


def test_the_same_again_tells_nobody_and_an_empty_avatar_takes_it_away() -> None:
    world, ann, bob = pair("same")
    at_bob = bob.attach()
    ann.call(c.ProfileSet(avatar="A", status="x"))
    world.run(3)
    for _ in range(3):
        ann.call(c.ProfileSet(avatar="A", status="x"))
    world.run(3)
    assert len(at_bob.of(events.Profile)) == 1
    ann.call(c.ProfileSet(avatar=""))
    world.run(3)
    assert last(at_bob).avatar is None


@pytest.mark.parametrize("address", ADDRESSES)
def test_an_address_goes_back_to_the_session_that_gave_it_and_to_nobody_else(address: str) -> None:
    world, ann, bob = pair(f"address {address}")
    at_bob, giver, other = bob.attach(), ann.attach(), ann.attach()
    ann.call(c.ProfileSet(avatar="A"))
    world.run(2)
    assert ann.call(c.ProfileSet(avatar=address), giver)["avatar"] == address
    world.run(3)
    assert ann.call(c.ProfileGet(), giver)["avatar"] == address
    assert ann.call(c.ProfileGet(), other)["avatar"] is None
    for session in (at_bob, giver, other):
        assert last(session).avatar is None
    assert bob.call(c.ProfileGet(username="ann"))["avatar"] is None
    ann.detach(giver)
    assert engine_of(ann).state.remote_avatars == {}
    ann.call(c.ProfileSet(avatar=address), other)
    ann.call(c.ProfileSet(avatar="B"))
    assert ann.call(c.ProfileGet(), other)["avatar"] == "B"


@pytest.mark.parametrize(
    "avatar",
    [
        "data:image/svg+xml;base64,PHN2Zz4=",
        "data:text/html,<script>",
        "DATA:image/png;base64,iVBORw0KGgo=",
        "data:image/png;base64," + b64encode(b"<html>").decode(),
        "data:image/webp;base64," + b64encode(b"RIFF1234AVI ").decode(),
        "data:image/png;base64,####",
        "x" * (MAX_LETTERS + 1),
        "java\tscript:alert(1)",
        " https://tracker.example",
        "a\nb",
    ],
)
def test_what_is_no_avatar_is_refused_and_changes_nothing(avatar: str) -> None:
    _, ann, _ = pair("odd")
    before = ann.call(c.ProfileGet())
    with pytest.raises(CallError, match="invalid"):
        ann.call(c.ProfileSet(avatar=avatar, name="other", status="other", listed=True))
    assert ann.call(c.ProfileGet()) == before


@pytest.mark.parametrize(
    "avatar", [*ADDRESSES, "x" * 257, "data:image/svg+xml;base64,PHN2Zz4=", "\x1b]0;x\x07"]
)
def test_what_a_peer_sends_as_a_picture_and_is_an_address_or_odd_is_not_shown(avatar: str) -> None:
    world, ann, bob = pair(f"peer {avatar}")
    at_ann = ann.attach()
    direct(bob, ann, Type.PROFILE, ["bob", avatar, "here", None])
    world.run(2)
    assert (last(at_ann).avatar, last(at_ann).status) == (None, "here")
    assert ann.call(c.ProfileGet(username="bob"))["avatar"] is None
    no_late_faults(ann)


def test_an_older_profile_that_comes_late_changes_nothing() -> None:
    world, ann, bob, _, _ = trio("late")
    befriend_again = bob.attach()
    profiles = []
    for status in ("one", "two"):
        world.run(1)
        turn = turn_of(ann)
        body = ["ann", None, status, None]
        profiles.append(Payload(turn.new_id(), turn.mesh_ms, 0, Type.PROFILE, body))
    state = engine_of(ann).state
    for payload in reversed(profiles):
        turn = turn_of(ann)
        assert state.dms.send(turn, bob.setup.identity.account, payload)
        release(ann, turn)
        world.run(2)
    assert [e.status for e in befriend_again.of(events.Profile)] == ["two"]
    bob.crash()
    bob.start()
    world.run(5)
    assert bob.call(c.ProfileGet(username="ann"))["status"] == "two"


def test_a_profile_that_was_answered_ok_is_there_after_a_kill_and_reaches_who_was_away() -> None:
    world, ann, bob = pair("kill")
    bob.crash()
    world.run(2)
    assert ann.call(c.ProfileSet(status="said", avatar="K"))["status"] == "said"
    ann.crash()
    world.run(5)
    ann.start()
    bob.start()
    at_bob = bob.attach()
    assert world.run_until(lambda: bool(at_bob.of(events.Profile)), 30)
    assert (last(at_bob).status, last(at_bob).avatar) == ("said", "K")
    assert ann.call(c.ProfileGet())["status"] == "said"


def test_a_picture_at_its_limit_reaches_members_of_a_room_too() -> None:
    world, ann, bob, _, _ = trio("large picture")
    picture = "data:image/png;base64," + b64encode(b"\x89PNG\r\n\x1a\n" + bytes(3_043)).decode()
    assert 4_080 < len(picture) <= 4_096
    ann.call(c.ProfileSet(avatar=picture))
    world.run(3)
    assert bob.call(c.ProfileGet(username="ann"))["avatar"] == picture
