"""Ten thousand seeded frames of the groups protocol that are not quite right: errors, and no crash."""

from __future__ import annotations

import json
from random import Random
from typing import Any

from node.bridge.dialects.adapter import Setting
from node.chat import commands as c
from node.sim import SimNode, Simulation
from tests.transcripts.adapted import SimFrontend

TRIALS = 10_000
NASTY: tuple[Any, ...] = (
    None, True, 0, -1, 2**63, 2**200, 0.5, 1e300, "", "\x00", "\u202e", "a" * 5_000, [], {}, [[]], {"id": []},
    "8b0c4e55-04c4-8b1f-a9a1-1d7d31a1c7d2", "data:image/png;base64,%", "data:", "http://", {"__proto__": 1},
)  # fmt: skip
BYTES = '{}[]",:\\x00\x7fé😀\ud8000159eE.-+ tfn'


def calls(room: str) -> list[dict[str, Any]]:
    """One good frame of every type; of those that change a lot, one that fails."""
    return [
        {"type": "GROUP:GET_INIT_DATA", "data": {"id": room, "username": "ann", "userId": 7}},
        {"type": "GROUP:GET_ALL_GROUPS", "data": None},
        {"type": "GROUP:ADD_GROUP", "data": {"name": ""}},
        {"type": "GROUP:DELETE_GROUP", "data": {"groupId": room[::-1]}},
        {"type": "GROUP:JOIN_GROUP", "data": {"group": {"id": room}}},
        {"type": "GROUP:LEAVE_GROUP", "data": room[::-1]},
        {"type": "CHAT:GET_INIT_MESSAGES", "data": {"chatId": room, "limit": 5}},
        {"type": "CHAT:START_TYPING", "data": {"group_id": room}},
        {"type": "CHAT:STOP_TYPING", "data": {"chat_id": room}},
        {
            "type": "CHAT:SEND_MESSAGE_TEXT",
            "data": {"groupId": room, "message": {"text": "a"}, "replyTo": room},
        },
        {"type": "CHAT:SEND_MESSAGE_IMAGE", "data": {"groupId": room, "image": "data:image/png;base64,AA=="}},
        {"type": "CHAT:SEND_MESSAGE_AUDIO", "data": {"groupId": room, "audio": {"id": room}}},
        {"type": "CHAT:SEND_MESSAGE_GIF", "data": {"groupId": room, "url": "https://example.org/a.gif"}},
        {"type": "USER:REFRESH_PROFILE", "data": {"user": {"name": "ann", "id": "u"}}},
    ]


def mutated(rng: Random, frame: dict[str, Any]) -> str:
    """Return a frame with a value or a key changed, or some of its text."""
    made = json.loads(json.dumps(frame))
    if rng.random() < 0.6:
        place, key = made, "data"
        while isinstance(place[key], dict) and place[key] and rng.random() < 0.8:
            place, key = place[key], rng.choice(list(place[key]))
        match rng.randrange(3):
            case 0:
                place[key] = rng.choice(NASTY)
            case 1:
                place[rng.choice(("id", "text", "userId", "media", key.upper()))] = place.pop(key)
            case _:
                place[key] = [place[key]]
        return json.dumps(made, ensure_ascii=rng.random() < 0.5)
    text = list(json.dumps(made))
    for _ in range(rng.randrange(1, 4)):
        at = rng.randrange(len(text))
        match rng.randrange(3):
            case 0:
                text[at] = rng.choice(BYTES)
            case 1:
                text.insert(at, rng.choice(BYTES))
            case _:
                del text[at : at + rng.randrange(1, 9)]
    return "".join(text)


async def test_malformed_frames_are_answered_by_errors_and_disturb_nobody() -> None:
    rng, world = Random(1), Simulation("malformed")
    ann: SimNode = world.add("ann")
    world.run(2)
    room = ann.call(c.RoomCreate(name="tea"))["room"]
    page, calm = (SimFrontend(ann, "001", Setting()) for _ in range(2))
    good, errors, heard = calls(room), 0, set[str]()
    for trial in range(TRIALS):
        frame = mutated(rng, rng.choice(good))
        await page.send(frame)
        for told in page.came:
            if told["type"] == "ERROR":
                errors += 1
                assert {"code", "message", "request_type"} <= told["data"].keys(), frame
        page.came.clear()
        assert page.closed is None and page.machine.idle, frame
        if trial % 500 == 0:
            await calm.send('{"type":"USER:REFRESH_PROFILE"}')
            assert calm.came[-1]["type"] == "USER:PROFILE_REFRESHED"
            heard |= {told["type"] for told in calm.came}
            calm.came.clear()
            world.run(0.1)
    assert errors > TRIALS / 2
    assert "ERROR" not in heard
    await page.send(json.dumps(good[1]))
    assert page.came[-1]["type"] == "GROUP:RETURN_ALL_GROUPS"
