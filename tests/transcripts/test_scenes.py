"""Frontends of all dialects in one conversation, on several nodes."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.transcripts.runner import player

FILES = sorted((Path(__file__).parent / "scenes").glob("*.txt"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
async def test_all_whom_it_concerns_see_it_in_their_own_words(path: Path) -> None:
    async with player(path) as playing:
        await playing.play(path.read_text("utf-8"))
