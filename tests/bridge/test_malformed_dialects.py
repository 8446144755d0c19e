"""Five hundred frames gone wrong a dialect, at a listening bridge with a node behind it; another watches.

The adapters alone are given ten thousand each (tests/bridge/dialects); here what carries them is judged too.
"""

from __future__ import annotations

import asyncio
import json
import random
from typing import Any

import pytest

from node.chat import commands as c
from tests.bridge.dialect_pages import PATHS, Page, Stage, good, until

FRAMES, ROUNDS = 50, 10
CLOSES = {"001": {4400, 1007}, "002": {4400, 1000, 1007}, "003": {3100, 1007}, "004": {4400, 1000, 1007}}
"""How those end whose frames are no good; 1000 is what Engine.IO's own `close` gets."""
STRANGE: list[Any] = [
    None, True, 0, -1, 2**63, 2**200, 1e308, "", "\x00", "\ud800", "x" * 20_000, [], [[]], {}, {"": {}}, "🫖",
    {"a": {"b": [1]}}, "ann", "bob", ["ann"], "data:image/png;base64,!",
    "00000000-0000-4000-8000-000000000000",
]  # fmt: skip


def mutated(dice: random.Random, frame: Any) -> str:
    """Put something strange into a frame, or change its text."""
    made = {"whole": json.loads(json.dumps(frame))}
    if dice.random() < 0.6:
        place: Any = made
        key: Any = "whole"
        while isinstance(place[key], dict | list) and place[key] and dice.random() < 0.8:
            place = place[key]
            key = dice.choice(list(place) if isinstance(place, dict) else range(len(place)))
        place[key] = dice.choice(STRANGE)
        return json.dumps(made["whole"], ensure_ascii=dice.random() < 0.5)
    text = list(json.dumps(made["whole"]))
    for _ in range(dice.randint(1, 4)):
        at = dice.randrange(len(text))
        text[at : at + dice.randint(0, 2)] = dice.choice('{}[]",:\\\x000159eE.-+ tfné😀')
    return "".join(text)


@pytest.mark.parametrize("dialect", sorted(PATHS))
async def test_five_hundred_frames_gone_wrong_are_answered_in_its_own_words_and_disturb_nobody(
    dialect: str, caplog: pytest.LogCaptureFixture
) -> None:
    dice, codes = random.Random(5), set[str]()
    async with Stage(dialect) as stage:
        async with stage.attached() as watcher:
            await stage.settle()
            for number in range(ROUNDS):
                left = FRAMES
                while left > 0:
                    async with stage.attached() as page:
                        left -= await spoilt(stage, page, dice, left)
                        assert not page.ws.closed or page.ws.close_code in CLOSES[dialect], page.ws.close_code
                        codes.update(page.errors())
                stage.ann.call(c.UserMessage(room=stage.room, message=f"word {number} of calm"))
                await until(watcher, f"word {number} of calm")
            assert not watcher.ws.closed
            assert watcher.errors() == []
            assert sum(" of calm" in text for text in watcher.told) == ROUNDS
        async with asyncio.timeout(30):
            while stage.node.server._connections:
                await asyncio.sleep(0.01)
    assert codes or dialect == "003"
    assert codes.isdisjoint({"internal", "ERR_INTERNAL"})
    assert [one.getMessage() for one in caplog.records if one.levelname in {"ERROR", "CRITICAL"}] == []


async def spoilt(stage: Stage, page: Page, dice: random.Random, most: int) -> int:
    """Say what is no good until it is put out; return how often."""
    said = 0
    while said < most and not page.ws.closed:
        said += 1
        try:
            await page.say(mutated(dice, dice.choice(good(stage.dialect, stage.room))))
        except ConnectionError:
            break
        await asyncio.sleep(0.001)
        stage.world.run(0.05)
    await asyncio.sleep(0.005)
    return said


async def test_the_third_malformed_frame_in_a_minute_ends_a_connection_of_the_groups_protocol() -> None:
    async with Stage("001") as stage, stage.attached() as slow, stage.attached() as page:
        for _ in range(2):
            await slow.say("nonsense")
            await until(slow, "bad_frame")
            stage.world.run(61)
        for _ in range(3):
            assert not page.ws.closed
            await page.say('{"data":{}}')
        async with asyncio.timeout(30):
            await page.reading
        assert (page.ws.close_code, page.errors()) == (4400, ["bad_frame"] * 3)
        page_of_it, _ = stage.node.server._kept.page(None, 100)
        assert ("001", "frame", "bad_frame") in [(one.client, one.command, one.code) for one in page_of_it]
        await slow.say("nonsense")
        await stage.settle()
        assert slow.errors() == ["bad_frame"] * 3 and not slow.ws.closed
