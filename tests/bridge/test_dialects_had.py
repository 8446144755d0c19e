"""What was shown in another protocol is not shown again to a plain frontend, and nothing else is left out."""

from __future__ import annotations

import asyncio
import json

import aiohttp
import pytest

from node.chat import commands as c
from tests.bridge.dialect_pages import PATHS, Page, Stage, until
from tests.transcripts.runner import ADMIN


async def plain(stage: Stage) -> list[str]:
    """Attach a frontend that says nothing; return the messages that it is shown on connecting."""
    url = f"http://127.0.0.1:{stage.node.port}/?token={ADMIN}"
    async with aiohttp.ClientSession() as http, http.ws_connect(url) as ws:
        page = Page(ws, "native")
        await stage.settle()  # what is due waits a moment for a hello
        for _ in range(5):
            await asyncio.sleep(0.1)
            stage.world.run(0.1)
    await page.reading
    seen = [json.loads(text) for text in page.told]
    return [event["message"] for event in seen if event["event"] == "user_message"]


@pytest.mark.parametrize("dialect", sorted(PATHS))
async def test_a_plain_frontend_is_shown_what_no_page_was(dialect: str) -> None:
    async with Stage(dialect) as stage:
        other = stage.ann.call(c.RoomCreate(name="elsewhere"))["room"]
        async with stage.attached() as page:
            await stage.settle()
            for room, text in ((stage.room, "one"), (other, "beside"), (stage.room, "two")):
                stage.ann.call(c.UserMessage(room=room, message=f"{text} of these"))
            await until(page, "two of these")
            told = [text for text in ("one", "beside", "two") if any(f"{text} of" in t for t in page.told)]
        await stage.settle()  # until the node has seen it go
        stage.ann.call(c.UserMessage(room=stage.room, message="late of these"))
        await stage.settle()
        missed = [text for text in ("one", "beside", "two", "late") if text not in told]
        assert missed == (["beside", "late"] if dialect == "004" else ["late"])
        assert [text.split()[0] for text in await plain(stage)] == missed
        assert await plain(stage) == []
