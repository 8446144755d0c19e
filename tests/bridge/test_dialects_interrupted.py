"""Frontends of other protocols while the vault is locked, or the disk full: all is answered, and goes on."""

from __future__ import annotations

import json

import pytest

from node.chat import commands as c
from tests.bridge.dialect_pages import PATHS, Page, Stage, good, until

CODES = {"lock": {"locked", "ERR_INTERNAL"}, "full": {"storage_full", "ERR_INTERNAL"}}


def word(stage: Stage, text: str) -> str:
    """Return a frame that says something."""
    frame = json.dumps(good(stage.dialect, stage.room)[0])
    return frame.replace('"hi"', json.dumps(text)).replace('"1"', json.dumps(text))


async def refused(stage: Stage, page: Page, how: str) -> None:
    """Say something, and be told in the dialect's words that it cannot be now."""
    before = len(page.errors())
    await page.say(word(stage, "lost"))
    await stage.settle()
    assert set(page.errors()[before:]) & CODES[how]


@pytest.mark.parametrize("how", sorted(CODES))
@pytest.mark.parametrize("dialect", sorted(PATHS))
async def test_what_is_asked_meanwhile_is_answered_and_all_go_on_afterwards(dialect: str, how: str) -> None:
    async with Stage(dialect) as stage, stage.attached() as early:
        await stage.settle()
        for number in range(3):  # one of them is under way when it happens
            await early.say(word(stage, f"early {number}"))
        if how == "lock":
            stage.ann.lock()
        else:
            stage.ann.store.full = True
        await stage.settle()
        await refused(stage, early, how)
        async with stage.attached() as late:
            await stage.settle()
            await refused(stage, late, how)
            stage.ann.start() if how == "lock" else stage.ann.make_room()
            await stage.settle()
            if dialect == "004":  # whose room could not be opened before
                await late.say(
                    json.dumps(["join_room", {"roomId": stage.room, "userId": "u", "username": "me"}])
                )
                await stage.settle()
            stage.ann.call(c.UserMessage(room=stage.room, message="calm"))
            for page in (early, late):
                await page.say(word(stage, f"again {id(page)}"))
                await until(early, f"again {id(page)}")
                await until(late, f"again {id(page)}")
            assert all(sum("calm" in text for text in page.told) == 1 for page in (early, late))
            machines = [one.machine for one in stage.node.server._connections.values()]  # type: ignore[attr-defined]
            assert len(machines) == 2 and all(one.idle for one in machines)
